//! The place of a connection's other end. Only this file asks quinn for a remote address (`.ci/house.py`), so that what
//! an address means is decided once.

use fyteclub_proto::{local::reply::PathKind, reaching::paths::score::kind};
use quinn::{Connection, Incoming};
use std::net::SocketAddr;

/// The other end's address and the kind of path to it. A path can change under a live connection, so a `Place` is valid
/// when it is taken and is not kept.
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
        Self { addr, path: kind(addr) }
    }

    /// IPv4 addresses are never in IPv6 form.
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
    fn place_has_one_form_and_knows_its_kind_of_path() {
        for (addr, expected, near, local) in [
            ("[::ffff:127.0.0.1]:7", "127.0.0.1:7", true, true),
            ("[::ffff:192.168.1.5]:7", "192.168.1.5:7", false, true),
            ("[fd00::5]:7", "[fd00::5]:7", false, true),
            ("[2001:db8::5]:7", "[2001:db8::5]:7", false, false),
        ] {
            let place = Place::at(addr.parse().expect("an address"));
            assert_eq!(
                (place.addr().to_string().as_str(), place.is_near(), place.is_local()),
                (expected, near, local)
            );
            assert_eq!(place.is_ipv4(), expected.starts_with('1'));
        }
    }
}
