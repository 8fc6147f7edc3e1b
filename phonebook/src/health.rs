//! Degradations: what keeps the phone book from working fully. `/api/health` and the operator's page show them.

use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Degradation {
    /// New names are refused.
    BookFull = 1,
    /// No name is registered or found; live clients stay connected.
    RedisGone = 2,
}

impl Degradation {
    #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
    const fn bit(self) -> u8 {
        self as u8
    }
}

/// A set of degradations.
#[derive(Debug, Default)]
pub(crate) struct Health(AtomicU8);

impl Health {
    /// Starts with one degradation.
    pub(crate) fn beginning(trouble: Degradation) -> Self {
        Self(AtomicU8::new(trouble.bit()))
    }

    pub(crate) fn set(&self, trouble: Degradation, is_so: bool) {
        let bit = trouble.bit();
        let before = if is_so {
            self.0.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.0.fetch_and(!bit, Ordering::Relaxed)
        };
        if (before & bit != 0) != is_so {
            match (trouble, is_so) {
                (Degradation::BookFull, true) => {
                    tracing::warn!("the book is full, so new names are refused: raise `max_records`");
                }
                (Degradation::BookFull, false) => tracing::info!("the book has space for new names again"),
                // `shared` logs the cause.
                (Degradation::RedisGone, _) => {}
            }
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
