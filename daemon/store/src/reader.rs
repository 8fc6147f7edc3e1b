//! Serving: a blob opened once, read chunk by chunk. What leaves here is what its hash says, or an error: a cached file
//! is known by its size and times, an own file is checked before and after each read, and one that leaves a doubt is
//! verified.

use super::{
    error::{ReadError, StoreError},
    inner::Inner,
    os::{self, Likeness, Stamp},
    own,
    pin::{self, Pin},
    prove::{hash_file, offset_of, open_blob_file},
    state::OwnFile,
    trust,
};
use fyteclub_proto::{
    blob::{Blob, Origin},
    chunk_tree::{ChunkTree, chunk_len},
    id::BlobHash,
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One blob, open. It is not evicted until this is dropped. Reads from several threads do not disturb each other.
pub struct BlobReader {
    inner: Arc<Inner>,
    file: File,
    path: PathBuf,
    stamp: Stamp,
    tree: Arc<ChunkTree>,
    own: Option<OwnFile>,
    /// The file's stamp alone does not prove its bytes.
    verify: bool,
    _pin: Pin,
}

impl BlobReader {
    pub fn tree(&self) -> &ChunkTree {
        &self.tree
    }

    /// Makes `bytes` the chunk's bytes.
    ///
    /// # Errors
    /// `Changed` when the file is not any more what it was when it was opened; the store has forgotten it then, and
    /// opening again finds another copy if there is one. A chunk behind the blob's end is an `Io` of invalid input.
    pub fn read_chunk(&self, index: u32, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
        let io = |source| ReadError::Io { path: self.path.clone(), source };
        let len = chunk_len(self.tree.size(), index).ok_or_else(|| io(io::ErrorKind::InvalidInput.into()))?;
        self.inner.activity.note();
        match os::read_vec_at(&self.file, bytes, len, offset_of(index)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(self.changed()),
            result => result.map_err(io)?,
        }
        let of = if self.own.is_some() { Stamp::of } else { Stamp::of_cached };
        let now = self.file.metadata().map(|m| of(&m)).map_err(io)?;
        let likeness = self.stamp.likeness(&now);
        let doubtful = self.verify || likeness == Likeness::Doubtful;
        if likeness == Likeness::Changed || (doubtful && self.tree.verify(index, bytes).is_err()) {
            return Err(self.changed());
        }
        Ok(())
    }

    fn changed(&self) -> ReadError {
        match &self.own {
            Some(own) => own::forget_own(&self.inner, &self.path, own),
            // What cannot be read now may be right.
            None => drop(trust::recheck(&self.inner, &self.tree.hash())),
        }
        ReadError::Changed { path: self.path.clone() }
    }
}

/// The machine's trouble, which may pass.
fn unreadable(error: StoreError) -> ReadError {
    match error {
        StoreError::Io { path, source } => ReadError::Io { path, source },
        StoreError::Away { dir } => ReadError::Away { dir },
        other => ReadError::Io { path: PathBuf::new(), source: io::Error::other(other) },
    }
}

/// Opens the cached file, if it still is as the store left it; and whether its stamp does not prove that.
fn open_cached(inner: &Inner, hash: &BlobHash) -> Result<Option<(File, PathBuf, Stamp, bool)>, StoreError> {
    // Twice: the second time after a look into the file.
    for _ in 0..2 {
        let Some(blob) = inner.state().blobs.get(hash).copied() else { return Ok(None) };
        let path = inner.site.blob_path(hash, blob.ext);
        match open_blob_file(&path) {
            Ok((file, stamp)) if blob.stamp == stamp => return Ok(Some((file, path, stamp, false))),
            Err(StoreError::Io { path, source }) if !os::is_of_one_file(&source) => {
                return Err(StoreError::Io { path, source });
            }
            opened => {
                // Some file systems say something else each time: what was read counts.
                if let (Some(blob), Ok((file, stamp))) = (trust::recheck(inner, hash)?, opened)
                    && blob.stamp.likeness(&stamp) != Likeness::Changed
                {
                    return Ok(Some((file, path, stamp, blob.stamp != stamp)));
                }
            }
        }
    }
    Ok(None)
}

/// Opens the first own file of this content that still may have it.
fn open_own(inner: &Inner, hash: &BlobHash) -> Result<(File, PathBuf, Stamp, OwnFile, bool), ReadError> {
    let mut error = ReadError::Gone { hash: *hash };
    let files = inner.state().own_files(hash);
    for (path, known) in files {
        match os::open_regular(&path) {
            Ok((file, stamp)) => match known.stamp.likeness(&stamp) {
                Likeness::Changed => error = ReadError::Changed { path: path.to_path_buf() },
                likeness => {
                    let verify = known.young || likeness == Likeness::Doubtful;
                    return Ok((file, path.to_path_buf(), stamp, known, verify));
                }
            },
            Err(StoreError::Io { path, source }) => {
                // A disk that is away for now: it may come back.
                error = ReadError::Io { path, source };
                continue;
            }
            Err(_) => {}
        }
        own::forget_own(inner, &path, &known);
    }
    Err(error)
}

/// The kept tree, or one built from the file when it was lost.
fn tree_or_build(
    inner: &Inner,
    hash: &BlobHash,
    file: &File,
    path: &Path,
    size: u64,
) -> Result<Arc<ChunkTree>, ReadError> {
    if let Some(tree) = inner.kept_tree(*hash, size) {
        return Ok(tree);
    }
    let built = hash_file(file, size).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    let Some(tree) = built.filter(|tree| tree.hash() == *hash) else {
        return Err(ReadError::Changed { path: path.to_owned() });
    };
    let tree = Arc::new(tree);
    inner.remember_tree(&tree);
    inner.keep_tree(tree.clone());
    Ok(tree)
}

pub(crate) fn open_blob(inner: &Arc<Inner>, blob: &Blob) -> Result<BlobReader, ReadError> {
    let gone = || ReadError::Gone { hash: blob.content.hash };
    if !inner.state().holds(blob) {
        return Err(gone());
    }
    let reader = open_hash(inner, &blob.content.hash, blob.origin == Origin::Own)?;
    if reader.tree.size() == blob.content.size { Ok(reader) } else { Err(gone()) }
}

/// The cached blob before the player's own, if that may be it at all.
pub(super) fn open_hash(inner: &Arc<Inner>, hash: &BlobHash, or_own: bool) -> Result<BlobReader, ReadError> {
    let pin = pin::pin(inner, [*hash]);
    inner.state().touch(hash);
    let (file, path, stamp, own, verify) = match open_cached(inner, hash).map_err(unreadable)? {
        Some((file, path, stamp, verify)) => (file, path, stamp, None, verify),
        None if !or_own => return Err(ReadError::Gone { hash: *hash }),
        None => {
            let (file, path, stamp, own, verify) = open_own(inner, hash)?;
            (file, path, stamp, Some(own), verify)
        }
    };
    let tree = tree_or_build(inner, hash, &file, &path, stamp.size).inspect_err(|error| {
        if let (ReadError::Changed { .. }, Some(own)) = (error, &own) {
            own::forget_own(inner, &path, own);
        }
    })?;
    Ok(BlobReader { inner: inner.clone(), file, path, stamp, tree, own, verify, _pin: pin })
}
