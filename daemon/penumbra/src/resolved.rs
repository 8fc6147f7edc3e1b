//! Inputs and result of reading a mod.

use super::error::{LeftOut, ModError};
use fyteclub_proto::game_path::GamePath;
use fyteclub_store::StoreError;
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// A mod with its options resolved.
#[derive(Debug)]
pub struct Resolved {
    /// The mod's own name, or the folder's if it has none.
    pub name: String,
    /// Ordered by first game path: the same look has the same order, from a folder and from a `.pmp`.
    pub files: Vec<ResolvedFile>,
    /// Game files shown in each other's place, sorted: (requested path, shown path).
    pub swaps: Vec<(GamePath, GamePath)>,
    /// A JSON list, opaque, in Penumbra's form; of two that change the same thing only the winner. Empty when there is
    /// none, and when it exceeds the limit of a look.
    pub manipulations: String,
    /// The list's length in bytes.
    pub manipulation_bytes: usize,
    /// Parts that the mod names and this look lacks; show them to the player. The first thousand by name, the rest by
    /// number.
    pub left_out: Vec<LeftOut>,
}

/// One distinct file and all its game paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedFile {
    pub source: Source,
    /// Sorted, never empty.
    pub game_paths: Vec<GamePath>,
    /// As read; a folder's file may change afterwards.
    pub size: u64,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// In the mod's own folder; its owner may change it at any time.
    Folder(PathBuf),
    /// Unpacked into the scratch folder, which the caller removes.
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
    /// Used only for a `.pmp`: created when absent. Unpacked files stay there until the caller removes them, also after
    /// an error. Each reading needs an empty one: no file in it is ever overwritten.
    pub dir: &'a Path,
    /// Called before so many more bytes are written; its error ends the reading.
    pub space: &'a dyn Fn(u64) -> Result<(), StoreError>,
}

/// `GROUP=OPTION`, as typed by a person. The first choice for a group replaces its defaults; several choices for a
/// group that takes several add up; an empty option means none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub group: String,
    pub option: String,
}

impl FromStr for Choice {
    type Err = ModError;

    fn from_str(text: &str) -> Result<Self, ModError> {
        let (group, option) = text.split_once('=').ok_or_else(|| ModError::Choice(text.to_owned()))?;
        Ok(Self { group: group.to_owned(), option: option.to_owned() })
    }
}
