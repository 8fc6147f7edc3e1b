//! Binds the UDP ports: beside the TCP listener the same port and the next, or where the operator says.

use super::ports::Ports;
use crate::{
    config::Config,
    preflight::{self, StartError},
};
use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

/// Ports of the kernel's choice whose neighbours are tried, for port 0.
const TRIES: usize = 64;

/// The public listener, its address, and the UDP ports.
pub(crate) fn listen(config: &Config) -> Result<(TcpListener, SocketAddr, Ports), StartError> {
    let is_wanted = (config.stun || config.relay) && !config.compat;
    let count = if config.stun { 2 } else { 1 };
    if let (Some(address), true) = (config.udp_listen, is_wanted) {
        let (listener, bound) = tcp(config)?;
        let ports = alone(address, count).map_err(|source| StartError::Udp { address, source })?;
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
        match ports(bound, count) {
            Ok(ports) if ports.sockets.len() == count => return Ok((listener, bound, ports)),
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
fn alone(address: SocketAddr, count: usize) -> io::Result<Ports> {
    let mut tried = Vec::new();
    loop {
        let ports = ports(address, count)?;
        if ports.sockets.len() == count || address.port() != 0 || tried.len() == TRIES {
            return Ok(ports);
        }
        tried.push(ports);
    }
}

/// That port, and of two the next one if it is free.
fn ports(address: SocketAddr, count: usize) -> io::Result<Ports> {
    let first = UdpSocket::bind(address)?;
    let bound = first.local_addr()?;
    let next = bound.port().checked_add(1).map(|port| SocketAddr::new(bound.ip(), port));
    let second = next.filter(|_| count > 1).and_then(|next| UdpSocket::bind(next).ok());
    Ok(Ports { sockets: std::iter::once(first).chain(second).collect() })
}
