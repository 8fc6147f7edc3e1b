//! Stream → verify → store: carries one request to a peer and what comes of it. The records are read in `order`, and
//! verified and stored in `sink`; requests with one answer are in `questions`.

mod order;
mod questions;
mod sink;

pub use questions::{AppearancePullError, appearance, grant, holding, possession};

use super::pace::Pacer;
use crate::io::{
    quic::{
        Link,
        stream::{StreamError, read_frame, write_frame},
    },
    store::{Partial, Store, StoreError},
};
use fyteclub_proto::{
    chunk_tree::chunk_len,
    fetching::pace::Direction,
    fetching::transfer::{End, Input, RequestId},
    grant::Grant,
    id::PeerId,
    peer::{CloseCode, Piece, PiecesReply, Request},
    seal::NonceCounter,
};
use order::Order;
use quinn::VarInt;
use sink::{Outcome, Sink};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Between two words to the machine that bytes come which are no whole chunk yet, or that this side holds them back.
const HEARD_EVERY: Duration = Duration::from_millis(250);

/// All that a pull says: progress for the transfer machine, and how it ended.
#[derive(Debug)]
pub enum Note {
    /// Inputs for the machine, in order, and the bytes that crossed the wire for them.
    Progress { facts: Vec<Input>, wire: u64 },
    /// This machine cannot keep what comes: nothing was wrong with the peer.
    Local(StoreError),
}

/// Whoever wants to hear it. Called from the pump's task; must not block.
pub type Notes = Arc<dyn Fn(Note) + Send + Sync>;

/// One blob of a request, with where it goes.
#[derive(Clone)]
pub struct Target {
    pub piece: Piece,
    pub size: u64,
    pub ext: &'static str,
    /// For blobs of more than one chunk.
    pub partial: Option<Arc<Partial>>,
    /// Whose look it is of: it comes from them, or under their grant.
    pub owner: PeerId,
}

/// One request of a transfer.
pub struct Ask {
    pub request: RequestId,
    pub targets: Vec<Target>,
    /// By which somebody else than the owner is asked.
    pub grant: Option<Grant>,
}

/// Carries one request of a transfer; ends when everything came or nothing more will. Dropped in the middle, it leaves
/// what is stored.
pub async fn pieces(link: Link, pacer: Pacer, ask: Ask, store: Store, notes: Notes) {
    let request = ask.request;
    let mut inlet = Inlet { link: &link, pacer: &pacer, request, notes: &notes, told: Instant::now() };
    let end = match inlet.all(ask, &store).await {
        Ok(end) => end,
        Err(error) => {
            tracing::debug!(peer = %link.peer().short(), "a request was not answered to its end: {error}");
            error.misbehaviour().map_or(End::Broken, End::Misbehaved)
        }
    };
    notes(Note::Progress { facts: vec![Input::Ended { request, end }], wire: 0 });
}

/// The front of `targets`, of about so many bytes; their rest stays.
fn portion(targets: &mut VecDeque<Target>, bytes: u64) -> Vec<Target> {
    let (mut portion, mut left) = (Vec::new(), bytes);
    while let Some(mut target) = targets.pop_front() {
        let Piece { hash, first, count, .. } = target.piece;
        let chunk = |index| chunk_len(target.size, index).unwrap_or(0) as u64;
        // One chunk at least, so that it goes on.
        let mut fits = u32::from(portion.is_empty());
        left = left.saturating_sub(if fits == 1 { chunk(first) } else { 0 });
        while fits < count && chunk(first.saturating_add(fits)) <= left {
            left -= chunk(first.saturating_add(fits));
            fits += 1;
        }
        if fits < count {
            let rest = Piece {
                hash,
                tree: fits == 0 && target.piece.tree,
                first: first + fits,
                count: count - fits,
            };
            targets.push_front(Target { piece: rest, ..target.clone() });
        }
        if fits == 0 {
            break;
        }
        target.piece.count = fits;
        portion.push(target);
    }
    portion
}

/// One request's way in: our own limits, and word to the machine that it is not silent.
struct Inlet<'a> {
    link: &'a Link,
    pacer: &'a Pacer,
    request: RequestId,
    notes: &'a Notes,
    told: Instant,
}

impl Inlet<'_> {
    /// Everything, in one stream or, under a limit, in several: what was asked for comes whether it is read or not.
    async fn all(&mut self, ask: Ask, store: &Store) -> Result<End, StreamError> {
        let mut targets = VecDeque::from(ask.targets);
        loop {
            let asked = portion(&mut targets, self.pacer.request_bytes(self.link));
            let end = carry(self, asked, ask.grant.clone(), store.clone()).await?;
            if end != End::Complete || targets.is_empty() {
                return Ok(end);
            }
        }
    }

    /// Waits until our limits let some of these bytes in.
    async fn turn(&mut self, bytes: usize) -> usize {
        let pacer = self.pacer;
        let turn = pacer.wait(self.link, Direction::Down, bytes);
        tokio::pin!(turn);
        loop {
            tokio::select! {
                bytes = &mut turn => return bytes,
                () = tokio::time::sleep(HEARD_EVERY) => self.tell(),
            }
        }
    }

    /// Waits for work of this machine: while its disk is slow, the peer is not silent.
    async fn through<T>(&mut self, mut work: JoinHandle<T>) -> Result<T, JoinError> {
        loop {
            match tokio::time::timeout(HEARD_EVERY, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.tell(),
            }
        }
    }

    fn heard(&mut self) {
        if self.told.elapsed() >= HEARD_EVERY {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        (self.notes)(Note::Progress { facts: vec![Input::Heard { request: self.request }], wire: 0 });
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

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::{id::BlobHash, limit::CHUNK_SIZE};

    fn target(name: &str, size: u64, tree: bool, first: u32, count: u32) -> Target {
        let piece = Piece { hash: BlobHash::of(name.as_bytes()), tree, first, count };
        Target { piece, size, ext: "tex", partial: None, owner: PeerId::from_bytes([1; 32]) }
    }

    #[test]
    fn portions_are_the_request_in_order_and_none_is_large() {
        const CHUNK: u64 = CHUNK_SIZE as u64;
        let request = vec![
            target("small", 100, false, 0, 1),
            target("large", 9 * CHUNK + 5, true, 2, 8),
            target("empty", 0, false, 0, 1),
            target("other", 3 * CHUNK, true, 0, 3),
        ];
        for bytes in [1, CHUNK, 2 * CHUNK, 100 * CHUNK] {
            let (mut rest, mut asked) = (VecDeque::from(request.clone()), Vec::new());
            while !rest.is_empty() {
                let portion = portion(&mut rest, bytes);
                let size = |target: &Target| {
                    let Piece { first, count, .. } = target.piece;
                    (first..first + count).filter_map(|n| chunk_len(target.size, n)).sum::<usize>() as u64
                };
                let sum = portion.iter().map(size).sum::<u64>();
                assert!(!portion.is_empty() && sum <= bytes.max(CHUNK), "{sum} of {bytes}");
                asked.extend(portion);
            }
            // Joined again they are the request; a list of chunks is asked for once, with the first of them.
            let mut joined: Vec<Piece> = Vec::new();
            for Target { piece, .. } in asked {
                match joined.last_mut().filter(|last| last.hash == piece.hash) {
                    Some(last) => {
                        assert!(!piece.tree && piece.first == last.first + last.count);
                        last.count += piece.count;
                    }
                    None => joined.push(piece),
                }
            }
            assert_eq!(joined, request.iter().map(|target| target.piece).collect::<Vec<_>>());
        }
    }
}
