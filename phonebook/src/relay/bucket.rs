//! Rates of bytes, by one instant for each bucket: no lock, no allocation.

use std::time::{Duration, Instant};

/// What may pass at once: so much time's worth.
const BURST: Duration = Duration::from_millis(250);
/// And at least so many bytes, or slow rates would pass no bundle of packets whole.
const BURST_MIN: u64 = 64 * 1024;

/// A rate of bytes; all buckets of one kind have the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate(Option<Known>);

#[derive(Debug, Clone, Copy)]
struct Known {
    nanos_per_mib: u64,
    burst: Duration,
}

/// When what was charged has been paid; `None`: it is whole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket(Option<Instant>);

impl Rate {
    /// `None` is unlimited.
    pub(super) fn new(bytes_a_second: Option<u64>) -> Self {
        Self(bytes_a_second.map(|rate| {
            let nanos_per_mib = (1_000_000_000 << 20) / rate.max(1);
            let known = Known { nanos_per_mib, burst: BURST };
            Known { burst: known.cost(BURST_MIN).max(BURST), ..known }
        }))
    }

    /// # Errors
    /// The time until so many bytes may pass.
    pub(super) fn admits(&self, bucket: Bucket, now: Instant, bytes: u64) -> Result<(), Duration> {
        let (Some(known), Some(paid)) = (&self.0, bucket.0) else { return Ok(()) };
        let debt = paid.saturating_duration_since(now) + known.cost(bytes);
        if debt <= known.burst { Ok(()) } else { Err(debt - known.burst) }
    }

    pub(super) fn charge(&self, bucket: &mut Bucket, now: Instant, bytes: u64) {
        if let Some(known) = &self.0 {
            let from = bucket.0.map_or(now, |paid| paid.max(now));
            bucket.0 = Some(from + known.cost(bytes));
        }
    }
}

impl Known {
    fn cost(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes.saturating_mul(self.nanos_per_mib) >> 20)
    }
}

impl Bucket {
    pub(super) fn is_whole(&self, now: Instant) -> bool {
        self.0.is_none_or(|paid| paid <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate_and_told_time_suffices() {
        let (rate, start) = (Rate::new(Some(1 << 20)), Instant::now());
        let (mut bucket, mut passed) = (Bucket::default(), 0);
        while rate.admits(bucket, start, 1024).is_ok() {
            rate.charge(&mut bucket, start, 1024);
            passed += 1024;
        }
        assert_eq!(passed, (1 << 20) / 4, "a quarter of a second");
        let wait = rate.admits(bucket, start, 1024).unwrap_err();
        assert!(wait <= Duration::from_millis(1), "{wait:?}");
        assert_eq!(rate.admits(bucket, start + wait, 1024), Ok(()));
        assert!(!bucket.is_whole(start) && bucket.is_whole(start + BURST));
    }

    #[test]
    fn slow_rate_passes_a_bundle_and_none_passes_all() {
        let start = Instant::now();
        let (slow, mut bucket) = (Rate::new(Some(1024)), Bucket::default());
        slow.charge(&mut bucket, start, 1);
        assert_eq!(slow.admits(bucket, start, BURST_MIN - 1), Ok(()));
        assert!(slow.admits(bucket, start, BURST_MIN + 1024).is_err());
        let (none, mut bucket) = (Rate::new(None), Bucket::default());
        none.charge(&mut bucket, start, u64::MAX);
        assert_eq!(none.admits(bucket, start, u64::MAX), Ok(()));
    }
}
