//! A mapping in force: until when, and when to renew it.

use super::orders::Grant;
use std::time::{Duration, Instant};

/// Longest pause before a mapping is renewed, also one that is said to last for ever: routers forget those too.
const RENEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest pause, whatever a router grants (RFC 6887 §11.2.1).
const RENEW_MIN: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) grant: Grant,
    pub(super) renew: Instant,
    /// `None`: without end.
    pub(super) ends: Option<Instant>,
    /// Somebody from outside came in.
    pub(super) proven: bool,
}

impl Lease {
    /// From the moment of the answer on.
    pub(super) fn new(now: Instant, grant: Grant) -> Self {
        let granted = grant.seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let half = granted.map_or(RENEW_MAX, |granted| granted / 2);
        let renew = now + half.clamp(RENEW_MIN, RENEW_MAX);
        let ends = granted.map(|granted| now + granted.max(2 * RENEW_MIN));
        Self { grant, renew, ends, proven: false }
    }

    /// The router did not answer: asks again at half of what is left.
    pub(super) fn put_off(&mut self, now: Instant) {
        let left = self.ends.map(|ends| ends.saturating_duration_since(now));
        let half = left.map_or(RENEW_MAX, |left| left / 2);
        self.renew = now + half.clamp(RENEW_MIN, RENEW_MAX);
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| now >= ends)
    }
}
