//! What is asked of a mod, and what comes out.

use super::error::{LeftOut, ModError};
use fyteclub_proto::game_path::GamePath;
use fyteclub_store::StoreError;
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

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

/// `GROUP=OPTION`, as a person gives it. The first choice for a group replaces its defaults; several choices for a
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
