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
use std::sync::atomic::{AtomicU8, Ordering};

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
    /// The first home behind its outermost router.
    line: usize,
    /// The last part of the outside address.
    outside: AtomicU8,
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
        Self::build(town, kinds, false).await
    }

    /// With so many homes behind one carrier, which sends nothing from one of them to another by its outside address.
    ///
    /// # Panics As [`Internet::open`].
    pub async fn open_behind_one_carrier(town: &Town, homes: usize) -> Option<Self> {
        Self::build(town, &vec![Kind::Cgnat; homes], true).await
    }

    async fn build(town: &Town, kinds: &[Kind], together: bool) -> Option<Self> {
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
            let has_carrier = matches!(kind, Kind::Cgnat | Kind::SymmetricCgnat);
            let shared = internet.homes.first().filter(|_| together).map(|home| home.routers[1].clone());
            let carrier = has_carrier.then(|| shared.unwrap_or_else(|| add("carrier")));
            let routers = [router].into_iter().chain(carrier).collect();
            let outside = AtomicU8::new(2);
            let line = if together { 1 } else { number };
            let mut home = Home { kind: *kind, number, line, outside, host, routers, _mapping: None };
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

    /// Forwards nothing between these two homes, or everything again.
    ///
    /// # Panics The system refuses.
    pub fn part(&self, one: &Home, other: &Home, apart: bool) {
        let (one, other) = (one.port(), other.port());
        let rules = format!(
            "table inet parted {{\n chain forward {{\n  type filter hook forward priority 0\n  iifname {one} oifname {other} drop\n  iifname {other} oifname {one} drop\n }}\n}}"
        );
        self.machine.shell(&rules::load(if apart { &rules } else { "delete table inet parted" }));
    }
}

const FORWARDS: &str =
    "\necho 1 >/proc/sys/net/ipv4/ip_forward\necho 1 >/proc/sys/net/ipv6/conf/all/forwarding\n";

impl Home {
    fn build(&self, internet: &Machine) {
        let (number, line) = (self.number, self.line);
        let (host_ip, inside) = (self.host_ip(), self.inside());
        let router = &self.routers[0];
        self.host.connect("eth0", router, "eth0");
        self.host.shell(&format!(
            "ip link set lo up\nip link set eth0 up\nip addr add {host_ip}/24 dev eth0\nip route add default via {inside}\n{}",
            self.v6("eth0", "2a02", 2, "2a02", 1)
        ));
        let outermost = &self.routers[self.routers.len() - 1];
        if number == line {
            self.leave_by(outermost, internet);
        }
        let (wan, gateway) = if self.routers.len() == 1 {
            (self.outside(), format!("11.0.{line}.1"))
        } else {
            let (port, network) = (format!("eth{number}"), format!("100.64.{number}"));
            router.connect("wan", outermost, &port);
            outermost.shell(&format!("ip link set {port} up\nip addr add {network}.1/24 dev {port}\n"));
            if number == line {
                outermost.shell(&format!(
                    "ip link set wan up\nip addr add {}/24 dev wan\nip route add default via 11.0.{line}.1\n{FORWARDS}{}",
                    self.outside(),
                    rules::load(&rules::carrier(self.kind))
                ));
            }
            (format!("{network}.2"), format!("{network}.1"))
        };
        router.shell(&format!(
            "ip link set eth0 up\nip link set wan up\nip addr add {inside}/24 dev eth0\nip addr add {wan}/24 dev wan\nip route add default via {gateway}\n{}{}{FORWARDS}{}",
            self.v6_address("eth0", "2a02", 1),
            self.v6("wan", "2a01", 2, "2a01", 1),
            rules::load(&rules::home(self.kind, &host_ip))
        ));
    }

    /// Connects the outermost router to the internet, which routes to the home what has a public address there.
    fn leave_by(&self, outermost: &Machine, internet: &Machine) {
        let (number, port) = (self.number, self.port());
        outermost.connect("wan", internet, &port);
        internet.shell(&format!("ip link set {port} up\nip addr add 11.0.{number}.1/24 dev {port}\n"));
        if self.has_own_network() {
            internet.shell(&format!("ip route add 12.0.{number}.0/24 via {}", self.outside()));
        }
        if self.kind == Kind::Ipv6 {
            internet.shell(&format!(
                "ip addr add 2a01:{number}::1/64 dev {port} nodad\nip route add 2a02:{number}::/64 via 2a01:{number}::2"
            ));
        }
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
        format!("11.0.{}.{}", self.line, self.outside.load(Ordering::Relaxed))
    }

    /// The internet's interface for the home.
    fn port(&self) -> String {
        format!("h{}", self.line)
    }

    /// Drops every datagram between the home and outside, or none any more.
    ///
    /// # Panics The system refuses.
    pub fn block_udp(&self, block: bool) {
        let rules = "table inet blocked {\n chain forward {\n  type filter hook forward priority -10\n  meta l4proto udp drop\n }\n}";
        self.routers[0].shell(&rules::load(if block { rules } else { "delete table inet blocked" }));
    }

    /// Drops what TCP sends between the home and outside from now on.
    ///
    /// # Panics The system refuses.
    pub fn block_tcp(&self) {
        let rules = "table inet silent {\n chain forward {\n  type filter hook forward priority -10\n  meta l4proto tcp drop\n }\n}";
        self.routers[0].shell(&rules::load(rules));
    }

    /// Gives the outermost router of a home with NAT another outside address, as providers do. Its mappings end.
    ///
    /// # Panics The system refuses.
    pub fn moves(&self) {
        self.outside.fetch_add(1, Ordering::Relaxed);
        self.routers[self.routers.len() - 1].shell(&format!(
            "ip addr flush dev wan\nip addr add {}/24 dev wan\nip route replace default via 11.0.{}.1\n",
            self.outside(),
            self.line
        ));
    }

    /// From the inside out.
    pub fn routers(&self) -> &[Machine] {
        &self.routers
    }
}
