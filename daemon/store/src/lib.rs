//! The store: blobs as ordinary files, the player's own files in place, and an index beside them. Blocking, cheap to
//! clone, called from pumps through `spawn_blocking`. Who wants which blob, and who may have it, is decided elsewhere.
//!
//! ```text
//! blobs/<hex>.<ext>            complete and right, always; its name is given once and never again while it is there
//! partial/<hex>.<size>.<ext>.part   a blob of several chunks on its way; .have beside it says which chunks are there
//! partial/new.<time>/<n>.tmp   a file before it has its name, in a folder of this process; gone after a start
//! origins                      which owner each cached blob came from
//! index/                       sled: what spares the start a pass over all bytes; index.lock is held by its user
//! cache.json                   where `blobs/` and `partial/` are, when they were moved away from beside it
//! checked                      how far the patrol is
//! ```
//!
//! The order of a write: bytes into a file in `partial/` → rename into `blobs/` → memory → (at a checkpoint) sync of the
//! files → row in the index → sync of the index. So a row says "these bytes were safe", with the size and time by which
//! it knows them, and needs no flag: a file without its row, after a kill or a loss of power, is hashed at the next
//! start, and then it is kept or removed. `blobs/` is the truth, memory its picture, the index a hint.
//!
//! Whoever gives or takes a name in `blobs/` or `partial/` holds that name's stripe of `names`; the lock on the state
//! is inside it, and never held during IO. Whoever moves the cache holds them all, for seconds if it must. The order is
//! checkpoint, partials, names, then place or state, and nobody who must not wait takes any of the first three: whoever
//! lets a partial go leaves a taken name to a thread.

mod blobs;
mod care;
mod check;
mod collect;
mod error;
mod evict;
mod free;
mod index;
mod moving;
mod name;
mod origin;
mod os;
mod own;
mod partial;
mod place;
mod prove;
mod reader;
mod recover;
pub mod room;
mod state;
#[cfg(test)]
mod tests;
mod trust;

pub use blobs::Pin;
pub use care::Stats;
pub use check::{Damage, Patrol, Verified};
pub use collect::{Collected, Wish};
pub use error::{ReadError, StoreError};
pub use evict::{Disk, Evicted};
pub use index::IndexHealth;
pub use moving::{MoveError, MoveProgress, Moved};
pub use own::Source;
pub use partial::{Partial, Progress};
pub use place::cache_dir;
pub use reader::BlobReader;
pub use recover::Opened;
pub use state::Obstacle;

use fyteclub_proto::{chunk_tree::ChunkTree, id::BlobHash};
use index::Index;
use name::Ext;
use origin::Origins;
use place::Place;
use state::State;
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

#[derive(Debug, Clone, Copy)]
pub struct StoreConfig {
    /// Bytes that blobs and partials may take; the player's own files do not count.
    pub cache_limit: u64,
    /// Bytes of the disk that stay free; `None`: [`MIN_FREE`] or a [`MIN_FREE_SHARE`]th of the disk, what is less.
    pub min_free: Option<u64>,
}

/// Below a GiB games and systems begin to fail in ways that nobody connects with this cache.
pub const MIN_FREE: u64 = 1 << 30;
/// On a small disk a GiB would be most of what is left: 2 % of it.
pub const MIN_FREE_SHARE: u64 = 50;

/// A handle; clones share everything. The last one to go writes a checkpoint.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// The data folder, in which the index lies.
    dir: PathBuf,
    place: Mutex<Arc<Place>>,
    config: StoreConfig,
    state: Mutex<State>,
    names: [Mutex<()>; 64],
    index: Index,
    origins: Origins,
    /// Held for the length of a checkpoint; says whether the log knows that the index is out of order.
    checkpoint: Mutex<care::Complaint>,
    /// Held by the one who moves the cache.
    moving: Mutex<()>,
    /// How often files may have been away from their names for a while; counted before the names are free again.
    moves: AtomicU64,
    /// Set while the index lacks more than the state's dirty rows.
    index_behind: AtomicBool,
    recent_trees: Mutex<VecDeque<Arc<ChunkTree>>>,
    temps: AtomicU64,
    /// Whether the log was told last that the cache's disk is away.
    away: AtomicBool,
    born: Instant,
    /// Milliseconds after `born` at which bytes were last taken or served.
    last_use: AtomicU64,
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

    fn names_of(&self, hash: &BlobHash) -> &Mutex<()> {
        &self.names[usize::from(hash.as_bytes()[0]) % self.names.len()]
    }

    /// Exclusive right to give or take the names of this blob's files.
    fn name(&self, hash: &BlobHash) -> MutexGuard<'_, ()> {
        lock(self.names_of(hash))
    }

    /// Where the files are now. Who holds a name's stripe may rely on it.
    fn here(&self) -> Arc<Place> {
        lock(&self.place).clone()
    }

    fn blob_path(&self, hash: &BlobHash, ext: Ext) -> PathBuf {
        self.here().blob_path(hash, ext)
    }

    /// A fresh path for a file that has no name in `blobs/` yet, in a folder that is there.
    fn temp_path(&self) -> Result<PathBuf, StoreError> {
        let here = self.here();
        if !here.new.is_dir() {
            self.stand()?.make_again()?;
        }
        Ok(self.here().temp_path(self.temps.fetch_add(1, Ordering::Relaxed)))
    }

    /// A fresh file that has no name in `blobs/` yet.
    fn create_temp(&self) -> Result<(PathBuf, fs::File), StoreError> {
        let create = || {
            let path = self.here().temp_path(self.temps.fetch_add(1, Ordering::Relaxed));
            let file = fs::File::create_new(&path).map_err(|error| StoreError::writing(&path, error));
            file.map(|file| (path, file))
        };
        // The folder is not made yet, went with a move, or was removed by somebody.
        self.again_if_lost(create)
    }

    fn note_use(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_use.store(now, Ordering::Relaxed);
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

    /// Says that these blobs were used now, so that others are evicted first.
    pub fn touch(&self, hashes: &[BlobHash]) {
        let mut state = self.0.state();
        hashes.iter().for_each(|hash| state.touch(hash));
    }

    /// Says that nobody has used these blobs yet, so that they are evicted first; until [`Store::touch`].
    pub fn unused(&self, hashes: &[BlobHash]) {
        let mut state = self.0.state();
        hashes.iter().for_each(|hash| state.unused(hash));
    }

    /// The folder with the index, which does not move.
    pub fn data_dir(&self) -> &Path {
        &self.0.dir
    }

    /// The folder with `blobs/` and `partial/`, as long as nobody moves it.
    pub fn dir(&self) -> PathBuf {
        self.0.here().dir.clone()
    }

    /// How long nobody took bytes from a peer or served any.
    pub fn idle_for(&self) -> Duration {
        let last = Duration::from_millis(self.0.last_use.load(Ordering::Relaxed));
        self.0.born.elapsed().saturating_sub(last)
    }

    /// A fresh path on the cache's own disk, for a file that [`Store::import`] will take. What is still there at the
    /// next start is removed.
    ///
    /// # Errors
    /// A full disk, or one that is away.
    pub fn scratch_path(&self) -> Result<PathBuf, StoreError> {
        self.0.temp_path()
    }
}
