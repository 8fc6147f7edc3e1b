//! Serving: a blob opened once, read chunk by chunk. What leaves here is what its hash says, or an error: a cached file
//! is known by its size and times, an own file is checked before and after each read, and one that leaves a doubt is
//! verified.

use super::{
    Inner, Pin, Store,
    check::Verdict,
    error::{ReadError, StoreError},
    os,
    os::{Likeness, Stamp},
    prove::{hash_file, open_blob_file},
    state::{Blob as Cached, OwnFile},
};
use fyteclub_proto::{
    blob::{Blob, Origin},
    chunk_tree::{ChunkTree, chunk_len},
    id::BlobHash,
    limit::CHUNK_SIZE,
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One blob, open. It is not evicted as long as this lives. Reads from several threads do not disturb each other.
pub struct BlobReader {
    store: Store,
    file: File,
    path: PathBuf,
    stamp: Stamp,
    tree: Arc<ChunkTree>,
    own: Option<OwnFile>,
    /// The file's stamp alone does not vouch for its bytes.
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
        self.store.0.note_use();
        match os::read_vec_at(&self.file, bytes, len, u64::from(index) * CHUNK_SIZE as u64) {
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
            Some(own) => self.store.0.forget_own(&self.path, own),
            // What cannot be read now may be right.
            None => drop(self.store.0.recheck(&self.tree.hash())),
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

impl Inner {
    /// Reads a cached blob whose file is not as the store left it: it is trusted anew, and returned, or dropped.
    ///
    /// # Errors
    /// A disk that is away, or trouble that may pass: then nothing is dropped.
    pub(super) fn recheck(&self, hash: &BlobHash) -> Result<Option<Cached>, StoreError> {
        let Some(known) = self.known(hash) else { return Ok(None) };
        let verdict = match self.look_into(&known) {
            Err(StoreError::Io { source, .. }) if os::is_of_one_file(&source) => {
                self.give_up(&known, &source);
                return Ok(None);
            }
            verdict => verdict?,
        };
        match verdict {
            Verdict::Right(stamp) => {
                let mut state = self.state();
                return Ok(state.renew(hash, known.stamp(), stamp).copied());
            }
            verdict @ (Verdict::Wrong | Verdict::Gone) => {
                if self.condemn(&known) {
                    tracing::debug!("a file in the cache is {verdict:?}, and forgotten: {hash}");
                }
            }
        }
        Ok(None)
    }

    /// Opens the cached file, if it still is as the store left it; and tells whether its stamp does not vouch for that.
    fn open_cached(&self, hash: &BlobHash) -> Result<Option<(File, PathBuf, Stamp, bool)>, StoreError> {
        // Twice: the second time after a look into the file.
        for _ in 0..2 {
            let Some(blob) = self.state().blobs.get(hash).copied() else { return Ok(None) };
            let path = self.blob_path(hash, blob.ext);
            match open_blob_file(&path) {
                Ok((file, stamp)) if blob.stamp == stamp => return Ok(Some((file, path, stamp, false))),
                Err(StoreError::Io { path, source }) if !os::is_of_one_file(&source) => {
                    return Err(StoreError::Io { path, source });
                }
                opened => {
                    // Some file systems say something else each time: what was read counts.
                    if let (Some(blob), Ok((file, stamp))) = (self.recheck(hash)?, opened)
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
    fn open_own(&self, hash: &BlobHash) -> Result<(File, PathBuf, Stamp, OwnFile, bool), ReadError> {
        let mut error = ReadError::Gone { hash: *hash };
        let files = self.state().own_files(hash);
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
            self.forget_own(&path, &known);
        }
        Err(error)
    }

    /// The kept tree, or one built from the file when it was lost.
    fn tree_or_build(
        &self,
        hash: &BlobHash,
        file: &File,
        path: &Path,
        size: u64,
    ) -> Result<Arc<ChunkTree>, ReadError> {
        if let Some(tree) = self.kept_tree(*hash, size) {
            return Ok(tree);
        }
        let built =
            hash_file(file, size).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        let Some(tree) = built.filter(|tree| tree.hash() == *hash) else {
            return Err(ReadError::Changed { path: path.to_owned() });
        };
        let tree = Arc::new(tree);
        self.remember_tree(&tree);
        self.keep_tree(tree.clone());
        Ok(tree)
    }
}

impl Store {
    /// Opens a blob for serving. As [`Origin::Own`] it may be the cached one or the player's own file; as an owner's it
    /// must be in the cache and have come from them. Reads nothing, but for a large blob whose tree was lost and a cached
    /// file that somebody touched: those are hashed once.
    ///
    /// # Errors
    /// `Gone` when it is not here, in this size and from there; `Changed` when it was an own file that is something else
    /// now.
    pub fn open_blob(&self, blob: &Blob) -> Result<BlobReader, ReadError> {
        let gone = || ReadError::Gone { hash: blob.content.hash };
        if !self.0.state().holds(blob) {
            return Err(gone());
        }
        let reader = self.open_hash(&blob.content.hash, blob.origin == Origin::Own)?;
        if reader.tree.size() == blob.content.size { Ok(reader) } else { Err(gone()) }
    }

    /// The cached blob before the player's own, if that may be it at all.
    pub(super) fn open_hash(&self, hash: &BlobHash, or_own: bool) -> Result<BlobReader, ReadError> {
        let pin = self.pin([*hash]);
        self.touch(&[*hash]);
        let inner = &*self.0;
        let (file, path, stamp, own, verify) = match inner.open_cached(hash).map_err(unreadable)? {
            Some((file, path, stamp, verify)) => (file, path, stamp, None, verify),
            None if !or_own => return Err(ReadError::Gone { hash: *hash }),
            None => {
                let (file, path, stamp, own, verify) = inner.open_own(hash)?;
                (file, path, stamp, Some(own), verify)
            }
        };
        let tree = inner.tree_or_build(hash, &file, &path, stamp.size).inspect_err(|error| {
            if let (ReadError::Changed { .. }, Some(own)) = (error, &own) {
                inner.forget_own(&path, own);
            }
        })?;
        Ok(BlobReader { store: self.clone(), file, path, stamp, tree, own, verify, _pin: pin })
    }
}
