//! The machine's environment: sources with their natures, and the receiver's disk.

use super::super::{peer, start};
use fyteclub_proto::{
    chunk_tree::{chunk_count, chunk_len},
    fetching::transfer::{End, Holds, Input, Output, RequestId, Transfer, Wanted},
    id::{BlobHash, PeerId},
    limit::{REQUEST_ITEMS_MAX, STREAMS_PER_SOURCE},
    number::{f64_of, index, u64_of, usize_of, whole},
    peer::Piece,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(20);
/// Longer than anything may take, including the slowest source's time for everything.
const TIMEOUT: Duration = Duration::from_secs(9000);
pub(crate) const MB: f64 = 1e6;

/// A source's behaviour. Times are seconds from the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Nature {
    /// Bytes a second.
    pub rate: f64,
    pub latency: Duration,
    /// Every blob, or each whose number has a bit here.
    pub holds: Option<u64>,
    /// Reports that it is growing, and gets one blob every so many seconds.
    pub grows: Option<f64>,
    pub silent: Option<(f64, f64)>,
    pub away: Option<(f64, f64)>,
    /// Every how many chunks it sends wrong ones, or breaks the stream.
    pub lies: Option<u32>,
    pub breaks: Option<u32>,
    /// Lacks what it reported, every so many pieces.
    pub lacks: Option<u32>,
    pub busy: Option<u32>,
}

impl Nature {
    pub(crate) fn honest(rate: f64) -> Self {
        Self {
            rate,
            latency: Duration::from_millis(40),
            holds: None,
            grows: None,
            silent: None,
            away: None,
            lies: None,
            breaks: None,
            lacks: None,
            busy: None,
        }
    }
}

enum Step {
    Tree(BlobHash),
    Chunk(BlobHash, u32),
}

struct Stream {
    request: RequestId,
    steps: VecDeque<Step>,
    begins: Instant,
    /// Bytes of the step at the front.
    sent: f64,
    told: Instant,
}

pub(crate) struct Source {
    id: PeerId,
    nature: Nature,
    joined: bool,
    /// Its link was closed for good.
    banned: bool,
    streams: Vec<Stream>,
    served: u32,
    asked: u32,
    told: f64,
    pub brought: u64,
}

pub(crate) struct World {
    now: Instant,
    began: Instant,
    all: Vec<(BlobHash, u64)>,
    sizes: BTreeMap<BlobHash, u64>,
    transfer: Transfer,
    pub disk: BTreeSet<(BlobHash, u32)>,
    trees: BTreeSet<BlobHash>,
    pub sources: Vec<Source>,
    pub asks: usize,
    /// Bytes on the wire for chunks that were on the disk.
    pub again: u64,
    starved: Option<Output>,
    pub ending: Option<Output>,
    suspects: BTreeMap<PeerId, usize>,
}

impl World {
    pub(crate) fn new(sizes: &[u64], natures: Vec<Nature>) -> Self {
        let all: Vec<(BlobHash, u64)> =
            sizes.iter().enumerate().map(|(n, size)| (BlobHash::of(&n.to_le_bytes()), *size)).collect();
        let now = start();
        let sources = natures.into_iter().enumerate().map(|(n, nature)| Source {
            id: peer(u8::try_from(n).expect("a small number") + 1),
            nature,
            joined: false,
            banned: false,
            streams: Vec::new(),
            served: 0,
            asked: 0,
            told: -10.0,
            brought: 0,
        });
        let mut world = Self {
            now,
            began: now,
            sizes: all.iter().copied().collect(),
            all,
            transfer: Transfer::new(vec![]),
            disk: BTreeSet::new(),
            trees: BTreeSet::new(),
            sources: sources.collect(),
            asks: 0,
            again: 0,
            starved: None,
            ending: None,
            suspects: BTreeMap::new(),
        };
        world.restart();
        world
    }

    pub(crate) fn time(&self) -> f64 {
        self.now.duration_since(self.began).as_secs_f64()
    }

    /// The receiver restarts with what is on its disk.
    pub(crate) fn restart(&mut self) {
        let wanted = self.all.iter().filter_map(|(hash, size)| {
            let mut missing: Vec<std::ops::Range<u32>> = Vec::new();
            for chunk in (0..chunk_count(*size)).filter(|chunk| !self.disk.contains(&(*hash, *chunk))) {
                match missing.last_mut() {
                    Some(last) if last.end == chunk => last.end += 1,
                    _ => missing.push(chunk..chunk + 1),
                }
            }
            let tree = chunk_count(*size) == 1 || self.trees.contains(hash);
            (!missing.is_empty()).then_some(Wanted { hash: *hash, size: *size, tree, missing })
        });
        self.transfer = Transfer::new(wanted.collect());
        self.starved = None;
        for source in &mut self.sources {
            source.streams.clear();
            (source.joined, source.told) = (false, -10.0);
        }
    }

    pub(crate) fn run(&mut self, until: f64) {
        while self.ending.is_none() && self.time() < until {
            assert!(self.time() < TIMEOUT.as_secs_f64(), "still at it: {:?}", self.transfer.progress());
            self.come_and_go();
            self.act();
            self.send();
            self.now += TICK;
            if self.transfer.deadline().is_some_and(|(at, _)| at <= self.now) {
                self.transfer.handle(self.now, Input::Time);
            }
            self.act();
            let time = self.time();
            let comes = |s: &Source| {
                !s.banned && s.nature.away.is_some_and(|(_, to)| to.is_finite() && time < to + 1.0)
            };
            if self.starved.is_some() && !self.sources.iter().any(comes) {
                self.ending = self.starved.take();
            }
        }
    }

    fn come_and_go(&mut self) {
        let time = self.time();
        for n in 0..self.sources.len() {
            let source = &mut self.sources[n];
            let away = source.nature.away.is_some_and(|(from, to)| (from..to).contains(&time));
            if source.banned || away {
                if std::mem::take(&mut source.joined) {
                    source.streams.clear();
                    let id = source.id;
                    self.transfer.handle(self.now, Input::Left(id));
                }
                continue;
            }
            // A growing source is asked again every two seconds.
            let again = source.nature.grows.is_some() && time >= source.told + 2.0;
            if source.joined && !again {
                continue;
            }
            (source.joined, source.told) = (true, time);
            let holds = match (source.nature.holds, source.nature.grows) {
                (None, None) => Holds::All,
                (bits, grows) => {
                    let grown = grows.map_or(0, |every| usize_of(whole(time / every)));
                    let has = |n: usize| bits.is_none_or(|bits| bits >> (n % 64) & 1 == 1) || n < grown;
                    let blobs = (0..self.all.len()).filter(|n| has(*n)).map(|n| self.all[n].0).collect();
                    Holds::These { blobs, growing: grown < self.all.len() && grows.is_some() }
                }
            };
            let id = source.id;
            self.transfer.handle(self.now, Input::Joined(id, holds));
        }
    }

    /// Carries out the machine's outputs.
    fn act(&mut self) {
        while let Some(output) = self.transfer.poll() {
            match output {
                Output::Ask { source, request, pieces } => self.asked(source, request, &pieces),
                Output::Drop { source, request } => {
                    let source = self.sources.iter_mut().find(|s| s.id == source).expect("known");
                    source.streams.retain(|stream| stream.request != request);
                }
                Output::Suspect { source, .. } => *self.suspects.entry(source).or_default() += 1,
                Output::Accuse { source, .. } => {
                    let source = self.sources.iter_mut().find(|s| s.id == source).expect("known");
                    (source.banned, source.joined) = (true, false);
                    source.streams.clear();
                }
                // The caller waits for a source that may never return.
                starved @ Output::Starved(_) => self.starved = Some(starved),
                over @ (Output::Done | Output::Failed(_)) => {
                    assert_eq!(self.transfer.deadline(), None);
                    self.ending = Some(over);
                }
            }
        }
    }

    fn asked(&mut self, source: PeerId, request: RequestId, pieces: &[Piece]) {
        self.asks += 1;
        self.starved = None;
        let source = self.sources.iter_mut().find(|s| s.id == source).expect("known");
        assert!(source.joined && !source.banned, "asked of somebody who is not there");
        assert!((1..=REQUEST_ITEMS_MAX).contains(&pieces.len()));
        let mut steps = VecDeque::new();
        for piece in pieces {
            let size = self.sizes[&piece.hash];
            if piece.tree {
                steps.push_back(Step::Tree(piece.hash));
            } else if chunk_count(size) > 1 {
                assert!(self.trees.contains(&piece.hash), "chunks before their list");
            }
            for chunk in piece.first..piece.first + piece.count {
                assert!(chunk_len(size, chunk).is_some(), "a chunk behind the end");
                steps.push_back(Step::Chunk(piece.hash, chunk));
            }
        }
        let begins = self.now + source.nature.latency;
        source.asked += 1;
        if source.nature.busy.is_some_and(|every| source.asked.is_multiple_of(every)) {
            self.transfer.handle(self.now, Input::Ended { request, end: End::Busy });
            return;
        }
        source.streams.push(Stream { request, steps, begins, sent: 0.0, told: self.now });
        assert!(source.streams.len() <= STREAMS_PER_SOURCE);
    }

    /// The bytes of every source in a tick.
    fn send(&mut self) {
        let time = self.time();
        for n in 0..self.sources.len() {
            let silent = self.sources[n].nature.silent.is_some_and(|(from, to)| (from..to).contains(&time));
            if silent {
                continue;
            }
            let ready: Vec<RequestId> = (self.sources[n].streams.iter())
                .filter(|stream| stream.begins <= self.now)
                .map(|stream| stream.request)
                .collect();
            let share = self.sources[n].nature.rate * TICK.as_secs_f64() / f64_of(u64_of(ready.len().max(1)));
            for request in ready {
                self.carry(n, request, share);
                self.act();
            }
        }
    }

    fn carry(&mut self, n: usize, request: RequestId, mut bytes: f64) {
        while bytes > 0.0 {
            let source = &mut self.sources[n];
            let Some(at) = source.streams.iter().position(|stream| stream.request == request) else { return };
            let stream = &mut source.streams[at];
            let len = match stream.steps.front() {
                None => {
                    source.streams.remove(at);
                    return self.transfer.handle(self.now, Input::Ended { request, end: End::Complete });
                }
                Some(Step::Tree(hash)) => 32.0 * f64::from(chunk_count(self.sizes[hash])),
                Some(Step::Chunk(hash, chunk)) => {
                    f64_of(u64_of(chunk_len(self.sizes[hash], *chunk).expect("a chunk"))) + 24.0
                }
            };
            let rest = len - stream.sent;
            if bytes < rest {
                stream.sent += bytes;
                if self.now >= stream.told + Duration::from_millis(250) {
                    stream.told = self.now;
                    self.transfer.handle(self.now, Input::Received { request });
                }
                return;
            }
            bytes -= rest;
            (stream.sent, stream.told) = (0.0, self.now);
            let step = stream.steps.pop_front().expect("the front");
            source.served += 1;
            let due = |every: Option<u32>| every.is_some_and(|every| source.served.is_multiple_of(every));
            let (lies, breaks, lacks) =
                (due(source.nature.lies), due(source.nature.breaks), due(source.nature.lacks));
            let hash = match &step {
                Step::Tree(hash) | Step::Chunk(hash, _) => *hash,
            };
            if lies || breaks {
                source.streams.remove(at);
                let end = if lies { End::Wrong(hash) } else { End::Broken };
                return self.transfer.handle(self.now, Input::Ended { request, end });
            }
            if lacks {
                // The rest of a piece is skipped.
                let rest = &mut source.streams[at].steps;
                while matches!(rest.front(), Some(Step::Tree(h) | Step::Chunk(h, _)) if *h == hash) {
                    rest.pop_front();
                }
                self.transfer.handle(self.now, Input::Lacking { request, hash, changed: false });
                self.act();
                continue;
            }
            match step {
                Step::Tree(hash) => {
                    self.trees.insert(hash);
                    self.transfer.handle(self.now, Input::Tree { request, hash });
                }
                Step::Chunk(hash, chunk) => {
                    if self.disk.insert((hash, chunk)) {
                        source.brought += whole(len) - 24;
                    } else {
                        self.again += whole(len) - 24;
                    }
                    self.transfer
                        .handle(self.now, Input::Verified { request, hash, chunks: chunk..chunk + 1 });
                }
            }
            self.act();
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.all.iter().map(|(_, size)| size).sum()
    }

    pub(crate) fn chunks(&self) -> usize {
        self.all.iter().map(|(_, size)| index(chunk_count(*size))).sum()
    }

    /// Compares the counters with the disk.
    pub(crate) fn audit(&self) {
        let missing: u64 = (self.all.iter())
            .flat_map(|(hash, size)| (0..chunk_count(*size)).map(move |chunk| (*hash, *size, chunk)))
            .filter(|(hash, _, chunk)| !self.disk.contains(&(*hash, *chunk)))
            .map(|(_, size, chunk)| u64_of(chunk_len(size, chunk).expect("a chunk")))
            .sum();
        let progress = self.transfer.progress();
        assert_eq!(progress.bytes_total - progress.bytes_done, missing);
        for (source, times) in &self.suspects {
            assert!(*times <= 2 * 3, "{source} lied {times} times in at most three lives");
        }
    }
}
