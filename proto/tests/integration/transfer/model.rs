//! The machine among random sources that hold parts, stall, lie, lack, leave and return, with a receiver that restarts,
//! under virtual time and against a model of its disk.
//!
//! Every wanted chunk arrives on disk and is counted once, or the failure has a reason; with one honest source that has
//! everything it always succeeds.

mod world;

use fyteclub_proto::{
    fetching::transfer::{Failure, Output},
    limit::{CHUNK_SIZE, STREAMS_PER_SOURCE},
    number::{f64_of, u64_of},
};
use proptest::{prelude::*, test_runner::RngSeed};
use std::time::Duration;
use world::{MB, Nature, World};

fn nature() -> impl Strategy<Value = Nature> {
    let span = || prop::option::weighted(0.3, (0.0..20.0f64, 0.5..60.0f64).prop_map(|(a, b)| (a, a + b)));
    let every = |weight| prop::option::weighted(weight, 1u32..60);
    (
        (prop_oneof![0.02..1.0f64, 1.0..30.0f64], 0u64..300),
        (prop::option::weighted(0.5, any::<u64>()), prop::option::weighted(0.3, 0.1..5.0f64)),
        (span(), span()),
        (every(0.15), every(0.15), every(0.15), every(0.1)),
    )
        .prop_map(|((rate, latency), (holds, grows), (silent, away), (lies, breaks, lacks, busy))| {
            Nature {
                rate: rate * MB,
                latency: Duration::from_millis(latency),
                holds,
                grows,
                silent,
                away,
                lies,
                breaks,
                lacks,
                busy,
            }
        })
}

fn sizes() -> impl Strategy<Value = Vec<u64>> {
    let chunk = u64_of(CHUNK_SIZE);
    let size =
        prop_oneof![3 => 0u64..5000, 2 => 0u64..=chunk, 2 => chunk..8 * chunk, 1 => 8 * chunk..80 * chunk];
    prop::collection::vec(size, 1..60)
}

fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::with_cases(256)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn with_one_honest_source_it_always_ends_well(
        sizes in sizes(),
        mut natures in prop::collection::vec(nature(), 0..6),
        honest in 0.5..20.0f64,
        restarts in prop::collection::vec(0.2..20.0f64, 0..3),
    ) {
        natures.push(Nature::honest(honest * MB));
        let mut world = World::new(&sizes, natures);
        let mut before = 0;
        for at in restarts {
            world.run(at);
            if world.ending.is_some() {
                break;
            }
            world.audit();
            prop_assert!(world.disk.len() >= before, "what is verified stays");
            before = world.disk.len();
            world.restart();
        }
        world.run(f64::INFINITY);
        prop_assert_eq!(world.ending.as_ref(), Some(&Output::Done));
        world.audit();
        prop_assert_eq!(world.disk.len(), world.chunks());
        // Nothing is requested again and again.
        let most = 4 * world.chunks() + 200 * world.sources.len();
        prop_assert!(world.asks <= most, "{} requests for {} chunks", world.asks, world.chunks());
        let most = world.total() / 20 + u64_of(4 * world.sources.len() * STREAMS_PER_SOURCE * CHUNK_SIZE);
        prop_assert!(world.again <= most, "{} of {} bytes came again", world.again, world.total());
    }

    #[test]
    fn without_one_the_reason_is_told(
        sizes in sizes(),
        natures in prop::collection::vec(nature(), 1..5),
    ) {
        let mut world = World::new(&sizes, natures);
        world.run(f64::INFINITY);
        world.audit();
        let all = world.disk.len() == world.chunks();
        prop_assert_eq!(world.ending == Some(Output::Done), all, "{:?}", world.ending);
    }
}

#[test]
fn three_sources_of_one_rate_are_three_times_as_fast() {
    let mut world = World::new(&[300 << 20; 3], vec![Nature::honest(10.0 * MB); 3]);
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Done));
    let ideal = f64_of(world.total()) / (30.0 * MB);
    println!("{:.1} s, ideal {ideal:.1} s, again {}", world.time(), world.again);
    assert!(world.time() < ideal / 0.95, "{} s instead of {ideal}", world.time());
    assert!(world.again * 100 < world.total(), "{} bytes came again", world.again);
}

#[test]
fn sources_of_any_rates_add_up() {
    for rates in [&[20.0, 5.0, 1.0][..], &[8.0, 0.3], &[2.0, 2.0, 2.0, 30.0], &[0.1, 0.1, 10.0]] {
        let natures = rates.iter().map(|rate| Nature::honest(rate * MB)).collect();
        let mut world = World::new(&[100 << 20], natures);
        world.run(f64::INFINITY);
        assert_eq!(world.ending, Some(Output::Done));
        let ideal = f64_of(world.total()) / (rates.iter().sum::<f64>() * MB);
        println!("{rates:?}: {:.1} s, ideal {ideal:.1} s, again {}", world.time(), world.again);
        assert!(world.time() < ideal / 0.85 + 1.0, "{rates:?}: {} s instead of {ideal}", world.time());
        assert!(world.again * 20 < world.total(), "{rates:?}: {} bytes came again", world.again);
    }
}

#[test]
fn one_of_three_dies_and_little_comes_twice() {
    let mut natures = vec![Nature::honest(10.0 * MB); 3];
    natures[0].away = Some((2.0, f64::INFINITY));
    let mut world = World::new(&[100 << 20], natures.clone());
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Done));
    assert!(world.again * 20 <= world.total(), "{} bytes came again", world.again);
    let asked: f64 = 20.0 + (f64_of(world.total()) / MB - 60.0) / 2.0;
    assert!(world.time() < 2.0 + asked, "it went on with the others: {}", world.time());
    // The same, but it only falls silent, without an event.
    (natures[0].away, natures[0].silent) = (None, Some((2.0, f64::INFINITY)));
    let mut world = World::new(&[100 << 20], natures);
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Done));
    assert!(world.again * 20 <= world.total(), "{} bytes came again", world.again);
    let ideal = 2.0 + (f64_of(world.total()) - 60.0 * MB) / (20.0 * MB);
    println!("{:.1} s, ideal {ideal:.1} s, again {}", world.time(), world.again);
    assert!(world.time() < ideal + 3.0, "a silent source holds it up: {} s, not {ideal}", world.time());
}

#[test]
fn the_owner_leaves_and_two_halves_make_a_whole() {
    let mut natures = vec![Nature::honest(5.0 * MB); 3];
    natures[0].away = Some((1.0, f64::INFINITY));
    natures[1].holds = Some(0x5555_5555_5555_5555);
    natures[2].holds = Some(0xaaaa_aaaa_aaaa_aaaa);
    let mut world = World::new(&[1 << 20; 60], natures);
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Done));
    assert!(world.sources.iter().all(|source| source.brought > 0));
}

#[test]
fn nobody_has_the_rest() {
    let mut natures = vec![Nature::honest(5.0 * MB); 2];
    natures[0].away = Some((1.0, f64::INFINITY));
    natures[1].holds = Some(0x5555_5555_5555_5555);
    let mut world = World::new(&[1 << 20; 60], natures);
    world.run(f64::INFINITY);
    assert_eq!(world.ending, Some(Output::Starved(Failure::Unreachable)));
    world.audit();
    assert!(world.disk.len() >= 30 * 4, "all that could be had was had: {}", world.disk.len());
}
