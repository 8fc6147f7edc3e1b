//! One machine alone, whose peer is the test: what it sends where, and what it believes.

mod aim;
mod relays;
mod renewal;
mod trust;

use super::*;
use crate::{
    bytes::Bytes,
    id::PeerId,
    reaching::{
        families::Families,
        wire::{
            probe::{Opener, Probe, Sealer},
            relay::{Body, Frame, Leg, Token},
        },
    },
};

const ATTEMPT: Bytes<16> = Bytes([5; 16]);
const OWN: Secret = Bytes([6; 32]);
const THEIRS: Secret = Bytes([7; 32]);
const PEER: &str = "203.0.113.9:7000";
const RELAY: &str = "192.0.2.1:3000";

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn direct(text: &str) -> Path {
    Path::Direct(addr(text))
}

fn key(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

fn introduction(part: Part) -> Introduction {
    Introduction {
        attempt: ATTEMPT,
        part,
        here: key(1),
        there: key(2),
        secret: OWN,
        families: Families::of(addr("0.0.0.0:7")),
        relay_only: false,
        punching: true,
    }
}

/// An offer of the peer, whose NAT is of this kind.
fn offer(round: u32, nat: Nat, all: &[(Origin, &str)]) -> Offer {
    let candidates = all.iter().map(|(origin, at)| Candidate { origin: *origin, addr: addr(at) }).collect();
    Offer { secret: Some(THEIRS), nat, round, leaves: 0, candidates: Candidates(candidates) }
}

fn grant() -> Grant {
    Grant { leg: Leg(9), token: Token::new([4; 32]), udp: Some(addr(RELAY)), tcp: true }
}

struct Bench {
    start: Instant,
    now: Instant,
    traversal: Traversal,
    /// The peer's end.
    sealer: Sealer,
    opener: Opener,
    number: u32,
    /// Milliseconds, path, TTL and what the probe says.
    sent: Vec<(u64, Path, Option<u8>, Probe)>,
    frames: Vec<(u64, Vec<u8>)>,
    other: Vec<Output>,
    /// Wishes for a fresh outside address that were answered.
    found: usize,
}

impl Bench {
    fn new(part: Part) -> Self {
        Self::of(introduction(part))
    }

    fn of(introduction: Introduction) -> Self {
        let start = start();
        let (here, there) = ((introduction.here, OWN), (introduction.there, THEIRS));
        let agreement = match introduction.part {
            Part::Caller => Agreement { attempt: ATTEMPT, caller: here, callee: there },
            Part::Callee => Agreement { attempt: ATTEMPT, caller: there, callee: here },
        };
        let other = if introduction.part == Part::Caller { Part::Callee } else { Part::Caller };
        let (sealer, opener) = agreement.keys(other);
        let host = Candidate { origin: Origin::Host, addr: addr("192.168.1.5:7") };
        let traversal = Traversal::new(start, introduction, Candidates(vec![host]), Nat::Same);
        let (sent, frames, other) = (Vec::new(), Vec::new(), Vec::new());
        let mut bench =
            Self { start, now: start, traversal, sealer, opener, number: 0, sent, frames, other, found: 1 };
        bench.drain();
        bench
    }

    /// A callee that has everything that it needs to punch.
    fn punching(nat: Nat, candidates: &[(Origin, &str)]) -> Self {
        let mut bench = Self::new(Part::Callee);
        bench.give(Input::Outside { addr: Some(addr("198.51.100.7:7")), nat: Nat::Same });
        bench.give(Input::Offered(offer(0, nat, candidates)));
        bench
    }

    fn ms(&self) -> u64 {
        crate::number::millis(self.now.duration_since(self.start))
    }

    fn give(&mut self, input: Input) {
        self.traversal.handle(self.now, 0.5, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.traversal.poll() {
            match output {
                Output::Send { path, ttl, datagram } => {
                    let probe = self.opener.open(&datagram).expect("authentic").probe();
                    self.sent.push((self.ms(), path, ttl, probe));
                }
                Output::SendFrame { relay, frame } => {
                    assert_eq!(relay, addr(RELAY));
                    self.frames.push((self.ms(), frame));
                }
                other => self.other.push(other),
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some((at, _)) = self.traversal.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.give(Input::Time);
        }
        self.now = end;
    }

    /// The peer's probe comes over a path.
    fn probe(&mut self, path: Path, echo: Option<u32>, asks: bool) {
        self.number += 1;
        let probe = Probe { number: self.number, echo, asks, to_mapped: false };
        self.give_probe(path, probe);
    }

    fn give_probe(&mut self, path: Path, probe: Probe) {
        // What the peer seals, this machine's opener opens.
        let opener = self.other.iter().find_map(|output| match output {
            Output::Listen(opener) => Some(opener.0.clone()),
            _ => None,
        });
        let probe = opener.expect("keys").open(&self.sealer.seal(probe)).expect("authentic");
        self.give(Input::Probed { path, probe });
    }

    /// Probes to a path so far.
    fn sent_to(&self, path: Path) -> Vec<&(u64, Path, Option<u8>, Probe)> {
        self.sent.iter().filter(|(_, to, ..)| *to == path).collect()
    }

    /// Answers the last probe to a path, from this source.
    fn answer(&mut self, path: Path, from: Path) {
        let number = self.sent_to(path).last().expect("a probe").3.number;
        self.probe(from, Some(number), false);
    }

    fn chosen(&self) -> Option<Path> {
        self.traversal.chosen().map(|chosen| chosen.path)
    }

    fn told(&self) -> Vec<&Offer> {
        let offers = self.other.iter().filter_map(|output| match output {
            Output::Tell(offer) => Some(offer),
            _ => None,
        });
        offers.collect()
    }
}
