//! What is remembered is believed only after a look: whether the cache's disk is there, and whether a file still is as
//! the store left it, by its stamp: size, times and inode. A file that is not is read: it is trusted anew, or dropped.
//! What the store itself does to a file, a rename or a link, changes its stamp too, and is noted.

use super::{
    error::StoreError,
    inner::Inner,
    name::Ext,
    naming::{self, is_as_left},
    os::{self, Stamp},
    place::Place,
    prove::{hash_file, open_blob_file},
    site::TRIES,
    state::{Blob, State},
};
use fyteclub_proto::id::BlobHash;
use std::{io, path::PathBuf, sync::Arc};

/// A blob as it was known when its file was opened; later changes are not covered.
pub(super) struct Known {
    place: Arc<Place>,
    /// The count of moves before anything of this was read.
    moves: u64,
    pub(super) hash: BlobHash,
    ext: Ext,
    /// The file's, as the store left it or proved it.
    pub(super) stamp: Stamp,
}

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right(Stamp),
    Wrong,
    /// It is not there, and its disk is.
    Gone,
}

impl Known {
    pub(super) fn path(&self) -> PathBuf {
        self.place.blob_path(&self.hash, self.ext)
    }
}

/// The cached file of this blob, if it is as the store left it. What is not is dropped.
///
/// # Errors
/// `Away`; a file that cannot be looked at; one that changes while it is looked at.
pub(super) fn cached(inner: &Inner, hash: &BlobHash) -> Result<Option<(PathBuf, Blob)>, StoreError> {
    let mut path = PathBuf::new();
    for _ in 0..TRIES {
        let Some(blob) = inner.state().blobs.get(hash).copied() else { return Ok(None) };
        path = inner.site.blob_path(hash, blob.ext);
        if is_as_left(&path, &blob)? {
            return Ok(Some((path, blob)));
        }
        if let Some(proven) = recheck(inner, hash)? {
            return Ok(Some((path, proven)));
        }
    }
    Err(StoreError::Changing { path })
}

/// Reads a cached blob whose file is not as the store left it: it is trusted anew, and returned, or dropped.
///
/// # Errors
/// A disk that is away, or trouble that may pass: then nothing is dropped.
pub(super) fn recheck(inner: &Inner, hash: &BlobHash) -> Result<Option<Blob>, StoreError> {
    let Some(known) = known(inner, hash) else { return Ok(None) };
    let verdict = match look_into(inner, &known) {
        Err(StoreError::Io { source, .. }) if os::is_of_one_file(&source) => {
            give_up(inner, &known, &source);
            return Ok(None);
        }
        verdict => verdict?,
    };
    match verdict {
        Verdict::Right(stamp) => {
            let mut state = inner.state();
            return Ok(state.renew(hash, &known.stamp, stamp).copied());
        }
        verdict @ (Verdict::Wrong | Verdict::Gone) => {
            if condemn(inner, &known) {
                tracing::debug!("a file in the cache is {verdict:?}, and forgotten: {hash}");
            }
        }
    }
    Ok(None)
}

pub(super) fn known(inner: &Inner, hash: &BlobHash) -> Option<Known> {
    let moves = inner.site.moves();
    let place = inner.site.here();
    let blob = *inner.state().blobs.get(hash)?;
    Some(Known { place, moves, hash: *hash, ext: blob.ext, stamp: blob.stamp })
}

/// Forgets a blob whose file is wrong, and takes the file away where that is possible; `false` when it is another file
/// by now, or none.
pub(super) fn condemn(inner: &Inner, known: &Known) -> bool {
    // Another disk may be where the cache's was.
    if inner.site.stand().is_err() {
        return false;
    }
    let same = |state: &State| {
        // A file that is being moved, there or back again, is not where it was, and not missing.
        inner.site.moves() == known.moves
            && state.blobs.get(&known.hash).is_some_and(|blob| blob.stamp == known.stamp)
    };
    naming::drop_wrong(inner, &known.hash, same)
}

/// Forgets a blob whose file cannot be read, and leaves the file.
pub(super) fn give_up(inner: &Inner, known: &Known, cause: &io::Error) {
    let same = |state: &State| state.blobs.get(&known.hash).is_some_and(|blob| blob.stamp == known.stamp);
    naming::drop_unreadable(inner, &known.hash, same, cause);
}

/// Reads the blob's file.
///
/// # Errors
/// The machine's trouble, which may pass; the file may be right.
pub(super) fn look_into(inner: &Inner, known: &Known) -> Result<Verdict, StoreError> {
    let path = known.path();
    match open_blob_file(&path) {
        Ok((file, stamp)) => {
            let tree = hash_file(&file, stamp.size).map_err(|error| StoreError::at(&path, error))?;
            let right = tree.is_some_and(|tree| tree.hash() == known.hash);
            inner.site.stand()?;
            Ok(if right { Verdict::Right(stamp) } else { Verdict::Wrong })
        }
        Err(error) => without_a_file(inner, error),
    }
}

/// What a file is that could not be opened.
pub(super) fn without_a_file(inner: &Inner, error: StoreError) -> Result<Verdict, StoreError> {
    match error {
        StoreError::Missing { .. } => inner.site.stand().map(|_| Verdict::Gone),
        StoreError::NotAFile { .. } | StoreError::FileTooLarge { .. } => Ok(Verdict::Wrong),
        error => Err(error),
    }
}
