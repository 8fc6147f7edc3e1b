//! Stream → verify → store: carries one request to a peer and what comes of it.

use super::{
    JOB_BYTES, JOB_RECORDS, compression,
    document::{self, Patience},
    pace::Pacer,
};
use crate::io::{
    quic::{
        Link,
        stream::{StreamError, exact, read_frame, write_frame},
    },
    room::Room,
    store::{Partial, Store, StoreError},
};
use fyteclub_proto::{
    blob::Content,
    bytes::Bytes as Tag,
    chunk_tree::{ChunkTree, chunk_count, chunk_len},
    fetching::{
        pace::Direction,
        transfer::{End, Input, RequestId},
    },
    grant::Grant,
    id::{BlobHash, PeerId},
    peer::{
        AppearanceReply, CloseCode, GrantReply, HoldingReply, Piece, PiecesReply, PossessionReply, Request,
        record::{self, Header, Kind, RecordError},
    },
    possession::Span,
    seal::{EpochKey, NonceCounter, TAG},
};
use quinn::{RecvStream, VarInt};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    task::{JoinError, JoinHandle, spawn_blocking},
};

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

/// Why an appearance did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppearancePullError {
    #[error("nothing is published, or not for this player")]
    Nothing,
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the appearance does not open with the link's key")]
    Unsealed,
}

/// Asks for the peer's signed appearance, and the grant that comes with it. Neither is checked here. It ends within
/// [`fyteclub_proto::limit::document_time`], but for what our own limits hold back.
///
/// # Errors
/// A refusal, a broken or stalled stream, or bytes that do not open.
pub async fn appearance(link: &Link, pacer: &Pacer) -> Result<(Vec<u8>, Grant), AppearancePullError> {
    let mut patience = Patience::default();
    let asking = async {
        let (mut send, mut recv) = link.open_stream().await?;
        write_frame(&mut send, &Request::Appearance).await?;
        send.finish().ok();
        let reply = read_frame(&mut recv).await?.ok_or(StreamError::Short)?;
        Ok::<_, AppearancePullError>((send, recv, reply))
    };
    let (send, mut recv, reply) = patience.within(asking).await?;
    match reply {
        AppearanceReply::Nothing => Err(AppearancePullError::Nothing),
        AppearanceReply::Document { epoch, len, grant } => {
            let mut sealed = document::receive(link, pacer, patience, &mut recv, len as usize + TAG).await?;
            let key = link.opening(epoch).ok_or(AppearancePullError::Unsealed)?;
            let nonce = NonceCounter::new(VarInt::from(send.id()).into_inner()).advance();
            let nonce = nonce.ok_or(AppearancePullError::Unsealed)?;
            key.small()
                .open(nonce, record::APPEARANCE_PLACE, &mut sealed)
                .map_err(|_| AppearancePullError::Unsealed)?;
            Ok((sealed, grant))
        }
    }
}

/// Asks what of a look the peer holds.
///
/// # Errors
/// A broken stream, or words that are wrong.
pub async fn holding(link: &Link, tag: Tag<32>) -> Result<HoldingReply, StreamError> {
    let (mut send, mut recv) = link.open_stream().await?;
    write_frame(&mut send, &Request::Holding { tag }).await?;
    send.finish().ok();
    read_frame(&mut recv).await?.ok_or(StreamError::Short)
}

/// Asks for proofs of these blobs of the peer's own look; one each, or nothing at all.
///
/// # Errors
/// A broken stream, or words that are wrong.
pub async fn possession(
    link: &Link,
    nonce: Tag<32>,
    span: Span,
    blobs: &[Content],
) -> Result<Vec<Option<Tag<32>>>, StreamError> {
    let (mut send, mut recv) = link.open_stream().await?;
    let asked = Request::Possession { nonce, span, blobs: blobs.to_vec() };
    write_frame(&mut send, &asked).await?;
    send.finish().ok();
    Ok(match read_frame(&mut recv).await?.ok_or(StreamError::Short)? {
        PossessionReply::Proofs(proofs) if proofs.len() == blobs.len() => proofs,
        PossessionReply::Proofs(_) | PossessionReply::Nothing => Vec::new(),
    })
}

/// Asks the owner for its next grant, which is not checked here; `None` when it gives none.
///
/// # Errors
/// A broken stream, or words that are wrong.
pub async fn grant(link: &Link, look: BlobHash) -> Result<Option<Grant>, StreamError> {
    let (mut send, mut recv) = link.open_stream().await?;
    write_frame(&mut send, &Request::Grant { look }).await?;
    send.finish().ok();
    Ok(match read_frame(&mut recv).await?.ok_or(StreamError::Short)? {
        GrantReply::Given(grant) => Some(grant),
        GrantReply::Nothing => None,
    })
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

/// What must come next, and under which nonce: the order of the request.
struct Order {
    /// Target, and which of its pieces are due.
    due: std::vec::IntoIter<(usize, Piece, u64)>,
    current: Option<(usize, Piece, u64)>,
    nonces: NonceCounter,
    /// The blob of which a record came that is of another length than its place.
    unfit: Option<BlobHash>,
}

/// One record as it came, for one place.
struct Record {
    target: usize,
    kind: Kind,
    index: u32,
    nonce: [u8; 12],
    sealed: Room,
}

impl Order {
    fn new(targets: &[Target], nonces: NonceCounter) -> Self {
        let due: Vec<_> =
            targets.iter().enumerate().map(|(n, target)| (n, target.piece, target.size)).collect();
        Self { due: due.into_iter(), current: None, nonces, unfit: None }
    }

    /// About [`JOB_BYTES`] of records; none when all have come. A record that does not fit its place is an error.
    async fn read_job(
        &mut self,
        recv: &mut RecvStream,
        inlet: &mut Inlet<'_>,
    ) -> Result<Vec<Record>, StreamError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < JOB_BYTES && records.len() < JOB_RECORDS {
            if self.current.is_none() {
                self.current = self.due.next();
            }
            let Some((target, piece, size)) = &mut self.current else { break };
            let (target, size) = (*target, *size);
            let mut header = [0; record::HEADER];
            recv.read_exact(&mut header).await.map_err(exact)?;
            let header = Header::decode(header)?;
            let index = if header.kind == Kind::Tree { 0 } else { piece.first };
            match header.kind {
                Kind::Gone | Kind::Changed => {
                    self.current = None;
                    records.push(Record {
                        target,
                        kind: header.kind,
                        index,
                        nonce: [0; 12],
                        sealed: Vec::new().into(),
                    });
                    continue;
                }
                Kind::Tree if piece.tree && header.len as usize == 32 * chunk_count(size) as usize => {
                    piece.tree = false;
                }
                Kind::Tree => {
                    self.unfit = piece.tree.then_some(piece.hash);
                    return Err(RecordError::Unexpected.into());
                }
                Kind::Raw | Kind::Zstd if piece.tree => return Err(RecordError::Unexpected.into()),
                Kind::Raw | Kind::Zstd => {
                    header.fits_chunk(size, index).inspect_err(|_| self.unfit = Some(piece.hash))?;
                    piece.first += 1;
                    piece.count -= 1;
                    if piece.count == 0 {
                        self.current = None;
                    }
                }
            }
            let nonce = self.nonces.advance().ok_or(RecordError::Unexpected)?;
            // At most one chunk, or one chunk list: the header was checked against its place.
            let sealed = read_sealed(recv, header.len as usize + TAG, inlet).await?;
            bytes += sealed.len();
            records.push(Record { target, kind: header.kind, index, nonce, sealed });
        }
        Ok(records)
    }
}

/// Exactly `len` bytes, into memory that is not cleared first: at a GiB a second that is felt.
async fn read_sealed(recv: &mut RecvStream, len: usize, inlet: &mut Inlet<'_>) -> Result<Room, StreamError> {
    let mut sealed = Room::of(len);
    let mut granted = 0;
    while sealed.len() < len {
        if granted == 0 {
            granted = inlet.turn(len - sealed.len()).await;
        }
        let read = (&mut *recv).take(granted as u64).read_buf(&mut *sealed).await;
        // What a QUIC stream says in the words of `std::io` is its own error, wrapped.
        let read = read.map_err(|e| e.downcast().map_or(StreamError::Short, StreamError::Read))?;
        if read == 0 {
            return Err(StreamError::Short);
        }
        granted -= read.min(granted);
        inlet.heard();
    }
    Ok(sealed)
}

/// Opens, verifies and stores a request's records, a job at a time. Runs on blocking threads.
struct Sink {
    request: RequestId,
    targets: Vec<Target>,
    store: Store,
    key: Arc<EpochKey>,
    /// It is not the owner who is asked.
    lent: bool,
}

#[derive(Default)]
struct Outcome {
    facts: Vec<Input>,
    wire: u64,
    failed: Option<Failed>,
}

enum Failed {
    /// Bytes of this blob do not match its hash.
    Wrong(BlobHash),
    /// They are not as many as the look says.
    Unfit(BlobHash),
    Peer(CloseCode),
    Local(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Local(error)
    }
}

impl Outcome {
    /// Passes on what there is; says how the request ends when it cannot go on.
    fn tell(self, notes: &Notes) -> Option<End> {
        if !self.facts.is_empty() {
            notes(Note::Progress { facts: self.facts, wire: self.wire });
        }
        match self.failed? {
            Failed::Wrong(hash) => Some(End::Wrong(hash)),
            Failed::Unfit(hash) => Some(End::Unfit(hash)),
            Failed::Peer(code) => Some(End::Misbehaved(code)),
            Failed::Local(error) => {
                notes(Note::Local(error));
                Some(End::Unkept)
            }
        }
    }
}

impl Sink {
    fn take(&mut self, records: Vec<Record>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut small = Vec::new();
        let taken = records.into_iter().try_for_each(|record| self.one(record, &mut small, &mut outcome));
        let stored = self.store_small(&small, &mut outcome);
        outcome.failed = taken.and(stored).err();
        outcome
    }

    fn one(
        &self,
        record: Record,
        small: &mut Vec<(usize, Room)>,
        outcome: &mut Outcome,
    ) -> Result<(), Failed> {
        let Record { target: number, kind, index, nonce, mut sealed } = record;
        let target = &self.targets[number];
        let (request, hash) = (self.request, target.piece.hash);
        if matches!(kind, Kind::Gone | Kind::Changed) {
            outcome.facts.push(Input::Lacking { request, hash, changed: kind == Kind::Changed });
            return Ok(());
        }
        outcome.wire += (sealed.len() + record::HEADER) as u64;
        self.key
            .bulk()
            .open(nonce, &record::place(kind, &hash, index), &mut sealed)
            .map_err(|_| Failed::Peer(CloseCode::WrongBytes))?;
        let wrong = || Failed::Peer(CloseCode::WrongBytes);
        let bytes = match kind {
            Kind::Zstd => {
                let len = chunk_len(target.size, index).ok_or_else(wrong)?;
                let unpacked = compression::decompress(&sealed, len);
                let unfit = || if self.lent { Failed::Unfit(hash) } else { wrong() };
                unpacked.ok_or_else(unfit)?.into()
            }
            _ => sealed,
        };
        match (&target.partial, kind) {
            (Some(partial), Kind::Tree) => {
                let tree = ChunkTree::prove(hash, target.size, &bytes).map_err(|_| Failed::Wrong(hash))?;
                partial.set_tree(tree)?;
                outcome.facts.push(Input::Tree { request, hash });
            }
            (Some(partial), _) => {
                let tree = partial.tree().ok_or_else(wrong)?;
                let chunk = tree.verify(index, &bytes).map_err(|_| Failed::Wrong(hash))?;
                partial.write_from(&target.owner, chunk)?;
                outcome.facts.push(Input::Verified { request, hash, chunks: index..index + 1 });
            }
            (None, _) => small.push((number, bytes)),
        }
        Ok(())
    }

    /// Blobs of one chunk, many to a call.
    fn store_small(&self, small: &[(usize, Room)], outcome: &mut Outcome) -> Result<(), Failed> {
        let wrong = || Failed::Peer(CloseCode::WrongBytes);
        let trees: Vec<ChunkTree> = (small.iter())
            .map(|(number, _)| &self.targets[*number])
            .map(|target| ChunkTree::single(target.piece.hash, target.size).ok_or_else(wrong))
            .collect::<Result<_, _>>()?;
        let mut chunks = Vec::with_capacity(small.len());
        let mut failed = Ok(());
        for ((number, bytes), tree) in small.iter().zip(&trees) {
            match tree.verify(0, bytes) {
                Ok(chunk) => chunks.push((chunk, self.targets[*number].ext)),
                // What was right before the lie is kept.
                Err(_) => failed = Err(Failed::Wrong(tree.hash())),
            }
        }
        self.store.put_many(&chunks)?;
        // One request is of one look.
        if let Some(Target { owner, .. }) = self.targets.first() {
            self.store.came_from(owner, chunks.iter().map(|(chunk, _)| chunk.hash()));
        }
        let verified = chunks.iter().map(|(chunk, _)| Input::Verified {
            request: self.request,
            hash: chunk.hash(),
            chunks: 0..1,
        });
        outcome.facts.extend(verified);
        failed
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
