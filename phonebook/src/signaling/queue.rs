//! What waits for one client to read it: so many messages and no more.

use fyteclub_proto::{limit::LIVE_QUEUE_MAX, phonebook::live::Hear};
use std::collections::VecDeque;

/// Takes no memory while it is empty: most are, most of the time.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Hear>);

impl Queue {
    /// Whether there was room.
    #[must_use]
    pub(super) fn push(&mut self, hear: Hear) -> bool {
        let room = self.0.len() < LIVE_QUEUE_MAX;
        if room {
            self.0.push_back(hear);
        }
        room
    }

    pub(super) fn pop(&mut self) -> Option<Hear> {
        let hear = self.0.pop_front();
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
        hear
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_inner(self) -> VecDeque<Hear> {
        self.0
    }
}
