//! CUBIC's window as a function of time (RFC 9438): how a flow grows among others with the same rule.

use std::time::{Duration, Instant};

const C: f64 = 0.4;
pub(super) const BETA: f64 = 0.7;

/// One epoch: from one reduction to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cubic {
    began: Instant,
    /// The window before the reduction, in packets.
    top: f64,
    /// Seconds until it is reached again.
    k: f64,
    /// The window at the epoch's begin, in packets.
    base: f64,
}

impl Cubic {
    /// From `window` towards `top`; both in bytes.
    pub(super) fn new(now: Instant, window: f64, top: f64, mtu: f64) -> Self {
        let (base, top) = (window / mtu, top.max(window) / mtu);
        Self { began: now, top, k: ((top - base) / C).cbrt(), base }
    }

    /// Bytes at `now`, a round trip ahead, and at least Reno's window.
    pub(super) fn window(&self, now: Instant, rtt: Duration, mtu: f64) -> f64 {
        let age = now.saturating_duration_since(self.began);
        let t = (age + rtt).as_secs_f64();
        let cubic = C * (t - self.k).powi(3) + self.top;
        let rounds = age.as_secs_f64() / rtt.as_secs_f64().max(0.000_1);
        let reno = self.base + 3.0 * (1.0 - BETA) / (1.0 + BETA) * rounds;
        cubic.max(reno) * mtu
    }

    /// Removes the time from `then` to `now` from the epoch.
    pub(super) fn skip(&mut self, then: Instant, now: Instant) {
        self.began += now.saturating_duration_since(then);
    }
}
