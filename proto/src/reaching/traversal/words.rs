//! Inputs, outputs and deadlines of the machine.

use crate::reaching::{
    candidate::Candidates,
    nat::Nat,
    wire::{
        offer::Offer,
        probe::{Authentic, Opener, PROBE, Part, Secret},
        relay::{Body, Cookie, Leg, Limit, Terms, Token},
    },
};
use crate::{
    id::PeerId,
    letter::Attempt,
    local::reply::PathKind,
    reaching::{families::Families, relay_use::RelayUse},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Why a peer is relayed that tells nothing.
pub const UNTOLD: &str = "they tell no address to try: they may allow relays only";

/// One way to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// To an address of the peer, or to one from which its probes come.
    Direct(SocketAddr),
    /// By UDP to the relay, over this peer's own leg.
    Relay { relay: SocketAddr, leg: Leg },
    /// By a WebSocket to the relay.
    RelayTcp { leg: Leg },
}

impl Path {
    pub fn is_direct(self) -> bool {
        matches!(self, Self::Direct(_))
    }
}

/// How a path leads to the peer, for people; the better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Loopback,
    Lan,
    /// An address of the peer's machine.
    Direct,
    /// A port that the peer's router forwards.
    Mapped,
    /// Through a mapping that hole punching opened.
    Punched,
    Relay,
    RelayTcp,
}

impl From<Kind> for PathKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Loopback => Self::Loopback,
            Kind::Lan => Self::Lan,
            Kind::Direct => Self::Direct,
            Kind::Mapped => Self::Mapped,
            Kind::Punched => Self::Punched,
            Kind::Relay => Self::Relay,
            Kind::RelayTcp => Self::RelayTcp,
        }
    }
}

/// Which means of reaching peers a person allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    pub punching: bool,
    pub relay: RelayUse,
}

impl Means {
    /// Whether probes are sent at all. If not, peers are dialled at the addresses that they tell.
    pub fn any(self) -> bool {
        self.punching || self.relay != RelayUse::Off
    }

    pub fn relay_only(self) -> bool {
        self.relay == RelayUse::Only
    }

    /// The means toward a contact for whom a person set this. What hides the address counts more than what does not;
    /// else the contact's own setting counts.
    #[must_use]
    pub fn toward(self, contact: Option<RelayUse>) -> Self {
        let relay = match contact {
            Some(own) if !self.relay_only() => own,
            _ => self.relay,
        };
        Self { relay, ..self }
    }
}

/// The introduction that the machine is for.
#[derive(Debug, Clone)]
pub struct Introduction {
    pub attempt: Attempt,
    pub part: Part,
    pub here: PeerId,
    pub there: PeerId,
    /// Random, for this introduction alone.
    pub secret: Secret,
    /// Address families of the socket.
    pub families: Families,
    /// Use relays only, and tell the peer no address.
    pub relay_only: bool,
    /// Punch holes: probe addresses that a NAT gave the peer. Without, other addresses and the peer's own probes remain.
    pub punching: bool,
}

/// One peer's end of a session at a relay, as the phone book granted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub leg: Leg,
    pub token: Token,
    /// Where the relay takes UDP.
    pub udp: Option<SocketAddr>,
    /// Whether it takes a WebSocket.
    pub tcp: bool,
}

/// What a relay sends to a leg beside payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Challenge(Cookie),
    Bound(Terms),
    Limited { limit: Limit, retry_after: Duration },
    Closed,
}

impl Reply {
    /// `None` for payloads, and for what only daemons send.
    pub fn of(body: &Body<'_>) -> Option<Self> {
        match *body {
            Body::Challenge(cookie) => Some(Self::Challenge(cookie)),
            Body::Bound(terms) => Some(Self::Bound(terms)),
            Body::Limited { limit, retry_after } => Some(Self::Limited { limit, retry_after }),
            Body::Closed => Some(Self::Closed),
            Body::Data(_) | Body::Bind | Body::Proof { .. } => None,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Input {
    /// Replaces this machine's candidates, without those from STUN.
    Reachable(Candidates),
    /// The answer to [`Output::FindOutside`], or a change that STUN noticed.
    Outside {
        addr: Option<SocketAddr>,
        nat: Nat,
    },
    /// The peer's offer, reduced to candidates that this machine may probe.
    Offered(Offer),
    /// A leg at a relay; replaces a former one.
    Granted(Grant),
    /// An authentic probe that came over this path. For [`Path::Direct`] the address is the packet's source.
    Probed {
        path: Path,
        probe: Authentic,
    },
    /// The relay's reply to this leg, over UDP.
    Replied {
        leg: Leg,
        reply: Reply,
    },
    /// The relay's WebSocket for this leg is open, or is no more.
    Tcp {
        leg: Leg,
        open: bool,
    },
    /// Whether anything is sent or requested: dead paths are noticed within about a second only then.
    Busy(bool),
    /// QUIC hears nothing while something is asked: every proven path is probed at once. As `Busy(true)`, too.
    Silent,
    /// This machine's network changed, or it woke up.
    Moved,
    /// Make the path anew: a round begins, in which every direct path has to prove itself again.
    Reconnect,
    /// Leave the path in use until the next round, if another one works; otherwise a round begins.
    FailOver,
    /// The server of the relay was away, and may know the leg no more.
    RelayBack,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Get a fresh outside address by STUN; what comes of it is [`Input::Outside`].
    FindOutside,
    /// Bring this offer to the peer: in a letter, or over the link.
    Tell(Offer),
    /// From now on the socket decodes probes with this opener's tag for this machine.
    Listen(Box<OpenerOf>),
    /// Send a probe. `ttl`: with this TTL (or hop limit) instead of the system's.
    Send {
        path: Path,
        ttl: Option<u8>,
        datagram: [u8; PROBE],
    },
    /// Send a frame to a relay by UDP.
    SendFrame {
        relay: SocketAddr,
        frame: Vec<u8>,
    },
    /// Open a WebSocket to the relay of this leg.
    OpenTcp(Leg),
    CloseTcp(Leg),
    /// QUIC packets from this address are the peer's.
    Accept(SocketAddr),
    /// They are not any more.
    Refuse(SocketAddr),
    /// Send QUIC packets over this path; `None`: no path works.
    Use(Option<Chosen>),
    /// The peer's probe came through the port that this machine's router forwards.
    CameIn(IpAddr),
    /// The relay does not know the leg: ask the phone book for another.
    FindRelay,
    /// The relay drops payloads for this time, because of this limit.
    Limited {
        limit: Limit,
        retry_after: Duration,
    },
    /// The peer's offer did not come. The machine does nothing more.
    Failed,
}

/// [`Opener`] that compares by tag, so that outputs can be compared.
#[derive(Debug, Clone)]
pub struct OpenerOf(pub Opener);

impl PartialEq for OpenerOf {
    fn eq(&self, other: &Self) -> bool {
        self.0.tag() == other.0.tag()
    }
}

impl Eq for OpenerOf {}

/// The path in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    pub path: Path,
    pub kind: Kind,
    /// Round-trip time of probes.
    pub rtt: Duration,
}

/// A path that works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub kind: Kind,
    /// Round-trip time of probes.
    pub rtt: Duration,
    /// The part of the last probes without an answer, in 0..=1; `None` while too few were sent.
    pub loss: Option<f64>,
    pub in_use: bool,
}

/// What a person may know of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No path works yet.
    Searching,
    Direct(Kind),
    /// With the reason in one sentence.
    Relayed(Kind, &'static str),
    /// A path worked, and none does now.
    Lost,
    /// The peer's offer did not come.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A path is to be probed, is to be kept, or was silent for too long.
    Probe,
    /// This machine's outside address, or the peer's offer, is late.
    Late,
    /// Hole punching failed, or is due again.
    Round,
    Relay,
}
