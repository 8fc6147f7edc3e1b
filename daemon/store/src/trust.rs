//! What is remembered is believed only after a look: whether the cache's disk is there, and whether a file still is as the
//! store left it, by its stamp: size, times and inode. A file that is not is read: it is trusted anew, or dropped. What the
//! store itself does to a file, a rename or a link, changes its stamp too, and is noted.

use super::{Inner, Store, error::StoreError, os::Stamp, place::Place, state::Blob};
use fyteclub_proto::id::BlobHash;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

/// How often work is tried whose folders or files vanish under it.
const TRIES: u32 = 3;

impl Inner {
    /// Where the files are, if their disk is there. Costs two looks at folders, and tells the log once what has changed.
    ///
    /// # Errors
    /// `Away`.
    pub(super) fn stand(&self) -> Result<Arc<Place>, StoreError> {
        loop {
            let here = self.here();
            if here.stands() {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the disk with the cache is back: {}", here.dir.display());
                }
                return Ok(here);
            }
            // The old folder goes with a move.
            if Arc::ptr_eq(&here, &self.here()) {
                let away = StoreError::Away { dir: here.dir.clone() };
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!("{away}");
                }
                return Err(away);
            }
        }
    }

    /// Tries again when a folder or file of the store has vanished; before that the folders are made again.
    pub(super) fn again_if_lost<T>(
        &self,
        mut work: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 1..TRIES {
            match work() {
                Err(error) if error.is_lost() => self.stand()?.make_again()?,
                result => return result,
            }
        }
        work()
    }

    /// The cached file of this blob, if it is as the store left it. What is not is dropped.
    ///
    /// # Errors
    /// `Away`; a file that cannot be looked at; one that changes while it is looked at.
    pub(super) fn cached(&self, hash: &BlobHash) -> Result<Option<(PathBuf, Blob)>, StoreError> {
        let mut path = PathBuf::new();
        for _ in 0..TRIES {
            let Some(blob) = self.state().blobs.get(hash).copied() else { return Ok(None) };
            path = self.blob_path(hash, blob.ext);
            if is_as_left(&path, &blob)? {
                return Ok(Some((path, blob)));
            }
            if let Some(proven) = self.recheck(hash)? {
                return Ok(Some((path, proven)));
            }
        }
        Err(StoreError::Changing { path })
    }

    /// The cached file, or one of the player's own with the same content.
    fn find(&self, hash: &BlobHash) -> Result<Option<PathBuf>, StoreError> {
        match self.cached(hash)? {
            Some((path, _)) => Ok(Some(path)),
            None => Ok(self.unchanged_own_path(hash)),
        }
    }
}

/// `false` also when there is no file.
pub(super) fn is_as_left(path: &Path, blob: &Blob) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.is_file() && blob.stamp == Stamp::of_cached(&found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(StoreError::at(path, error)),
    }
}

impl Store {
    /// The file with this content, cached or the player's own, for the game to open: it is there, and as the store left
    /// it. It stays as long as the blob is pinned. Costs a look at the file, some 2 µs; one that somebody touched is read.
    ///
    /// # Errors
    /// A disk that is away, or a file that cannot be looked at: then nobody knows whether the blob is here.
    pub fn find(&self, hash: &BlobHash) -> Result<Option<PathBuf>, StoreError> {
        self.0.find(hash)
    }

    /// Whether the cache had this blob when somebody looked last.
    pub fn remembers(&self, hash: &BlobHash) -> bool {
        self.0.state().blobs.contains_key(hash)
    }

    /// As [`Store::find`]; `None` also when it fails.
    pub fn path(&self, hash: &BlobHash) -> Option<PathBuf> {
        self.0.find(hash).ok().flatten()
    }

    /// Whether the blob is here whole and could be served now, by a look at its file.
    pub fn contains(&self, hash: &BlobHash) -> bool {
        self.path(hash).is_some()
    }

    /// # Errors
    /// `Away`, when the disk with the cache is.
    pub fn stands(&self) -> Result<(), StoreError> {
        self.0.stand().map(drop)
    }
}
