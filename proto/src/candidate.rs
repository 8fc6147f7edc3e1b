//! Ways to reach a peer, as two daemons tell them to each other in letters.

use crate::limit::CANDIDATES_MAX;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// How an address was learned. What is unknown to an older daemon does not decode, and its letter is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// An address of the machine itself.
    Host,
    /// Where a phone book sees the machine, with the port that it listens on.
    Observed,
    /// A port that a router was asked to forward.
    Mapped,
    /// Said by a person.
    Manual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    pub origin: Origin,
    pub addr: SocketAddr,
}

/// What an introduction's letters hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidates(pub Vec<Candidate>);

impl Candidates {
    /// Those worth a packet, each address once, [`CANDIDATES_MAX`] at most, in the order of the list.
    ///
    /// `observed` is where a phone book sees this machine. Loopback is dialled only by a machine that a phone book of
    /// the same machine introduced: else a contact could have packets sent to what listens here.
    pub fn worth_dialing(&self, observed: Option<IpAddr>) -> Vec<SocketAddr> {
        let mut worth = Vec::new();
        for candidate in &self.0 {
            let addr = SocketAddr::new(candidate.addr.ip().to_canonical(), candidate.addr.port());
            if worth.len() < CANDIDATES_MAX && is_dialable(addr, observed) && !worth.contains(&addr) {
                worth.push(addr);
            }
        }
        worth
    }
}

fn is_dialable(addr: SocketAddr, observed: Option<IpAddr>) -> bool {
    let ip = addr.ip();
    let special = match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.is_link_local(),
        // A link-local address means nothing without the interface.
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let here = observed.is_some_and(|ip| ip.is_loopback());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !special && (here || !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(addrs: &[&str]) -> Candidates {
        let candidate =
            |addr: &&str| Candidate { origin: Origin::Host, addr: addr.parse().expect("an address") };
        Candidates(addrs.iter().map(candidate).collect())
    }

    #[test]
    fn only_what_can_be_an_answering_machine_is_dialled() {
        let public: IpAddr = "203.0.113.7".parse().expect("an address");
        let listed = all(&[
            "0.0.0.0:7",
            "10.0.0.5:0",
            "224.0.0.1:7",
            "255.255.255.255:7",
            "169.254.1.1:7",
            "[fe80::1]:7",
            "[ff02::1]:7",
            "127.0.0.1:7",
            "[::1]:7",
            "[::ffff:127.0.0.1]:7",
            "10.0.0.5:7",
            "[::ffff:10.0.0.5]:7",
            "[2001:db8::5]:7",
        ]);
        let worth = listed.worth_dialing(Some(public));
        assert_eq!(
            worth,
            all(&["10.0.0.5:7", "[2001:db8::5]:7"]).0.iter().map(|c| c.addr).collect::<Vec<_>>()
        );
        let here = all(&["127.0.0.1:7"]);
        assert_eq!(
            here.worth_dialing("127.0.0.1".parse().ok()),
            ["127.0.0.1:7".parse().expect("an address")]
        );
        assert!(here.worth_dialing(None).is_empty());
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: Vec<String> = (1..100).map(|port| format!("10.0.0.5:{port}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(all(&many).worth_dialing(None).len(), CANDIDATES_MAX);
    }
}
