//! Files that only their owner may read, written whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Replaces a file's content: written beside it, flushed to the disk, and renamed over it.
///
/// # Errors
/// The machine's. The old content is then still there.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    // The rename itself must survive a power cut where folders can be flushed.
    if let Some(Ok(dir)) = path.parent().map(File::open) {
        dir.sync_all().ok();
    }
    Ok(())
}

/// Removes a file, which may be gone already, so that it does not come back after a power cut.
///
/// # Errors
/// The machine's.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    if let Some(Ok(dir)) = path.parent().map(File::open) {
        dir.sync_all().ok();
    }
    Ok(())
}

/// Creates a folder, and those above it, that only its owner may enter.
///
/// # Errors
/// The machine's.
pub fn create_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// The file's mode when group or others may do anything with it; `None` when they may not, or there is no file.
///
/// # Errors
/// Metadata that cannot be read.
#[cfg(unix)]
pub fn readable_by_others(path: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    match fs::metadata(path) {
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o7777;
            Ok((mode & 0o077 != 0).then_some(mode))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes from group and others whatever they may do with a file or folder; the mode that it had, `None` when nothing had
/// to be taken or nothing is there.
///
/// # Errors
/// The mode cannot be read or changed: it belongs to somebody else, or the disk is read-only.
#[cfg(unix)]
pub fn close_to_others(path: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let Some(mode) = readable_by_others(path)? else { return Ok(None) };
    fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o077))?;
    Ok(Some(mode))
}

/// Windows has no modes: see [`readable_by_others`].
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn close_to_others(_path: &Path) -> io::Result<Option<u32>> {
    Ok(None)
}

/// Windows has no modes: a file in the user's own profile is protected by what it inherits.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn readable_by_others(_path: &Path) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_may_do_is_taken_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("contacts.json");
        assert_eq!(close_to_others(&path).expect("nothing is there"), None);
        fs::write(&path, b"{}").expect("written");
        for (mode, mended) in [(0o644, 0o600), (0o660, 0o600), (0o755, 0o700), (0o400, 0o400)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let told = close_to_others(&path).expect("it is ours");
            assert_eq!(told, (mode != mended).then_some(mode), "{mode:o}");
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, mended, "{mode:o}");
        }
    }
}
