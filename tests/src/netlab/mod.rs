//! An internet of network namespaces, and homes behind routers of each kind: kernel NATs by nftables, and real `miniupnpd`s.
//!
//! ```text
//! host eth0 ── eth0 router wan ──[ eth0 carrier wan ]── hN internet
//! ```
//!
//! The internet forwards between homes, so a packet with a TTL of 2 leaves its own router and reaches no other one. All
//! homes with NAT have the same inside addresses, as homes do.

mod probe;
mod rules;
#[path = "../../../proto/tests/integration/traversal/table.rs"]
mod table;

pub use probe::{Depends, Seen, Servers};
pub use table::{Kind, is_direct};

use crate::{
    Machine, Router, Speaks, Town,
    lan::{impossible, names},
};

/// Two addresses of the internet itself; the first one is for a phone book.
pub const SERVERS: [&str; 2] = ["11.0.0.1", "11.0.0.2"];
pub const SERVERS_V6: [&str; 2] = ["2a00::1", "2a00::2"];

/// A machine that forwards between homes, and has the addresses [`SERVERS`] and [`SERVERS_V6`]. Dropped, all namespaces
/// are removed; programs in them must have ended.
pub struct Internet {
    machine: Machine,
    homes: Vec<Home>,
    /// All of them, for their removal.
    machines: Machines,
}

/// One player's home.
pub struct Home {
    pub kind: Kind,
    number: usize,
    host: Machine,
    /// From the inside out.
    routers: Vec<Machine>,
    _mapping: Option<Router>,
}

struct Machines(Vec<Machine>);

impl Machines {
    fn add(&mut self, name: String) -> Option<Machine> {
        let machine = Machine::new(name)?;
        self.0.push(machine.clone());
        Some(machine)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.0.iter().for_each(Machine::delete);
    }
}

impl Internet {
    /// With a home of each of these kinds, in this order. `None` with a message where that is not possible.
    ///
    /// # Panics It is not possible and `CI` is set; or the system refuses.
    pub async fn open(town: &Town, kinds: &[Kind]) -> Option<Self> {
        if !Router::is_possible() {
            return None;
        }
        let name = names();
        let mut machines = Machines(Vec::new());
        let Some(machine) = machines.add(name("net")) else {
            impossible();
            return None;
        };
        let addresses =
            |ips: [&str; 2], length| ips.map(|ip| format!("ip addr add {ip}/{length} dev lo\n")).concat();
        machine.shell(&format!(
            "ip link set lo up\n{}{}{FORWARDS}",
            addresses(SERVERS, 32),
            addresses(SERVERS_V6, 128)
        ));
        let mut internet = Self { machine, homes: Vec::new(), machines };
        for (number, kind) in (1..).zip(kinds) {
            let mut add =
                |part: &str| internet.machines.add(name(&format!("{part}{number}"))).expect("one more");
            let (host, router) = (add("host"), add("router"));
            let carrier = matches!(kind, Kind::Cgnat | Kind::SymmetricCgnat).then(|| add("carrier"));
            let routers = [router].into_iter().chain(carrier).collect();
            let mut home = Home { kind: *kind, number, host, routers, _mapping: None };
            home.build(&internet.machine);
            if *kind == Kind::Mapped {
                let name = format!("home{number}");
                home._mapping = Some(Router::serve(town, &home.routers[0], &name, Speaks::ALL).await);
            }
            internet.homes.push(home);
        }
        Some(internet)
    }

    /// Where a phone book may run.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn homes(&self) -> &[Home] {
        &self.homes
    }
}

const FORWARDS: &str =
    "\necho 1 >/proc/sys/net/ipv4/ip_forward\necho 1 >/proc/sys/net/ipv6/conf/all/forwarding\n";

impl Home {
    fn build(&self, internet: &Machine) {
        let number = self.number;
        let (router, outermost) = (&self.routers[0], &self.routers[self.routers.len() - 1]);
        self.host.connect("eth0", router, "eth0");
        let port = format!("h{number}");
        outermost.connect("wan", internet, &port);
        let (host_ip, inside) = (self.host_ip(), self.inside());
        self.host.shell(&format!(
            "ip link set lo up\nip link set eth0 up\nip addr add {host_ip}/24 dev eth0\nip route add default via {inside}\n{}",
            self.v6("eth0", "2a02", 2, "2a02", 1)
        ));
        internet.shell(&format!(
            "ip link set {port} up\nip addr add 11.0.{number}.1/24 dev {port}\n{}{}",
            if self.has_own_network() {
                format!("ip route add {} via {}\n", self.network(), self.outside())
            } else {
                String::new()
            },
            if self.kind == Kind::Ipv6 {
                format!(
                    "ip addr add 2a01:{number}::1/64 dev {port} nodad\nip route add 2a02:{number}::/64 via 2a01:{number}::2\n"
                )
            } else {
                String::new()
            }
        ));
        let carried = self.routers.len() > 1;
        if carried {
            router.connect("wan", outermost, "eth0");
            outermost.shell(&format!(
                "ip link set eth0 up\nip link set wan up\nip addr add 100.64.0.1/24 dev eth0\nip addr add {}/24 dev wan\nip route add default via 11.0.{number}.1\n{FORWARDS}{}",
                self.outside(),
                rules::load(&rules::carrier(self.kind))
            ));
        }
        let (wan, gateway) = if carried {
            ("100.64.0.2".to_owned(), "100.64.0.1".to_owned())
        } else {
            (self.outside(), format!("11.0.{number}.1"))
        };
        router.shell(&format!(
            "ip link set eth0 up\nip link set wan up\nip addr add {inside}/24 dev eth0\nip addr add {wan}/24 dev wan\nip route add default via {gateway}\n{}{}{FORWARDS}{}",
            self.v6_address("eth0", "2a02", 1),
            self.v6("wan", "2a01", 2, "2a01", 1),
            rules::load(&rules::home(self.kind, &host_ip))
        ));
    }

    fn v6_address(&self, interface: &str, prefix: &str, at: u8) -> String {
        if self.kind != Kind::Ipv6 {
            return String::new();
        }
        format!("ip addr add {prefix}:{}::{at}/64 dev {interface} nodad\n", self.number)
    }

    fn v6(&self, interface: &str, prefix: &str, at: u8, gateway: &str, gateway_at: u8) -> String {
        let address = self.v6_address(interface, prefix, at);
        if address.is_empty() {
            return address;
        }
        format!("{address}ip route add default via {gateway}:{}::{gateway_at}\n", self.number)
    }

    /// Whether the host's address is known outside.
    pub fn has_own_network(&self) -> bool {
        matches!(self.kind, Kind::Public | Kind::Firewall)
    }

    fn network(&self) -> String {
        format!("12.0.{}.0/24", self.number)
    }

    fn inside(&self) -> String {
        if self.has_own_network() { format!("12.0.{}.1", self.number) } else { "192.168.1.1".into() }
    }

    /// The player's machine.
    pub fn host(&self) -> &Machine {
        &self.host
    }

    pub fn host_ip(&self) -> String {
        if self.has_own_network() { format!("12.0.{}.2", self.number) } else { "192.168.1.2".into() }
    }

    /// Of [`Kind::Ipv6`].
    pub fn host_ip_v6(&self) -> String {
        format!("2a02:{}::2", self.number)
    }

    /// The outside address of the outermost router.
    pub fn outside(&self) -> String {
        format!("11.0.{}.2", self.number)
    }

    /// From the inside out.
    pub fn routers(&self) -> &[Machine] {
        &self.routers
    }
}
