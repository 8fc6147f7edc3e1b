//! The time and the numbers that are signed for one phone book.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// This machine's clock, corrected by what the phone book said of it: players' clocks are wrong.
#[derive(Debug, Default)]
pub struct BookClock {
    /// Milliseconds.
    ahead: AtomicI64,
    sequence: AtomicU64,
}

impl BookClock {
    /// Unix milliseconds by the phone book's clock, as far as it told.
    pub fn now(&self) -> u64 {
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let here = u64::try_from(here).unwrap_or(u64::MAX);
        here.saturating_add_signed(self.ahead.load(Ordering::Relaxed).saturating_neg())
    }

    /// The phone book says that what was signed with [`BookClock::now`] is this far ahead of its clock.
    pub fn correct(&self, ahead: i64) {
        let corrected = self.ahead.load(Ordering::Relaxed).saturating_add(ahead);
        self.ahead.store(corrected, Ordering::Relaxed);
    }

    /// Strictly rising, also over restarts as long as the clock does not go back.
    pub fn next_sequence(&self) -> u64 {
        let now = self.now();
        let next = |last: u64| Some(last.saturating_add(1).max(now));
        let last = self.sequence.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.map_or(now, |last| last.saturating_add(1).max(now))
    }

    /// The next sequence will be above this one.
    pub fn above(&self, newest: u64) {
        self.sequence.fetch_max(newest, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_rise_whatever_the_clock_does() {
        let clock = BookClock::default();
        let first = clock.next_sequence();
        clock.correct(60_000);
        let second = clock.next_sequence();
        assert!(second > first);
        clock.above(second + 1_000_000_000);
        assert!(clock.next_sequence() > second + 1_000_000_000);
    }

    #[test]
    fn a_correction_adds_up() {
        let clock = BookClock::default();
        let before = clock.now();
        clock.correct(-3_600_000);
        assert!(clock.now() >= before + 3_600_000);
        clock.correct(7_200_000);
        assert!(clock.now() < before);
    }
}
