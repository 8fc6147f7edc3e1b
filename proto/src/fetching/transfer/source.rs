//! One source of a transfer: its rate, its blobs, and its credit.

use super::pick::{Class, Holding};
use crate::{
    limit::{CHUNK_SIZE, REQUEST_BYTES_MAX},
    number,
};
use std::time::{Duration, Instant};

/// Right bytes that a source must have sent before one wrong chunk counts as its disk's fault: a liar pays for each
/// wrong chunk with four right ones, and is removed at the second all the same.
pub const CREDIT: u64 = 4 * number::u64_of(CHUNK_SIZE);
/// Wrong chunks of one source that a transfer forgives.
const FORGIVEN: u32 = 1;

/// A rate is computed after this long, so that one fast chunk does not count as a fast source.
const WINDOW: Duration = Duration::from_millis(250);
/// After this long without a sample the silence counts as well.
const STALE: Duration = Duration::from_secs(1);
/// The weight of the newest window: about a second's history.
const WEIGHT: f64 = 0.3;
/// A request's intended duration: what is requested ahead of a slow source is what others must take from it.
const REQUEST_SECONDS: f64 = 0.5;
/// And where no other source is.
const LONE_REQUEST_SECONDS: f64 = 2.0;
/// The least of one request.
const REQUEST_BYTES_MIN: u64 = 64 * 1024;
/// The first requests to a source. While its rate is unknown, each later one is as large as all that came.
const FIRST_BYTES: u64 = number::u64_of(CHUNK_SIZE);

/// Verified bytes a second while requests run, averaged.
#[derive(Debug)]
struct Rate {
    average: Option<f64>,
    since: Instant,
    bytes: u64,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { average: None, since: now, bytes: 0 }
    }

    /// An idle source gets a request: the idle time does not count.
    fn begin(&mut self, now: Instant) {
        (self.since, self.bytes) = (now, 0);
    }

    fn add(&mut self, now: Instant, bytes: u64) {
        self.bytes += bytes;
        let took = now.saturating_duration_since(self.since);
        if took < WINDOW {
            return;
        }
        let sample = number::f64_of(self.bytes) / took.as_secs_f64();
        self.average = Some(self.average.map_or(sample, |old| old + WEIGHT * (sample - old)));
        self.begin(now);
    }

    /// `None` without a measurement, for at most a second.
    fn at(&self, now: Instant) -> Option<f64> {
        let took = now.saturating_duration_since(self.since);
        if took < STALE {
            return self.average;
        }
        let lately = (number::f64_of(self.bytes) / took.as_secs_f64()).max(1.0);
        Some(self.average.map_or(lately, |average| average.min(lately)))
    }
}

#[derive(Debug)]
pub(super) struct Source {
    /// Running requests, by class.
    pub open: [usize; 2],
    /// Silent or broken requests in a row.
    pub stalls: u32,
    pub resting: Option<Instant>,
    pub holding: Holding,
    /// It still fetches the look itself, and may get more.
    pub growing: Option<Instant>,
    rate: Rate,
    /// When anything arrived from it.
    pub heard: Instant,
    credit: u64,
    wrongs: u32,
}

impl Source {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            open: [0; 2],
            stalls: 0,
            resting: None,
            holding: Holding::default(),
            growing: None,
            rate: Rate::new(now),
            heard: now,
            credit: 0,
            wrongs: 0,
        }
    }

    /// Bytes a second, if known. An idle source keeps its last rate.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        if self.requests() == 0 { self.rate.average } else { self.rate.at(now) }
    }

    pub(super) fn requests(&self) -> usize {
        self.open.iter().sum()
    }

    pub(super) fn opened(&mut self, class: Class, now: Instant) {
        if self.requests() == 0 {
            self.rate.begin(now);
        }
        self.open[class.index()] += 1;
    }

    pub(super) fn closed(&mut self, class: Class) {
        self.open[class.index()] = self.open[class.index()].saturating_sub(1);
    }

    pub(super) fn brought(&mut self, now: Instant, bytes: u64) {
        self.rate.add(now, bytes);
        self.credit = self.credit.saturating_add(bytes);
    }

    /// A wrong chunk costs all credit; returns whether there was enough to be forgiven.
    pub(super) fn forgives(&mut self) -> bool {
        self.wrongs += 1;
        std::mem::take(&mut self.credit) >= CREDIT && self.wrongs <= FORGIVEN
    }

    /// Its signed look is in doubt.
    pub(super) fn discredit(&mut self) {
        self.credit = 0;
    }

    /// The bytes of one request. A lone source gets more.
    pub(super) fn budget(&self, now: Instant, alone: bool) -> u64 {
        let seconds = if alone { LONE_REQUEST_SECONDS } else { REQUEST_SECONDS };
        match self.rate(now) {
            Some(rate) => number::whole(rate * seconds).clamp(REQUEST_BYTES_MIN, REQUEST_BYTES_MAX),
            None => self.credit.clamp(FIRST_BYTES, REQUEST_BYTES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn a_rate_is_of_busy_time_and_falls_in_silence() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!(rate.at(start), None);
        rate.add(start + Duration::from_millis(500), 500_000);
        assert_eq!(rate.at(start + Duration::from_millis(600)), Some(1e6));
        let later = start + Duration::from_secs(100);
        rate.begin(later);
        assert_eq!(rate.at(later), Some(1e6), "idleness is no slowness");
        assert_eq!(rate.at(later + Duration::from_secs(10)), Some(1.0), "silence is");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn truth_buys_one_lie_and_no_more() {
        let now = Instant::now();
        let mut source = Source::new(now);
        source.brought(now, CREDIT);
        assert!(source.forgives());
        source.brought(now, 1000 * CREDIT);
        assert!(!source.forgives(), "however much truth");
        let mut source = Source::new(now);
        source.brought(now, CREDIT - 1);
        assert!(!source.forgives());
    }
}
