//! The relay: forwards datagrams between the two legs of a session, which the phone book opens for an introduction.
//!
//! [`Relay`] is a state machine under virtual time; `datagrams` and `outlets` carry its frames. The frames are those of
//! `fyteclub_proto::reaching::wire::relay`, the same over UDP and over a WebSocket.
//!
//! - A frame from a place that has not proven its leg is never forwarded, moves nothing, and gets no longer frame back.
//! - A proof is for one place and works once. A leg may have proven one UDP address and one WebSocket; what comes for it
//!   goes to the one where its last payload came from.
//! - A payload beyond a limit is dropped, and its sender is told which limit. Nothing is queued here.

mod bucket;
mod cookies;
mod holders;
mod session;
#[cfg(test)]
mod tests;
mod words;

pub use session::IDLE;
pub use words::{Counts, Granted, Place, Refused, Settings, Source, Verdict};

use bucket::{Bucket, Rate};
use cookies::Cookies;
use fyteclub_proto::{
    id::PeerId,
    ledger::Network,
    number,
    reaching::wire::relay::{Body, Cookie, Frame, HEADER, Leg, Limit, Mac, Terms, Token, header},
};
use holders::Holders;
use session::{LegState, Session, Way};
use slab::Slab;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::{Duration, Instant},
};

/// Length of a challenge; a shorter frame of an unproven place gets none.
const CHALLENGE: usize = HEADER + 16;
/// Between two frames that tell a leg of a limit.
const TOLD_PAUSE: Duration = Duration::from_millis(200);
/// What a peer beyond its number of sessions or legs should wait: one of them may end by then.
const RETRY_AFTER: Duration = IDLE;
/// Legs of one WebSocket.
const LEGS_MAX: usize = 8;

/// Random bytes for one leg: its number and its token.
pub type Seed = [u8; 40];

#[derive(Debug)]
pub struct Relay {
    settings: Settings,
    cookies: Cookies,
    sessions: Slab<Session>,
    legs: HashMap<Leg, Spot>,
    /// Legs that each WebSocket has proven.
    sockets: HashMap<u64, Vec<Leg>>,
    keys: Holders<PeerId>,
    networks: Holders<Network>,
    whole: Bucket,
    rates: Rates,
    /// When to look at a session. An obsolete entry does nothing.
    deadlines: BinaryHeap<Reverse<(Instant, Leg)>>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy)]
struct Rates {
    session: Rate,
    holder: Rate,
    whole: Rate,
}

/// A leg's place among the sessions.
#[derive(Debug, Clone, Copy)]
struct Spot {
    session: usize,
    side: usize,
}

impl Relay {
    /// `secret` is random.
    pub fn new(settings: Settings, secret: [u8; 32], now: Instant) -> Self {
        Self {
            settings,
            cookies: Cookies::new(secret, now),
            sessions: Slab::new(),
            legs: HashMap::new(),
            sockets: HashMap::new(),
            keys: Holders::new(),
            networks: Holders::new(),
            whole: Bucket::default(),
            rates: Rates {
                session: Rate::new(settings.rate),
                holder: Rate::new(settings.holder_rate),
                whole: Rate::new(settings.whole_rate),
            },
            deadlines: BinaryHeap::new(),
            counts: Counts::default(),
        }
    }

    /// Opens a session of two keys. `seeds` are random, one for each.
    ///
    /// # Errors
    /// The relay, or one of the keys, has its number of sessions.
    pub fn open(
        &mut self,
        now: Instant,
        keys: [PeerId; 2],
        seeds: [Seed; 2],
    ) -> Result<[Granted; 2], Refused> {
        self.pass(now);
        let granted = seeds.map(granted);
        let is_new = granted.iter().all(|granted| !self.legs.contains_key(&granted.leg));
        if self.sessions.len() >= self.settings.sessions || !is_new || granted[0].leg == granted[1].leg {
            return Err(Refused { limit: Limit::Full, retry_after: RETRY_AFTER });
        }
        let most = self.settings.holder_sessions;
        let refused = Refused { limit: Limit::Holder, retry_after: RETRY_AFTER };
        let first = self.keys.enter(keys[0], most).ok_or(refused)?;
        let Some(second) = self.keys.enter(keys[1], most) else {
            self.keys.leave(first);
            return Err(refused);
        };
        let [one, other] = &granted;
        let legs = [LegState::new(one, first, now), LegState::new(other, second, now)];
        let session = self.sessions.insert(Session { legs });
        for (side, granted) in granted.iter().enumerate() {
            self.legs.insert(granted.leg, Spot { session, side });
        }
        self.deadlines.push(Reverse((now + IDLE, granted[0].leg)));
        Ok(granted)
    }

    /// Judges a frame. A forwarded one is changed in place: it then names the other leg.
    pub fn receive(&mut self, now: Instant, from: Source, frame: &mut [u8]) -> Verdict {
        let length = frame.len();
        let Ok(Frame { leg, body }) = Frame::decode(frame) else {
            self.counts.junk += 1;
            return Verdict::Drop;
        };
        let asked = match body {
            Body::Data(_) => Asked::Data,
            Body::Bind => Asked::Bind,
            Body::Proof { cookie, mac } => Asked::Proof(cookie, mac),
            Body::Challenge(_) | Body::Bound(_) | Body::Limited { .. } | Body::Closed => {
                self.counts.junk += 1;
                return Verdict::Drop;
            }
        };
        let Some(&spot) = self.legs.get(&leg) else {
            self.counts.unknown += 1;
            return Verdict::Reply { leg, body: Body::Closed, proven: false };
        };
        match asked {
            Asked::Data => self.data(now, from, spot, frame),
            Asked::Bind => self.bind(now, from, spot, length),
            Asked::Proof(cookie, mac) => self.proof(now, from, spot, (cookie, mac)),
        }
    }

    /// A WebSocket closed: no frame goes to it any more.
    pub fn left(&mut self, socket: u64) {
        for leg in self.sockets.remove(&socket).unwrap_or_default() {
            if let Some(&Spot { session, side }) = self.legs.get(&leg)
                && let Some(way) = self.sessions[session].legs[side].unbind(Place::Socket(socket))
            {
                self.networks.leave(way.network);
            }
        }
    }

    /// Whether the WebSocket has proven a leg of a session that has not ended.
    pub fn knows(&self, socket: u64) -> bool {
        self.sockets.contains_key(&socket)
    }

    /// Ends silent sessions.
    pub fn pass(&mut self, now: Instant) {
        while let Some(Reverse((_, leg))) = self.deadlines.peek().filter(|Reverse((due, _))| *due <= now) {
            let leg = *leg;
            self.deadlines.pop();
            let Some(Spot { session, .. }) = self.legs.get(&leg).copied() else { continue };
            let end = self.sessions[session].end();
            if end <= now {
                self.close(session);
            } else {
                self.deadlines.push(Reverse((end, leg)));
            }
        }
        self.keys.sweep(now);
        self.networks.sweep(now);
    }

    /// When [`Relay::pass`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.peek().map(|Reverse((due, _))| *due)
    }

    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Nothing is kept of what has ended.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.legs.is_empty()
            && self.sockets.is_empty()
            && self.keys.is_empty()
            && self.networks.is_empty()
    }

    fn close(&mut self, session: usize) {
        for leg in self.sessions.remove(session).legs {
            self.legs.remove(&leg.id);
            self.keys.leave(leg.key);
            for way in leg.ways() {
                self.networks.leave(way.network);
                self.forget(way.place, leg.id);
            }
        }
    }

    /// Removes a leg from those that a WebSocket has proven.
    fn forget(&mut self, place: Place, leg: Leg) {
        if let Place::Socket(socket) = place
            && let Some(legs) = self.sockets.get_mut(&socket)
        {
            legs.retain(|known| *known != leg);
            if legs.is_empty() {
                self.sockets.remove(&socket);
            }
        }
    }

    fn data(&mut self, now: Instant, from: Source, spot: Spot, frame: &mut [u8]) -> Verdict {
        let bytes = number::u64_of(frame.len());
        let (own, other) = self.sessions[spot.session].sides(spot.side);
        let Some(way) = own.way(from.place, now) else {
            return self.challenge(now, from, spot, frame.len());
        };
        way.heard = now;
        let network = way.network;
        own.choose(from.place);
        let Some(&Way { place: to, local, .. }) = other.target(now) else {
            self.counts.alone += 1;
            return Verdict::Drop;
        };
        let Rates { session, holder, whole } = self.rates;
        let admitted = [
            (session.admits(own.bucket, now, bytes), Limit::Session),
            (self.keys.admits(own.key, holder, now, bytes), Limit::Holder),
            (self.networks.admits(network, holder, now, bytes), Limit::Holder),
            (whole.admits(self.whole, now, bytes), Limit::Full),
        ];
        if let Some((wait, limit)) =
            admitted.into_iter().find_map(|(admitted, limit)| admitted.err().map(|wait| (wait, limit)))
        {
            self.counts.limited += 1;
            if own.told.is_some_and(|told| now < told + TOLD_PAUSE) {
                return Verdict::Drop;
            }
            own.told = Some(now);
            let retry_after = wait.max(Duration::from_millis(1));
            return Verdict::Reply { leg: own.id, body: Body::Limited { limit, retry_after }, proven: true };
        }
        session.charge(&mut own.bucket, now, bytes);
        self.keys.charge(own.key, holder, now, bytes);
        self.networks.charge(network, holder, now, bytes);
        whole.charge(&mut self.whole, now, bytes);
        frame[..HEADER].copy_from_slice(&header(other.id));
        self.counts.forwarded += 1;
        self.counts.bytes += bytes;
        Verdict::Forward { to, local }
    }

    fn bind(&mut self, now: Instant, from: Source, spot: Spot, length: usize) -> Verdict {
        let leg = &mut self.sessions[spot.session].legs[spot.side];
        match leg.way(from.place, now) {
            Some(way) => {
                way.heard = now;
                let leg = leg.id;
                self.bound(leg)
            }
            None => self.challenge(now, from, spot, length),
        }
    }

    fn bound(&mut self, leg: Leg) -> Verdict {
        self.counts.replied += 1;
        let rate =
            self.settings.rate.map_or(u32::MAX, |rate| number::low_half((rate >> 10).min(u32::MAX.into())));
        Verdict::Reply { leg, body: Body::Bound(Terms { rate, idle: IDLE }), proven: true }
    }

    fn challenge(&mut self, now: Instant, from: Source, spot: Spot, length: usize) -> Verdict {
        if length < CHALLENGE {
            self.counts.junk += 1;
            return Verdict::Drop;
        }
        self.counts.replied += 1;
        let leg = &self.sessions[spot.session].legs[spot.side];
        let cookie = self.cookies.make(now, from.place, leg.id, leg.proofs);
        Verdict::Reply { leg: leg.id, body: Body::Challenge(cookie), proven: false }
    }

    fn proof(&mut self, now: Instant, from: Source, spot: Spot, (cookie, mac): (Cookie, Mac)) -> Verdict {
        let leg = &mut self.sessions[spot.session].legs[spot.side];
        let id = leg.id;
        if let Some(way) = leg.way(from.place, now).filter(|way| way.cookie == cookie) {
            way.heard = now;
            return self.bound(id);
        }
        if !self.cookies.is_valid(now, from.place, id, leg.proofs, &cookie) {
            return self.challenge(now, from, spot, usize::MAX);
        }
        if !leg.token.verifies(id, &cookie, &mac) {
            self.counts.forged += 1;
            return Verdict::Drop;
        }
        let is_full = match from.place {
            Place::Socket(socket) => self.sockets.get(&socket).is_some_and(|legs| legs.len() >= LEGS_MAX),
            Place::Udp(_) => false,
        };
        if is_full {
            return self.full(id);
        }
        // Within its network it takes no second place.
        let old = leg.replaced_by(from.place).copied();
        let same = old.map(|old| old.network).filter(|network| self.networks.is(*network, from.network));
        let entered = same.or_else(|| self.networks.enter(from.network, self.settings.holder_sessions));
        let Some(network) = entered else { return self.full(id) };
        leg.bind(Way { place: from.place, local: from.local, network, cookie, heard: now });
        if let Some(old) = old {
            if same.is_none() {
                self.networks.leave(old.network);
            }
            self.forget(old.place, id);
        }
        if let Place::Socket(socket) = from.place {
            self.sockets.entry(socket).or_default().push(id);
        }
        self.bound(id)
    }

    fn full(&mut self, leg: Leg) -> Verdict {
        self.counts.limited += 1;
        let body = Body::Limited { limit: Limit::Holder, retry_after: RETRY_AFTER };
        Verdict::Reply { leg, body, proven: false }
    }
}

/// A frame that daemons send.
enum Asked {
    Data,
    Bind,
    Proof(Cookie, Mac),
}

fn granted(seed: Seed) -> Granted {
    let (leg, token) = seed.split_first_chunk::<8>().expect("a seed has forty bytes");
    let token = <[u8; 32]>::try_from(token).expect("a seed has forty bytes");
    Granted { leg: Leg(u64::from_be_bytes(*leg)), token: Token::new(token) }
}

impl Session {
    /// A side, and the other one.
    fn sides(&mut self, side: usize) -> (&mut LegState, &LegState) {
        let [one, other] = &mut self.legs;
        if side == 0 { (one, other) } else { (other, one) }
    }
}
