//! Frees names in the store's folders: removes files and links, and renames folders that another program put there.

use super::{error::StoreError, os};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

/// Names that are tried for what is moved aside.
const KEPT_MAX: u32 = 100;

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match os::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::at(path, error)),
        _ => Ok(()),
    }
}

/// Frees a name that only the store gives. A file, a link or an empty folder is removed. A folder with something in it,
/// which is not the store's, is renamed to `NAME.kept-1`. `false` when nothing had the name.
///
/// # Errors
/// What has the name can be neither removed nor renamed.
pub(super) fn free(path: &Path) -> io::Result<bool> {
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let removed = if found.is_dir() { os::remove_dir(path) } else { os::remove_file(path) };
    let Err(error) = removed else { return Ok(true) };
    let kept = aside(path).filter(|kept| os::rename(path, kept).is_ok()).ok_or(error)?;
    tracing::warn!("{} was not a file of the cache: it is {} now", path.display(), kept.display());
    Ok(true)
}

/// As [`free`], with an error that says what to do.
pub(super) fn free_or_tell(path: &Path) -> Result<(), StoreError> {
    free(path).map(drop).map_err(|source| StoreError::Undeletable { path: path.to_owned(), source })
}

fn aside(path: &Path) -> Option<PathBuf> {
    let name = |number: u32| {
        let mut name = OsString::from(path.file_name()?);
        name.push(format!(".kept-{number}"));
        Some(path.with_file_name(name))
    };
    (1..=KEPT_MAX).filter_map(name).find(|kept| kept.symlink_metadata().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_name_is_freed_whatever_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("name.tex");
        assert!(!free(&path).unwrap(), "nothing had it");
        fs::write(&path, b"file").unwrap();
        assert!(free(&path).unwrap());
        fs::create_dir(&path).unwrap();
        assert!(free(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is kept of these");
        for number in 1..3 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("diary.txt"), b"mine").unwrap();
            assert!(free(&path).unwrap());
            assert!(dir.path().join(format!("name.tex.kept-{number}/diary.txt")).exists());
        }
        fs::write(&path, b"file").unwrap();
        os::STUCK.with_borrow_mut(|stuck| stuck.push(path.clone()));
        assert!(free(&path).is_err() && path.exists());
        os::STUCK.with_borrow_mut(Vec::clear);
    }
}
