//! Why a mod cannot be read, and why one of its files is left out. Every message says what was wrong and, where
//! somebody can do something about it, what.

use fyteclub_proto::{game_path::GamePathError, limit};
use std::{fmt, io, path::PathBuf};

/// Why a mod cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModError {
    #[error("`{}` is not a Penumbra mod: it has no meta.json, default_mod.json or group_*.json; give the folder that holds them, or a .pmp", .path.display())]
    NotAMod { path: PathBuf },
    #[error("`{}` holds more than one mod ({}); unpack it and give one of them", .path.display(), quoted(.folders))]
    SeveralMods { path: PathBuf, folders: Vec<String> },
    #[error("`{}` is not a whole zip archive; fetch the .pmp again", .path.display())]
    NotAnArchive { path: PathBuf, source: zip::result::ZipError },
    #[error("`{entry}` in the archive is encrypted; unpack it with its password and give the folder")]
    Encrypted { entry: String },
    #[error(
        "`{entry}` in the archive is packed in a way that is not supported (only deflate is); unpack it and give the folder"
    )]
    Packing { entry: String },
    #[error(
        "the archive unpacks to more than {limit} bytes; unpack it, look at what it is, and give the folder"
    )]
    UnpackedTooLarge { limit: u64 },
    #[error("`{file}` cannot be used: {reason}")]
    Unusable { file: String, reason: LeftOutReason },
    #[error("`{file}` has more than the {limit} bytes of JSON that a mod may have")]
    JsonTooLarge { file: String, limit: u64 },
    #[error("`{file}` is UTF-16; save it as UTF-8")]
    Utf16 { file: String },
    #[error("`{file}` is not the JSON of a Penumbra mod, see line {}", .source.line())]
    Json { file: String, source: serde_json::Error },
    #[error(
        "this mod was made for a Penumbra of 2021 or before; load it once in Penumbra, which renews its files, and try again"
    )]
    Old,
    #[error("this mod has more than {} groups", super::package::GROUPS_MAX)]
    TooManyGroups,
    #[error("a choice reads GROUP=OPTION, and `{0}` has no `=`")]
    Choice(String),
    #[error("this mod has no group `{group}`; {}", listed("its groups are", .known))]
    UnknownGroup { group: String, known: Vec<String> },
    #[error("the group `{group}` has no option `{option}`; {}", listed("its options are", .known))]
    UnknownOption { group: String, option: String, known: Vec<String> },
    #[error("the group `{group}` takes one option, not both `{first}` and `{second}`")]
    TwoOptions { group: String, first: String, second: String },
    #[error("a look has at most {} files, and this mod has more", limit::FILES_MAX)]
    TooManyFiles,
    #[error("a look has at most {} game paths, and this mod has more", limit::GAME_PATHS_MAX)]
    TooManyGamePaths,
    #[error("a look has at most {} file swaps, and this mod has more", limit::SWAPS_MAX)]
    TooManySwaps,
    #[error("cannot read `{}` ({source}): give a mod folder or a .pmp that this user may read", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot unpack to `{}` ({source})", .path.display())]
    Unpack { path: PathBuf, source: io::Error },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn listed(intro: &str, names: &[String]) -> String {
    if names.is_empty() { "it has none".to_owned() } else { format!("{intro} {}", quoted(names)) }
}

/// Something that the mod names and the look does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// As the mod writes it; empty when a whole group is left out.
    pub game_path: String,
    /// As the mod writes it: the file, the target of a swap, or the group's name.
    pub file: String,
    pub reason: LeftOutReason,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.game_path.as_str() {
            "" => write!(f, "`{}`: {}", self.file, self.reason),
            game_path => write!(f, "{game_path} (`{}`): {}", self.file, self.reason),
        }
    }
}

/// Reads as a word that stays the same and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeftOutReason {
    #[error("missing: the mod has no such file")]
    Missing,
    #[error("outside: the path leads out of the mod")]
    Outside,
    #[error("extension: the game loads no such kind of file by path")]
    Extension,
    #[error("game-path: {0}")]
    GamePath(GamePathError),
    #[error("too-large: it has more than {} MiB", limit::FILE_SIZE_MAX >> 20)]
    TooLarge,
    #[error("unreadable: {0}")]
    Unreadable(String),
    #[error("not-a-file: it is a folder, a link or a device")]
    NotAFile,
    #[error("group: {0}")]
    Group(GroupFault),
}

/// Why a whole group, or a part of it, does nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupFault {
    #[error("its type `{0}` is not known to this version")]
    UnknownType(String),
    #[error("it has no name")]
    Nameless,
    #[error("an earlier group has the same name")]
    SameName,
    #[error("it says no valid IMC entry")]
    NoImcEntry,
    #[error("it changes every variant of an item, which only the game can count; one variant is kept")]
    Variants,
}

impl From<GamePathError> for LeftOutReason {
    fn from(error: GamePathError) -> Self {
        match error {
            GamePathError::Extension => Self::Extension,
            error => Self::GamePath(error),
        }
    }
}
