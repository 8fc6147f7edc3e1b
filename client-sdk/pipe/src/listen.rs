//! The daemon's end: a Unix socket that only its owner may open, in a folder that only its owner may enter; a Windows
//! named pipe for this user, the system and the administrators.

use crate::{Endpoint, Stranger, dial, stranger};
use fyteclub_files::trouble::Trouble;
use interprocess::local_socket::{
    ListenerOptions,
    tokio::{Listener, Stream, prelude::*},
};
use std::{fs, io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    #[error("another daemon listens on {0}: stop it, or choose another place with --ipc")]
    InUse(String),
    #[error("{path} is {what}, not a socket: choose another place with --ipc")]
    NoSocket { path: PathBuf, what: &'static str },
    #[error("the socket {socket} belongs to {owner}: choose another place with --ipc")]
    Foreign { socket: PathBuf, owner: String },
    #[error("there can be no socket at {endpoint}: {source}; choose another place with --ipc")]
    Folder { endpoint: String, source: Trouble },
    #[error("cannot listen on {endpoint}: {source}; choose another place with --ipc")]
    Listen { endpoint: String, source: io::Error },
}

pub struct LocalListener {
    listener: Listener,
    endpoint: Endpoint,
    /// The socket's file, on Unix.
    file: Option<FileId>,
}

/// Device and inode: no other file has them while the socket is open.
type FileId = (u64, u64);

impl LocalListener {
    /// Whether a socket can be at this place, as far as that is known without making one.
    ///
    /// # Errors The place cannot be a socket's name, or something else is there.
    pub fn check(endpoint: &Endpoint) -> Result<(), ListenError> {
        endpoint.name().map_err(|source| ListenError::Listen { endpoint: endpoint.to_string(), source })?;
        what_is_there(endpoint).map(drop)
    }

    /// Replaces a socket that a dead daemon of this user left, but neither a live daemon's nor any other file.
    ///
    /// # Errors Another daemon answers there, something else is there, the folder is not safe, or the system refuses.
    pub async fn bind(endpoint: &Endpoint) -> Result<Self, ListenError> {
        let error = |source| ListenError::Listen { endpoint: endpoint.to_string(), source };
        let name = endpoint.name().map_err(error)?;
        clear(endpoint).await?;
        // `drop` releases the name, after it checked the owner.
        let options = ListenerOptions::new().name(name).try_overwrite(false).reclaim_name(false);
        let listener = restrict(options).and_then(|options| options.create_tokio()).map_err(error)?;
        Ok(Self { listener, endpoint: endpoint.clone(), file: file_id(endpoint.as_str()) })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Listens again if the socket's file was removed, as cleaners of temporary folders do. Returns whether it was.
    ///
    /// # Errors As [`Self::bind`]: something else has the name now. This listener stays, for the connected clients.
    pub async fn renew(&mut self) -> Result<bool, ListenError> {
        if self.file == file_id(self.endpoint.as_str()) {
            return Ok(false);
        }
        let renewed = Self::bind(&self.endpoint).await?;
        self.file = None;
        *self = renewed;
        Ok(true)
    }

    /// # Errors [`io::ErrorKind::PermissionDenied`] with [`Stranger`] for a program of another user, whose connection
    /// is closed; the system's, for example when no file handle is left: try again after a moment.
    pub async fn accept(&self) -> io::Result<Stream> {
        let stream: Stream = self.listener.accept().await?;
        if stranger::dials_as_us(&stream)? {
            Ok(stream)
        } else {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, Stranger))
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if self.file.is_some() && self.file == file_id(self.endpoint.as_str()) {
            fs::remove_file(self.endpoint.as_str()).ok();
        }
    }
}

#[cfg(unix)]
fn file_id(endpoint: &str) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(endpoint).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn file_id(_: &str) -> Option<FileId> {
    None
}

/// Makes sure that the endpoint is free, in a folder where no other user can replace it.
#[cfg(unix)]
async fn clear(endpoint: &Endpoint) -> Result<(), ListenError> {
    use fyteclub_files::private;
    use std::path::Path;
    let path = Path::new(endpoint.as_str());
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let checked = if endpoint.is_usual() { private::own_dir(dir) } else { private::safe_dir(dir) };
        checked.map_err(|source| ListenError::Folder { endpoint: endpoint.to_string(), source })?;
    }
    if !what_is_there(endpoint)? {
        return Ok(());
    }
    if dial(endpoint).await.is_ok() {
        return Err(ListenError::InUse(endpoint.to_string()));
    }
    let error = |source| ListenError::Listen { endpoint: endpoint.to_string(), source };
    fs::remove_file(path).map_err(error)
}

/// Whether a socket of this user is there. Anything else is an error.
#[cfg(unix)]
fn what_is_there(endpoint: &Endpoint) -> Result<bool, ListenError> {
    use fyteclub_files::trouble;
    use std::{
        os::unix::fs::{FileTypeExt, MetadataExt},
        path::Path,
    };
    let path = Path::new(endpoint.as_str());
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(other) => {
            let source = trouble::explain(path, &other);
            return Err(ListenError::Folder { endpoint: endpoint.to_string(), source });
        }
    };
    if !found.file_type().is_socket() {
        let what = match found.file_type() {
            kind if kind.is_dir() => "a folder",
            kind if kind.is_symlink() => "a link",
            _ => "a file",
        };
        return Err(ListenError::NoSocket { path: path.to_owned(), what });
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(ListenError::Foreign { socket: path.to_owned(), owner: trouble::user(found.uid()) });
    }
    Ok(true)
}

/// Pipes have names of their own.
#[cfg(not(unix))]
fn what_is_there(_: &Endpoint) -> Result<bool, ListenError> {
    Ok(false)
}

/// Requests the first instance of the pipe, so a taken name is an error.
#[cfg(not(unix))]
async fn clear(endpoint: &Endpoint) -> Result<(), ListenError> {
    match dial(endpoint).await {
        Ok(_) => Err(ListenError::InUse(endpoint.to_string())),
        Err(_) => Ok(()),
    }
}

#[cfg(unix)]
fn restrict(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
    use interprocess::os::unix::local_socket::ListenerOptionsExt;
    Ok(options.mode(0o600))
}

#[cfg(windows)]
fn restrict(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
    use interprocess::os::windows::{
        local_socket::ListenerOptionsExt, security_descriptor::SecurityDescriptor,
    };
    // Denies network logons; allows the system, the administrators and the owner.
    let sddl = widestring::u16cstr!("D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)");
    Ok(options.security_descriptor(SecurityDescriptor::deserialize(sddl)?))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        os::unix::{fs::symlink, net::UnixStream},
        path::Path,
    };

    fn at(path: &Path) -> Endpoint {
        Endpoint::at(path.to_str().expect("text"))
    }

    async fn refused(path: &Path) -> String {
        match LocalListener::bind(&at(path)).await {
            Ok(_) => panic!("it listens on {}", path.display()),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn file_link_or_long_path_is_refused_and_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, link) = (dir.path().join("notes.txt"), dir.path().join("link"));
        fs::write(&file, "my notes").expect("a file");
        symlink(&file, &link).expect("a link");
        for path in [&file, &link, &dir.path().to_owned()] {
            let why = refused(path).await;
            assert!(why.contains("not a socket") && why.contains("--ipc"), "{why}");
        }
        assert_eq!(fs::read_to_string(&file).expect("kept"), "my notes");
        let why = refused(&dir.path().join("x".repeat(110))).await;
        assert!(why.contains("107 bytes") && why.matches("at most").count() == 1, "{why}");
    }

    #[tokio::test]
    async fn socket_of_a_dead_daemon_is_taken_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let listener = LocalListener::bind(&at(&path)).await.expect("taken over");
        assert!(refused(&path).await.contains("another daemon listens"));
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn removed_socket_is_made_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("own/d.sock");
        let mut listener = LocalListener::bind(&at(&path)).await.expect("listens");
        assert!(!listener.renew().await.expect("nothing to do"));
        fs::remove_dir_all(dir.path().join("own")).expect("removed");
        assert!(listener.renew().await.expect("made again"));
        UnixStream::connect(&path).expect("somebody listens");
        // A file that replaced ours is not removed.
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "a file").expect("a file");
        assert!(listener.renew().await.is_err());
        drop(listener);
        assert_eq!(fs::read_to_string(&path).expect("kept"), "a file");
    }
}
