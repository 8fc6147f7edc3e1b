//! Notices that this machine slept. No socket tells it, and timers wait as long as before.

use std::time::{Duration, Instant, SystemTime};

/// How often the clocks are read: a wake is noticed so soon.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A pause longer by this than it should be was a sleep: also a stopped process, or a clock that was set forward.
const SLEPT: Duration = Duration::from_secs(8);

pub struct Watch {
    /// This clock stands still during a sleep on Linux and macOS, and goes on on Windows.
    steady: Instant,
    /// This one goes on everywhere, and may be set.
    wall: SystemTime,
}

impl Watch {
    pub fn start() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }

    /// Resolves within 2 s after the machine woke up, with the time that it slept. Must be called in a Tokio
    /// runtime. After a drop of the future the next call still notices the sleep.
    pub async fn woke(&mut self) -> Duration {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(slept) = self.look(Instant::now(), SystemTime::now()) {
                return slept;
            }
        }
    }

    fn look(&mut self, steady: Instant, wall: SystemTime) -> Option<Duration> {
        // An error: the clock was set back.
        let by_wall = wall.duration_since(self.wall).unwrap_or_default();
        let passed = steady.saturating_duration_since(self.steady).max(by_wall);
        *self = Self { steady, wall };
        passed.checked_sub(LOOK_EVERY).filter(|slept| *slept >= SLEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By how many seconds the steady clock and the wall clock went on, and how long the machine slept.
    #[test]
    fn machine_that_slept_is_noticed() {
        let mut watch = Watch::start();
        for (steady, wall, slept) in [
            (2, 2, None),
            (2, 600, Some(598)),
            (600, 600, Some(598)),
            (2, 2, None),
            (2, 10, Some(8)),
            (2, 9, None),
            (2, -3600, None),
            (2, 2, None),
            (3, 3, None),
        ] {
            let shift = Duration::from_secs(u64::from(i32::unsigned_abs(wall)));
            let now = if wall < 0 { watch.wall - shift } else { watch.wall + shift };
            let steady = watch.steady + Duration::from_secs(steady);
            assert_eq!(watch.look(steady, now), slept.map(Duration::from_secs), "{wall} s");
        }
    }
}
