//! The socket's address. The rule for the default is in proto (`local/endpoint`); this resolves it on the system.

use fyteclub_proto::local::endpoint::{self, Platform};
use interprocess::local_socket::Name;
use std::{fmt, io};

/// A daemon's local socket: a file path on Unix (never an abstract name: .NET cannot connect to those), a pipe's name
/// on Windows, with or without `\\.\pipe\` in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    place: String,
    /// The default: in a folder of its own, which must be this user's alone.
    usual: bool,
}

impl Endpoint {
    /// The default of both ends, from this process's environment.
    pub fn usual() -> Self {
        let platform = if cfg!(windows) { Platform::Windows } else { Platform::Unix };
        let place = endpoint::default_endpoint(platform, |variable| std::env::var(variable).ok());
        Self { place, usual: true }
    }

    /// A socket that a person chose: its folder may be shared, if others cannot replace this user's files.
    pub fn at(place: impl Into<String>) -> Self {
        Self { place: place.into(), usual: false }
    }

    pub fn as_str(&self) -> &str {
        &self.place
    }

    /// Whether it is the place of [`Endpoint::usual`], whose folder only this user may own.
    #[cfg(unix)]
    pub(crate) fn is_usual(&self) -> bool {
        self.usual
    }

    /// The system's name for it.
    ///
    /// # Errors An empty string, one too long for a socket, or one that the operating system rejects as a name.
    pub fn name(&self) -> io::Result<Name<'static>> {
        let unusable = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if self.place.is_empty() {
            return unusable("it is empty".into());
        }
        if self.place.len() > LONGEST {
            return unusable(format!(
                "a socket's path has at most {LONGEST} bytes, and this one has {}: choose a shorter one, as in /tmp or the home folder",
                self.place.len()
            ));
        }
        platform_name(self.place.clone())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// The size of `sun_path` without its final zero; on Windows, of a pipe's name.
const LONGEST: usize = if cfg!(windows) {
    256
} else if cfg!(target_os = "linux") {
    107
} else {
    endpoint::SOCKET_PATH_MAX
};

#[cfg(unix)]
fn platform_name(place: String) -> io::Result<Name<'static>> {
    use interprocess::local_socket::{GenericFilePath, ToFsName};
    place.to_fs_name::<GenericFilePath>()
}

#[cfg(windows)]
fn platform_name(place: String) -> io::Result<Name<'static>> {
    use interprocess::local_socket::{GenericFilePath, GenericNamespaced, ToFsName, ToNsName};
    if place.starts_with(r"\\") {
        place.to_fs_name::<GenericFilePath>()
    } else {
        place.to_ns_name::<GenericNamespaced>()
    }
}
