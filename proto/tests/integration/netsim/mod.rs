//! A simulated network under virtual time: hosts, NATs, firewalls, and lines with loss and delay.
//!
//! [`Net::send`] sends a datagram from a host; [`Net::step`] processes the next event and returns what a host received.
//! Routers may be behind routers (carrier NAT). A router translates a packet when the packet passes it, not when it is sent.
//! There is no ICMP and no limit of rate or size.
//!
//! [`Cone`] is a NAT in the terms of RFC 4787, [`Conntrack`] is Linux's masquerade, [`Firewall`] filters without NAT.

mod cone;
mod conntrack;
mod firewall;
mod link;
#[cfg(test)]
mod tests;

pub use cone::{Cone, Ports, Sees};
pub use conntrack::Conntrack;
pub use firewall::Firewall;
pub use link::{Dice, Link};

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fmt::Debug,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// The usual TTL.
pub const TTL: u8 = 64;
/// Delay between two hosts behind one router.
const SWITCH: Duration = Duration::from_millis(1);

/// A NAT of IPv4.
pub trait Translate: Debug {
    /// The outside port of a packet from `inside` to `remote`.
    fn outbound(&mut self, now: Instant, dice: &mut Dice, inside: SocketAddr, remote: SocketAddr) -> u16;
    /// The new addresses of a packet from `remote` to an outside port; `None`: dropped.
    fn inbound(&mut self, now: Instant, dice: &mut Dice, remote: SocketAddr, port: u16) -> Option<Inside>;
    /// Forwards an outside port.
    fn forward(&mut self, port: u16, to: SocketAddr);
    /// Drops all mappings, as at a restart. Forwarded ports stay.
    fn forget(&mut self);
}

impl<T: Translate + 'static> From<T> for Box<dyn Translate> {
    fn from(nat: T) -> Self {
        Box::new(nat)
    }
}

/// Addresses of an inbound packet after translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    pub to: SocketAddr,
    pub from: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub ttl: u8,
    pub payload: Vec<u8>,
}

/// The router of a node; `None`: it is on the Internet.
pub type Behind = Option<NodeId>;

#[derive(Debug)]
struct Node {
    behind: Behind,
    link: Link,
    addrs: Vec<IpAddr>,
    /// Whether UDP passes this node.
    udp: bool,
    firewall: Option<Firewall>,
    router: Option<Router>,
}

#[derive(Debug)]
struct Router {
    nat: Box<dyn Translate>,
    hairpin: bool,
    /// The next node for each address behind it.
    inside: BTreeMap<IpAddr, NodeId>,
}

/// The next place of a packet.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Hop {
    /// A router, from inside.
    Up(NodeId),
    /// The Internet.
    Across,
    /// A router from outside, or a host.
    Down(NodeId),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub delivered: u64,
    /// Dropped for their TTL.
    pub expired: u64,
    /// Dropped by a NAT or firewall.
    pub refused: u64,
}

#[derive(Debug)]
pub struct Net {
    now: Instant,
    dice: Dice,
    nodes: Vec<Node>,
    internet: BTreeMap<IpAddr, NodeId>,
    /// Routers of the Internet that each packet passes there.
    pub hops: u8,
    queue: BinaryHeap<Reverse<(Instant, u64, Hop)>>,
    flying: BTreeMap<u64, Packet>,
    next: u64,
    pub counts: Counts,
}

impl Net {
    pub fn new(now: Instant, seed: u64) -> Self {
        Self {
            now,
            dice: Dice::new(seed),
            nodes: Vec::new(),
            internet: BTreeMap::new(),
            hops: 1,
            queue: BinaryHeap::new(),
            flying: BTreeMap::new(),
            next: 0,
            counts: Counts::default(),
        }
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    fn add(&mut self, behind: Behind, link: Link, addrs: &[IpAddr], router: Option<Router>) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node { behind, link, addrs: Vec::new(), udp: true, firewall: None, router });
        addrs.iter().for_each(|addr| self.give(id, *addr));
        id
    }

    /// Adds a host. All its IPv6 addresses are global.
    pub fn host(&mut self, behind: Behind, link: Link, addrs: &[IpAddr]) -> NodeId {
        self.add(behind, link, addrs, None)
    }

    /// Adds a router with this outside address.
    pub fn router(
        &mut self,
        behind: Behind,
        link: Link,
        outside: IpAddr,
        nat: impl Into<Box<dyn Translate>>,
        hairpin: bool,
    ) -> NodeId {
        let router = Router { nat: nat.into(), hairpin, inside: BTreeMap::new() };
        self.add(behind, link, &[outside], Some(router))
    }

    /// Adds an address to a node.
    pub fn give(&mut self, id: NodeId, addr: IpAddr) {
        self.nodes[id.0].addrs.push(addr);
        let mut below = id;
        loop {
            let Some(above) = self.nodes[below.0].behind else {
                self.internet.insert(addr, below);
                return;
            };
            let router = self.nodes[above.0].router.as_mut().expect("behind a router");
            router.inside.insert(addr, below);
            if addr.is_ipv4() {
                return;
            }
            below = above;
        }
    }

    /// Removes an address from a node. Packets to it are lost.
    pub fn take(&mut self, id: NodeId, addr: IpAddr) {
        self.nodes[id.0].addrs.retain(|own| *own != addr);
        self.internet.remove(&addr);
        for router in self.nodes.iter_mut().filter_map(|node| node.router.as_mut()) {
            if addr.is_ipv6() || router.inside.get(&addr) == Some(&id) {
                router.inside.remove(&addr);
            }
        }
    }

    /// Adds a firewall to a host, or to a router for the IPv6 behind it.
    pub fn protect(&mut self, id: NodeId, firewall: Firewall) {
        self.nodes[id.0].firewall = Some(firewall);
    }

    pub fn behind(&self, id: NodeId) -> Behind {
        self.nodes[id.0].behind
    }

    pub fn link(&mut self, id: NodeId) -> &mut Link {
        &mut self.nodes[id.0].link
    }

    /// Whether UDP passes this node.
    pub fn set_udp(&mut self, id: NodeId, passes: bool) {
        self.nodes[id.0].udp = passes;
    }

    fn nat(&mut self, router: NodeId) -> &mut Router {
        self.nodes[router.0].router.as_mut().expect("a router")
    }

    pub fn forward(&mut self, router: NodeId, port: u16, to: SocketAddr) {
        self.nat(router).nat.forward(port, to);
    }

    /// Restarts a router: it drops its mappings.
    pub fn restart(&mut self, router: NodeId) {
        self.nat(router).nat.forget();
        if let Some(firewall) = &mut self.nodes[router.0].firewall {
            firewall.forget();
        }
    }

    /// Sends a datagram from a host's port and its first address of the destination's family. Without one it is dropped.
    pub fn send(&mut self, host: NodeId, port: u16, dst: SocketAddr, ttl: u8, payload: Vec<u8>) {
        self.counts.sent += 1;
        let now = self.now;
        let node = &mut self.nodes[host.0];
        let Some(ip) = node.addrs.iter().copied().find(|ip| ip.is_ipv4() == dst.is_ipv4()) else { return };
        let src = SocketAddr::new(ip, port);
        if let Some(firewall) = &mut node.firewall {
            firewall.outbound(now, src, dst);
        }
        let (link, next) = (node.link, node.behind.map_or(Hop::Across, Hop::Up));
        if !node.udp {
            return;
        }
        let neighbour = node.behind.and_then(|router| self.nat(router).inside.get(&dst.ip()).copied());
        let packet = Packet { src, dst, ttl, payload };
        match neighbour {
            // On one switch.
            Some(neighbour) => self.push(now + SWITCH, Hop::Down(neighbour), packet),
            None => self.carry(link, next, packet),
        }
    }

    /// When the next event is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, ..))| *at)
    }

    /// Advances the time. No event may be due before.
    pub fn wait_until(&mut self, at: Instant) {
        assert!(self.deadline().is_none_or(|due| due >= at), "an event is due before");
        self.now = self.now.max(at);
    }

    /// Processes the next event; returns the packet if a host received one.
    pub fn step(&mut self) -> Option<(NodeId, Packet)> {
        let Reverse((at, number, hop)) = self.queue.pop()?;
        self.now = self.now.max(at);
        let packet = self.flying.remove(&number).expect("every event has its packet");
        match hop {
            Hop::Up(router) => self.up(router, packet),
            Hop::Across => self.across(packet),
            Hop::Down(node) => return self.down(node, packet),
        }
        None
    }

    fn push(&mut self, at: Instant, hop: Hop, packet: Packet) {
        self.queue.push(Reverse((at, self.next, hop)));
        self.flying.insert(self.next, packet);
        self.next += 1;
    }

    fn carry(&mut self, link: Link, hop: Hop, packet: Packet) {
        for at in link.arrivals(self.now, &mut self.dice) {
            self.push(at, hop, packet.clone());
        }
    }

    /// Decrements the TTL; whether the packet goes on.
    fn lives(&mut self, packet: &mut Packet, by: u8) -> bool {
        let lives = packet.ttl > by;
        packet.ttl = packet.ttl.saturating_sub(by);
        self.counts.expired += u64::from(!lives);
        lives
    }

    fn up(&mut self, id: NodeId, mut packet: Packet) {
        if !self.nodes[id.0].udp || !self.lives(&mut packet, 1) {
            return;
        }
        let (now, node) = (self.now, &mut self.nodes[id.0]);
        let router = node.router.as_mut().expect("a router");
        let next = node.behind.map_or(Hop::Across, Hop::Up);
        let link = node.link;
        if packet.dst.is_ipv6() {
            if let Some(firewall) = &mut node.firewall {
                firewall.outbound(now, packet.src, packet.dst);
            }
            return self.carry(link, next, packet);
        }
        let outside = *node.addrs.iter().find(|ip| ip.is_ipv4()).expect("a router has an outside address");
        let back = packet.dst.ip() == outside;
        if back && !router.hairpin {
            self.counts.refused += 1;
            return;
        }
        let port = router.nat.outbound(now, &mut self.dice, packet.src, packet.dst);
        packet.src = SocketAddr::new(outside, port);
        if back {
            self.inward(id, packet);
        } else {
            self.carry(link, next, packet);
        }
    }

    fn across(&mut self, mut packet: Packet) {
        let hops = self.hops;
        let Some(owner) = self.internet.get(&packet.dst.ip()).copied() else { return };
        if self.lives(&mut packet, hops) {
            let link = self.nodes[owner.0].link;
            self.carry(link, Hop::Down(owner), packet);
        }
    }

    fn down(&mut self, id: NodeId, mut packet: Packet) -> Option<(NodeId, Packet)> {
        let (now, node) = (self.now, &mut self.nodes[id.0]);
        if !node.udp || !(node.addrs.contains(&packet.dst.ip()) || node.router.is_some()) {
            return None;
        }
        let filters = node.router.is_none() || packet.dst.is_ipv6();
        if filters && node.firewall.as_mut().is_some_and(|wall| !wall.inbound(now, packet.src, packet.dst)) {
            self.counts.refused += 1;
            return None;
        }
        let Some(router) = &mut node.router else {
            self.counts.delivered += 1;
            return Some((id, packet));
        };
        if packet.dst.is_ipv6() {
            let next = router.inside.get(&packet.dst.ip()).copied();
            if self.lives(&mut packet, 1)
                && let Some(next) = next
            {
                let link = self.nodes[next.0].link;
                self.carry(link, Hop::Down(next), packet);
            }
        } else {
            self.inward(id, packet);
        }
        None
    }

    /// Translates a packet to a router's outside address, and sends it on.
    fn inward(&mut self, id: NodeId, mut packet: Packet) {
        let (now, node) = (self.now, &mut self.nodes[id.0]);
        let router = node.router.as_mut().expect("a router");
        let Some(Inside { to, from }) =
            router.nat.inbound(now, &mut self.dice, packet.src, packet.dst.port())
        else {
            self.counts.refused += 1;
            return;
        };
        let next = router.inside.get(&to.ip()).copied();
        (packet.src, packet.dst) = (from, to);
        if self.lives(&mut packet, 1)
            && let Some(next) = next
        {
            let link = self.nodes[next.0].link;
            self.carry(link, Hop::Down(next), packet);
        }
    }
}
