//! Complete blobs: how they get their names, and how they keep them while somebody needs them.

use super::{
    Inner, Store, error::StoreError, name::Ext, origin::BlobOwners, os, os::Stamp, state::Blob,
    trust::is_as_left,
};
use fyteclub_proto::{
    blob::Content,
    chunk_tree::VerifiedChunk,
    id::BlobHash,
    limit::{CHUNK_SIZE, FILE_SIZE_MAX},
};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
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
    /// # Errors
    /// `Missing` when `temp` is.
    pub(super) fn place(&self, hash: BlobHash, ext: Ext, temp: &Path) -> Result<(), StoreError> {
        let stamp = fs::metadata(temp).map(|m| Stamp::of(&m)).map_err(|e| StoreError::at(temp, e))?;
        let size = u32::try_from(stamp.size).map_err(|_| StoreError::Foreign { hash })?;
        let _name = self.name(&hash);
        let known = self.state().blobs.get(&hash).copied();
        if let Some(known) = known {
            if is_as_left(&self.blob_path(&hash, known.ext), &known)? {
                remove(temp)?;
                return Ok(());
            }
            // Another's file, or none: these bytes are the proven ones.
            if known.ext != ext {
                remove(&self.blob_path(&hash, known.ext))?;
            }
        }
        let mut path = self.blob_path(&hash, ext);
        let mut renamed = fs::rename(temp, &path);
        if renamed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            self.stand()?.make_again()?;
            path = self.blob_path(&hash, ext);
            renamed = fs::rename(temp, &path);
        }
        if let Err(error) = renamed {
            if error.kind() == io::ErrorKind::CrossesDevices {
                // The cache was moved to another disk since the file was begun.
                let here = self.temp_path()?;
                let copied = fs::copy(temp, &here).and_then(|_| fs::metadata(&here));
                let stamp = copied.map(|m| Stamp::of(&m)).map_err(|error| StoreError::at(&here, error))?;
                fs::rename(&here, &path).map_err(|error| StoreError::at(&path, error))?;
                remove(temp)?;
                self.placed(hash, ext, stamp, size);
                return Ok(());
            }
            // A stranger's file in our place, which on some systems has to go first. Nothing of ours has this name.
            let in_the_way = path.symlink_metadata().is_ok_and(|there| !there.is_dir());
            let gone = in_the_way && fs::remove_file(&path).is_ok();
            if !gone || fs::rename(temp, &path).is_err() {
                return Err(StoreError::at(&path, error));
            }
        }
        self.placed(hash, ext, stamp, size);
        Ok(())
    }

    /// Makes a file that has its name known. The caller holds the name's stripe.
    fn placed(&self, hash: BlobHash, ext: Ext, stamp: Stamp, size: u32) {
        let mut state = self.state();
        let used = state.tick();
        let content = Content { hash, size: u64::from(size) };
        let left =
            state.parts.get(&content).filter(|part| part.open.strong_count() == 0).map(|part| part.ext);
        let owners = BlobOwners::default();
        state.insert_blob(hash, Blob { used, mtime_ns: stamp.mtime_ns, size, ext, synced: false, owners });
        drop(state);
        if let Some(ext) = left {
            let _ = self.here().remove_part(&content, ext);
        }
    }

    /// Takes the blob's name away and then forgets it, unless `still` says that it may not go any more.
    pub(super) fn remove_blob(
        &self,
        hash: &BlobHash,
        still: impl FnOnce(&super::State) -> bool,
    ) -> Result<bool, StoreError> {
        let _name = self.name(hash);
        let mut state = self.state();
        if !still(&state) {
            return Ok(false);
        }
        let tree = state.trees.get(hash).cloned();
        let Some(blob) = state.remove_blob(hash) else { return Ok(false) };
        drop(state);
        let path = self.blob_path(hash, blob.ext);
        let result = match fs::remove_file(&path) {
            // Or its disk is away, and it with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.stand().map(drop),
            result => result.map_err(|error| StoreError::at(&path, error)),
        };
        if result.is_err() {
            // On Windows the game may hold it open: it is still there, and still right.
            let mut state = self.state();
            state.insert_blob(*hash, blob);
            state.trees.extend(tree.map(|tree| (*hash, tree)));
        }
        result.map(|()| true)
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

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::at(path, error)),
        _ => Ok(()),
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

/// Opens a file in `blobs/` and tells its size and time.
pub(super) fn open_blob_file(path: &Path) -> Result<(File, Stamp), StoreError> {
    let (file, stamp) = os::open_regular(path)?;
    if stamp.size > FILE_SIZE_MAX {
        return Err(StoreError::FileTooLarge { path: path.to_owned(), size: stamp.size });
    }
    Ok((file, stamp))
}
