//! The store's handle: what each operation promises. How it is done is in the other files.

use super::{
    checkpoint, collect,
    collect::{Collected, Wish},
    disk::{Disk, StoreConfig},
    error::{ReadError, StoreError},
    evict,
    evict::Evicted,
    inner::Inner,
    moving,
    moving::{MoveError, MoveProgress, Moved},
    origin, own,
    own::Source,
    partial,
    partial::Partial,
    pin,
    pin::Pin,
    put, reader,
    reader::BlobReader,
    recover,
    recover::Opened,
    scrub::Scrub,
    stats,
    stats::Stats,
    trust, verify,
    verify::Verified,
};
use fyteclub_proto::{
    blob::{Blob, Content},
    chunk_tree::VerifiedChunk,
    id::{BlobHash, PeerId},
};
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A handle; clones share everything. The last one to go writes a checkpoint.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

/// Opening, checkpoints and figures.
impl Store {
    /// Makes the folders, reads the index and looks at every file, not into it: only files that the index does not
    /// know as they are, are hashed. `dir` belongs to this process alone.
    ///
    /// # Errors
    /// Folders that cannot be made or read, or an index that another process has open. A damaged index is no error.
    pub fn open(dir: &Path, config: StoreConfig) -> Result<(Self, Opened), StoreError> {
        recover::open(dir, config).map(|(inner, opened)| (Self(Arc::new(inner)), opened))
    }

    /// Makes everything that was put so far survive a loss of power, saves the progress of partials, and brings the
    /// cache back under its limit. To be called every few seconds while there is traffic: a start hashes what came
    /// after the last one. One that finds nothing to do costs next to nothing and lets the index rest, which gives its
    /// memory back: so once more after the last traffic. An index that cannot be written is no error: the log is told
    /// once, and every checkpoint tries to mend it. While the disk with the cache is away nothing is done.
    ///
    /// # Errors
    /// Blobs that cannot be synced or evicted.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        checkpoint::checkpoint(&self.0)
    }

    pub fn stats(&self) -> Stats {
        stats::stats(&self.0)
    }

    /// The folder with the index, which does not move.
    pub fn data_dir(&self) -> &Path {
        &self.0.dir
    }

    /// The folder with `blobs/` and `partial/`, until the cache is moved.
    pub fn dir(&self) -> PathBuf {
        self.0.site.here().dir.clone()
    }

    /// # Errors
    /// `Away`, when the disk with the cache is.
    pub fn stands(&self) -> Result<(), StoreError> {
        self.0.site.stand().map(drop)
    }

    /// How long no bytes were received or served.
    pub fn idle_for(&self) -> Duration {
        self.0.activity.idle_for()
    }
}

/// Blobs that are received or imported.
impl Store {
    /// Takes a blob that is one chunk. Once this returns it is served and survives the end of the process; a loss
    /// of power after the next checkpoint.
    ///
    /// # Errors
    /// A full disk, one that is away, or a chunk that is not its whole blob.
    pub fn put(&self, chunk: VerifiedChunk<'_>, ext: &str) -> Result<(), StoreError> {
        put::put_one(&self.0, chunk, ext)
    }

    /// As [`Store::put`], in order. After an error those before the failed one are in.
    pub fn put_many(&self, chunks: &[(VerifiedChunk<'_>, &str)]) -> Result<(), StoreError> {
        chunks.iter().try_for_each(|(chunk, ext)| put::put_one(&self.0, *chunk, ext))
    }

    /// Starts or resumes a blob; all callers with the same hash and size get the same handle. Resuming reads and
    /// verifies what is there. Of a blob that is complete already, in this size, it says so. Takes no space on the disk
    /// before the first chunk.
    ///
    /// # Errors
    /// A size that no blob has. A disk that is away.
    pub fn partial(&self, hash: BlobHash, size: u64, ext: &str) -> Result<Arc<Partial>, StoreError> {
        partial::open(&self.0, hash, size, ext)
    }

    /// A fresh path on the cache's own disk, for a file that [`Store::import`] will take. What is still there at the
    /// next start is removed.
    ///
    /// # Errors
    /// A full disk, or one that is away.
    pub fn scratch_path(&self) -> Result<PathBuf, StoreError> {
        self.0.site.temp_path()
    }

    /// Takes a file for good: hashes it and moves it among the blobs. No other program may write to it. Best lies at a
    /// [`Store::scratch_path`]; from another disk it is copied. After an error it is where it was.
    ///
    /// # Errors
    /// As [`Store::index_source`], a full disk, and one that is away.
    pub fn import(&self, path: &Path, ext: &str) -> Result<Source, StoreError> {
        own::import(&self.0, path, ext)
    }

    /// Learns one of the player's own files. One that was indexed before and has not changed since, by its size, times
    /// and identity, is not read.
    ///
    /// # Errors
    /// What is no regular file, is too large to share, or is written to all the while.
    pub fn index_source(&self, path: &Path) -> Result<Source, StoreError> {
        own::index_source(&self.0, path)
    }
}

/// Blobs that are here.
impl Store {
    /// The file with this content, cached or the player's own, for the game to open: it is there, and as the store left
    /// it. It stays as long as the blob is pinned. Costs a look at the file, some 2 µs; one whose stamp
    /// differs is read.
    ///
    /// # Errors
    /// A disk that is away, or a file that cannot be looked at: then it is not known whether the blob is here.
    pub fn find(&self, hash: &BlobHash) -> Result<Option<PathBuf>, StoreError> {
        match trust::cached(&self.0, hash)? {
            Some((path, _)) => Ok(Some(path)),
            None => Ok(own::unchanged_own_path(&self.0, hash)),
        }
    }

    /// Reads a cached blob whose file was found to have other bytes, and drops it when that is so: it can be fetched
    /// again. Whether it is right; `false` also when it is not cached. Blocking.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn recheck(&self, hash: &BlobHash) -> Result<bool, StoreError> {
        trust::recheck(&self.0, hash).map(|right| right.is_some())
    }

    /// As [`Store::find`]; `None` also when it fails.
    pub fn path(&self, hash: &BlobHash) -> Option<PathBuf> {
        self.find(hash).ok().flatten()
    }

    /// Whether the blob is here whole and could be served now, by a look at its file.
    pub fn contains(&self, hash: &BlobHash) -> bool {
        self.path(hash).is_some()
    }

    /// Whether the cache had this blob at the last look.
    pub fn remembers(&self, hash: &BlobHash) -> bool {
        self.0.state().blobs.contains_key(hash)
    }

    /// Opens a blob for serving. As [`Origin::Own`](fyteclub_proto::blob::Origin::Own) it may be the cached one or the
    /// player's own file; as an owner's it must be in the cache and have come from them. Reads nothing, but for a large
    /// blob whose tree was lost and a cached file whose stamp differs: those are hashed once.
    ///
    /// # Errors
    /// `Gone` when it is not here, in this size and from there; `Changed` when it was an own file that is something
    /// else now.
    pub fn open_blob(&self, blob: &Blob) -> Result<BlobReader, ReadError> {
        reader::open_blob(&self.0, blob)
    }

    /// Until the pin is dropped none of these is evicted, nor loses what it has so far.
    pub fn pin(&self, hashes: impl IntoIterator<Item = BlobHash>) -> Pin {
        pin::pin(&self.0, hashes)
    }

    /// Says that these blobs were used now, so that others are evicted first.
    pub fn touch(&self, hashes: &[BlobHash]) {
        let mut state = self.0.state();
        hashes.iter().for_each(|hash| state.touch(hash));
    }

    /// Says that these blobs are not used yet, so that they are evicted first; until [`Store::touch`].
    pub fn unused(&self, hashes: &[BlobHash]) {
        let mut state = self.0.state();
        hashes.iter().for_each(|hash| state.unused(hash));
    }
}

/// Where they came from.
impl Store {
    /// Whether a blob of this size is here whole and came from there. Looks at files as [`Store::contains`] does.
    pub fn holds(&self, blob: &Blob) -> bool {
        // Twice: what a look finds changed is dropped.
        self.came(blob) && self.contains(&blob.content.hash) && self.came(blob)
    }

    /// Whether it is here in this size and came from there, by what was known last.
    pub fn came(&self, blob: &Blob) -> bool {
        self.0.state().holds(blob)
    }

    /// Whether it is in the cache, in this size, wherever it came from. By what was known last.
    pub fn caches(&self, content: &Content) -> bool {
        self.0.state().blobs.get(&content.hash).is_some_and(|blob| blob.stamp.size == content.size)
    }

    /// Notes that these blobs, as far as they are in the cache, came from this owner or under their grant, or that the
    /// owner proved to have them: only then. They may be lent under the owner's grants from now on.
    pub fn came_from(&self, owner: &PeerId, hashes: impl IntoIterator<Item = BlobHash>) {
        origin::came_from(&self.0, owner, hashes);
    }

    /// Nothing counts as come from this owner any more. In memory at once; then the file is written and synced, so this
    /// is for a thread that may wait.
    pub fn forget_owner(&self, owner: &PeerId) {
        origin::forget_owner(&self.0, owner);
    }

    /// What came from an owner's old key counts as come from the new one. In memory only: [`Store::save_origins`] keeps
    /// it. Whether anything changed.
    pub fn follow_owner(&self, from: &PeerId, to: &PeerId) -> bool {
        self.0.state().follow_owner(from, to)
    }

    /// Writes the file anew and syncs it: for a thread that may wait.
    pub fn save_origins(&self) {
        origin::save(&self.0);
    }
}

/// Space.
impl Store {
    /// Makes space for `bytes` that are about to come: evicts until they fit in the limit and on the disk. Pin first
    /// what must stay. Books nothing: a caller that fetches several looks at once asks for the sum.
    ///
    /// # Errors
    /// `TooLarge` when they cannot fit beside what is in use, `DiskFull` when the disk has no space even so, `Away`.
    /// Nothing is evicted then.
    pub fn reserve(&self, bytes: u64) -> Result<Evicted, StoreError> {
        evict::reserve(&self.0, bytes)
    }

    /// Makes space on the disk for `bytes` that are about to be written beside the blobs, and leaves what has to stay
    /// free: evicts what may go where it must.
    ///
    /// # Errors
    /// `DiskLow` when they do not fit even so.
    pub fn make_space(&self, bytes: u64) -> Result<(), StoreError> {
        evict::make_space(&self.0, bytes)
    }

    /// Whether so many bytes fit in the limit and on the disk without anything having to go. Books nothing.
    pub fn has_space(&self, bytes: u64) -> bool {
        evict::has_space(&self.0, bytes)
    }

    /// The free space of the cache's disk; `None` where the system does not say. A disk in the network may take its
    /// time to answer.
    pub fn disk(&self) -> Option<Disk> {
        evict::disk(&self.0)
    }

    /// Brings the disk's free space back over its bound, as far as that is in what may go, the longest unused first.
    /// Where there is space enough nothing happens.
    pub fn relieve(&self) -> (Option<Disk>, Evicted) {
        evict::relieve(&self.0)
    }

    /// Removes what the wish says, the longest unused first; never what is pinned, read from or written to. And always
    /// abandoned files: partials of which nothing came for a day, forgotten temporary files.
    ///
    /// # Errors
    /// A folder that cannot be read, or a disk that is away.
    pub fn collect(&self, wish: Wish) -> Result<Collected, StoreError> {
        collect::collect(&self.0, wish)
    }
}

/// The cache as a whole.
impl Store {
    /// Reads and hashes every blob in the cache; what is wrong is removed, pinned or not, and what is missing
    /// forgotten. `progress` is called after each file, with the number and the bytes of all, and may cancel. Own files
    /// that are gone are forgotten.
    ///
    /// # Errors
    /// `Away`, also when the disk goes meanwhile: nothing is said of what was not read.
    pub fn verify(
        &self,
        progress: impl FnMut(&Verified, usize, u64) -> ControlFlow<()>,
    ) -> Result<Verified, StoreError> {
        verify::verify(&self.0, progress)
    }

    /// Goes on reading the cache, a little at a time, where an earlier process stopped.
    pub fn scrub(&self) -> Scrub {
        Scrub::new(self.0.clone())
    }

    /// Moves the whole cache into `target`, an absolute path. `progress` may cancel until everything is copied.
    /// Readers and writers wait only while the last files are moved.
    ///
    /// # Errors
    /// A target that will not do, or the machine's trouble. The cache is where it was then.
    pub fn move_to(
        &self,
        target: &Path,
        progress: impl FnMut(MoveProgress) -> ControlFlow<()>,
    ) -> Result<Moved, MoveError> {
        moving::move_to(&self.0, target, progress)
    }
}

#[cfg(test)]
impl Store {
    /// The cached blob before the player's own, if that may be it at all.
    pub(crate) fn open_hash(&self, hash: &BlobHash, or_own: bool) -> Result<BlobReader, ReadError> {
        reader::open_hash(&self.0, hash, or_own)
    }
}
