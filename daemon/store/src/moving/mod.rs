//! Moving the cache to another folder while it is in use. On the same disk files are renamed, to another they are
//! copied, flushed, read again and compared with their hashes. At every moment one place, which the note names, has or
//! will be given everything.
//!
//! A pinned blob keeps its old name too, until the next start: the game has it open by that. `common` has what both ways
//! need; the ways are `rename` and `copy`.

mod common;
mod copy;
mod judge;
mod rename;

pub use common::{MoveError, MoveProgress, Moved};

use super::{
    error::StoreError,
    free::remove,
    inner::Inner,
    name, os,
    place::{CacheLocation, MARK, Place, empty, fresh_mark},
};
use fyteclub_files::private;
use judge::canonical;
use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, TryLockError},
};

pub(crate) fn move_to(
    inner: &Inner,
    target: &Path,
    mut progress: impl FnMut(MoveProgress) -> ControlFlow<()>,
) -> Result<Moved, MoveError> {
    let _alone = match inner.moving.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(MoveError::Busy),
    };
    let old = inner.site.stand()?;
    let mut note = CacheLocation::read(&inner.dir)?;
    if let Some(to) = &note.renaming {
        return Err(MoveError::Unfinished { dir: inner.dir.join(to) });
    }
    // What a move that failed left there is not in use.
    note.copying = note.copying.filter(|left| *left != note.dir && !empty(&inner.dir, left));
    let target = judge::judge_target(inner, target, &note)?;
    let home = target == canonical(&inner.dir);
    let name = if home {
        ".".to_owned()
    } else {
        target.to_str().ok_or_else(|| MoveError::NoPath { dir: target.clone() })?.to_owned()
    };
    make_folder(&target)?;
    // Copies that could not be removed yet are not forgotten.
    note.leaving.extend(note.copying.take());
    // Written before anything is made that a crash would leave there.
    note.copying = Some(name.clone());
    note.write(&inner.dir)?;
    let moved = prepare(&target, home).and_then(|()| {
        let new = Arc::new(Place::at(target.clone(), !home)?);
        if can_rename(&old, &new) {
            rename::rename_to(inner, &mut note, &name, &new, &mut progress)
        } else {
            copy::copy_to(inner, &mut note, &name, &new, &mut progress)
        }
    });
    if moved.is_err() && note.renaming.is_none() && note.dir != name {
        note.copying = (!empty(&inner.dir, &name)).then_some(name);
        note.write(&inner.dir)?;
    }
    let mut moved = moved?;
    match leave(inner, &old, &mut note) {
        Ok(kept) => moved.kept = kept,
        Err(error) => tracing::warn!(%error, "the old place of the cache is emptied at the next start"),
    }
    Ok(moved)
}

/// Marks the place, so that a disk that is not there is not taken for an empty cache.
fn prepare(target: &Path, home: bool) -> Result<(), MoveError> {
    if !home {
        let mark = target.join(MARK);
        // On the disk before a note says that anything is here.
        fresh_mark()
            .and_then(|text| private::write(&mark, &text))
            .map_err(|source| MoveError::NotWritable { path: mark, source })?;
    }
    make_folder(&target.join("blobs"))?;
    make_folder(&target.join("partial"))
}

fn make_folder(path: &Path) -> Result<(), MoveError> {
    fs::create_dir_all(path).map_err(|source| MoveError::NotWritable { path: path.to_owned(), source })
}

/// Only an attempt tells: one disk can be mounted twice, and one mount can have many disks.
fn can_rename(old: &Place, new: &Place) -> bool {
    let (from, to) = (old.partial.join("0.tmp"), new.partial.join("0.tmp"));
    // What another program left there may be a pipe.
    remove(&from).ok();
    let renamed = fs::write(&from, b"").and_then(|()| os::rename(&from, &to)).is_ok();
    remove(&from).ok();
    remove(&to).ok();
    renamed
}

/// Removes unused files from the old place; returns how many stay.
fn leave(inner: &Inner, old: &Place, note: &mut CacheLocation) -> Result<usize, StoreError> {
    let mut kept = 0;
    for folder in [&old.blobs, &old.partial] {
        for (name, entry) in os::names(folder)? {
            let pinned = name::parse_blob_name(&name).is_some_and(|(hash, _)| inner.state().pinned(&hash));
            // A folder with such a name is another program's, and in nobody's use.
            let ours =
                !entry.path().is_dir() && (name::parse_blob_name(&name).is_some() || name::is_of_part(&name));
            let removed = ours && !pinned && remove(&entry.path()).is_ok();
            kept += usize::from(ours && !removed);
        }
    }
    fs::remove_dir(&old.new).ok();
    // Files that have no name yet are still written there.
    if kept == 0 && !old.new.exists() {
        if let Some(left) = note.leaving.pop().filter(|left| !empty(&inner.dir, left)) {
            note.leaving.push(left);
        }
        note.write(&inner.dir)?;
    }
    Ok(kept)
}
