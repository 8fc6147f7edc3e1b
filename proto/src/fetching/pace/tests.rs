//! The limits under virtual time: never exceeded, shared equally, and no capacity wasted.

use super::*;
use proptest::{collection::vec, option, prelude::*, test_runner::RngSeed};
use std::time::Duration;

/// Peers that always ask, or now and then.
struct World {
    pace: Pace,
    now: Instant,
    start: Instant,
    next: Ticket,
    /// Waiting requests, and their remaining bytes.
    waiting: BTreeMap<Ticket, (PeerId, Direction, u64)>,
    /// Time, peer and bytes of each grant.
    granted: Vec<(Duration, PeerId, Direction, u64)>,
    /// Whether a peer asks again at once.
    greedy: bool,
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn rate(bytes: u64) -> Option<Rate> {
    Some(bytes.try_into().expect("above the floor"))
}

fn up(whole: u64) -> Limits {
    Limits { upload: rate(whole), ..Limits::default() }
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn new(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            pace: Pace::new(limits, now),
            now,
            start: now,
            next: 0,
            waiting: BTreeMap::new(),
            granted: Vec::new(),
            greedy: true,
        }
    }

    fn ask(&mut self, peer: PeerId, direction: Direction, bytes: u64) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        self.waiting.insert(ticket, (peer, direction, bytes));
        self.handle(Input::Ask { ticket, peer, direction, bytes });
        ticket
    }

    fn handle(&mut self, input: Input) {
        self.pace.handle(self.now, input);
        let mut again = Vec::new();
        while let Some(Grant { ticket, bytes }) = self.pace.poll() {
            let (peer, direction, wanted) = self.waiting.remove(&ticket).expect("who asked");
            assert!(0 < bytes && bytes <= wanted, "{bytes} of {wanted}");
            self.granted.push((self.now - self.start, peer, direction, bytes));
            if self.greedy {
                again.push((peer, direction, wanted));
            }
        }
        for (peer, direction, bytes) in again {
            self.ask(peer, direction, bytes);
        }
    }

    /// Advances time, with alarms late by `late`.
    fn run(&mut self, time: Duration, late: Duration) {
        let end = self.now + time;
        while let Some((at, Why::TokensDue)) = self.pace.deadline().filter(|(at, _)| *at + late <= end) {
            assert!(at > self.now || late > Duration::ZERO, "an alarm for a time that is over");
            self.now = self.now.max(at) + late;
            self.handle(Input::Time);
        }
        self.now = end;
        self.handle(Input::Time);
    }

    fn total(&self, of: impl Fn(PeerId, Direction) -> bool) -> u64 {
        self.granted
            .iter()
            .filter(|(_, peer, direction, _)| of(*peer, *direction))
            .map(|(.., bytes)| bytes)
            .sum()
    }

    fn of(&self, number: u8) -> u64 {
        self.total(|peer_, _| peer_ == peer(number))
    }

    /// Never more than the limit and one burst in any period.
    fn holds(
        &self,
        limit: Option<Rate>,
        of: impl Fn(PeerId, Direction) -> bool,
    ) -> Result<(), TestCaseError> {
        let Some(limit) = limit.map(Rate::bytes_a_second) else { return Ok(()) };
        let mine: Vec<_> = self.granted.iter().filter(|(_, peer, way, _)| of(*peer, *way)).collect();
        for first in 0..mine.len() {
            let mut sum = 0;
            for (at, .., bytes) in &mine[first..] {
                sum += bytes;
                let allowed = limit as f64 * (*at - mine[first].0).as_secs_f64() + limit as f64 / 5.0 + 1.0;
                prop_assert!(sum as f64 <= allowed, "{sum} of {allowed} after {at:?}");
            }
        }
        Ok(())
    }
}

fn some_limits() -> impl Strategy<Value = Limits> {
    vec(option::of(RATE_MIN..2_000_000), 4).prop_map(|rates| {
        let mut rates = rates.into_iter().map(|bytes| bytes.and_then(rate));
        let mut next = || rates.next().flatten();
        Limits { upload: next(), download: next(), peer_upload: next(), peer_download: next(), lan: true }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_limit_is_ever_passed(
        limits in some_limits(),
        asks in vec((0..5u8, any::<bool>(), 1..300_000u64, 0..400u64), 1..40),
        late in 0..50u64,
    ) {
        let mut world = World::new(limits);
        world.greedy = false;
        for (number, upward, bytes, pause) in asks {
            let direction = if upward { Direction::Up } else { Direction::Down };
            world.ask(peer(number), direction, bytes);
            world.run(Duration::from_millis(pause), Duration::from_millis(late));
        }
        world.run(Duration::from_secs(60), Duration::from_millis(late));
        prop_assert!(world.waiting.is_empty(), "somebody starves: {:?}", world.waiting);
        for (way, whole, each) in [
            (Direction::Up, limits.upload, limits.peer_upload),
            (Direction::Down, limits.download, limits.peer_download),
        ] {
            world.holds(whole, |_, direction| direction == way)?;
            for number in 0..5 {
                world.holds(each, |peer_, direction| direction == way && peer_ == peer(number))?;
            }
        }
    }

    #[test]
    fn constant_waiters_share_the_whole_rate_equally(
        whole in 64_000..20_000_000u64,
        // As pumps do: at least a portion, which is at most a chunk.
        asks in vec(262_144..600_000u64, 2..8),
        late in 0..20u64,
    ) {
        let mut world = World::new(up(whole));
        for (number, bytes) in asks.iter().enumerate() {
            world.ask(peer(number as u8), Direction::Up, *bytes);
        }
        world.run(Duration::from_secs(20), Duration::from_millis(late));
        let total = world.total(|_, _| true) as f64;
        let due = whole as f64 * 20.0;
        prop_assert!(total >= due * 0.98, "{total} of {due} were granted");
        for number in 0..asks.len() {
            let share = world.of(number as u8) as f64 * asks.len() as f64 / total;
            prop_assert!((0.9..1.1).contains(&share), "peer {number} has {share} of its share");
        }
    }
}

#[test]
fn rest_of_a_slow_peer_goes_to_the_others() {
    let mut world = World::new(up(1_000_000));
    world.ask(peer(1), Direction::Up, 100_000);
    world.ask(peer(2), Direction::Up, 100_000);
    let mut slow = 0;
    for _ in 0..100 {
        // A tenth of the line; a third would be its share.
        world.greedy = false;
        world.pace.handle(world.now, Input::Time);
        let ticket = world.ask(peer(3), Direction::Up, 10_000);
        world.greedy = true;
        world.run(Duration::from_millis(100), Duration::ZERO);
        slow += u64::from(!world.waiting.contains_key(&ticket));
        let left: Vec<Ticket> = world
            .waiting
            .iter()
            .filter(|(_, (who, ..))| *who == peer(3))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in left {
            world.waiting.remove(&ticket);
            world.handle(Input::Withdraw(ticket));
        }
    }
    assert_eq!(slow, 100, "who asks for less than its share gets it at once");
    let (one, two) = (world.of(1) as f64, world.of(2) as f64);
    assert!((one / two - 1.0).abs() < 0.1, "{one} and {two}");
    let total = world.total(|_, _| true);
    assert!((9_800_000..=10_200_000).contains(&total), "{total}");
}

#[test]
fn peer_under_its_own_limit_saves_up_no_rate() {
    let limits = Limits { peer_upload: rate(100_000), ..up(1_000_000) };
    let mut world = World::new(limits);
    world.ask(peer(1), Direction::Up, 50_000);
    world.ask(peer(2), Direction::Up, 50_000);
    world.run(Duration::from_secs(10), Duration::ZERO);
    assert!((980_000..=1_020_000).contains(&world.of(1)), "{}", world.of(1));
    // Without their own limits both share the whole line, whatever was before.
    world.handle(Input::Limits(up(1_000_000)));
    world.ask(peer(3), Direction::Up, 50_000);
    let before = [1, 2, 3].map(|number| world.of(number));
    world.run(Duration::from_secs(3), Duration::ZERO);
    let shares = [0, 1, 2].map(|n| world.of(n as u8 + 1) - before[n]);
    for share in shares {
        assert!((900_000..=1_100_000).contains(&share), "{shares:?}");
    }
}

#[test]
fn change_applies_to_waiters_at_once() {
    let mut world = World::new(up(RATE_MIN));
    world.greedy = false;
    let ticket = world.ask(peer(1), Direction::Up, 1 << 30);
    assert!(world.waiting.contains_key(&ticket));
    world.handle(Input::Limits(Limits::default()));
    assert_eq!(world.of(1), 1 << 30, "without a limit all is granted");
    world.handle(Input::Limits(up(RATE_MIN)));
    world.greedy = true;
    let before = world.of(1);
    world.ask(peer(1), Direction::Up, 1 << 20);
    world.run(Duration::from_secs(10), Duration::ZERO);
    let slow = world.of(1) - before;
    assert!(slow <= RATE_MIN * 10 + RATE_MIN / 5, "{slow}");
    world.handle(Input::Limits(up(1 << 20)));
    world.run(Duration::from_secs(1), Duration::ZERO);
    assert!(world.of(1) - before - slow >= 1_000_000);
}

#[test]
fn a_low_limit_is_smooth() {
    let mut world = World::new(up(64 * 1024));
    world.ask(peer(1), Direction::Up, 256 * 1024);
    world.run(Duration::from_secs(10), Duration::ZERO);
    for pair in world.granted.windows(2) {
        assert!(pair[1].0 - pair[0].0 <= Duration::from_millis(250), "the link looks dead after {pair:?}");
    }
}

#[test]
fn one_direction_does_not_wait_for_the_other() {
    let mut world = World::new(Limits { download: rate(500_000), ..up(RATE_MIN) });
    world.ask(peer(1), Direction::Up, 1 << 20);
    world.ask(peer(1), Direction::Down, 1 << 20);
    world.run(Duration::from_secs(4), Duration::ZERO);
    assert!(world.total(|_, direction| direction == Direction::Down) >= 1_900_000);
}

#[test]
fn peer_that_left_is_forgotten() {
    let mut world = World::new(up(100_000));
    world.greedy = false;
    for number in 0..200 {
        let ticket = world.ask(peer(number), Direction::Up, 1000);
        world.waiting.remove(&ticket);
        world.handle(Input::Withdraw(ticket));
    }
    world.run(Duration::from_secs(10), Duration::ZERO);
    assert!(world.granted.is_empty());
    assert!(world.pace.deadline().is_none());
    assert!(world.pace.up.flows.len() <= IDLE_FLOWS + 1);
}
