//! Fetching one look's missing blobs from the peers that have it: what to ask whom, what is done, and why it failed.
//!
//! The machine sees no bytes. Pumps carry and verify them and report; `pick` chooses what to ask next. Shaped for
//! several sources; today the owner is the only one.
//!
//! - A chunk is asked of one source at a time, and counts once it is verified and stored.
//! - A source that lies is accused and asked no more; what it owed is asked elsewhere.
//! - A source that is silent for [`SILENCE`] loses its request, and after [`STALLS_MAX`] of them its place.
//! - Without a source the transfer waits ([`Output::Starved`]): whoever runs it finds one or gives up.

mod pick;

use crate::{
    id::{BlobHash, PeerId},
    limit::STREAMS_PER_SOURCE,
    peer::{CloseCode, Piece},
};
use pick::{Blob, Queue};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

/// How long a request may bring nothing at all. One chunk in this time is 17 KB/s.
pub const SILENCE: Duration = Duration::from_secs(15);
/// Silent requests in a row before a source is given up.
pub const STALLS_MAX: u32 = 3;
/// How long a busy or stumbling source is left alone.
const REST: Duration = Duration::from_millis(300);

/// A blob that is not, or not wholly, in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub hash: BlobHash,
    pub size: u64,
    /// The chunk list is at hand, or not needed.
    pub tree: bool,
    /// Chunks that are not in the store, ascending and not empty.
    pub missing: Vec<Range<u32>>,
}

/// Names one request for as long as the transfer lives.
pub type RequestId = u64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A link to a peer that has the look is open.
    Joined(PeerId),
    /// Its link is gone; so are its requests.
    Left(PeerId),
    /// Bytes came that are no whole chunk yet, or this side holds them back itself.
    Heard {
        request: RequestId,
    },
    /// A blob's chunk list came and is proven and stored.
    Tree {
        request: RequestId,
        hash: BlobHash,
    },
    /// Chunks are verified and stored.
    Verified {
        request: RequestId,
        hash: BlobHash,
        chunks: Range<u32>,
    },
    /// The source has not, or no longer, what was published; the rest of this blob's piece will not come.
    Lacking {
        request: RequestId,
        hash: BlobHash,
        changed: bool,
    },
    /// Nothing more comes of this request.
    Ended {
        request: RequestId,
        end: End,
    },
    Time,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything came, or was said to be lacking.
    Complete,
    /// The stream broke.
    Broken,
    /// The source serves too many already.
    Busy,
    /// The source does not share with us.
    Refused,
    /// The source broke the protocol or sent wrong bytes.
    Misbehaved(CloseCode),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Ask {
        source: PeerId,
        request: RequestId,
        pieces: Vec<Piece>,
    },
    /// Stop waiting for this request.
    Drop {
        source: PeerId,
        request: RequestId,
    },
    /// Close the link with this code: the source misbehaved.
    Accuse {
        source: PeerId,
        code: CloseCode,
    },
    /// No source is left, and something is missing. Comes once until one joins.
    Starved(Failure),
    /// Every wanted blob is complete. The last output.
    Done,
    /// What is left cannot be had from any source. The last output.
    Failed(Failure),
}

/// Why blobs are missing in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The owner's file changed since it was published: ask for the newer look.
    Changed,
    /// The owner has the file no more.
    Gone,
    Refused,
    Misbehaved(CloseCode),
    /// The link broke, or never was.
    Unreachable,
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    RequestSilent,
    SourceRested,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub files_done: u64,
    pub files_total: u64,
    /// Of chunks that are verified and stored, with those that were here before.
    pub bytes_done: u64,
    pub bytes_total: u64,
}

#[derive(Debug, Default)]
struct Source {
    open: usize,
    stalls: u32,
    resting: Option<Instant>,
}

#[derive(Debug)]
struct Request {
    source: PeerId,
    /// What has not come yet, in the order asked: blob, whether its list is due, chunks.
    owed: Vec<(usize, bool, Range<u32>)>,
    heard: Instant,
}

#[derive(Debug)]
pub struct Transfer {
    queue: Queue,
    sources: BTreeMap<PeerId, Source>,
    requests: BTreeMap<RequestId, Request>,
    next_request: RequestId,
    progress: Progress,
    /// Why the last source was lost.
    lost: Failure,
    /// Why a source had not what was asked: changed weighs more than gone, because a newer look may have it.
    lacking: Failure,
    starved: bool,
    over: bool,
    outputs: VecDeque<Output>,
}

impl Transfer {
    /// Nothing is asked before a source joins. With nothing wanted the first output is `Done`.
    pub fn new(wanted: Vec<Wanted>) -> Self {
        let mut transfer = Self {
            queue: Queue::new(&wanted),
            sources: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            progress: Progress {
                files_total: wanted.len() as u64,
                bytes_total: wanted.iter().map(|blob| blob.size).sum(),
                ..Progress::default()
            },
            lost: Failure::Unreachable,
            lacking: Failure::Gone,
            starved: false,
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

    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.over {
            return;
        }
        match input {
            Input::Joined(peer) => {
                self.sources.entry(peer).or_default();
                self.queue.forgive(peer);
                self.starved = false;
            }
            Input::Left(peer) => self.lose(peer, Failure::Unreachable),
            Input::Heard { request } => {
                self.heard(request, now);
            }
            Input::Tree { request, hash } => {
                let index = self.queue.index(hash);
                if let Some(request) = self.heard(request, now) {
                    let of_blob = request.owed.iter_mut().filter(|(blob, ..)| Some(*blob) == index);
                    of_blob.for_each(|(_, due, _)| *due = false);
                    self.queue.tree_proven(hash);
                }
            }
            Input::Verified { request, hash, chunks } => self.verified(now, request, hash, chunks),
            Input::Lacking { request, hash, changed } => self.lacking(now, request, hash, changed),
            Input::Ended { request, end } => self.ended(now, request, end),
            Input::Time => self.time(now),
        }
        self.ask(now);
        self.conclude();
    }

    fn heard(&mut self, request: RequestId, now: Instant) -> Option<&mut Request> {
        let request = self.requests.get_mut(&request)?;
        request.heard = now;
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.stalls = 0;
        }
        Some(request)
    }

    fn verified(&mut self, now: Instant, request: RequestId, hash: BlobHash, chunks: Range<u32>) {
        let index = self.queue.index(hash);
        let Some(request) = self.heard(request, now) else { return };
        let owed = request
            .owed
            .iter_mut()
            .find(|(blob, _, owed)| Some(*blob) == index && owed.start == chunks.start);
        // Records come in the order asked, so what is verified is always the front of what is owed.
        let Some((blob, _, owed)) = owed else { return };
        owed.start = chunks.end.min(owed.end);
        let blob = *blob;
        let (bytes, complete) = self.queue.verified(blob, chunks);
        self.progress.bytes_done += bytes;
        self.progress.files_done += u64::from(complete);
    }

    fn lacking(&mut self, now: Instant, request: RequestId, hash: BlobHash, changed: bool) {
        let index = self.queue.index(hash);
        let Some(request) = self.heard(request, now) else { return };
        let source = request.source;
        let (lacking, owed) =
            std::mem::take(&mut request.owed).into_iter().partition(|(blob, ..)| Some(*blob) == index);
        request.owed = owed;
        self.queue.put_back(lacking);
        self.queue.lacks(hash, source);
        if changed {
            self.lacking = Failure::Changed;
        }
    }

    fn ended(&mut self, now: Instant, request: RequestId, end: End) {
        let Some(Request { source: peer, owed, .. }) = self.requests.remove(&request) else { return };
        let unfinished = owed.iter().any(|(_, tree, chunks)| *tree || !chunks.is_empty());
        self.queue.put_back(owed);
        let Some(source) = self.sources.get_mut(&peer) else { return };
        source.open -= 1;
        match end {
            End::Complete if !unfinished => {}
            // A source that ends early without a word would be asked the same at once, for ever.
            End::Complete => self.accuse(peer, CloseCode::OutOfTurn),
            End::Busy | End::Broken => {
                source.resting = Some(now + REST);
                if end == End::Broken {
                    source.stalls += 1;
                    if source.stalls >= STALLS_MAX {
                        self.lose(peer, Failure::Unreachable);
                    }
                }
            }
            End::Refused => self.lose(peer, Failure::Refused),
            End::Misbehaved(code) => self.accuse(peer, code),
        }
    }

    fn accuse(&mut self, source: PeerId, code: CloseCode) {
        self.outputs.push_back(Output::Accuse { source, code });
        self.lose(source, Failure::Misbehaved(code));
    }

    /// Forgets a source; what it owed goes back into the queue.
    fn lose(&mut self, peer: PeerId, failure: Failure) {
        if self.sources.remove(&peer).is_none() {
            return;
        }
        self.lost = failure;
        let (lost, kept) =
            std::mem::take(&mut self.requests).into_iter().partition(|(_, request)| request.source == peer);
        self.requests = kept;
        let lost: BTreeMap<RequestId, Request> = lost;
        for (request, Request { source, owed, .. }) in lost {
            self.queue.put_back(owed);
            self.outputs.push_back(Output::Drop { source, request });
        }
    }

    fn time(&mut self, now: Instant) {
        let silent: Vec<RequestId> =
            self.requests.iter().filter(|(_, r)| now >= r.heard + SILENCE).map(|(id, _)| *id).collect();
        for request in silent {
            let Some(Request { source: peer, owed, .. }) = self.requests.remove(&request) else { continue };
            self.queue.put_back(owed);
            self.outputs.push_back(Output::Drop { source: peer, request });
            self.lost = Failure::Silent;
            let Some(source) = self.sources.get_mut(&peer) else { continue };
            source.open -= 1;
            source.stalls += 1;
            if source.stalls >= STALLS_MAX {
                self.lose(peer, Failure::Silent);
            }
        }
        for source in self.sources.values_mut() {
            source.resting = source.resting.filter(|until| now < *until);
        }
    }

    /// Fills every source's free places.
    fn ask(&mut self, now: Instant) {
        for (peer, source) in &mut self.sources {
            while source.open < STREAMS_PER_SOURCE && source.resting.is_none() {
                let (pieces, owed) = self.queue.pick(*peer);
                if pieces.is_empty() {
                    break;
                }
                let request = self.next_request;
                self.next_request += 1;
                source.open += 1;
                self.requests.insert(request, Request { source: *peer, owed, heard: now });
                self.outputs.push_back(Output::Ask { source: *peer, request, pieces });
            }
        }
    }

    fn conclude(&mut self) {
        if self.progress.files_done == self.progress.files_total {
            self.finish(Output::Done);
        } else if self.sources.is_empty() {
            if !std::mem::replace(&mut self.starved, true) {
                self.outputs.push_back(Output::Starved(self.lost));
            }
        } else if self.requests.is_empty() && self.sources.values().all(|source| source.resting.is_none()) {
            // Every source was offered everything, and nobody took anything: what is left is lacking everywhere.
            self.finish(Output::Failed(self.lacking));
        }
    }

    fn finish(&mut self, output: Output) {
        self.over = true;
        self.outputs.push_back(output);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        if self.over {
            return None;
        }
        let silent = self.requests.values().map(|request| (request.heard + SILENCE, Why::RequestSilent));
        let rested = self.sources.values().filter_map(|source| Some((source.resting?, Why::SourceRested)));
        silent.chain(rested).min_by_key(|(at, _)| *at)
    }
}
