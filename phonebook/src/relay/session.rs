//! Two legs, and where each one is bound.

use super::{
    bucket::Bucket,
    words::{Granted, Place},
};
use fyteclub_proto::reaching::wire::relay::{Cookie, Leg, Token};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// A session ends when one of its legs was silent for so long: a daemon keeps a bound leg every 24 s.
pub const IDLE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Session {
    pub(super) legs: [LegState; 2],
}

/// One peer's end.
#[derive(Debug)]
pub(super) struct LegState {
    pub(super) id: Leg,
    pub(super) token: Token,
    /// Among the holders of keys.
    pub(super) key: usize,
    /// Over UDP, and over a WebSocket.
    ways: [Option<Way>; 2],
    /// Of those, where the peer's last payload came from, or else its last proof.
    current: usize,
    /// Proofs so far.
    pub(super) proofs: u64,
    since: Instant,
    pub(super) bucket: Bucket,
    /// When it was told of a limit.
    pub(super) told: Option<Instant>,
}

/// A place that has proven the leg.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) place: Place,
    pub(super) local: Option<IpAddr>,
    /// Among the holders of networks.
    pub(super) network: usize,
    /// The one it was proven by: the same proof again changes nothing.
    pub(super) cookie: Cookie,
    pub(super) heard: Instant,
}

fn transport(place: Place) -> usize {
    match place {
        Place::Udp(_) => 0,
        Place::Socket(_) => 1,
    }
}

impl LegState {
    pub(super) fn new(granted: &Granted, key: usize, now: Instant) -> Self {
        Self {
            id: granted.leg,
            token: granted.token.clone(),
            key,
            ways: [None; 2],
            current: 0,
            proofs: 0,
            since: now,
            bucket: Bucket::default(),
            told: None,
        }
    }

    /// The way of a place that has proven the leg. `None`: it has not, or was silent for too long since.
    pub(super) fn way(&mut self, place: Place, now: Instant) -> Option<&mut Way> {
        let way = self.ways[transport(place)].as_mut();
        way.filter(|way| way.place == place && now < way.heard + IDLE)
    }

    /// Sends what comes for the leg to this place from now on.
    pub(super) fn choose(&mut self, place: Place) {
        self.current = transport(place);
    }

    /// The way that one of this place would replace.
    pub(super) fn replaced_by(&self, place: Place) -> Option<&Way> {
        self.ways[transport(place)].as_ref()
    }

    pub(super) fn bind(&mut self, way: Way) {
        self.proofs += 1;
        self.choose(way.place);
        self.ways[transport(way.place)] = Some(way);
    }

    /// Forgets a WebSocket that closed.
    pub(super) fn unbind(&mut self, place: Place) -> Option<Way> {
        let kind = transport(place);
        let way = self.ways[kind].take_if(|way| way.place == place)?;
        if self.current == kind {
            self.current = 1 - kind;
        }
        Some(way)
    }

    /// Where to send what comes for the leg.
    pub(super) fn target(&self, now: Instant) -> Option<&Way> {
        let living = |way: &&Way| now < way.heard + IDLE;
        let [current, other] = [self.current, 1 - self.current].map(|kind| self.ways[kind].as_ref());
        current.filter(living).or(other.filter(living))
    }

    pub(super) fn ways(&self) -> impl Iterator<Item = &Way> {
        self.ways.iter().flatten()
    }

    pub(super) fn end(&self) -> Instant {
        self.ways().map(|way| way.heard).max().unwrap_or(self.since) + IDLE
    }
}

impl Session {
    /// When it ends, if nothing comes.
    pub(super) fn end(&self) -> Instant {
        let [one, other] = &self.legs;
        one.end().min(other.end())
    }
}
