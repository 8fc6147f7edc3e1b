//! A network that this machine is in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of this machine with the length of its network's prefix, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnet {
    ip: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// `None` for networks whose addresses mean another machine on each interface, or none: loopback, link-local,
    /// multicast.
    pub fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        let ip = ip.to_canonical();
        let is_usable = match ip {
            IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_broadcast() && prefix <= 32,
            IpAddr::V6(ip) => !ip.is_unicast_link_local() && prefix <= 128,
        };
        let is_usable = is_usable && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast();
        is_usable.then_some(Self { ip, prefix })
    }

    /// This machine's address in it.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Whether a machine of this network may have the address.
    pub fn has(&self, ip: IpAddr) -> bool {
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(here), IpAddr::V4(ip)) => self.has_v4(here, ip),
            (IpAddr::V6(here), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                here.to_bits() & mask == ip.to_bits() & mask && is_machine_v6(ip)
            }
            _ => false,
        }
    }

    fn has_v4(&self, here: Ipv4Addr, ip: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        let host = ip.to_bits() & !mask;
        // The network itself, and all of its machines.
        let is_machine = self.prefix > 30 || (host != 0 && host != !mask);
        here.to_bits() & mask == ip.to_bits() & mask && is_machine && Self::new(ip.into(), 32).is_some()
    }
}

fn is_machine_v6(ip: Ipv6Addr) -> bool {
    Subnet::new(ip.into(), 128).is_some()
}

/// Whether other networks have the same addresses.
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn network_has_its_machines_and_no_others() {
        for (here, prefix, inside, outside) in [
            (
                "192.168.1.5",
                24,
                &["192.168.1.1", "::ffff:192.168.1.9"][..],
                &["192.168.2.1", "192.168.1.0", "192.168.1.255", "fd00::1"][..],
            ),
            ("10.0.0.1", 31, &["10.0.0.0", "10.0.0.1"], &["10.0.0.2"]),
            (
                "10.0.0.1",
                0,
                &["10.0.0.2", "203.0.113.9"],
                &["127.0.0.1", "224.0.0.1", "169.254.1.1", "255.255.255.255"],
            ),
            ("10.0.0.1", 32, &["10.0.0.1"], &["10.0.0.2"]),
            ("fd00::5", 64, &["fd00::9"], &["fd00:0:0:1::9", "fe80::1", "192.168.1.1"]),
            ("2001:db8::5", 0, &["2001:db9::1"], &["::1", "ff02::1", "fe80::9"]),
        ] {
            let subnet = Subnet::new(ip(here), prefix).expect(here);
            assert_eq!(subnet.ip(), ip(here));
            inside.iter().for_each(|text| assert!(subnet.has(ip(text)), "{here}/{prefix} {text}"));
            outside.iter().for_each(|text| assert!(!subnet.has(ip(text)), "{here}/{prefix} {text}"));
        }
    }

    #[test]
    fn networks_of_one_link_or_none_are_left_out() {
        for text in ["127.0.0.1", "::1", "169.254.7.7", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1"] {
            assert_eq!(Subnet::new(ip(text), 8), None, "{text}");
        }
        assert_eq!((Subnet::new(ip("10.0.0.1"), 33), Subnet::new(ip("fd00::1"), 129)), (None, None));
    }
}
