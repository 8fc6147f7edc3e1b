//! The course of one session: when the peer is dialled over its virtual address, given up, hung up on, or forgotten.
//!
//! Both ends prove their paths themselves and may judge differently who dials, so the end that waits dials, too, if no
//! link has come for [`FALLBACK`].

use fyteclub_proto::reaching::wire::probe::Part;
use std::time::{Duration, Instant};

/// How long an end that need not dial waits for the other.
const FALLBACK: Duration = Duration::from_secs(2);
/// How long the caller waits for a first path: hole punching, a relay and its WebSocket have ended by then.
const SEARCH: Duration = Duration::from_secs(12);
/// How long paths are searched: a second round of hole punching begins up to 38 s after the first.
const SEARCH_MOST: Duration = Duration::from_secs(75);
/// How long a session without a link stays.
const LINGER: Duration = Duration::from_secs(30);
/// How long a link stays without a path.
const LOST: Duration = Duration::from_secs(30);
/// How long a link stays whose last path was a relay's, which may come back: QUIC itself gives up soon after.
const UNRELAYED: Duration = Duration::from_secs(100);
/// From the loss of the path until the phone books are asked for another relay: another path may come first.
const RENEW: Duration = Duration::from_millis(400);
/// How long a new leg has to become a path.
const BIND: Duration = Duration::from_secs(2);
/// Pauses between such requests, by how many there were.
const RENEW_AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Up to such a part of a pause is added by chance.
const SPREAD: f64 = 0.25;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Dial the virtual address.
    Dial,
    /// No path was found in time; the search goes on.
    GiveUp,
    /// Ask the phone books for another relay: the link cannot carry offers.
    Renew,
    /// Close the links: no path has worked for too long.
    HangUp,
    /// Forget the session.
    End,
}

#[derive(Debug)]
pub(super) struct Course {
    since: Instant,
    /// When the caller gives up.
    search: Option<Instant>,
    part: Part,
    dial: Option<Instant>,
    dialled: bool,
    /// A path works, or worked, since or until then.
    path: Option<(bool, Instant)>,
    linked: bool,
    /// When the last link closed.
    unlinked: Instant,
    /// The relay does not know this end's leg.
    unrelayed: bool,
    /// The path in use, or the last one, is a relay's.
    relayed: bool,
    /// When a leg was granted last.
    granted: Option<Instant>,
    /// When the phone books are asked for another relay, and how often they were.
    renew: Option<Instant>,
    renewals: usize,
}

impl Course {
    pub(super) fn new(now: Instant, part: Part) -> Self {
        Self {
            since: now,
            search: None,
            part,
            dial: None,
            dialled: false,
            path: None,
            linked: false,
            unlinked: now,
            unrelayed: false,
            relayed: false,
            granted: None,
            renew: None,
            renewals: 0,
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn is_linked(&self) -> bool {
        self.linked
    }

    /// The peer's offer came.
    pub(super) fn offered(&mut self, now: Instant) {
        if self.part == Part::Caller && self.path.is_none() && self.search.is_none() {
            self.search = Some(now + SEARCH);
        }
    }

    /// Whether a path works now. `dials`: this end is to dial.
    pub(super) fn path(&mut self, now: Instant, works: bool, dials: bool) {
        let worked = self.path.is_some_and(|(works, _)| works);
        if works != worked || self.path.is_none() {
            self.path = (works || self.path.is_some()).then_some((works, now));
        }
        if works {
            self.search = None;
        }
        self.plan(now + RENEW);
        self.dial = match (works, self.dialled || self.linked) {
            (true, false) => self.dial.or(Some(if dials { now } else { now + FALLBACK })),
            _ => None,
        };
    }

    /// Whether the path in use is a relay's.
    pub(super) fn relayed(&mut self, now: Instant, relayed: bool) {
        self.relayed = relayed;
        if !relayed {
            self.unrelayed = false;
            self.plan(now);
        }
    }

    /// The relay knows this end's leg no more, and no direct path works.
    pub(super) fn unrelayed(&mut self, now: Instant) {
        self.unrelayed = true;
        self.plan(now);
    }

    /// There is another leg.
    pub(super) fn granted(&mut self, now: Instant) {
        (self.unrelayed, self.granted, self.renew) = (false, Some(now), None);
        self.plan(now);
    }

    fn is_lost(&self) -> bool {
        self.path.is_some_and(|(works, _)| !works)
    }

    /// Plans the next request for a relay, if one is needed.
    fn plan(&mut self, at: Instant) {
        let needed = self.linked && (self.unrelayed || self.is_lost());
        let at = self.granted.map_or(at, |granted| at.max(granted + BIND));
        let repeats = self.renewals > 0;
        self.renew =
            needed.then(|| self.renew.map_or(at, |planned| if repeats { planned } else { planned.min(at) }));
        if !needed {
            self.renewals = 0;
        }
    }

    /// Whether a link runs over the virtual address.
    pub(super) fn linked(&mut self, now: Instant, linked: bool) {
        if linked {
            (self.dial, self.dialled) = (None, true);
        } else if self.linked {
            self.unlinked = now;
        }
        self.linked = linked;
        self.plan(now + RENEW);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.search, self.dial, self.renew, self.ends(), self.hangs_up()].into_iter().flatten().min()
    }

    fn ends(&self) -> Option<Instant> {
        let end = match self.path {
            Some((_, since)) => since.max(self.unlinked) + LINGER,
            None => self.since + SEARCH_MOST,
        };
        (!self.linked).then_some(end)
    }

    fn hangs_up(&self) -> Option<Instant> {
        let most = if self.relayed { UNRELAYED } else { LOST };
        self.path.filter(|(works, _)| self.linked && !works).map(|(_, since)| since + most)
    }

    /// What is due; to be called until there is nothing. `jitter` is in 0..1.
    pub(super) fn step(&mut self, now: Instant, jitter: f64) -> Option<Step> {
        let is_due = |at: &mut Instant| now >= *at;
        if self.dial.take_if(is_due).is_some() {
            self.dialled = true;
            return Some(Step::Dial);
        }
        if self.search.take_if(is_due).is_some() {
            return Some(Step::GiveUp);
        }
        if self.renew.take_if(is_due).is_some() {
            let pause = RENEW_AGAIN[self.renewals.min(RENEW_AGAIN.len() - 1)];
            self.renewals += 1;
            self.renew = Some(now + pause.mul_f64(1.0 + SPREAD * jitter.clamp(0.0, 1.0)));
            return Some(Step::Renew);
        }
        if self.hangs_up().is_some_and(|at| now >= at) {
            self.linked(now, false);
            return Some(Step::HangUp);
        }
        self.ends().is_some_and(|at| now >= at).then_some(Step::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps until the end, with their milliseconds.
    fn run(course: &mut Course, start: Instant) -> Vec<(u128, Step)> {
        let mut steps = Vec::new();
        while let Some(now) = course.deadline() {
            while let Some(step) = course.step(now, 0.0) {
                steps.push((now.duration_since(start).as_millis(), step));
                if step == Step::End {
                    return steps;
                }
            }
        }
        steps
    }

    fn start() -> Instant {
        Instant::now()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn dialling_end_dials_at_once_and_the_other_late() {
        for (dials, due) in [(true, 300), (false, 2300)] {
            let (start, mut course) = (start(), Course::new(start(), Part::Callee));
            course.path(start + ms(300), true, dials);
            let steps = run(&mut course, start);
            assert_eq!(steps.first().map(|(_, step)| *step), Some(Step::Dial));
            assert!(steps[0].0.abs_diff(due) <= 1, "{steps:?}");
            assert!(steps[1..].iter().all(|(_, step)| *step == Step::End), "{steps:?}");
        }
    }

    #[test]
    fn link_that_came_is_not_dialled_again() {
        let start = start();
        let mut course = Course::new(start, Part::Caller);
        course.offered(start);
        course.path(start, true, false);
        course.linked(start + ms(100), true);
        course.path(start + ms(200), true, true);
        assert_eq!(course.deadline(), None, "the link keeps the session");
        course.linked(start + ms(90_000), false);
        course.path(start + ms(90_100), true, true);
        assert_eq!(run(&mut course, start), [(120_000, Step::End)]);
    }

    #[test]
    fn caller_gives_up_and_the_search_goes_on() {
        let start = start();
        let mut course = Course::new(start, Part::Caller);
        course.offered(start + ms(500));
        course.offered(start + ms(5000));
        assert_eq!(run(&mut course, start), [(12_500, Step::GiveUp), (75_000, Step::End)]);
        let mut course = Course::new(start, Part::Callee);
        course.offered(start);
        assert_eq!(run(&mut course, start), [(75_000, Step::End)]);
    }

    #[test]
    fn path_that_dies_before_the_dial_is_not_dialled() {
        let start = start();
        let mut course = Course::new(start, Part::Callee);
        course.path(start, true, false);
        course.path(start + ms(1000), false, false);
        assert_eq!(run(&mut course, start), [(31_000, Step::End)]);
    }

    #[test]
    fn link_without_a_path_ends() {
        let start = start();
        let mut course = Course::new(start, Part::Caller);
        course.path(start, true, true);
        course.linked(start, true);
        course.path(start + ms(1000), false, true);
        course.path(start + ms(2000), false, true);
        let mut steps = run(&mut course, start);
        let asked: Vec<u128> =
            steps.extract_if(.., |(_, step)| *step == Step::Renew).map(|(ms, _)| ms).collect();
        assert_eq!(asked[..5], [1400, 2400, 4400, 8400, 12_400]);
        assert_eq!(steps, [(31_000, Step::HangUp), (61_000, Step::End)]);
    }

    #[test]
    fn link_waits_for_a_phone_book_that_is_away() {
        let start = start();
        let mut course = Course::new(start, Part::Caller);
        course.path(start, true, true);
        course.relayed(start, true);
        course.linked(start, true);
        course.path(start + ms(1000), false, true);
        let steps = run(&mut course, start);
        let asked = steps.iter().filter(|(_, step)| *step == Step::Renew).count();
        assert!((24..30).contains(&asked), "{asked}");
        assert!(steps.contains(&(101_000, Step::HangUp)), "{steps:?}");
    }

    #[test]
    fn relay_is_asked_for_until_there_is_one() {
        let start = start();
        let mut course = Course::new(start, Part::Caller);
        course.unrelayed(start);
        assert_eq!(course.step(start, 0.0), None, "there is no link");
        course.path(start, true, true);
        course.relayed(start, true);
        course.linked(start, true);
        course.unrelayed(start + ms(1000));
        assert_eq!(course.step(start + ms(1000), 0.0), Some(Step::Renew));
        // The path is found dead meanwhile.
        course.path(start + ms(1500), false, true);
        assert_eq!(course.step(start + ms(1800), 0.0), None);
        assert_eq!(course.step(start + ms(2000), 1.0), Some(Step::Renew));
        course.granted(start + ms(2100));
        assert_eq!(course.deadline(), Some(start + ms(4100)), "it has time to become a path");
        course.path(start + ms(2600), true, true);
        assert_eq!(course.deadline(), None);
    }
}
