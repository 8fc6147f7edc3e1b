//! The local socket: listening, and JSON frames on it. What is said there is the `ipc` actors'.
//!
//! A Unix socket that only its owner may open, in a folder that only its owner may enter; a Windows named pipe for this
//! user, the system and the administrators.

use crate::io::private::Trouble;
use fyteclub_client::pipe;
use fyteclub_proto::{
    frame::{self, FrameError},
    limit::{LOCAL_FRAME_MAX, LOCAL_HELLO_BYTES_MAX, LOCAL_UNREAD_MAX},
};
use interprocess::local_socket::{
    ListenerOptions,
    tokio::{Listener, Stream, prelude::*},
};
use serde::Serialize;
use std::{fs, io, path::PathBuf, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc},
};

/// What is kept of a reader's buffer between frames.
const BUFFER_KEPT: usize = 64 * 1024;
/// What unread bytes are counted in.
const UNIT: usize = 1024;
const UNITS: u32 = (LOCAL_UNREAD_MAX / UNIT) as u32;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpcError {
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

/// Who chose where the socket lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nobody: it is in a folder of its own, which has to be this user's alone.
    Default,
    /// A person: its folder may be shared, where others can replace nothing of this user's.
    Chosen,
}

/// A frame that cannot be read. The connection is of no use after it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub struct LocalListener {
    listener: Listener,
    endpoint: String,
    place: Place,
    /// Which file the socket is, where it is one.
    file: Option<FileId>,
}

/// Device and number: no other file has them while the socket is open.
type FileId = (u64, u64);

impl LocalListener {
    /// Takes the endpoint over from a daemon of this user that died without cleaning up, but not from one that lives, and
    /// nothing else than a socket.
    ///
    /// # Errors
    /// Another daemon answers there, something else is there, the folder is not safe, or the system refuses.
    pub async fn bind(endpoint: &str, place: Place) -> Result<Self, IpcError> {
        let error = |source| IpcError::Listen { endpoint: endpoint.to_owned(), source };
        let name = pipe::name(endpoint).map_err(error)?;
        clear(endpoint, place).await?;
        // A name is given back by `drop`, which looks first whose it is.
        let options = ListenerOptions::new().name(name).try_overwrite(false).reclaim_name(false);
        let listener = restrict(options).and_then(|options| options.create_tokio()).map_err(error)?;
        Ok(Self { listener, endpoint: endpoint.to_owned(), place, file: file_id(endpoint) })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Listens anew where the socket's file is not there any more: cleaners of temporary folders remove it. Whether it had
    /// to.
    ///
    /// # Errors
    /// As [`Self::bind`]: something else has its place now. This listener stays, for those who are connected.
    pub async fn renew(&mut self) -> Result<bool, IpcError> {
        if self.file == file_id(&self.endpoint) {
            return Ok(false);
        }
        let renewed = Self::bind(&self.endpoint, self.place).await?;
        self.file = None;
        *self = renewed;
        Ok(true)
    }

    /// # Errors
    /// The system's: out of file handles, for one. Worth waiting a moment and trying again.
    pub async fn accept(&self) -> io::Result<(LocalReader, LocalWriter)> {
        let stream: Stream = self.listener.accept().await?;
        let stream = Arc::new(stream);
        let room = Arc::new(Semaphore::new(UNITS as usize));
        let reader = LocalReader { stream: stream.clone(), buffer: Vec::new(), room: room.clone() };
        Ok((reader, LocalWriter { stream, room }))
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if self.file.is_some() && self.file == file_id(&self.endpoint) {
            fs::remove_file(&self.endpoint).ok();
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

/// Makes sure that the endpoint is free, in a folder where it stays this user's.
#[cfg(unix)]
async fn clear(endpoint: &str, place: Place) -> Result<(), IpcError> {
    use crate::io::private;
    use std::{
        os::unix::fs::{FileTypeExt, MetadataExt},
        path::Path,
    };
    let path = Path::new(endpoint);
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let checked = match place {
            Place::Default => private::own_dir(dir),
            Place::Chosen => private::safe_dir(dir),
        };
        checked.map_err(|source| IpcError::Folder { endpoint: endpoint.to_owned(), source })?;
    }
    let error = |source| IpcError::Listen { endpoint: endpoint.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(other) => return Err(error(other)),
    };
    if !found.file_type().is_socket() {
        let what = match found.file_type() {
            kind if kind.is_dir() => "a folder",
            kind if kind.is_symlink() => "a link",
            _ => "a file",
        };
        return Err(IpcError::NoSocket { path: path.to_owned(), what });
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(IpcError::Foreign { socket: path.to_owned(), owner: private::user(found.uid()) });
    }
    if pipe::dial(endpoint).await.is_ok() {
        return Err(IpcError::InUse(endpoint.to_owned()));
    }
    fs::remove_file(path).map_err(error)
}

/// A pipe's name is free when nobody has it: the first instance is asked for, so one that is there already is an error.
#[cfg(not(unix))]
async fn clear(endpoint: &str, _: Place) -> Result<(), IpcError> {
    match pipe::dial(endpoint).await {
        Ok(_) => Err(IpcError::InUse(endpoint.to_owned())),
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
    // Nobody over the network; the system, the administrators and the owner here.
    let sddl = widestring::u16cstr!("D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)");
    Ok(options.security_descriptor(SecurityDescriptor::deserialize(sddl)?))
}

pub struct LocalReader {
    stream: Arc<Stream>,
    buffer: Vec<u8>,
    room: Arc<Semaphore>,
}

impl LocalReader {
    /// The next frame's body; `None` when the client is gone. A claim is not allocated before its bytes are there, and
    /// who has not greeted may say little. Waits while half of the room for replies is full: a client that asks and does
    /// not read is not heard any further.
    ///
    /// # Errors
    /// A frame over the limit, or a socket that broke.
    pub async fn next(&mut self, greeted: bool) -> Result<Option<Vec<u8>>, ReadError> {
        // Only that there is room counts, so it is given back at once. The room is never closed.
        drop(self.room.acquire_many(UNITS / 2).await);
        let max = if greeted { LOCAL_FRAME_MAX } else { LOCAL_HELLO_BYTES_MAX };
        loop {
            if let frame::Frame::Whole { body, used } = frame::split(&self.buffer, max)? {
                let body = body.to_vec();
                self.buffer.drain(..used);
                self.buffer.shrink_to(BUFFER_KEPT);
                return Ok(Some(body));
            }
            if (&*self.stream).read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

pub struct LocalWriter {
    stream: Arc<Stream>,
    room: Arc<Semaphore>,
}

/// Encoded frames that wait to be written, and the room that they take until they are.
type Waiting = (Vec<u8>, OwnedSemaphorePermit);

impl LocalWriter {
    /// What is said through the outbox is written by `run`, until the outbox and all its clones are gone.
    pub fn outbox(&self, frames: usize) -> (Outbox, Outgoing) {
        let (send, waiting) = mpsc::channel(frames);
        let outbox = Outbox { send, room: self.room.clone(), turn: Arc::default() };
        (outbox, Outgoing { waiting, batch: Vec::new() })
    }

    /// Writes what is waiting, all at once: many small events cost one system call. `false` when nothing will come.
    ///
    /// # Errors
    /// A client that is gone.
    pub async fn write(&mut self, outgoing: &mut Outgoing) -> io::Result<bool> {
        let Outgoing { waiting, batch } = outgoing;
        let Some((mut bytes, _room)) = waiting.recv().await else { return Ok(false) };
        while bytes.len() < BUFFER_KEPT
            && let Ok((more, room)) = waiting.try_recv()
        {
            bytes.extend_from_slice(&more);
            batch.push(room);
        }
        (&*self.stream).write_all(&bytes).await?;
        (&*self.stream).flush().await?;
        batch.clear();
        Ok(true)
    }
}

pub struct Outgoing {
    waiting: mpsc::Receiver<Waiting>,
    batch: Vec<OwnedSemaphorePermit>,
}

/// Where replies and events for one client go. It holds a bounded number of bytes: who sends waits for room, in order.
#[derive(Debug, Clone)]
pub struct Outbox {
    send: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    /// Whose message is being encoded: no two that are long wait for room at once.
    turn: Arc<Mutex<()>>,
}

/// The client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left;

impl Outbox {
    /// Sends what `message` encodes as; `false` where that is longer than a frame may be.
    ///
    /// # Errors
    /// [`Left`].
    pub async fn send<T: Serialize>(&self, message: &T) -> Result<bool, Left> {
        let _turn = self.turn.lock().await;
        let Ok(frame) = frame::json(message, LOCAL_FRAME_MAX) else { return Ok(false) };
        let units = u32::try_from(frame.len().div_ceil(UNIT)).unwrap_or(UNITS).clamp(1, UNITS);
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(units) => room.map_err(|_| Left)?,
            () = self.send.closed() => return Err(Left),
        };
        self.send.send((frame, room)).await.map_err(|_| Left).map(|()| true)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        os::unix::{fs::symlink, net::UnixStream},
        path::Path,
    };

    async fn refused(endpoint: &Path, place: Place) -> String {
        match LocalListener::bind(endpoint.to_str().expect("text"), place).await {
            Ok(_) => panic!("it listens on {}", endpoint.display()),
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
            let why = refused(path, Place::Chosen).await;
            assert!(why.contains("not a socket") && why.contains("--ipc"), "{why}");
        }
        assert_eq!(fs::read_to_string(&file).expect("kept"), "my notes");
        let why = refused(&dir.path().join("x".repeat(110)), Place::Chosen).await;
        assert!(why.contains("107 bytes") && why.matches("at most").count() == 1, "{why}");
    }

    #[tokio::test]
    async fn socket_of_a_dead_daemon_is_taken_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let endpoint = path.to_str().expect("text");
        let listener = LocalListener::bind(endpoint, Place::Default).await.expect("taken over");
        assert!(refused(&path, Place::Default).await.contains("another daemon listens"));
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn removed_socket_is_made_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("own/d.sock");
        let endpoint = path.to_str().expect("text");
        let mut listener = LocalListener::bind(endpoint, Place::Default).await.expect("listens");
        assert!(!listener.renew().await.expect("nothing to do"));
        fs::remove_dir_all(dir.path().join("own")).expect("removed");
        assert!(listener.renew().await.expect("made again"));
        UnixStream::connect(&path).expect("somebody listens");
        // What another put there is theirs.
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "a file").expect("a file");
        assert!(listener.renew().await.is_err());
        drop(listener);
        assert_eq!(fs::read_to_string(&path).expect("kept"), "a file");
    }

    #[tokio::test]
    async fn unread_replies_stop_the_reading() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        let listener =
            LocalListener::bind(path.to_str().expect("text"), Place::Default).await.expect("listens");
        let mut client = UnixStream::connect(&path).expect("connected");
        let (mut reader, writer) = listener.accept().await.expect("accepted");
        let (outbox, mut outgoing) = writer.outbox(4096);
        for _ in 0..2 {
            io::Write::write_all(&mut client, &frame::join(b"{}", LOCAL_FRAME_MAX).expect("short"))
                .expect("sent");
        }
        assert_eq!(reader.next(true).await.expect("read"), Some(b"{}".to_vec()));
        let reply = "x".repeat(10_000);
        let mut sent = 0;
        let wait = std::time::Duration::from_millis(100);
        while tokio::time::timeout(wait, outbox.send(&reply)).await.is_ok() {
            sent += reply.len();
        }
        assert!(sent <= LOCAL_UNREAD_MAX, "{sent} bytes wait");
        assert!(tokio::time::timeout(wait, reader.next(true)).await.is_err(), "it is not read on");
        while let Ok((_, room)) = outgoing.waiting.try_recv() {
            drop(room);
        }
        assert_eq!(reader.next(true).await.expect("read"), Some(b"{}".to_vec()));
        assert_eq!(outbox.send(&"x".repeat(LOCAL_FRAME_MAX)).await, Ok(false), "too long for a frame");
    }

    #[tokio::test]
    async fn large_frame_leaves_a_small_buffer() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        let listener =
            LocalListener::bind(path.to_str().expect("text"), Place::Default).await.expect("listens");
        let mut client = UnixStream::connect(&path).expect("connected");
        let (mut reader, _writer) = listener.accept().await.expect("accepted");
        let large = frame::join(&vec![b' '; 8 << 20], LOCAL_FRAME_MAX).expect("short enough");
        let sending = std::thread::spawn(move || {
            io::Write::write_all(&mut client, &large).expect("sent");
            client
        });
        let body = reader.next(true).await.expect("read").expect("a frame");
        let mut client = sending.join().expect("sent");
        assert!(
            body.len() == 8 << 20 && reader.buffer.capacity() <= BUFFER_KEPT,
            "{}",
            reader.buffer.capacity()
        );
        io::Write::write_all(&mut client, &(1u32 << 20).to_le_bytes()).expect("sent");
        assert!(matches!(reader.next(false).await, Err(ReadError::Frame(_))), "before a greeting");
    }
}
