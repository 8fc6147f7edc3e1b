//! The rate of the last two seconds.

use crate::number;
use std::{collections::VecDeque, time::Instant};

/// Samples; the daemon takes five a second.
const LOOKS: usize = 10;

/// A growing total, sampled now and then.
#[derive(Debug, Default)]
pub struct Speed(VecDeque<(Instant, u64)>);

impl Speed {
    pub fn look(&mut self, now: Instant, total: u64) {
        self.0.push_back((now, total));
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
    }

    /// A second's growth.
    pub fn rate(&self) -> u64 {
        match (self.0.front(), self.0.back()) {
            (Some((from, before)), Some((to, now))) if to > from => {
                let grown = number::f64_of(now.saturating_sub(*before));
                number::whole(grown / to.duration_since(*from).as_secs_f64())
            }
            _ => 0,
        }
    }
}

/// Seconds until so many bytes have moved at this rate; `None` while nothing moves.
pub fn remaining(bytes: u64, rate: u64) -> Option<u64> {
    (rate > 0).then(|| bytes.div_ceil(rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn the_rate_is_that_of_the_last_looks() {
        let (mut speed, start) = (Speed::default(), Instant::now());
        assert_eq!(speed.rate(), 0);
        for tick in 0..20_u32 {
            let total = if tick < 10 { 1_000_000 } else { 1_000_000 + u64::from(tick - 9) * 100 };
            speed.look(start + Duration::from_millis(200) * tick, total);
        }
        assert_eq!(speed.rate(), 500);
        assert_eq!((remaining(1001, 500), remaining(1, 0)), (Some(3), None));
    }
}
