//! One round of dials: the addresses of one answer, one after the other, the next one when one is slow or fails (RFC
//! 8305 "Happy Eyeballs"). The first success ends the round.

use super::words::Failure;
use crate::reaching::connector::TRY_TIME;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long one dial runs before the next begins (RFC 8305 §5 says 250 ms, for TCP to servers; peers are nearer, and
/// more of their addresses are dead).
pub(super) const DIAL_PAUSE: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(super) struct Round {
    waiting: VecDeque<SocketAddr>,
    running: Vec<(u64, SocketAddr)>,
    /// When the next one is dialled.
    next: Instant,
    /// When the round fails.
    due: Instant,
    /// No source says that the peer is present, with this cause: this round's failure ends all tries.
    pub(super) guess: Option<String>,
    worst: Option<Failure>,
}

/// A round's next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Dial(SocketAddr),
    Wait,
    Failed(Failure),
}

impl Round {
    pub(super) fn new(now: Instant, addrs: Vec<SocketAddr>, guess: Option<String>) -> Self {
        let (waiting, due) = (addrs.into(), now + TRY_TIME);
        Self { waiting, running: Vec::new(), next: now, due, guess, worst: None }
    }

    /// Dials the next one.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        match self.waiting.pop_front() {
            Some(addr) => {
                self.next = now + DIAL_PAUSE;
                Step::Dial(addr)
            }
            None if self.running.is_empty() => {
                Step::Failed(self.worst.take().unwrap_or_else(Failure::nowhere))
            }
            None => Step::Wait,
        }
    }

    pub(super) fn time(&mut self, now: Instant) -> Step {
        if now >= self.due {
            Step::Failed(Failure::no_answer())
        } else if now >= self.next && !self.waiting.is_empty() {
            self.step(now)
        } else {
            Step::Wait
        }
    }

    pub(super) fn dialled(&mut self, dial: u64, addr: SocketAddr) {
        self.running.push((dial, addr));
    }

    pub(super) fn addr_of(&self, dial: u64) -> Option<SocketAddr> {
        self.running.iter().find(|(running, _)| *running == dial).map(|(_, addr)| *addr)
    }

    pub(super) fn failed(&mut self, now: Instant, dial: u64, failure: Failure) -> Step {
        self.running.retain(|(running, _)| *running != dial);
        self.worst = Some(failure);
        self.step(now)
    }

    /// The running dials.
    pub(super) fn rest(&self) -> impl Iterator<Item = u64> + '_ {
        self.running.iter().map(|(dial, _)| *dial)
    }

    pub(super) fn deadline(&self) -> Instant {
        if self.waiting.is_empty() { self.due } else { self.due.min(self.next) }
    }
}
