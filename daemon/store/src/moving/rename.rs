//! To another folder of the same disk: every file is renamed while all names are locked.

use super::common::{self, Freed, MoveError, MoveProgress, Moved, Obstacles, moved, part_files};
use crate::{
    error::StoreError,
    inner::Inner,
    os::{self, Stamp},
    place::{CacheLocation, Place, bring_one},
};
use std::{
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What was taken from the old place: from where, and where to.
type Carried = Vec<(PathBuf, PathBuf)>;

pub(super) fn rename_to(
    inner: &Inner,
    note: &mut CacheLocation,
    name: &str,
    new: &Arc<Place>,
    progress: &mut impl FnMut(MoveProgress) -> ControlFlow<()>,
) -> Result<Moved, MoveError> {
    let old = inner.site.here();
    let all = common::all_blobs(inner);
    let bytes_total = all.iter().map(|(_, _, size)| size).sum();
    let begin = MoveProgress { files: 0, files_total: all.len(), bytes: 0, bytes_total };
    if progress(begin).is_break() {
        return Err(MoveError::Cancelled);
    }
    common::undisturbed(inner, || {
        (note.copying, note.renaming) = (None, Some(name.to_owned()));
        note.write(&inner.dir)?;
        let mut carried = Carried::new();
        let renamed = rename_all(inner, &old, new, &mut carried).and_then(|obstacles| {
            common::switch(inner, note, name, new)?;
            Ok(obstacles)
        });
        match renamed {
            Ok(obstacles) => {
                for (hash, ext, _) in &obstacles {
                    inner.state().blobs.entry(*hash).and_modify(|blob| blob.ext = ext.other());
                }
                common::tell_obstacles(inner, obstacles);
                let blobs = common::all_blobs(inner);
                let bytes = blobs.iter().map(|(_, _, size)| size).sum();
                Ok(moved(&old, new, blobs.len(), bytes))
            }
            Err(error) => {
                carry_back(inner, carried, note)?;
                Err(error.into())
            }
        }
    })
}

fn rename_all(
    inner: &Inner,
    old: &Place,
    new: &Arc<Place>,
    carried: &mut Carried,
) -> Result<Obstacles, StoreError> {
    let mut obstacles = Obstacles::new();
    for (hash, ext, _) in common::all_blobs(inner) {
        let from = old.blob_path(&hash, ext);
        // Another program removed it, which the next look notices; or its disk is away.
        let Ok(before) = fs::metadata(&from) else {
            if !old.stands() {
                return Err(StoreError::Away { dir: old.dir.clone() });
            }
            continue;
        };
        let Freed { path: to, obstacle, .. } = common::free_name_in(new, &hash, ext)?;
        let pinned = before.is_file() && inner.state().pinned(&hash);
        let brought = if pinned { link(&from, &to).map(|()| false) } else { carry(&from, &to) };
        let Some(gone) = common::or_left(&from, brought)? else { continue };
        obstacles.extend(obstacle.map(|cause| (hash, ext, cause)));
        let before = Stamp::of_cached(&before);
        inner.state().renew(&hash, &before, before.renamed(&to));
        carried.extend(gone.then_some((from, to)));
    }
    for (from, to) in part_files(old, new)? {
        if !common::free_part_name(&to) {
            continue;
        }
        if let Some(true) = common::or_left(&from, carry(&from, &to))? {
            carried.push((from, to));
        }
    }
    for folder in [&new.blobs, &new.partial, &new.dir] {
        os::sync_folder(folder).map_err(|error| StoreError::at(folder, error))?;
    }
    Ok(obstacles)
}

/// Undoes a move that did not come to its end; what cannot be undone the next start brings over.
fn carry_back(inner: &Inner, carried: Carried, note: &mut CacheLocation) -> Result<(), StoreError> {
    let mut back = true;
    for (from, to) in carried {
        back &= bring_one(&to, &from).is_ok();
    }
    if back {
        note.renaming = None;
        note.write(&inner.dir)?;
    }
    Ok(())
}

/// A new name, which is free, on the same disk. Whether the old one is gone: what cannot be renamed is copied.
fn carry(from: &Path, to: &Path) -> Result<bool, StoreError> {
    match os::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => {
            Err(StoreError::Missing { path: from.to_owned() })
        }
        // A mount point, in a file's place.
        Err(_) if from.is_dir() => Err(StoreError::NotAFile { path: from.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => copy(from, to).map(|()| false),
        Err(error) => Err(StoreError::at(to, error)),
    }
}

/// A second name beside the old one; a copy on a disk without links.
fn link(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::hard_link(from, to).or_else(|_| copy(from, to))
}

fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    common::copy_file(from, to)?;
    let synced = os::sync_files(to.parent().unwrap_or(to), &[to.to_owned()]);
    synced.map_err(|error| StoreError::at(to, error))
}
