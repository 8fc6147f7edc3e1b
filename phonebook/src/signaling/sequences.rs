//! The newest sequence of each polling key, as long as an older signature could be replayed.

use fyteclub_proto::{id::PeerId, limit::PROOF_TIME_WINDOW};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// A signature may be dated one window ahead, and is valid for a window after its date.
const MEMORY: Duration = PROOF_TIME_WINDOW.saturating_mul(2);

/// Why a poll was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsequenced {
    Stale { newest: u64 },
    Full,
}

#[derive(Debug)]
pub(crate) struct Sequences {
    newest: HashMap<PeerId, (u64, Instant)>,
    most: usize,
    /// The size at which expired entries are removed; it grows with the table.
    tidy_at: usize,
}

impl Sequences {
    pub(crate) fn new(most: usize) -> Self {
        Self { newest: HashMap::new(), most, tidy_at: 0 }
    }

    pub(crate) fn knows(&self, key: &PeerId, now: Instant) -> bool {
        self.newest.get(key).is_some_and(|(_, used)| *used + MEMORY > now)
    }

    /// # Errors
    /// The sequence is not above all of the key's, or the table is full.
    pub(crate) fn take(&mut self, key: PeerId, sequence: u64, now: Instant) -> Result<(), Unsequenced> {
        if let Some((newest, used)) = self.newest.get_mut(&key) {
            if sequence <= *newest && *used + MEMORY > now {
                return Err(Unsequenced::Stale { newest: *newest });
            }
            (*newest, *used) = (sequence, now);
            return Ok(());
        }
        if self.newest.len() >= self.tidy_at.min(self.most) {
            self.newest.retain(|_, (_, used)| *used + MEMORY > now);
            self.newest.shrink_to(self.newest.len() * 2);
            self.tidy_at = (self.newest.len() * 2).max(1024);
        }
        if self.newest.len() >= self.most {
            return Err(Unsequenced::Full);
        }
        self.newest.insert(key, (sequence, now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_counts_once_while_a_replay_is_possible() {
        let (mut sequences, start) = (Sequences::new(2), Instant::now());
        let key = |number| PeerId::from_bytes([number; 32]);
        assert_eq!(sequences.take(key(1), 5, start), Ok(()));
        for old in [0, 4, 5] {
            assert_eq!(sequences.take(key(1), old, start), Err(Unsequenced::Stale { newest: 5 }));
        }
        assert_eq!(sequences.take(key(2), 5, start), Ok(()));
        assert_eq!(sequences.take(key(3), 1, start), Err(Unsequenced::Full));
        let later = start + MEMORY;
        assert!(sequences.knows(&key(1), later - Duration::from_millis(1)));
        assert!(!sequences.knows(&key(1), later));
        assert_eq!(sequences.take(key(3), 1, later), Ok(()));
        assert_eq!(sequences.newest.len(), 1, "the others are forgotten");
    }
}
