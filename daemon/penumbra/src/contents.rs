//! What a mod is made of, whether it lies in a folder or in a `.pmp`: files by relative name, each checked before it is
//! handed out.

use super::{LeftOutReason, ModError, Scratch, Source, archive::Archive, folder::Folder, relative};
use fyteclub_proto::limit;
use std::{fs, io::Read, path::Path};

/// How much a mod may hold, far above any honest one: what it costs to read is bounded by these numbers and not by what
/// the mod says. Only tests have other ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// The longest file that may be shared.
    pub file: u64,
    /// All that a `.pmp` may unpack to.
    pub unpacked: u64,
    /// The longest JSON file, and all JSON files of one mod together. They are read as streams.
    pub json: u64,
    pub json_total: u64,
    /// Groups of a mod.
    pub groups: usize,
    /// Options and containers of a mod.
    pub options: usize,
    /// What may be switched on, and what one file or group holds: files and swaps, manipulations, the longest of them,
    /// and the bytes of all their texts.
    pub pairs: usize,
    pub manipulations: usize,
    pub manipulation_bytes: usize,
    pub text: usize,
    /// Conditions of a mod, and the ids in them.
    pub conditions: usize,
    /// Entries of an archive, or names in the folders of a mod that are looked into.
    pub names: usize,
    /// All bytes of an archive's list of entries.
    pub directory: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            file: limit::FILE_SIZE_MAX,
            unpacked: 8 << 30,
            json: limit::MOD_JSON_MAX,
            json_total: limit::MOD_JSON_TOTAL_MAX,
            groups: 4096,
            options: 32_768,
            pairs: 2 * limit::GAME_PATHS_MAX,
            manipulations: 65_536,
            manipulation_bytes: 16 << 10,
            text: 10 << 20,
            conditions: 32_768,
            names: 131_072,
            directory: 16 << 20,
        }
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
    /// Names at the top that [`says_mod`], in no order.
    fn top(&mut self) -> Result<Vec<String>, ModError>;
    /// A file of the top, to be read as far as its reader likes.
    fn json<'a>(&'a mut self, name: &str) -> Result<Box<dyn Read + 'a>, ModError>;
    /// The file behind the parts. The outer error ends the reading, the inner one leaves this file out.
    fn obtain(&mut self, parts: &[&str]) -> Result<Result<Obtained, LeftOutReason>, ModError>;
}

pub(super) fn open<'a>(
    path: &Path,
    scratch: Scratch<'a>,
    caps: Caps,
) -> Result<Box<dyn Contents + 'a>, ModError> {
    let metadata = fs::metadata(path).map_err(|source| ModError::Read { path: path.to_owned(), source })?;
    let mut contents: Box<dyn Contents + 'a> = if metadata.is_dir() {
        Box::new(Folder::open(path, caps)?)
    } else if metadata.is_file() {
        Box::new(Archive::open(path, scratch, caps)?)
    } else {
        return Err(ModError::NotAMod { path: path.to_owned() });
    };
    match contents.top()?.is_empty() {
        false => Ok(contents),
        true => Err(ModError::NotAMod { path: path.to_owned() }),
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
