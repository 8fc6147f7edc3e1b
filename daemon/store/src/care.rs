//! Keeping the store well: checkpoints and figures. Looking into its files is `check`.

use super::{
    Inner, Store,
    error::StoreError,
    evict::Disk,
    index::{BlobRow, News},
    lock, os,
    state::State,
};
use fyteclub_proto::id::BlobHash;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

/// Whether the log has been told that the index is out of order.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    made: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The folder with the files.
    pub dir: PathBuf,
    pub disk: Option<Disk>,
    /// Whether the disk is away. The figures are what was known last then.
    pub away: bool,
    /// Complete blobs and, as if they were complete, partials. Own files are not counted.
    pub bytes: u64,
    /// Complete blobs.
    pub files: usize,
    pub limit: u64,
    /// Complete blobs that may not be evicted now.
    pub pinned: usize,
    pub partials: usize,
    pub own_files: usize,
}

/// What a checkpoint takes out of the state: to be written, or put back.
struct Taken {
    hashes: HashSet<BlobHash>,
    own: HashSet<Arc<Path>>,
    news: News,
    unsynced: Vec<(BlobHash, os::Stamp, PathBuf)>,
}

impl Inner {
    fn take(&self) -> Taken {
        let mut state = self.state();
        let hashes = std::mem::take(&mut state.dirty);
        let own = std::mem::take(&mut state.dirty_own);
        let mut taken = Taken { hashes, own, news: News::default(), unsynced: Vec::new() };
        for hash in &taken.hashes {
            let blob = state.blobs.get(hash);
            if let Some(blob) = blob.filter(|blob| !blob.synced) {
                taken.unsynced.push((*hash, blob.stamp, self.blob_path(hash, blob.ext)));
            }
            let row = blob.map(|blob| BlobRow { stamp: blob.stamp, used: blob.used });
            taken.news.blobs.push((*hash, row));
            if !state.knows(hash) {
                taken.news.trees.push((*hash, None));
            }
        }
        taken.news.own = taken.own.iter().map(|path| (path.clone(), state.own.get(path).copied())).collect();
        taken.news.trees.extend(state.trees.iter().map(|(hash, tree)| (*hash, Some(tree.clone()))));
        taken
    }

    fn put_back(&self, taken: Taken) {
        let mut state = self.state();
        state.dirty.extend(taken.hashes);
        state.dirty_own.extend(taken.own);
    }

    fn settle(state: &mut State, taken: &Taken) {
        for (hash, stamp, _) in &taken.unsynced {
            if let Some(blob) = state.blobs.get_mut(hash)
                && blob.stamp == *stamp
            {
                blob.synced = true;
            }
        }
        for (hash, tree) in &taken.news.trees {
            let written = |kept: &Arc<_>| tree.as_ref().is_some_and(|tree| Arc::ptr_eq(kept, tree));
            if state.trees.get(hash).is_some_and(written) {
                state.trees.remove(hash);
            }
        }
    }

    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        let mut complaint = lock(&self.checkpoint);
        // What is not safe yet stays marked so; files that are away must not pass for synced.
        if self.stand().is_err() {
            return Ok(());
        }
        for partial in self.open_partials() {
            partial.save_now();
        }
        self.trim()?;
        self.tidy_origins();
        if !self.index.is_usable() {
            self.index_behind.store(true, Ordering::Relaxed);
        }
        let revived = match self.index_behind.load(Ordering::Relaxed) {
            true => self.revive_index(),
            false => Ok(()),
        };
        let written = revived.and_then(|()| {
            self.index_behind.store(false, Ordering::Relaxed);
            let taken = self.take();
            if taken.hashes.is_empty() && taken.own.is_empty() && taken.news.trees.is_empty() {
                self.state().shrink();
                self.index.rest();
                return Ok(Ok(()));
            }
            let files: Vec<_> = taken.unsynced.iter().map(|(_, _, path)| path.clone()).collect();
            if let Err(error) = os::sync_files(&self.here().blobs, &files) {
                self.put_back(taken);
                return Ok(Err(StoreError::at(&self.here().blobs, error)));
            }
            let result = self.index.write(&taken.news);
            match &result {
                Ok(()) => Self::settle(&mut self.state(), &taken),
                Err(_) => self.put_back(taken),
            }
            result.map(Ok)
        });
        match written {
            Ok(result) => {
                if result.is_ok() && std::mem::take(&mut complaint.made) {
                    tracing::info!("the index is in order again");
                }
                result
            }
            Err(error) => {
                if !std::mem::replace(&mut complaint.made, true) {
                    let index = self.dir.join("index");
                    tracing::warn!(
                        "the index in {} cannot be written ({error}): the cache goes on without it; see whose its files are, or remove it",
                        index.display()
                    );
                }
                Ok(())
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the last checkpoint failed; the next start will look into the newest files");
        }
        let _ = std::fs::remove_dir(&self.here().new);
    }
}

impl Store {
    /// Makes everything that was put so far survive a loss of power, saves the progress of partials, and brings the cache
    /// back under its limit. To be called every few seconds while there is traffic: a start hashes what came after the
    /// last one. One that finds nothing to do costs next to nothing and lets the index rest, which gives its memory back:
    /// so once more after the last traffic. An index that cannot be written is no error: the log is told once, and every
    /// checkpoint tries to mend it. While the disk with the cache is away nothing is done.
    ///
    /// # Errors
    /// Blobs that cannot be synced or evicted.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.0.checkpoint()
    }

    pub fn stats(&self) -> Stats {
        let away = self.stands().is_err();
        let (dir, disk) = (self.0.here().dir.clone(), self.disk().filter(|_| !away));
        let state = self.0.state();
        Stats {
            dir,
            disk,
            away,
            bytes: state.bytes,
            files: state.blobs.len(),
            limit: self.0.config.cache_limit,
            pinned: state.pinned_blobs(),
            partials: state.parts.len(),
            own_files: state.own.len(),
        }
    }
}
