//! The times and sequences that are signed for one phone book.

use fyteclub_proto::phonebook::is_sequence_ahead;
use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// This machine's clock, corrected by the phone book's answers, because players' clocks are wrong. Each phone book has
/// its own, so that its answers change nothing that is signed for another.
#[derive(Debug, Default)]
pub struct BookClock {
    /// Milliseconds.
    ahead: AtomicI64,
    sequence: AtomicU64,
}

impl BookClock {
    /// Unix milliseconds by the phone book's clock, as far as known.
    pub fn now(&self) -> u64 {
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let here = u64::try_from(here).unwrap_or(u64::MAX);
        here.saturating_add_signed(self.ahead.load(Ordering::Relaxed).saturating_neg())
    }

    /// The phone book refused a message because [`BookClock::now`] was this far ahead of its clock. It refused the
    /// sequence with it: a sequence that is too far ahead of the corrected clock is forgotten.
    pub fn correct(&self, ahead: i64) {
        let corrected = self.ahead.load(Ordering::Relaxed).saturating_add(ahead);
        self.ahead.store(corrected, Ordering::Relaxed);
        if is_sequence_ahead(self.sequence.load(Ordering::Relaxed), self.now()) {
            self.sequence.store(0, Ordering::Relaxed);
        }
    }

    /// Rises strictly, also over restarts while the clock does not go back.
    pub fn next_sequence(&self) -> u64 {
        let now = self.now();
        let next = |last: u64| Some(last.saturating_add(1).max(now));
        let last = self.sequence.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.map_or(now, |last| last.saturating_add(1).max(now))
    }

    /// Makes the next sequence higher than `newest`, the phone book's newest. An honest phone book has none that is
    /// ahead of the clock: such a number is ignored, and the result is `false`.
    pub fn above(&self, newest: u64) -> bool {
        let follows = !is_sequence_ahead(newest, self.now());
        if follows {
            self.sequence.fetch_max(newest, Ordering::Relaxed);
        }
        follows
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
        let newest = clock.now() + 100_000;
        assert!(clock.above(newest));
        assert_eq!(clock.next_sequence(), newest + 1);
    }

    #[test]
    fn sequence_ahead_of_the_clock_is_ignored() {
        let clock = BookClock::default();
        let first = clock.next_sequence();
        for newest in [u64::MAX, u64::MAX - 1, clock.now() + 180_000] {
            assert!(!clock.above(newest));
            let next = clock.next_sequence();
            assert!(next > first && next < clock.now() + 60_000, "{next}");
        }
    }

    #[test]
    fn sequence_of_a_wrong_clock_is_forgotten() {
        let clock = BookClock::default();
        clock.correct(-(6 * 365 * 86_400_000));
        let wrong = clock.next_sequence();
        clock.correct(6 * 365 * 86_400_000);
        let right = clock.next_sequence();
        assert!(right < wrong && !is_sequence_ahead(right, clock.now()), "{right}");
    }

    #[test]
    fn corrections_add_up() {
        let clock = BookClock::default();
        let before = clock.now();
        clock.correct(-3_600_000);
        assert!(clock.now() >= before + 3_600_000);
        clock.correct(7_200_000);
        assert!(clock.now() < before);
    }
}
