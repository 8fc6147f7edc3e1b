//! The player's own files: hashed once, served from where they lie, never copied. And files that are handed over whole.

use super::{
    error::StoreError,
    free::remove,
    inner::Inner,
    name::Ext,
    naming,
    os::{self, Likeness, Stamp},
    prove::hash_file,
    state::OwnFile,
    trust,
};
use fyteclub_proto::{chunk_tree::ChunkTree, id::BlobHash, limit::FILE_SIZE_MAX};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// A file that the store now serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub hash: BlobHash,
    pub size: u64,
}

/// Times on some file systems are this coarse: a write right after the hash could leave the same one.
const YOUNG_NS: i64 = 2_000_000_000;
/// How often a file that is being written is tried.
const ATTEMPTS: u32 = 3;

/// Hashes a file, and fails when it changes meanwhile.
fn hash_steady(path: &Path) -> Result<(ChunkTree, OwnFile), StoreError> {
    for _ in 0..ATTEMPTS {
        let now = os::nanos(SystemTime::now());
        let (file, before) = os::open_regular(path)?;
        if before.size > FILE_SIZE_MAX {
            return Err(StoreError::FileTooLarge { path: path.to_owned(), size: before.size });
        }
        let tree = hash_file(&file, before.size).map_err(|e| StoreError::at(path, e))?;
        let after = file.metadata().map(|m| Stamp::of(&m)).map_err(|e| StoreError::at(path, e))?;
        if let Some(tree) = tree
            && before == after
        {
            let young = before.mtime_ns > now - YOUNG_NS;
            let hash = tree.hash();
            return Ok((tree, OwnFile { hash, stamp: before, young }));
        }
    }
    Err(StoreError::Changing { path: path.to_owned() })
}

/// The first own file of this content that is still as it was indexed; one that its size and times do not prove
/// is read.
pub(super) fn unchanged_own_path(inner: &Inner, hash: &BlobHash) -> Option<PathBuf> {
    let files = inner.state().own_files(hash);
    files.into_iter().find_map(|(path, file)| {
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let unchanged = match file.stamp.likeness(&Stamp::of(&metadata)) {
            Likeness::Changed => false,
            Likeness::Same if !file.young => true,
            Likeness::Same | Likeness::Doubtful => index_own(inner, &path).is_ok_and(|now| now.hash == *hash),
        };
        unchanged.then(|| path.to_path_buf())
    })
}

/// Reads an own file, and knows it by what it is now.
fn index_own(inner: &Inner, path: &Path) -> Result<OwnFile, StoreError> {
    let (tree, file) = hash_steady(path)?;
    inner.state().insert_own(path.into(), file);
    inner.keep_tree(Arc::new(tree));
    Ok(file)
}

/// Forgets an own file that turned out not to be what `known` says, unless it was indexed anew since.
pub(super) fn forget_own(inner: &Inner, path: &Path, known: &OwnFile) {
    let mut state = inner.state();
    if state.own.get(path).is_some_and(|file| file.stamp == known.stamp && file.hash == known.hash) {
        state.remove_own(path);
    }
}

pub(crate) fn index_source(inner: &Inner, path: &Path) -> Result<Source, StoreError> {
    let path = std::path::absolute(path).map_err(|e| StoreError::at(path, e))?;
    let metadata = fs::metadata(&path).map_err(|e| StoreError::at(&path, e))?;
    if let Some(file) = inner.state().unchanged_own(&path, &Stamp::of(&metadata)) {
        return Ok(Source { hash: file.hash, size: file.stamp.size });
    }
    let file = index_own(inner, &path)?;
    Ok(Source { hash: file.hash, size: file.stamp.size })
}

pub(crate) fn import(inner: &Inner, path: &Path, ext: &str) -> Result<Source, StoreError> {
    let (tree, file) = hash_steady(path)?;
    let source = Source { hash: file.hash, size: file.stamp.size };
    if trust::cached(inner, &source.hash)?.is_some() {
        inner.state().touch(&source.hash);
        remove(path)?;
        return Ok(source);
    }
    let temp = inner.site.temp_path()?;
    let moved = match fs::rename(path, &temp) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(path, &temp, &source),
        result => result.map_err(|e| StoreError::at(path, e)),
    };
    if let Err(error) = moved.and_then(|()| naming::place(inner, source.hash, Ext::new(ext), &temp)) {
        if !path.exists() {
            fs::rename(&temp, path).ok();
        }
        remove(&temp).ok();
        return Err(error);
    }
    // Left behind by a copy only.
    remove(path)?;
    inner.keep_tree(Arc::new(tree));
    Ok(source)
}

/// Copies, and proves that the copy is what was hashed.
fn copy(from: &Path, to: &Path, source: &Source) -> Result<(), StoreError> {
    fs::copy(from, to).map_err(|e| StoreError::at(to, e))?;
    let (tree, _) = hash_steady(to)?;
    let same = tree.hash() == source.hash;
    same.then_some(()).ok_or_else(|| StoreError::Changing { path: from.to_owned() })
}
