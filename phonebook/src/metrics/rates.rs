//! Rates for the operator's page; Prometheus computes its own.

use fyteclub_proto::number;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Between two samples.
pub(crate) const PACE: Duration = Duration::from_secs(5);
/// One minute.
const SAMPLES: usize = 13;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct PerSecond {
    pub(crate) lookups: f64,
    pub(crate) introductions: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    at: Duration,
    lookups: u64,
    introductions: u64,
}

#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<VecDeque<Sample>>);

impl Rates {
    pub(super) fn sample(&self, at: Duration, lookups: u64, introductions: u64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(Sample { at, lookups, introductions });
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    pub(super) fn per_second(&self, now: Duration, lookups: u64, introductions: u64) -> PerSecond {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = samples.front().copied().unwrap_or_default();
        let seconds = now.saturating_sub(oldest.at).as_secs_f64();
        if seconds <= 0.0 {
            return PerSecond::default();
        }
        PerSecond {
            lookups: number::f64_of(lookups - oldest.lookups.min(lookups)) / seconds,
            introductions: number::f64_of(introductions - oldest.introductions.min(introductions)) / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_minute() {
        let rates = Rates::default();
        assert_eq!(rates.per_second(Duration::ZERO, 0, 0), PerSecond::default());
        assert_eq!(
            rates.per_second(Duration::from_secs(2), 8, 2),
            PerSecond { lookups: 4.0, introductions: 1.0 }
        );
        for second in (0..600).step_by(5) {
            rates.sample(
                Duration::from_secs(second),
                if second < 300 { second * 1000 } else { 300_000 },
                second,
            );
        }
        let now = rates.per_second(Duration::from_secs(595), 300_000, 595);
        assert_eq!(now, PerSecond { lookups: 0.0, introductions: 1.0 });
    }
}
