//! The table of pairs: each way out of this machine with each address of the peer, and its history.
//!
//! This machine has one socket, so its ways out are the socket's address families. An address of another family makes
//! no pair.

use super::score::{Score, kind};
use crate::reaching::{candidate::Origin, families::Families};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Addresses kept for each source. One more replaces the one that was told longest ago.
pub const REMOTES_PER_SOURCE_MAX: usize = 16;
/// An address that no source told and no link used for so long is dropped.
pub const REMOTE_LIFE: Duration = Duration::from_secs(600);
/// Dials of one pair for one telling: a source is charged for each telling, not for each dial.
pub const PROBES_PER_TELLING: u32 = 12;

/// Who named an address of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The peer: an address of its machine.
    Host,
    /// A phone book: the peer as it sees it.
    PhoneBook,
    /// The peer: a port that its router forwards.
    Mapped,
    /// A person, on the peer's machine or on this one.
    Manual,
    /// The local network, where the peer is announced.
    Lan,
    /// An open link.
    Link,
    /// NAT traversal: the address stands for whatever path is in use, and is of no family.
    Traversal,
}

impl From<Origin> for Source {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Host => Self::Host,
            Origin::Observed => Self::PhoneBook,
            Origin::Mapped => Self::Mapped,
            Origin::Manual => Self::Manual,
        }
    }
}

/// How the last dial of a pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// IPv4 addresses are never in their IPv6 form.
    pub remote: SocketAddr,
    pub source: Source,
    /// When it was last told, or used by a link.
    pub told: Instant,
    /// Dials so far.
    pub tries: u32,
    /// The last dial's result and time.
    pub last: Option<(Outcome, Instant)>,
    /// Dials left until it is told again.
    pub budget: u32,
    /// Round-trip time, while a link proves the path.
    pub proven: Option<Duration>,
}

impl Pair {
    pub fn score(&self) -> Option<Score> {
        self.proven.map(|rtt| Score { kind: kind(self.remote), rtt })
    }
}

#[derive(Debug)]
pub struct Pairs {
    families: Families,
    all: Vec<Pair>,
    primary: Option<SocketAddr>,
}

impl Pairs {
    pub fn new(families: Families) -> Self {
        Self { families, all: Vec::new(), primary: None }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.all.iter()
    }

    pub fn get(&self, addr: SocketAddr) -> Option<&Pair> {
        let addr = canonical(addr);
        self.all.iter().find(|pair| pair.remote == addr)
    }

    fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut Pair> {
        let addr = canonical(addr);
        self.all.iter_mut().find(|pair| pair.remote == addr)
    }

    /// The path to use: the best of the proven ones, and the current one until another is clearly better.
    pub fn primary(&self) -> Option<SocketAddr> {
        self.primary
    }

    /// Stores an address; returns whether it makes a pair. A known one keeps its history, and its first source.
    pub fn tell(&mut self, now: Instant, addr: SocketAddr, source: Source) -> bool {
        let remote = canonical(addr);
        let known = self.all.iter().any(|pair| pair.remote == remote);
        if !known && source != Source::Traversal && !self.families.has(addr.ip()) {
            return false;
        }
        if let Some(pair) = self.get_mut(remote) {
            (pair.told, pair.budget) = (now, PROBES_PER_TELLING);
            return true;
        }
        let of_source = self.all.iter().filter(|pair| pair.source == source);
        if of_source.clone().count() >= REMOTES_PER_SOURCE_MAX {
            let oldest = of_source.filter(|pair| pair.proven.is_none()).min_by_key(|pair| pair.told);
            let Some(oldest) = oldest.map(|pair| pair.remote) else { return false };
            self.all.retain(|pair| pair.remote != oldest);
        }
        let (last, proven) = (None, None);
        self.all.push(Pair { remote, source, told: now, tries: 0, last, budget: PROBES_PER_TELLING, proven });
        true
    }

    /// Takes one dial from a pair's budget; false if it is used up.
    pub fn spend(&mut self, addr: SocketAddr) -> bool {
        let Some(pair) = self.get_mut(addr).filter(|pair| pair.budget > 0) else { return false };
        (pair.tries, pair.budget) = (pair.tries.saturating_add(1), pair.budget - 1);
        true
    }

    pub fn ended(&mut self, now: Instant, addr: SocketAddr, outcome: Outcome) {
        if let Some(pair) = self.get_mut(addr) {
            pair.last = Some((outcome, now));
        }
    }

    /// A link works over this pair. Returns whether the path to use has changed.
    pub fn prove(&mut self, now: Instant, addr: SocketAddr, rtt: Duration) -> bool {
        // A peer may dial from an address that no source told.
        self.tell(now, addr, Source::Link);
        if let Some(pair) = self.get_mut(addr) {
            pair.proven = Some(rtt);
        }
        self.choose()
    }

    /// No link works over this pair any more. Returns whether the path to use has changed.
    pub fn disprove(&mut self, addr: SocketAddr) -> bool {
        if let Some(pair) = self.get_mut(addr) {
            pair.proven = None;
        }
        self.choose()
    }

    fn choose(&mut self) -> bool {
        let before = self.primary;
        let score = |addr| self.get(addr).and_then(Pair::score);
        let proven = self.all.iter().filter_map(|pair| Some((pair.remote, pair.score()?)));
        let best = proven.min_by_key(|(_, score)| score.key());
        self.primary = match (before.and_then(|addr| Some((addr, score(addr)?))), best) {
            (Some((current, now)), Some((_, other))) if !other.beats(now) => Some(current),
            (_, best) => best.map(|(addr, _)| addr),
        };
        self.primary != before
    }

    /// Drops addresses that no source has told for [`REMOTE_LIFE`].
    pub fn expire(&mut self, now: Instant) {
        self.all.retain(|pair| pair.proven.is_some() || now < pair.told + REMOTE_LIFE);
    }
}

pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
