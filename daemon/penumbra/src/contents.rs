//! What a mod is made of, whether it lies in a folder or in a `.pmp`: files by relative name, each checked before it is
//! handed out.

use super::{LeftOutReason, ModError, Source, relative};
use std::io::Read;

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
