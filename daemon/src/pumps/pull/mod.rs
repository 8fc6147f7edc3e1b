//! Sends one request to a peer and receives, verifies and stores the answer. `order` reads the records, `arrivals` queues
//! them, `sink` verifies and stores them. Requests with one answer are in `questions`.

mod arrivals;
mod ask;
mod inlet;
mod order;
mod questions;
mod sink;
#[cfg(test)]
mod tests;

pub use ask::{Ask, Note, Notes, Target};
pub use questions::{AppearancePullError, appearance, grant, holding, possession};

use super::pace::Pacer;
use crate::io::{
    quic::{
        Link,
        stream::{StreamError, read_frame, write_frame},
    },
    store::Store,
};
use arrivals::Arrivals;
use ask::portion;
use fyteclub_proto::{
    fetching::{
        pace::Direction,
        transfer::{End, Input},
    },
    grant::Grant,
    number::u64_of,
    peer::{CloseCode, PiecesReply, Request},
    seal::{EpochKey, NonceCounter},
};
use inlet::Inlet;
use order::Order;
use quinn::{RecvStream, VarInt};
use sink::Sink;
use std::{collections::VecDeque, pin::pin, sync::Arc};
use tokio::{io::AsyncRead, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

/// Carries out one request of a transfer. Ends when the answer is complete, when it fails, or when `stop` is cancelled.
/// After `stop` it reads no further; records that were received completely are still stored and reported.
pub async fn pieces(link: Link, pacer: Pacer, ask: Ask, store: Store, notes: Notes, stop: CancellationToken) {
    let request = ask.request;
    let inlet = Inlet::new(Some((&link, &pacer)), request, &notes);
    let end = match all(&link, &pacer, &inlet, ask, &store, &stop).await {
        Ok(None) => return,
        Ok(Some(end)) => end,
        Err(error) => {
            tracing::debug!(peer = %link.peer().short(), "a request ended early: {error}");
            error.misbehaviour().map_or(End::Broken, End::Misbehaved)
        }
    };
    notes(Note::Progress { facts: vec![Input::Ended { request, end }], wire: 0 });
}

/// Requests all targets: in one stream, or under a limit in several, because a peer sends everything that was requested.
/// `None` when it was stopped.
async fn all(
    link: &Link,
    pacer: &Pacer,
    inlet: &Inlet<'_>,
    ask: Ask,
    store: &Store,
    stop: &CancellationToken,
) -> Result<Option<End>, StreamError> {
    let mut targets = VecDeque::from(ask.targets);
    loop {
        let targets_now = portion(&mut targets, pacer.request_bytes(link));
        let _carrying = link.carry(Direction::Down);
        let lent = ask.grant.is_some();
        let answer = tokio::select! {
            answer = inquire(link, &targets_now, ask.grant.clone()) => answer?,
            () = stop.cancelled() => return Ok(None),
        };
        let (recv, nonces, key) = match answer {
            Answer::Serving { recv, nonces, key } => (recv, nonces, key),
            Answer::Not(end) => return Ok(Some(end)),
        };
        let order = Order::new(&targets_now, nonces);
        let sink = Sink { request: ask.request, targets: targets_now, store: store.clone(), key, lent };
        let end = receive(recv, order, sink, inlet, stop).await?;
        if end != Some(End::Complete) || targets.is_empty() {
            return Ok(end);
        }
    }
}

/// A peer's answer to a request.
enum Answer {
    /// The records follow.
    Serving {
        recv: RecvStream,
        nonces: NonceCounter,
        key: Arc<EpochKey>,
    },
    Not(End),
}

async fn inquire(link: &Link, targets: &[Target], grant: Option<Grant>) -> Result<Answer, StreamError> {
    let (mut send, mut recv) = link.open_stream().await?;
    let pieces = targets.iter().map(|target| target.piece).collect();
    let asked = match grant {
        None => Request::Pieces(pieces),
        Some(grant) => Request::Granted { grant, pieces },
    };
    write_frame(&mut send, &asked).await?;
    send.finish().ok();
    Ok(match read_frame(&mut recv).await?.ok_or(StreamError::Short)? {
        PiecesReply::NotShared => Answer::Not(End::Refused),
        PiecesReply::Busy => Answer::Not(End::Busy),
        PiecesReply::Serving { epoch } => match link.opening(epoch) {
            Some(key) => {
                let nonces = NonceCounter::new(VarInt::from(send.id()).into_inner());
                Answer::Serving { recv, nonces, key }
            }
            None => Answer::Not(End::Misbehaved(CloseCode::Malformed)),
        },
    })
}

/// Receives the records of one answer. One future reads, and is cancelled in the middle of a record only when the request
/// ends; the other stores and reports complete records meanwhile. `None` when it was stopped.
async fn receive<R: AsyncRead + Unpin>(
    mut recv: R,
    mut order: Order,
    sink: Sink,
    inlet: &Inlet<'_>,
    stop: &CancellationToken,
) -> Result<Option<End>, StreamError> {
    let (arrivals, lent) = (Arrivals::default(), sink.lent);
    let mut storing = pin!(store_all(sink, inlet.clone(), &arrivals));
    // Owns the stream: its drop tells the peer that nobody reads.
    let (mut reader, came) = (inlet.clone(), &arrivals);
    let reading = async move {
        let read = order.read_all(&mut recv, &mut reader, came).await;
        read.map_err(|error| (error, order.unfit))
    };
    let read = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        // A record ends the request.
        end = &mut storing => return Ok(end),
        read = reading => Some(read),
    };
    arrivals.close();
    // Records before the stream's error come first: one of them may be wrong.
    if let Some(end) = storing.await {
        return Ok(Some(end));
    }
    match read {
        None => Ok(None),
        Some(Ok(())) => Ok(Some(End::Complete)),
        // Lender and owner disagree about a length: the owner, who signed it, is requested next.
        Some(Err((_, Some(hash)))) if lent => Ok(Some(End::Unfit(hash))),
        Some(Err((error, _))) => Err(error),
    }
}

/// Stores received records, one job at a time, and reports each stored job. Returns why the request cannot go on, or `None`
/// at its end.
async fn store_all(mut sink: Sink, mut inlet: Inlet<'_>, arrivals: &Arrivals) -> Option<End> {
    loop {
        let records = arrivals.take().await;
        if records.is_empty() {
            return None;
        }
        inlet.received(records.iter().map(|record| u64_of(record.sealed.len())).sum());
        let job = spawn_blocking(move || {
            let outcome = sink.take(records);
            (sink, outcome)
        });
        let outcome;
        (sink, outcome) = match inlet.through(job).await {
            Ok(done) => done,
            Err(_) => return Some(End::Broken),
        };
        if let Some(end) = outcome.tell(inlet.notes) {
            return Some(end);
        }
    }
}
