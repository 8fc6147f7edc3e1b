//! Answers to a wish that wait for a second opinion.

use crate::{bytes::Bytes, id::PeerId, limit::RIVALS_MAX};

/// Answers to a wish that are not believed yet.
#[derive(Debug)]
pub(super) struct Held {
    /// The wish's own number.
    pub wish: Bytes<16>,
    pub keys: Vec<PeerId>,
    pub until: u64,
    /// The first phone book's knock was answered.
    pub first: bool,
    /// The phone books have said whom they list.
    pub listed: bool,
}

impl Held {
    /// Nothing more that is worth waiting for can come.
    pub(super) fn is_clear(&self) -> bool {
        self.keys.len() > 1 || (self.first && self.listed)
    }

    /// One more key that answers.
    pub(super) fn add(&mut self, key: PeerId) {
        if !self.keys.contains(&key) && self.keys.len() < RIVALS_MAX {
            self.keys.push(key);
        }
    }
}
