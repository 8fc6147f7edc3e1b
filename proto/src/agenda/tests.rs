//! The order under virtual time.

use super::*;
use proptest::{collection::vec, option, prelude::*, test_runner::RngSeed};
use std::collections::BTreeSet;

const MIB: u64 = 1 << 20;

fn name(number: usize) -> PlayerName {
    format!("Player N{number}@Balmung").parse().expect("a name")
}

struct World {
    agenda: Agenda,
    now: Instant,
    running: BTreeSet<PlayerName>,
    prefetched: Vec<PlayerName>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn new(budget: u64) -> Self {
        Self {
            agenda: Agenda::new(budget),
            now: Instant::now(),
            running: BTreeSet::new(),
            prefetched: vec![],
        }
    }

    fn handle(&mut self, input: Input) {
        if let Input::Over { player, .. } = &input {
            self.running.remove(player);
        }
        self.agenda.handle(self.now, input);
        let mut held = Vec::new();
        while let Some(output) = self.agenda.poll() {
            match output {
                Output::Start(player) => assert!(self.running.insert(player), "started twice"),
                Output::Hold(player) => {
                    assert!(self.running.remove(&player), "held what does not run");
                    held.push(player);
                }
                Output::Prefetch(player) => self.prefetched.push(player),
            }
        }
        for player in held {
            self.handle(Input::Ready { player, bytes: MIB });
        }
    }

    fn want(&mut self, number: usize) {
        self.handle(Input::Wanted { player: name(number), by_hand: false });
        self.handle(Input::Ready { player: name(number), bytes: MIB });
    }

    fn near(&mut self, players: &[(usize, f64)]) {
        self.handle(Input::Nearby(players.iter().map(|(n, far)| (name(*n), Some(*far))).collect()));
    }

    fn over(&mut self, number: usize) {
        self.handle(Input::Over { player: name(number), complete: true });
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.agenda.deadline().filter(|(at, _)| *at <= end) {
            assert!(at > self.now, "an alarm for a time that is over");
            self.now = at;
            self.handle(Input::Time);
        }
        self.now = end;
    }

    fn runs(&self, numbers: &[usize]) -> bool {
        self.running == numbers.iter().map(|n| name(*n)).collect()
    }
}

#[test]
fn a_few_travel_at_once_and_the_nearest_is_next() {
    let mut world = World::new(0);
    world.near(&[(7, 1.0), (6, 20.0)]);
    (0..8).for_each(|number| world.want(number));
    assert!(world.runs(&[0, 1, 2, 3]), "{:?}", world.running);
    assert!(world.agenda.waits(&name(7)) && !world.agenda.waits(&name(0)));
    world.over(2);
    assert!(world.runs(&[0, 1, 3, 7]), "the nearest comes before who came first");
    world.over(0);
    assert!(world.runs(&[1, 3, 6, 7]));
    world.over(1);
    assert!(world.runs(&[3, 4, 6, 7]));
}

#[test]
fn a_nearer_player_takes_a_place_after_a_turn_but_not_at_every_step() {
    let mut world = World::new(0);
    world.near(&[(0, 10.0), (1, 11.0), (2, 12.0), (3, 13.0), (4, 9.0)]);
    (0..5).for_each(|number| world.want(number));
    world.pass(TURN * 10);
    assert!(world.runs(&[0, 1, 2, 3]), "nine is not half of thirteen");
    world.near(&[(0, 10.0), (1, 11.0), (2, 12.0), (3, 13.0), (4, 5.0)]);
    assert!(world.runs(&[0, 1, 2, 4]), "the farthest gives way");
    world.want(5);
    world.handle(Input::Wanted { player: name(5), by_hand: true });
    assert!(world.runs(&[0, 1, 4, 5]), "by hand is nearest");
    world.want(6);
    world.handle(Input::Wanted { player: name(6), by_hand: true });
    world.want(7);
    world.handle(Input::Wanted { player: name(7), by_hand: true });
    world.want(8);
    world.handle(Input::Wanted { player: name(8), by_hand: true });
    assert!(world.runs(&[4, 5, 6, 7]), "who has just begun keeps its turn");
    world.pass(TURN);
    assert!(world.runs(&[5, 6, 7, 8]));
    world.pass(TURN * 10);
    assert!(world.runs(&[5, 6, 7, 8]));
}

#[test]
fn what_nobody_asked_for_travels_alone_and_gives_way() {
    let mut world = World::new(100 * MIB);
    let look = BlobHash::of(b"look");
    for number in [1, 2] {
        world.handle(Input::Offered { player: name(number), look });
    }
    assert_eq!(world.prefetched, [name(1)]);
    world.handle(Input::Ready { player: name(1), bytes: 10 * MIB });
    assert!(world.runs(&[1]));
    world.want(3);
    assert!(world.runs(&[3]));
    world.over(3);
    assert!(world.runs(&[1]), "it goes on");
    assert_eq!(world.agenda.budget_left(), 90 * MIB, "and is paid for once");
    world.handle(Input::Wanted { player: name(1), by_hand: false });
    assert!(world.runs(&[1]), "who is asked for now goes on as wanted");
    world.want(3);
    assert!(world.runs(&[1, 3]));
    world.over(1);
    world.over(3);
    assert_eq!(world.prefetched, [name(1), name(2)]);
    world.handle(Input::Withdrawn { player: name(2) });
    world.handle(Input::Over { player: name(2), complete: false });
    world.pass(BUDGET_TIME * 2);
    assert_eq!(world.prefetched.len(), 2, "who shows it no more is not asked");
}

#[test]
fn the_budget_is_never_passed_in_an_hour_and_comes_back() {
    let mut world = World::new(30 * MIB);
    let look = |n: u8| BlobHash::of(&[n]);
    for number in 0..5 {
        world.handle(Input::Offered { player: name(number), look: look(0) });
        let player = name(number);
        if world.prefetched.last() == Some(&player) {
            world.handle(Input::Ready { player: player.clone(), bytes: 10 * MIB });
            assert!(world.running.contains(&player));
            world.handle(Input::Over { player, complete: true });
        }
    }
    assert_eq!((world.prefetched.len(), world.agenda.budget_left()), (3, 0));
    world.pass(BUDGET_TIME - Duration::from_secs(1));
    assert_eq!(world.prefetched.len(), 3);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.prefetched.len(), 4);
    // A look larger than what is left is ended by whoever planned it, and left alone.
    world.handle(Input::Ready { player: name(3), bytes: 31 * MIB });
    assert!(world.running.is_empty());
    world.handle(Input::Over { player: name(3), complete: false });
    assert_eq!(world.prefetched.last(), Some(&name(4)));
    world.handle(Input::Over { player: name(4), complete: true });
    world.pass(LEFT_ALONE);
    assert_eq!(world.prefetched.last(), Some(&name(3)));
    let mut none = World::new(0);
    none.handle(Input::Offered { player: name(1), look: look(1) });
    none.pass(BUDGET_TIME);
    assert!(none.prefetched.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn places_are_never_more_than_there_are_and_never_empty_while_somebody_waits(
        steps in vec((0..12usize, 0..6u8, option::of(0.0..50.0f64), 0..5000u64), 1..120),
    ) {
        let mut world = World::new(50 * MIB);
        for (number, what, far, pause) in steps {
            let player = name(number);
            match what {
                0 | 1 => world.want(number),
                2 => world.over(number),
                3 => world.handle(Input::Nearby((0..=number).map(|n| (name(n), far.map(|far| far * n as f64))).collect())),
                4 => world.handle(Input::Offered { player, look: BlobHash::of(&[what]) }),
                _ => world.handle(Input::Wanted { player, by_hand: far.is_some() }),
            }
            world.pass(Duration::from_millis(pause));
            let waiting = (0..12).filter(|n| world.agenda.waits(&name(*n))).count();
            let background = world.agenda.fetches.values().any(|fetch| fetch.background);
            prop_assert!(world.running.len() <= AT_ONCE);
            prop_assert!(waiting == 0 || background || world.running.len() == AT_ONCE, "{waiting} wait in vain");
        }
    }
}
