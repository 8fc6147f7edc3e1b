//! The UDP socket: its address and its buffers.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
};

/// The requested buffer for each direction. With a default of 208 KiB the receiver drops thousands of packets a GiB.
const BUFFER: usize = 4 << 20;

/// The socket, and the bytes of receive and send buffer that the kernel granted. If `addr` is `[::]` and this machine
/// has no IPv6, the socket is bound to 0.0.0.0 with the same port.
///
/// # Errors
/// The address cannot be bound.
pub(super) fn open(addr: SocketAddr) -> io::Result<(UdpSocket, (usize, usize))> {
    open_with(addr, bind)
}

/// Whether the address can be bound now. The port is free again when this returns.
///
/// # Errors
/// As for `open`.
pub fn try_bind(addr: SocketAddr) -> io::Result<()> {
    open(addr).map(drop)
}

fn open_with<T>(addr: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let both = addr.is_ipv6() && addr.ip().is_unspecified();
    bind(addr).or_else(|error| {
        // A port in use is in use in both families, or another program has it in one of them.
        if !both || matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) {
            return Err(error);
        }
        tracing::info!("this machine has no IPv6 ({error}): listening on 0.0.0.0");
        bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), addr.port())).map_err(|_| error)
    })
}

fn bind(addr: SocketAddr) -> io::Result<(UdpSocket, (usize, usize))> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // Otherwise some systems and settings make it IPv6 only.
        socket.set_only_v6(false)?;
    }
    // A smaller buffer is no error; the granted size is read back and logged.
    socket.set_recv_buffer_size(BUFFER).ok();
    socket.set_send_buffer_size(BUFFER).ok();
    socket.bind(&addr.into())?;
    let granted = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
    Ok((socket.into(), granted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn without_ipv6_the_same_port_is_bound_in_ipv4() {
        let no_v6 =
            |addr: SocketAddr| if addr.is_ipv6() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(addr) };
        let bound = |text| open_with(addr(text), no_v6).map_err(|error| error.kind());
        assert_eq!(bound("[::]:7"), Ok(addr("0.0.0.0:7")));
        assert_eq!(bound("[::1]:7"), Err(io::ErrorKind::Unsupported), "no other address is tried");
        let taken = open_with(addr("[::]:7"), |addr| {
            if addr.is_ipv6() { Err(io::Error::from(io::ErrorKind::AddrInUse)) } else { Ok(()) }
        });
        assert_eq!(taken.map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn socket_of_both_families_receives_from_both() {
        let Ok((socket, _)) = bind(addr("[::]:0")) else {
            // A kernel without IPv6: the test above covers it.
            return;
        };
        let port = socket.local_addr().expect("bound").port();
        let four = UdpSocket::bind("127.0.0.1:0").expect("IPv4");
        four.send_to(b"4", ("127.0.0.1", port)).expect("sent");
        let mut heard = [0; 8];
        let (len, from) = socket.recv_from(&mut heard).expect("heard");
        assert_eq!((&heard[..len], from.ip().to_canonical()), (&b"4"[..], addr("127.0.0.1:0").ip()));
    }
}
