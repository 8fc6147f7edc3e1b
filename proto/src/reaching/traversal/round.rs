//! Attempts at hole punching: when one begins, and when it has failed.
//!
//! In each round both ends get a fresh outside address, tell it, and probe the other's at about the same time. After a
//! failed round both are silent for longer than 30 s: a router that took an early packet for itself keeps that mapping while
//! packets come.

use std::time::{Duration, Instant};

/// How long the fresh outside address may take.
const OUTSIDE_TIME: Duration = Duration::from_millis(1600);
/// How long the peer's offer may take.
const OFFER_TIME: Duration = Duration::from_secs(10);
/// Silence after a failed round, by how many failed in a row. More than the 30 s that NATs keep a mapping without an answer.
const QUIET: [Duration; 5] = [
    Duration::from_secs(33),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(900),
];
/// Up to such a part of it is added by chance.
const QUIET_SPREAD: f64 = 1.0 / 8.0;
/// The least from one round to the next that the peer asks for: it says where probes go.
const ROUND_PAUSE: Duration = Duration::from_secs(2);
/// The least from one round to the next because this machine's outside address changed: some NATs have several.
const CHANGE_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// This machine's fresh outside address is awaited until then.
    AwaitOutside(Instant),
    /// The peer's offer for this round is awaited until then.
    AwaitOffer(Instant),
    Punching(Instant),
    /// Nothing is sent until then.
    Quiet(Instant),
    /// A direct path works, or none is wanted.
    Settled,
    /// The peer's first offer did not come.
    Failed,
}

#[derive(Debug)]
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) phase: Phase,
    began: Instant,
    /// When the last round failed.
    failed: Option<Instant>,
    failures: usize,
}

impl Round {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            number: 0,
            phase: Phase::AwaitOutside(now + OUTSIDE_TIME),
            began: now,
            failed: None,
            failures: 0,
        }
    }

    pub(super) fn begin(&mut self, now: Instant, number: u32) {
        (self.number, self.began) = (number, now);
        self.phase = Phase::AwaitOutside(now + OUTSIDE_TIME);
    }

    /// When the peer may begin another round.
    pub(super) fn may_follow(&self) -> Instant {
        self.began + ROUND_PAUSE
    }

    pub(super) fn await_offer(&mut self, now: Instant) {
        self.phase = Phase::AwaitOffer(now + OFFER_TIME);
    }

    pub(super) fn fail(&mut self, now: Instant, jitter: f64) {
        let pause =
            QUIET[self.failures.min(QUIET.len() - 1)].mul_f64(1.0 + QUIET_SPREAD * jitter.clamp(0.0, 1.0));
        self.failures += 1;
        self.failed = Some(now);
        self.phase = Phase::Quiet(now + pause);
    }

    /// Whether another outside address of this machine may begin a round: it is another mapping, so no silence is needed.
    pub(super) fn may_change(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Quiet(_)) && now >= self.began + CHANGE_PAUSE
    }

    /// Whether this machine may begin a round because the path in use is poor.
    pub(super) fn may_search(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Settled => true,
            Phase::Quiet(_) => self.failed.is_none_or(|failed| now >= failed + QUIET[0]),
            _ => false,
        }
    }

    /// Whether a round runs.
    pub(super) fn runs(&self) -> bool {
        matches!(self.phase, Phase::AwaitOutside(_) | Phase::AwaitOffer(_) | Phase::Punching(_))
    }

    /// The pauses begin anew.
    pub(super) fn forgive(&mut self) {
        self.failures = 0;
    }

    pub(super) fn settle(&mut self) {
        (self.phase, self.failures) = (Phase::Settled, 0);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::AwaitOutside(at) | Phase::AwaitOffer(at) | Phase::Punching(at) | Phase::Quiet(at) => {
                Some(at)
            }
            Phase::Settled | Phase::Failed => None,
        }
    }
}
