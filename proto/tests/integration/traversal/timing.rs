//! How soon a path works, over lines with 100 ms and 2 % loss.

use super::{
    kinds::pair,
    p95, seeds, start,
    table::{Kind, is_direct},
};
use crate::netsim::Link;
use std::time::Duration;

/// A round trip of 100 ms between any two hosts, and 2 % loss over the two lines of each packet.
fn line() -> Link {
    Link { loss: 0.01, ..Link::of_ms(25) }
}

#[test]
fn path_within_1_s_and_direct_within_3_s() {
    use Kind::*;
    for kinds in [
        [PortRestricted, PortRestricted],
        [Masquerade, Masquerade],
        [Symmetric, Public],
        [AddressRestricted, Symmetric],
        [Cgnat, Firewall],
        [Mapped, SymmetricCgnat],
        [Ipv6, Ipv6],
        [Symmetric, PortRestricted],
        [Blocked, Masquerade],
        [Blocked, Blocked],
    ] {
        let (mut first, mut direct) = (Vec::new(), Vec::new());
        for seed in 0..seeds(100).max(100) {
            let (mut world, _) = pair(start(), seed, kinds, line());
            world.start_stun();
            world.run(Duration::from_secs(10));
            let began = world.now();
            world.call();
            world.run(Duration::from_secs(10));
            let took = |at: Option<std::time::Instant>| {
                at.map_or(Duration::from_secs(10), |at| at.duration_since(began))
            };
            let worst = |times: [Option<std::time::Instant>; 2]| times.map(took).into_iter().max();
            first.extend(worst([0, 1].map(|at| world.peers[at].first_path)));
            direct.extend(worst([0, 1].map(|at| world.peers[at].first_direct)));
        }
        let (first, direct) = (p95(first), p95(direct));
        println!("{kinds:?}: a path {first:?}, direct {direct:?}");
        let limit = if kinds.contains(&Blocked) { 1500 } else { 1000 };
        assert!(first <= Duration::from_millis(limit), "{kinds:?}: a path after {first:?}");
        assert!(direct <= Duration::from_secs(3) || !is_direct(kinds[0], kinds[1]), "{kinds:?}: {direct:?}");
    }
}
