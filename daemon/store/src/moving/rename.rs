//! To another folder of the same disk: every file is renamed while all names are locked.

use super::common::{self, MoveError, MoveProgress, Moved, moved, part_files};
use crate::{
    error::StoreError,
    inner::Inner,
    os::{self, Stamp},
    place::{Place, Whereabouts},
};
use std::{fs, io, ops::ControlFlow, path::Path, sync::Arc};

pub(super) fn rename_to(
    inner: &Inner,
    note: &mut Whereabouts,
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
        match rename_all(inner, &old, new, note, name) {
            Ok(moved) => Ok(moved),
            Err(error) => {
                carry_back(inner, &old, new, note)?;
                Err(error.into())
            }
        }
    })
}

fn rename_all(
    inner: &Inner,
    old: &Place,
    new: &Arc<Place>,
    note: &mut Whereabouts,
    name: &str,
) -> Result<Moved, StoreError> {
    let blobs = common::all_blobs(inner);
    for (hash, ext, _) in &blobs {
        let (from, to) = (old.blob_path(hash, *ext), new.blob_path(hash, *ext));
        let pinned = inner.state().pinned(hash);
        let before = fs::metadata(&from).map(|found| Stamp::of_cached(&found)).ok();
        match carry(&from, &to, pinned) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !old.stands() => {
                return Err(StoreError::Away { dir: old.dir.clone() });
            }
            // Another program removed it; the next look notices.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::at(&to, error));
            }
            _ => {}
        }
        if let Some(before) = before {
            inner.state().renew(hash, &before, before.renamed(&to));
        }
    }
    for (from, to) in part_files(old, new)? {
        fs::rename(&from, &to).map_err(|error| StoreError::at(&to, error))?;
    }
    for folder in [&new.blobs, &new.partial, &new.dir] {
        os::sync_folder(folder).map_err(|error| StoreError::at(folder, error))?;
    }
    common::switch(inner, note, name, new)?;
    let bytes = blobs.iter().map(|(_, _, size)| size).sum();
    Ok(moved(old, new, blobs.len(), bytes))
}

/// Undoes a move that did not come to its end; what cannot be undone the next start brings over.
fn carry_back(inner: &Inner, old: &Place, new: &Place, note: &mut Whereabouts) -> Result<(), StoreError> {
    let mut back = true;
    for (from, to) in [(&new.blobs, &old.blobs), (&new.partial, &old.partial)] {
        for (name, entry) in os::names(from)? {
            back &= fs::rename(entry.path(), to.join(name)).is_ok();
        }
    }
    if back {
        note.renaming = None;
        note.write(&inner.dir)?;
    }
    Ok(())
}

/// A new name on the same disk; beside the old one where that is needed.
fn carry(from: &Path, to: &Path, keep: bool) -> io::Result<()> {
    if !keep {
        return match os::rename(from, to) {
            // It stays where it is, and so it is copied.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && from.is_file() => {
                copy(from, to).map_err(|_| error)
            }
            // A mount point, in a blob's place.
            Err(_) if from.is_dir() => Err(io::ErrorKind::NotFound.into()),
            result => result,
        };
    }
    // A disk without links.
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => copy(from, to),
        result => result,
    }
}

/// Its time comes last: a copy that was cut short is known by it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    os::set_modified(to, from)?;
    os::sync_files(to.parent().unwrap_or(to), &[to.to_owned()])
}
