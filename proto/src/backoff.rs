//! The delay before the next attempt. Time and randomness are arguments.

use std::time::{Duration, Instant};

/// Doubling delays with jitter, so that a server's clients do not return in one second.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempt: u32,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, attempt: 0 }
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// The next delay: between half and the whole of `first × 2ⁿ`, at most `longest`. `jitter` is in 0..1.
    pub fn advance(&mut self, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(self.attempt).unwrap_or(u32::MAX));
        self.attempt = self.attempt.saturating_add(1);
        doubled.min(self.longest).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// Delays while a server is away, in proportion to how long it has been away: as good as none after a restart, and few
/// attempts at a server that has been down for an hour.
#[derive(Debug, Clone)]
pub struct Outage {
    longest: Duration,
    since: Option<Instant>,
}

/// A delay is at most this part of the outage so far. Two minutes of outage are the first that cost a second.
const OUTAGE_PART: u32 = 120;

impl Outage {
    pub fn new(longest: Duration) -> Self {
        Self { longest, since: None }
    }

    /// The delay before the next attempt: between half and the whole of a 120th of the outage so far, where that is at
    /// least `shortest` and at most the longest. `jitter` is in 0..1.
    pub fn pause(&mut self, now: Instant, shortest: Duration, jitter: f64) -> Duration {
        let since = *self.since.get_or_insert(now);
        let pause = now.saturating_duration_since(since) / OUTAGE_PART;
        pause.max(shortest).min(self.longest).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Whether it has begun and not ended.
    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// The server is back, or the way to it has changed.
    pub fn end(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_the_outage() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let start = Instant::now();
        let mut outage = Outage::new(Duration::from_secs(10));
        let shortest = Duration::from_millis(500);
        let mut after =
            |seconds| outage.pause(start + Duration::from_secs(seconds), shortest, 1.0).as_millis();
        let pauses = [0, 59, 120, 600, 1200, 86_400].map(&mut after);
        assert_eq!(pauses, [500, 500, 1000, 5000, 10_000, 10_000]);
        assert_eq!(outage.pause(start, shortest, 0.0).as_millis(), 250);
        outage.end();
        assert_eq!(outage.pause(start + Duration::from_secs(86_400), shortest, 1.0).as_millis(), 500);
    }

    #[test]
    fn delays_double_up_to_a_ceiling() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let delays: Vec<_> = (0..8).map(|_| backoff.advance(1.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.advance(0.0).as_secs(), 30);
        for _ in 0..100 {
            backoff.advance(0.5);
        }
        backoff.reset();
        assert_eq!(backoff.advance(0.0), Duration::from_millis(500));
    }
}
