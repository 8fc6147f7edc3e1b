//! A blob is its hash, its size, and where it came from.
//!
//! The hash identifies the bytes. The size is a look's claim until the bytes are here, so two looks may name one hash
//! with two sizes, and share nothing. The origin is the owner of the look for which the blob was received, and decides
//! under whose grant it may be lent; naming a hash gives no right to it.

use crate::{
    chunk_tree::{chunk_count, chunk_len},
    id::{BlobHash, PeerId},
    number,
};
use serde::{Deserialize, Serialize};

/// Bytes by hash and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Content {
    pub hash: BlobHash,
    pub size: u64,
}

impl Content {
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: BlobHash::of(bytes), size: number::u64_of(bytes.len()) }
    }

    pub fn chunks(&self) -> u32 {
        chunk_count(self.size)
    }

    /// Whether it is one chunk, so that its hash alone verifies it.
    pub fn is_small(&self) -> bool {
        self.chunks() == 1
    }

    /// The length of chunk `index`; `None` past the end.
    pub fn chunk_len(&self, index: u32) -> Option<usize> {
        chunk_len(self.size, index)
    }
}

/// Where a blob came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// This player's own look. Its files may be anywhere on this machine, and are served to contacts while they are
    /// published.
    Own,
    /// Received from this owner or under their grant, or they proved to have it ([`crate::possession`]).
    Owner(PeerId),
}

/// A request to the store for a blob to serve: never by hash alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blob {
    pub content: Content,
    pub origin: Origin,
}

/// A small set of owners. One more than `N` replaces the first one; a forgotten owner has to send or prove the blob
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owners<T, const N: usize>([Option<T>; N]);

impl<T: Copy + PartialEq, const N: usize> Default for Owners<T, N> {
    fn default() -> Self {
        Self([None; N])
    }
}

impl<T: Copy + PartialEq, const N: usize> Owners<T, N> {
    /// Returns whether it was absent.
    pub fn insert(&mut self, owner: T) -> bool {
        if self.contains(owner) {
            return false;
        }
        // The newest is the first.
        self.0.rotate_right(1);
        self.0[0] = Some(owner);
        true
    }

    /// Returns whether it was present.
    pub fn remove(&mut self, owner: T) -> bool {
        let Some(at) = self.0.iter().position(|known| *known == Some(owner)) else { return false };
        self.0[at..].rotate_left(1);
        self.0[N - 1] = None;
        true
    }

    pub fn contains(&self, owner: T) -> bool {
        self.0.contains(&Some(owner))
    }

    /// The newest first.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().map_while(|owner| *owner)
    }
}

/// The chunks of a blob that each owner has sent. An owner counts as an origin once they sent every chunk themselves,
/// whether it was here already or not.
#[derive(Debug, Clone, Default)]
pub struct Givers(Vec<(PeerId, Box<[u64]>)>);

/// Owners whose chunks of one blob are counted at once: one more than fetches at once.
const GIVERS_MAX: usize = crate::limit::FLOWS_ALL_MAX + 1;

impl Givers {
    /// Counts a chunk; returns whether the owner has now sent the whole blob. Owners beyond the limit never have.
    pub fn gave(&mut self, owner: PeerId, content: &Content, chunk: u32) -> bool {
        let at = self.0.iter().position(|(known, _)| *known == owner);
        let at = match at {
            Some(at) => at,
            None if self.0.len() >= GIVERS_MAX => return false,
            None => {
                self.0.push((owner, vec![0; number::index(content.chunks().div_ceil(64))].into()));
                self.0.len() - 1
            }
        };
        let bits = &mut self.0[at].1;
        if let Some(word) = bits.get_mut(number::index(chunk / 64)) {
            *word |= 1 << (chunk % 64);
        }
        bits.iter().map(|word| word.count_ones()).sum::<u32>() == content.chunks()
    }

    /// Owners who sent every chunk.
    pub fn whole(&self, content: &Content) -> impl Iterator<Item = PeerId> + '_ {
        let chunks = content.chunks();
        let count = |bits: &[u64]| bits.iter().map(|word| word.count_ones()).sum::<u32>();
        self.0.iter().filter(move |(_, bits)| count(bits) == chunks).map(|(owner, _)| *owner)
    }

    pub fn has_given(&self, owner: &PeerId, chunk: u32) -> bool {
        let bits = self.0.iter().find(|(known, _)| known == owner).map(|(_, bits)| bits);
        bits.and_then(|bits| bits.get(number::index(chunk / 64)))
            .is_some_and(|word| word >> (chunk % 64) & 1 == 1)
    }

    /// The first owner who sent all of these chunks.
    pub fn of_all(&self, chunks: impl Iterator<Item = u32> + Clone) -> Option<PeerId> {
        chunks.clone().next()?;
        let mut owners = self.0.iter().map(|(owner, _)| *owner);
        owners.find(|owner| chunks.clone().all(|chunk| self.has_given(owner, chunk)))
    }
}

/// The magic of a file of origin records, see [`origin_record`].
pub const ORIGINS_MAGIC: &[u8; 8] = b"FC.orig1";
const ORIGIN_SUM: usize = 8;
/// Bytes of one record.
pub const ORIGIN_RECORD: usize = 32 + 32 + ORIGIN_SUM;

/// The stored form of an origin: hash, owner, and the first bytes of BLAKE3 over both, so that a truncated or damaged
/// record is detected.
pub fn origin_record(hash: &BlobHash, owner: &PeerId) -> [u8; ORIGIN_RECORD] {
    let mut record = [0; ORIGIN_RECORD];
    record[..32].copy_from_slice(hash.as_bytes());
    record[32..64].copy_from_slice(owner.as_bytes());
    let sum = blake3::hash(&record[..64]);
    record[64..].copy_from_slice(&sum.as_bytes()[..ORIGIN_SUM]);
    record
}

/// Reads a file of records; another file has none. Also returns whether records may be appended to it.
pub fn read_origins(file: &[u8]) -> (Vec<(BlobHash, PeerId)>, bool) {
    let Some(body) = file.strip_prefix(ORIGINS_MAGIC) else { return (Vec::new(), false) };
    let (records, rest) = body.as_chunks::<ORIGIN_RECORD>();
    let read = |bytes: &[u8; ORIGIN_RECORD]| {
        let (hash, rest) = bytes.split_first_chunk::<32>()?;
        let (owner, _) = rest.split_first_chunk::<32>()?;
        let read = (BlobHash::from_bytes(*hash), PeerId::from_bytes(*owner));
        (origin_record(&read.0, &read.1) == *bytes).then_some(read)
    };
    let good: Vec<_> = records.iter().filter_map(read).collect();
    let clean = rest.is_empty() && good.len() == records.len();
    (good, clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::CHUNK_SIZE;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    #[test]
    fn owners_beyond_the_bound_displace_the_first() {
        let mut owners = Owners::<u8, 3>::default();
        assert!([1, 2, 3].into_iter().all(|n| owners.insert(n)) && !owners.insert(1));
        assert!(owners.insert(4));
        assert_eq!(owners.iter().collect::<Vec<_>>(), [4, 3, 2]);
        assert!(owners.remove(3) && !owners.remove(3) && !owners.contains(3));
        assert_eq!(owners.iter().collect::<Vec<_>>(), [4, 2]);
        assert!(owners.insert(5));
        assert_eq!(owners.iter().collect::<Vec<_>>(), [5, 4, 2]);
    }

    #[test]
    fn blob_has_the_origin_of_all_its_chunks() {
        let content = Content { hash: BlobHash::of(b"large"), size: 70 * CHUNK_SIZE as u64 };
        let mut givers = Givers::default();
        for chunk in 0..69 {
            assert!(!givers.gave(peer(1), &content, chunk));
        }
        assert!(!givers.gave(peer(2), &content, 69), "the last of all, but not of theirs");
        assert!(!givers.gave(peer(1), &content, 68), "twice is once");
        assert_eq!(givers.of_all(0..69), Some(peer(1)));
        assert_eq!(givers.of_all(0..70), None);
        assert_eq!(givers.of_all(0..0), None);
        assert!(givers.gave(peer(1), &content, 69));
        assert!(givers.has_given(&peer(2), 69) && !givers.has_given(&peer(2), 1));
    }

    #[test]
    fn owners_beyond_the_counted_give_nothing() {
        let content = Content { hash: BlobHash::of(b"small"), size: 1 };
        let mut givers = Givers::default();
        let gave = (0..40).filter(|n| givers.gave(peer(*n), &content, 0)).count();
        assert_eq!(gave, GIVERS_MAX);
    }

    #[test]
    fn records_before_and_after_a_bent_one_are_read() {
        let pair = |n: u8| (BlobHash::of(&[n]), peer(n));
        let mut file = ORIGINS_MAGIC.to_vec();
        for n in 1..4 {
            file.extend(origin_record(&pair(n).0, &pair(n).1));
        }
        assert_eq!(read_origins(&file), (vec![pair(1), pair(2), pair(3)], true));
        let torn = &file[..file.len() - 5];
        assert_eq!(read_origins(torn), (vec![pair(1), pair(2)], false));
        file[ORIGINS_MAGIC.len() + ORIGIN_RECORD + 40] ^= 1;
        assert_eq!(read_origins(&file), (vec![pair(1), pair(3)], false), "a bent owner is no owner");
        assert_eq!(read_origins(b"something else"), (vec![], false));
    }
}
