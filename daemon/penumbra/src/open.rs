//! Opens a mod: a folder or a `.pmp`.

use super::{ModError, Scratch, archive::Archive, caps::Caps, contents::Contents, folder::Folder};
use std::{fs, path::Path};

pub(super) fn open<'a>(
    path: &Path,
    scratch: Scratch<'a>,
    caps: Caps,
) -> Result<Box<dyn Contents + 'a>, ModError> {
    let metadata = fs::metadata(path).map_err(|source| ModError::Read { path: path.to_owned(), source })?;
    let mut contents: Box<dyn Contents + 'a> = if metadata.is_dir() {
        Box::new(Folder::open(path, caps)?)
    } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        return Err(ModError::PartOfAMod { path: path.to_owned() });
    } else if metadata.is_file() {
        Box::new(Archive::open(path, scratch, caps)?)
    } else {
        return Err(ModError::NotAMod { path: path.to_owned() });
    };
    if contents.top()?.is_empty() { Err(ModError::NotAMod { path: path.to_owned() }) } else { Ok(contents) }
}
