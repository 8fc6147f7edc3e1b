//! This machine's networks that have a router: its address there, and the gateway.
//!
//! On Linux `/proc/self/net/route` has the default routes. Only interfaces with one are listed, so bridges of containers and
//! loopback are not. On other systems the gateways are not read yet: each private network is listed without a gateway, and
//! only UPnP is possible there.

use fyteclub_proto::reaching::mapping::Uplink;
use if_addrs::{IfAddr, IfOperStatus, Interface};
use std::net::Ipv4Addr;

/// The preferred route first. Empty if the system does not list its interfaces. Reads a file: not for the network's
/// thread.
pub fn all() -> Vec<Uplink> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::debug!("this machine's networks are not known: {error}");
        Vec::new()
    });
    of(&interfaces, routes().as_deref())
}

/// The interfaces of default routes. Empty if they are not known. Reads a file, as [`all`] does.
pub fn interfaces() -> Vec<String> {
    routes().into_iter().flatten().map(|route| route.interface).collect()
}

/// `None` if they are not known.
fn routes() -> Option<Vec<Route>> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    match std::fs::read_to_string("/proc/self/net/route") {
        Ok(table) => Some(defaults(&table)),
        Err(error) => {
            tracing::debug!("this machine's routes are not known: {error}");
            None
        }
    }
}

/// A default route.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    interface: String,
    gateway: Ipv4Addr,
}

/// The default routes of Linux's table, the preferred first.
fn defaults(table: &str) -> Vec<Route> {
    /// `RTF_UP | RTF_GATEWAY` of linux/route.h.
    const LEADS_OUT: u32 = 1 | 2;
    let number = |hex: &str| u32::from_str_radix(hex, 16).ok();
    let mut all: Vec<(u32, Route)> = Vec::new();
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = columns[..] else { continue };
        let (Some(gateway), Some(flags), Ok(metric)) = (number(gateway), number(flags), metric.parse())
        else {
            continue;
        };
        if number(destination) == Some(0) && number(mask) == Some(0) && flags & LEADS_OUT == LEADS_OUT {
            // The kernel prints the address as the machine's number.
            let gateway = Ipv4Addr::from(gateway.to_ne_bytes());
            all.push((metric, Route { interface: interface.to_owned(), gateway }));
        }
    }
    all.sort_by_key(|(metric, _)| *metric);
    all.into_iter().map(|(_, route)| route).collect()
}

/// `routes` is `None` if they are not known.
fn of(interfaces: &[Interface], routes: Option<&[Route]>) -> Vec<Uplink> {
    let usable =
        |interface: &&Interface| interface.oper_status != IfOperStatus::Down && !interface.is_loopback();
    let uplink = |interface: &Interface, gateway: Option<Ipv4Addr>| match &interface.addr {
        IfAddr::V4(addr) => Uplink::new(addr.ip, addr.prefixlen, gateway),
        IfAddr::V6(_) => None,
    };
    let Some(routes) = routes else {
        return interfaces.iter().filter(usable).filter_map(|interface| uplink(interface, None)).collect();
    };
    let mut all: Vec<Uplink> = Vec::new();
    for route in routes {
        let here = interfaces.iter().filter(usable).filter(|interface| interface.name == route.interface);
        // Of several addresses, the one in the gateway's network.
        let found = here.filter_map(|interface| uplink(interface, Some(route.gateway)));
        if let Some(uplink) = found.into_iter().find(|uplink| uplink.gateway().is_some())
            && !all.iter().any(|known| known.local() == uplink.local())
        {
            all.push(uplink);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::Ifv4Addr;

    fn interface(name: &str, ip: [u8; 4], prefixlen: u8) -> Interface {
        let netmask = Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(prefixlen)));
        Interface {
            name: name.into(),
            addr: IfAddr::V4(Ifv4Addr { ip: ip.into(), netmask, prefixlen, broadcast: None }),
            index: Some(1),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
            #[cfg(windows)]
            adapter_name: String::new(),
        }
    }

    fn machine() -> [Interface; 5] {
        [
            interface("lo", [127, 0, 0, 1], 8),
            interface("docker0", [172, 17, 0, 1], 16),
            interface("eth0", [10, 1, 1, 1], 24),
            interface("eth0", [192, 168, 1, 5], 24),
            interface("wlan0", [192, 168, 2, 5], 24),
        ]
    }

    fn route(interface: &str, gateway: [u8; 4]) -> Route {
        Route { interface: interface.into(), gateway: gateway.into() }
    }

    #[test]
    fn default_routes_are_read_by_preference() {
        let hex = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let row = |name: &str, to: [u8; 4], by: [u8; 4], flags: u32, metric: u32, mask: [u8; 4]| {
            format!("{name}\t{}\t{}\t{flags:04X}\t0\t0\t{metric}\t{}\t0\t0\t0\n", hex(to), hex(by), hex(mask))
        };
        let table = [
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
                .to_owned(),
            row("wlan0", [0; 4], [192, 168, 2, 1], 3, 600, [0; 4]),
            row("eth0", [0; 4], [192, 168, 1, 1], 3, 100, [0; 4]),
            row("eth0", [192, 168, 1, 0], [0; 4], 1, 100, [255, 255, 255, 0]),
            // Half of the internet, as VPNs do it; a route without a gateway; one that is down.
            row("tun0", [0; 4], [10, 8, 0, 1], 3, 0, [128, 0, 0, 0]),
            row("ppp0", [0; 4], [0; 4], 1, 0, [0; 4]),
            row("eth1", [0; 4], [192, 168, 3, 1], 2, 0, [0; 4]),
            "broken\n".to_owned(),
        ]
        .concat();
        assert_eq!(defaults(&table), [route("eth0", [192, 168, 1, 1]), route("wlan0", [192, 168, 2, 1])]);
    }

    #[test]
    fn only_interfaces_that_lead_out_are_uplinks() {
        let gateway = |uplink: &Uplink| (uplink.local().octets(), uplink.gateway().map(|ip| ip.octets()));
        let routes = [
            route("eth0", [192, 168, 1, 1]),
            route("eth0", [192, 168, 1, 2]),
            route("wlan0", [192, 168, 9, 1]),
            route("gone0", [192, 168, 2, 1]),
        ];
        let all: Vec<_> = of(&machine(), Some(&routes)).iter().map(gateway).collect();
        assert_eq!(all, [([192, 168, 1, 5], Some([192, 168, 1, 1]))]);
        assert!(of(&machine(), Some(&[])).is_empty());
    }

    #[test]
    fn unknown_routes_leave_every_private_network() {
        let all: Vec<_> = of(&machine(), None).iter().map(|uplink| uplink.local().octets()).collect();
        assert_eq!(all, [[172, 17, 0, 1], [10, 1, 1, 1], [192, 168, 1, 5], [192, 168, 2, 5]]);
    }
}
