//! The owners of accounts.

use crate::id::PeerId;
use std::net::IpAddr;

/// A counterpart that is charged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Counterpart {
    Contact(PeerId),
    Network(Network),
    /// By its configured address.
    PhoneBook(String),
    /// A local client, by its number.
    Client(u64),
}

/// One line's addresses: IPv4 whole, IPv6 by its /64. An IPv4 address in IPv6 form is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    V4(u32),
    V6(u64),
}

/// One customer's addresses: IPv4 whole, IPv6 by its /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wide {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(u64::try_from(address.to_bits() >> 64).expect("the upper half")),
        }
    }
}

impl From<Network> for Wide {
    fn from(network: Network) -> Self {
        match network {
            Network::V4(bits) => Self::V4(bits),
            Network::V6(bits) => Self::V6(bits >> 16),
        }
    }
}

impl From<IpAddr> for Wide {
    fn from(address: IpAddr) -> Self {
        Network::from(address).into()
    }
}
