//! The index on disk: sled, guarded. Rows are hints that spare the start a pass over all bytes, never the truth: a row
//! counts only when the file beside it has the size and times that the row says, and a missing row costs one hash of
//! the file. So a sled that lost rows silently, or all of them, needs no further check. A damaged one can panic, at
//! open and later: every call is made inside `catch_unwind`, and a damaged folder is set aside.

use super::{
    error::StoreError,
    health::IndexHealth,
    os::{self, Stamp},
    state::OwnFile,
    sync::lock,
};
use fyteclub_proto::{chunk_tree::ChunkTree, codec, foreign::Foreign, id::BlobHash};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// A blob whose bytes were synced before the row was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlobRow {
    pub stamp: Stamp,
    pub used: u64,
}

/// As in the table `blobs.1`, until 2026-11.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct OldBlobRow {
    size: u32,
    mtime_ns: i64,
    used: u64,
}

impl From<OldBlobRow> for BlobRow {
    /// Without the times that it did not have: the file is proven when it is needed.
    fn from(OldBlobRow { size, mtime_ns, used }: OldBlobRow) -> Self {
        Self { stamp: Stamp { size: size.into(), mtime_ns, ctime_ns: 0, id: 0 }, used }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct OwnRow {
    hash: BlobHash,
    stamp: Stamp,
    young: bool,
}

/// All that the index says, as it is read at start. Trees stay on the disk until their blob is served.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub blobs: Vec<(BlobHash, BlobRow)>,
    pub own: Vec<(PathBuf, OwnFile)>,
}

/// One checkpoint's worth of news. `None` deletes.
#[derive(Debug, Default)]
pub(super) struct News {
    pub blobs: Vec<(BlobHash, Option<BlobRow>)>,
    pub own: Vec<(Arc<Path>, Option<OwnFile>)>,
    pub trees: Vec<(BlobHash, Option<Arc<ChunkTree>>)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    #[error("it is in use")]
    InUse,
    #[error("{0}")]
    Io(io::Error),
    /// The database's own words, which are for a defect's report.
    #[error("it is damaged")]
    Damaged(String),
    #[error("it is not open")]
    Closed,
}

#[derive(Clone)]
struct Tables {
    db: sled::Db,
    blobs: sled::Tree,
    own: sled::Tree,
    trees: sled::Tree,
}

pub(super) struct Index {
    /// The data folder, in which `index/` and the broken ones lie.
    dir: PathBuf,
    handle: Mutex<Handle>,
}

/// An open sled holds some 20 MiB, so it is closed when there is nothing to write or to ask.
enum Handle {
    Open(Tables),
    /// In order, and opened at the next use.
    Resting,
    Failed,
}

/// The table of blobs of the last version.
const OLD_BLOBS: &str = "blobs.1";
/// Rows are found again by a binary search over pages of the disk; the store itself asks memory.
const CACHE_BYTES: u64 = 1024 * 1024;
/// Rows written at once. One batch of everything would hold everything in memory twice.
const BATCH: usize = 1_000;
/// Broken indexes that are kept for a post-mortem.
const BROKEN_KEPT: usize = 2;
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
            Err(IndexError::InUse)
        }
        Ok(Err(sled::Error::Io(error))) => Err(IndexError::Io(error)),
        Ok(Err(error)) => Err(IndexError::Damaged(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic");
            Err(IndexError::Damaged(text.to_owned()))
        }
    }
}

/// The end of a database can panic as well as its beginning.
fn close(tables: Option<Tables>) {
    guarded(|| {
        drop(tables);
        Ok(())
    })
    .ok();
}

impl Tables {
    fn open(path: &Path) -> sled::Result<Self> {
        // Sled flushes nothing by itself: a checkpoint does it, after the files are synced.
        let db = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()?;
        // A table that changes its rows gets a new name.
        let tables = Self {
            blobs: db.open_tree("blobs.2")?,
            own: db.open_tree("own.1")?,
            trees: db.open_tree("trees.1")?,
            db,
        };
        tables.take_over()?;
        Ok(tables)
    }

    /// Writes rows of the last version as this one's. Cut short it is done again, and keeps what is newer.
    fn take_over(&self) -> sled::Result<()> {
        if !self.db.tree_names().iter().any(|name| name.as_ref() == OLD_BLOBS.as_bytes()) {
            return Ok(());
        }
        for row in &self.db.open_tree(OLD_BLOBS)? {
            let (first, old) = row?;
            let old: Vec<(BlobHash, OldBlobRow)> = codec::decode(&old).unwrap_or_default();
            let mut shelf = self.shelf(&first)?;
            let known: HashSet<BlobHash> = shelf.iter().map(|(hash, _)| *hash).collect();
            let new = old.into_iter().filter(|(hash, _)| !known.contains(hash));
            shelf.extend(new.map(|(hash, row)| (hash, row.into())));
            self.blobs.insert(&first, codec::encode(&shelf))?;
        }
        self.db.flush()?;
        self.db.drop_tree(OLD_BLOBS)?;
        self.db.flush().map(drop)
    }

    fn shelf(&self, first: &[u8]) -> sled::Result<Shelf> {
        let found = self.blobs.get(first)?;
        Ok(found.and_then(|found| codec::decode(&found).ok()).unwrap_or_default())
    }

    fn read(&self) -> sled::Result<Rows> {
        let mut rows = Rows::default();
        for row in &self.blobs {
            rows.blobs.extend(codec::decode::<Shelf>(&row?.1).unwrap_or_default());
        }
        for row in &self.own {
            let (key, value) = row?;
            if let Ok(OwnRow { hash, stamp, young }) = codec::decode(&value) {
                rows.own.push((os::path_from_bytes(&key), OwnFile { hash, stamp, young }));
            }
        }
        Ok(rows)
    }

    fn write(&self, news: &News) -> sled::Result<()> {
        let trees = |wanted: bool| {
            let some = news.trees.iter().filter(move |(_, tree)| tree.is_some() == wanted);
            some.map(|(hash, tree)| {
                (hash.as_bytes().to_vec(), tree.as_ref().map(|tree| tree.list().to_vec()))
            })
        };
        let own = news.own.iter().map(|(path, file)| {
            let row =
                file.map(|OwnFile { hash, stamp, young }| codec::encode(&OwnRow { hash, stamp, young }));
            (os::path_to_bytes(path), row)
        });
        apply(&self.trees, trees(true))?;
        self.write_blobs(&news.blobs)?;
        apply(&self.own, own)?;
        apply(&self.trees, trees(false))?;
        self.db.flush().map(drop)
    }
}

/// The rows of all blobs whose hashes begin with the same byte. sled needs several allocations and some hundred bytes
/// of memory a row, so 20,000 small ones would be felt in every start; 256 larger ones are not.
type Shelf = Vec<(BlobHash, BlobRow)>;

impl Tables {
    fn write_blobs(&self, news: &[(BlobHash, Option<BlobRow>)]) -> sled::Result<()> {
        let mut shelves: BTreeMap<u8, HashMap<BlobHash, Option<BlobRow>>> = BTreeMap::new();
        for (hash, row) in news {
            shelves.entry(hash.as_bytes()[0]).or_default().insert(*hash, *row);
        }
        for (first, news) in shelves {
            let mut shelf = self.shelf(&[first])?;
            shelf.retain(|(hash, _)| !news.contains_key(hash));
            shelf.extend(news.into_iter().filter_map(|(hash, row)| Some((hash, row?))));
            if shelf.is_empty() {
                self.blobs.remove([first])?
            } else {
                self.blobs.insert([first], codec::encode(&shelf))?
            };
        }
        Ok(())
    }
}

fn apply(tree: &sled::Tree, mut rows: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> sled::Result<()> {
    loop {
        let mut batch = sled::Batch::default();
        let mut len = 0;
        for (key, value) in rows.by_ref().take(BATCH) {
            len += 1;
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        if len == 0 {
            return Ok(());
        }
        tree.apply_batch(batch)?;
    }
}

impl Index {
    /// # Errors
    /// Only when another program has it open. Any other trouble is told by the health.
    pub(super) fn open(dir: &Path) -> Result<(Self, Rows, IndexHealth), StoreError> {
        let index = Self { dir: dir.to_owned(), handle: Mutex::new(Handle::Failed) };
        let created = !index.path().exists();
        match index.reopen() {
            Ok((rows, None)) => {
                Ok((index, rows, if created { IndexHealth::Created } else { IndexHealth::Healthy }))
            }
            Ok((rows, Some(broken))) => Ok((index, rows, IndexHealth::SetAside(broken))),
            Err(IndexError::InUse) => Err(StoreError::InUse { path: index.path() }),
            Err(error) => Ok((index, Rows::default(), IndexHealth::Unavailable(error.to_string()))),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("index")
    }

    /// Where a note lies that the index is broken, when it could not be moved away at once: Windows moves no folder
    /// whose files are open, and after a panic they may be.
    fn broken_note(&self) -> PathBuf {
        self.dir.join("index.is-broken")
    }

    fn become_handle(&self, next: Handle) {
        let last = std::mem::replace(&mut *lock(&self.handle), next);
        if let Handle::Open(tables) = last {
            close(Some(tables));
        }
    }

    /// Whether it can be used, as far as is known.
    pub(super) fn is_usable(&self) -> bool {
        !matches!(*lock(&self.handle), Handle::Failed)
    }

    /// Gives its memory back until it is needed again.
    pub(super) fn rest(&self) {
        if self.is_usable() {
            self.become_handle(Handle::Resting);
        }
    }

    fn tables(&self) -> Result<Tables, IndexError> {
        let mut handle = lock(&self.handle);
        if let Handle::Resting = *handle {
            // The lock on the handle keeps other callers out meanwhile.
            *handle = self.open_tables().map_or(Handle::Failed, Handle::Open);
        }
        match &*handle {
            Handle::Open(tables) => Ok(tables.clone()),
            _ => Err(IndexError::Closed),
        }
    }

    /// Opens what is there, or a new one in the place of a damaged one, whose new name it tells.
    pub(super) fn reopen(&self) -> Result<(Rows, Option<PathBuf>), IndexError> {
        self.become_handle(Handle::Failed);
        if self.broken_note().exists() {
            tracing::warn!("the index was damaged and is built again from the files");
            let broken = self.set_aside()?;
            return Ok((self.create()?, Some(broken)));
        }
        if !self.path().exists() {
            return Ok((self.create()?, None));
        }
        match self.try_open() {
            Ok(rows) => Ok((rows, None)),
            Err(IndexError::Damaged(why)) => {
                tracing::warn!("the index is damaged and is built again from the files");
                tracing::debug!("what is wrong with the index: {}", Foreign::new(&why));
                let broken = self.set_aside()?;
                Ok((self.create()?, Some(broken)))
            }
            Err(error) => Err(error),
        }
    }

    fn try_open(&self) -> Result<Rows, IndexError> {
        let tables = self.open_tables()?;
        let rows = guarded(|| tables.read());
        match rows {
            Ok(rows) => {
                *lock(&self.handle) = Handle::Open(tables);
                Ok(rows)
            }
            Err(error) => {
                close(Some(tables));
                Err(error)
            }
        }
    }

    /// Waits for the lock: sled's threads let go of it some time after the database was dropped.
    fn open_tables(&self) -> Result<Tables, IndexError> {
        let path = self.path();
        // Sled would wait for the other end of a pipe.
        os::only_files_in(&path).map_err(|error| IndexError::Damaged(error.to_string()))?;
        let start = Instant::now();
        loop {
            match guarded(|| Tables::open(&path)) {
                Err(IndexError::InUse) if start.elapsed() < os::LOCK_PATIENCE => {
                    thread::sleep(os::LOCK_PAUSE)
                }
                result => return result,
            }
        }
    }

    /// A database that was never reopened has no snapshot, and without one damage is a panic or silence more often
    /// than an error.
    fn create(&self) -> Result<Rows, IndexError> {
        let tables = self.open_tables()?;
        let flushed = guarded(|| tables.db.flush());
        close(Some(tables));
        flushed?;
        self.try_open()
    }

    fn set_aside(&self) -> Result<PathBuf, IndexError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let free = (now..).map(|n| self.dir.join(format!("index.broken-{n}"))).find(|path| !path.exists());
        let broken = free.unwrap_or_else(|| self.dir.join("index.broken"));
        if let Err(error) = fs::rename(self.path(), &broken)
            && error.kind() != io::ErrorKind::NotFound
        {
            fs::write(self.broken_note(), b"").ok();
            return Err(IndexError::Io(error));
        }
        fs::remove_file(self.broken_note()).ok();
        let mut all: Vec<_> = fs::read_dir(&self.dir)
            .map_err(IndexError::Io)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("index.broken-")))
            .collect();
        all.sort_unstable();
        for old in all.iter().rev().skip(BROKEN_KEPT) {
            fs::remove_dir_all(old).ok();
        }
        Ok(broken)
    }

    /// Writes the news and waits until they survive a loss of power. After an error the index is closed: sled refuses
    /// everything after its first failure, and only a new open tells what it kept.
    pub(super) fn write(&self, news: &News) -> Result<(), IndexError> {
        let tables = self.tables()?;
        let result = guarded(|| tables.write(news));
        if result.is_err() {
            self.become_handle(Handle::Failed);
        }
        close(Some(tables));
        result
    }

    /// The kept list of a blob's chunks, unproven. An index that cannot be read any more is closed.
    pub(super) fn tree(&self, hash: &BlobHash) -> Option<Vec<u8>> {
        let tables = self.tables().ok()?;
        let found = guarded(|| tables.trees.get(hash.as_bytes()));
        close(Some(tables));
        match found {
            Ok(list) => list.map(|list| list.to_vec()),
            Err(error) => {
                tracing::warn!("the index cannot be read any more: {error}");
                if let IndexError::Damaged(why) = &error {
                    tracing::debug!("what is wrong with the index: {}", Foreign::new(why));
                    // Opening it might succeed again and fail at the same row.
                    fs::write(self.broken_note(), b"").ok();
                }
                self.become_handle(Handle::Failed);
                None
            }
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.become_handle(Handle::Failed);
    }
}

/// Makes the index of a data folder one of the last version; or one whose rows were half taken over.
#[cfg(test)]
pub(super) fn make_old(dir: &Path, half: bool) {
    // Waits as `open_tables` does.
    let deadline = Instant::now() + os::LOCK_PATIENCE;
    let db = loop {
        match sled::open(dir.join("index")) {
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
            Ok(db) => break db,
        }
        thread::yield_now();
    };
    let (new, old) = (db.open_tree("blobs.2").unwrap(), db.open_tree(OLD_BLOBS).unwrap());
    for (first, row) in new.iter().map(Result::unwrap) {
        let shelf: Shelf = codec::decode(&row).unwrap();
        let row = |BlobRow { stamp, used }: BlobRow| OldBlobRow {
            size: stamp.size.try_into().unwrap(),
            mtime_ns: stamp.mtime_ns,
            used,
        };
        let shelf: Vec<_> = shelf.into_iter().map(|(hash, new)| (hash, row(new))).collect();
        old.insert(first, codec::encode(&shelf)).unwrap();
    }
    new.clear().unwrap();
    if !half {
        db.drop_tree("blobs.2").unwrap();
    }
    db.flush().unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that programs have written, or write.
    #[test]
    fn rows_of_both_versions_are_read() {
        let hash = BlobHash::of(b"a blob");
        let old = OldBlobRow { size: 70_000, mtime_ns: -5, used: 1_790_000_000_000_000 };
        let stamp = Stamp { size: 70_000, mtime_ns: -5, ctime_ns: 1_790_000_000_000_000_001, id: 77 };
        let new = BlobRow { stamp, used: 1_790_000_000_000_000 };
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let told = hash.hex();
        assert_eq!(hex(codec::encode(&vec![(hash, old)])), format!("01{told}fc7011010009fd00e025dafe5b0600"));
        assert_eq!(
            hex(codec::encode(&vec![(hash, new)])),
            format!("01{told}fc7011010009fd0200e64708b7ae314dfd00e025dafe5b0600")
        );
        let known = BlobRow::from(old).stamp;
        assert_eq!(known.likeness(&stamp), os::Likeness::Doubtful, "proven when it is needed");
    }
}
