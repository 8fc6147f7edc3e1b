//! Binds the UDP ports: beside the TCP listener the same port and the next, or where the operator says.

use crate::{
    config::Config,
    preflight::{self, StartError},
};
use fyteclub_proto::phonebook::live::Udp;
use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

/// Ports of the kernel's choice whose neighbours are tried, for port 0.
const TRIES: usize = 64;

/// Bound sockets; datagrams wait in the kernel until [`super::Room::open`].
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// The first one, which a relay uses too, and the next one for STUN.
    pub(super) sockets: Vec<UdpSocket>,
}

impl Ports {
    /// What the greeting announces. `None`: nothing is served.
    pub(crate) fn announcement(&self, config: &Config) -> Option<Udp> {
        let stun_ports = if config.stun { self.sockets.len() } else { 0 };
        (stun_ports > 0).then(|| Udp {
            address: config.udp_address.clone(),
            stun_ports: u8::try_from(stun_ports).unwrap_or(u8::MAX),
        })
    }

    /// The first port's address.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.sockets.first().and_then(|socket| socket.local_addr().ok())
    }
}

/// The public listener, its address, and the UDP ports.
pub(crate) fn listen(config: &Config) -> Result<(TcpListener, SocketAddr, Ports), StartError> {
    let is_wanted = config.stun && !config.compat;
    if let (Some(address), true) = (config.udp_listen, is_wanted) {
        let (listener, bound) = tcp(config)?;
        let ports = alone(address).map_err(|source| StartError::Udp { address, source })?;
        return Ok((listener, bound, ports));
    }
    // Port 0 is to be one whose UDP port and next UDP port are free; the others stay bound meanwhile, or the kernel would
    // choose them again.
    let mut taken = Vec::new();
    loop {
        let (listener, bound) = tcp(config)?;
        if !is_wanted {
            return Ok((listener, bound, Ports::default()));
        }
        match pair(bound) {
            Ok(ports) if ports.sockets.len() == 2 => return Ok((listener, bound, ports)),
            _ if config.listen.port() == 0 && taken.len() < TRIES => taken.push(listener),
            Ok(ports) => {
                tracing::warn!(port = bound.port(), "the next UDP port is taken, so STUN has one port");
                return Ok((listener, bound, ports));
            }
            Err(error) => {
                let port = bound.port();
                tracing::warn!(port, %error, "the UDP port is taken, so players behind routers find no path by this phone book");
                return Ok((listener, bound, Ports::default()));
            }
        }
    }
}

fn tcp(config: &Config) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = preflight::public(config)?;
    let bound = preflight::bound(&listener)?;
    Ok((listener, bound))
}

/// At the operator's own address.
fn alone(address: SocketAddr) -> io::Result<Ports> {
    let mut tried = Vec::new();
    loop {
        let ports = pair(address)?;
        if ports.sockets.len() == 2 || address.port() != 0 || tried.len() == TRIES {
            return Ok(ports);
        }
        tried.push(ports);
    }
}

/// That port, and the next one if it is free.
fn pair(address: SocketAddr) -> io::Result<Ports> {
    let first = UdpSocket::bind(address)?;
    let bound = first.local_addr()?;
    let next = bound.port().checked_add(1).map(|port| SocketAddr::new(bound.ip(), port));
    let second = next.and_then(|next| UdpSocket::bind(next).ok());
    Ok(Ports { sockets: std::iter::once(first).chain(second).collect() })
}
