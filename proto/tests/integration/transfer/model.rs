//! The machine among sources of any speed that hold parts, stall, lie, lack, leave and come back, with a receiver that
//! restarts, under virtual time and against a model of its disk.
//!
//! The promise: every wanted chunk arrives on disk and is counted once, or the reason is told; with one honest source
//! that has everything it always ends well.

use super::{peer, start};
use fyteclub_proto::{
    chunk_tree::{chunk_count, chunk_len},
    fetching::transfer::{End, Failure, Holds, Input, Output, RequestId, Transfer, Wanted},
    id::{BlobHash, PeerId},
    limit::{CHUNK_SIZE, REQUEST_ITEMS_MAX, STREAMS_PER_SOURCE},
    peer::Piece,
};
use proptest::{prelude::*, test_runner::RngSeed};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(20);
/// Longer than anything may take, with what the slowest source needs for everything.
const PATIENCE: Duration = Duration::from_secs(9000);
const MB: f64 = 1e6;

/// What a source is like. Times are seconds from the beginning.
#[derive(Debug, Clone)]
struct Nature {
    /// Bytes a second.
    rate: f64,
    latency: Duration,
    /// Every blob, or each whose number has a bit here.
    holds: Option<u64>,
    /// Says that it is growing, and has one blob more every so many seconds.
    grows: Option<f64>,
    silent: Option<(f64, f64)>,
    away: Option<(f64, f64)>,
    /// Every how many chunks it lies, or breaks the stream.
    lies: Option<u32>,
    breaks: Option<u32>,
    /// Has not what it says, every so many pieces.
    lacks: Option<u32>,
    busy: Option<u32>,
}

impl Nature {
    fn honest(rate: f64) -> Self {
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
    /// Of the step at the front.
    sent: f64,
    told: Instant,
}

struct Source {
    id: PeerId,
    nature: Nature,
    joined: bool,
    /// Lost its link for good.
    banned: bool,
    streams: Vec<Stream>,
    served: u32,
    asked: u32,
    told: f64,
    brought: u64,
}

struct World {
    now: Instant,
    began: Instant,
    all: Vec<(BlobHash, u64)>,
    sizes: BTreeMap<BlobHash, u64>,
    transfer: Transfer,
    disk: BTreeSet<(BlobHash, u32)>,
    trees: BTreeSet<BlobHash>,
    sources: Vec<Source>,
    asks: usize,
    /// Bytes that crossed a wire for chunks that were on the disk.
    again: u64,
    starved: Option<Output>,
    ending: Option<Output>,
    suspects: BTreeMap<PeerId, usize>,
}

impl World {
    fn new(sizes: &[u64], natures: Vec<Nature>) -> Self {
        let all: Vec<(BlobHash, u64)> =
            sizes.iter().enumerate().map(|(n, size)| (BlobHash::of(&n.to_le_bytes()), *size)).collect();
        let now = start();
        let sources = natures.into_iter().enumerate().map(|(n, nature)| Source {
            id: peer(n as u8 + 1),
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

    fn time(&self) -> f64 {
        self.now.duration_since(self.began).as_secs_f64()
    }

    /// The receiver begins anew with what is on its disk.
    fn restart(&mut self) {
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

    fn run(&mut self, until: f64) {
        while self.ending.is_none() && self.time() < until {
            assert!(self.time() < PATIENCE.as_secs_f64(), "still at it: {:?}", self.transfer.progress());
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
            // Who grows is asked again every two seconds.
            let again = source.nature.grows.is_some() && time >= source.told + 2.0;
            if source.joined && !again {
                continue;
            }
            (source.joined, source.told) = (true, time);
            let holds = match (source.nature.holds, source.nature.grows) {
                (None, None) => Holds::All,
                (bits, grows) => {
                    let grown = grows.map_or(0, |every| (time / every) as usize);
                    let has = |n: usize| bits.is_none_or(|bits| bits >> (n % 64) & 1 == 1) || n < grown;
                    let blobs = (0..self.all.len()).filter(|n| has(*n)).map(|n| self.all[n].0).collect();
                    Holds::These { blobs, growing: grown < self.all.len() && grows.is_some() }
                }
            };
            let id = source.id;
            self.transfer.handle(self.now, Input::Joined(id, holds));
        }
    }

    /// Does what the machine says.
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
                // Whoever runs it waits for somebody to come back, who may never.
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

    /// What a tick's bytes of every source bring.
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
            let share = self.sources[n].nature.rate * TICK.as_secs_f64() / ready.len().max(1) as f64;
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
                    chunk_len(self.sizes[hash], *chunk).expect("a chunk") as f64 + 24.0
                }
            };
            let rest = len - stream.sent;
            if bytes < rest {
                stream.sent += bytes;
                if self.now >= stream.told + Duration::from_millis(250) {
                    stream.told = self.now;
                    self.transfer.handle(self.now, Input::Heard { request });
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
                // The rest of a piece is left out.
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
                        source.brought += len as u64 - 24;
                    } else {
                        self.again += len as u64 - 24;
                    }
                    self.transfer
                        .handle(self.now, Input::Verified { request, hash, chunks: chunk..chunk + 1 });
                }
            }
            self.act();
        }
    }

    fn total(&self) -> u64 {
        self.all.iter().map(|(_, size)| size).sum()
    }

    fn chunks(&self) -> usize {
        self.all.iter().map(|(_, size)| chunk_count(*size) as usize).sum()
    }

    /// What is counted is what is there.
    fn audit(&self) {
        let missing: u64 = (self.all.iter())
            .flat_map(|(hash, size)| (0..chunk_count(*size)).map(move |chunk| (*hash, *size, chunk)))
            .filter(|(hash, _, chunk)| !self.disk.contains(&(*hash, *chunk)))
            .map(|(_, size, chunk)| chunk_len(size, chunk).expect("a chunk") as u64)
            .sum();
        let progress = self.transfer.progress();
        assert_eq!(progress.bytes_total - progress.bytes_done, missing);
        for (source, times) in &self.suspects {
            assert!(*times <= 2 * 3, "{source} lied {times} times in at most three lives");
        }
    }
}

fn nature() -> impl Strategy<Value = Nature> {
    let span = || prop::option::weighted(0.3, (0.0..20.0f64, 0.5..60.0f64).prop_map(|(a, b)| (a, a + b)));
    let every = |weight| prop::option::weighted(weight, 1u32..60);
    (
        (prop_oneof![0.02..1.0f64, 1.0..30.0f64], 0u64..300),
        (prop::option::weighted(0.5, any::<u64>()), prop::option::weighted(0.3, 0.1..5.0f64)),
        (span(), span()),
        (every(0.15), every(0.15), every(0.15), every(0.1)),
    )
        .prop_map(|((rate, latency), (holds, grows), (silent, away), (lies, breaks, lacks, busy))| {
            Nature {
                rate: rate * MB,
                latency: Duration::from_millis(latency),
                holds,
                grows,
                silent,
                away,
                lies,
                breaks,
                lacks,
                busy,
            }
        })
}

fn sizes() -> impl Strategy<Value = Vec<u64>> {
    let chunk = CHUNK_SIZE as u64;
    let size =
        prop_oneof![3 => 0u64..5000, 2 => 0u64..=chunk, 2 => chunk..8 * chunk, 1 => 8 * chunk..80 * chunk];
    prop::collection::vec(size, 1..60)
}

fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::with_cases(256)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn with_one_honest_source_it_always_ends_well(
        sizes in sizes(),
        mut natures in prop::collection::vec(nature(), 0..6),
        honest in 0.5..20.0f64,
        restarts in prop::collection::vec(0.2..20.0f64, 0..3),
    ) {
        natures.push(Nature::honest(honest * MB));
        let mut world = World::new(&sizes, natures);
        let mut before = 0;
        for at in restarts {
            world.run(at);
            if world.ending.is_some() {
                break;
            }
            world.audit();
            prop_assert!(world.disk.len() >= before, "what is verified stays");
            before = world.disk.len();
            world.restart();
        }
        world.run(f64::INFINITY);
        prop_assert_eq!(world.ending.as_ref(), Some(&Output::Done));
        world.audit();
        prop_assert_eq!(world.disk.len(), world.chunks());
        // Nobody is asked for the same again and again.
        let most = 4 * world.chunks() + 200 * world.sources.len();
        prop_assert!(world.asks <= most, "{} requests for {} chunks", world.asks, world.chunks());
        let most = world.total() / 20 + (4 * world.sources.len() * STREAMS_PER_SOURCE * CHUNK_SIZE) as u64;
        prop_assert!(world.again <= most, "{} of {} bytes came again", world.again, world.total());
    }

    #[test]
    fn without_one_the_reason_is_told(
        sizes in sizes(),
        natures in prop::collection::vec(nature(), 1..5),
    ) {
        let mut world = World::new(&sizes, natures);
        world.run(f64::INFINITY);
        world.audit();
        let all = world.disk.len() == world.chunks();
        prop_assert_eq!(world.ending == Some(Output::Done), all, "{:?}", world.ending);
    }
}

#[test]
fn three_sources_of_one_rate_are_three_times_as_fast() {
    let mut world = World::new(&[300 << 20; 3], vec![Nature::honest(10.0 * MB); 3]);
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Done));
    let ideal = world.total() as f64 / (30.0 * MB);
    println!("{:.1} s, ideal {ideal:.1} s, again {}", world.time(), world.again);
    assert!(world.time() < ideal / 0.95, "{} s instead of {ideal}", world.time());
    assert!(world.again * 100 < world.total(), "{} bytes came again", world.again);
}

#[test]
fn sources_of_any_rates_add_up() {
    for rates in [&[20.0, 5.0, 1.0][..], &[8.0, 0.3], &[2.0, 2.0, 2.0, 30.0], &[0.1, 0.1, 10.0]] {
        let natures = rates.iter().map(|rate| Nature::honest(rate * MB)).collect();
        let mut world = World::new(&[100 << 20], natures);
        world.run(f64::INFINITY);
        assert_eq!(world.ending, Some(Output::Done));
        let ideal = world.total() as f64 / (rates.iter().sum::<f64>() * MB);
        println!("{rates:?}: {:.1} s, ideal {ideal:.1} s, again {}", world.time(), world.again);
        assert!(world.time() < ideal / 0.85 + 1.0, "{rates:?}: {} s instead of {ideal}", world.time());
        assert!(world.again * 20 < world.total(), "{rates:?}: {} bytes came again", world.again);
    }
}

#[test]
fn one_of_three_dies_and_little_comes_twice() {
    let mut natures = vec![Nature::honest(10.0 * MB); 3];
    natures[0].away = Some((2.0, f64::INFINITY));
    let mut world = World::new(&[100 << 20], natures.clone());
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Done));
    assert!(world.again * 20 <= world.total(), "{} bytes came again", world.again);
    let asked: f64 = 20.0 + (world.total() as f64 / MB - 60.0) / 2.0;
    assert!(world.time() < 2.0 + asked, "it went on with the others: {}", world.time());
    // The same, but it only falls silent: nobody says that it is gone.
    (natures[0].away, natures[0].silent) = (None, Some((2.0, f64::INFINITY)));
    let mut world = World::new(&[100 << 20], natures);
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Done));
    assert!(world.again * 20 <= world.total(), "{} bytes came again", world.again);
    let ideal = 2.0 + (world.total() as f64 - 60.0 * MB) / (20.0 * MB);
    println!("{:.1} s, ideal {ideal:.1} s, again {}", world.time(), world.again);
    assert!(world.time() < ideal + 3.0, "a silent source holds it up: {} s, not {ideal}", world.time());
}

#[test]
fn the_owner_leaves_and_two_halves_make_a_whole() {
    let mut natures = vec![Nature::honest(5.0 * MB); 3];
    natures[0].away = Some((1.0, f64::INFINITY));
    natures[1].holds = Some(0x5555_5555_5555_5555);
    natures[2].holds = Some(0xaaaa_aaaa_aaaa_aaaa);
    let mut world = World::new(&[1 << 20; 60], natures);
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Done));
    assert!(world.sources.iter().all(|source| source.brought > 0));
}

#[test]
fn nobody_has_the_rest() {
    let mut natures = vec![Nature::honest(5.0 * MB); 2];
    natures[0].away = Some((1.0, f64::INFINITY));
    natures[1].holds = Some(0x5555_5555_5555_5555);
    let mut world = World::new(&[1 << 20; 60], natures);
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Starved(Failure::Unreachable)));
    world.audit();
    assert!(world.disk.len() >= 30 * 4, "all that could be had was had: {}", world.disk.len());
}
