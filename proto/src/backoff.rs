//! The delay before the next attempt. Randomness is an argument.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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
