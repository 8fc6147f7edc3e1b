//! Complete blobs: how they get their names, and how they keep them while somebody needs them.

use super::{
    Inner, Store,
    error::StoreError,
    free::{free, remove},
    name::Ext,
    origin::BlobOwners,
    os,
    os::Stamp,
    state::{Blob, Obstacle},
    trust::is_as_left,
};
use fyteclub_proto::{
    blob::Content,
    chunk_tree::{ChunkTree, VerifiedChunk},
    id::BlobHash,
    limit::{CHUNK_SIZE, FILE_SIZE_MAX},
};
use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

/// Keeps blobs from being evicted, whether they are here already or still on their way. Released when dropped.
pub struct Pin {
    store: Store,
    hashes: Box<[BlobHash]>,
}

impl Pin {
    pub fn holds(&self, hash: &BlobHash) -> bool {
        self.hashes.contains(hash)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.store.0.state();
        self.hashes.iter().for_each(|hash| state.unpin(hash));
    }
}

impl Inner {
    /// Gives the complete and verified file `temp` its name in `blobs/`. When the blob is there already, `temp` goes.
    ///
    /// Another's file or folder in its place goes; where it cannot, the blob gets its name with another ending.
    ///
    /// # Errors
    /// `Missing` when `temp` is; `Undeletable` when neither name can be had; `NotWritable`.
    pub(super) fn place(&self, hash: BlobHash, ext: Ext, temp: &Path) -> Result<(), StoreError> {
        let stamp = fs::metadata(temp).map(|m| Stamp::of_cached(&m)).map_err(|e| StoreError::at(temp, e))?;
        if stamp.size > FILE_SIZE_MAX {
            return Err(StoreError::Foreign { hash });
        }
        let _name = self.name(&hash);
        let known = self.state().blobs.get(&hash).copied();
        if let Some(known) = known {
            if is_as_left(&self.blob_path(&hash, known.ext), &known).unwrap_or(false) {
                return remove(temp);
            }
            // Another's file, or none: these bytes are the proven ones.
            if known.ext != ext {
                self.free_name(&hash, known.ext);
            }
        }
        let (ext, stamp) = match self.give_name(&self.blob_path(&hash, ext), temp, stamp) {
            Err(StoreError::Undeletable { path, source }) => {
                self.found_obstacle(hash, ext, &source);
                let other = ext.other();
                let given = self.give_name(&self.blob_path(&hash, other), temp, stamp);
                (other, given.map_err(|_| StoreError::Undeletable { path, source })?)
            }
            given => (ext, given?),
        };
        let mut state = self.state();
        state.lost_obstacle(&hash, ext);
        drop(state);
        self.placed(hash, ext, stamp);
        Ok(())
    }

    /// Renames `temp` to `path`, where nothing of the store's is, and tells the stamp of the file there.
    fn give_name(&self, path: &Path, temp: &Path, mut stamp: Stamp) -> Result<Stamp, StoreError> {
        let mut renamed = os::rename(temp, path);
        let failed = |renamed: &io::Result<()>, kind| renamed.as_ref().is_err_and(|e| e.kind() == kind);
        if failed(&renamed, io::ErrorKind::NotFound) {
            self.stand()?.make_again()?;
            renamed = os::rename(temp, path);
        }
        let mut from = temp.to_owned();
        if failed(&renamed, io::ErrorKind::CrossesDevices) {
            // The cache was moved to another disk since the file was begun.
            from = self.temp_path()?;
            let copied = fs::copy(temp, &from).and_then(|_| fs::metadata(&from));
            stamp = copied.map(|m| Stamp::of_cached(&m)).map_err(|error| StoreError::at(&from, error))?;
            renamed = os::rename(&from, path);
        }
        if let Err(error) = renamed {
            // On some systems another's file has to go first, on all of them a folder.
            let in_the_way = path.symlink_metadata().is_ok();
            if !in_the_way || free(path).and_then(|_| os::rename(&from, path)).is_err() {
                if from != temp {
                    remove(&from).ok();
                }
                return Err(match in_the_way {
                    true => StoreError::Undeletable { path: path.to_owned(), source: error },
                    false => StoreError::writing(path, error),
                });
            }
        }
        if from != temp {
            remove(temp).ok();
        }
        Ok(stamp.renamed(path))
    }

    /// Takes away what has this name, which no blob has. What stays is an obstacle; `false` then.
    pub(super) fn free_name(&self, hash: &BlobHash, ext: Ext) -> bool {
        match free(&self.blob_path(hash, ext)) {
            Ok(_) => {
                self.state().lost_obstacle(hash, ext);
                true
            }
            Err(error) => {
                self.found_obstacle(*hash, ext, &error);
                false
            }
        }
    }

    /// Remembers what is in a blob's way. The log is told once.
    pub(super) fn found_obstacle(&self, hash: BlobHash, ext: Ext, cause: &io::Error) {
        let obstacle = Obstacle { hash, path: self.blob_path(&hash, ext), cause: cause.to_string() };
        let told = format!("{} is in the way of a cached file and stays ({cause})", obstacle.path.display());
        if self.state().found_obstacle(ext, obstacle) {
            tracing::warn!("{told}: remove it, or run fyteclubctl cache move DIR");
        }
    }

    /// Makes a file that has its name known. The caller holds the name's stripe.
    pub(super) fn placed(&self, hash: BlobHash, ext: Ext, stamp: Stamp) {
        let mut state = self.state();
        let used = state.tick();
        let content = Content { hash, size: stamp.size };
        let left =
            state.parts.get(&content).filter(|part| part.open.strong_count() == 0).map(|part| part.ext);
        let owners = BlobOwners::default();
        state.insert_blob(hash, Blob { used, stamp, ext, synced: false, owners });
        drop(state);
        if let Some(ext) = left {
            let _ = self.here().remove_part(&content, ext);
        }
    }

    /// Evicts: takes the blob's name away and forgets it, unless `still` says that it may not go any more.
    ///
    /// # Errors
    /// `Undeletable`: on Windows the game may hold it open. It is still known then.
    pub(super) fn remove_blob(
        &self,
        hash: &BlobHash,
        still: impl FnOnce(&super::State) -> bool,
    ) -> Result<bool, StoreError> {
        let _name = self.name(hash);
        let Some(forgotten) = self.forget(hash, still) else { return Ok(false) };
        let path = self.blob_path(hash, forgotten.0.ext);
        let result = match free(&path) {
            Ok(true) => Ok(()),
            // Or its disk is away, and it with it.
            Ok(false) => self.stand().map(drop),
            Err(source) => Err(StoreError::Undeletable { path, source }),
        };
        if result.is_err() {
            self.remember(*hash, forgotten);
        }
        result.map(|()| true)
    }

    /// Forgets a blob whose file is not what it was, and takes the file away; what stays is an obstacle. Whether it is
    /// forgotten: not where `still` says no, nor where the disk is away.
    pub(super) fn drop_wrong(&self, hash: &BlobHash, still: impl FnOnce(&super::State) -> bool) -> bool {
        let _name = self.name(hash);
        let Some(forgotten) = self.forget(hash, still) else { return false };
        let path = self.blob_path(hash, forgotten.0.ext);
        let gone = path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if gone && self.stand().is_err() {
            self.remember(*hash, forgotten);
            return false;
        }
        self.free_name(hash, forgotten.0.ext);
        true
    }

    /// Forgets a blob whose file cannot be read. The file stays until the blob comes again.
    pub(super) fn drop_unreadable(
        &self,
        hash: &BlobHash,
        still: impl FnOnce(&super::State) -> bool,
        cause: &io::Error,
    ) {
        let _name = self.name(hash);
        if let Some((blob, _)) = self.forget(hash, still) {
            self.found_obstacle(*hash, blob.ext, cause);
        }
    }

    /// The caller holds the name's stripe.
    fn forget(
        &self,
        hash: &BlobHash,
        still: impl FnOnce(&super::State) -> bool,
    ) -> Option<(Blob, Option<Arc<ChunkTree>>)> {
        let mut state = self.state();
        still(&state).then_some(())?;
        let tree = state.trees.get(hash).cloned();
        Some((state.remove_blob(hash)?, tree))
    }

    fn remember(&self, hash: BlobHash, (blob, tree): (Blob, Option<Arc<ChunkTree>>)) {
        let mut state = self.state();
        state.insert_blob(hash, blob);
        state.trees.extend(tree.map(|tree| (hash, tree)));
    }

    fn put_one(&self, chunk: VerifiedChunk<'_>, ext: &str) -> Result<(), StoreError> {
        let (hash, bytes) = (chunk.hash(), chunk.bytes());
        if self.cached(&hash)?.is_some() {
            self.state().touch(&hash);
            return Ok(());
        }
        // The first chunk of a longer blob is a whole chunk: only then must the hash be asked.
        let whole = chunk.index() == 0 && (bytes.len() < CHUNK_SIZE || BlobHash::of(bytes) == hash);
        if !whole {
            return Err(StoreError::Foreign { hash });
        }
        self.note_use();
        self.again_if_lost(|| {
            let (temp, mut file) = self.create_temp()?;
            let written = file.write_all(bytes);
            drop(file);
            let placed = written
                .map_err(|e| StoreError::at(&temp, e))
                .and_then(|()| self.place(hash, Ext::new(ext), &temp));
            if placed.is_err() {
                let _ = fs::remove_file(&temp);
            }
            placed
        })
    }
}

impl Store {
    /// Takes a blob that is one chunk. Once this returns it is served and survives the death of the process; the death
    /// of the machine after the next checkpoint.
    ///
    /// # Errors
    /// A full disk, one that is away, or a chunk that is not its whole blob.
    pub fn put(&self, chunk: VerifiedChunk<'_>, ext: &str) -> Result<(), StoreError> {
        self.0.put_one(chunk, ext)
    }

    /// As [`Store::put`], in order. After an error those before the failed one are in.
    pub fn put_many(&self, chunks: &[(VerifiedChunk<'_>, &str)]) -> Result<(), StoreError> {
        chunks.iter().try_for_each(|(chunk, ext)| self.0.put_one(*chunk, ext))
    }

    /// Until the pin is dropped none of these is evicted, nor loses what it has so far.
    pub fn pin(&self, hashes: impl IntoIterator<Item = BlobHash>) -> Pin {
        let hashes: Box<[_]> = hashes.into_iter().collect();
        let mut state = self.0.state();
        hashes.iter().for_each(|hash| state.pin(*hash));
        drop(state);
        Pin { store: self.clone(), hashes }
    }
}
