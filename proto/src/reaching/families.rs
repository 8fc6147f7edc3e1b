//! Address families of a socket.

use std::net::{IpAddr, SocketAddr};

/// The address families that a socket can send to and receive from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    /// Of a socket bound to `local`; one bound to `[::]` must be dual-stack.
    pub fn of(local: SocketAddr) -> Self {
        match local.ip() {
            IpAddr::V6(ip) if ip.is_unspecified() => Self { v4: true, v6: true },
            ip => Self { v4: ip.to_canonical().is_ipv4(), v6: ip.to_canonical().is_ipv6() },
        }
    }

    /// Whether this address is of such a family. An IPv4 address in IPv6 form is the IPv4 address.
    pub fn has(self, ip: IpAddr) -> bool {
        if ip.to_canonical().is_ipv4() { self.v4 } else { self.v6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_has_families_it_is_bound_to() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        for (local, v4, v6) in [
            ("0.0.0.0:7", true, false),
            ("192.0.2.1:7", true, false),
            ("[::ffff:192.0.2.1]:7", true, false),
            ("[2001:db8::1]:7", false, true),
            ("[::1]:7", false, true),
            ("[::]:7", true, true),
        ] {
            let families = Families::of(addr(local));
            assert_eq!(families, Families { v4, v6 }, "{local}");
            assert_eq!(families.has(addr("10.0.0.5:1").ip()), v4, "{local}");
            assert_eq!(families.has(addr("[::ffff:10.0.0.5]:1").ip()), v4, "{local}");
            assert_eq!(families.has(addr("[fd00::5]:1").ip()), v6, "{local}");
        }
    }
}
