//! A path dies or moves during a transfer: packets flow again soon, and the better path comes back.

use super::{kinds::pair, p95, seeds, start, table::Kind, world::World};
use crate::netsim::{Link, NodeId};
use fyteclub_proto::reaching::traversal::Kind as PathKind;
use std::{net::IpAddr, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// 100 ms a round trip and 2 % loss.
fn line() -> Link {
    Link { loss: 0.01, ..Link::of_ms(25) }
}

/// A pair in a transfer of a packet each 20 ms, over its final path.
fn transferring(kinds: [Kind; 2], seed: u64) -> (World, [Vec<NodeId>; 2]) {
    let (mut world, routers) = pair(start(), seed, kinds, line());
    world.start_stun();
    world.run(SECOND * 5);
    world.call();
    world.run(SECOND * 2);
    world.begin_flow(Duration::from_millis(20));
    world.run(SECOND * 5);
    world.peers.iter_mut().for_each(|peer| peer.gap = Duration::ZERO);
    (world, routers)
}

/// The longest time without a packet at either end, at p95 of the seeds, after `fault`; and the worst time until both are
/// direct again.
fn measure(
    name: &str,
    kinds: [Kind; 2],
    direct: bool,
    fault: impl Fn(&mut World, &[Vec<NodeId>; 2]),
) -> Duration {
    let mut gaps = Vec::new();
    let mut switches = 0;
    for seed in 0..seeds(100).max(100) {
        let (mut world, routers) = transferring(kinds, seed);
        assert!(world.both_direct(), "{name}, seed {seed}: not direct before");
        fault(&mut world, &routers);
        world.run(SECOND * 10);
        let end = world.now() + SECOND * 90;
        world.run_until(end, |world| !direct || world.both_direct());
        assert_eq!(world.both_direct(), direct, "{name}, seed {seed}");
        world.run(SECOND);
        gaps.extend(world.peers.iter().map(|peer| peer.gap).max());
        switches = switches.max(world.peers[0].switches);
        assert!(world.delivers(), "{name}, seed {seed}");
    }
    let gap = p95(gaps);
    println!("{name}: {gap:?} without a packet at p95, {switches} switches at the most");
    gap
}

#[test]
fn restarted_router_costs_2_s_at_most() {
    use Kind::*;
    for kinds in [
        [PortRestricted, PortRestricted],
        [Masquerade, FullCone],
        [Symmetric, Public],
        [Cgnat, Firewall],
        [Mapped, PortRestricted],
    ] {
        let gap = measure(&format!("restart, {kinds:?}"), kinds, true, |world, routers| {
            world.net.restart(routers[0][0]);
        });
        assert!(gap <= SECOND * 2, "{kinds:?}: {gap:?}");
    }
}

/// The outside address changes, and the machine behind the router is not told.
#[test]
fn changed_outside_address_costs_2_s_at_most() {
    use Kind::*;
    for kinds in [[PortRestricted, PortRestricted], [FullCone, Masquerade], [Symmetric, Public]] {
        let gap = measure(&format!("renumbered, {kinds:?}"), kinds, true, |world, routers| {
            let router = routers[0][0];
            let old: IpAddr = [203, 0, 113, 11].into();
            world.net.take(router, old);
            world.net.give(router, [203, 0, 113, 99].into());
            world.net.restart(router);
        });
        assert!(gap <= SECOND * 2, "{kinds:?}: {gap:?}");
    }
}

/// The machine itself gets another address, and notices it.
#[test]
fn moved_machine_costs_2_s_at_most() {
    use Kind::*;
    for kinds in [[Public, PortRestricted], [Public, Public], [Public, Symmetric]] {
        let gap = measure(&format!("moved, {kinds:?}"), kinds, true, |world, _| {
            let (node, old, new) = (world.peers[0].node, world.peers[0].addrs[0], [203, 0, 113, 98].into());
            world.net.take(node, old);
            world.net.give(node, new);
            world.peers[0].addrs = vec![new];
            world.moved(0);
        });
        assert!(gap <= SECOND * 2, "{kinds:?}: {gap:?}");
    }
}

#[test]
fn blocked_udp_leads_to_relay_over_tcp() {
    let kinds = [Kind::PortRestricted, Kind::PortRestricted];
    let gap = measure("blocked", kinds, false, |world, routers| world.net.set_udp(routers[0][0], false));
    assert!(gap <= SECOND * 3, "{gap:?}");
}

#[test]
fn direct_path_comes_back_after_an_outage() {
    let (mut world, routers) = transferring([Kind::PortRestricted, Kind::Cgnat], 5);
    assert!(world.both_direct());
    world.net.set_udp(routers[0][0], false);
    world.run(SECOND * 20);
    let over = |world: &World| world.peers[0].chosen.map(|chosen| chosen.kind);
    assert_eq!(over(&world), Some(PathKind::RelayTcp));
    world.net.set_udp(routers[0][0], true);
    let end = world.now() + SECOND * 150;
    world.run_until(end, |world| world.both_direct());
    assert!(world.both_direct() && world.delivers());
}

/// A pair that is relayed loses its relay: a new session carries it.
#[test]
fn restarted_relay_is_replaced() {
    let (mut world, _) = transferring([Kind::Symmetric, Kind::PortRestricted], 5);
    assert!(!world.both_direct() && world.both_have_paths());
    world.restart_relay();
    world.run(SECOND * 10);
    assert!(world.both_have_paths() && world.delivers());
}

/// Packets get lost and late, and the path stays.
#[test]
fn lossy_path_is_not_left() {
    for seed in 0..20 {
        let (mut world, _) = transferring([Kind::PortRestricted, Kind::PortRestricted], seed);
        let before = [0, 1].map(|at| world.peers[at].switches);
        for at in 0..2 {
            let node = world.peers[at].node;
            *world.net.link(node) =
                Link { jitter: Duration::from_millis(30), loss: 0.03, reorder: 0.1, ..Link::of_ms(60) };
        }
        world.run(SECOND * 60);
        let switches = [0, 1].map(|at| world.peers[at].switches - before[at]);
        assert_eq!(switches, [0, 0], "seed {seed}");
    }
}

/// While nothing is sent, a dead path is noticed when something is to be sent again.
#[test]
fn dead_idle_path_is_noticed_when_busy() {
    let mut gaps = Vec::new();
    for seed in 0..100 {
        let (mut world, routers) = pair(start(), seed, [Kind::PortRestricted, Kind::Masquerade], line());
        world.start_stun();
        world.run(SECOND * 5);
        world.call();
        world.run(SECOND * 60);
        assert!(world.both_direct());
        world.net.restart(routers[0][0]);
        world.net.restart(routers[1][0]);
        world.run(Duration::from_millis(100));
        let (began, received) = (world.now(), world.peers[1].received);
        world.begin_flow(Duration::from_millis(20));
        let end = began + SECOND * 10;
        world.run_until(end, |world| world.peers[1].received > received);
        gaps.push(world.now().duration_since(began));
    }
    let gap = p95(gaps);
    println!("idle: {gap:?} until a packet at p95");
    assert!(gap <= SECOND * 2, "{gap:?}");
}
