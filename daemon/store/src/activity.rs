//! When bytes were last taken or served.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

pub(crate) struct Activity {
    born: Instant,
    /// Milliseconds after `born`.
    last: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { born: Instant::now(), last: AtomicU64::new(0) }
    }

    pub(crate) fn note(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// How long there was none.
    pub(crate) fn idle_for(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last)
    }
}
