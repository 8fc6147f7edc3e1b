//! Paths that become better, or are repaired, long after the introduction: offers go over the link alone.

use super::{kinds::pair, start, table::Kind, world::World};
use crate::netsim::{Link, NodeId};
use fyteclub_proto::reaching::traversal::Input;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A pair that was introduced, after the phone book has stopped to carry its letters.
fn introduced(kinds: [Kind; 2], seed: u64, blocked: bool) -> (World, [Vec<NodeId>; 2]) {
    let (mut world, routers) = pair(start(), seed, kinds, Link { loss: 0.01, ..Link::of_ms(25) });
    world.start_stun();
    world.run(SECOND * 5);
    if blocked {
        world.net.set_udp(routers[0][0], false);
    }
    world.call();
    world.run(SECOND * 60);
    world.letters = false;
    (world, routers)
}

#[test]
fn relayed_link_becomes_direct_when_udp_gets_through() {
    for seed in 0..10 {
        let (mut world, routers) = introduced([Kind::PortRestricted, Kind::Masquerade], seed, true);
        assert!(world.both_have_paths() && !world.both_direct());
        world.run(SECOND * 600);
        world.net.set_udp(routers[0][0], true);
        let began = world.now();
        world.run_until(began + SECOND * 1200, |world| world.both_direct());
        let took = world.now().duration_since(began);
        println!("seed {seed}: direct after {took:?}");
        assert!(world.both_direct() && world.delivers(), "seed {seed}");
    }
}

#[test]
fn reconnected_path_is_direct_again_within_3_s() {
    for kinds in [[Kind::PortRestricted, Kind::Masquerade], [Kind::Symmetric, Kind::Public]] {
        for seed in 0..10 {
            let (mut world, _) = introduced(kinds, seed, false);
            assert!(world.both_direct());
            world.begin_flow(Duration::from_millis(20));
            world.run(SECOND * 5);
            for at in 0..2 {
                world.peers.iter_mut().for_each(|peer| peer.gap = Duration::ZERO);
                let switches = world.peers[at].switches;
                world.give(at, Input::Reconnect);
                world.run(SECOND * 3);
                assert!(world.both_direct(), "seed {seed}, {kinds:?}");
                assert!(world.peers[at].switches > switches, "seed {seed}: the path was not left");
                let gap = world.peers.iter().map(|peer| peer.gap).max();
                assert!(gap < Some(SECOND), "seed {seed}: {gap:?}");
            }
        }
    }
}

#[test]
fn left_path_comes_back_in_a_minute() {
    for seed in 0..10 {
        let (mut world, _) = introduced([Kind::PortRestricted, Kind::Masquerade], seed, false);
        assert!(world.both_direct());
        world.give(0, Input::FailOver);
        world.run(SECOND);
        assert!(!world.is_direct(0) && !world.is_direct(1), "seed {seed}: both leave it");
        world.run(SECOND * 29);
        assert!(!world.is_direct(0) && world.delivers(), "seed {seed}");
        world.run(SECOND * 30);
        assert!(world.both_direct() && world.delivers(), "seed {seed}");
    }
}

/// Half of the direct path's packets get lost: rounds begin, and not many.
#[test]
fn lossy_path_is_searched_for_seldom() {
    for seed in 0..5 {
        let (mut world, _) = introduced([Kind::PortRestricted, Kind::Masquerade], seed, false);
        let node = world.peers[0].node;
        world.net.link(node).loss = 0.1;
        world.begin_flow(Duration::from_millis(20));
        let told = |world: &World| world.told;
        let before = told(&world);
        world.run(SECOND * 300);
        let rounds = told(&world) - before;
        assert!((2..=16).contains(&rounds), "seed {seed}: {rounds} offers");
        assert!(world.delivers(), "seed {seed}");
    }
}
