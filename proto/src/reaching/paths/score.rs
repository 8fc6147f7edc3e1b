//! How good a path is, and when another one is enough better to switch.

use crate::local::reply::PathKind;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Another path of the same kind must be faster by both: round-trip times differ by noise.
const FASTER_BY: Duration = Duration::from_millis(10);
const FASTER_PERCENT: u32 = 20;

/// The kind of path that leads to an address.
pub fn kind(addr: SocketAddr) -> PathKind {
    match addr.ip().to_canonical() {
        ip if ip.is_loopback() => PathKind::Loopback,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => PathKind::Lan,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => PathKind::Lan,
        IpAddr::V4(_) | IpAddr::V6(_) => PathKind::Direct,
    }
}

/// The order of working paths: first the kind, then the round-trip time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    pub kind: PathKind,
    pub rtt: Duration,
}

impl Score {
    fn tier(self) -> u8 {
        match self.kind {
            PathKind::Loopback => 0,
            PathKind::Lan => 1,
            PathKind::Direct | PathKind::Mapped | PathKind::Punched => 2,
            PathKind::Relay => 3,
            PathKind::RelayTcp => 4,
            PathKind::Unknown => 5,
        }
    }

    /// The order of paths when none is in use.
    pub fn key(self) -> (u8, Duration) {
        (self.tier(), self.rtt)
    }

    /// Whether to switch from `current` to this one.
    pub fn beats(self, current: Self) -> bool {
        beats(self.key(), current.key())
    }
}

/// Whether it is worth leaving a path with the second tier and round-trip time for one with the first.
pub fn beats((tier, rtt): (u8, Duration), (current, now): (u8, Duration)) -> bool {
    match tier.cmp(&current) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => rtt + FASTER_BY.max(now * FASTER_PERCENT / 100) <= now,
        std::cmp::Ordering::Greater => false,
    }
}
