//! Every pair of kinds of networks, under random faults: it ends direct where the table says direct, and relayed elsewhere.

use super::{
    kinds::pair,
    seeds, start,
    table::{Kind, is_direct},
};
use crate::netsim::Link;
use fyteclub_proto::number::u64_of;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// One pair with one seed, with the caller first. The faults end after 20 s; loss and jitter stay.
fn ends(kinds: [Kind; 2], seed: u64) {
    let direct = is_direct(kinds[0], kinds[1]);
    let name = format!("{kinds:?}, seed {seed}");
    let mut faults = crate::netsim::Dice::new(seed ^ 0x5eed);
    let line = Link {
        delay: Duration::from_millis(5 + faults.below(60)),
        jitter: Duration::from_millis(faults.below(20)),
        loss: 0.05 * faults.unit(),
        duplicate: 0.02 * faults.unit(),
        reorder: 0.05 * faults.unit(),
        cut: false,
    };
    let (mut world, routers) = pair(start(), seed, kinds, line);
    world.start_stun();
    world.run(SECOND * (2 + u32::from(faults.byte() % 60)));
    let began = world.now();
    world.call();
    if faults.chance(0.5) {
        world.begin_flow(Duration::from_millis(200));
    }
    for _ in 0..faults.below(4) {
        world.run(Duration::from_millis(faults.below(5000)));
        let at = faults.index(2);
        match faults.below(4) {
            0 if !routers[at].is_empty() => {
                let router = routers[at][faults.index(routers[at].len())];
                world.net.restart(router);
            }
            1 => {
                let node = world.peers[at].node;
                world.net.link(node).cut = true;
                world.run(Duration::from_millis(500 + faults.below(3000)));
                world.net.link(node).cut = false;
            }
            2 => world.stalled_until = world.now() + Duration::from_millis(faults.below(2000)),
            _ => world.restart_relay(),
        }
    }
    world.run_until(began + SECOND * 20, |_| false);
    world.end_flow();
    // An idle path that died is noticed, and four rounds of hole punching follow at the most.
    world.run(SECOND * 40);
    let end = began + SECOND * if direct { 400 } else { 60 };
    world.run_until(end, |world| direct && world.both_direct());
    let paths = [0, 1].map(|at| world.peers[at].chosen.map(|chosen| chosen.kind));
    assert!(world.both_have_paths(), "{name}: neither direct nor relayed, {paths:?}");
    assert_eq!([world.is_direct(0), world.is_direct(1)], [direct; 2], "{name}: {paths:?}");
    assert!(world.delivers(), "{name}: nothing arrives over {paths:?}");
    if !direct {
        assert!(world.peers.iter().all(|peer| peer.first_direct.is_none()), "{name}: was direct");
    }
}

/// All pairs of one kind with those from it on, each in both orders over the seeds.
fn row(first: usize) {
    for second in first..Kind::ALL.len() {
        for seed in 0..seeds(6) {
            let (a, b) = (Kind::ALL[first], Kind::ALL[second]);
            let kinds = if seed % 2 == 0 { [a, b] } else { [b, a] };
            ends(kinds, seed * 1000 + u64_of(first * 31 + second));
        }
    }
}

macro_rules! rows {
    ($($name:ident $kind:ident,)*) => {$(
        #[test]
        fn $name() {
            let first = Kind::ALL.iter().position(|kind| *kind == Kind::$kind).expect("a kind");
            row(first);
        }
    )*};
}

rows! {
    public_pairs_end_as_the_table_says Public,
    firewall_pairs_end_as_the_table_says Firewall,
    full_cone_pairs_end_as_the_table_says FullCone,
    address_restricted_pairs_end_as_the_table_says AddressRestricted,
    port_restricted_pairs_end_as_the_table_says PortRestricted,
    masquerade_pairs_end_as_the_table_says Masquerade,
    symmetric_pairs_end_as_the_table_says Symmetric,
    cgnat_pairs_end_as_the_table_says Cgnat,
    symmetric_cgnat_pairs_end_as_the_table_says SymmetricCgnat,
    blocked_pairs_end_as_the_table_says Blocked,
    mapped_pairs_end_as_the_table_says Mapped,
    ipv6_pairs_end_as_the_table_says Ipv6,
}
