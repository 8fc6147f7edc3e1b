//! The process's standard streams as files of their own. Writing to them takes no lock of the standard library, which a
//! writer would hold while it waits for a reader.

pub mod signals;

use std::{fs::File, io};

/// A second handle of standard error.
///
/// # Errors
/// No handle is left.
pub fn stderr() -> io::Result<File> {
    let stream = io::stderr();
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned();
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&stream).try_clone_to_owned();
    handle.map(File::from)
}

/// A second handle of standard output.
///
/// # Errors
/// No handle is left.
pub fn stdout() -> io::Result<File> {
    let stream = io::stdout();
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned();
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&stream).try_clone_to_owned();
    handle.map(File::from)
}
