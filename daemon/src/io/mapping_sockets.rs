//! The sockets of NAT-PMP and PCP: one to a gateway's port, one for announcements of routers.

use fyteclub_proto::reaching::mapping::{
    Uplink,
    natpmp::{ANNOUNCE_GROUP, ANNOUNCE_PORT, ROUTER_PORT},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
};
use tokio::net::UdpSocket;

/// The longest packet that is read; RFC 6887 allows no longer one.
const PACKET_MAX: usize = 1100;

/// A socket connected to one gateway. Clones share it.
#[derive(Debug, Clone)]
pub struct RouterSocket(Arc<UdpSocket>);

/// An answer of a gateway.
#[derive(Debug)]
pub enum RouterAnswer {
    Bytes(Vec<u8>),
    /// The system reports that the port is closed or the gateway unreachable.
    Refused,
}

impl RouterSocket {
    /// `None` if the uplink's gateway is not known.
    ///
    /// # Errors
    /// The address or the route no longer exists.
    pub fn open(uplink: &Uplink) -> io::Result<Option<Self>> {
        let Some(gateway) = uplink.gateway() else { return Ok(None) };
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddrV4::new(uplink.local(), 0).into())?;
        socket.connect(&SocketAddrV4::new(gateway, ROUTER_PORT).into())?;
        Ok(Some(Self(Arc::new(UdpSocket::from_std(socket.into())?))))
    }

    /// A packet that cannot be sent is lost; the machine sends again.
    pub fn send(&self, bytes: &[u8]) {
        // The first error may be about an earlier packet.
        let sent = self.0.try_send(bytes).or_else(|_| self.0.try_send(bytes));
        if let Err(error) = sent {
            tracing::debug!("a packet to the router is lost: {error}");
        }
    }

    /// `None` when the socket is broken.
    pub async fn heard(&self) -> Option<RouterAnswer> {
        let mut buffer = [0; PACKET_MAX];
        match self.0.recv(&mut buffer).await {
            Ok(length) => Some(RouterAnswer::Bytes(buffer[..length].to_vec())),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => Some(RouterAnswer::Refused),
                _ => {
                    tracing::debug!("the socket to the router is broken: {error}");
                    None
                }
            },
        }
    }
}

/// Receives announcements of the gateways.
#[derive(Debug)]
pub struct Announcements {
    socket: UdpSocket,
    gateways: Vec<Ipv4Addr>,
}

impl Announcements {
    /// Shares the port with other programs of this machine.
    ///
    /// # Errors
    /// Another program holds the port and does not share it.
    pub fn open(uplinks: &[Uplink]) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, ANNOUNCE_PORT).into())?;
        for uplink in uplinks {
            // On most systems every interface is in this group already.
            if let Err(error) = socket.join_multicast_v4(&ANNOUNCE_GROUP, &uplink.local()) {
                tracing::debug!("announcements of routers are not heard at {}: {error}", uplink.local());
            }
        }
        let gateways = uplinks.iter().filter_map(Uplink::gateway).collect();
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, gateways })
    }

    /// The next announcement with a gateway's source address, which can be forged. `None` when the socket is broken.
    pub async fn heard(&self) -> Option<(Ipv4Addr, Vec<u8>)> {
        let mut buffer = [0; PACKET_MAX];
        loop {
            match self.socket.recv_from(&mut buffer).await {
                Ok((length, SocketAddr::V4(from))) if self.gateways.contains(from.ip()) => {
                    return Some((*from.ip(), buffer[..length].to_vec()));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!("announcements of routers are not heard any more: {error}");
                    return None;
                }
            }
        }
    }
}

/// Whether a socket bound to `listen` receives packets to the address `local`.
pub fn is_reached(listen: SocketAddr, local: Ipv4Addr) -> bool {
    match listen.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip == local,
        IpAddr::V6(ip) => ip.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_needs_a_socket_behind_it() {
        let local = [192, 168, 1, 5].into();
        for (listen, is) in [
            ("0.0.0.0:7", true),
            ("[::]:7", true),
            ("192.168.1.5:7", true),
            ("[::ffff:192.168.1.5]:7", true),
            ("127.0.0.1:7", false),
            ("192.168.1.6:7", false),
            ("[fd00::5]:7", false),
        ] {
            assert_eq!(is_reached(listen.parse().expect("an address"), local), is, "{listen}");
        }
    }
}
