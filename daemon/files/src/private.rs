//! Files that only their owner may read, written whole or not at all, and folders of this user alone.

#[cfg(unix)]
use crate::trouble::owned_by;
use crate::{
    regular,
    trouble::{Trouble, explain},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Replaces a file's content: writes a temporary file, syncs it, and renames it over the old one.
///
/// What lies in the place of the temporary file, `NAME.new`, is removed.
///
/// # Errors The machine's. The old content is then still there.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    clear(&beside)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    // Where folders can be synced, the rename survives a power cut too.
    if let Some(Ok(dir)) = path.parent().map(File::open) {
        dir.sync_all().ok();
    }
    Ok(())
}

/// Removes what lies in the place of a temporary file. A pipe would hold who opens it, a link leads elsewhere, and what a
/// start with sudo left can be removed but not written.
fn clear(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let removed = if found.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    let (shown, what) = (path.display(), regular::what(&found));
    removed.map_err(|error| {
        io::Error::new(error.kind(), format!("{what} in the place of {shown} cannot be removed: {error}"))
    })?;
    // A file is what a crash left.
    if !found.is_file() {
        tracing::warn!("{what} was in the place of the temporary file {shown} and is removed");
    }
    Ok(())
}

/// Removes a file, if it is there, so that it does not return after a power cut.
///
/// # Errors The machine's.
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

/// Makes a folder of this user alone: no link, owned by this user, closed to everybody else; an open one is closed.
/// Checked by its handle, so that nothing can replace it meanwhile.
///
/// # Errors Somebody else owns it, it is something else, or it cannot be made.
#[cfg(unix)]
pub fn own_dir(path: &Path) -> Result<(), Trouble> {
    use rustix::fs::{Mode, OFlags, fchmod, fstat, open};
    create_dir(path).map_err(|error| explain(path, &error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = open(path, flags, Mode::empty()).map_err(|error| {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_symlink()) {
            Trouble::new(format!("{} is a link, and a folder of your own is needed", path.display()))
        } else {
            explain(path, &error.into())
        }
    })?;
    let found = fstat(&folder).map_err(|error| explain(path, &error.into()))?;
    if found.st_uid != rustix::process::geteuid().as_raw() {
        return Err(owned_by(path, found.st_uid));
    }
    if found.st_mode & 0o077 != 0 {
        fchmod(&folder, Mode::RWXU).map_err(|error| explain(path, &error.into()))?;
    }
    Ok(())
}

/// Windows: a user's profile is closed by inherited rights.
///
/// # Errors The machine's.
#[cfg(not(unix))]
pub fn own_dir(path: &Path) -> Result<(), Trouble> {
    create_dir(path).map_err(|error| explain(path, &error))
}

/// Makes a folder in which only this user and root may replace files: owned by one of them, and not writable for
/// everybody unless only owners may remove its files, as in `/tmp`.
///
/// # Errors Somebody else owns it, everybody may write in it, or it cannot be made.
#[cfg(unix)]
pub fn safe_dir(path: &Path) -> Result<(), Trouble> {
    use rustix::fs::{Mode, OFlags, fstat, open};
    create_dir(path).map_err(|error| explain(path, &error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found =
        open(path, flags, Mode::empty()).and_then(fstat).map_err(|error| explain(path, &error.into()))?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&found.st_uid) {
        return Err(owned_by(path, found.st_uid));
    }
    if found.st_mode & 0o1002 == 0o002 {
        let dir = path.display();
        return Err(Trouble::new(format!("everybody may write in {dir}: run `chmod o-w {dir}`")));
    }
    Ok(())
}

/// # Errors
/// The machine's.
#[cfg(not(unix))]
pub fn safe_dir(path: &Path) -> Result<(), Trouble> {
    create_dir(path).map_err(|error| explain(path, &error))
}

/// The file's mode if group or others have any right to it; else `None`.
#[cfg(unix)]
pub fn readable_by_others(found: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = found.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Removes all rights of group and others. Returns the former mode, or `None` if nothing changed or nothing is there.
///
/// # Errors The mode cannot be read or changed: another user owns it, or the disk is read-only.
#[cfg(unix)]
pub fn close_to_others(path: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = match fs::metadata(path) {
        // What lies in the place of a file is refused when the file is opened.
        Ok(found) if found.is_dir() || found.is_file() => readable_by_others(&found),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(mode) = mode else { return Ok(None) };
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

/// Windows has no modes: inherited rights protect a file in the user's profile.
#[cfg(not(unix))]
pub fn readable_by_others(_found: &fs::Metadata) -> Option<u32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }

    #[test]
    fn own_folder_that_is_open_is_closed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (new, open) = (dir.path().join("new"), dir.path().join("open"));
        own_dir(&new).expect("made");
        fs::create_dir(&open).expect("made");
        set_mode(&open, 0o777);
        own_dir(&open).expect("closed");
        assert_eq!((mode(&new), mode(&open)), (0o700, 0o700));
    }

    #[test]
    fn full_folder_beside_a_file_fails_its_write() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, beside) = (dir.path().join("limits.json"), dir.path().join("limits.new"));
        fs::create_dir_all(beside.join("theirs")).expect("folders");
        let told = write(&path, b"{}").expect_err("in the way").to_string();
        let start = format!("a folder in the place of {} cannot be removed: ", beside.display());
        assert!(told.starts_with(&start), "{told}");
        fs::remove_dir(beside.join("theirs")).expect("removed");
        write(&path, b"{}").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"{}");
    }

    /// A second name of a file keeps the bytes under the first.
    #[test]
    fn linked_file_beside_a_file_is_not_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, other) = (dir.path().join("limits.json"), dir.path().join("other"));
        fs::write(&other, "theirs").expect("a file");
        for link in
            [|from: &Path, to: &Path| symlink(from, to), |from: &Path, to: &Path| fs::hard_link(from, to)]
        {
            link(&other, &path.with_extension("new")).expect("a link");
            write(&path, b"{}").expect("written");
            assert_eq!(fs::read_to_string(&other).expect("there"), "theirs");
        }
    }

    #[test]
    fn link_or_file_is_no_own_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let (link, file) = (dir.path().join("link"), dir.path().join("file"));
        symlink(dir.path(), &link).expect("a link");
        fs::write(&file, "mine").expect("a file");
        assert!(own_dir(&link).expect_err("a link").to_string().contains("is a link"));
        assert!(own_dir(&file).expect_err("a file").to_string().contains("is a file"));
        let below = own_dir(&file.join("below")).expect_err("below a file").to_string();
        assert!(below.contains(&format!("{} is a file; move it away", file.display())), "{below}");
        assert_eq!(fs::read_to_string(&file).expect("kept"), "mine");
    }

    #[test]
    fn world_writable_folder_is_not_safe() {
        let dir = tempfile::tempdir().expect("a folder");
        for (mode, safe) in [(0o700, true), (0o755, true), (0o1777, true), (0o777, false)] {
            set_mode(dir.path(), mode);
            assert_eq!(safe_dir(dir.path()).is_ok(), safe, "{mode:o}");
        }
    }

    #[test]
    fn others_folder_is_refused() {
        if rustix::process::geteuid().as_raw() == 0 {
            // Root may change owners, so it can test both.
            let dir = tempfile::tempdir().expect("a folder");
            std::os::unix::fs::chown(dir.path(), Some(65534), None).expect("given away");
            for refused in [own_dir(dir.path()), safe_dir(dir.path())] {
                assert!(refused.expect_err("theirs").to_string().contains("belongs to "));
            }
        } else {
            assert!(own_dir(Path::new("/")).expect_err("root's").to_string().contains("belongs to root"));
        }
    }

    #[test]
    fn only_others_permissions_are_removed() {
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
