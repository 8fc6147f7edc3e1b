//! Addresses that stand for a peer and not for a place.

use std::net::{Ipv4Addr, SocketAddr};

/// An address in 240.0.0.0/4, which no network carries (RFC 1112 §4). IPv4, because QUIC takes IPv4 addresses on sockets of
/// both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualAddr(u32);

const FIRST: u32 = 240 << 24;
/// Any but 0, which QUIC refuses to dial.
const PORT: u16 = 1;

impl VirtualAddr {
    /// How many there are, without 255.255.255.255.
    pub(super) const COUNT: u32 = (1 << 28) - 1;

    /// The address of this number, which is taken modulo [`Self::COUNT`].
    pub(super) const fn number(number: u32) -> Self {
        Self(FIRST + number % Self::COUNT)
    }

    /// `None` for an address of a place.
    pub fn of(addr: SocketAddr) -> Option<Self> {
        let ip = match addr {
            SocketAddr::V4(addr) => *addr.ip(),
            SocketAddr::V6(addr) => addr.ip().to_ipv4_mapped()?,
        };
        (ip.to_bits() >= FIRST).then(|| Self(ip.to_bits()))
    }

    /// What QUIC dials.
    pub fn addr(self) -> SocketAddr {
        (Ipv4Addr::from_bits(self.0), PORT).into()
    }

    /// From where QUIC receives, on a socket that is IPv6 or not.
    pub(super) fn addr_for(self, v6: bool) -> SocketAddr {
        let ip = Ipv4Addr::from_bits(self.0);
        if v6 { (ip.to_ipv6_mapped(), PORT).into() } else { (ip, PORT).into() }
    }
}

/// IPv4 addresses are never in their IPv6 form.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_address_is_found_in_both_forms() {
        let one = VirtualAddr::number(1);
        assert_eq!(one.addr().to_string(), "240.0.0.1:1");
        for (addr, expected) in [
            ("240.0.0.1:1", Some(one)),
            ("[::ffff:240.0.0.1]:1", Some(one)),
            ("239.255.255.255:1", None),
            ("[::f000:1]:1", None),
            ("[2001:db8::1]:1", None),
        ] {
            assert_eq!(VirtualAddr::of(addr.parse().expect("an address")), expected, "{addr}");
        }
        let last = VirtualAddr::number(VirtualAddr::COUNT - 1);
        assert_eq!(last.addr().to_string(), "255.255.255.254:1");
        assert_eq!(VirtualAddr::number(VirtualAddr::COUNT), VirtualAddr::number(0));
    }
}
