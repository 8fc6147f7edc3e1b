//! The approximate number of registered names: HyperLogLogs of 12 KiB, one per sixth of the ttl. The error is one
//! percent, plus unregistered names.

use super::keyspace::plain;
use redis::Cmd;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const PARTS: u64 = 6;
/// Milliseconds. Longer than between two readings, which also set the expiry of each part.
const PART_MIN: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Cardinality {
    /// Milliseconds.
    part: u64,
    last: AtomicUsize,
}

impl Cardinality {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { part: (crate::clock::millis(ttl) / PARTS).max(PART_MIN), last: AtomicUsize::new(0) }
    }

    /// The last reading.
    pub(super) fn last(&self) -> usize {
        self.last.load(Ordering::Relaxed)
    }

    pub(super) fn read(&self, count: i64) {
        self.last.store(usize::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }

    /// Counts a registered name.
    pub(super) fn count(&self, tag: &[u8], time: u64) -> Cmd {
        let mut cmd = redis::cmd("PFADD");
        cmd.arg(self.key(time / self.part)).arg(tag);
        cmd
    }

    /// Names counted within the ttl.
    pub(super) fn total(&self, time: u64) -> Cmd {
        let mut cmd = redis::cmd("PFCOUNT");
        let now = time / self.part;
        for part in now.saturating_sub(PARTS)..=now {
            cmd.arg(self.key(part));
        }
        cmd
    }

    /// Sets the expiry of the current part.
    pub(super) fn forget(&self, time: u64) -> Cmd {
        let mut cmd = redis::cmd("PEXPIRE");
        cmd.arg(self.key(time / self.part)).arg(self.part * (PARTS + 2));
        cmd
    }

    /// In one slot of a cluster: the parts are counted together.
    fn key(&self, part: u64) -> Vec<u8> {
        plain(&format!("{{census}}:{part}"))
    }
}
