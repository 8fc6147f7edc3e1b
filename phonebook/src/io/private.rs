//! Files with private permissions.

use fyteclub_files::regular;
use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

/// Opens a regular file with `options`; a new one is readable only by its owner on Unix.
pub(crate) fn append(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    regular::open(path, options)
}

/// Whether the path still leads to this file: another program may have removed or renamed it.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |found: &fs::Metadata| (found.dev(), found.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(open), Ok(named)) if id(&open) == id(&named))
}

/// Windows lets nobody remove an open file.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, path: &Path) -> bool {
    fs::exists(path).unwrap_or(false)
}
