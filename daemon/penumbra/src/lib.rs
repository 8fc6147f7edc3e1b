//! Penumbra's mods, read and written as plain files: a folder or a `.pmp` and the chosen options become a look, and a
//! look becomes a folder that Penumbra loads.
//!
//! Nothing is hashed, sent or kept here, and nothing of a mod is believed: names, sizes and links are checked before a
//! byte is opened, and counts end the reading while it goes on (`contents::Caps`). Rooms: `package` reads the JSON
//! (`lenient` makes it strict, `form` says its shape, `sheet` holds it packed), `settings` and `condition` say what is
//! switched on, `resolve` lets priorities decide, `contents` finds the files, `write` is the way back.

mod archive;
mod condition;
mod contents;
mod directory;
mod error;
mod folder;
mod form;
mod lenient;
mod manipulation;
mod mark;
mod package;
mod relative;
mod resolve;
mod settings;
mod sheet;
#[cfg(test)]
mod tests;
mod transcode;
mod write;

pub use error::{Count, LeftOut, LeftOutReason, ModError};
pub use settings::Choice;
pub use write::{Export, ExportError, ExportFile, Written, write};

use fyteclub_proto::game_path::GamePath;
use fyteclub_store::StoreError;
use std::path::{Path, PathBuf};

/// What a mod looks like with its options settled.
#[derive(Debug)]
pub struct Resolved {
    /// The mod's own name, or the folder's when it has none.
    pub name: String,
    /// Ordered by first game path: the same look has the same order, from a folder and from a `.pmp`.
    pub files: Vec<ResolvedFile>,
    /// The game's own files shown in each other's place, ordered: (what the game asks for, what it gets).
    pub swaps: Vec<(GamePath, GamePath)>,
    /// A JSON list, opaque, of Penumbra's own form; of two that change the same thing, only the one that wins. Empty when
    /// there is none, and when the list is longer than what travels.
    pub manipulations: String,
    /// How long that list is, in bytes.
    pub manipulation_bytes: usize,
    /// What is not in this look although the mod names it. Worth showing: a friend will not see these. The first thousand
    /// by name, the rest by number.
    pub left_out: Vec<LeftOut>,
}

/// One distinct file and every game path that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedFile {
    pub source: Source,
    /// Sorted, never empty.
    pub game_paths: Vec<GamePath>,
    /// As found while reading; a folder's file may change afterwards.
    pub size: u64,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// In the mod's own folder, whose owner may change it at any time.
    Folder(PathBuf),
    /// Unpacked into the caller's scratch folder, which the caller removes.
    Scratch(PathBuf),
}

impl Source {
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Scratch(path) => path,
        }
    }
}

/// Where a `.pmp` is unpacked to.
#[derive(Clone, Copy)]
pub struct Scratch<'a> {
    /// Only touched for a `.pmp`: created when absent, and what is unpacked stays there until the caller removes it, also
    /// after an error. Each reading needs an empty one: no file in it is ever overwritten.
    pub dir: &'a Path,
    /// Asked before so many more bytes are written there; an error of it ends the reading.
    pub room: &'a dyn Fn(u64) -> Result<(), StoreError>,
}

/// Reads the mod at `path`, a folder or a `.pmp`. What cannot be shared is named in [`Resolved::left_out`]; an error
/// means that nothing can. The memory that it takes is bounded, whatever the mod says: about 24 MiB and what the look
/// needs.
pub fn read_into(path: &Path, choices: &[Choice], scratch: Scratch<'_>) -> Result<Resolved, ModError> {
    read_within(path, choices, scratch, contents::Caps::default())
}

/// [`read_into`] a folder on a disk with room.
pub fn read(path: &Path, choices: &[Choice], scratch_dir: &Path) -> Result<Resolved, ModError> {
    read_into(path, choices, Scratch { dir: scratch_dir, room: &|_| Ok(()) })
}

fn read_within(
    path: &Path,
    choices: &[Choice],
    scratch: Scratch<'_>,
    caps: contents::Caps,
) -> Result<Resolved, ModError> {
    let mut contents = contents::open(path, scratch, caps)?;
    let package = package::read(contents.as_mut(), choices, caps)?;
    let on = settings::settle(&package.groups, choices)?;
    resolve::resolve(package, &on, contents.as_mut())
}
