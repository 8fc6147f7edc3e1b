//! Stream → verify → store: carries one request to a peer and what comes of it. The records are read in `order`, and
//! verified and stored in `sink`; requests with one answer are in `questions`.

mod ask;
mod inlet;
mod order;
mod questions;
mod sink;

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
use ask::portion;
use fyteclub_proto::{
    fetching::{
        pace::Direction,
        transfer::{End, Input},
    },
    grant::Grant,
    peer::{CloseCode, PiecesReply, Request},
    seal::NonceCounter,
};
use inlet::Inlet;
use order::Order;
use quinn::VarInt;
use sink::{Outcome, Sink};
use std::{collections::VecDeque, time::Instant};
use tokio::task::spawn_blocking;

/// Carries one request of a transfer; ends when everything came or nothing more will. Dropped in the middle, it leaves
/// what is stored.
pub async fn pieces(link: Link, pacer: Pacer, ask: Ask, store: Store, notes: Notes) {
    let request = ask.request;
    let mut inlet = Inlet { link: &link, pacer: &pacer, request, notes: &notes, told: Instant::now() };
    let end = match all(&mut inlet, ask, &store).await {
        Ok(end) => end,
        Err(error) => {
            tracing::debug!(peer = %link.peer().short(), "a request was not answered to its end: {error}");
            error.misbehaviour().map_or(End::Broken, End::Misbehaved)
        }
    };
    notes(Note::Progress { facts: vec![Input::Ended { request, end }], wire: 0 });
}

/// Everything, in one stream or, under a limit, in several: what was asked for comes whether it is read or not.
async fn all(inlet: &mut Inlet<'_>, ask: Ask, store: &Store) -> Result<End, StreamError> {
    let mut targets = VecDeque::from(ask.targets);
    loop {
        let asked = portion(&mut targets, inlet.pacer.request_bytes(inlet.link));
        let end = carry(inlet, asked, ask.grant.clone(), store.clone()).await?;
        if end != End::Complete || targets.is_empty() {
            return Ok(end);
        }
    }
}

async fn carry(
    inlet: &mut Inlet<'_>,
    targets: Vec<Target>,
    grant: Option<Grant>,
    store: Store,
) -> Result<End, StreamError> {
    let (link, request, notes) = (inlet.link, inlet.request, inlet.notes);
    let _carrying = link.carry(Direction::Down);
    let (mut send, mut recv) = link.open_stream().await?;
    let pieces = targets.iter().map(|target| target.piece).collect();
    let lent = grant.is_some();
    let asked = match grant {
        None => Request::Pieces(pieces),
        Some(grant) => Request::Granted { grant, pieces },
    };
    write_frame(&mut send, &asked).await?;
    send.finish().ok();
    let key = match read_frame(&mut recv).await?.ok_or(StreamError::Short)? {
        PiecesReply::NotShared => return Ok(End::Refused),
        PiecesReply::Busy => return Ok(End::Busy),
        PiecesReply::Serving { epoch } => match link.opening(epoch) {
            Some(key) => key,
            None => return Ok(End::Misbehaved(CloseCode::Malformed)),
        },
    };
    let mut order = Order::new(&targets, NonceCounter::new(VarInt::from(send.id()).into_inner()));
    let sink = Sink { request, targets, store, key, lent };
    let mut job = tokio::spawn(async { (sink, Outcome::default()) });
    loop {
        // These records are read while those before are opened, verified and written.
        let records = order.read_job(&mut recv, inlet).await;
        let came = records.iter().flatten().map(|record| record.sealed.len() as u64).sum();
        link.received(came);
        let Ok((mut sink, outcome)) = inlet.through(job).await else { return Ok(End::Broken) };
        if let Some(end) = outcome.tell(notes) {
            return Ok(end);
        }
        // After what came before the stream broke: there may be a lie in it.
        let records = match (records, order.unfit) {
            // Of two who disagree about a length, the one who signed it is asked next.
            (Err(_), Some(hash)) if lent => return Ok(End::Unfit(hash)),
            (records, _) => records?,
        };
        if records.is_empty() {
            return Ok(End::Complete);
        }
        job = spawn_blocking(move || {
            let outcome = sink.take(records);
            (sink, outcome)
        });
    }
}
