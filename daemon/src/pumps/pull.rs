//! Stream → verify → store: carries one request to a peer and what comes of it.

use super::{JOB_BYTES, JOB_RECORDS, blocking, compression};
use crate::io::{
    quic::{
        Link,
        stream::{StreamError, exact, read_frame, read_run, write_frame},
    },
    room::Room,
    store::{Partial, Store, StoreError},
};
use fyteclub_proto::{
    bytes::Bytes as Tag,
    chunk_tree::{ChunkTree, chunk_count, chunk_len},
    grant::Grant,
    id::BlobHash,
    peer::{
        AppearanceReply, CloseCode, HoldingReply, Piece, PiecesReply, Request,
        record::{self, Header, Kind, RecordError},
    },
    seal::{EpochKey, NonceCounter, TAG},
    transfer::{End, Input, RequestId},
};
use quinn::{RecvStream, VarInt};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    task::{JoinError, JoinHandle},
};

/// How often a request says that bytes come, when they are no whole chunk yet.
const PULSE: Duration = Duration::from_millis(250);

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

/// Asks for the peer's signed appearance, and the grant that comes with it. Neither is checked here.
///
/// # Errors
/// A refusal, a broken stream, or bytes that do not open.
pub async fn appearance(link: &Link) -> Result<(Vec<u8>, Grant), AppearancePullError> {
    let (mut send, mut recv) = link.open_stream().await?;
    write_frame(&mut send, &Request::Appearance).await?;
    send.finish().ok();
    match read_frame(&mut recv).await?.ok_or(StreamError::Short)? {
        AppearanceReply::Nothing => Err(AppearancePullError::Nothing),
        AppearanceReply::Document { epoch, len, grant } => {
            let mut sealed = read_run(&mut recv, len as usize + TAG).await?;
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

/// One request of a transfer.
pub struct Ask {
    pub request: RequestId,
    pub targets: Vec<Target>,
    /// By which somebody else than the owner is asked.
    pub grant: Option<Grant>,
}

/// Carries one request of a transfer; ends when everything came or nothing more will. Dropped in the middle, it leaves
/// what is stored.
pub async fn pieces(link: Link, ask: Ask, store: Store, notes: Notes) {
    let request = ask.request;
    let end = match carry(&link, ask, store, &notes).await {
        Ok(end) => end,
        Err(error) => {
            tracing::debug!(peer = %link.peer().short(), "a request was not answered to its end: {error}");
            error.misbehaviour().map_or(End::Broken, End::Misbehaved)
        }
    };
    notes(Note::Progress { facts: vec![Input::Ended { request, end }], wire: 0 });
}

async fn carry(
    link: &Link,
    Ask { request, targets, grant }: Ask,
    store: Store,
    notes: &Notes,
) -> Result<End, StreamError> {
    let (mut send, mut recv) = link.open_stream().await?;
    let pieces = targets.iter().map(|target| target.piece).collect();
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
    let mut pulse = Pulse { request, notes, told: Instant::now() };
    let sink = Sink { request, targets, store, key };
    let mut job = tokio::spawn(async { (sink, Outcome::default()) });
    loop {
        // These records are read while those before are opened, verified and written.
        let records = order.read_job(&mut recv, &mut pulse).await;
        let came = records.iter().flatten().map(|record| record.sealed.len() as u64).sum();
        link.received(came);
        let Ok((mut sink, outcome)) = pulse.through(job).await else { return Ok(End::Broken) };
        if let Some(end) = outcome.tell(notes) {
            return Ok(end);
        }
        // After what came before the stream broke: there may be a lie in it.
        let records = records?;
        if records.is_empty() {
            return Ok(End::Complete);
        }
        job = tokio::spawn(blocking(move || {
            let outcome = sink.take(records);
            (sink, outcome)
        }));
    }
}

/// Says now and then that a request lives.
struct Pulse<'a> {
    request: RequestId,
    notes: &'a Notes,
    told: Instant,
}

impl Pulse<'_> {
    /// Waits for work of this machine: while its disk is slow, the peer is not silent.
    async fn through<T>(&mut self, mut work: JoinHandle<T>) -> Result<T, JoinError> {
        loop {
            match tokio::time::timeout(PULSE, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.beat(),
            }
        }
    }

    fn beat(&mut self) {
        if self.told.elapsed() >= PULSE {
            self.told = Instant::now();
            (self.notes)(Note::Progress { facts: vec![Input::Heard { request: self.request }], wire: 0 });
        }
    }
}

/// What must come next, and under which nonce: the order of the request.
struct Order {
    /// Target, and which of its pieces are due.
    due: std::vec::IntoIter<(usize, Piece, u64)>,
    current: Option<(usize, Piece, u64)>,
    nonces: NonceCounter,
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
        Self { due: due.into_iter(), current: None, nonces }
    }

    /// About [`JOB_BYTES`] of records; none when all have come. A record that does not fit its place is an error.
    async fn read_job(
        &mut self,
        recv: &mut RecvStream,
        pulse: &mut Pulse<'_>,
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
                Kind::Tree => return Err(RecordError::Unexpected.into()),
                Kind::Raw | Kind::Zstd if piece.tree => return Err(RecordError::Unexpected.into()),
                Kind::Raw | Kind::Zstd => {
                    header.fits_chunk(size, index)?;
                    piece.first += 1;
                    piece.count -= 1;
                    if piece.count == 0 {
                        self.current = None;
                    }
                }
            }
            let nonce = self.nonces.advance().ok_or(RecordError::Unexpected)?;
            // At most one chunk, or one chunk list: the header was checked against its place.
            let sealed = read_sealed(recv, header.len as usize + TAG, pulse).await?;
            bytes += sealed.len();
            records.push(Record { target, kind: header.kind, index, nonce, sealed });
        }
        Ok(records)
    }
}

/// Exactly `len` bytes, into memory that is not cleared first: at a GiB a second that is felt.
async fn read_sealed(recv: &mut RecvStream, len: usize, pulse: &mut Pulse<'_>) -> Result<Room, StreamError> {
    let mut sealed = Room::of(len);
    let mut rest = recv.take(len as u64);
    while sealed.len() < len {
        let read = rest.read_buf(&mut *sealed).await;
        // What a QUIC stream says in the words of `std::io` is its own error, wrapped.
        let read = read.map_err(|e| e.downcast().map_or(StreamError::Short, StreamError::Read))?;
        if read == 0 {
            return Err(StreamError::Short);
        }
        pulse.beat();
    }
    Ok(sealed)
}

/// Opens, verifies and stores a request's records, a job at a time. Runs on blocking threads.
struct Sink {
    request: RequestId,
    targets: Vec<Target>,
    store: Store,
    key: Arc<EpochKey>,
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
                compression::decompress(&sealed, len).ok_or_else(wrong)?.into()
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
                partial.write(chunk)?;
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
        let verified = chunks.iter().map(|(chunk, _)| Input::Verified {
            request: self.request,
            hash: chunk.hash(),
            chunks: 0..1,
        });
        outcome.facts.extend(verified);
        failed
    }
}
