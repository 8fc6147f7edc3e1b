//! Where the cache's files are: the place, which a move changes, whether its disk is there, and the locks on names.

use super::{error::StoreError, name::Ext, place::Place, sync::lock};
use fyteclub_proto::id::BlobHash;
use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// How often work is tried whose folders or files vanish under it.
pub(crate) const TRIES: u32 = 3;

pub(crate) struct Site {
    place: Mutex<Arc<Place>>,
    names: [Mutex<()>; 64],
    /// How often files may have been away from their names for a while; counted before the names are free again.
    moves: AtomicU64,
    temps: AtomicU64,
    /// Whether the log was told last that the cache's disk is away.
    away: AtomicBool,
}

impl Site {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place: Mutex::new(Arc::new(place)),
            names: [const { Mutex::new(()) }; 64],
            moves: AtomicU64::new(0),
            temps: AtomicU64::new(0),
            away: AtomicBool::new(false),
        }
    }

    pub(crate) fn names_of(&self, hash: &BlobHash) -> &Mutex<()> {
        &self.names[usize::from(hash.as_bytes()[0]) % self.names.len()]
    }

    /// Exclusive right to give or take the names of this blob's files.
    pub(crate) fn name(&self, hash: &BlobHash) -> MutexGuard<'_, ()> {
        lock(self.names_of(hash))
    }

    /// Where the files are now. It stays so while a name's stripe is held.
    pub(crate) fn here(&self) -> Arc<Place> {
        lock(&self.place).clone()
    }

    /// As [`Site::name`], of every name at once.
    pub(crate) fn all_names(&self) -> Vec<MutexGuard<'_, ()>> {
        self.names.iter().map(lock).collect()
    }

    /// How often files may have been away from their names.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// Counts one more time. The caller still holds all names.
    pub(crate) fn count_move(&self) {
        self.moves.fetch_add(1, Ordering::Release);
    }

    /// From here on the files are there. The caller holds all names.
    pub(crate) fn switch(&self, place: Arc<Place>) {
        *lock(&self.place) = place;
    }

    pub(crate) fn blob_path(&self, hash: &BlobHash, ext: Ext) -> PathBuf {
        self.here().blob_path(hash, ext)
    }

    /// A fresh path for a file that has no name in `blobs/` yet, in a folder that is there.
    pub(crate) fn temp_path(&self) -> Result<PathBuf, StoreError> {
        let here = self.here();
        if !here.new.is_dir() {
            self.stand()?.make_again()?;
        }
        Ok(self.here().temp_path(self.temps.fetch_add(1, Ordering::Relaxed)))
    }

    /// A fresh file that has no name in `blobs/` yet.
    pub(crate) fn create_temp(&self) -> Result<(PathBuf, fs::File), StoreError> {
        let create = || {
            let path = self.here().temp_path(self.temps.fetch_add(1, Ordering::Relaxed));
            let file = fs::File::create_new(&path).map_err(|error| StoreError::writing(&path, error));
            file.map(|file| (path, file))
        };
        // The folder is not made yet, went with a move, or was removed by another program.
        self.again_if_lost(create)
    }

    /// Where the files are, if their disk is there. Costs two looks at folders, and tells the log once what has
    /// changed.
    ///
    /// # Errors
    /// `Away`.
    pub(crate) fn stand(&self) -> Result<Arc<Place>, StoreError> {
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
    pub(crate) fn again_if_lost<T>(
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
}
