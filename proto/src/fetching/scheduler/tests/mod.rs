//! Who goes first, as small scenarios under virtual time.

mod model;

use super::*;
use crate::limit::{FLOWS_ALL_MAX, FLOWS_MAX, PREFETCH_AGE};

const MIB: u64 = 1 << 20;

fn peer(number: usize) -> PeerId {
    PeerId::from_bytes([u8::try_from(number).unwrap(); 32])
}

fn look(number: u8) -> BlobHash {
    BlobHash::of(&[number])
}

fn at(distance: f64) -> Distance {
    distance.try_into().unwrap()
}

struct Desk {
    scheduler: Scheduler,
    now: Instant,
}

impl Desk {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn new(prefetch: u64) -> Self {
        let now = Instant::now();
        Self { scheduler: Scheduler::new(prefetch, now), now }
    }

    /// With these contacts linked; each publishes a look.
    fn with(prefetch: u64, contacts: std::ops::Range<usize>) -> (Self, Vec<Output>) {
        let mut desk = Self::new(prefetch);
        let said = contacts.flat_map(|n| desk.linked(n, 1)).collect();
        (desk, said)
    }

    fn say(&mut self, input: Input) -> Vec<Output> {
        self.scheduler.handle(self.now, input);
        std::iter::from_fn(|| self.scheduler.poll()).collect()
    }

    fn linked(&mut self, number: usize, offers: u8) -> Vec<Output> {
        self.say(Input::Linked { peer: peer(number), offers: Some(look(offers)) })
    }

    fn near(&mut self, near: &[(usize, f64)]) -> Vec<Output> {
        self.say(Input::Nearby(near.iter().map(|(n, distance)| (peer(*n), at(*distance))).collect()))
    }

    fn asked(&mut self, number: usize) -> Vec<Output> {
        self.say(Input::Asked(peer(number)))
    }

    fn ended(&mut self, number: usize, end: End) -> Vec<Output> {
        self.say(Input::Ended { peer: peer(number), end })
    }

    fn here(&mut self, number: usize) -> Vec<Output> {
        self.ended(number, End::Here(look(1)))
    }

    fn moved(&mut self, number: usize, bytes: u64) -> Vec<Output> {
        self.say(Input::Moved { peer: peer(number), bytes })
    }

    fn planned(&mut self, number: usize, bytes: u64) -> Vec<Output> {
        self.say(Input::Planned { peer: peer(number), bytes })
    }

    fn later(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.say(Input::Time)
    }
}

fn begins(numbers: &[usize]) -> Vec<Output> {
    numbers.iter().map(|n| Output::Begin(peer(*n))).collect()
}

#[test]
fn nearest_look_goes_first_as_distances_change() {
    let (mut desk, said) = Desk::with(0, 0..7);
    assert_eq!(said, []);
    let far = [(0, 70.0), (1, 60.0), (2, 50.0), (3, 40.0), (4, 45.0), (5, 65.0), (6, 66.0)];
    assert_eq!(desk.near(&far), begins(&[3, 4, 2, 1]));
    assert_eq!(desk.scheduler.line(), [peer(5), peer(6), peer(0)]);
    let moved = [(0, 41.0), (1, 60.0), (2, 50.0), (3, 40.0), (4, 45.0), (5, 65.0), (6, 55.0)];
    assert_eq!(desk.near(&moved), [], "not so much nearer that anybody would be stopped");
    assert_eq!(desk.here(3), begins(&[0]));
    assert_eq!(desk.here(4), begins(&[6]));
    assert_eq!(desk.here(2), begins(&[5]));
    assert_eq!(desk.here(0), []);
}

#[test]
fn closer_player_stops_the_farthest_until_later() {
    let (mut desk, _) = Desk::with(0, 0..5);
    desk.near(&[(0, 10.0), (1, 20.0), (2, 30.0), (3, 40.0)]);
    let close = [(0, 10.0), (1, 20.0), (2, 30.0), (3, 40.0), (4, 19.0)];
    assert_eq!(desk.near(&close), [Output::Stop(peer(3)), Output::Begin(peer(4))]);
    assert_eq!(desk.here(0), begins(&[3]));
}

#[test]
fn requested_look_waits_for_requested_looks_only() {
    let (mut desk, said) = Desk::with(MIB, 0..7);
    assert_eq!(said, begins(&[0]), "nothing else to do");
    assert_eq!(desk.near(&[(1, 1.0), (2, 2.0)]), [&[Output::Stop(peer(0))][..], &begins(&[1, 2])].concat());
    assert_eq!(desk.asked(3), begins(&[3]));
    assert_eq!(desk.asked(4), begins(&[4]));
    assert_eq!(desk.asked(5), [Output::Stop(peer(2)), Output::Begin(peer(5))], "the farthest gives way");
    assert_eq!(desk.asked(0), [Output::Stop(peer(1)), Output::Begin(peer(0))]);
    assert_eq!(desk.asked(6), []);
    assert_eq!(desk.scheduler.reason(&peer(6)), Reason::Asked);
    assert_eq!(desk.scheduler.line(), [peer(6), peer(1), peer(2)]);
    assert_eq!(desk.here(3), begins(&[6]));
    assert_eq!(desk.here(0), begins(&[1]));
}

#[test]
fn requested_transfer_goes_on_and_is_not_stopped() {
    let (mut desk, _) = Desk::with(MIB, 0..6);
    assert_eq!(desk.scheduler.reason(&peer(0)), Reason::Prefetch);
    assert_eq!(desk.asked(0), []);
    assert_eq!(desk.near(&[(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0)]), begins(&[1, 2, 3]));
    // A player who left is no longer fetched beside others.
    assert_eq!(desk.near(&[(0, 9.0)]), [1, 2, 3].map(|n| Output::Stop(peer(n))));
    // The last waiter left, but the player has come near.
    assert_eq!(desk.say(Input::Unasked(peer(0))), []);
    assert_eq!(desk.scheduler.reason(&peer(0)), Reason::Near);
    // Without any need it stops, and is not prefetched.
    assert_eq!(desk.asked(0), []);
    assert_eq!(desk.near(&[]), []);
    assert_eq!(desk.say(Input::Unasked(peer(0))), [Output::Stop(peer(0)), Output::Begin(peer(5))]);
    assert!(!desk.scheduler.line().contains(&peer(0)));
}

#[test]
fn prefetch_goes_one_by_one_and_gives_way_and_goes_on() {
    let (mut desk, said) = Desk::with(10 * MIB, 0..3);
    assert_eq!(said, begins(&[0]));
    assert_eq!(desk.planned(0, 2 * MIB), []);
    assert_eq!(desk.moved(0, MIB), []);
    assert_eq!(desk.asked(1), [Output::Stop(peer(0)), Output::Begin(peer(1))]);
    assert_eq!(desk.here(1), begins(&[0]), "it goes on where it was");
    assert_eq!(desk.here(0), begins(&[2]));
    assert_eq!(desk.here(2), []);
    // Another look of theirs is news.
    assert_eq!(desk.say(Input::Offers { peer: peer(0), look: Some(look(2)) }), begins(&[0]));
    // A lost link ends it, and nobody is dialled for it.
    assert_eq!(desk.say(Input::Parted(peer(0))), [Output::Stop(peer(0))]);
    assert_eq!(desk.later(Duration::from_secs(3600)), []);
}

#[test]
fn prefetch_budget_returns_after_use_or_a_day() {
    let (mut desk, _) = Desk::with(10 * MIB, 0..3);
    assert_eq!(desk.planned(0, 11 * MIB), [Output::Stop(peer(0)), Output::Begin(peer(1))], "too large");
    desk.planned(1, 8 * MIB);
    desk.moved(1, 8 * MIB);
    assert_eq!(desk.here(1), begins(&[2]));
    assert_eq!(desk.planned(2, 3 * MIB), [Output::Stop(peer(2))], "there are two left");
    assert_eq!(desk.scheduler.line(), []);
    // The prefetched look is used.
    assert_eq!(desk.near(&[(1, 5.0)]), begins(&[2]));
    desk.moved(2, 3 * MIB);
    assert_eq!(desk.here(2), []);
    desk.near(&[]);
    assert_eq!(desk.say(Input::Offers { peer: peer(1), look: Some(look(2)) }), begins(&[1]));
    assert_eq!(desk.planned(1, 8 * MIB), [Output::Stop(peer(1))]);
    assert_eq!(desk.later(PREFETCH_AGE - Duration::from_secs(1)), []);
    assert_eq!(desk.later(Duration::from_secs(1)), begins(&[1]), "a day later");
}

#[test]
fn no_prefetch_without_budget_or_space() {
    let (_, said) = Desk::with(0, 0..3);
    assert_eq!(said, []);
    let (mut desk, _) = Desk::with(MIB, 0..2);
    assert_eq!(desk.say(Input::DiskSpace(false)), [Output::Stop(peer(0))]);
    assert_eq!(desk.near(&[(1, 1.0)]), begins(&[1]), "who is near is another matter");
    assert_eq!(desk.here(1), []);
    assert_eq!(desk.say(Input::DiskSpace(true)), begins(&[0]));
}

#[test]
fn near_players_are_dialled_a_few_at_once() {
    let mut desk = Desk::new(MIB);
    let near: Vec<_> = (0..REACHES_MAX + 2).map(|n| (n, 100.0 - n as f64)).collect();
    let reached: Vec<_> = (2..REACHES_MAX + 2).rev().map(|n| Output::Reach(peer(n))).collect();
    assert_eq!(desk.near(&near), reached);
    assert_eq!(desk.linked(9, 1), [Output::Begin(peer(9)), Output::Reach(peer(1))]);
    assert_eq!(desk.say(Input::Unreachable(peer(8))), [Output::Reach(peer(0))]);
    for number in 0..8 {
        desk.say(Input::Unreachable(peer(number)));
    }
    assert_eq!(desk.near(&[(8, 1.0)]), [], "it was tried just now");
    assert_eq!(desk.scheduler.deadline().map(|(_, why)| why), Some(Why::PauseOver));
    assert_eq!(desk.later(FIRST_PAUSE), [Output::Reach(peer(8))]);
    assert_eq!(desk.say(Input::Unreachable(peer(8))), []);
    assert_eq!(desk.later(FIRST_PAUSE), []);
    assert_eq!(desk.later(FIRST_PAUSE), [Output::Reach(peer(8))]);
    assert_eq!(desk.later(REACH_TIME), [], "nobody said what came of it, so nothing did");
    assert_eq!(desk.later(4 * FIRST_PAUSE), [Output::Reach(peer(8))]);
}

#[test]
fn failed_fetch_pauses_unless_requested() {
    let (mut desk, _) = Desk::with(0, 0..1);
    assert_eq!(desk.near(&[(0, 1.0)]), begins(&[0]));
    assert_eq!(desk.ended(0, End::Failed), []);
    assert_eq!(desk.say(Input::Offers { peer: peer(0), look: Some(look(2)) }), [], "nor for another look");
    assert_eq!(desk.asked(0), begins(&[0]));
    assert_eq!(desk.ended(0, End::Failed), []);
    assert_eq!(desk.later(2 * FIRST_PAUSE), begins(&[0]));
    assert_eq!(desk.ended(0, End::Declined), []);
    assert_eq!(desk.later(LONGEST_PAUSE), [], "a person does not want it");
    assert_eq!(desk.say(Input::Offers { peer: peer(0), look: Some(look(3)) }), begins(&[0]));
}

#[test]
fn complete_look_is_fetched_again_only_if_damaged() {
    let (mut desk, _) = Desk::with(0, 0..1);
    desk.near(&[(0, 1.0)]);
    assert_eq!(desk.here(0), []);
    assert_eq!(desk.say(Input::Parted(peer(0))), [Output::Reach(peer(0))]);
    assert_eq!(desk.linked(0, 1), []);
    assert_eq!(desk.say(Input::Damaged(peer(0))), begins(&[0]));
    assert_eq!(desk.say(Input::Gone(peer(0))), []);
    assert_eq!(desk.scheduler.deadline(), None);
}

#[test]
fn stalled_look_gives_up_its_turn() {
    let (mut desk, _) = Desk::with(0, 0..20);
    for number in 0..20 {
        desk.asked(number);
    }
    assert_eq!(desk.scheduler.line().len(), 20 - FLOWS_MAX);
    desk.now += STALLED_AFTER / 2;
    desk.moved(0, 1);
    assert_eq!(desk.scheduler.deadline().map(|(_, why)| why), Some(Why::FlowStalled));
    assert_eq!(desk.later(STALLED_AFTER / 2), begins(&[4, 5, 6]));
    for _ in 0..10 {
        desk.later(STALLED_AFTER);
    }
    assert_eq!(desk.scheduler.line().len(), 20 - FLOWS_ALL_MAX, "but not without end");
    assert_eq!(desk.here(0), begins(&[FLOWS_ALL_MAX]));
}

#[test]
fn distances_are_numbers_of_a_kind() {
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(Distance::try_from(bad).is_err(), "{bad}");
        assert!(serde_json::from_value::<Distance>(serde_json::json!(bad)).is_err());
    }
    assert_eq!(at(-0.0), at(0.0));
    assert!(at(0.0) < at(f64::MIN_POSITIVE) && at(1.0) < at(f64::MAX));
}

#[test]
fn documents_use_the_prefetch_budget() {
    let mut desk = Desk::new(3 * MIB);
    assert_eq!(desk.linked(1, 1), [Output::Begin(peer(1))]);
    // Ever new looks, without a missing file.
    for turn in 2..=3 {
        desk.say(Input::Document { peer: peer(1), bytes: MIB });
        desk.say(Input::Planned { peer: peer(1), bytes: 0 });
        desk.ended(1, End::Here(look(turn - 1)));
        let said = desk.say(Input::Offers { peer: peer(1), look: Some(look(turn)) });
        assert_eq!(said, [Output::Begin(peer(1))]);
    }
    desk.say(Input::Document { peer: peer(1), bytes: MIB });
    desk.ended(1, End::Here(look(3)));
    assert_eq!(
        desk.say(Input::Offers { peer: peer(1), look: Some(look(4)) }),
        [],
        "the day's budget is spent"
    );
    assert_eq!(desk.asked(1), [Output::Begin(peer(1))], "who asks is not held up by that");
}

#[test]
fn postponed_fetch_gives_its_turn_to_the_next() {
    let (mut desk, _) = Desk::with(100 * MIB, 0..2);
    desk.near(&[(0, 1.0)]);
    let pause = Duration::from_secs(4);
    assert_eq!(desk.ended(0, End::Later(pause)), [Output::Begin(peer(1))], "another goes meanwhile");
    desk.now += pause;
    assert_eq!(desk.say(Input::Time), [Output::Stop(peer(1)), Output::Begin(peer(0))]);
}

#[test]
fn deadline_stays_while_bytes_arrive() {
    let mut desk = Desk::new(0);
    desk.near(&[(0, 1.0), (1, 2.0)]);
    desk.linked(0, 1);
    desk.now += REACH_TIME + Duration::from_secs(1);
    assert_eq!(desk.say(Input::Moved { peer: peer(0), bytes: 1 }), []);
    let (at, why) = desk.scheduler.deadline().expect("a search that found nobody");
    assert!(at <= desk.now && why != Why::BudgetDue, "{why:?}");
}
