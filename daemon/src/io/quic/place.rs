//! Where the other end of a connection is. quinn is asked for a remote address in this file and nowhere else
//! (`.ci/house.py`): what it answers is an address to send to, and what that leads to is said here.

use fyteclub_proto::local::reply::PathKind;
use quinn::{Connection, Incoming};
use std::net::{IpAddr, SocketAddr};

/// The other end's address and the kind of path that leads there. A path can change under a live connection, so a
/// `Place` is true when it is taken and is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    addr: SocketAddr,
    path: PathKind,
}

impl Place {
    pub fn of(connection: &Connection) -> Self {
        Self::at(connection.remote_address())
    }

    /// Of a handshake that has not begun. Its address may be forged until it is validated.
    pub fn calling(incoming: &Incoming) -> Self {
        Self::at(incoming.remote_address())
    }

    /// Of an address that is about to be dialled.
    pub fn at(addr: SocketAddr) -> Self {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let path = match addr.ip() {
            ip if ip.is_loopback() => PathKind::Loopback,
            IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => PathKind::Lan,
            IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => PathKind::Lan,
            IpAddr::V4(_) | IpAddr::V6(_) => PathKind::Direct,
        };
        Self { addr, path }
    }

    /// IPv4 addresses are never in their IPv6 form.
    pub fn addr(self) -> SocketAddr {
        self.addr
    }

    pub fn path(self) -> PathKind {
        self.path
    }

    /// On this machine.
    pub fn is_near(self) -> bool {
        self.path == PathKind::Loopback
    }

    /// On this machine or in its network: limits may exempt it.
    pub fn is_local(self) -> bool {
        matches!(self.path, PathKind::Loopback | PathKind::Lan)
    }

    pub fn is_ipv4(self) -> bool {
        self.addr.is_ipv4()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_has_path_of_its_address() {
        for (addr, path, near, local, ipv4) in [
            ("127.0.0.1:7", PathKind::Loopback, true, true, true),
            ("[::ffff:127.0.0.1]:7", PathKind::Loopback, true, true, true),
            ("[::1]:7", PathKind::Loopback, true, true, false),
            ("[::ffff:192.168.1.5]:7", PathKind::Lan, false, true, true),
            ("169.254.1.5:7", PathKind::Lan, false, true, true),
            ("[fd00::5]:7", PathKind::Lan, false, true, false),
            ("[fe80::5]:7", PathKind::Lan, false, true, false),
            ("100.64.0.1:7", PathKind::Direct, false, false, true),
            ("203.0.113.9:7", PathKind::Direct, false, false, true),
            ("[2001:db8::5]:7", PathKind::Direct, false, false, false),
        ] {
            let place = Place::at(addr.parse().expect("an address"));
            let told = (place.path(), place.is_near(), place.is_local(), place.is_ipv4());
            assert_eq!(told, (path, near, local, ipv4), "{addr}");
            assert_eq!(place.addr().ip(), place.addr().ip().to_canonical(), "{addr}");
        }
    }
}
