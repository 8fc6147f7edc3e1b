//! A token bucket in whole nanoseconds: in any time it gives at most rate × time and one burst.

use super::Rate;
use crate::number;
use std::time::{Duration, Instant};

const SECOND: u128 = 1_000_000_000;
/// Saved while nobody asks: 200 ms of the rate, so that a late timer costs no throughput.
const BURST: u64 = 5;
/// One grant is 25 ms of the rate, so that a low limit is smooth and forty peers have a grant each second …
const PORTION: u64 = 40;
/// … but at least about a packet, and at most a chunk.
const PORTION_MIN: u64 = 1024;
const PORTION_MAX: u64 = number::u64_of(crate::limit::CHUNK_SIZE);

#[derive(Debug)]
pub(super) struct Bucket {
    rate: u64,
    /// In bytes × nanoseconds a second: exact, whatever the steps.
    credit: u128,
    at: Instant,
}

impl Bucket {
    /// The bucket after a change of limits. A new one is empty.
    pub(super) fn changed(old: Option<Self>, rate: Option<Rate>, now: Instant) -> Option<Self> {
        let rate = rate?.bytes_a_second();
        let credit = old.map_or(0, |mut old| {
            old.fill(now);
            old.credit
        });
        let mut bucket = Self { rate, credit, at: now };
        bucket.credit = bucket.credit.min(bucket.full());
        Some(bucket)
    }

    pub(super) fn burst(&self) -> u64 {
        self.rate / BURST
    }

    /// The largest single grant.
    pub(super) fn portion(&self) -> u64 {
        (self.rate / PORTION).clamp(PORTION_MIN, PORTION_MAX)
    }

    fn full(&self) -> u128 {
        u128::from(self.burst()) * SECOND
    }

    pub(super) fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        self.credit = (self.credit + u128::from(self.rate) * passed).min(self.full());
        self.at = self.at.max(now);
    }

    pub(super) fn has(&self, bytes: u64) -> bool {
        self.credit >= u128::from(bytes) * SECOND
    }

    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.credit == self.full()
    }

    /// At most what it has.
    pub(super) fn take(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_sub(u128::from(bytes) * SECOND);
    }

    /// When it has so many bytes.
    pub(super) fn due(&self, bytes: u64) -> Instant {
        let lacks = (u128::from(bytes) * SECOND).saturating_sub(self.credit);
        let nanos = lacks.div_ceil(u128::from(self.rate.max(1)));
        self.at + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4))
    }
}
