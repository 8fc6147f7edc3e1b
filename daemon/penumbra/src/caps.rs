//! Limits of a mod's size.

use fyteclub_proto::limit;

/// Longest path inside a mod, in bytes. Windows' own limit is 260 letters by default.
pub(super) const PATH_BYTES_MAX: usize = 1024;

/// Limits far above any honest mod: they bound the cost of reading, whatever the mod announces. Only tests use others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// The longest file that may be shared.
    pub file: u64,
    /// All bytes that a `.pmp` may unpack to.
    pub unpacked: u64,
    /// The longest JSON file, and all JSON files of one mod together. They are read as streams.
    pub json: u64,
    pub json_total: u64,
    /// Groups of a mod.
    pub groups: usize,
    /// Options and containers of a mod.
    pub options: usize,
    /// For selected options and for one file or group: files and swaps, manipulations, the longest of them, and the
    /// bytes of all their texts.
    pub pairs: usize,
    pub manipulations: usize,
    pub manipulation_bytes: usize,
    pub text: usize,
    /// Conditions of a mod, and the ids in them.
    pub conditions: usize,
    /// Entries of an archive, or names in the listed folders of a mod.
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

/// What a mod can have too many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Groups,
    Options,
    Pairs,
    Manipulations,
    ManipulationBytes,
    Conditions,
    Text,
}

impl Count {
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Options => "options",
            Self::Pairs => "files and swaps in the selected options or in one group",
            Self::Manipulations => "manipulations",
            Self::ManipulationBytes => "bytes in one manipulation",
            Self::Conditions => "conditions",
            Self::Text => "bytes of names and paths in the selected options or in one group",
        }
    }

    pub(super) fn max(self, caps: &Caps) -> usize {
        match self {
            Self::Groups => caps.groups,
            Self::Options => caps.options,
            Self::Pairs => caps.pairs,
            Self::Manipulations => caps.manipulations,
            Self::ManipulationBytes => caps.manipulation_bytes,
            Self::Conditions => caps.conditions,
            Self::Text => caps.text,
        }
    }
}
