//! The networks in which this machine has neighbours: those of real interfaces, not of containers and virtual machines on
//! this one.

use fyteclub_proto::reaching::lan::subnet::Subnet;
use if_addrs::{IfAddr, IfOperStatus, Interface};
use std::path::Path;

/// How the interfaces of containers and virtual machines begin.
const VIRTUAL: [&str; 16] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "lxc",
    "lxd",
    "incus",
    "podman",
    "cni",
    "flannel",
    "cali",
    "vmnet",
    "vboxnet",
    "vEthernet",
    "VirtualBox",
];

/// A network, and the name of its interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbourhood {
    pub interface: String,
    pub subnet: Subnet,
}

/// All of them, sorted. Empty if the system does not list its interfaces. Reads files: not for the network's thread.
pub fn all() -> Vec<Neighbourhood> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::debug!("this machine's interfaces are not known: {error}");
        Vec::new()
    });
    let uplinks = super::uplinks::interfaces();
    of(&interfaces, &uplinks, |name| Path::new("/sys/class/net").join(name).join("bridge").exists())
}

/// `uplinks`: the interfaces of default routes. One of them may be a bridge, on a host of virtual machines.
fn of(interfaces: &[Interface], uplinks: &[String], is_bridge: impl Fn(&str) -> bool) -> Vec<Neighbourhood> {
    let is_real = |interface: &&Interface| {
        let name = interface.name.as_str();
        let is_virtual = || VIRTUAL.iter().any(|beginning| name.starts_with(beginning)) || is_bridge(name);
        interface.oper_status != IfOperStatus::Down
            && !interface.is_loopback()
            && !interface.is_p2p
            && (uplinks.iter().any(|uplink| uplink == name) || !is_virtual())
    };
    let neighbourhood = |interface: &Interface| {
        let prefix = match &interface.addr {
            IfAddr::V4(addr) => addr.prefixlen,
            IfAddr::V6(addr) => addr.prefixlen,
        };
        let subnet = Subnet::new(interface.ip(), prefix)?;
        Some(Neighbourhood { interface: interface.name.clone(), subnet })
    };
    let mut all: Vec<_> = interfaces.iter().filter(is_real).filter_map(neighbourhood).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{Ifv4Addr, Ifv6Addr};
    use std::net::IpAddr;

    fn interface(name: &str, ip: &str, prefixlen: u8) -> Interface {
        let addr = match ip.parse().expect("an address") {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr { ip, netmask: ip, prefixlen, broadcast: None }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr { ip, netmask: ip, prefixlen, broadcast: None }),
        };
        Interface {
            name: name.into(),
            addr,
            index: Some(1),
            oper_status: IfOperStatus::Up,
            is_p2p: name.starts_with("tun"),
            #[cfg(windows)]
            adapter_name: String::new(),
        }
    }

    fn names(uplinks: &[&str]) -> Vec<String> {
        let interfaces = [
            interface("lo", "127.0.0.1", 8),
            interface("eth0", "192.168.1.5", 24),
            interface("eth0", "fe80::5", 64),
            interface("eth0", "2001:db8::5", 64),
            interface("wlan0", "169.254.7.7", 16),
            interface("docker0", "172.17.0.1", 16),
            interface("br-0a1b", "172.18.0.1", 16),
            interface("virbr0", "192.168.122.1", 24),
            interface("lan0", "10.0.0.5", 8),
            interface("tun0", "10.8.0.2", 24),
        ];
        let uplinks: Vec<String> = uplinks.iter().map(|name| (*name).to_owned()).collect();
        let all = of(&interfaces, &uplinks, |name| name == "lan0");
        all.iter().map(|found| format!("{} {}", found.interface, found.subnet.ip())).collect()
    }

    #[test]
    fn only_real_interfaces_have_neighbours() {
        assert_eq!(names(&["eth0"]), ["eth0 192.168.1.5", "eth0 2001:db8::5"]);
        assert_eq!(names(&[]), names(&["eth0"]), "a network without a router is one, too");
    }

    #[test]
    fn bridge_that_leads_out_is_real() {
        assert_eq!(names(&["lan0"]), ["eth0 192.168.1.5", "eth0 2001:db8::5", "lan0 10.0.0.5"]);
    }
}
