//! Gives complete blobs their names in `blobs/`, and takes these away. Only a move of the cache does so too.

use super::{
    error::{CACHE_MOVE, StoreError},
    free::{free, remove},
    inner::Inner,
    name::Ext,
    os::{self, Stamp},
    owners::BlobOwners,
    state::{Blob, Obstacle, State},
};
use fyteclub_files::trouble::{explain, explain_removal};
use fyteclub_proto::{blob::Content, chunk_tree::ChunkTree, id::BlobHash, limit::FILE_SIZE_MAX};
use std::{fs, io, path::Path, sync::Arc};

/// Gives the complete and verified file `temp` its name in `blobs/`. When the blob is there already, `temp` goes.
///
/// Another's file or folder in its place goes; where it cannot, the blob gets its name with another ending.
///
/// # Errors
/// `Missing` when `temp` is; `Undeletable` when neither name can be had; `NotWritable`.
pub(super) fn place(inner: &Inner, hash: BlobHash, ext: Ext, temp: &Path) -> Result<(), StoreError> {
    let stamp = fs::metadata(temp).map(|m| Stamp::of_cached(&m)).map_err(|e| StoreError::at(temp, e))?;
    if stamp.size > FILE_SIZE_MAX {
        return Err(StoreError::Foreign { hash });
    }
    let _name = inner.site.name(&hash);
    let known = inner.state().blobs.get(&hash).copied();
    if let Some(known) = known {
        if is_as_left(&inner.site.blob_path(&hash, known.ext), &known).unwrap_or(false) {
            return remove(temp);
        }
        // Another's file, or none: these bytes are the proven ones.
        if known.ext != ext {
            free_name(inner, &hash, known.ext);
        }
    }
    let (ext, stamp) = match give_name(inner, &inner.site.blob_path(&hash, ext), temp, stamp) {
        Err(StoreError::Undeletable { path, source }) => {
            found_obstacle(inner, hash, ext, &source);
            let other = ext.other();
            let given = give_name(inner, &inner.site.blob_path(&hash, other), temp, stamp);
            (other, given.map_err(|_| StoreError::Undeletable { path, source })?)
        }
        given => (ext, given?),
    };
    let mut state = inner.state();
    state.lost_obstacle(&hash, ext);
    drop(state);
    placed(inner, hash, ext, stamp);
    Ok(())
}

/// Renames `temp` to `path`, where nothing of the store's is, and tells the stamp of the file there.
fn give_name(inner: &Inner, path: &Path, temp: &Path, mut stamp: Stamp) -> Result<Stamp, StoreError> {
    let mut renamed = os::rename(temp, path);
    let failed = |renamed: &io::Result<()>, kind| renamed.as_ref().is_err_and(|e| e.kind() == kind);
    if failed(&renamed, io::ErrorKind::NotFound) {
        inner.site.stand()?.make_again()?;
        renamed = os::rename(temp, path);
    }
    let mut from = temp.to_owned();
    if failed(&renamed, io::ErrorKind::CrossesDevices) {
        // The cache was moved to another disk since the file was begun.
        from = inner.site.temp_path()?;
        let copied = fs::copy(temp, &from).and_then(|_| fs::metadata(&from));
        stamp = copied.map(|m| Stamp::of_cached(&m)).map_err(|error| StoreError::at(&from, error))?;
        renamed = os::rename(&from, path);
    }
    if let Err(error) = renamed {
        // On some systems another's file has to go first, on all of them a folder.
        let in_the_way = path.symlink_metadata().is_ok();
        if !in_the_way || free(path).and_then(|_| os::rename(&from, path)).is_err() {
            if from != temp {
                remove(&from).ok();
            }
            return Err(if in_the_way {
                StoreError::Undeletable { path: path.to_owned(), source: error }
            } else {
                StoreError::writing(path, error)
            });
        }
    }
    if from != temp {
        remove(temp).ok();
    }
    Ok(stamp.renamed(path))
}

/// Takes away what has this name, which no blob has. What stays is an obstacle; `false` then.
pub(super) fn free_name(inner: &Inner, hash: &BlobHash, ext: Ext) -> bool {
    match free(&inner.site.blob_path(hash, ext)) {
        Ok(_) => {
            inner.state().lost_obstacle(hash, ext);
            true
        }
        Err(error) => {
            found_obstacle(inner, *hash, ext, &error);
            false
        }
    }
}

/// Remembers what is in a blob's way and stays. The log is told once.
pub(super) fn found_obstacle(inner: &Inner, hash: BlobHash, ext: Ext, cause: &io::Error) {
    remember_obstacle(inner, (hash, ext), cause, false, |path| {
        let told = explain_removal(path, cause, CACHE_MOVE);
        tracing::warn!("what lies in the place of a cached file stays: {told}");
    });
}

/// Remembers a blob's file that cannot be read. It stays until the blob comes again, which replaces it.
pub(super) fn found_unreadable(inner: &Inner, hash: BlobHash, ext: Ext, cause: &io::Error) {
    remember_obstacle(inner, (hash, ext), cause, true, |path| {
        let told = explain(path, cause);
        tracing::warn!("a cached file cannot be read, and is replaced when it is fetched again: {told}");
    });
}

fn remember_obstacle(
    inner: &Inner,
    (hash, ext): (BlobHash, Ext),
    cause: &io::Error,
    unreadable: bool,
    tell: impl FnOnce(&Path),
) {
    let path = inner.site.blob_path(&hash, ext);
    let obstacle = Obstacle { hash, path: path.clone(), cause: cause.to_string(), unreadable };
    if inner.state().found_obstacle(ext, obstacle) {
        tell(&path);
    }
}

/// Makes a file that has its name known. The caller holds the name's stripe.
pub(super) fn placed(inner: &Inner, hash: BlobHash, ext: Ext, stamp: Stamp) {
    let mut state = inner.state();
    let used = state.tick();
    let content = Content { hash, size: stamp.size };
    let left = state.parts.get(&content).filter(|part| part.open.strong_count() == 0).map(|part| part.ext);
    let owners = BlobOwners::default();
    state.insert_blob(hash, Blob { used, stamp, ext, synced: false, owners });
    drop(state);
    if let Some(ext) = left {
        inner.site.here().remove_part(&content, ext).ok();
    }
}

/// Evicts: takes the blob's name away and forgets it, unless `still` says that it may not go any more.
///
/// # Errors
/// `Undeletable`: on Windows the game may hold it open. It is still known then.
pub(super) fn remove_blob(
    inner: &Inner,
    hash: &BlobHash,
    still: impl FnOnce(&State) -> bool,
) -> Result<bool, StoreError> {
    let _name = inner.site.name(hash);
    let Some(forgotten) = forget(inner, hash, still) else { return Ok(false) };
    let path = inner.site.blob_path(hash, forgotten.0.ext);
    let result = match free(&path) {
        Ok(true) => Ok(()),
        // Or its disk is away, and it with it.
        Ok(false) => inner.site.stand().map(drop),
        Err(source) => Err(StoreError::Undeletable { path, source }),
    };
    if result.is_err() {
        remember(inner, *hash, forgotten);
    }
    result.map(|()| true)
}

/// Forgets a blob whose file is not what it was, and takes the file away; what stays is an obstacle. Whether it is
/// forgotten: not where `still` says no, nor where the disk is away.
pub(super) fn drop_wrong(inner: &Inner, hash: &BlobHash, still: impl FnOnce(&State) -> bool) -> bool {
    let _name = inner.site.name(hash);
    let Some(forgotten) = forget(inner, hash, still) else { return false };
    let path = inner.site.blob_path(hash, forgotten.0.ext);
    let gone = path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if gone && inner.site.stand().is_err() {
        remember(inner, *hash, forgotten);
        return false;
    }
    free_name(inner, hash, forgotten.0.ext);
    true
}

/// Forgets a blob whose file cannot be read. The file stays until the blob comes again.
pub(super) fn drop_unreadable(
    inner: &Inner,
    hash: &BlobHash,
    still: impl FnOnce(&State) -> bool,
    cause: &io::Error,
) {
    let _name = inner.site.name(hash);
    if let Some((blob, _)) = forget(inner, hash, still) {
        found_unreadable(inner, *hash, blob.ext, cause);
    }
}

/// The caller holds the name's stripe.
fn forget(
    inner: &Inner,
    hash: &BlobHash,
    still: impl FnOnce(&State) -> bool,
) -> Option<(Blob, Option<Arc<ChunkTree>>)> {
    let mut state = inner.state();
    still(&state).then_some(())?;
    let tree = state.trees.get(hash).cloned();
    Some((state.remove_blob(hash)?, tree))
}

fn remember(inner: &Inner, hash: BlobHash, (blob, tree): (Blob, Option<Arc<ChunkTree>>)) {
    let mut state = inner.state();
    state.insert_blob(hash, blob);
    state.trees.extend(tree.map(|tree| (hash, tree)));
}

/// `false` also when there is no file.
pub(super) fn is_as_left(path: &Path, blob: &Blob) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.is_file() && blob.stamp == Stamp::of_cached(&found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(StoreError::at(path, error)),
    }
}
