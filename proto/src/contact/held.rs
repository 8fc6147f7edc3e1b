//! Held answers to wishes by name, until other phone books were asked.

use crate::{bytes::Bytes, id::PeerId, limit::RIVALS_MAX};

/// The held answers to one wish.
#[derive(Debug)]
pub(super) struct Held {
    /// The wish's number.
    pub wish: Bytes<16>,
    pub keys: Vec<PeerId>,
    pub until: u64,
    /// The first phone book's knock was answered.
    pub first: bool,
    /// The phone books have answered the lookup.
    pub listed: bool,
}

impl Held {
    /// No further answer is worth waiting for.
    pub(super) fn is_clear(&self) -> bool {
        self.keys.len() > 1 || (self.first && self.listed)
    }

    /// Adds an answering key.
    pub(super) fn add(&mut self, key: PeerId) {
        if !self.keys.contains(&key) && self.keys.len() < RIVALS_MAX {
            self.keys.push(key);
        }
    }
}
