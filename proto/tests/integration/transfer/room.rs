//! One owner, and receivers that fetch one look at once and lend whole blobs to each other, under virtual time. Every
//! uplink has one rate, shared by connections and then by streams; downlinks are unlimited.
//!
//! Few bytes that arrive are dropped, including those of stopped streams.

use super::{outputs, start};
use fyteclub_proto::{
    chunk_tree::{chunk_count, chunk_len},
    fetching::transfer::{End, Holds, Input, Output, RequestId, Transfer, Wanted},
    id::{BlobHash, PeerId},
    peer::Piece,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

const TICK: f64 = 0.01;
/// From the sender's line to the receiver, with the queue of a shaped line.
const THERE: f64 = 0.1;
/// From the receiver to the sender.
const BACK: f64 = 0.02;
/// How often a growing lender is asked what it has.
const ASK_HOLDING: f64 = 2.0;
const OWNER: usize = 0;
/// The last receiver comes this long after the first.
const LATEST: f64 = 1.0;

/// A number in 0..1, determined by the arguments.
fn chance(a: u64, b: u64, c: u64) -> f64 {
    let hash = BlobHash::of(&[a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes()].concat());
    f64::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])) / 65536.0
}

fn id(n: usize) -> PeerId {
    PeerId::from_bytes([n as u8 + 1; 32])
}

struct Stream {
    from: usize,
    to: usize,
    request: RequestId,
    /// Unsent bytes by chunk.
    unsent: VecDeque<f64>,
    /// What the receiver awaits.
    due: VecDeque<(BlobHash, Option<u32>, f64)>,
    begins: f64,
    /// When the sender learns that the request was dropped.
    stops: f64,
    /// On the line: arrival, bytes.
    flying: VecDeque<(f64, f64)>,
    told: f64,
    dropped: bool,
}

struct Receiver {
    transfer: Transfer,
    disk: BTreeSet<(BlobHash, u32)>,
    whole: BTreeSet<BlobHash>,
    arrived: f64,
    done: Option<f64>,
}

struct Room {
    now: f64,
    start: Instant,
    sizes: BTreeMap<BlobHash, u64>,
    rate: f64,
    receivers: Vec<Receiver>,
    streams: Vec<Stream>,
}

impl Room {
    fn new(receivers: usize, sizes: &[u64], rate: f64) -> Self {
        let hash = |n: usize| BlobHash::of(&n.to_le_bytes());
        let wanted = |(n, size): (usize, &u64)| Wanted {
            hash: hash(n),
            size: *size,
            tree: chunk_count(*size) == 1,
            missing: std::iter::once(0..chunk_count(*size)).collect(),
        };
        let receiver = || Receiver {
            transfer: Transfer::new(sizes.iter().enumerate().map(wanted).collect()),
            disk: BTreeSet::new(),
            whole: BTreeSet::new(),
            arrived: 0.0,
            done: None,
        };
        Self {
            now: 0.0,
            start: start(),
            sizes: sizes.iter().enumerate().map(|(n, size)| (hash(n), *size)).collect(),
            rate,
            receivers: (0..receivers).map(|_| receiver()).collect(),
            streams: Vec::new(),
        }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.now)
    }

    fn tell(&mut self, to: usize, input: Input) {
        let now = self.instant();
        self.receivers[to - 1].transfer.handle(now, input);
        self.act(to);
    }

    fn act(&mut self, to: usize) {
        for output in outputs(&mut self.receivers[to - 1].transfer) {
            match output {
                Output::Ask { source, request, pieces } => self.ask(source, to, request, &pieces),
                Output::Drop { request, .. } => {
                    let of = |stream: &&mut Stream| stream.to == to && stream.request == request;
                    if let Some(stream) = self.streams.iter_mut().find(of) {
                        (stream.dropped, stream.stops) = (true, self.now + BACK);
                    }
                }
                Output::Done => self.receivers[to - 1].done = Some(self.now),
                other => panic!("nobody lies or leaves here: {other:?}"),
            }
        }
    }

    fn ask(&mut self, source: PeerId, to: usize, request: RequestId, pieces: &[Piece]) {
        let from = (0..=self.receivers.len()).find(|n| id(*n) == source).expect("somebody here");
        let mut due = VecDeque::new();
        for piece in pieces {
            let size = self.sizes[&piece.hash];
            assert!(from == OWNER || self.receivers[from - 1].whole.contains(&piece.hash));
            if piece.tree {
                due.push_back((piece.hash, None, 32.0 * f64::from(chunk_count(size))));
            }
            for chunk in piece.first..piece.first + piece.count {
                let len = chunk_len(size, chunk).expect("a chunk") as f64;
                due.push_back((piece.hash, Some(chunk), len));
            }
        }
        let unsent = due.iter().map(|(_, _, bytes)| *bytes).collect();
        let (begins, stops) = (self.now + BACK, f64::INFINITY);
        let (flying, told) = (VecDeque::new(), self.now);
        self.streams.push(Stream {
            from,
            to,
            request,
            unsent,
            due,
            begins,
            stops,
            flying,
            told,
            dropped: false,
        });
    }

    /// Each sender's tick, shared by connections, and in each by streams.
    fn send(&mut self) {
        for from in 0..=self.receivers.len() {
            let mut open: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (at, stream) in self.streams.iter().enumerate() {
                let sends = stream.from == from && stream.begins <= self.now && self.now < stream.stops;
                if sends && !stream.unsent.is_empty() {
                    open.entry(stream.to).or_default().push(at);
                }
            }
            // Congestion control shares a line fairly in the long run, not at every moment.
            let second = self.now as u64;
            let weight = |to: usize| 0.3 + chance(second / 2, from as u64, to as u64);
            let weights: f64 = open.keys().map(|to| weight(*to)).sum();
            for (to, streams) in &open {
                let each = self.rate * TICK * weight(*to) / weights;
                for at in streams {
                    let stream = &mut self.streams[*at];
                    let mut left = each / streams.len() as f64;
                    let mut sent = 0.0;
                    while let Some(front) = stream.unsent.front_mut() {
                        let bytes = front.min(left);
                        (*front, left, sent) = (*front - bytes, left - bytes, sent + bytes);
                        if *front > 0.0 {
                            break;
                        }
                        stream.unsent.pop_front();
                    }
                    stream.flying.push_back((self.now + THERE, sent));
                }
            }
        }
    }

    fn arrive(&mut self) {
        let mut facts = Vec::new();
        for stream in &mut self.streams {
            while stream.flying.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, mut bytes) = stream.flying.pop_front().expect("the front");
                self.receivers[stream.to - 1].arrived += bytes;
                while !stream.dropped
                    && let Some((hash, chunk, left)) = stream.due.front_mut()
                {
                    let part = left.min(bytes);
                    (*left, bytes) = (*left - part, bytes - part);
                    if *left > 1e-6 {
                        break;
                    }
                    let (hash, request) = (*hash, stream.request);
                    let fact = match *chunk {
                        None => Input::Tree { request, hash },
                        Some(chunk) => Input::Verified { request, hash, chunks: chunk..chunk + 1 },
                    };
                    stream.due.pop_front();
                    stream.told = self.now;
                    facts.push((stream.to, fact));
                }
                if !stream.dropped && stream.due.is_empty() {
                    stream.dropped = true;
                    facts.push((stream.to, Input::Ended { request: stream.request, end: End::Complete }));
                } else if !stream.dropped && self.now >= stream.told + 0.25 {
                    stream.told = self.now;
                    facts.push((stream.to, Input::Heard { request: stream.request }));
                }
            }
        }
        for (to, fact) in facts {
            if let Input::Verified { hash, chunks, .. } = &fact {
                let receiver = &mut self.receivers[to - 1];
                receiver.disk.extend(chunks.clone().map(|chunk| (*hash, chunk)));
                if (0..chunk_count(self.sizes[hash])).all(|chunk| receiver.disk.contains(&(*hash, chunk))) {
                    receiver.whole.insert(*hash);
                }
            }
            self.tell(to, fact);
        }
        let (now, ended) = (self.now, |stream: &Stream| stream.unsent.is_empty());
        self.streams.retain(|stream| !stream.flying.is_empty() || (now < stream.stops && !ended(stream)));
    }

    fn run(&mut self) {
        let all = self.receivers.len();
        let mut asked = 0.0;
        while self.receivers.iter().any(|receiver| receiver.done.is_none()) {
            assert!(self.now < 3600.0, "it does not end");
            let before = self.now;
            self.now += TICK;
            for to in 1..=all {
                if (before..self.now).contains(&(chance(0, 0, to as u64) * LATEST)) {
                    self.tell(to, Input::Joined(id(OWNER), Holds::All));
                }
            }
            self.send();
            self.arrive();
            if self.now >= asked + ASK_HOLDING {
                asked = self.now;
                for to in 1..=all {
                    for from in (1..=all).filter(|from| *from != to) {
                        let holder = &self.receivers[from - 1];
                        let (blobs, growing) = (holder.whole.clone(), holder.done.is_none());
                        self.tell(to, Input::Joined(id(from), Holds::These { blobs, growing }));
                    }
                }
            }
            for to in 1..=all {
                let due = self.receivers[to - 1].transfer.deadline();
                if due.is_some_and(|(at, _)| at <= self.instant()) {
                    self.tell(to, Input::Time);
                }
            }
        }
    }

    /// The receivers' received bytes, and the slowest one's time: both as multiples of what is needed.
    fn costs(&self) -> (f64, f64) {
        let look = self.sizes.values().sum::<u64>() as f64;
        let arrived: f64 = self.receivers.iter().map(|receiver| receiver.arrived).sum();
        let slowest = self.receivers.iter().filter_map(|receiver| receiver.done).fold(0.0, f64::max);
        (arrived / look / self.receivers.len() as f64, slowest / (look / self.rate))
    }
}

const MBIT: f64 = 125_000.0;

#[test]
fn room_of_fifteen_throws_little_away() {
    let mut worst: f64 = 0.0;
    for (name, sizes, rate) in [
        ("64 files of 128 KiB, 16 Mbit", vec![128 << 10; 64], 16.0),
        ("one file of 8 MiB, 16 Mbit", vec![8 << 20], 16.0),
        ("16 files of 1 MiB, 40 Mbit", vec![1 << 20; 16], 40.0),
        ("mixed, 16 Mbit", (1..40).map(|n| n * 23_000).collect(), 16.0),
    ] {
        let mut room = Room::new(15, &sizes, rate * MBIT);
        room.run();
        let (arrived, time) = room.costs();
        println!("{name}: {arrived:.3} times the look arrived, in {time:.1} times its time");
        worst = worst.max(arrived);
    }
    assert!(worst <= 1.03, "{worst:.3} times the look arrived");
}
