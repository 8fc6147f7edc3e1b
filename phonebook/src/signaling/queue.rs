//! The bounded queue of a client's unread messages.

use fyteclub_proto::{limit::LIVE_QUEUE_MAX, phonebook::live::Hear};
use std::collections::VecDeque;

/// Empty queues allocate nothing.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Hear>);

impl Queue {
    /// Returns false if the queue is full.
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
