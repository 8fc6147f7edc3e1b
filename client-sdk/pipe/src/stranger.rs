//! Asks the system for the user at the other end.

use crate::Endpoint;
use interprocess::local_socket::tokio::Stream;
use std::{fmt, io};

/// A program of another user is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger;

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a program of another user is at the other end")
    }
}

impl std::error::Error for Stranger {}

/// Whether the listening process runs as this user. Root is refused too: its daemon would not be this user's.
#[cfg(unix)]
pub(crate) fn listens_as_us(stream: &Stream, endpoint: &Endpoint) -> io::Result<bool> {
    use interprocess::local_socket::traits::StreamCommon;
    use std::os::unix::fs::MetadataExt;
    let theirs = match stream.peer_creds()?.euid() {
        Some(user) => user,
        // Without peer credentials: the socket's owner, in a folder that only its owner may write in.
        None => std::fs::symlink_metadata(endpoint.as_str())?.uid(),
    };
    Ok(theirs == rustix::process::geteuid().as_raw())
}

/// Whether the pipe belongs to this user, or to the administrators, as that of an elevated daemon does. Reads the owner
/// of the pipe itself, not of a process id, which can be reused. Not tried on a real Windows yet.
#[cfg(windows)]
pub(crate) fn listens_as_us(stream: &Stream, _: &Endpoint) -> io::Result<bool> {
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
    // On Windows every pipe has an owner. Wine reports none; its server serves one user only.
    let Some(owner) = descriptor.owner() else { return Ok(true) };
    let administrators: LocalBox<Sid> = "S-1-5-32-544".parse()?;
    let system: LocalBox<Sid> = "S-1-5-18".parse()?;
    Ok(owner == &*current_process_sid()? || owner == &*administrators || owner == &*system)
}

/// Whether the dialling process runs as this user or as root. The socket's mode ensures the same; this holds where
/// somebody changed the mode.
#[cfg(unix)]
pub(crate) fn dials_as_us(stream: &Stream) -> io::Result<bool> {
    use interprocess::local_socket::traits::StreamCommon;
    // Without peer credentials the mode has to do.
    let Some(theirs) = stream.peer_creds()?.euid() else { return Ok(true) };
    Ok(may_call(theirs))
}

#[cfg(unix)]
fn may_call(user: u32) -> bool {
    [0, rustix::process::geteuid().as_raw()].contains(&user)
}

/// The pipe's access list allows only its owner, the system and the administrators.
#[cfg(windows)]
pub(crate) fn dials_as_us(_: &Stream) -> io::Result<bool> {
    Ok(true)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_this_user_and_root_may_call() {
        let own = rustix::process::geteuid().as_raw();
        assert!(may_call(own) && may_call(0));
        assert!(!may_call(own + 1) && !may_call(65_533));
    }
}
