//! A router's own count of seconds since it lost its mappings: whether it fell behind says whether it lost them again.

use std::time::{Duration, Instant};

/// What a router said last of its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    heard: Instant,
    seconds: u32,
}

impl Epoch {
    pub(super) fn new(heard: Instant, seconds: u32) -> Self {
        Self { heard, seconds }
    }

    /// Whether the router must have lost its mappings between this word and a later one: its clock and this machine's may
    /// drift by a sixteenth and two seconds (RFC 6887 §8.5).
    pub(super) fn is_lost(self, now: Instant, seconds: u32) -> bool {
        // Answers of one second may overtake each other.
        if seconds.saturating_add(1) < self.seconds {
            return true;
        }
        let here = now.saturating_duration_since(self.heard);
        let there = Duration::from_secs(u64::from(seconds.saturating_sub(self.seconds)));
        let slack = Duration::from_secs(2);
        here + slack < there - there / 16 || there + slack < here - here / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_that_drifts_is_no_restart() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let start = Instant::now();
        let lost = |from: u32, after: u64, to: u32| {
            Epoch::new(start, from).is_lost(start + Duration::from_secs(after), to)
        };
        for (from, after, to) in
            [(100, 120, 220), (100, 0, 99), (100, 1600, 1610), (100, 1600, 1790), (0, 1, 3)]
        {
            assert!(!lost(from, after, to), "{from} +{after} {to}");
        }
        // Started anew; started anew and caught up; its clock was set.
        for (from, after, to) in [(100, 120, 5), (100, 0, 98), (5, 3600, 3000), (100, 120, 4000)] {
            assert!(lost(from, after, to), "{from} +{after} {to}");
        }
    }
}
