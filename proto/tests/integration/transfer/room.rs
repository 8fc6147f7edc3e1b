//! One owner, and receivers that fetch one look at once and lend whole blobs to each other, under virtual time. Every
//! uplink has one rate, shared by connections and then by streams; downlinks are unlimited.
//!
//! Few bytes that arrive are dropped, including those of stopped streams: as long as the machine is told of each chunk
//! when it is stored, and not when the next ones have come.

use super::{outputs, start};
use fyteclub_proto::{
    chunk_tree::{chunk_count, chunk_len},
    fetching::transfer::{End, Holds, Input, Output, RequestId, TOLD_WITHIN, Transfer, Wanted},
    id::{BlobHash, PeerId},
    limit::CHUNK_SIZE,
    number::{f64_of, u64_of, whole},
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
    PeerId::from_bytes([u8::try_from(n + 1).expect("few peers"); 32])
}

/// When a receiver's machine learns what came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// [`TOLD_WITHIN`] after it came, also of a stopped stream.
    Soon,
    /// When the next job of a chunk's bytes has come, or the end; of a stopped stream never.
    WithTheNext,
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
    /// What came and is not told: when it is, how many bytes it has, and what it is.
    untold: VecDeque<(f64, f64, Input)>,
}

struct Receiver {
    transfer: Transfer,
    disk: BTreeSet<(BlobHash, u32)>,
    whole: BTreeSet<BlobHash>,
    arrived: f64,
    done: Option<f64>,
}

impl Stream {
    /// What the machine learns now.
    fn tell(&mut self, now: f64, telling: Telling) -> Vec<Input> {
        let mut facts = Vec::new();
        while let Some((at, ..)) = self.untold.front() {
            let later: f64 = self.untold.iter().map(|(_, bytes, _)| bytes).sum();
            let told = match telling {
                Telling::Soon => *at <= now,
                // One job is told when there are two, or at the end.
                Telling::WithTheNext => self.due.is_empty() || later >= 2.0 * f64_of(u64_of(CHUNK_SIZE)),
            };
            if !told {
                break;
            }
            facts.extend(self.untold.pop_front().map(|(.., fact)| fact));
        }
        if self.dropped {
            return facts;
        }
        if !facts.is_empty() {
            self.told = now;
        } else if now >= self.told + 0.25 {
            self.told = now;
            facts.push(Input::Received { request: self.request });
        }
        if self.due.is_empty() && self.untold.is_empty() {
            self.dropped = true;
            facts.push(Input::Ended { request: self.request, end: End::Complete });
        }
        facts
    }
}

struct Room {
    now: f64,
    start: Instant,
    sizes: BTreeMap<BlobHash, u64>,
    rate: f64,
    telling: Telling,
    receivers: Vec<Receiver>,
    streams: Vec<Stream>,
}

impl Room {
    fn new(receivers: usize, sizes: &[u64], rate: f64, telling: Telling) -> Self {
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
            telling,
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
                        if self.telling == Telling::WithTheNext {
                            stream.untold.clear();
                        }
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
                let len = f64_of(u64_of(chunk_len(size, chunk).expect("a chunk")));
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
            untold: VecDeque::new(),
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
            let second = whole(self.now);
            let weight = |to: usize| 0.3 + chance(second / 2, u64_of(from), u64_of(to));
            let weights: f64 = open.keys().map(|to| weight(*to)).sum();
            for (to, streams) in &open {
                let each = self.rate * TICK * weight(*to) / weights;
                for at in streams {
                    let stream = &mut self.streams[*at];
                    let mut left = each / f64_of(u64_of(streams.len()));
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
                    let (len, fact) = match *chunk {
                        None => (0, Input::Tree { request, hash }),
                        Some(chunk) => {
                            let len = chunk_len(self.sizes[&hash], chunk).expect("a chunk");
                            (len, Input::Verified { request, hash, chunks: chunk..chunk + 1 })
                        }
                    };
                    stream.due.pop_front();
                    let at = self.now + TOLD_WITHIN.as_secs_f64();
                    stream.untold.push_back((at, f64_of(u64_of(len)), fact));
                }
            }
            facts.extend(stream.tell(self.now, self.telling).into_iter().map(|fact| (stream.to, fact)));
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
        let now = self.now;
        self.streams.retain(|stream| {
            let sent = now >= stream.stops || stream.unsent.is_empty();
            !(stream.flying.is_empty() && sent && stream.untold.is_empty())
        });
    }

    fn run(&mut self) {
        let all = self.receivers.len();
        let mut asked = 0.0;
        while self.receivers.iter().any(|receiver| receiver.done.is_none()) {
            assert!(self.now < 3600.0, "it does not end");
            let before = self.now;
            self.now += TICK;
            for to in 1..=all {
                if (before..self.now).contains(&(chance(0, 0, u64_of(to)) * LATEST)) {
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
        let look = f64_of(self.sizes.values().sum());
        let arrived: f64 = self.receivers.iter().map(|receiver| receiver.arrived).sum();
        let slowest = self.receivers.iter().filter_map(|receiver| receiver.done).fold(0.0, f64::max);
        (arrived / look / f64_of(u64_of(self.receivers.len())), slowest / (look / self.rate))
    }
}

const MBIT: f64 = 125_000.0;

/// The worst of several rooms of fifteen: received bytes as a multiple of the look.
fn worst(telling: Telling) -> f64 {
    let mut worst: f64 = 0.0;
    for (name, sizes, rate) in [
        ("64 files of 128 KiB, 16 Mbit", vec![128 << 10; 64], 16.0),
        ("one file of 8 MiB, 16 Mbit", vec![8 << 20], 16.0),
        ("16 files of 1 MiB, 40 Mbit", vec![1 << 20; 16], 40.0),
        ("mixed, 16 Mbit", (1..40).map(|n| n * 23_000).collect(), 16.0),
    ] {
        let mut room = Room::new(15, &sizes, rate * MBIT, telling);
        room.run();
        let (arrived, time) = room.costs();
        println!("{name}: {arrived:.3} times the look arrived, in {time:.1} times its time");
        worst = worst.max(arrived);
    }
    worst
}

#[test]
fn room_of_fifteen_throws_little_away() {
    let worst = worst(Telling::Soon);
    assert!(worst <= 1.02, "{worst:.3} times the look arrived");
}

/// Why [`TOLD_WITHIN`] is what a pump keeps.
#[test]
fn room_that_is_told_late_throws_more_away() {
    let (soon, late) = (worst(Telling::Soon), worst(Telling::WithTheNext));
    assert!(late > soon + 0.03, "{late:.3} times the look arrived, told soon {soon:.3}");
}
