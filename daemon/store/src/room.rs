//! Memory for one chunk, used again and again. What is in flight of a chunk changes threads three times, and an allocator
//! that keeps a heap for each thread would hold it on every one of them; one that gives it back at once pays for each
//! chunk with page faults.

use bytes::Bytes;
use fyteclub_proto::{limit::CHUNK_SIZE, seal::TAG};
use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
};

/// A chunk and its tag.
const ROOM: usize = CHUNK_SIZE + TAG;
static ROOMS: Mutex<Rooms> = Mutex::new(Rooms { spare: Vec::new(), out: 0 });

struct Rooms {
    spare: Vec<Vec<u8>>,
    out: usize,
}

/// Bytes with room for a sealed chunk. A room that comes back waits for the next chunk; when the last one is back, all go:
/// a daemon at rest holds none. There are never more than were in use at once, which windows and jobs bound.
#[derive(Debug)]
pub struct Room {
    bytes: Vec<u8>,
    /// From [`Room::take`], and not somebody's own memory.
    shared: bool,
}

impl Room {
    /// An empty one. Best taken where it will come back, on the thread of the network: an allocator with a heap for each
    /// thread then holds it in one of them.
    pub fn take() -> Self {
        let mut rooms = ROOMS.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.out += 1;
        let spare = rooms.spare.pop();
        drop(rooms);
        Self { bytes: spare.unwrap_or_else(|| Vec::with_capacity(ROOM)), shared: true }
    }

    /// A shared one for what fills most of it, and otherwise as much memory as is needed.
    pub fn of(len: usize) -> Self {
        Self::of_or(&mut None, len)
    }

    /// As [`Room::of`], with the one at hand where there is one.
    pub fn of_or(at_hand: &mut Option<Self>, len: usize) -> Self {
        match len > ROOM / 2 {
            true => at_hand.take().unwrap_or_else(Self::take),
            false => Vec::with_capacity(len).into(),
        }
    }

    /// Whether it comes from [`Room::take`].
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The room comes back when the last of these bytes is dropped.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl From<Vec<u8>> for Room {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, shared: false }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.shared {
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut rooms = ROOMS.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.out -= 1;
        if rooms.out == 0 {
            let unused = std::mem::take(&mut rooms.spare);
            drop(rooms);
            drop(unused);
        } else {
            rooms.spare.push(bytes);
        }
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Room {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_empty_and_large_enough_whoever_had_it() {
        let keep = Room::take();
        let mut used = Room::take();
        used.resize(ROOM, 7);
        let bytes = used.into_bytes();
        assert_eq!(bytes.len(), ROOM);
        drop(bytes.slice(..4));
        drop(bytes);
        let again = Room::of(ROOM);
        assert!(again.is_empty() && again.capacity() >= ROOM && keep.is_empty());
        assert!(Room::of(100).capacity() < ROOM / 2, "a small file takes what it needs");
    }
}
