//! What an uplink's line is made for, and what it does at a time.

use super::{
    dialogue::{Dialogue, Ends},
    igd::{Igd, Parties},
    natpmp,
    pcp::{self, Nonce},
    words::{Device, Switches, Uplink, Why},
};
use std::{net::Ipv4Addr, time::Instant};

/// What a line is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) uplink: Uplink,
    pub(super) inside: u16,
    pub(super) switches: Switches,
    pub(super) nonce: Nonce,
}

impl Setup {
    /// `None` where PCP and NAT-PMP are not spoken.
    pub(super) fn ends(&self) -> Option<Ends> {
        let Self { uplink, inside, switches, nonce } = *self;
        let gateway = uplink.gateway().filter(|_| switches.nat_pmp)?;
        Some(Ends { local: uplink.local(), gateway, inside, nonce })
    }

    pub(super) fn parties(&self, device: Device) -> Parties {
        Parties { local: self.uplink.local(), inside: self.inside, device }
    }
}

#[derive(Debug)]
pub(super) enum Doing {
    Rest {
        until: Instant,
        then: Then,
    },
    Pmp(Dialogue),
    Upnp(Igd),
    Search {
        goal: Goal,
        searches: u32,
        due: Instant,
        /// A router that is not the gateway.
        other: Option<Device>,
    },
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Check,
    Renew,
    Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Clear,
    Map,
}

impl Doing {
    /// `None` when it is over.
    pub(super) fn deadline(&self) -> Option<(Instant, Why)> {
        Some(match self {
            Self::Rest { until, then: Then::Retry } => (*until, Why::NextSearch),
            Self::Rest { until, .. } => (*until, Why::Renewal),
            Self::Pmp(dialogue) => (dialogue.due(), Why::Answer),
            Self::Upnp(igd) => (igd.due(), Why::Answer),
            Self::Search { due, .. } => (*due, Why::Answer),
            Self::Over => return None,
        })
    }
}

/// The epoch that a router announces, and with NAT-PMP its outside address.
pub(super) fn announcement(bytes: &[u8]) -> Option<(u32, Option<Ipv4Addr>)> {
    if let Ok(pcp::Answer::Announce { epoch }) = pcp::Answer::decode(bytes) {
        return Some((epoch, None));
    }
    match natpmp::Answer::decode(bytes) {
        Ok(natpmp::Answer::Address { epoch, address }) => Some((epoch, Some(address))),
        Ok(_) | Err(_) => None,
    }
}
