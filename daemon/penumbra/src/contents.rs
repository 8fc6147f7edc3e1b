//! A mod's files by relative name, in a folder or in a `.pmp`. Each file is checked before it is returned.

use super::{LeftOutReason, ModError, Source, relative};
use std::io::Read;

/// A file that may be shared.
#[derive(Debug, Clone)]
pub(super) struct Obtained {
    pub source: Source,
    pub size: u64,
}

pub(super) trait Contents {
    /// The folder's or the archive's own name, for a mod without one.
    fn name(&self) -> String;
    /// Top-level names for which [`says_mod`] is true, in no order.
    fn top(&mut self) -> Result<Vec<String>, ModError>;
    /// Opens a top-level file; the reader decides how much it reads.
    fn json<'a>(&'a mut self, name: &str) -> Result<Box<dyn Read + 'a>, ModError>;
    /// The file at this path. The outer error ends the reading, the inner one leaves this file out.
    fn obtain(&mut self, parts: &[&str]) -> Result<Result<Obtained, LeftOutReason>, ModError>;
}

/// Whether a top-level name identifies a mod.
pub(super) fn says_mod(name: &str) -> bool {
    relative::fold(name) == "meta.json" || says_container(name)
}

/// Whether a file of this name has a mod's changes, in every version with several files.
pub(super) fn says_container(name: &str) -> bool {
    relative::fold(name) == "default_mod.json" || says_group(name)
}

pub(super) fn says_group(name: &str) -> bool {
    let name = relative::fold(name);
    name.starts_with("group_") && name.ends_with(".json")
}
