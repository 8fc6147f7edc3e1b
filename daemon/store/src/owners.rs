//! The owners from whom cached blobs came, as small numbers.

use fyteclub_proto::{blob::Owners, id::PeerId, limit::OWNERS_MAX};
use std::{collections::HashMap, num::NonZeroU16};

/// An owner, by the order in which this process met them.
pub(super) type Number = NonZeroU16;
pub(super) type BlobOwners = Owners<Number, OWNERS_MAX>;

/// Owners and their numbers, which are never given twice.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    of: HashMap<PeerId, Number>,
    peers: Vec<PeerId>,
}

impl Numbers {
    pub(super) fn of(&self, owner: &PeerId) -> Option<Number> {
        self.of.get(owner).copied()
    }

    /// `None` when there are no more numbers: what comes from further owners is not lent.
    pub(super) fn make(&mut self, owner: &PeerId) -> Option<Number> {
        if let Some(number) = self.of(owner) {
            return Some(number);
        }
        let number = u16::try_from(self.peers.len() + 1).ok().and_then(Number::new)?;
        self.peers.push(*owner);
        self.of.insert(*owner, number);
        Some(number)
    }

    /// What is known of one key is known of the other from now on, unless that is known by itself.
    pub(super) fn rename(&mut self, from: &PeerId, to: &PeerId) -> bool {
        if self.of.contains_key(to) {
            return false;
        }
        let Some(number) = self.of.remove(from) else { return false };
        self.of.insert(*to, number);
        if let Some(peer) = self.peers.get_mut(usize::from(number.get()) - 1) {
            *peer = *to;
        }
        true
    }

    pub(super) fn peer(&self, number: Number) -> Option<PeerId> {
        self.peers.get(usize::from(number.get()) - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_to_an_end_without_being_given_twice() {
        let mut numbers = Numbers::default();
        let peer = |n: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_le_bytes());
            PeerId::from_bytes(bytes)
        };
        for n in 0..u32::from(u16::MAX) {
            let number = numbers.make(&peer(n)).expect("enough");
            assert_eq!(numbers.peer(number), Some(peer(n)));
        }
        assert_eq!(numbers.make(&peer(70_000)), None);
        assert_eq!(numbers.make(&peer(5)), numbers.of(&peer(5)));
    }
}
