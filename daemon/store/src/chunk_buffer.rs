//! Memory for one chunk, used again and again. What is in flight of a chunk changes threads three times, and an
//! allocator that keeps a heap for each thread would hold it on every one of them; one that gives it back at once pays
//! for each chunk with page faults.

use bytes::Bytes;
use fyteclub_proto::{limit::CHUNK_SIZE, seal::TAG};
use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
};

/// A chunk and its tag.
const CAPACITY: usize = CHUNK_SIZE + TAG;
static POOL: Mutex<Pool> = Mutex::new(Pool { spare: Vec::new(), out: 0 });

struct Pool {
    spare: Vec<Vec<u8>>,
    out: usize,
}

/// Memory for a sealed chunk. A dropped buffer waits in the pool for the next chunk; when no buffer is in use, the pool
/// is emptied: an idle daemon holds none. There are never more than were in use at once, which windows and jobs bound.
#[derive(Debug)]
pub struct ChunkBuffer {
    bytes: Vec<u8>,
    /// From [`ChunkBuffer::take`], so it returns to the pool.
    shared: bool,
}

impl ChunkBuffer {
    /// An empty one. Best taken where it will come back, on the thread of the network: an allocator with a heap for
    /// each thread then holds it in one of them.
    pub fn take() -> Self {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.out += 1;
        let spare = pool.spare.pop();
        drop(pool);
        Self { bytes: spare.unwrap_or_else(|| Vec::with_capacity(CAPACITY)), shared: true }
    }

    /// A shared one for what fills most of it, and otherwise as much memory as is needed.
    pub fn of(len: usize) -> Self {
        Self::of_or(&mut None, len)
    }

    /// As [`ChunkBuffer::of`], with the one at hand where there is one.
    pub fn of_or(at_hand: &mut Option<Self>, len: usize) -> Self {
        if len > CAPACITY / 2 {
            at_hand.take().unwrap_or_else(Self::take)
        } else {
            Vec::with_capacity(len).into()
        }
    }

    /// Whether it comes from [`ChunkBuffer::take`].
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The buffer returns to the pool when the last of these bytes is dropped.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl From<Vec<u8>> for ChunkBuffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, shared: false }
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        if !self.shared {
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.out -= 1;
        if pool.out == 0 {
            let unused = std::mem::take(&mut pool.spare);
            drop(pool);
            drop(unused);
        } else {
            pool.spare.push(bytes);
        }
    }
}

impl AsRef<[u8]> for ChunkBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for ChunkBuffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for ChunkBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reused_buffer_is_empty_and_large_enough() {
        let keep = ChunkBuffer::take();
        let mut used = ChunkBuffer::take();
        used.resize(CAPACITY, 7);
        let bytes = used.into_bytes();
        assert_eq!(bytes.len(), CAPACITY);
        drop(bytes.slice(..4));
        drop(bytes);
        let again = ChunkBuffer::of(CAPACITY);
        assert!(again.is_empty() && again.capacity() >= CAPACITY && keep.is_empty());
        assert!(ChunkBuffer::of(100).capacity() < CAPACITY / 2, "a small file takes what it needs");
    }
}
