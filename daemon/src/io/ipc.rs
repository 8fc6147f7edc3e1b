//! The local socket's frames, for the `ipc` actors: how much of what is said to a client may wait unread. Where the socket
//! is, and who may use it, is `fyteclub-pipe`'s.

use fyteclub_pipe::{
    Stream,
    frames::{self, Frames},
};
use fyteclub_proto::limit::{LOCAL_FRAME_MAX, LOCAL_HELLO_BYTES_MAX, LOCAL_UNREAD_MAX};
use serde::Serialize;
use std::{io, sync::Arc};
use tokio::{
    io::AsyncWriteExt,
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc},
};

pub use fyteclub_pipe::{ListenError as IpcError, LocalListener, frames::ReadError};

/// How many bytes of small messages are written at once.
const BATCH: usize = 64 * 1024;
/// What unread bytes are counted in.
const UNIT: usize = 1024;
const UNITS: u32 = (LOCAL_UNREAD_MAX / UNIT) as u32;

/// A connection's two directions.
pub fn halves(stream: Stream) -> (LocalReader, LocalWriter) {
    let stream = Arc::new(stream);
    let room = Arc::new(Semaphore::new(UNITS as usize));
    let reader = LocalReader { stream: stream.clone(), frames: Frames::default(), room: room.clone() };
    (reader, LocalWriter { stream, room })
}

pub struct LocalReader {
    stream: Arc<Stream>,
    frames: Frames,
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
        Ok(self.frames.next(&mut &*self.stream, max).await?.map(<[u8]>::to_vec))
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
        while bytes.len() < BATCH
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
        let Ok(frame) = frames::encode(message, LOCAL_FRAME_MAX) else { return Ok(false) };
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
    use fyteclub_pipe::Endpoint;
    use fyteclub_proto::frame;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn unread_replies_stop_the_reading() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        let endpoint = Endpoint::at(path.to_str().expect("text"));
        let listener = LocalListener::bind(&endpoint).await.expect("listens");
        let mut client = UnixStream::connect(&path).expect("connected");
        let (mut reader, writer) = halves(listener.accept().await.expect("accepted"));
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
    async fn long_frame_before_a_greeting_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        let endpoint = Endpoint::at(path.to_str().expect("text"));
        let listener = LocalListener::bind(&endpoint).await.expect("listens");
        let mut client = UnixStream::connect(&path).expect("connected");
        let (mut reader, _writer) = halves(listener.accept().await.expect("accepted"));
        io::Write::write_all(&mut client, &(1u32 << 20).to_le_bytes()).expect("sent");
        assert!(matches!(reader.next(false).await, Err(ReadError::Frame(_))));
    }
}
