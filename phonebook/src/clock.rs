//! The only reader of the clock; everything else takes a [`Moment`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One instant by two clocks: `steady` for lifetimes, `unix` for people and signatures.
///
/// A wall clock jumps (a Raspberry Pi boots without the date). A jump must neither expire all records nor keep them
/// for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the phone book started.
    pub steady: Duration,
    /// Since 1970.
    pub unix: Duration,
}

impl Moment {
    pub fn unix_millis(&self) -> u64 {
        millis(self.unix)
    }

    pub(crate) fn steady_millis(&self) -> u64 {
        millis(self.steady)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Debug, Clone)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            steady: self.started.elapsed(),
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}
