//! What a mod is made of, whether it lies in a folder or in a `.pmp`: files by relative name, each checked before it is
//! handed out.

use super::{LeftOutReason, ModError, Source, archive::Archive, folder::Folder, relative};
use fyteclub_proto::limit;
use std::{fs, path::Path};

/// How much a mod may hold. Only tests have other ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// The longest file that may be shared.
    pub file: u64,
    /// All that a `.pmp` may unpack to. Far above any honest mod, far below a disk.
    pub unpacked: u64,
    /// The longest JSON file.
    pub json: u64,
    /// All JSON files of one mod: its parsed form stays in memory, several times as large.
    pub json_total: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { file: limit::FILE_SIZE_MAX, unpacked: 8 << 30, json: 64 << 20, json_total: 128 << 20 }
    }
}

/// A file that may be shared.
#[derive(Debug, Clone)]
pub(super) struct Obtained {
    pub source: Source,
    pub size: u64,
}

pub(super) trait Contents {
    /// The folder's or the archive's own name, for a mod that says none.
    fn name(&self) -> String;
    /// Names at the top of the mod, in no order.
    fn top(&mut self) -> Result<Vec<String>, ModError>;
    /// A file of the top, whole; at most `cap` bytes of it.
    fn json(&mut self, name: &str, cap: u64) -> Result<Vec<u8>, ModError>;
    /// The file behind the parts. The outer error ends the reading, the inner one leaves this file out.
    fn obtain(&mut self, parts: &[&str]) -> Result<Result<Obtained, LeftOutReason>, ModError>;
}

pub(super) fn open(path: &Path, scratch: &Path, caps: Caps) -> Result<Box<dyn Contents>, ModError> {
    let metadata = fs::metadata(path).map_err(|source| ModError::Read { path: path.to_owned(), source })?;
    let mut contents: Box<dyn Contents> = if metadata.is_dir() {
        Box::new(Folder::open(path, caps)?)
    } else if metadata.is_file() {
        Box::new(Archive::open(path, scratch, caps)?)
    } else {
        return Err(ModError::NotAMod { path: path.to_owned() });
    };
    match contents.top()?.iter().any(|name| says_mod(name)) {
        true => Ok(contents),
        false => Err(ModError::NotAMod { path: path.to_owned() }),
    }
}

/// Whether a name at the top shows that this is a mod.
pub(super) fn says_mod(name: &str) -> bool {
    relative::fold(name) == "meta.json" || says_container(name)
}

/// Whether a file of this name says what the mod changes, in every version that has several files.
pub(super) fn says_container(name: &str) -> bool {
    relative::fold(name) == "default_mod.json" || says_group(name)
}

pub(super) fn says_group(name: &str) -> bool {
    let name = relative::fold(name);
    name.starts_with("group_") && name.ends_with(".json")
}
