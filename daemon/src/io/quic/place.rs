//! The place of a connection's other end. Only this file asks quinn for a remote address (`.ci/house.py`), so that what
//! an address means is decided once.

use fyteclub_proto::{
    local::reply::PathKind,
    reaching::{
        paths::score::kind,
        traversal::{Chosen, Path},
    },
};
use fyteclub_quic::peer_socket::{PeerSocket, VirtualAddr};
use quinn::{Connection, Incoming};
use std::net::SocketAddr;

/// The other end's address and the kind of path to it. A path can change under a live connection, so a `Place` is valid
/// when it is taken and is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    addr: SocketAddr,
    /// The path behind a virtual address, if `addr` is one and there is a path.
    chosen: Option<Chosen>,
}

impl Place {
    pub fn of(connection: &Connection, socket: &PeerSocket) -> Self {
        Self::at(connection.remote_address(), socket)
    }

    /// Of a handshake that has not begun. Its address may be forged until it is validated, but for a virtual one.
    pub fn calling(incoming: &Incoming, socket: &PeerSocket) -> Self {
        Self::at(incoming.remote_address(), socket)
    }

    /// Of an address that is about to be dialled.
    pub fn at(addr: SocketAddr, socket: &PeerSocket) -> Self {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let chosen = VirtualAddr::of(addr).and_then(|addr| socket.chosen(addr));
        Self { addr, chosen }
    }

    /// What QUIC knows, which may be a virtual address. IPv4 addresses are never in IPv6 form.
    pub fn addr(self) -> SocketAddr {
        self.addr
    }

    pub fn virtual_addr(self) -> Option<VirtualAddr> {
        VirtualAddr::of(self.addr)
    }

    /// The path behind a virtual address.
    pub fn chosen(self) -> Option<Chosen> {
        self.chosen
    }

    /// An address at which the other end may be dialled later: none that hole punching opened, nor a relay's.
    pub fn lasting(self) -> Option<SocketAddr> {
        match (self.virtual_addr(), self.chosen) {
            (None, _) => Some(self.addr),
            (Some(_), Some(chosen)) => lasting(&chosen),
            (Some(_), None) => None,
        }
    }

    /// [`PathKind::Unknown`] while no path works.
    pub fn path(self) -> PathKind {
        match (self.virtual_addr(), self.chosen) {
            (None, _) => kind(self.addr),
            (Some(_), Some(chosen)) => chosen.kind.into(),
            (Some(_), None) => PathKind::Unknown,
        }
    }

    /// No path to the other end works at the moment.
    pub fn is_lost(self) -> bool {
        self.virtual_addr().is_some() && self.chosen.is_none()
    }

    /// On this machine.
    pub fn is_near(self) -> bool {
        self.path() == PathKind::Loopback
    }

    /// On this machine or in its network: limits may exempt it.
    pub fn is_local(self) -> bool {
        matches!(self.path(), PathKind::Loopback | PathKind::Lan)
    }
}

/// The peer's own address of a path, where it stays the peer's.
pub fn lasting(chosen: &Chosen) -> Option<SocketAddr> {
    match (chosen.path, PathKind::from(chosen.kind)) {
        (Path::Direct(addr), PathKind::Loopback | PathKind::Lan | PathKind::Direct | PathKind::Mapped) => {
            Some(addr)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::reaching::{traversal::Kind, wire::relay::Leg};
    use fyteclub_quic::peer_socket::VirtualPeer;
    use std::{net::UdpSocket, sync::Arc, time::Duration};

    fn socket() -> Arc<PeerSocket> {
        let (aside, _) = tokio::sync::mpsc::channel(1);
        PeerSocket::new(UdpSocket::bind("127.0.0.1:0").expect("a socket"), aside).expect("registered")
    }

    #[tokio::test]
    async fn place_has_one_form_and_knows_its_kind_of_path() {
        let socket = socket();
        for (addr, expected, near, local) in [
            ("[::ffff:127.0.0.1]:7", "127.0.0.1:7", true, true),
            ("[::ffff:192.168.1.5]:7", "192.168.1.5:7", false, true),
            ("[fd00::5]:7", "[fd00::5]:7", false, true),
            ("[2001:db8::5]:7", "[2001:db8::5]:7", false, false),
        ] {
            let place = Place::at(addr.parse().expect("an address"), &socket);
            assert_eq!(
                (place.addr().to_string().as_str(), place.is_near(), place.is_local()),
                (expected, near, local)
            );
            assert_eq!(place.lasting(), Some(place.addr()));
        }
    }

    #[tokio::test]
    async fn virtual_place_is_that_of_its_path() {
        let socket = socket();
        let peer = VirtualPeer::enter(&socket).expect("an address");
        let place = || Place::at(peer.addr().addr(), &socket);
        assert_eq!((place().path(), place().lasting(), place().is_lost()), (PathKind::Unknown, None, true));
        let at: SocketAddr = "192.168.1.5:7".parse().expect("an address");
        let relay = Path::Relay { relay: at, leg: Leg(1) };
        for (path, kind, told, lasting) in [
            (Path::Direct(at), Kind::Lan, PathKind::Lan, Some(at)),
            (Path::Direct(at), Kind::Punched, PathKind::Punched, None),
            (relay, Kind::Relay, PathKind::Relay, None),
        ] {
            peer.use_path(Some(Chosen { path, kind, rtt: Duration::ZERO }));
            assert_eq!((place().path(), place().lasting(), place().is_lost()), (told, lasting, false));
            assert_eq!(place().addr(), peer.addr().addr());
        }
    }
}
