//! The store: blobs as ordinary files, the player's own files in place, and an index beside them. Blocking, cheap to
//! clone, called from pumps through `spawn_blocking`. Who wants which blob, and who may have it, is decided elsewhere.
//!
//! ```text
//! blobs/<hex>.<ext>            complete and right, always; its name is given once and never again while it is there
//! partial/<hex>.<ext>.part     a blob of several chunks on its way; .have beside it says which chunks are there
//! partial/new.<time>/<n>.tmp   a file before it has its name, in a folder of this process; gone after a start
//! index/                       sled: what spares the start a pass over all bytes; index.lock is held by its user
//! ```
//!
//! The order of a write: bytes into a file in `partial/` → rename into `blobs/` → memory → (at a checkpoint) sync of the
//! files → row in the index → sync of the index. So a row says "these bytes were safe", with the size and time by which
//! it knows them, and needs no flag: a file without its row, after a kill or a loss of power, is hashed at the next
//! start, and then it is kept or removed. `blobs/` is the truth, memory its picture, the index a hint.
//!
//! Whoever gives or takes a name in `blobs/` or `partial/` holds that name's stripe of `names`; the lock on the state
//! is inside it, and never held during IO.

mod blobs;
mod care;
mod error;
mod evict;
mod index;
mod name;
mod os;
mod own;
mod partial;
mod reader;
mod recover;
mod state;
#[cfg(test)]
mod tests;

pub use blobs::Pin;
pub use care::{Stats, Verified};
pub use error::{ReadError, StoreError};
pub use evict::Evicted;
pub use index::IndexHealth;
pub use own::Source;
pub use partial::{Partial, Progress};
pub use reader::BlobReader;
pub use recover::Opened;

use fyteclub_proto::{chunk_tree::ChunkTree, id::BlobHash};
use index::Index;
use name::Ext;
use state::State;
use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

#[derive(Debug, Clone, Copy)]
pub struct StoreConfig {
    /// Bytes that blobs and partials may take; the player's own files do not count.
    pub cache_limit: u64,
}

/// A handle; clones share everything. The last one to go writes a checkpoint.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    blobs_dir: PathBuf,
    partial_dir: PathBuf,
    /// This process's own folder for temps.
    new_dir: PathBuf,
    new_dir_made: AtomicBool,
    cache_limit: u64,
    state: Mutex<State>,
    names: [Mutex<()>; 64],
    index: Index,
    /// Held for the length of a checkpoint; says whether the log knows that the index is out of order.
    checkpoint: Mutex<care::Complaint>,
    /// Set while the index lacks more than the state's dirty rows.
    index_behind: AtomicBool,
    recent_trees: Mutex<VecDeque<Arc<ChunkTree>>>,
    temps: AtomicU64,
    _lock: fs::File,
}

/// Trees of large blobs that are kept at hand: as many as are likely to be served at once, 38 KiB each at the most.
const RECENT_TREES: usize = 16;

/// A panic while a lock was held leaves nothing half-done that memory safety or the files depend on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Exclusive right to give or take the names of this blob's files.
    fn name(&self, hash: &BlobHash) -> MutexGuard<'_, ()> {
        lock(&self.names[usize::from(hash.as_bytes()[0]) % self.names.len()])
    }

    fn blob_path(&self, hash: &BlobHash, ext: Ext) -> PathBuf {
        self.blobs_dir.join(name::blob_name(hash, ext))
    }

    /// # Errors
    /// The folder for temps, which is made at the first need, cannot be made.
    fn temp_path(&self) -> Result<PathBuf, StoreError> {
        let n = self.temps.fetch_add(1, Ordering::Relaxed);
        if !self.new_dir_made.load(Ordering::Acquire) {
            match fs::create_dir(&self.new_dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(StoreError::at(&self.new_dir, error));
                }
                _ => self.new_dir_made.store(true, Ordering::Release),
            }
        }
        Ok(self.new_dir.join(format!("{n}.tmp")))
    }

    /// The tree of a blob from wherever it is kept; `None` when it was lost and has to be built from the bytes.
    fn kept_tree(&self, hash: BlobHash, size: u64) -> Option<Arc<ChunkTree>> {
        if let Some(single) = ChunkTree::single(hash, size) {
            return Some(Arc::new(single));
        }
        let waiting = self.state().trees.get(&hash).cloned();
        let recent = || lock(&self.recent_trees).iter().find(|tree| tree.hash() == hash).cloned();
        waiting.or_else(recent).filter(|tree| tree.size() == size).or_else(|| {
            let tree = Arc::new(ChunkTree::prove(hash, size, &self.index.tree(&hash)?).ok()?);
            self.remember_tree(&tree);
            Some(tree)
        })
    }

    fn remember_tree(&self, tree: &Arc<ChunkTree>) {
        let mut recent = lock(&self.recent_trees);
        recent.retain(|other| other.hash() != tree.hash());
        recent.push_front(tree.clone());
        recent.truncate(RECENT_TREES);
    }

    /// Has the next checkpoint write the tree, as long as its blob is known.
    fn keep_tree(&self, tree: Arc<ChunkTree>) {
        let mut state = self.state();
        if tree.chunks() > 1 && state.knows(&tree.hash()) {
            state.trees.insert(tree.hash(), tree);
        }
    }
}

impl Store {
    /// Makes the folders, reads the index and looks at every file, not into it: only files that the index does not
    /// vouch for are hashed. `dir` belongs to this process alone.
    ///
    /// # Errors
    /// Folders that cannot be made or read, or an index that another process has open. A damaged index is no error.
    pub fn open(dir: &Path, config: StoreConfig) -> Result<(Self, Opened), StoreError> {
        recover::open(dir, config)
    }

    /// Whether the blob is here whole and could be served now. Looks at own files on the disk, at cached ones not.
    pub fn contains(&self, hash: &BlobHash) -> bool {
        self.path(hash).is_some()
    }

    /// The file with this content, cached or the player's own, for the game to open. It stays as long as the blob is
    /// pinned.
    pub fn path(&self, hash: &BlobHash) -> Option<PathBuf> {
        let cached = self.0.state().blobs.get(hash).map(|blob| blob.ext);
        match cached {
            Some(ext) => Some(self.0.blob_path(hash, ext)),
            None => self.0.unchanged_own_path(hash),
        }
    }

    /// Says that these blobs were used now, so that others are evicted first.
    pub fn touch(&self, hashes: &[BlobHash]) {
        let mut state = self.0.state();
        hashes.iter().for_each(|hash| state.touch(hash));
    }

    /// A fresh path on the cache's own disk, for a file that [`Store::import`] will take. What is still there at the
    /// next start is removed.
    ///
    /// # Errors
    /// A full disk.
    pub fn scratch_path(&self) -> Result<PathBuf, StoreError> {
        self.0.temp_path()
    }
}
