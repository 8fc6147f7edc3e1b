//! One leg of a relay over a WebSocket of its phone book: binds the leg, then sends and returns its frames, until the
//! connection ends. Other modules decide when to open it and what to send.

#[cfg(test)]
mod tests;

use super::phonebook_http::PhonebookHttp;
use futures::{
    SinkExt, Stream, StreamExt,
    stream::{SplitSink, SplitStream},
};
use fyteclub_proto::{
    live::Lost,
    phonebook::live::CloseReason,
    reaching::wire::relay::{Body, Frame, Leg, Limit, Terms, Token},
};
use reqwest::Upgraded;
use std::time::Duration;
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::AbortHandle,
    time::{Instant, interval_at, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{Role, WebSocketConfig},
    },
};

/// Frames that wait for the network; what comes beyond is for the sender to drop. A third of a second at the relay's
/// usual rate.
const WAITING_MAX: usize = 1024;
/// Longest frame, as the relay has it.
const FRAME_MAX: usize = 2048;
/// Frames of one batch, for which the network has [`WRITE_TIME`].
const FRAMES_AT_ONCE: usize = 32;
/// How long the upgrade may take, connecting included.
const OPEN_TIME: Duration = Duration::from_secs(10);
/// How long challenge and proof may take.
const BIND_TIME: Duration = Duration::from_secs(10);
/// How long the network may take to accept a batch.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Between frames that keep the leg at the relay and the connection in proxies, the strictest of which closes it after
/// 50 s. The relay answers each. A third of the relay's own time, where that is shorter; never shorter than the second.
const KEEP: Duration = Duration::from_secs(20);
const KEEP_MIN: Duration = Duration::from_millis(100);
/// So many times silence makes a dead connection: three answers did not come.
const SILENCE: u32 = 3;

/// What becomes of the leg: `Open` at most once, then any number of `Limited`; `Ended` is the last.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The relay has bound the leg. It forwards frames that are sent here, each with its header; when the channel is
    /// full, the network is slower. Longer ones than 2,048 bytes are dropped.
    Open {
        terms: Terms,
        frames: Sender<Vec<u8>>,
    },
    /// The relay dropped a payload, and drops more until this time is over.
    Limited {
        limit: Limit,
        retry_after: Duration,
    },
    Ended(Ended),
}

/// Why a leg has no WebSocket, or no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    #[error("the phone book opens no WebSocket to its relay ({0:?})")]
    Unopened(Lost),
    #[error("the relay does not know the leg")]
    UnknownLeg,
    /// Not in time, or it did not take the proof.
    #[error("the relay does not bind the leg")]
    Unbound,
    #[error("the relay closed the connection ({0:?})")]
    Closed(Option<CloseReason>),
    #[error("the connection broke")]
    Broken,
    #[error("nothing was received for too long")]
    Silent,
    #[error("the network accepts nothing")]
    Stalled,
    /// Every sender of [`Event::Open`] is dropped.
    #[error("nobody sends")]
    Unused,
}

/// The connection. Dropping it closes it, and no event follows.
#[derive(Debug)]
pub struct RelaySocket {
    task: AbortHandle,
}

impl Drop for RelaySocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Socket = WebSocketStream<Upgraded>;

/// Connects in a task. `received` gets each frame with a payload, with its header, on that task: it must not wait. Must
/// be called in a Tokio runtime.
pub fn open(
    http: PhonebookHttp,
    leg: Leg,
    token: Token,
    received: impl FnMut(&[u8]) + Send + 'static,
) -> (RelaySocket, impl Stream<Item = Event> + 'static) {
    let (tell, told) = mpsc::channel(8);
    let task = tokio::spawn(async move {
        let ended = match connect(&http, leg, &token).await {
            Ok((socket, terms)) => carry(socket, leg, terms, received, &tell).await,
            Err(ended) => ended,
        };
        // Whoever stopped listening needs no reason.
        tell.send(Event::Ended(ended)).await.ok();
    });
    let told = futures::stream::unfold(told, |mut told| async move { Some((told.recv().await?, told)) });
    (RelaySocket { task: task.abort_handle() }, told)
}

async fn connect(http: &PhonebookHttp, leg: Leg, token: &Token) -> Result<(Socket, Terms), Ended> {
    let upgraded = timeout(OPEN_TIME, http.upgrade("relay")).await;
    let upgraded = upgraded.unwrap_or(Err(Lost::Unreachable)).map_err(Ended::Unopened)?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(FRAME_MAX))
        .max_frame_size(Some(FRAME_MAX))
        .read_buffer_size(16 * FRAME_MAX)
        .write_buffer_size(16 * FRAME_MAX);
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await;
    let terms = timeout(BIND_TIME, bind(&mut socket, leg, token)).await.unwrap_or(Err(Ended::Unbound))?;
    Ok((socket, terms))
}

async fn bind(socket: &mut Socket, leg: Leg, token: &Token) -> Result<Terms, Ended> {
    let message = |body| Message::binary(Frame { leg, body }.encode());
    socket.send(message(Body::Bind)).await.map_err(|_| Ended::Broken)?;
    loop {
        let Some(bytes) = next(socket).await? else { continue };
        match Frame::decode(&bytes).ok().filter(|frame| frame.leg == leg).map(|frame| frame.body) {
            Some(Body::Challenge(cookie)) => {
                let proof = Body::Proof { cookie, mac: token.prove(leg, &cookie) };
                socket.send(message(proof)).await.map_err(|_| Ended::Broken)?;
            }
            Some(Body::Bound(terms)) => return Ok(terms),
            Some(Body::Closed) => return Err(Ended::UnknownLeg),
            _ => {}
        }
    }
}

/// The next message; `None`: it has no frame.
async fn next<S>(socket: &mut S) -> Result<Option<bytes::Bytes>, Ended>
where
    S: Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    match socket.next().await {
        Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes)),
        Some(Ok(Message::Close(frame))) => {
            Err(Ended::Closed(frame.and_then(|frame| CloseReason::from_code(frame.code.into()))))
        }
        Some(Ok(_)) => Ok(None),
        Some(Err(_)) | None => Err(Ended::Broken),
    }
}

/// Reads and writes at once: a relay that waits for this end to read does not read itself.
async fn carry(
    socket: Socket,
    leg: Leg,
    terms: Terms,
    received: impl FnMut(&[u8]),
    tell: &Sender<Event>,
) -> Ended {
    let (frames, sent) = mpsc::channel(WAITING_MAX);
    tell.send(Event::Open { terms, frames }).await.ok();
    let (sink, stream) = socket.split();
    let keep = (terms.idle / SILENCE).clamp(KEEP_MIN, KEEP);
    tokio::select! {
        ended = read(stream, leg, keep * SILENCE, received, tell) => ended,
        ended = write(sink, leg, keep, sent) => ended,
    }
}

async fn read(
    mut stream: SplitStream<Socket>,
    leg: Leg,
    silence: Duration,
    mut received: impl FnMut(&[u8]),
    tell: &Sender<Event>,
) -> Ended {
    loop {
        let bytes = match timeout(silence, next(&mut stream)).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => continue,
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::Silent,
        };
        match Frame::decode(&bytes).ok().filter(|frame| frame.leg == leg).map(|frame| frame.body) {
            Some(Body::Data(_)) => received(&bytes),
            // The next one says the same again.
            Some(Body::Limited { limit, retry_after }) => {
                tell.try_send(Event::Limited { limit, retry_after }).ok();
            }
            Some(Body::Challenge(_)) => return Ended::Unbound,
            Some(Body::Closed) => return Ended::UnknownLeg,
            _ => {}
        }
    }
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    leg: Leg,
    keep: Duration,
    mut frames: Receiver<Vec<u8>>,
) -> Ended {
    let mut kept = interval_at(Instant::now() + keep, keep);
    loop {
        let next = tokio::select! {
            frame = frames.recv() => frame,
            _ = kept.tick() => Some(Frame { leg, body: Body::Bind }.encode()),
        };
        let Some(first) = next else {
            // The relay learns it from the connection's end otherwise.
            timeout(WRITE_TIME, sink.close()).await.ok();
            return Ended::Unused;
        };
        let batch = async {
            let mut frame = Some(first);
            for _ in 0..FRAMES_AT_ONCE {
                match frame.take() {
                    Some(frame) if frame.len() <= FRAME_MAX => sink.feed(Message::binary(frame)).await?,
                    Some(_) => {}
                    None => break,
                }
                frame = frames.try_recv().ok();
            }
            if let Some(last) = frame {
                sink.feed(Message::binary(last)).await?;
            }
            sink.flush().await
        };
        match timeout(WRITE_TIME, batch).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ended::Broken,
            Err(_) => return Ended::Stalled,
        }
    }
}
