//! The socket to the daemon: a Unix socket at a file path, or a Windows named pipe, behind one type.
//!
//! The only room of this crate that knows which operating system it is on. The daemon names its listener with
//! [`name`] too, so that both ends mean the same place. What is said over the socket is not here.

use fyteclub_proto::local::endpoint::{self, Platform};
use interprocess::local_socket::{Name, tokio::prelude::*};
use std::{fmt, io};

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
/// An empty string, one that is too long for a socket, or one that the operating system cannot take as a name.
pub fn name(endpoint: &str) -> io::Result<Name<'static>> {
    let unusable = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if endpoint.is_empty() {
        return unusable("it is empty".into());
    }
    if endpoint.len() > LONGEST {
        return unusable(format!(
            "a socket's path has at most {LONGEST} bytes, and this one has {}: choose a shorter one, as in /tmp or the home folder",
            endpoint.len()
        ));
    }
    platform_name(endpoint.to_owned())
}

/// What fits into `sun_path` with its end; on Windows, a pipe's name.
const LONGEST: usize = if cfg!(windows) {
    256
} else if cfg!(target_os = "linux") {
    107
} else {
    endpoint::SOCKET_PATH_MAX
};

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

/// Connects to the daemon that listens there; nothing is said yet. A program of another user is none: whoever makes the
/// socket first would be told everything.
///
/// # Errors
/// The operating system's, as they come; [`io::ErrorKind::PermissionDenied`] with [`Stranger`] where another user listens.
/// [`crate::Client::connect`] puts them into words.
pub async fn dial(endpoint: &str) -> io::Result<Stream> {
    let stream = Stream::connect(name(endpoint)?).await?;
    match is_own(&stream, endpoint)? {
        true => Ok(stream),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, Stranger)),
    }
}

/// The socket is another user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger;

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a program of another user listens there")
    }
}

impl std::error::Error for Stranger {}

/// Whether the process at the other end runs as this user. Not even root is believed: its daemon would not be this user's.
#[cfg(unix)]
fn is_own(stream: &Stream, endpoint: &str) -> io::Result<bool> {
    use interprocess::local_socket::traits::StreamCommon;
    use std::os::unix::fs::MetadataExt;
    let theirs = match stream.peer_creds()?.euid() {
        Some(user) => user,
        // A system that tells nobody's: then whose the socket is, in a folder that only its owner may write in.
        None => std::fs::symlink_metadata(endpoint)?.uid(),
    };
    Ok(theirs == rustix::process::geteuid().as_raw())
}

/// Whether the pipe belongs to this user, or to those who may do everything anyway: a daemon that runs elevated makes what
/// it makes in the name of the administrators. Reads the owner of the pipe itself, not of a process id, which can be
/// reused. Not tried on a real Windows yet.
#[cfg(windows)]
fn is_own(stream: &Stream, _: &str) -> io::Result<bool> {
    use std::os::windows::io::AsHandle;
    use windows_permissions::{
        LocalBox, Sid,
        constants::{SeObjectType, SecurityInformation},
        utilities::current_process_sid,
        wrappers::GetSecurityInfo,
    };
    let Stream::NamedPipe(pipe) = stream;
    let pipe = pipe.inner().as_handle();
    let descriptor = GetSecurityInfo(&pipe, SeObjectType::SE_KERNEL_OBJECT, SecurityInformation::Owner)?;
    // On Windows every pipe has an owner. Wine tells none, and its pipes are one user's: its server serves nobody else.
    let Some(owner) = descriptor.owner() else { return Ok(true) };
    let administrators: LocalBox<Sid> = "S-1-5-32-544".parse()?;
    let system: LocalBox<Sid> = "S-1-5-18".parse()?;
    Ok(owner == &*current_process_sid()? || owner == &*administrators || owner == &*system)
}
