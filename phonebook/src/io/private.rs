//! Files that are nobody else's business.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

/// Opens with `options`; a new file is readable to its owner only, where files have modes.
pub(crate) fn append(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}
