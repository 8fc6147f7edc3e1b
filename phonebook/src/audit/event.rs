//! The audit log's events.

use crate::limits::{By, Class};
use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A write to a name of another key.
    Hijack,
    /// A sequence that was used already.
    Replay,
    BadSignature,
    ClockSkew,
    WrongPassword,
    Limited(Class, By),
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hijack => "hijack",
            Self::Replay => "replay",
            Self::BadSignature => "bad_signature",
            Self::ClockSkew => "clock_skew",
            Self::WrongPassword => "wrong_password",
            Self::Limited(..) => "limited",
        }
    }
}

/// A player's name, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject(pub(super) u32);

#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    /// Unix milliseconds.
    pub(super) time: u64,
    pub(super) kind: Kind,
    pub(super) address: IpAddr,
    pub(super) subject: Option<Subject>,
}

/// Messages to the writer thread.
#[derive(Debug)]
pub(super) enum Entry {
    Event(Event),
    End,
}
