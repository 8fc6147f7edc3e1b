//! Simulated networks of each kind.

use super::{table::Kind, world::World};
use crate::netsim::{Behind, Cone, Conntrack, Dice, Firewall, Link, Net, NodeId, Ports, Sees};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// One side of a pair: the player's host, its routers from the outermost on, its addresses, and a port to forward.
pub struct Side {
    pub host: NodeId,
    pub routers: Vec<NodeId>,
    pub addrs: Vec<IpAddr>,
    forwards: Option<u16>,
}

fn cone(dice: &mut Dice, maps: Sees, filters: Sees) -> Cone {
    let ports = match maps {
        Sees::Nothing => [Ports::Preserve, Ports::Random, Ports::Sequential][dice.index(3)],
        Sees::Address | Sees::AddressAndPort => [Ports::Random, Ports::Sequential][dice.index(2)],
    };
    let life = Duration::from_secs(30 + dice.below(90));
    Cone::new(maps, filters, ports).living(life, dice.chance(0.5))
}

fn masquerade(dice: &mut Dice) -> Conntrack {
    if dice.chance(0.5) { Conntrack::masquerade().open_input() } else { Conntrack::masquerade() }
}

/// Adds the routers and the host of a kind, on a line of its own.
pub fn side(net: &mut Net, dice: &mut Dice, number: u8, kind: Kind, line: Link) -> Side {
    let outside: IpAddr = [203, 0, 113, 10 + number].into();
    let inside: IpAddr = [192, 168, number, 2].into();
    if matches!(kind, Kind::Public | Kind::Firewall) {
        let host = net.host(None, line, &[outside]);
        if kind == Kind::Firewall {
            net.protect(host, Firewall::default());
        }
        return Side { host, routers: Vec::new(), addrs: vec![outside], forwards: None };
    }
    let (none, address, port) = (Sees::Nothing, Sees::Address, Sees::AddressAndPort);
    let fast = Link::of_ms(1);
    let mut routers = Vec::new();
    let mut add = |net: &mut Net, behind: Behind, outside: IpAddr, nat| {
        let router = match nat {
            Nat::Cone(cone) => net.router(behind, fast, outside, cone, true),
            Nat::Conntrack(conntrack) => net.router(behind, fast, outside, conntrack, true),
        };
        routers.push(router);
        router
    };
    enum Nat {
        Cone(Cone),
        Conntrack(Conntrack),
    }
    let carrier_addr: IpAddr = [100, 64, number, 9].into();
    let router = match kind {
        Kind::Public | Kind::Firewall => unreachable!("without a router"),
        Kind::FullCone => add(net, None, outside, Nat::Cone(cone(dice, none, none))),
        Kind::AddressRestricted => add(net, None, outside, Nat::Cone(cone(dice, none, address))),
        Kind::PortRestricted => add(net, None, outside, Nat::Cone(cone(dice, none, port))),
        Kind::Masquerade => add(net, None, outside, Nat::Conntrack(masquerade(dice))),
        Kind::Mapped | Kind::Blocked if dice.chance(0.5) => {
            add(net, None, outside, Nat::Cone(cone(dice, none, port)))
        }
        Kind::Mapped | Kind::Blocked => add(net, None, outside, Nat::Conntrack(masquerade(dice))),
        Kind::Symmetric if dice.chance(0.5) => add(net, None, outside, Nat::Cone(cone(dice, port, port))),
        Kind::Symmetric | Kind::Ipv6 => add(net, None, outside, Nat::Conntrack(Conntrack::random())),
        Kind::Cgnat => {
            let carrier = add(net, None, outside, Nat::Cone(cone(dice, none, port)));
            add(net, Some(carrier), carrier_addr, Nat::Conntrack(masquerade(dice)))
        }
        Kind::SymmetricCgnat => {
            let carrier = add(net, None, outside, Nat::Cone(cone(dice, port, port)));
            add(net, Some(carrier), carrier_addr, Nat::Conntrack(masquerade(dice)))
        }
    };
    let mut addrs = vec![inside];
    if kind == Kind::Ipv6 {
        net.protect(router, Firewall::default());
        addrs.push([0x2001, 0xdb8, number.into(), 0, 0, 0, 0, 2].into());
    }
    let host = net.host(Some(router), line, &addrs);
    if kind == Kind::Blocked {
        net.set_udp(router, false);
    }
    let forwards = (kind == Kind::Mapped).then(|| dice.port().max(30_000));
    Side { host, routers, addrs, forwards }
}

/// Two sides and a phone book. Lines have `line`'s numbers.
pub fn pair(now: Instant, seed: u64, kinds: [Kind; 2], line: Link) -> (World, [Vec<NodeId>; 2]) {
    let mut dice = Dice::new(seed);
    let mut net = Net::new(now, dice.draw());
    net.hops = 1 + dice.byte() % 8;
    let sides =
        [(1, kinds[0]), (2, kinds[1])].map(|(number, kind)| side(&mut net, &mut dice, number, kind, line));
    let nodes = [0, 1].map(|at| (sides[at].host, sides[at].addrs.clone()));
    let mut world = World::new(net, dice, nodes, line);
    for (number, (side, peer)) in (11..).zip(sides.iter().zip(&mut world.peers)) {
        if let Some(port) = side.forwards {
            // The outside port asked for is the inside one, and not every router grants it.
            let port = if world.dice.chance(0.5) { peer.port } else { port };
            let outside = SocketAddr::new([203, 0, 113, number].into(), port);
            peer.mapped = Some(outside);
            let inside = SocketAddr::new(side.addrs[0], peer.port);
            world.net.forward(side.routers[0], port, inside);
        }
    }
    (world, sides.map(|side| side.routers))
}
