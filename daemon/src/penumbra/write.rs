//! A look as a mod folder that Penumbra loads: `meta.json`, `default_mod.json` and the files in `files/`.
//!
//! Written so that a crash leaves a folder that the next export finishes: our mark first, then each file whole under its
//! name, then what names them.

use fyteclub_proto::game_path::GamePath;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The author in `meta.json`, by which a folder is known to be ours to overwrite.
const AUTHOR: &str = "FyteClub";
const FILES: &str = "files";

/// A look to be written. Of two files for one game path the first one counts.
#[derive(Debug, Clone, Default)]
pub struct Export {
    pub name: String,
    pub files: Vec<ExportFile>,
    pub swaps: Vec<(GamePath, GamePath)>,
    /// A JSON list, of Penumbra's own form. Anything else is written as an empty one.
    pub manipulations: String,
}

#[derive(Debug, Clone)]
pub struct ExportFile {
    pub source: PathBuf,
    /// The file's name in the mod, `<hash>.<ext>`: equal names mean equal content.
    pub file_name: String,
    pub game_paths: Vec<GamePath>,
}

/// What an export did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Files that the mod has now.
    pub files: usize,
    /// Those of them that were not there before.
    pub copied: usize,
    /// Files of an earlier export that are gone.
    pub removed: usize,
}

/// Why a look cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error("`{}` is not empty and was not written by FyteClub; give another folder", .path.display())]
    Occupied { path: PathBuf },
    #[error("`{name}` cannot be a file's name in a mod")]
    FileName { name: String },
    #[error("cannot read `{}`", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Writes the look to `dir`, which is absent, empty or an earlier export of ours; anything else is left as it is.
/// Files that are already there with the same content are not touched: the game may have them open.
pub fn write(dir: &Path, export: &Export) -> Result<Written, ExportError> {
    let mut files: BTreeMap<&str, &Path> = BTreeMap::new();
    for file in &export.files {
        let name = file.file_name.as_str();
        if name.contains('/') || GamePath::exact(name).is_err() {
            return Err(ExportError::FileName { name: name.to_owned() });
        }
        files.entry(name).or_insert(&file.source);
    }
    claim(dir)?;
    let files_dir = dir.join(FILES);
    write_json(&dir.join("meta.json"), &format!("{:#}", meta(&export.name)))?;
    create_dir(&files_dir)?;
    let mut written = Written { files: files.len(), ..Written::default() };
    for (name, source) in &files {
        written.copied += usize::from(copy(source, &files_dir, name)?);
    }
    write_json(&dir.join("default_mod.json"), &default_mod(export))?;
    written.removed = remove_all_but(&files_dir, &files.into_keys().collect())?;
    Ok(written)
}

/// Makes the folder, or makes sure that it is ours.
fn claim(dir: &Path) -> Result<(), ExportError> {
    let occupied = || ExportError::Occupied { path: dir.to_owned() };
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create_dir(dir),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(occupied()),
        Err(source) => return Err(ExportError::Read { path: dir.to_owned(), source }),
        Ok(mut entries) => {
            if entries.next().is_none() {
                return Ok(());
            }
        }
    }
    let bytes = fs::read(dir.join("meta.json")).map_err(|_| occupied())?;
    let text = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(&bytes);
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct MetaForm {
        author: String,
    }
    let meta: MetaForm = serde_json::from_slice(text).map_err(|_| occupied())?;
    // A link in the place of our folder would have us delete somebody else's files.
    let files_is_ours = match fs::symlink_metadata(dir.join(FILES)) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if meta.author == AUTHOR && files_is_ours { Ok(()) } else { Err(occupied()) }
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

/// As text, because the manipulations of somebody else are better not made into a tree.
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

/// Whether the file had to be copied.
fn copy(source: &Path, dir: &Path, name: &str) -> Result<bool, ExportError> {
    let unreadable = |error| ExportError::Read { path: source.to_owned(), source: error };
    let target = dir.join(name);
    let failed = |error| ExportError::Write { path: target.clone(), source: error };
    if !fs::metadata(source).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::ErrorKind::InvalidInput.into()));
    }
    if same_content(source, &target).unwrap_or(false) {
        return Ok(false);
    }
    let part = dir.join(format!(".{name}.part"));
    let mut from = File::open(source).map_err(unreadable)?;
    // Not `fs::copy`: it would bring along a cache's read-only mark and a download's mark of origin.
    let copied = File::create(&part).and_then(|mut to| io::copy(&mut from, &mut to));
    copied.and_then(|_| fs::rename(&part, &target)).map_err(failed)?;
    Ok(true)
}

fn same_content(a: &Path, b: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(b)?;
    if !metadata.is_file() || metadata.len() != fs::metadata(a)?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
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

fn write_json(path: &Path, text: &str) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write { path: path.to_owned(), source };
    let part = path.with_extension("json.part");
    fs::write(&part, text).and_then(|()| fs::rename(&part, path)).map_err(failed)
}

fn create_dir(path: &Path) -> Result<(), ExportError> {
    fs::create_dir_all(path).map_err(|source| ExportError::Write { path: path.to_owned(), source })
}

/// How many are gone. One that cannot be removed, because the game has it open, waits for the next export.
fn remove_all_but(dir: &Path, keep: &HashSet<&str>) -> Result<usize, ExportError> {
    let failed = |source| ExportError::Read { path: dir.to_owned(), source };
    let mut removed = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A disk that ignores letter case may list our file in the case that an older one had.
        let kept = entry.file_name().to_str().is_some_and(|name| keep.contains(name.to_lowercase().as_str()));
        if !kept && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            removed += usize::from(fs::remove_file(entry.path()).is_ok());
        }
    }
    Ok(removed)
}
