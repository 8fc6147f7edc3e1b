//! How this machine can be reached: the addresses of each source, joined into the list for peers.

use super::{
    candidate::{Candidate, Candidates, Origin},
    families::Families,
};
use crate::limit::CANDIDATES_MAX;
use std::{collections::BTreeMap, net::SocketAddr};

/// A source of addresses of this machine, the likeliest first: candidates are sent in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// The configuration: the one address that the socket is bound to.
    Bound,
    /// The phone books: the local addresses of connections to them.
    Facing,
    /// The home routers: outside addresses of port mappings. Not proven.
    Mapped,
    /// STUN servers: the outside address of the socket.
    Outside,
    /// The phone books: this machine as they see it.
    Observed,
    /// The system: all addresses of this machine.
    Interfaces,
}

impl Slot {
    fn origin(self) -> Origin {
        match self {
            Self::Bound | Self::Facing | Self::Interfaces => Origin::Host,
            Self::Mapped => Origin::Mapped,
            Self::Outside | Self::Observed => Origin::Observed,
        }
    }
}

#[derive(Debug)]
pub struct Reachable {
    families: Families,
    slots: BTreeMap<Slot, Vec<SocketAddr>>,
}

impl Reachable {
    /// `families`: those of the socket; other addresses are left out.
    pub fn new(families: Families) -> Self {
        Self { families, slots: BTreeMap::new() }
    }

    /// Replaces the addresses of one source.
    pub fn set(&mut self, slot: Slot, addrs: Vec<SocketAddr>) {
        self.slots.insert(slot, addrs);
    }

    /// Each address once, at most [`CANDIDATES_MAX`].
    pub fn candidates(&self) -> Candidates {
        let mut all: Vec<Candidate> = Vec::new();
        for (origin, addr) in
            self.slots.iter().flat_map(|(slot, addrs)| addrs.iter().map(|addr| (slot.origin(), addr)))
        {
            let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
            let known = all.iter().any(|candidate| candidate.addr == addr);
            if self.families.has(addr.ip()) && !known && all.len() < CANDIDATES_MAX {
                all.push(Candidate { origin, addr });
            }
        }
        Candidates(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(all: &[&str]) -> Vec<SocketAddr> {
        all.iter().map(|ip| SocketAddr::new(ip.parse().expect("an address"), 7)).collect()
    }

    fn told(local: &str) -> Vec<String> {
        let mut reachable = Reachable::new(Families::of(local.parse().expect("an address")));
        reachable.set(Slot::Interfaces, addrs(&["192.168.1.5", "fd00::5", "2001:db8::5", "10.8.0.2"]));
        reachable.set(Slot::Observed, addrs(&["203.0.113.7", "2001:db8::5"]));
        reachable.set(Slot::Facing, addrs(&["::ffff:192.168.1.5"]));
        let all = reachable.candidates();
        all.0.iter().map(|candidate| format!("{:?} {}", candidate.origin, candidate.addr)).collect()
    }

    #[test]
    fn both_families_are_offered_only_where_both_listen() {
        let (host, observed) = ("Host 192.168.1.5:7", "Observed 203.0.113.7:7");
        let v6 = ["Observed [2001:db8::5]:7", "Host [fd00::5]:7"];
        assert_eq!(told("[::]:7"), [host, observed, v6[0], v6[1], "Host 10.8.0.2:7"]);
        assert_eq!(told("0.0.0.0:7"), [host, observed, "Host 10.8.0.2:7"]);
        assert_eq!(told("[fd00::5]:7"), v6);
    }

    #[test]
    fn no_more_is_offered_than_is_read() {
        let mut reachable = Reachable::new(Families::of("[::]:7".parse().expect("an address")));
        let many = (1..=40).map(|n| SocketAddr::new([10, 0, 0, n].into(), 7)).collect();
        reachable.set(Slot::Interfaces, many);
        assert_eq!(reachable.candidates().0.len(), CANDIDATES_MAX);
    }

    #[test]
    fn source_replaces_what_it_said_before() {
        let mut reachable = Reachable::new(Families::of("[::]:7".parse().expect("an address")));
        reachable.set(Slot::Interfaces, addrs(&["10.0.0.1"]));
        reachable.set(Slot::Observed, addrs(&["203.0.113.7"]));
        reachable.set(Slot::Interfaces, addrs(&["10.0.0.2"]));
        let all: Vec<_> = reachable.candidates().addrs().collect();
        assert_eq!(all, addrs(&["203.0.113.7", "10.0.0.2"]));
        reachable.set(Slot::Observed, Vec::new());
        assert_eq!(reachable.candidates().0.len(), 1);
    }
}
