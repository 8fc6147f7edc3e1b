//! To another folder of the same disk: every file gets its new name while nobody else gives or takes one.

use super::{MoveError, MoveProgress, Moved, moved, part_files};
use crate::{
    Inner,
    error::StoreError,
    os::{self, Stamp},
    place::{Place, Whereabouts},
};
use std::{fs, io, ops::ControlFlow, path::Path, sync::Arc};

impl Inner {
    pub(super) fn rename_to(
        &self,
        note: &mut Whereabouts,
        name: &str,
        new: &Arc<Place>,
        progress: &mut impl FnMut(MoveProgress) -> ControlFlow<()>,
    ) -> Result<Moved, MoveError> {
        let old = self.here();
        let all = self.all_blobs();
        let bytes_total = all.iter().map(|(_, _, size)| size).sum();
        let begin = MoveProgress { files: 0, files_total: all.len(), bytes: 0, bytes_total };
        if progress(begin).is_break() {
            return Err(MoveError::Cancelled);
        }
        self.undisturbed(|| {
            (note.copying, note.renaming) = (None, Some(name.to_owned()));
            note.write(&self.dir)?;
            match self.rename_all(&old, new, note, name) {
                Ok(moved) => Ok(moved),
                Err(error) => {
                    self.carry_back(&old, new, note)?;
                    Err(error.into())
                }
            }
        })
    }

    fn rename_all(
        &self,
        old: &Place,
        new: &Arc<Place>,
        note: &mut Whereabouts,
        name: &str,
    ) -> Result<Moved, StoreError> {
        let blobs = self.all_blobs();
        for (hash, ext, _) in &blobs {
            let (from, to) = (old.blob_path(hash, *ext), new.blob_path(hash, *ext));
            let pinned = self.state().pinned(hash);
            let before = fs::metadata(&from).map(|found| Stamp::of_cached(&found)).ok();
            match carry(&from, &to, pinned) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !old.stands() => {
                    return Err(StoreError::Away { dir: old.dir.clone() });
                }
                // Somebody removed it; whoever asks for it will notice.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::at(&to, error));
                }
                _ => {}
            }
            if let Some(before) = before {
                self.state().renew(hash, &before, before.renamed(&to));
            }
        }
        for (from, to) in part_files(old, new)? {
            fs::rename(&from, &to).map_err(|error| StoreError::at(&to, error))?;
        }
        for folder in [&new.blobs, &new.partial, &new.dir] {
            os::sync_folder(folder).map_err(|error| StoreError::at(folder, error))?;
        }
        self.switch(note, name, new)?;
        let bytes = blobs.iter().map(|(_, _, size)| size).sum();
        Ok(moved(old, new, blobs.len(), bytes))
    }

    /// Undoes a move that did not come to its end; what cannot be undone the next start brings over.
    fn carry_back(&self, old: &Place, new: &Place, note: &mut Whereabouts) -> Result<(), StoreError> {
        let mut back = true;
        for (from, to) in [(&new.blobs, &old.blobs), (&new.partial, &old.partial)] {
            for (name, entry) in os::names(from)? {
                back &= fs::rename(entry.path(), to.join(name)).is_ok();
            }
        }
        if back {
            note.renaming = None;
            note.write(&self.dir)?;
        }
        Ok(())
    }
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
