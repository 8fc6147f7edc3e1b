//! Why an appearance is refused, and the limits of its parts.

use crate::{codec::CodecError, game_path::GamePath, limit, version::APPEARANCE_VERSION};

/// Why an appearance is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppearanceError {
    #[error("the appearance is malformed: {0}")]
    Malformed(#[from] CodecError),
    #[error("the appearance has version {0}, and this program knows {APPEARANCE_VERSION}")]
    Version(u8),
    #[error("the appearance is not signed by its owner's key")]
    Signature,
    #[error("the look has {count} {what}, and at most {max} are accepted")]
    TooMany { what: &'static str, count: usize, max: usize },
    #[error("{path} has {size} bytes, and at most {max} are accepted", max = limit::FILE_SIZE_MAX)]
    FileTooLarge { path: GamePath, size: u64 },
    #[error("the look is inconsistent: {0}")]
    Inconsistent(&'static str),
}

pub(super) fn too_many(what: &'static str, count: usize, max: usize) -> Result<(), AppearanceError> {
    if count > max { Err(AppearanceError::TooMany { what, count, max }) } else { Ok(()) }
}

/// Numbers of a look's parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub objects: usize,
    pub files: usize,
    pub swaps: usize,
    pub game_paths: usize,
}

impl Counts {
    /// # Errors The first exceeded limit.
    pub(super) fn check(&self) -> Result<(), AppearanceError> {
        too_many("objects", self.objects, limit::OBJECTS_MAX)?;
        too_many("files", self.files, limit::FILES_MAX)?;
        too_many("file swaps", self.swaps, limit::SWAPS_MAX)?;
        too_many("game paths", self.game_paths, limit::GAME_PATHS_MAX)
    }
}
