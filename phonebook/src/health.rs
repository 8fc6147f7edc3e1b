//! What is wrong at the moment, for machines that ask `/api/health` and for the operator's page.

use std::sync::atomic::{AtomicU8, Ordering};

/// Something that keeps the phone book from doing all of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Degradation {
    /// New names are refused; known ones are served.
    BookFull = 1,
    /// Names are neither taken nor found; who is connected here stays so.
    RedisGone = 2,
}

/// Any number of troubles at once. Whoever notices one sets it, and takes it back.
#[derive(Debug, Default)]
pub(crate) struct Health(AtomicU8);

impl Health {
    /// With a trouble that is there until somebody takes it back.
    pub(crate) fn beginning(trouble: Degradation) -> Self {
        Self(AtomicU8::new(trouble as u8))
    }

    pub(crate) fn set(&self, trouble: Degradation, is_so: bool) {
        let bit = trouble as u8;
        let before = match is_so {
            true => self.0.fetch_or(bit, Ordering::Relaxed),
            false => self.0.fetch_and(!bit, Ordering::Relaxed),
        };
        if (before & bit != 0) != is_so {
            tracing::warn!(?trouble, is_so, "the phone book's condition changed");
        }
    }

    pub(crate) fn is_degraded(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_degraded_while_anything_is_wrong() {
        let condition = Health::beginning(Degradation::RedisGone);
        assert!(condition.is_degraded());
        condition.set(Degradation::RedisGone, false);
        assert!(!condition.is_degraded());
        for is_so in [true, true, false, false] {
            condition.set(Degradation::BookFull, is_so);
            assert_eq!(condition.is_degraded(), is_so);
        }
        condition.set(Degradation::BookFull, true);
        condition.set(Degradation::RedisGone, true);
        condition.set(Degradation::BookFull, false);
        assert!(condition.is_degraded(), "one is left");
    }
}
