//! Writes a look as a mod folder that Penumbra loads: `meta.json`, `default_mod.json` and the files in `files/`.
//!
//! The mark lists the written files, with sizes and hashes. Only listed and unchanged files are replaced or removed;
//! anything else in the way is renamed and stays. No link is followed. After a crash the next export finishes the
//! folder: the mark first, then each file whole under its name, then the JSON files.

use super::mark::{MARK, Mark, Stamp, hash};
use fyteclub_files::{plain_folder::PlainFolder, trouble::explain};
use fyteclub_proto::{foreign::Foreign, game_path::GamePath};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// The author in `meta.json`. It proves nothing.
const AUTHOR: &str = "FyteClub";
const FILES: &str = "files";
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
    #[error("`{}` is {what}, and a folder is needed; give another one", .path.display())]
    NoFolder { path: PathBuf, what: &'static str },
    #[error("`{}` is {what}, and an export has its own folder there; move it away, or give another folder", .path.display())]
    InTheWay { path: PathBuf, what: &'static str },
    #[error("`{name}` cannot be a file's name in a mod")]
    FileName { name: String },
    #[error("cannot read a file of the look: {}", explain(.path, .source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{}; or give another folder", explain(.path, .source))]
    Write { path: PathBuf, source: io::Error },
}

impl ExportError {
    /// Whether it works again once there is space.
    pub fn is_disk_full(&self) -> bool {
        let Self::Write { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Writes the look to `dir`, which is absent, empty or an earlier export of this player's look; any other folder is
/// left alone. Files with the same content are not touched: the game may have them open.
pub fn write(dir: &Path, export: &Export) -> Result<Written, ExportError> {
    let mut files: BTreeMap<&str, &Path> = BTreeMap::new();
    for file in &export.files {
        let name = file.file_name.as_str();
        if name.contains('/') || GamePath::exact(name).is_err() {
            return Err(ExportError::FileName { name: name.to_owned() });
        }
        files.entry(name).or_insert(&file.source);
    }
    if let Some(reserved) = export.reserved.iter().find(|reserved| is_within(dir, reserved)) {
        return Err(ExportError::Reserved { path: dir.to_owned(), dir: reserved.clone() });
    }
    let mut writing = Writing::begin(dir, &export.player)?;
    for (name, source) in &files {
        writing.put_file(source, name)?;
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
        let occupied = || ExportError::Occupied { path: path.to_owned() };
        let failed = |source| ExportError::Write { path: path.to_owned(), source };
        let dir = match PlainFolder::open(path) {
            Ok(Some(dir)) => dir,
            Ok(None) => PlainFolder::create(path).map_err(failed)?,
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

    fn put_file(&mut self, source: &Path, name: &str) -> Result<(), ExportError> {
        let unreadable = |error| ExportError::Read { path: source.to_owned(), source: error };
        let to = self.files.path().join(name);
        let failed = |error| ExportError::Write { path: to.clone(), source: error };
        if !fs::metadata(source).map_err(unreadable)?.is_file() {
            return Err(unreadable(io::ErrorKind::InvalidInput.into()));
        }
        let listed = format!("{FILES}/{name}");
        let from = File::open(source).map_err(unreadable)?;
        match self.files.read(name) {
            Ok(None) => {}
            Ok(Some(there)) => {
                if same_content(&from, &there).unwrap_or(false) {
                    if self.resumed && !self.mark.files.contains_key(&listed) {
                        (&there).rewind().map_err(failed)?;
                        let stamp = hash(&mut &there, &mut io::sink()).map_err(failed)?;
                        self.mark.files.insert(listed, stamp);
                    }
                    return Ok(());
                }
                if !self.mark.wrote(&listed, &there) {
                    self.set_aside(true, name).map_err(failed)?;
                }
            }
            Err(_) => self.set_aside(true, name).map_err(failed)?,
        }
        let temp = self.temp();
        // Not `fs::copy`: it would copy a cache's read-only flag and a download's mark of origin.
        let mut copy = self.files.create_new(&temp).map_err(failed)?;
        let mut from = File::open(source).map_err(unreadable)?;
        let copied =
            hash(&mut from, &mut copy).and_then(|stamp| self.files.replace(&temp, name).map(|()| stamp));
        match copied {
            Ok(stamp) => {
                self.mark.files.insert(listed, stamp);
                self.written.copied += 1;
                Ok(())
            }
            Err(error) => {
                // The next export removes it.
                self.files.remove(&temp).ok();
                Err(failed(error))
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
    fn remove_others(&mut self, keep: &BTreeMap<&str, &Path>) -> Result<(), ExportError> {
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

/// Whether a path leads into a folder, through whatever links.
fn is_within(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = fs::canonicalize(folder) else { return false };
    path.ancestors()
        .find_map(|part| fs::canonicalize(part).ok())
        .is_some_and(|there| there.starts_with(folder))
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

fn same_content(mut a: &File, mut b: &File) -> io::Result<bool> {
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut buffer_a, mut buffer_b) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let read = a.read(&mut buffer_a)?;
        if read == 0 {
            return Ok(b.read(&mut buffer_b)? == 0);
        }
        b.read_exact(&mut buffer_b[..read])?;
        if buffer_a[..read] != buffer_b[..read] {
            return Ok(false);
        }
    }
}
