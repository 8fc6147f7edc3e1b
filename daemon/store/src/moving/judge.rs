//! Whether a folder will do as the cache's next place.

use super::common::MoveError;
use crate::{inner::Inner, place::CacheLocation};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What systems put into an empty disk.
const SYSTEM: [&str; 4] = ["lost+found", "System Volume Information", "$RECYCLE.BIN", ".Trash-1000"];

/// Without links on the way, as far as it exists; on Windows as people write it, without `\\?\` where that will do.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut at = path;
    loop {
        if let Ok(found) = dunce::canonicalize(at) {
            return rest.iter().rev().fold(found, |path, name| path.join(name));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name);
                at = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

pub(super) fn judge_target(inner: &Inner, target: &Path, note: &CacheLocation) -> Result<PathBuf, MoveError> {
    if !target.is_absolute() {
        return Err(MoveError::NoPath { dir: target.to_owned() });
    }
    let dir = canonical(target);
    let old = canonical(&inner.site.here().dir);
    let home = canonical(&inner.dir);
    if dir == old {
        return Err(MoveError::Same { dir });
    }
    if let Some(old) = [old, home.clone()].into_iter().find(|old| dir.starts_with(old) && dir != *old) {
        return Err(MoveError::Inside { dir, old });
    }
    if note.leaving.iter().chain(&note.copying).any(|left| canonical(&inner.dir.join(left)) == dir) {
        return Err(MoveError::Leaving { dir });
    }
    match fs::read_dir(&dir) {
        Ok(entries) if dir != home => {
            let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
            let found = names.find(|name| !SYSTEM.iter().any(|system| name == system));
            match found {
                Some(found) => Err(MoveError::NotEmpty { dir, found: found.to_string_lossy().into_owned() }),
                None => Ok(dir),
            }
        }
        Ok(_) => Ok(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(dir),
        // Windows says of a file that its name is wrong.
        Err(_) if dir.is_file() => Err(MoveError::NotAFolder { dir }),
        Err(source) => Err(MoveError::NotWritable { path: dir, source }),
    }
}
