//! One connection with overlapping requests: a reader task routes replies by id and forwards events, a writer task
//! sends whole frames, so that a dropped request leaves no half frame.
//!
//! `client` has the requests, `events` the events.

use crate::{
    error::{End, Error, Garbled},
    pipe::{
        self,
        frames::{self, EncodeError, Frames, ReadError},
    },
};
use fyteclub_proto::{
    limit::LOCAL_FRAME_MAX,
    local::{Notice, Numbered, Reply, Verb},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::{AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{Notify, broadcast, mpsc, oneshot},
    task::{AbortHandle, coop},
};

/// Requests in the writer's queue.
const OUTGOING: usize = 16;
/// Events kept for a slow watcher; beyond them it gets the whole state.
const EVENTS: usize = 256;

/// Its drop ends the connection and its tasks.
pub(crate) struct Connection {
    table: Arc<Table>,
    outgoing: mpsc::Sender<Vec<u8>>,
    tasks: [AbortHandle; 2],
}

/// The waiting requests.
#[derive(Default)]
struct Table {
    rows: Mutex<Rows>,
    over: Notify,
}

#[derive(Default)]
struct Rows {
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    /// `Some` once a client watches.
    events: Option<broadcast::Sender<Numbered>>,
    end: Option<End>,
}

impl Connection {
    pub(crate) fn start(stream: pipe::Stream) -> Self {
        let (read, write) = tokio::io::split(stream);
        let table = Arc::new(Table::default());
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let writer = tokio::spawn(send(write, frames)).abort_handle();
        let reader = tokio::spawn({
            let (table, writer) = (Arc::clone(&table), writer.clone());
            async move {
                let end = receive(read, &table).await;
                // Closes the socket at once, although callers may still hold the connection.
                writer.abort();
                table.finish(end);
            }
        });
        Self { table, outgoing, tasks: [writer, reader.abort_handle()] }
    }

    /// Sends the request and waits for its reply. Dropping the future drops the reply, not the request.
    pub(crate) async fn ask<V: Verb>(&self, params: V::Params) -> Result<V::Reply, Error> {
        let (waiting, reply) = self.table.wait()?;
        let call = V::request(params).into_call(waiting.id).map_err(unencodable)?;
        let frame = frames::encode(&call, LOCAL_FRAME_MAX).map_err(|error| match error {
            EncodeError::Frame(error) => Error::TooLarge(error),
            EncodeError::Json(error) => unencodable(error),
        })?;
        // If the writer has ended, the reader ends too, and drops the reply's sender.
        self.outgoing.send(frame).await.ok();
        match reply.await {
            Ok(reply) => Ok(reply.into_result()?),
            Err(_) => Err(self.end().unwrap_or(End::Cut).into()),
        }
    }

    /// Events from now on.
    pub(crate) fn events(&self) -> Result<broadcast::Receiver<Numbered>, Error> {
        let mut rows = self.table.rows();
        match &rows.end {
            Some(end) => Err(end.clone().into()),
            None => Ok(rows.events.get_or_insert_with(|| broadcast::Sender::new(EVENTS)).subscribe()),
        }
    }

    /// Why the connection closed; `None` while it is open.
    pub(crate) fn end(&self) -> Option<End> {
        self.table.rows().end.clone()
    }

    pub(crate) async fn closed(&self) {
        let over = self.table.over.notified();
        tokio::pin!(over);
        over.as_mut().enable();
        if self.end().is_none() {
            over.await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

fn unencodable(error: serde_json::Error) -> Error {
    Error::Malformed(Garbled::Json(Arc::new(error)))
}

async fn send(mut to: WriteHalf<pipe::Stream>, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        // The reader decides how it ended: replies may still be in the socket's buffer when a write fails.
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn receive(mut from: ReadHalf<pipe::Stream>, table: &Table) -> End {
    let mut frames = Frames::default();
    loop {
        // A burst of small frames never yields: without this a watcher on the same thread would miss events.
        coop::consume_budget().await;
        let notice = match frames.next(&mut from, LOCAL_FRAME_MAX).await {
            Ok(Some(body)) => serde_json::from_slice(body),
            Err(ReadError::Frame(error)) => return End::Garbled(error.into()),
            // A killed daemon with unread bytes resets the connection: it is gone all the same.
            Ok(None) | Err(ReadError::Io(_)) => {
                return if frames.is_cut() { End::Cut } else { End::Closed };
            }
        };
        match notice {
            Ok(Notice::Reply(Reply { id: 0, error: Some(fault), .. })) => return End::Fault(fault),
            Ok(Notice::Reply(reply)) => table.answer(reply),
            Ok(Notice::Event(event)) => table.tell(event),
            Ok(Notice::Novel { .. }) => {}
            Err(error) => return End::Garbled(Garbled::Json(Arc::new(error))),
        }
    }
}

impl Table {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> Result<(Waiting<'_>, oneshot::Receiver<Reply>), Error> {
        let mut rows = self.rows();
        if let Some(end) = &rows.end {
            return Err(end.clone().into());
        }
        rows.last_id += 1;
        let id = rows.last_id;
        let (answer, reply) = oneshot::channel();
        rows.waiting.insert(id, answer);
        Ok((Waiting { table: self, id }, reply))
    }

    /// A reply without a waiting request is dropped.
    fn answer(&self, reply: Reply) {
        if let Some(answer) = self.rows().waiting.remove(&reply.id) {
            answer.send(reply).ok();
        }
    }

    fn tell(&self, event: Numbered) {
        if let Some(events) = &self.rows().events {
            events.send(event).ok();
        }
    }

    fn finish(&self, end: End) {
        let mut rows = self.rows();
        rows.end = Some(end);
        rows.waiting.clear();
        rows.events = None;
        drop(rows);
        self.over.notify_waiters();
    }
}

/// An entry of the table; its drop removes it.
struct Waiting<'a> {
    table: &'a Table,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.table.rows().waiting.remove(&self.id);
    }
}
