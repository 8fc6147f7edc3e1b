//! The local socket's frames, for the `ipc` actors: bounds the bytes that wait for a client to read; long frames of all
//! clients together fit into `LocalMemory`. The socket's path and permissions are
//! `fyteclub-pipe`'s.

use crate::memory::{Answered, ClientMemory, Held, STEP, Unheld};
use fyteclub_pipe::{
    Stream,
    frames::{self, Frames},
};
use fyteclub_proto::{
    limit::{LOCAL_FRAME_MAX, LOCAL_FREE, LOCAL_HELLO_BYTES_MAX, LOCAL_UNREAD_MAX},
    number::{index, u32_of},
};
use serde::Serialize;
use std::{io, sync::Arc};
use tokio::{
    io::AsyncWriteExt,
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc},
};

pub use fyteclub_pipe::{ListenError as IpcError, LocalListener, frames::ReadError};

/// Bytes of small messages that are written at once.
const BATCH: usize = 64 * 1024;
/// The unit of unread bytes.
const UNIT: usize = 1024;
const UNITS: u32 = u32_of(LOCAL_UNREAD_MAX / UNIT);

/// A connection's two directions.
pub fn halves(stream: Stream, memory: ClientMemory) -> (LocalReader, LocalWriter) {
    let stream = Arc::new(stream);
    let room = Arc::new(Semaphore::new(index(UNITS)));
    let frames = Frames::default();
    let reader = LocalReader {
        stream: stream.clone(),
        frames,
        room: room.clone(),
        memory: memory.clone(),
        held: None,
    };
    (reader, LocalWriter { stream, room, memory })
}

/// A frame's body, and its space until it is handled.
#[derive(Debug)]
pub struct Frame {
    pub body: Vec<u8>,
    _held: Option<Held>,
}

pub struct LocalReader {
    stream: Arc<Stream>,
    frames: Frames,
    room: Arc<Semaphore>,
    memory: ClientMemory,
    /// The space of the frame that is being read, if it is long.
    held: Option<Held>,
}

impl LocalReader {
    /// The next frame's body; `None` when the client is gone. An announced length is not allocated before its bytes
    /// arrive, and a client that has not greeted may send little. Waits while half of the space for replies is taken: a
    /// client that does not read its replies is not read either. Waits also for space for a long frame.
    ///
    /// # Errors
    /// The frame is over the limit, or the socket broke.
    pub async fn next(&mut self, greeted: bool) -> Result<Option<Frame>, ReadError> {
        // Only the free space counts, so it is released at once. The semaphore is never closed.
        drop(self.room.acquire_many(UNITS / 2).await);
        let max = if greeted { LOCAL_FRAME_MAX } else { LOCAL_HELLO_BYTES_MAX };
        loop {
            if let Some(body) = self.frames.take(max)? {
                return Ok(Some(Frame { body, _held: self.held.take() }));
            }
            let size = self.frames.size_next();
            if size > LOCAL_FREE {
                let held = self.held.get_or_insert_with(|| self.memory.begin());
                held.grow(size.next_multiple_of(STEP)).await;
            }
            if !self.frames.read(&mut &*self.stream).await? {
                return Ok(None);
            }
        }
    }
}

pub struct LocalWriter {
    stream: Arc<Stream>,
    room: Arc<Semaphore>,
    memory: ClientMemory,
}

/// Encoded frames that wait to be written, and the space that they take until then.
type Waiting = (Vec<u8>, (OwnedSemaphorePermit, Option<Held>));

impl LocalWriter {
    /// `run` writes the messages of the outbox until the outbox and all its clones are dropped.
    pub fn outbox(&self, frames: usize) -> (Outbox, Outgoing) {
        let (send, waiting) = mpsc::channel(frames);
        let outbox =
            Outbox { send, room: self.room.clone(), memory: self.memory.clone(), turn: Arc::default() };
        (outbox, Outgoing { waiting, batch: Vec::new() })
    }

    /// Writes the waiting frames, all at once: many small events cost one system call. `false` when no more will
    /// follow.
    ///
    /// # Errors
    /// The client is gone.
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
    batch: Vec<(OwnedSemaphorePermit, Option<Held>)>,
}

/// The replies and events for one client. It holds a bounded number of bytes: senders wait for space, in order.
#[derive(Debug, Clone)]
pub struct Outbox {
    send: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    memory: ClientMemory,
    /// Held while a message is encoded: no two long ones wait for space at once.
    turn: Arc<Mutex<()>>,
}

/// The client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left;

impl Outbox {
    /// Space for an answer that waits until it can be sent: `ClientMemory::answer`.
    pub async fn space(&self, bytes: usize) -> Result<Answered, Unheld> {
        self.memory.answer(bytes).await
    }

    /// Sends `message`; `false` if it is longer than a frame may be.
    ///
    /// # Errors
    /// [`Left`].
    pub async fn send<T: Serialize>(&self, message: T) -> Result<bool, Left> {
        self.put(message, None).await
    }

    /// As [`Outbox::send`], with the space of the answer in it, which its frame takes over.
    ///
    /// # Errors
    /// [`Left`].
    pub async fn send_answer<T: Serialize>(&self, message: T, answered: Answered) -> Result<bool, Left> {
        self.put(message, Some(answered)).await
    }

    async fn put<T: Serialize>(&self, message: T, mut answered: Option<Answered>) -> Result<bool, Left> {
        let _turn = self.turn.lock().await;
        let Ok(length) = frames::json_length(&message) else { return Ok(false) };
        let held = answered.as_mut().and_then(Answered::take);
        // The rest is counted by the room for unread bytes.
        let is_long = (LOCAL_FREE..=LOCAL_FRAME_MAX).contains(&length);
        let held = is_long.then(|| held.unwrap_or_else(|| self.memory.begin()));
        if let Some(held) = &held {
            tokio::select! {
                () = held.grow(length.next_multiple_of(STEP)) => {}
                () = self.send.closed() => return Err(Left),
            }
        }
        let Ok(frame) = frames::json_counted(&message, length, LOCAL_FRAME_MAX) else { return Ok(false) };
        // Its bytes are in the frame now.
        drop((message, answered));
        let units = u32::try_from(frame.len().div_ceil(UNIT)).unwrap_or(UNITS).clamp(1, UNITS);
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(units) => room.map_err(|_| Left)?,
            () = self.send.closed() => return Err(Left),
        };
        self.send.send((frame, (room, held))).await.map_err(|_| Left).map(|()| true)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::memory::LocalMemory;
    use fyteclub_pipe::Endpoint;
    use fyteclub_proto::{frame, limit::LOCAL_HELD_MAX, number::u64_of};
    use std::{future::Future, os::unix::net::UnixStream, time::Duration};

    fn memory() -> ClientMemory {
        LocalMemory::default().of(0)
    }

    async fn body(reader: &mut LocalReader) -> Option<Vec<u8>> {
        reader.next(true).await.expect("read").map(|frame| frame.body)
    }

    /// Writes as many bytes as a frame may have, on a thread.
    fn writes(path: &std::path::Path, bytes: usize) -> std::thread::JoinHandle<UnixStream> {
        let mut client = UnixStream::connect(path).expect("connected");
        let length = u32::try_from(LOCAL_FRAME_MAX).expect("small").to_le_bytes();
        std::thread::spawn(move || {
            io::Write::write_all(&mut client, &length).expect("sent");
            // Ends early when the other side closes.
            io::Write::write_all(&mut client, &vec![b' '; bytes]).ok();
            client
        })
    }

    async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("{what}"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn half_frames_make_way_for_a_whole_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        let endpoint = Endpoint::at(path.to_str().expect("text"));
        let listener = LocalListener::bind(&endpoint).await.expect("listens");
        let (all, mut halves_sent) = (LocalMemory::default(), Vec::new());
        for client in 0..12 {
            halves_sent.push(writes(&path, LOCAL_FRAME_MAX / 2));
            let memory = all.of(client);
            let displaced = memory.displaced();
            let (mut reader, _writer) = halves(listener.accept().await.expect("accepted"), memory);
            tokio::spawn(async move {
                tokio::select! {
                    frame = reader.next(true) => panic!("half a frame is none: {frame:?}"),
                    () = displaced.cancelled() => {}
                }
            });
        }
        soon("they fill the memory", async {
            while all.held() < 48 << 20 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let whole = writes(&path, LOCAL_FRAME_MAX);
        let (mut reader, _writer) = halves(listener.accept().await.expect("accepted"), all.of(12));
        let frame = soon("the whole frame is read", reader.next(true)).await.expect("read").expect("a frame");
        assert_eq!(frame.body.len(), LOCAL_FRAME_MAX);
        assert!(all.held() <= u64_of(LOCAL_HELD_MAX), "{}", all.held());
        drop(frame);
        drop(whole.join().expect("sent"));
    }

    #[tokio::test]
    async fn unread_replies_stop_the_reading_of_requests() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        let endpoint = Endpoint::at(path.to_str().expect("text"));
        let listener = LocalListener::bind(&endpoint).await.expect("listens");
        let mut client = UnixStream::connect(&path).expect("connected");
        let (mut reader, writer) = halves(listener.accept().await.expect("accepted"), memory());
        let (outbox, mut outgoing) = writer.outbox(4096);
        for _ in 0..2 {
            io::Write::write_all(&mut client, &frame::join(b"{}", LOCAL_FRAME_MAX).expect("short"))
                .expect("sent");
        }
        assert_eq!(body(&mut reader).await, Some(b"{}".to_vec()));
        let reply = "x".repeat(10_000);
        let mut sent = 0;
        let wait = Duration::from_millis(100);
        while tokio::time::timeout(wait, outbox.send(&reply)).await.is_ok() {
            sent += reply.len();
        }
        assert!(sent <= LOCAL_UNREAD_MAX, "{sent} bytes wait");
        assert!(tokio::time::timeout(wait, reader.next(true)).await.is_err(), "no more is read");
        while let Ok((_, room)) = outgoing.waiting.try_recv() {
            drop(room);
        }
        assert_eq!(body(&mut reader).await, Some(b"{}".to_vec()));
        assert_eq!(outbox.send(&"x".repeat(LOCAL_FRAME_MAX)).await, Ok(false), "too long for a frame");
    }

    #[tokio::test]
    async fn answer_has_space_until_it_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        let endpoint = Endpoint::at(path.to_str().expect("text"));
        let listener = LocalListener::bind(&endpoint).await.expect("listens");
        let _client = UnixStream::connect(&path).expect("connected");
        let all = LocalMemory::default();
        let (_reader, writer) = halves(listener.accept().await.expect("accepted"), all.of(0));
        let (outbox, mut outgoing) = writer.outbox(4096);
        let answer = "x".repeat(STEP);
        let answered = outbox.space(answer.len()).await.expect("space");
        let charged = all.held();
        assert!(charged >= u64_of(STEP), "{charged}");
        assert_eq!(outbox.send_answer(&answer, answered).await, Ok(true));
        assert_eq!(all.held(), charged, "once");
        drop(outgoing.waiting.try_recv().expect("a frame"));
        assert_eq!(all.held(), 0);
    }

    #[tokio::test]
    async fn long_frame_before_a_greeting_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("d.sock");
        let endpoint = Endpoint::at(path.to_str().expect("text"));
        let listener = LocalListener::bind(&endpoint).await.expect("listens");
        let mut client = UnixStream::connect(&path).expect("connected");
        let (mut reader, _writer) = halves(listener.accept().await.expect("accepted"), memory());
        io::Write::write_all(&mut client, &(1u32 << 20).to_le_bytes()).expect("sent");
        assert!(matches!(reader.next(false).await, Err(ReadError::Frame(_))));
    }
}
