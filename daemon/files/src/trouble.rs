//! What is wrong with a path, and what to do about it: one sentence for people.

use std::{fs, io, path::Path};

/// What is wrong with a path, and what to do: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(String);

#[cfg(unix)]
impl Trouble {
    pub(crate) fn new(sentence: String) -> Self {
        Self(sentence)
    }
}

/// Why a path cannot be used: names its first wrong part, and what to do about it.
pub fn explain(path: &Path, error: &io::Error) -> Trouble {
    Trouble(sentence(path, None, error))
}

/// As [`explain`], for a path in the data folder, which may be that folder itself.
pub fn explain_data(folder: &Path, path: &Path, error: &io::Error) -> Trouble {
    Trouble(format!("{}; or choose another folder with --data-dir", sentence(path, Some(folder), error)))
}

/// As [`explain_data`], for a file directly in the data folder.
pub fn explain_state(path: &Path, error: &io::Error) -> Trouble {
    explain_data(path.parent().unwrap_or(path), path, error)
}

/// `folder`: all of it belongs to one user, and may be given to them.
fn sentence(path: &Path, folder: Option<&Path>, error: &io::Error) -> String {
    let shown = path.display();
    if let Some(found) = misplaced(path, error.kind()) {
        return found;
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => match forbidden(path, folder) {
            Some(why) if why.starts_with(&format!("{shown} ")) => why,
            Some(why) => format!("{shown} cannot be used: {why}"),
            None => {
                format!("{shown} cannot be used: the system forbids it ({error}), though its mode does not")
            }
        },
        io::ErrorKind::StorageFull => {
            format!("{shown} cannot be written: its disk is full; make space there")
        }
        io::ErrorKind::QuotaExceeded => {
            format!("{shown} cannot be written: your quota on its disk is used up; make space there")
        }
        io::ErrorKind::FileTooLarge => {
            format!("{shown} cannot be written: a file may not be that large here; see `ulimit -f`")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{shown} cannot be written: its disk is read-only; mount it writable")
        }
        io::ErrorKind::InvalidFilename => {
            format!("{shown} cannot be used: a name in it is too long, or not allowed here")
        }
        io::ErrorKind::NotFound => format!("{shown} is not there"),
        _ => format!("{shown} cannot be used: {error}"),
    }
}

/// A file in the place of a folder, a folder in that of a file, a link that leads nowhere.
fn misplaced(path: &Path, kind: io::ErrorKind) -> Option<String> {
    let shown = path.display();
    for part in parts(path) {
        let at = part.display();
        match fs::metadata(part) {
            Ok(found) if part != path => {
                return (!found.is_dir())
                    .then(|| format!("{shown} cannot be used: {at} is {}", no_folder(&found)));
            }
            Ok(found) => {
                let is_folder = found.is_dir();
                let wants_folder =
                    matches!(kind, io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory);
                return match kind {
                    io::ErrorKind::IsADirectory if is_folder => {
                        Some(format!("{at} is a folder, and a file is needed there; move it away"))
                    }
                    _ if wants_folder && !is_folder => {
                        Some(format!("a folder is needed at {at}, and that is {}", no_folder(&found)))
                    }
                    _ => None,
                };
            }
            // Behind a link there may be a folder that is closed to this user.
            Err(behind) if behind.kind() == io::ErrorKind::PermissionDenied => {}
            Err(_) => {
                if fs::symlink_metadata(part).is_ok_and(|found| found.is_symlink()) {
                    let to = fs::read_link(part).unwrap_or_default();
                    return Some(format!(
                        "{shown} cannot be used: {at} is a link to {}, which leads nowhere; remove the link",
                        to.display()
                    ));
                }
            }
        }
    }
    None
}

fn no_folder(found: &fs::Metadata) -> &'static str {
    if found.is_file() { "a file; move it away" } else { "no folder" }
}

fn parts(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().filter(|part| !part.as_os_str().is_empty())
}

/// Refuses a folder in the data folder in which this user may not make files. One that is not there may be made.
///
/// # Errors
/// Which part of the path this user may not use, and what to do.
pub fn usable_dir(folder: &Path, path: &Path) -> Result<(), Trouble> {
    if fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
        return Err(explain_data(folder, path, &io::ErrorKind::NotADirectory.into()));
    }
    match forbidden(path, Some(folder)) {
        Some(why) => Err(Trouble(format!("{why}; or choose another folder with --data-dir"))),
        None => Ok(()),
    }
}

/// Whose a file in the data folder is, where it is another user's, and what to do.
#[cfg(unix)]
pub fn of_another(folder: &Path, path: &Path) -> Option<Trouble> {
    let owner = owner(path).filter(|owner| *owner != rustix::process::geteuid().as_raw())?;
    let why = reason(path, Some(folder), &Found::of(path, owner, 0));
    Some(Trouble(format!("{why}; or choose another folder with --data-dir")))
}

#[cfg(not(unix))]
pub fn of_another(_: &Path, _: &Path) -> Option<Trouble> {
    None
}

/// Which part of the path this user may not use, whose it is, and what to do.
#[cfg(unix)]
fn forbidden(path: &Path, folder: Option<&Path>) -> Option<String> {
    use rustix::fs::{Access, access};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mut lowest = None;
    for part in parts(path) {
        let Ok(found) = fs::metadata(part) else { continue };
        // A missing file or folder is made in the lowest folder that is there, and a file is replaced in its folder.
        // Those above are only passed through.
        let needed = match lowest {
            None if !found.is_dir() => Access::READ_OK | Access::WRITE_OK,
            None => Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
            Some(Lowest::File) => Access::WRITE_OK | Access::EXEC_OK,
            Some(Lowest::Folder) => Access::EXEC_OK,
        };
        lowest = Some(if lowest.is_none() && !found.is_dir() { Lowest::File } else { Lowest::Folder });
        if access(part, needed).is_err() {
            let mode = found.permissions().mode() & 0o7777;
            return Some(reason(part, folder, &Found::of(part, found.uid(), mode)));
        }
    }
    None
}

/// What was passed on the way up a path.
#[cfg(unix)]
enum Lowest {
    File,
    Folder,
}

#[cfg(not(unix))]
fn forbidden(_: &Path, _: Option<&Path>) -> Option<String> {
    None
}

#[cfg(unix)]
fn owner(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|found| found.uid())
}

/// What is known of a part of a path that this user may not use.
#[cfg(unix)]
struct Found<'a> {
    uid: u32,
    mode: u32,
    /// The uppermost folder or file that is root's in one that is not, and whose that is.
    top: &'a Path,
    around: Option<u32>,
    /// This user.
    own: u32,
}

#[cfg(unix)]
impl<'a> Found<'a> {
    fn of(part: &'a Path, uid: u32, mode: u32) -> Self {
        let of_root = part.ancestors().take_while(|part| owner(part) == Some(0));
        let top = of_root.last().unwrap_or(part);
        let around = top.parent().and_then(owner);
        Self { uid, mode, top, around, own: rustix::process::geteuid().as_raw() }
    }
}

#[cfg(unix)]
fn reason(part: &Path, folder: Option<&Path>, found: &Found<'_>) -> String {
    let at = part.display();
    if found.uid == found.own {
        return format!("{at} has the mode {:o}; run `chmod u+rwX {}`", found.mode, quoted(part));
    }
    let owner = user(found.uid);
    // Root's, in a folder of this user: left by a start with sudo. Not said of a system's folder.
    if found.uid != 0 || found.around != Some(found.own) {
        return format!("{at} belongs to {owner}");
    }
    let given = folder.filter(|folder| found.top.starts_with(folder)).unwrap_or(found.top);
    format!(
        "{at} belongs to {owner}, as after a start with sudo: run `sudo chown -R \"$(id -un)\" {}`",
        quoted(given)
    )
}

/// As a shell reads it.
#[cfg(unix)]
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A user's name for people.
#[cfg(unix)]
pub fn user(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {uid}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn is_root() -> bool {
        rustix::process::geteuid().as_raw() == 0
    }

    fn says(path: &Path, kind: io::ErrorKind) -> String {
        explain(path, &kind.into()).to_string()
    }

    #[test]
    fn wrong_part_of_a_path_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, folder, link) =
            (dir.path().join("file"), dir.path().join("folder"), dir.path().join("link"));
        fs::write(&file, "").expect("a file");
        fs::create_dir(&folder).expect("a folder");
        symlink("nowhere", &link).expect("a link");
        for (path, kind, end) in [
            (&file.join("x"), io::ErrorKind::NotADirectory, "file is a file; move it away"),
            (&file, io::ErrorKind::AlreadyExists, "file, and that is a file; move it away"),
            (&folder, io::ErrorKind::IsADirectory, "is a folder, and a file is needed there; move it away"),
            (
                &link,
                io::ErrorKind::AlreadyExists,
                "is a link to nowhere, which leads nowhere; remove the link",
            ),
            (
                &link.join("x"),
                io::ErrorKind::NotFound,
                "is a link to nowhere, which leads nowhere; remove the link",
            ),
            (&folder.join("x"), io::ErrorKind::NotFound, "folder/x is not there"),
            (&folder, io::ErrorKind::StorageFull, "its disk is full; make space there"),
            (&folder, io::ErrorKind::ReadOnlyFilesystem, "its disk is read-only; mount it writable"),
        ] {
            let told = says(path, kind);
            assert!(told.ends_with(end) && told.contains(&dir.path().display().to_string()), "{told}");
        }
        let device = says(Path::new("/dev/null/x"), io::ErrorKind::NotADirectory);
        assert!(device.ends_with("/dev/null is no folder"), "{device}");
    }

    /// Only root may give files away, and root is refused nothing: as root the sentence is made for another user.
    #[test]
    fn what_root_left_is_given_back_as_a_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("my data");
        fs::create_dir(&data).expect("a folder");
        let key = data.join("identity.key");
        fs::write(&key, "").expect("a file");
        let found = |uid, top, around| Found { uid, mode: 0o600, top, around, own: 1000 };
        let way = |found: &Found<'_>| reason(&key, Some(&data), found);
        let (root, all) = (user(0), format!("sudo chown -R \"$(id -un)\" '{}'", data.display()));
        for top in [&key, &data] {
            let told = way(&found(0, top, Some(1000)));
            assert!(
                told.contains(&format!("identity.key belongs to {root}")) && told.contains(&all),
                "{told}"
            );
        }
        // Sudo made the folders above it too.
        let told = way(&found(0, dir.path(), Some(1000)));
        assert!(told.ends_with(&format!("-un)\" {}`", dir.path().display())), "{told}");
        let system = way(&found(0, Path::new("/"), None));
        assert!(system.ends_with("belongs to root") && !system.contains("chown"), "{system}");
        let own = way(&found(1000, &key, Some(1000)));
        assert!(own.contains("has the mode 600; run `chmod u+rwX '"), "{own}");
        if is_root() {
            chown(&key, Some(65534), None).expect("given away");
            assert!(
                says(&key, io::ErrorKind::PermissionDenied).contains("the system forbids it"),
                "root may"
            );
        } else {
            fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).expect("set");
            let told = says(&key, io::ErrorKind::PermissionDenied);
            assert!(told.contains("has the mode 400"), "{told}");
            fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).expect("set");
            let told = usable_dir(&data, &data.join("blobs")).expect_err("closed").to_string();
            assert!(told.contains("has the mode 500"), "{told}");
            fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("set");
            let told = says(Path::new("/root/x/y"), io::ErrorKind::PermissionDenied);
            assert!(told.contains("/root belongs to root") && !told.contains("chown"), "{told}");
        }
        assert_eq!(root, "root");
    }
}
