//! What both ways of moving have in common.

use crate::{
    error::StoreError,
    free::{free, free_or_tell},
    inner::Inner,
    name::{self, Ext},
    naming, os,
    partial::{Partial, open_partials},
    place::{CacheLocation, Place},
    prove::offset_of,
    state::Obstacle,
    sync::lock,
};
use fyteclub_files::trouble::explain_or;
use fyteclub_proto::{
    chunk_tree::{chunk_count, chunk_len},
    id::BlobHash,
    size,
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MoveProgress {
    pub files: usize,
    pub files_total: usize,
    pub bytes: u64,
    pub bytes_total: u64,
}

/// What a move came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub from: PathBuf,
    pub to: PathBuf,
    pub files: usize,
    pub bytes: u64,
    /// Their bytes were wrong already; they were not taken along.
    pub bad: Vec<BlobHash>,
    /// Could not be read, and were not taken along.
    pub unreadable: Vec<Obstacle>,
    /// Files in use, which lie in the old place too until the next start.
    pub kept: usize,
}

/// Why the cache stays where it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    #[error("the cache is in {} already", dir.display())]
    Same { dir: PathBuf },
    #[error("{} is no absolute path in Unicode: name the folder from the root of its disk", dir.display())]
    NoPath { dir: PathBuf },
    #[error("{} is not a folder: name an empty one, or one that is not there yet", dir.display())]
    NotAFolder { dir: PathBuf },
    #[error("{} holds other things ({found}): name an empty folder, or one that is not there yet", dir.display())]
    NotEmpty { dir: PathBuf, found: String },
    #[error("{} lies inside {}, where the cache is now: name a folder beside it", dir.display(), old.display())]
    Inside { dir: PathBuf, old: PathBuf },
    #[error("files that are in use still lie in {}: restart the daemon first, or name another folder", dir.display())]
    Leaving { dir: PathBuf },
    /// The new place's bound is kept from the beginning: a move that ended on a nearly full disk would stop all
    /// transfers.
    #[error("{} has {} free, and {} are needed with {} that stay free (min_free): make space there, or shrink the cache with `cache gc --to`", dir.display(), size::words(*free), size::words(*needed), size::words(*floor))]
    NoSpace { dir: PathBuf, needed: u64, free: u64, floor: u64 },
    #[error("{}", explain_or(path, source, "name another folder"))]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("{} does not give back what was written to it ({name}): the cache stays where it is", dir.display())]
    Unfaithful { dir: PathBuf, name: String },
    #[error("the cache is being moved already")]
    Busy,
    #[error("broken off: the cache stays where it is")]
    Cancelled,
    #[error("the last move, to {}, could be neither finished nor undone: restart the daemon, which finishes it", dir.display())]
    Unfinished { dir: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) type Blob = (BlobHash, Ext, u64);

pub(super) fn all_blobs(inner: &Inner) -> Vec<Blob> {
    let state = inner.state();
    state.blobs.iter().map(|(hash, blob)| (*hash, blob.ext, blob.stamp.size)).collect()
}

/// Runs `work` while all names are locked and no partial is written to; files that partials hold open are closed.
/// Takes the locks in the store's order: checkpoint, partials, names; those of the place and the state are free.
pub(super) fn undisturbed<T>(inner: &Inner, work: impl FnOnce() -> T) -> T {
    let _checkpoint = lock(&inner.checkpoint);
    let mut work = Some(work);
    loop {
        let partials = open_partials(inner);
        let quiet: Vec<_> = partials.iter().map(Partial::quiet).collect();
        let names = inner.site.all_names();
        // A partial opened meanwhile may have its file open, and would write to the old one.
        let now = open_partials(inner);
        let all = now.iter().all(|partial| partials.iter().any(|quiet| Arc::ptr_eq(quiet, partial)));
        let result = work.take_if(|_| all).map(|work| work());
        if result.is_some() {
            inner.site.count_move();
        }
        // The last to let go of a partial takes a stripe.
        drop((names, quiet));
        drop((partials, now));
        if let Some(result) = result {
            return result;
        }
    }
}

/// From here on the new place is the cache.
pub(super) fn switch(
    inner: &Inner,
    note: &mut CacheLocation,
    name: &str,
    new: &Arc<Place>,
) -> Result<(), StoreError> {
    let mut leaving = note.leaving.clone();
    leaving.push(note.dir.clone());
    let next = CacheLocation { dir: name.to_owned(), renaming: None, copying: None, leaving };
    next.write(&inner.dir)?;
    *note = next;
    inner.site.switch(new.clone());
    inner.state().lost_obstacles();
    Ok(())
}

pub(super) fn moved(old: &Place, new: &Place, files: usize, bytes: u64) -> Moved {
    let (bad, unreadable) = (Vec::new(), Vec::new());
    Moved { from: old.dir.clone(), to: new.dir.clone(), files, bytes, bad, unreadable, kept: 0 }
}

/// A name in the new place that is free now.
pub(super) struct Freed {
    pub ext: Ext,
    pub path: PathBuf,
    /// Why it is not the blob's name: what has that can be neither removed nor renamed.
    pub obstacle: Option<io::Error>,
}

/// Frees the blob's name in the new place, or where that cannot be had its name with the other ending.
///
/// # Errors
/// `Undeletable`: neither can be had.
pub(super) fn free_name_in(new: &Place, hash: &BlobHash, ext: Ext) -> Result<Freed, StoreError> {
    let path = new.blob_path(hash, ext);
    let Err(source) = free(&path) else { return Ok(Freed { ext, path, obstacle: None }) };
    let other = ext.other();
    let beside = new.blob_path(hash, other);
    match free(&beside) {
        Ok(_) => Ok(Freed { ext: other, path: beside, obstacle: Some(source) }),
        Err(_) => Err(StoreError::Undeletable { path, source }),
    }
}

/// What kept blobs from their names in the new place. It is told once that place is the cache.
pub(super) type Obstacles = Vec<(BlobHash, Ext, io::Error)>;

pub(super) fn tell_obstacles(inner: &Inner, obstacles: Obstacles) {
    for (hash, ext, cause) in obstacles {
        naming::found_obstacle(inner, hash, ext, &cause);
    }
}

/// Whether a file was brought along. One that is gone, is no file or cannot be read stays, and is fetched again when it
/// is needed.
pub(super) fn or_left<T>(from: &Path, brought: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    let of_this = |path: &Path| path == from;
    match brought {
        Ok(brought) => return Ok(Some(brought)),
        Err(StoreError::Missing { path }) if of_this(&path) => return Ok(None),
        Err(StoreError::NotAFile { path }) if of_this(&path) => {}
        Err(StoreError::Io { path, source }) if of_this(&path) && os::is_of_one_file(&source) => {}
        Err(error) => return Err(error),
    }
    tell_left(from);
    Ok(None)
}

pub(super) fn tell_left(from: &Path) {
    tracing::warn!("{} is no file that can be read: it is not moved, and is fetched again", from.display());
}

/// Frees the name of an incomplete blob's file in the new place. Where it cannot be had, the blob begins anew; `false`
/// then.
pub(super) fn free_part_name(to: &Path) -> bool {
    let freed = free_or_tell(to);
    if let Err(error) = &freed {
        tracing::warn!("an incomplete file is fetched from its beginning: {error}");
    }
    freed.is_ok()
}

/// Copies, but for what is zero: a partial is a hole where nothing has come. Its time comes last: a copy that was cut
/// short is known by it.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let reading = |error| StoreError::at(from, error);
    let writing = |error| StoreError::at(to, error);
    let (file, stamp) = os::open_regular(from)?;
    let copy = File::create_new(to).map_err(writing)?;
    copy.set_len(stamp.size).map_err(writing)?;
    let mut bytes = Vec::new();
    for index in 0..chunk_count(stamp.size) {
        let (len, offset) = (chunk_len(stamp.size, index).unwrap_or_default(), offset_of(index));
        os::read_vec_at(&file, &mut bytes, len, offset).map_err(reading)?;
        if bytes.iter().any(|byte| *byte != 0) {
            os::write_all_at(&copy, &bytes, offset).map_err(writing)?;
        }
    }
    drop(copy);
    os::set_modified(to, from).map_err(writing)
}

/// What of incomplete blobs lies in the old place, and where it goes.
pub(super) fn part_files(old: &Place, new: &Place) -> Result<Vec<(PathBuf, PathBuf)>, StoreError> {
    let names = os::names(&old.partial)?.filter(|(name, _)| name::is_of_part(name));
    Ok(names.map(|(name, entry)| (entry.path(), new.partial.join(name))).collect())
}
