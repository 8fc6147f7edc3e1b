//! This machine's own addresses: the list, its changes, those of the routes, and the address that routes to another
//! machine.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

/// How often the list is read where the system reports no changes. Reading it takes some 50 µs.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Changes come in groups: an address goes, another comes, each in both families.
const SETTLE: Duration = Duration::from_millis(100);

/// A public address of each family that a default route leads to; nothing is sent to it.
const PUBLIC: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 88, 99, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 1))];

/// The addresses at which other machines may reach this one, in the system's order. Empty if the system does not report
/// them.
pub fn all() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::debug!("this machine's addresses are not known: {error}");
        Vec::new()
    });
    let mut all = Vec::new();
    let up = interfaces.iter().filter(|interface| interface.oper_status != if_addrs::IfOperStatus::Down);
    for ip in up.map(if_addrs::Interface::ip).filter(is_reachable) {
        if !all.contains(&ip) {
            all.push(ip);
        }
    }
    all
}

/// Loopback is for this machine only, and a link-local address needs its interface.
fn is_reachable(ip: &IpAddr) -> bool {
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

/// The address from which the system would send to `there`; sends nothing. `None` without a route.
pub fn toward(there: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match there {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    // Connecting a UDP socket only chooses a route; the port does not matter.
    socket.connect((there, 9)).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_unspecified())
}

/// How IPv4 packets leave this machine for the Internet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WayOut {
    /// The own address that they start at; `None` without a route.
    pub facing: Option<Ipv4Addr>,
    /// The interface of that address, if it is a tunnel, as a VPN's is.
    pub tunnel: Option<String>,
}

/// The present way; sends nothing.
pub fn way_out() -> WayOut {
    let Some(IpAddr::V4(facing)) = toward(PUBLIC[0]) else { return WayOut::default() };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let tunnel = interfaces.iter().find(|interface| interface.ip() == facing && is_tunnel(interface));
    WayOut { facing: Some(facing), tunnel: tunnel.map(|interface| interface.name.clone()) }
}

/// A modem's line is point-to-point, too.
fn is_tunnel(interface: &if_addrs::Interface) -> bool {
    interface.is_p2p && !interface.name.starts_with("ppp")
}

/// What a connection can begin from.
#[derive(Debug, PartialEq, Eq)]
struct Outset {
    all: BTreeSet<IpAddr>,
    /// What faces the internet and what faces this machine, in each family. A family can go while its addresses stay.
    facing: [Option<IpAddr>; 4],
}

impl Outset {
    fn look() -> Self {
        let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let [four, six] = PUBLIC.map(toward);
        let [own_four, own_six] = own.map(toward);
        Self { all: all().into_iter().collect(), facing: [four, six, own_four, own_six] }
    }
}

/// Watches the list of [`all`] addresses, and which address families lead anywhere.
pub struct Watch {
    known: Outset,
    bell: Signal,
}

impl Watch {
    /// Must be called in a Tokio runtime.
    pub fn start() -> Self {
        // Subscribe first, so that a change in between is noticed.
        let bell = Signal::subscribe_all();
        Self { known: Outset::look(), bell }
    }

    /// Resolves when they differ from those at the start or at the last resolution. Dropping the future may delay the
    /// report of a change until the next one.
    pub async fn changed(&mut self) {
        loop {
            self.bell.rung().await;
            tokio::time::sleep(SETTLE).await;
            let now = Outset::look();
            if self.known != now {
                tracing::debug!("this machine's addresses were {:?} and are {now:?}", self.known);
                self.known = now;
                return;
            }
        }
    }
}

/// Waits until an address or a route may have changed: on Linux until the kernel reports it, elsewhere for
/// [`LOOK_EVERY`].
enum Signal {
    #[cfg(target_os = "linux")]
    Told(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    Timed,
}

impl Signal {
    #[cfg(target_os = "linux")]
    fn subscribe_all() -> Self {
        match linux::subscribe() {
            Ok(socket) => Self::Told(socket),
            Err(error) => {
                tracing::debug!("the system does not report changes of addresses: {error}");
                Self::Timed
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn subscribe_all() -> Self {
        Self::Timed
    }

    async fn rung(&mut self) {
        #[cfg(target_os = "linux")]
        if let Self::Told(socket) = self {
            if linux::told(socket).await.is_ok() {
                return;
            }
            *self = Self::Timed;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv,
        socket_with,
    };
    use std::{io, os::fd::OwnedFd};
    use tokio::io::{Interest, unix::AsyncFd};

    /// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR` of linux/rtnetlink.h.
    const ADDRESSES: u32 = 0x1 | 0x10 | 0x100;
    /// `RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE`.
    const ROUTES: u32 = 0x40 | 0x400;

    /// A socket on which the kernel reports every added or removed address and route. Needs no privilege.
    pub(super) fn subscribe() -> io::Result<AsyncFd<OwnedFd>> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Protocol 0 is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, ADDRESSES | ROUTES))?;
        #[expect(
            deprecated,
            reason = "about handles that others may close; this one is owned, and the other way is unsafe"
        )]
        AsyncFd::with_interest(socket, Interest::READABLE)
    }

    /// Waits for the next message. Its content is ignored: the list is read again.
    pub(super) async fn told(socket: &AsyncFd<OwnedFd>) -> io::Result<()> {
        let mut message = [0_u8; 4096];
        loop {
            let mut ready = socket.readable().await?;
            match ready.try_io(|socket| Ok(recv(socket, &mut message, RecvFlags::empty())?)) {
                Ok(Ok(_)) => return Ok(()),
                // The buffer overflowed: something changed.
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return Ok(());
                }
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_faces_loopback() {
        assert_eq!(toward(Ipv4Addr::LOCALHOST.into()), Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn only_reachable_addresses_are_listed() {
        let listed = |text: &str| is_reachable(&text.parse().expect("an address"));
        for ip in ["192.168.1.5", "100.64.0.1", "203.0.113.7", "fd00::5", "2001:db8::5"] {
            assert!(listed(ip), "{ip}");
        }
        for ip in ["127.0.0.1", "::1", "169.254.7.7", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1"] {
            assert!(!listed(ip), "{ip}");
        }
        assert!(all().iter().all(is_reachable));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn kernel_accepts_the_subscription() {
        assert!(matches!(Signal::subscribe_all(), Signal::Told(_)));
    }
}
