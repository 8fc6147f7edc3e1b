//! Files with private permissions.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

/// Opens with `options`; a new file is readable only by its owner on Unix.
pub(crate) fn append(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}
