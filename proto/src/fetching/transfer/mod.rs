//! Fetching one look's missing blobs from several sources: which source gets which request, when it is done, and why it
//! failed.
//!
//! The machine sees no bytes: pumps receive and verify them and report. `pick` has what is left to request, `source`
//! the size of a request, `waiting` its deadlines, `endgame` moves chunks from slow sources to fast ones.
//!
//! - A chunk is requested from one source at a time (except in the endgame), and counts once, when it is verified and
//!   stored.
//! - The fastest source gets requests first. Small and large blobs have a stream each while there are both.
//! - A request without a byte for [`STALL`], or of a silent source, is requested elsewhere, if possible; one that is silent for [`SILENCE`] or
//!   without a chunk for [`DRIP`] is given up in any case, and after [`STALLS_MAX`] of them its source.
//! - A wrong chunk names its sender ([`Output::Suspect`]) and costs it the blob and all its credit; without credit, or
//!   at the second, it is accused and gets no more requests.
//! - If another than the owner has a blob of another size, the look is taken to be wrong: that costs the owner its
//!   credit, and the blob is requested from the owner. If it then arrives in the look's size, the other source is
//!   accused.
//! - Without a source the transfer waits ([`Output::Starved`]): its caller finds one or gives up.

mod endgame;
mod pick;
mod source;
mod waiting;
mod words;

use crate::{
    id::{BlobHash, PeerId},
    limit::{CHUNK_SIZE, STREAMS_PER_SOURCE},
    number,
    peer::CloseCode,
};
use pick::{Blob, Class, Counted, Holding, Owed, Queue};
pub use source::CREDIT;
use source::Source;
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};
pub use words::{End, Failure, Holds, Input, Output, Progress, RequestId, Wanted, Why};

/// How long a request may be silent.
pub const SILENCE: Duration = Duration::from_secs(15);
/// How long bytes may arrive without a complete chunk. Under the lowest limit ([`crate::fetching::pace::RATE_MIN`])
/// four streams to each of two peers take 128 s for theirs.
pub const DRIP: Duration = Duration::from_secs(150);
/// Silent requests in a row before a source is given up.
pub const STALLS_MAX: u32 = 3;
/// How long a request that another source could serve may be silent.
pub const STALL: Duration = Duration::from_secs(2);
/// Stalled requests in a row, without a byte in between, before a source is given up beside others.
pub const QUICK_STALLS_MAX: u32 = 6;
/// How long a source that still fetches the look itself is awaited when no other has what is missing.
pub const GROWTH: Duration = Duration::from_secs(15);
/// How soon after its last byte a chunk is to be told as verified and stored, also while the next is on its way. A machine
/// that learns it later moves and stops requests whose chunks are here: they come twice.
pub const TOLD_WITHIN: Duration = Duration::from_millis(25);
/// The pause of a busy or failing source.
const REST: Duration = Duration::from_millis(300);

#[derive(Debug)]
struct Request {
    source: PeerId,
    class: Class,
    /// Not received yet, in the requested order.
    owed: Vec<Owed>,
    /// When a chunk or list arrived, or was reported as lacking; or when it was requested.
    brought: Instant,
    /// When anything arrived.
    heard: Instant,
    /// Its back was moved to another source: only the front is awaited.
    cut: bool,
    /// Some of it is requested twice.
    twice: bool,
}

impl Request {
    /// When it is given up.
    fn ends_by(&self) -> Instant {
        (self.heard + SILENCE).min(self.brought + DRIP)
    }
}

#[derive(Debug)]
pub struct Transfer {
    queue: Queue,
    sources: BTreeMap<PeerId, Source>,
    requests: BTreeMap<RequestId, Request>,
    /// The source of each request, also of ended ones: facts may arrive later.
    asked: Vec<PeerId>,
    progress: Progress,
    /// Sources with another size than the look's, by blob.
    doubts: BTreeMap<usize, Vec<PeerId>>,
    /// Bytes that were requested from a second source while the first was still sending them.
    copied: u64,
    /// Bytes of fresh chunks by source, also of sources that left.
    brought: BTreeMap<PeerId, u64>,
    /// Why the last source was lost.
    lost: Failure,
    /// Why a source lacked blobs: changed outweighs gone, because a newer look may have them.
    lacking: Failure,
    /// Something happened that may allow new requests.
    changed: bool,
    /// When to compare slow sources again.
    check: Option<Instant>,
    starved: bool,
    held: bool,
    over: bool,
    outputs: VecDeque<Output>,
}

impl Transfer {
    /// Requests nothing before a source joins. With nothing wanted the first output is `Done`.
    pub fn new(wanted: Vec<Wanted>) -> Self {
        let mut transfer = Self {
            queue: Queue::new(&wanted),
            sources: BTreeMap::new(),
            requests: BTreeMap::new(),
            asked: Vec::new(),
            progress: Progress {
                files_total: number::u64_of(wanted.len()),
                bytes_total: wanted.iter().map(|blob| blob.size).sum(),
                ..Progress::default()
            },
            doubts: BTreeMap::new(),
            copied: 0,
            brought: BTreeMap::new(),
            lost: Failure::Unreachable,
            lacking: Failure::Gone,
            changed: false,
            check: None,
            starved: false,
            held: false,
            over: false,
            outputs: VecDeque::new(),
        };
        transfer.progress.bytes_done = transfer.queue.blobs().map(Blob::bytes_done).sum();
        if wanted.is_empty() {
            transfer.finish(Output::Done);
        }
        transfer
    }

    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Bytes by source, also of sources that left.
    pub fn brought(&self) -> impl Iterator<Item = (PeerId, u64)> {
        self.brought.iter().map(|(peer, bytes)| (*peer, *bytes))
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.over {
            return;
        }
        match input {
            Input::Joined(peer, holds) => self.joined(now, peer, holds),
            Input::Left(peer) => self.lose(peer, Failure::Unreachable),
            Input::Silent(peer) => self.stall(now, Some(peer)),
            Input::Received { request } => {
                self.heard(request, now);
            }
            Input::Tree { request, hash } => self.tree(now, request, hash),
            Input::Verified { request, hash, chunks } => self.verified(now, request, hash, chunks),
            Input::Lacking { request, hash, changed } => self.lacking(now, request, hash, changed),
            Input::Ended { request, end } => self.ended(now, request, end),
            Input::Hold(held) => (self.held, self.changed) = (held, true),
            Input::Time => self.time(now),
        }
        self.drop_settled();
        while std::mem::take(&mut self.changed) && !self.held {
            self.ask(now);
            self.relieve(now);
            self.drop_settled();
        }
        self.conclude(now);
    }

    fn joined(&mut self, now: Instant, peer: PeerId, holds: Holds) {
        let (holding, growing) = match holds {
            Holds::All => (Holding::all(), false),
            Holds::These { blobs, growing } => (self.queue.holding(&blobs), growing),
        };
        let known = self.sources.contains_key(&peer);
        if !known {
            self.queue.forgive(peer);
        }
        let of_use = holding.is_all() || self.queue.is_of_use(peer, &holding);
        let source = self.sources.entry(peer).or_insert_with(|| Source::new(now));
        // A source that only repeats that more will come does not extend the wait.
        let grew = !known || holding.count() > source.holding.count();
        source.growing = if grew { Some(now + GROWTH) } else { source.growing }.filter(|_| growing);
        source.holding = holding;
        self.starved &= !of_use;
        self.changed = true;
    }

    fn heard(&mut self, request: RequestId, now: Instant) -> Option<&mut Request> {
        let request = self.requests.get_mut(&request)?;
        request.heard = now;
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.heard = now;
        }
        Some(request)
    }

    /// A request yielded something useful.
    fn served(&mut self, request: RequestId, now: Instant) -> Option<&mut Request> {
        let source = self.heard(request, now)?.source;
        if let Some(source) = self.sources.get_mut(&source) {
            source.stalls = 0;
        }
        let request = self.requests.get_mut(&request)?;
        request.brought = now;
        Some(request)
    }

    fn tree(&mut self, now: Instant, request: RequestId, hash: BlobHash) {
        let Some(index) = self.queue.index(hash) else { return };
        self.served(request, now);
        // Also of a dropped request: it is in the store.
        self.queue.tree_proven(index);
        let all = self.requests.values_mut().flat_map(|request| &mut request.owed);
        all.filter(|owed| owed.blob == index).for_each(|owed| owed.tree = false);
        self.changed = true;
    }

    fn verified(&mut self, now: Instant, request: RequestId, hash: BlobHash, chunks: Range<u32>) {
        let Some(index) = self.queue.index(hash) else { return };
        if let Some(request) = self.served(request, now) {
            // Records come in the requested order, so verified chunks are the front of what is owed.
            let of_blob = |owed: &&mut Owed| owed.blob == index && owed.chunks.contains(&chunks.start);
            if let Some(owed) = request.owed.iter_mut().find(of_blob) {
                owed.chunks.start = chunks.end.min(owed.chunks.end);
            }
        }
        // From any source, also of a dropped request: it is in the store.
        let Counted { fresh, again, complete } = self.queue.verified(index, chunks);
        self.progress.bytes_done += fresh;
        self.progress.bytes_again += again;
        self.progress.files_done += u64::from(complete);
        if complete {
            for source in self.doubts.remove(&index).unwrap_or_default() {
                self.outputs.push_back(Output::Suspect { source, hash });
                self.accuse(source, CloseCode::WrongBytes);
            }
        }
        let Some(peer) = usize::try_from(request).ok().and_then(|at| self.asked.get(at)).copied() else {
            return;
        };
        *self.brought.entry(peer).or_default() += fresh;
        if let Some(source) = self.sources.get_mut(&peer) {
            source.brought(now, fresh + again);
        }
    }

    fn lacking(&mut self, now: Instant, request: RequestId, hash: BlobHash, changed: bool) {
        let index = self.queue.index(hash);
        let Some(request) = self.served(request, now) else { return };
        let source = request.source;
        let (lacking, owed) =
            std::mem::take(&mut request.owed).into_iter().partition(|owed| Some(owed.blob) == index);
        request.owed = owed;
        self.queue.lacks(hash, source);
        self.put_back(lacking);
        if changed {
            self.lacking = Failure::Changed;
        }
    }

    fn put_back(&mut self, owed: Vec<Owed>) {
        let others = self.requests.values().flat_map(|request| &request.owed);
        self.queue.put_back(owed, others);
        self.changed = true;
    }

    fn ended(&mut self, now: Instant, request: RequestId, end: End) {
        let Some(Request { source: peer, owed, .. }) = self.close_request(request) else { return };
        let unfinished = owed.iter().any(|owed| !owed.is_empty());
        self.put_back(owed);
        let Some(source) = self.sources.get_mut(&peer) else { return };
        match end {
            End::Complete if !unfinished => {}
            End::Unkept => {}
            // A source that ends early would get the same request at once, for ever.
            End::Complete => self.accuse(peer, CloseCode::OutOfTurn),
            End::Busy | End::Broken => {
                // When a link breaks, all its streams do: that counts once.
                let counts = end == End::Broken && source.resting.is_none();
                source.resting = Some(now + REST);
                source.stalls += u32::from(counts);
                if counts && source.stalls >= STALLS_MAX {
                    self.lose(peer, Failure::Unreachable);
                }
            }
            End::Refused => self.lose(peer, Failure::Refused),
            End::Wrong(hash) => {
                let forgiven = source.forgives();
                self.queue.lacks(hash, peer);
                self.outputs.push_back(Output::Suspect { source: peer, hash });
                if !forgiven {
                    self.accuse(peer, CloseCode::WrongBytes);
                } else if self.lacking == Failure::Gone {
                    self.lacking = Failure::Misbehaved(CloseCode::WrongBytes);
                }
            }
            End::Unfit(hash) if source.holding.is_all() => {
                self.queue.lacks(hash, peer);
                self.accuse(peer, CloseCode::Malformed);
            }
            End::Unfit(hash) => {
                self.queue.lacks(hash, peer);
                if let Some(index) = self.queue.index(hash) {
                    self.doubts.entry(index).or_default().push(peer);
                }
                let owner = self.sources.values_mut().filter(|source| source.holding.is_all());
                owner.for_each(Source::discredit);
            }
            End::Misbehaved(code) => self.accuse(peer, code),
        }
    }

    fn accuse(&mut self, source: PeerId, code: CloseCode) {
        self.outputs.push_back(Output::Accuse { source, code });
        self.lose(source, Failure::Misbehaved(code));
    }

    /// Removes a source; what it owed returns to the queue.
    fn lose(&mut self, peer: PeerId, failure: Failure) {
        if self.sources.remove(&peer).is_none() {
            return;
        }
        self.lost = failure;
        let of_peer = self.requests.iter().filter(|(_, request)| request.source == peer);
        for request in of_peer.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.take_back(request);
        }
        self.changed = true;
    }

    /// Stops a request, and returns what it owed to the queue.
    fn take_back(&mut self, id: RequestId) {
        if let Some(request) = self.close_request(id) {
            self.outputs.push_back(Output::Drop { source: request.source, request: id });
            self.put_back(request.owed);
        }
    }

    fn close_request(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.closed(request.class);
        }
        self.changed = true;
        Some(request)
    }

    /// How many requests a source may have. Beside others, a stalled one has one until it answers, and one that is slow
    /// or of unknown speed two: each request has a chunk on its way that cannot be moved.
    fn places(&self, source: &Source, now: Instant) -> usize {
        let fast = || {
            source
                .rate(now)
                .is_some_and(|rate| rate >= number::f64_of(number::u64_of(STREAMS_PER_SOURCE * CHUNK_SIZE)))
        };
        if self.sources.len() == 1 {
            STREAMS_PER_SOURCE
        } else if source.stalls > 0 {
            1
        } else if fast() {
            STREAMS_PER_SOURCE
        } else {
            STREAMS_PER_SOURCE / 2
        }
    }

    /// Fills every source's free requests, the fastest one's first.
    fn ask(&mut self, now: Instant) {
        let alone = self.sources.len() == 1;
        let mut order: Vec<(PeerId, f64)> = (self.sources.iter())
            .map(|(peer, source)| (*peer, source.rate(now).unwrap_or(f64::INFINITY)))
            .collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (peer, _) in order {
            while let Some(source) = self.sources.get(&peer) {
                if source.requests() >= self.places(source, now) || source.resting.is_some() {
                    break;
                }
                // One request is reserved for the other kind.
                let mut classes = [Class::Small, Class::Large];
                if source.open[Class::Small.index()] >= self.places(source, now) - 1 {
                    classes.reverse();
                }
                let budget = source.budget(now, alone);
                let owed = classes
                    .into_iter()
                    .map(|class| self.queue.pick(peer, &source.holding, class, budget))
                    .find(|owed| !owed.is_empty());
                let Some(owed) = owed else { break };
                self.open_request(now, peer, owed, false);
            }
        }
    }

    fn open_request(&mut self, now: Instant, source: PeerId, owed: Vec<Owed>, twice: bool) {
        let request = number::u64_of(self.asked.len());
        self.asked.push(source);
        let (pieces, class) = (self.queue.pieces(&owed), self.queue.class(&owed));
        if let Some(source) = self.sources.get_mut(&source) {
            source.opened(class, now);
        }
        let (brought, heard) = (now, now);
        let asked = Request { source, class, owed, brought, heard, cut: false, twice };
        self.requests.insert(request, asked);
        self.outputs.push_back(Output::Ask { source, request, pieces });
    }

    fn conclude(&mut self, now: Instant) {
        if self.progress.files_done == self.progress.files_total {
            for (request, Request { source, owed, .. }) in std::mem::take(&mut self.requests) {
                if owed.iter().any(|owed| !owed.is_empty()) {
                    self.outputs.push_back(Output::Drop { source, request });
                }
            }
            return self.finish(Output::Done);
        }
        let waits =
            |source: &Source| source.resting.is_some() || source.growing.is_some_and(|until| now < until);
        // While there are no requests, what sources lack is reported when it matters again.
        if self.held || !self.requests.is_empty() || self.sources.values().any(waits) {
            return;
        }
        // Every source was offered everything and took nothing: all lack the rest.
        if self.sources.values().any(|source| source.holding.is_all()) {
            self.finish(Output::Failed(self.lacking));
        } else if !std::mem::replace(&mut self.starved, true) {
            self.outputs.push_back(Output::Starved(self.lost));
        }
    }

    fn finish(&mut self, output: Output) {
        self.over = true;
        self.outputs.push_back(output);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        match self {
            Self { over: true, .. } => Some("over"),
            Self { held: true, .. } if self.requests.is_empty() => {
                Some("held: whoever runs it ends that, or the transfer")
            }
            Self { starved: true, .. } => Some("starved: whoever runs it finds a source, or gives up"),
            _ => None,
        }
    }
}
