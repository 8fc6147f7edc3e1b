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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Dial the virtual address.
    Dial,
    /// No path was found in time; the search goes on.
    GiveUp,
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
        self.dial = match (works, self.dialled || self.linked) {
            (true, false) => self.dial.or(Some(if dials { now } else { now + FALLBACK })),
            _ => None,
        };
    }

    /// Whether a link runs over the virtual address.
    pub(super) fn linked(&mut self, now: Instant, linked: bool) {
        if linked {
            (self.dial, self.dialled) = (None, true);
        } else if self.linked {
            self.unlinked = now;
        }
        self.linked = linked;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.search, self.dial, self.ends(), self.hangs_up()].into_iter().flatten().min()
    }

    fn ends(&self) -> Option<Instant> {
        let end = match self.path {
            Some((_, since)) => since.max(self.unlinked) + LINGER,
            None => self.since + SEARCH_MOST,
        };
        (!self.linked).then_some(end)
    }

    fn hangs_up(&self) -> Option<Instant> {
        self.path.filter(|(works, _)| self.linked && !works).map(|(_, since)| since + LOST)
    }

    /// What is due; to be called until there is nothing.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        let is_due = |at: &mut Instant| now >= *at;
        if self.dial.take_if(is_due).is_some() {
            self.dialled = true;
            return Some(Step::Dial);
        }
        if self.search.take_if(is_due).is_some() {
            return Some(Step::GiveUp);
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
            while let Some(step) = course.step(now) {
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
        assert_eq!(run(&mut course, start), [(31_000, Step::HangUp), (61_000, Step::End)]);
    }
}
