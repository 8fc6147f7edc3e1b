//! Writes a look as a mod folder that Penumbra loads: `meta.json`, `default_mod.json` and the files in `files/`.
//!
//! The mark lists the written files, with sizes and hashes. Only listed and unchanged files are replaced or removed;
//! anything else in the way is renamed and stays. No link is followed. After a crash the next export finishes the
//! folder: the mark first, then each file whole under its name, then the JSON files.

use super::mark::{MARK, Mark, Stamp, hash};
use fyteclub_files::{
    plain_folder::PlainFolder,
    regular,
    trouble::{explain, explain_or, may_write},
};
use fyteclub_proto::{foreign::Foreign, game_path::GamePath, id::BlobHash};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The author in `meta.json`. It proves nothing.
const AUTHOR: &str = "FyteClub";
const FILES: &str = "files";
/// What lies together in the folders of any daemon: in its data folder, and where its cache was moved to.
const OF_DAEMONS: [&[&str]; 2] = [&["layout", "identity.key"], &["fyteclub-cache"]];
/// How many names are tried for a renamed file.
const ASIDE_MAX: u32 = 1000;

/// A look to be written. Of two files for one game path the first counts.
#[derive(Debug, Clone, Default)]
pub struct Export {
    pub name: String,
    /// Whose look it is: a folder belongs to the exports of one player.
    pub player: String,
    pub files: Vec<ExportFile>,
    pub swaps: Vec<(GamePath, GamePath)>,
    /// A JSON list in Penumbra's form. Anything else is written as an empty one.
    pub manipulations: String,
    /// Folders in which nothing may be written: those with the daemon's own files.
    pub reserved: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct ExportFile {
    pub source: PathBuf,
    /// Of the source's bytes. Nothing else is written.
    pub hash: BlobHash,
    /// The file's name in the mod, `<hash>.<ext>`: equal names mean equal content.
    pub file_name: String,
    pub game_paths: Vec<GamePath>,
}

/// The result of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Files of the mod now.
    pub files: usize,
    /// Those of them that were not there before.
    pub copied: usize,
    /// Removed files of earlier exports.
    pub removed: usize,
    /// Foreign files that were in the way, now renamed.
    pub set_aside: usize,
}

/// Why a look cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error(
        "`{}` is not empty, and no export of this player's look made it (there is no {MARK} of one); give another folder",
        .path.display()
    )]
    Occupied { path: PathBuf },
    #[error("`{}` holds the look of {player}; give another folder", .path.display())]
    Others { path: PathBuf, player: Foreign },
    #[error("`{}` is in {}, where fyteclubd keeps its own files; give another folder", .path.display(), .dir.display())]
    Reserved { path: PathBuf, dir: PathBuf },
    #[error("`{}` is in {}, where another fyteclubd keeps its own files; give another folder", .path.display(), .dir.display())]
    OtherDaemons { path: PathBuf, dir: PathBuf },
    #[error("`{}` is {what}, and a folder is needed; give another one", .path.display())]
    NoFolder { path: PathBuf, what: &'static str },
    #[error("`{}` is {what}, and an export has its own folder there; move it away, or give another folder", .path.display())]
    InTheWay { path: PathBuf, what: &'static str },
    #[error("`{name}` cannot be a file's name in a mod")]
    FileName { name: String },
    #[error("cannot read a file of the look: {}", explain(.path, .source))]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is damaged: its bytes are not those of the look; fetch the look again", .path.display())]
    Damaged { path: PathBuf, hash: BlobHash },
    #[error("{}", explain_or(.path, .source, "give another folder"))]
    Write { path: PathBuf, source: io::Error },
}

impl ExportError {
    /// Whether it works again once there is space.
    pub fn is_disk_full(&self) -> bool {
        let Self::Write { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Whether [`write()`] may write this player's look to `dir`, as far as it can be known before. Changes nothing.
///
/// # Errors
/// As [`write()`], of the folder.
pub fn check(dir: &Path, player: &str, reserved: &[PathBuf]) -> Result<(), ExportError> {
    refuse_daemons(dir, reserved)?;
    opened(dir, player)?;
    if may_write(dir) {
        return Ok(());
    }
    Err(ExportError::Write { path: dir.to_owned(), source: io::ErrorKind::PermissionDenied.into() })
}

/// Writes the look to `dir`, which is absent, empty or an earlier export of this player's look; any other folder is
/// left alone. Files with the same content are not touched: the game may have them open.
pub fn write(dir: &Path, export: &Export) -> Result<Written, ExportError> {
    let mut files: BTreeMap<&str, &ExportFile> = BTreeMap::new();
    for file in &export.files {
        let name = file.file_name.as_str();
        if name.contains('/') || GamePath::exact(name).is_err() {
            return Err(ExportError::FileName { name: name.to_owned() });
        }
        files.entry(name).or_insert(file);
    }
    refuse_daemons(dir, &export.reserved)?;
    let mut writing = Writing::begin(dir, &export.player)?;
    for (name, file) in &files {
        writing.put_file(file, name)?;
    }
    let meta = format!("{:#}", meta(&export.name));
    for (name, text) in [("meta.json", meta), ("default_mod.json", default_mod(export))] {
        writing.put_text(name, text.as_bytes())?;
    }
    writing.remove_others(&files)?;
    writing.written.files = files.len();
    writing.mark.finished = true;
    writing.save_mark()?;
    Ok(writing.written)
}

/// An export under way.
struct Writing {
    dir: PlainFolder,
    files: PlainFolder,
    mark: Mark,
    /// The last export did not finish: its files may not be listed.
    resumed: bool,
    temps: u32,
    written: Written,
}

impl Writing {
    /// Makes the folder, or checks that it is ours.
    fn begin(path: &Path, player: &str) -> Result<Self, ExportError> {
        let failed = |source| ExportError::Write { path: path.to_owned(), source };
        let (dir, mark) = match opened(path, player)? {
            Some((dir, mark)) => (dir, mark),
            None => (PlainFolder::create(path).map_err(failed)?, Mark::new(player).map_err(failed)?),
        };
        let inner = path.join(FILES);
        match dir.create_folder(FILES) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(ExportError::Write { path: inner, source });
            }
            Ok(()) | Err(_) => {}
        }
        // Through a link in the place of our folder, we would write among somebody else's files.
        let files = match dir.folder(FILES) {
            Ok(Some(files)) => files,
            Ok(None) => {
                return Err(ExportError::Write { path: inner, source: io::ErrorKind::NotFound.into() });
            }
            Err(source) => {
                return Err(match no_folder(&inner) {
                    Some(what) => ExportError::InTheWay { path: inner, what },
                    None => ExportError::Write { path: inner, source },
                });
            }
        };
        let (resumed, written) = (!mark.finished, Written::default());
        let mut writing = Self { dir, files, mark, resumed, temps: 0, written };
        writing.remove_temps();
        writing.mark.finished = false;
        writing.save_mark()?;
        Ok(writing)
    }

    /// Removes the temporary files of an unfinished export; the mark has their prefix.
    fn remove_temps(&self) {
        for folder in [&self.dir, &self.files] {
            let names = folder.names().unwrap_or_default();
            for name in names.iter().filter(|name| self.mark.is_temp(name)) {
                // One that cannot be removed waits for the next export.
                folder.remove(name).ok();
            }
        }
    }

    fn temp(&mut self) -> String {
        self.temps += 1;
        self.mark.temp_name(self.temps)
    }

    fn save_mark(&mut self) -> Result<(), ExportError> {
        let failed = |source| ExportError::Write { path: self.dir.path().join(MARK), source };
        let temp = self.mark.temp_name(0);
        // Left by a crash, and ours.
        self.dir.remove(&temp).ok();
        let text = self.mark.to_bytes();
        let written = self.dir.create_new(&temp).and_then(|mut file| file.write_all(&text));
        written.and_then(|()| self.dir.replace(&temp, MARK)).map_err(failed)
    }

    fn put_file(&mut self, file: &ExportFile, name: &str) -> Result<(), ExportError> {
        let ExportFile { source, hash: expected, .. } = file;
        let unreadable = |error| ExportError::Read { path: source.to_owned(), source: error };
        let to = self.files.path().join(name);
        let failed = |error| ExportError::Write { path: to.clone(), source: error };
        let listed = format!("{FILES}/{name}");
        match self.files.read(name) {
            Ok(None) => {}
            Ok(Some(there)) => {
                let stamp = hash(&mut &there, &mut io::sink()).ok();
                if let Some(stamp) = stamp.filter(|stamp| stamp.is_of(expected)) {
                    if self.resumed {
                        self.mark.files.entry(listed).or_insert(stamp);
                    }
                    return Ok(());
                }
                if !self.mark.wrote(&listed, &there) {
                    self.set_aside(true, name).map_err(failed)?;
                }
            }
            Err(_) => self.set_aside(true, name).map_err(failed)?,
        }
        let mut from = regular::open(source, File::options().read(true)).map_err(unreadable)?;
        let temp = self.temp();
        // Not `fs::copy`: it would copy a cache's read-only flag and a download's mark of origin.
        let mut copy = self.files.create_new(&temp).map_err(failed)?;
        let copied = hash(&mut from, &mut copy).map_err(failed).and_then(|stamp| {
            if !stamp.is_of(expected) {
                return Err(ExportError::Damaged { path: source.clone(), hash: *expected });
            }
            self.files.replace(&temp, name).map(|()| stamp).map_err(failed)
        });
        match copied {
            Ok(stamp) => {
                self.mark.files.insert(listed, stamp);
                self.written.copied += 1;
                Ok(())
            }
            Err(error) => {
                // The next export removes it.
                self.files.remove(&temp).ok();
                Err(error)
            }
        }
    }

    fn put_text(&mut self, name: &str, text: &[u8]) -> Result<(), ExportError> {
        let to = self.dir.path().join(name);
        let failed = |error| ExportError::Write { path: to.clone(), source: error };
        let stamp = Stamp::of(text);
        match self.dir.read(name) {
            Ok(None) => {}
            Ok(Some(there)) if self.mark.wrote(name, &there) => {
                if self.mark.files.get(name) == Some(&stamp) {
                    return Ok(());
                }
            }
            // Penumbra, or a person, rewrote it.
            Ok(Some(_)) | Err(_) => self.set_aside(false, name).map_err(failed)?,
        }
        let temp = self.temp();
        let written = self.dir.create_new(&temp).and_then(|mut file| file.write_all(text));
        written.and_then(|()| self.dir.replace(&temp, name)).map_err(failed)?;
        self.mark.files.insert(name.to_owned(), stamp);
        Ok(())
    }

    /// Renames a foreign file.
    fn set_aside(&mut self, in_files: bool, name: &str) -> io::Result<()> {
        let folder = if in_files { &self.files } else { &self.dir };
        for number in 1..ASIDE_MAX {
            match folder.rename(name, &format!("{name}.kept-{number}")) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => {
                    self.written.set_aside += 1;
                    return result;
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes unchanged files of earlier exports. One that the game has open waits for the next export.
    fn remove_others(&mut self, keep: &BTreeMap<&str, &ExportFile>) -> Result<(), ExportError> {
        let listed: Vec<String> = self.mark.files.keys().cloned().collect();
        for listed in listed {
            let Some(name) = listed
                .strip_prefix(FILES)
                .and_then(|rest| rest.strip_prefix('/'))
                .filter(|name| !keep.contains_key(name))
            else {
                continue;
            };
            let gone = match self.files.read(name) {
                Ok(Some(there)) if self.mark.wrote(&listed, &there) => {
                    let removed = self.files.remove(name).is_ok();
                    self.written.removed += usize::from(removed);
                    removed
                }
                // No longer ours, or absent.
                Ok(_) | Err(_) => true,
            };
            if gone {
                self.mark.files.remove(&listed);
            }
        }
        Ok(())
    }
}

/// What is in the place of a folder, if that is no folder. Nothing is opened.
fn no_folder(path: &Path) -> Option<&'static str> {
    let found = fs::symlink_metadata(path).ok()?;
    match found.file_type() {
        kind if kind.is_dir() => None,
        kind if kind.is_symlink() => Some("a link"),
        kind if kind.is_file() => Some("a file"),
        _ => Some("a device"),
    }
}

/// The folder and its mark, if it is there: empty, or an earlier export of this player's look.
fn opened(path: &Path, player: &str) -> Result<Option<(PlainFolder, Mark)>, ExportError> {
    let occupied = || ExportError::Occupied { path: path.to_owned() };
    let failed = |source| ExportError::Write { path: path.to_owned(), source };
    let dir = match PlainFolder::open(path) {
        Ok(Some(dir)) => dir,
        Ok(None) => return Ok(None),
        Err(error) => {
            return Err(match no_folder(path) {
                Some(what) => ExportError::NoFolder { path: path.to_owned(), what },
                None => failed(error),
            });
        }
    };
    let mark = match dir.read(MARK) {
        Ok(Some(file)) => Mark::read(file).ok_or_else(occupied)?,
        Ok(None) if dir.names().map_err(failed)?.is_empty() => Mark::new(player).map_err(failed)?,
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(ExportError::Write { path: path.join(MARK), source });
        }
        Ok(None) | Err(_) => return Err(occupied()),
    };
    if mark.player != player {
        return Err(ExportError::Others { path: path.to_owned(), player: Foreign::new(&mark.player) });
    }
    Ok(Some((dir, mark)))
}

/// Refuses a path that leads, through whatever links, into a folder of this daemon's, which are `reserved`, or of
/// another one.
fn refuse_daemons(path: &Path, reserved: &[PathBuf]) -> Result<(), ExportError> {
    let Some(there) = path.ancestors().find_map(|part| fs::canonicalize(part).ok()) else { return Ok(()) };
    let path = path.to_owned();
    let is_in = |dir: &&PathBuf| fs::canonicalize(dir).is_ok_and(|dir| there.starts_with(dir));
    if let Some(dir) = reserved.iter().find(is_in) {
        return Err(ExportError::Reserved { path, dir: dir.clone() });
    }
    let is_daemons =
        |part: &&Path| OF_DAEMONS.iter().any(|all| all.iter().all(|name| part.join(name).exists()));
    match there.ancestors().find(is_daemons) {
        Some(dir) => Err(ExportError::OtherDaemons { path, dir: dir.to_owned() }),
        None => Ok(()),
    }
}

fn meta(name: &str) -> Value {
    // Penumbra refuses a mod without a name.
    let name = if name.trim().is_empty() { AUTHOR } else { name };
    json!({
        "FileVersion": 3,
        "Name": name,
        "Author": AUTHOR,
        "Description": "A look received through FyteClub.",
        "Version": "1.0.0",
        "Website": "",
        "ModTags": [],
    })
}

/// As text: others' manipulations are not parsed into a tree.
fn default_mod(export: &Export) -> String {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for file in &export.files {
        for game_path in &file.game_paths {
            files.entry(game_path.as_str()).or_insert_with(|| format!("{FILES}\\{}", file.file_name));
        }
    }
    let swaps: BTreeMap<&str, &str> =
        export.swaps.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let (files, swaps) = (serde_json::to_string_pretty(&files), serde_json::to_string_pretty(&swaps));
    let empty = |_| "{}".to_owned();
    format!(
        "{{\n\"Version\": 0,\n\"Files\": {},\n\"FileSwaps\": {},\n\"Manipulations\": {}\n}}",
        files.unwrap_or_else(empty),
        swaps.unwrap_or_else(empty),
        if is_list(&export.manipulations) { &export.manipulations } else { "[]" },
    )
}

/// Whether this is JSON, and a list.
fn is_list(text: &str) -> bool {
    serde_json::from_str::<Vec<IgnoredAny>>(text).is_ok()
}
