//! Inputs, outputs and settings of the machine.

use fyteclub_proto::{
    ledger::Network,
    reaching::wire::relay::{Body, Leg, Limit, Token},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Where the frames of a leg come from and go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Udp(SocketAddr),
    /// A WebSocket, by its number; numbers are never reused.
    Socket(u64),
}

/// The sender of a frame. Its address may be forged until it has proven a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub place: Place,
    pub network: Network,
    /// This machine's address that the frame came to: what goes back leaves from it.
    pub local: Option<IpAddr>,
}

impl Source {
    pub fn udp(addr: SocketAddr, local: Option<IpAddr>) -> Self {
        Self { place: Place::Udp(addr), network: addr.ip().into(), local }
    }
}

/// Limits in bytes a second, of payloads and their headers. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Of each direction of a session.
    pub rate: Option<u64>,
    /// Of what one key sends, and of what one network sends.
    pub holder_rate: Option<u64>,
    /// Of all sessions together.
    pub whole_rate: Option<u64>,
    pub sessions: usize,
    /// Sessions of one key, and bound legs of one network.
    pub holder_sessions: usize,
}

/// One peer's end of a new session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    pub leg: Leg,
    pub token: Token,
}

/// No session is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub limit: Limit,
    pub retry_after: Duration,
}

/// What to do about a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It now names the other leg: send it there, from this machine's address that the other peer sends to.
    Forward {
        to: Place,
        local: Option<IpAddr>,
    },
    /// Send this to the frame's sender, whose leg it is. `proven`: the sender has proven it.
    Reply {
        leg: Leg,
        body: Body<'static>,
        proven: bool,
    },
    Drop,
}

/// What became of frames since the start. Each frame is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub forwarded: u64,
    /// Bytes of forwarded frames.
    pub bytes: u64,
    /// Challenges, and answers to binds and proofs.
    pub replied: u64,
    /// Not a frame that a daemon sends.
    pub junk: u64,
    /// Of a leg that is not here.
    pub unknown: u64,
    /// Proofs with another token.
    pub forged: u64,
    /// Payloads, for which the other leg is not bound.
    pub alone: u64,
    /// Payloads and proofs beyond a limit.
    pub limited: u64,
}

impl Counts {
    /// The frames, for metrics.
    pub fn by_fate(&self) -> [(&'static str, u64); 7] {
        let Self { forwarded, bytes: _, replied, junk, unknown, forged, alone, limited } = *self;
        [
            ("forwarded", forwarded),
            ("replied", replied),
            ("junk", junk),
            ("unknown", unknown),
            ("forged", forged),
            ("alone", alone),
            ("limited", limited),
        ]
    }
}
