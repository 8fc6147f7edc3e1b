//! Why a mod cannot be read, and why one of its files is left out. Every message says what was wrong and, where
//! possible, what to do.

pub use super::caps::Count;
use fyteclub_files::trouble::explain_or;
use fyteclub_proto::{game_path::GamePathError, limit, size};
use fyteclub_store::StoreError;
use std::{fmt, io, path::PathBuf};

/// Most left-out entries that a look lists; the rest is counted.
const LEFT_OUT_MAX: usize = 1024;
/// Longest text of a mod that is shown, in bytes.
const SHOWN_MAX: usize = 300;
/// Most names that an error lists.
const LISTED_MAX: usize = 32;

/// Why a mod cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModError {
    #[error("`{}` is not a Penumbra mod: it has no meta.json, default_mod.json or group_*.json; give the folder that holds them, or a .pmp", .path.display())]
    NotAMod { path: PathBuf },
    #[error("`{}` is one file of a mod; give the folder that it is in", .path.display())]
    PartOfAMod { path: PathBuf },
    #[error("`{}` holds more than one mod ({}); unpack it and give one of them", .path.display(), quoted(.folders))]
    SeveralMods { path: PathBuf, folders: Vec<String> },
    #[error("`{}` is not a complete zip archive ({says}); download the .pmp again", .path.display())]
    NotAnArchive { path: PathBuf, says: String },
    /// Ends with what helps.
    #[error("`{}` is {what}", .path.display())]
    OtherKind { path: PathBuf, what: &'static str },
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
    #[error(
        "`{file}` has more than {} of JSON, the limit for one file; split the mod in Penumbra, or remove the groups of it that you do not use",
        size::words(*.limit)
    )]
    JsonTooLarge { file: String, limit: u64 },
    #[error(
        "the JSON files of this mod have more than {} together, the limit; split the mod in Penumbra, or remove the groups of it that you do not use",
        size::words(*.limit)
    )]
    JsonTotal { limit: u64 },
    #[error(
        "this mod has more than {max} {}, and more is not read; split the mod in Penumbra, or remove what you do not use of it",
        .count.says()
    )]
    TooMuch { count: Count, max: usize },
    #[error(
        "`{}` has more than {limit} {what}, the most that is read; give a folder with nothing but the mod, or a .pmp with less in it", .path.display()
    )]
    TooManyNames { path: PathBuf, what: &'static str, limit: u64 },
    #[error("`{file}` is UTF-16; save it as UTF-8")]
    Utf16 { file: String },
    #[error(
        "`{file}` is not the JSON of a Penumbra mod: {says} (line {line}, column {column}); fix it there, or restore a backup"
    )]
    Json { file: String, says: String, line: u64, column: u64 },
    #[error(
        "this mod was made for a Penumbra of 2021 or before; load it once in Penumbra, which renews its files, and try again"
    )]
    Old,
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
    #[error("{}", explain_or(.path, .source, "give a mod folder or a .pmp that this user may read"))]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot unpack to `{}` ({source})", .path.display())]
    Unpack { path: PathBuf, source: io::Error },
    /// The error of [`super::Scratch::space`].
    #[error("the archive cannot be unpacked: {0}")]
    NoSpace(#[source] StoreError),
}

fn quoted(names: &[String]) -> String {
    let mut shown: Vec<_> = names.iter().take(LISTED_MAX).map(|name| format!("`{}`", cut(name))).collect();
    if names.len() > LISTED_MAX {
        shown.push(format!("and {} more", names.len() - LISTED_MAX));
    }
    shown.join(", ")
}

/// A mod's text, cut to the shown length.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().map(|(at, _)| at).find(|at| *at > SHOWN_MAX) {
        Some(end) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn listed(intro: &str, names: &[String]) -> String {
    if names.is_empty() { "it has none".to_owned() } else { format!("{intro} {}", quoted(names)) }
}

/// Something that the mod names and the look lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// In the form of a game path, where it is one; empty when a whole group is left out.
    pub game_path: String,
    /// As the mod writes it: the file, the target of a swap, or the group's name or file. Long texts are cut.
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

/// Collects left-out entries: the first ones by name, the rest by number.
#[derive(Debug, Default)]
pub(super) struct LeftOuts {
    named: Vec<LeftOut>,
    more: usize,
}

impl LeftOuts {
    pub(super) fn add(&mut self, game_path: &str, file: &str, reason: LeftOutReason) {
        if self.named.len() < LEFT_OUT_MAX {
            self.named.push(LeftOut { game_path: cut(game_path), file: cut(file), reason });
        } else {
            self.more += 1;
        }
    }

    /// Whether one more would only be counted.
    pub(super) fn is_full(&self) -> bool {
        self.named.len() >= LEFT_OUT_MAX
    }

    pub(super) fn into_list(mut self) -> Vec<LeftOut> {
        self.named.sort_by(|a, b| (&a.game_path, &a.file).cmp(&(&b.game_path, &b.file)));
        if self.more > 0 {
            let reason = LeftOutReason::More(self.more);
            self.named.push(LeftOut { game_path: String::new(), file: String::new(), reason });
        }
        self.named
    }
}

/// Formats as a fixed word and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeftOutReason {
    #[error("missing: the mod has no such file")]
    Missing,
    #[error("outside: the path leads out of the mod")]
    Outside,
    #[error("too-long: the path has more than {} bytes", super::caps::PATH_BYTES_MAX)]
    TooLong,
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
    /// Counted only.
    #[error("more: {0} entries besides these are left out")]
    More(usize),
}

/// Why a group, or a part of it, has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupFault {
    #[error("its file is not JSON that Penumbra reads: {says} (line {line}, column {column})")]
    Json { says: String, line: u64, column: u64 },
    #[error("its file cannot be used: {0}")]
    Broken(String),
    #[error("its type `{0}` is not known to this version")]
    UnknownType(String),
    #[error("it has no name")]
    Nameless,
    #[error("an earlier group has the same name")]
    SameName,
    #[error("it has no valid IMC entry")]
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
