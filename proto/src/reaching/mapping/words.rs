//! What the machine is told, and what it says.

use super::{by::By, journal::Journal};
use crate::reaching::candidate::is_public;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::Duration,
};

/// How long answers to one search are waited for.
pub const SEARCH_TIME: Duration = Duration::from_secs(3);

/// One network of this machine that may have a router: an address of this machine, and what it can reach without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uplink {
    local: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
}

impl Uplink {
    /// `gateway` where the system knows it; one outside of the network counts as unknown. `None` for networks in which
    /// nothing is asked: those without neighbours, and those in which this machine has a public address.
    pub fn new(local: Ipv4Addr, prefix: u8, gateway: Option<Ipv4Addr>) -> Option<Self> {
        let asks = (8..=30).contains(&prefix)
            && !local.is_loopback()
            && !local.is_link_local()
            && !local.is_unspecified()
            && !local.is_multicast()
            && !is_public(local.into());
        let mut uplink = Self { local, prefix, gateway: None };
        uplink.gateway = gateway.filter(|gateway| uplink.has_neighbour(*gateway));
        asks.then_some(uplink)
    }

    pub fn local(&self) -> Ipv4Addr {
        self.local
    }

    /// The only address to which PCP and NAT-PMP are sent.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.gateway
    }

    /// Whether this is another machine of the network. Nothing is sent to any other address.
    pub fn has_neighbour(&self, ip: Ipv4Addr) -> bool {
        let hosts = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        let host = ip.to_bits() & hosts;
        ip != self.local && (ip.to_bits() ^ self.local.to_bits()) & !hosts == 0 && host != 0 && host != hosts
    }
}

/// Which protocols may be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switches {
    pub upnp: bool,
    /// PCP as well.
    pub nat_pmp: bool,
}

/// A device that answered a search, by the number that whoever searched gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    pub number: u64,
    pub ip: Ipv4Addr,
}

/// One request of UPnP to a device, always for UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its outside address.
    Address,
    /// The mapping at this outside port.
    Entry {
        outside: u16,
    },
    /// A mapping to the uplink's address. 0 s lasts for ever.
    Add {
        outside: u16,
        inside: u16,
        seconds: u32,
    },
    /// The same at an outside port of the router's choice.
    AddAny {
        inside: u16,
        seconds: u32,
    },
    Remove {
        outside: u16,
    },
}

/// What an [`Action`] was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// `None`: the router has none.
    Address(Option<IpAddr>),
    /// `None`: nothing is mapped there.
    Entry(Option<Mapped>),
    Added,
    AddedAt(u16),
    Removed,
}

/// A mapping as the router lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    pub client: Ipv4Addr,
    pub inside: u16,
    /// What is left of its lease; 0 for one without end.
    pub seconds: u32,
}

/// Why an [`Action`] came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The device does not answer, or what it says cannot be read.
    Silent,
    /// UPnP's error code.
    Code(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<'a> {
    /// This machine's networks, also again when they may be others. A number that nobody can guess for each, from which a
    /// new one takes its PCP nonce.
    Uplinks(Vec<(Uplink, [u8; 12])>),
    /// What the gateway of the uplink with this address sent from its port 5351.
    Received {
        local: Ipv4Addr,
        bytes: &'a [u8],
    },
    /// The system says that nobody listens there.
    Refused {
        local: Ipv4Addr,
    },
    /// What was sent to all hosts on port 5350.
    Announced {
        from: Ipv4Addr,
        bytes: &'a [u8],
    },
    /// A device answered the running search, and its description says that it is a router.
    Found {
        local: Ipv4Addr,
        device: Device,
    },
    /// The running search is over.
    Searched {
        local: Ipv4Addr,
    },
    /// The answer to the [`Output::Ask`] of this uplink.
    Answered {
        local: Ipv4Addr,
        reply: Result<Reply, Refusal>,
    },
    /// Somebody's packet came from this address to the outside port of a mapping.
    CameIn(IpAddr),
    /// Remove every mapping, then be over.
    Stop,
    Time,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write the journal. What follows waits until that is done or has failed.
    Keep(Journal),
    /// Send this to port 5351 of the uplink's gateway.
    Send { local: Ipv4Addr, gateway: Ipv4Addr, bytes: Vec<u8> },
    /// Search for devices in the uplink's network; it replaces a search that runs there. Each that is a router is
    /// [`Input::Found`], and after [`SEARCH_TIME`] it is [`Input::Searched`].
    Search { local: Ipv4Addr },
    /// Ask a device that was found; it replaces a request that runs for this uplink.
    Ask { local: Ipv4Addr, device: u64, action: Action },
    /// How the uplink stands now.
    Changed { local: Ipv4Addr, standing: Standing },
    /// The addresses outside that lead to this machine now.
    Mapped(Vec<SocketAddrV4>),
}

/// Why there is no mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Cause {
    #[error("this machine is in no network that has a router")]
    NoNetwork,
    #[error("routers are asked for ports from 1024 on only: choose one with --listen")]
    LowPort,
    #[error("no router here answers to what is switched on of UPnP, NAT-PMP and PCP")]
    NoRouter,
    #[error("the router does not do what it is asked")]
    Failed,
    #[error("the router has no port left to give")]
    Full,
    #[error("the router lets nobody open ports: switch on UPnP or NAT-PMP in its settings")]
    Forbidden,
    #[error(
        "there is another router before your router (a second one at home, or your provider's carrier NAT), so a port of your router leads nowhere"
    )]
    AnotherRouter,
}

/// How one uplink stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Searching,
    /// `proven`: somebody from outside came in.
    Mapped {
        outside: SocketAddrV4,
        by: By,
        /// `None`: without end.
        seconds: Option<u32>,
        proven: bool,
    },
    Without(Cause),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Answer,
    Renewal,
    NextSearch,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_neighbours_are_asked() {
        let gateway = |local: &str, prefix, gateway: &str| {
            Uplink::new(ip(local), prefix, Some(ip(gateway))).map(|uplink| uplink.gateway())
        };
        assert_eq!(gateway("192.168.1.5", 24, "192.168.1.1"), Some(Some(ip("192.168.1.1"))));
        assert_eq!(gateway("10.1.2.3", 8, "10.200.0.1"), Some(Some(ip("10.200.0.1"))));
        assert_eq!(gateway("100.64.3.4", 10, "100.127.0.1"), Some(Some(ip("100.127.0.1"))));
        // Somewhere else, this machine, the network, everybody, another network's end.
        for other in ["192.168.2.1", "11.22.33.44", "192.168.1.5", "192.168.1.0", "192.168.1.255", "0.0.0.0"]
        {
            assert_eq!(gateway("192.168.1.5", 24, other), Some(None), "{other}");
        }
        for (local, prefix) in [("192.168.1.5", 31), ("192.168.1.5", 32), ("192.168.1.5", 0)] {
            assert_eq!(gateway(local, prefix, "192.168.1.1"), None, "{local}/{prefix}");
        }
        for local in ["127.0.0.1", "169.254.7.7", "11.22.33.44", "0.0.0.0", "224.0.0.1"] {
            assert_eq!(gateway(local, 24, "192.168.1.1"), None, "{local}");
        }
    }
}
