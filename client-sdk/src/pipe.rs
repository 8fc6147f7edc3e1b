//! The socket to the daemon: a Unix socket at a file path, or a Windows named pipe, behind one type.
//!
//! The only room of this crate that knows which operating system it is on. The daemon names its listener with
//! [`name`] too, so that both ends mean the same place. What is said over the socket is not here.

use fyteclub_proto::local::endpoint::{self, Platform};
use interprocess::local_socket::{Name, tokio::prelude::*};
use std::io;

pub use interprocess::local_socket::tokio::Stream;

/// Where the daemon listens when nobody said otherwise, from this process's environment.
pub fn default_endpoint() -> String {
    let platform = if cfg!(windows) { Platform::Windows } else { Platform::Unix };
    endpoint::default_endpoint(platform, |variable| std::env::var(variable).ok())
}

/// The socket that an endpoint string means: a file path on Unix (never an abstract name: .NET cannot reach those), a
/// pipe's name on Windows, with or without `\\.\pipe\` in front.
///
/// # Errors
/// An empty string, or one that the operating system cannot take as a name.
pub fn name(endpoint: &str) -> io::Result<Name<'static>> {
    if endpoint.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is empty"));
    }
    platform_name(endpoint.to_owned())
}

#[cfg(unix)]
fn platform_name(endpoint: String) -> io::Result<Name<'static>> {
    use interprocess::local_socket::{GenericFilePath, ToFsName};
    endpoint.to_fs_name::<GenericFilePath>()
}

#[cfg(windows)]
fn platform_name(endpoint: String) -> io::Result<Name<'static>> {
    use interprocess::local_socket::{GenericFilePath, GenericNamespaced, ToFsName, ToNsName};
    match endpoint.starts_with(r"\\") {
        true => endpoint.to_fs_name::<GenericFilePath>(),
        false => endpoint.to_ns_name::<GenericNamespaced>(),
    }
}

/// Connects to whoever listens there; nothing is said yet.
///
/// # Errors
/// The operating system's, as they come; [`crate::Client::connect`] puts them into words.
pub async fn dial(endpoint: &str) -> io::Result<Stream> {
    Stream::connect(name(endpoint)?).await
}
