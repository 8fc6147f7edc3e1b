//! Checkpoints: sync the files that came since the last one, and write their rows to the index.

use super::{
    error::StoreError,
    evict,
    index::{BlobRow, IndexError, News},
    inner::Inner,
    origin, os, partial,
    state::State,
    sync::lock,
};
use fyteclub_files::trouble;
use fyteclub_proto::id::BlobHash;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a checkpoint takes out of the state: to be written, or put back.
struct Taken {
    hashes: HashSet<BlobHash>,
    own: HashSet<Arc<Path>>,
    news: News,
    unsynced: Vec<(BlobHash, os::Stamp, PathBuf)>,
}

fn take(inner: &Inner) -> Taken {
    let mut state = inner.state();
    let hashes = std::mem::take(&mut state.dirty);
    let own = std::mem::take(&mut state.dirty_own);
    let mut taken = Taken { hashes, own, news: News::default(), unsynced: Vec::new() };
    for hash in &taken.hashes {
        let blob = state.blobs.get(hash);
        if let Some(blob) = blob.filter(|blob| !blob.synced) {
            taken.unsynced.push((*hash, blob.stamp, inner.site.blob_path(hash, blob.ext)));
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

fn put_back(inner: &Inner, taken: Taken) {
    let mut state = inner.state();
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

pub(super) fn checkpoint(inner: &Inner) -> Result<(), StoreError> {
    let mut trouble = lock(&inner.checkpoint);
    // What is not safe yet stays marked so; files that are away must not pass for synced.
    if inner.site.stand().is_err() {
        return Ok(());
    }
    for partial in partial::open_partials(inner) {
        partial.save_now();
    }
    evict::trim(inner)?;
    origin::tidy_origins(inner);
    if !inner.index.is_usable() {
        trouble.behind = true;
    }
    let revived = if trouble.behind { revive_index(inner) } else { Ok(()) };
    let written = revived.and_then(|()| {
        trouble.behind = false;
        let taken = take(inner);
        if taken.hashes.is_empty() && taken.own.is_empty() && taken.news.trees.is_empty() {
            inner.state().shrink();
            inner.index.rest();
            return Ok(Ok(()));
        }
        let files: Vec<_> = taken.unsynced.iter().map(|(_, _, path)| path.clone()).collect();
        if let Err(error) = os::sync_files(&inner.site.here().blobs, &files) {
            put_back(inner, taken);
            return Ok(Err(StoreError::at(&inner.site.here().blobs, error)));
        }
        let result = inner.index.write(&taken.news);
        match &result {
            Ok(()) => settle(&mut inner.state(), &taken),
            Err(_) => put_back(inner, taken),
        }
        result.map(Ok)
    });
    match written {
        Ok(result) => {
            if result.is_ok() && std::mem::take(&mut trouble.told) {
                tracing::info!("the index is in order again");
            }
            result
        }
        Err(error) => {
            if !std::mem::replace(&mut trouble.told, true) {
                tell_index_trouble(&inner.dir, &error.to_string());
            }
            Ok(())
        }
    }
}

/// Tells the log that the index cannot be used, whose its files are, and what to do.
pub(super) fn tell_index_trouble(dir: &Path, why: &str) {
    let index = dir.join("index");
    let shown = index.display();
    let advice = trouble::of_another_within(dir, &index)
        .map_or_else(|| format!("remove {shown}, and it is made again"), |whose| whose.to_string());
    tracing::warn!(
        "the index in {shown} cannot be used ({why}): the cache goes on without it, and each start reads all files; {advice}"
    );
}

/// Opens the index anew after it failed, and has every row written again.
pub(super) fn revive_index(inner: &Inner) -> Result<(), IndexError> {
    let (rows, _) = inner.index.reopen()?;
    let mut state = inner.state();
    state.all_dirty();
    // Rows of what has gone since are dirty too, and deleted.
    state.dirty.extend(rows.blobs.into_iter().map(|(hash, _)| hash));
    let gone: Vec<Arc<Path>> = rows.own.into_iter().map(|(path, _)| path.into()).collect();
    state.dirty_own.extend(gone);
    Ok(())
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = checkpoint(self) {
            tracing::warn!(%error, "the last checkpoint failed; the next start will look into the newest files");
        }
        std::fs::remove_dir(&self.site.here().new).ok();
    }
}
