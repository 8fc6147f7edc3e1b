//! Single networks that the table of kinds does not have: neighbours, clashes, open routers, forwarded ports, relays only.

use super::{
    book::{Book, PORT},
    kinds::pair,
    start,
    table::{Kind, is_direct},
    world::World,
};
use crate::netsim::{Behind, Cone, Conntrack, Dice, Link, Net, NodeId, Ports, Sees, TTL, Translate};
use fyteclub_proto::{
    number::{f64_of, u64_of},
    reaching::{
        candidate::{Candidate, Origin},
        nat::Nat,
        traversal::{Input, Kind as PathKind, Status},
    },
};
use std::{net::IpAddr, net::SocketAddr, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

fn line() -> Link {
    Link::of_ms(25)
}

/// Two hosts behind routers of their own; `behind` is where the routers are.
fn homes(seed: u64, nats: [Box<dyn Translate>; 2], behind: impl Fn(&mut Net) -> Behind) -> World {
    let mut dice = Dice::new(seed);
    let mut net = Net::new(start(), dice.draw());
    let above = behind(&mut net);
    let mut nodes = Vec::new();
    for (number, nat) in (1..).zip(nats) {
        let outside = if above.is_some() { [100, 64, number, 9] } else { [203, 0, 113, number] };
        let router = net.router(above, Link::of_ms(1), outside.into(), nat, true);
        let inside: IpAddr = [192, 168, number, 2].into();
        nodes.push((net.host(Some(router), line(), &[inside]), vec![inside]));
    }
    let nodes: [(NodeId, Vec<IpAddr>); 2] = nodes.try_into().expect("two");
    World::new(net, dice, nodes, line())
}

fn called(world: &mut World) {
    world.start_stun();
    world.run(SECOND * 5);
    world.call();
}

fn masquerade() -> Box<dyn Translate> {
    Box::new(Conntrack::masquerade())
}

fn open_input() -> Box<dyn Translate> {
    Box::new(Conntrack::masquerade().open_input())
}

fn port_restricted() -> Box<dyn Translate> {
    Box::new(Cone::new(Sees::Nothing, Sees::AddressAndPort, Ports::Random))
}

#[test]
fn neighbours_use_the_lan() {
    for hairpin in [true, false] {
        let mut dice = Dice::new(5);
        let mut net = Net::new(start(), dice.draw());
        let outside: IpAddr = [203, 0, 113, 1].into();
        let router = net.router(None, Link::of_ms(1), outside, Conntrack::masquerade(), hairpin);
        let nodes = [2, 3].map(|n| {
            let inside: IpAddr = [192, 168, 1, n].into();
            (net.host(Some(router), line(), &[inside]), vec![inside])
        });
        let mut world = World::new(net, dice, nodes, line());
        called(&mut world);
        world.run(SECOND * 5);
        for peer in &world.peers {
            assert_eq!(peer.chosen.map(|chosen| chosen.kind), Some(PathKind::Lan), "hairpin: {hairpin}");
        }
        assert!(world.delivers());
    }
}

#[test]
fn one_carrier_is_direct_only_with_hairpin() {
    for hairpin in [true, false] {
        let carrier = |net: &mut Net| {
            let cone = Cone::new(Sees::Nothing, Sees::AddressAndPort, Ports::Random);
            Some(net.router(None, Link::of_ms(1), [203, 0, 113, 1].into(), cone, hairpin))
        };
        let mut world = homes(5, [masquerade(), masquerade()], carrier);
        called(&mut world);
        world.run(SECOND * 120);
        assert_eq!([world.is_direct(0), world.is_direct(1)], [hairpin; 2]);
        assert!(world.both_have_paths() && world.delivers());
    }
}

/// A flow of the socket clashed with a neighbour's before the introduction: the next new flow gets that flow's port, and the
/// kept flow does not.
#[test]
fn fresh_address_survives_a_port_clash() {
    for stale in [false, true] {
        let mut world = homes(5, [masquerade(), port_restricted()], |_| None);
        world.stale = stale;
        world.start_stun();
        world.run(SECOND * 40);
        let peer = &world.peers[0];
        let (node, port) = (peer.node, peer.port);
        let other = SocketAddr::from(([198, 51, 100, 9], 9000));
        let neighbour = world.net.host(world.net.behind(node), line(), &[[192, 168, 1, 3].into()]);
        world.net.send(neighbour, port, other, TTL, Vec::new());
        world.run(SECOND);
        world.net.send(node, port, other, TTL, Vec::new());
        world.run(SECOND);
        world.call();
        world.run(SECOND * 3);
        assert_eq!([world.is_direct(0), world.is_direct(1)], [!stale; 2], "stale: {stale}");
    }
}

/// A router that takes packets for itself keeps an early packet's mapping from its host, unless the packet dies before.
#[test]
fn low_ttl_keeps_open_routers_usable() {
    for plain_ttl in [false, true] {
        for nats in [[open_input(), open_input()], [masquerade(), open_input()], [open_input(), masquerade()]]
        {
            let callers = format!("{:?}", nats[0]).contains("open_input: true");
            let mut world = homes(5, nats, |_| None);
            world.peers.iter_mut().for_each(|peer| peer.plain_ttl = plain_ttl);
            called(&mut world);
            // The callee begins before the caller has its answer.
            world.run(Duration::from_millis(50));
            world.stalled_until = world.now() + Duration::from_millis(450);
            world.run(SECOND * 3);
            assert!(world.both_have_paths());
            assert_eq!(world.both_direct(), !plain_ttl || !callers, "usual TTL: {plain_ttl}");
        }
    }
}

/// The table does not see it, but the time does: a failed round is followed by silence of more than 30 s.
#[test]
fn failed_round_is_followed_by_silence() {
    let (mut world, _) = pair(start(), 5, [Kind::Symmetric, Kind::PortRestricted], line());
    called(&mut world);
    world.run(SECOND * 200);
    for peer in &world.peers {
        let book = Book::addr(PORT).ip();
        let mut sent: Vec<_> = peer.targets.iter().filter(|(to, _)| to.ip() != book).collect();
        sent.retain(|(to, _)| to.ip().is_ipv4());
        let mut times: Vec<_> = sent.iter().flat_map(|(_, times)| times.iter().copied()).collect();
        times.sort();
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect();
        let long = gaps.iter().filter(|gap| **gap > SECOND * 30).count();
        assert_eq!(long, 2, "three rounds: {gaps:?}");
        assert!(gaps.iter().all(|gap| *gap > SECOND * 30 || *gap < SECOND * 2), "{gaps:?}");
    }
    assert!(matches!(world.status(0), Status::Relayed(PathKind::Relay, why) if why.contains("your router")));
    assert!(matches!(world.status(1), Status::Relayed(PathKind::Relay, why) if why.contains("their router")));
}

#[test]
fn relay_only_sends_to_the_phone_book_alone() {
    for hidden in [0, 1] {
        let (mut world, _) = pair(start(), 5, [Kind::Public, Kind::Public], line());
        world.peers[hidden].relay_only = true;
        called(&mut world);
        world.run(SECOND * 120);
        assert!(world.both_have_paths() && world.delivers());
        let book = Book::addr(PORT).ip();
        assert!(world.peers[hidden].targets.keys().all(|to| to.ip() == book));
        let own = world.peers[hidden].addrs[0];
        assert!(
            world.peers[1 - hidden].targets.keys().all(|to| to.ip() != own),
            "the other learnt the address"
        );
        assert!(matches!(world.status(hidden), Status::Relayed(..)));
        let Status::Relayed(_, why) = world.status(1 - hidden) else { panic!("relayed at both ends") };
        assert_eq!(why, "they tell no address to try: they may allow relays only");
    }
}

/// Ten minutes without anything to send, behind NATs that forget after 30 s and count only what goes out.
#[test]
fn idle_peer_costs_less_than_5_bytes_a_second() {
    for kinds in [[Kind::PortRestricted; 2], [Kind::Symmetric, Kind::PortRestricted], [Kind::Blocked; 2]] {
        let cone = |maps| -> Box<dyn Translate> {
            let cone = Cone::new(maps, Sees::AddressAndPort, Ports::Random);
            Box::new(cone.living(SECOND * 30, false))
        };
        let mut world = match kinds {
            [Kind::PortRestricted, _] => homes(5, [cone(Sees::Nothing), cone(Sees::Nothing)], |_| None),
            [Kind::Symmetric, _] => homes(5, [cone(Sees::AddressAndPort), cone(Sees::Nothing)], |_| None),
            _ => pair(start(), 5, kinds, line()).0,
        };
        called(&mut world);
        // The rounds that fail come at growing pauses.
        world.run(SECOND * 700);
        let direct = is_direct(kinds[0], kinds[1]);
        let before = [0, 1].map(|at| (world.peers[at].sent, world.peers[at].switches));
        world.run(SECOND * 600);
        for (at, (sent, switches)) in before.into_iter().enumerate() {
            let peer = &world.peers[at];
            let rate = f64_of(u64_of(peer.sent - sent)) / 600.0;
            println!("{kinds:?}: {rate:.2} bytes a second, {} packets", peer.packets);
            assert!(rate <= 5.0, "{kinds:?}: {rate} bytes a second");
            assert_eq!((peer.switches, world.is_direct(at)), (switches, direct), "{kinds:?}");
        }
        assert!(world.delivers());
    }
}

/// Whatever has no way ends without a storm of packets.
#[test]
fn pair_without_any_way_stays_quiet() {
    let (mut world, _) = pair(start(), 5, [Kind::Blocked, Kind::Symmetric], line());
    (world.relay, world.tcp) = (false, false);
    called(&mut world);
    world.run(SECOND * 600);
    assert_eq!([world.status(0), world.status(1)], [Status::Searching; 2]);
    assert!(world.peers.iter().all(|peer| peer.packets < 200), "{:?}", world.peers[1].packets);
}

/// A router grants a port late: a relayed pair goes direct without another round.
#[test]
fn late_forwarded_port_is_used_at_once() {
    let (mut world, routers) = pair(start(), 5, [Kind::Symmetric, Kind::PortRestricted], line());
    called(&mut world);
    world.run(SECOND * 10);
    assert!(!world.both_direct() && world.both_have_paths());
    let outside: SocketAddr = ([203, 0, 113, 11], 40_000).into();
    let inside = SocketAddr::new(world.peers[0].addrs[0], world.peers[0].port);
    world.net.forward(routers[0][0], outside.port(), inside);
    let mut reachable = world.peers[0].reachable();
    reachable.0.insert(0, Candidate { origin: Origin::Mapped, addr: outside });
    world.give(0, Input::Reachable(reachable));
    world.run(SECOND * 2);
    assert!(world.both_direct());
    assert_eq!(world.peers[1].chosen.map(|chosen| chosen.kind), Some(PathKind::Mapped));
    assert!(world.delivers());
}

/// The end with the harder NAT dials, whoever calls.
#[test]
fn harder_nat_dials_whoever_calls() {
    for (kinds, dials) in [
        ([Kind::Symmetric, Kind::FullCone], [true, false]),
        ([Kind::FullCone, Kind::Symmetric], [false, true]),
        ([Kind::Public, Kind::Cgnat], [false, true]),
        // The larger key.
        ([Kind::PortRestricted, Kind::PortRestricted], [false, true]),
    ] {
        let (mut world, _) = pair(start(), 5, kinds, line());
        called(&mut world);
        world.run(SECOND * 5);
        let decided = [0, 1].map(|at| world.peers[at].traversal.as_ref().and_then(|one| one.dials()));
        assert_eq!(decided, dials.map(Some), "{kinds:?}");
    }
}

#[test]
fn stun_tells_the_kinds_apart() {
    for (kind, nat) in [
        (Kind::Public, Nat::Open),
        (Kind::Firewall, Nat::Open),
        (Kind::FullCone, Nat::Same),
        (Kind::Masquerade, Nat::Same),
        (Kind::Symmetric, Nat::PerDestination),
        (Kind::Cgnat, Nat::Same),
        (Kind::SymmetricCgnat, Nat::PerDestination),
        (Kind::Blocked, Nat::Blocked),
    ] {
        for seed in 0..20 {
            let (mut world, _) = pair(start(), seed, [kind, Kind::Public], line());
            world.start_stun();
            world.run(SECOND * 5);
            assert_eq!(world.peers[0].stun.outside().nat, nat, "{kind:?}, seed {seed}");
        }
    }
}
