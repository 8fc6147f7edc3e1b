//! What is wrong with a path, and what to do about it: one sentence for people.

use crate::regular::Irregular;
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
    sentence(path, None, error).alone()
}

/// As [`explain`], with something else that a person can do: an imperative, as "give another folder".
pub fn explain_or(path: &Path, error: &io::Error, alternative: &str) -> Trouble {
    sentence(path, None, error).or(alternative)
}

/// Why a file or folder cannot be removed, as [`explain_or`].
pub fn explain_removal(path: &Path, error: &io::Error, alternative: &str) -> Trouble {
    let shown = path.display();
    let closed = (error.kind() == io::ErrorKind::PermissionDenied)
        .then(|| forbidden(path.parent().unwrap_or(path), None))
        .flatten();
    let why = match closed {
        Some(why) => Sentence { text: format!("{shown} cannot be removed: {}", why.text), ..why },
        None => Sentence::advising(format!("{shown} cannot be removed ({error}): remove it yourself")),
    };
    why.or(alternative)
}

/// As [`explain`], for a path in the data folder, which may be that folder itself, when the daemon starts.
pub fn explain_data(folder: &Path, path: &Path, error: &io::Error) -> Trouble {
    sentence(path, Some(folder), error).or(OTHER_DATA)
}

/// As [`explain_data`], for a file directly in the data folder.
pub fn explain_state(path: &Path, error: &io::Error) -> Trouble {
    explain_data(path.parent().unwrap_or(path), path, error)
}

/// As [`explain_state`], when the daemon runs and goes on.
pub fn explain_kept(path: &Path, error: &io::Error) -> Trouble {
    sentence(path, path.parent(), error).alone()
}

/// What else helps at the start.
const OTHER_DATA: &str = "choose another folder with --data-dir";

/// What is wrong, and perhaps what to do about it.
#[derive(Debug)]
struct Sentence {
    text: String,
    advises: bool,
}

impl Sentence {
    fn advising(text: String) -> Self {
        Self { text, advises: true }
    }

    fn telling(text: String) -> Self {
        Self { text, advises: false }
    }

    fn alone(self) -> Trouble {
        Trouble(self.text)
    }

    fn or(self, alternative: &str) -> Trouble {
        let Self { text, advises } = self;
        Trouble(if advises { format!("{text}; or {alternative}") } else { format!("{text}: {alternative}") })
    }
}

/// `folder`: all of it belongs to one user, and may be given to them.
fn sentence(path: &Path, folder: Option<&Path>, error: &io::Error) -> Sentence {
    let shown = path.display();
    if let Some(found) = Irregular::of(error) {
        let what = found.what();
        let or_name = if folder.is_some() { "" } else { ", or name another file" };
        let text = format!("{shown} is {what}, and a file is needed there; move it away{or_name}");
        return Sentence::advising(text);
    }
    if let Some(found) = misplaced(path, error.kind()) {
        return found;
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => match forbidden(path, folder) {
            Some(why) if why.text.starts_with(&format!("{shown} ")) => why,
            Some(why) => Sentence { text: format!("{shown} cannot be used: {}", why.text), ..why },
            None => Sentence::telling(format!(
                "{shown} cannot be used: the system forbids it ({error}), though its mode does not"
            )),
        },
        io::ErrorKind::StorageFull => {
            Sentence::advising(format!("{shown} cannot be written: its disk is full; make space there"))
        }
        io::ErrorKind::QuotaExceeded => Sentence::advising(format!(
            "{shown} cannot be written: your quota on its disk is used up; make space there"
        )),
        io::ErrorKind::FileTooLarge => Sentence::advising(format!(
            "{shown} cannot be written: a file may not be that large here; see `ulimit -f`"
        )),
        io::ErrorKind::ReadOnlyFilesystem => {
            Sentence::advising(format!("{shown} cannot be written: its disk is read-only; mount it writable"))
        }
        io::ErrorKind::InvalidFilename => Sentence::telling(format!(
            "{shown} cannot be used: a name in it is too long, or not allowed here"
        )),
        io::ErrorKind::NotFound => Sentence::telling(format!("{shown} is not there")),
        _ => Sentence::telling(format!("{shown} cannot be used: {error}")),
    }
}

/// A file in the place of a folder, a folder in that of a file, a link that leads nowhere.
fn misplaced(path: &Path, kind: io::ErrorKind) -> Option<Sentence> {
    let shown = path.display();
    for part in parts(path) {
        let at = part.display();
        match fs::metadata(part) {
            Ok(found) if part != path => {
                return (!found.is_dir())
                    .then(|| no_folder(&format!("{shown} cannot be used: {at} is"), &found));
            }
            Ok(found) => {
                let is_folder = found.is_dir();
                let wants_folder =
                    matches!(kind, io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory);
                return match kind {
                    io::ErrorKind::IsADirectory if is_folder => {
                        let text = format!("{at} is a folder, and a file is needed there; move it away");
                        Some(Sentence::advising(text))
                    }
                    _ if wants_folder && !is_folder => {
                        Some(no_folder(&format!("a folder is needed at {at}, and that is"), &found))
                    }
                    _ => None,
                };
            }
            // Behind a link there may be a folder that is closed to this user.
            Err(behind) if behind.kind() == io::ErrorKind::PermissionDenied => {}
            Err(_) => {
                if fs::symlink_metadata(part).is_ok_and(|found| found.is_symlink()) {
                    let to = fs::read_link(part).unwrap_or_default();
                    return Some(Sentence::advising(format!(
                        "{shown} cannot be used: {at} is a link to {}, which leads nowhere; remove the link",
                        to.display()
                    )));
                }
            }
        }
    }
    None
}

fn no_folder(start: &str, found: &fs::Metadata) -> Sentence {
    if found.is_file() {
        Sentence::advising(format!("{start} a file; move it away"))
    } else {
        Sentence::telling(format!("{start} no folder"))
    }
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
    forbidden(path, Some(folder)).map_or(Ok(()), |why| Err(why.or(OTHER_DATA)))
}

/// Whether this user may make files in a folder, which may be missing: then in the lowest that is there.
pub fn may_write(folder: &Path) -> bool {
    forbidden(folder, None).is_none()
}

/// Whose a file in the data folder is, where it is another user's, and what to do.
#[cfg(unix)]
pub fn of_another(folder: &Path, path: &Path) -> Option<Trouble> {
    others(folder, path).map(|why| why.or(OTHER_DATA))
}

#[cfg(not(unix))]
pub fn of_another(_: &Path, _: &Path) -> Option<Trouble> {
    None
}

/// Whose a path is, which is another user's, and what to do.
#[cfg(unix)]
pub(crate) fn owned_by(path: &Path, owner: u32) -> Trouble {
    reason(path, None, &Found::of(path, owner, 0)).alone()
}

/// As [`of_another`], of a folder in the data folder and of what lies in it, when the daemon goes on.
#[cfg(unix)]
pub fn of_another_within(folder: &Path, path: &Path) -> Option<Trouble> {
    let within = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all = std::iter::once(path.to_owned()).chain(within);
    all.find_map(|path| others(folder, &path)).map(Sentence::alone)
}

#[cfg(not(unix))]
pub fn of_another_within(_: &Path, _: &Path) -> Option<Trouble> {
    None
}

#[cfg(unix)]
fn others(folder: &Path, path: &Path) -> Option<Sentence> {
    let owner = owner(path).filter(|owner| *owner != rustix::process::geteuid().as_raw())?;
    Some(reason(path, Some(folder), &Found::of(path, owner, 0)))
}

/// Which part of the path this user may not use, whose it is, and what to do.
#[cfg(unix)]
fn forbidden(path: &Path, folder: Option<&Path>) -> Option<Sentence> {
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
        // A read-only disk forbids it too, whatever the mode.
        if access(part, needed) == Err(rustix::io::Errno::ACCESS) {
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
fn forbidden(_: &Path, _: Option<&Path>) -> Option<Sentence> {
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
    /// The uppermost folder or file that is the same user's in one that is not, and whose that is.
    top: &'a Path,
    around: Option<u32>,
    /// This user.
    own: u32,
}

#[cfg(unix)]
impl<'a> Found<'a> {
    fn of(part: &'a Path, uid: u32, mode: u32) -> Self {
        let theirs = part.ancestors().take_while(|part| owner(part) == Some(uid));
        let top = theirs.last().unwrap_or(part);
        let around = top.parent().and_then(owner);
        Self { uid, mode, top, around, own: rustix::process::geteuid().as_raw() }
    }
}

#[cfg(unix)]
fn reason(part: &Path, folder: Option<&Path>, found: &Found<'_>) -> Sentence {
    let at = part.display();
    if found.uid == found.own {
        let text = format!("{at} has the mode {:o}; run `chmod u+rwX {}`", found.mode, quoted(part));
        return Sentence::advising(text);
    }
    let owner = user(found.uid);
    // Another's, in a folder of this user. A system's folder, or another user's, is not given away.
    if found.around != Some(found.own) {
        return Sentence::telling(format!("{at} belongs to {owner}"));
    }
    let given = folder.filter(|folder| found.top.starts_with(folder)).unwrap_or(found.top);
    let cause = if found.uid == 0 { ", as after a start with sudo" } else { "" };
    Sentence::advising(format!(
        "{at} belongs to {owner}{cause}: run `sudo chown -R \"$(id -un)\" {}`",
        quoted(given)
    ))
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
        let way = |found: &Found<'_>| reason(&key, Some(&data), found).text;
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
        let other = way(&found(1001, &key, Some(1000)));
        assert!(other.contains("belongs to ") && other.ends_with(&format!("{all}`")), "{other}");
        assert!(!other.contains("sudo:") && !other.contains("start with sudo"), "{other}");
        let theirs = way(&found(1001, &data, Some(1001)));
        assert!(theirs.contains("belongs to ") && !theirs.contains("chown"), "{theirs}");
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

    /// "Or" needs a first advice.
    #[test]
    fn alternative_follows_an_advice_or_stands_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("contacts.json");
        for (kind, end) in [
            (io::ErrorKind::StorageFull, "make space there; or choose another folder with --data-dir"),
            (io::ErrorKind::NotFound, "contacts.json is not there: choose another folder with --data-dir"),
            (io::ErrorKind::InvalidFilename, "not allowed here: choose another folder with --data-dir"),
        ] {
            let told = explain_state(&path, &kind.into()).to_string();
            assert!(told.ends_with(end), "{told}");
            let running = explain_kept(&path, &kind.into()).to_string();
            assert!(told.starts_with(&running) && !running.contains("--data-dir"), "{running}");
        }
        let told = explain_or(Path::new("/dev/null/x"), &io::ErrorKind::NotADirectory.into(), "give another");
        assert!(told.to_string().ends_with("/dev/null is no folder: give another"), "{told}");
    }

    #[test]
    fn what_another_user_left_in_a_folder_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let index = dir.path().join("index");
        fs::create_dir(&index).expect("a folder");
        fs::write(index.join("db"), "").expect("a file");
        assert_eq!(of_another_within(dir.path(), &index), None);
        if is_root() {
            chown(index.join("db"), Some(65534), None).expect("given away");
            let told = of_another_within(dir.path(), &index).expect("another's").to_string();
            let given = format!("index/db belongs to {}: run `sudo chown", user(65534));
            assert!(told.contains(&given) && !told.contains("--data-dir"), "{told}");
        } else {
            let told = of_another_within(Path::new("/"), Path::new("/")).expect("root's").to_string();
            assert_eq!(told, "/ belongs to root");
            let stays = io::ErrorKind::PermissionDenied.into();
            fs::set_permissions(&index, fs::Permissions::from_mode(0o500)).expect("set");
            let told = explain_removal(&index.join("db"), &stays, "move the cache").to_string();
            assert!(
                told.contains("index has the mode 500; run") && told.ends_with("; or move the cache"),
                "{told}"
            );
        }
    }
}
