//! Blobs in chunks: BLAKE3's own tree, cut at [`CHUNK_SIZE`].
//!
//! A chunk is one subtree, so a list of the chunks' chaining values verifies against the blob's hash, and then each
//! chunk verifies alone, from any source. A blob of one chunk needs no list. Source: BLAKE3 paper §2.4 and §5; the
//! `hazmat` module of the `blake3` crate.

use crate::{
    id::BlobHash,
    limit::{CHUNK_SIZE, FILE_SIZE_MAX},
    number,
};
use blake3::{
    Hasher,
    hazmat::{self, HasherExt, Mode},
};

/// The chaining value of one chunk's subtree.
pub type ChainingValue = [u8; 32];

/// Chunks of a blob of `size` bytes: at least one, even when it is empty.
pub fn chunk_count(size: u64) -> u32 {
    let count = size.div_ceil(number::u64_of(CHUNK_SIZE)).max(1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The length of chunk `index`; `None` past the end.
pub fn chunk_len(size: u64, index: u32) -> Option<usize> {
    let start = u64::from(index) * number::u64_of(CHUNK_SIZE);
    let len = size.checked_sub(start)?.min(number::u64_of(CHUNK_SIZE));
    (len > 0 || (index == 0 && size == 0)).then_some(number::usize_of(len))
}

/// The chaining value of chunk `index` of a blob that has more than one.
fn chaining_value(index: u32, bytes: &[u8]) -> ChainingValue {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(u64::from(index) * number::u64_of(CHUNK_SIZE));
    hasher.update(bytes).finalize_non_root()
}

/// Merges all chunk values of `size` bytes up to the root.
fn root(values: &[ChainingValue], size: u64) -> blake3::Hash {
    /// Merges the values of a subtree of `size` bytes that is not the whole.
    fn subtree(values: &[ChainingValue], size: u64) -> ChainingValue {
        if let [only] = values {
            return *only;
        }
        let left = hazmat::left_subtree_len(size);
        let (a, b) = values.split_at(number::usize_of(left / number::u64_of(CHUNK_SIZE)));
        hazmat::merge_subtrees_non_root(&subtree(a, left), &subtree(b, size - left), Mode::Hash)
    }
    let left = hazmat::left_subtree_len(size);
    let (a, b) = values.split_at(number::usize_of(left / number::u64_of(CHUNK_SIZE)));
    hazmat::merge_subtrees_root(&subtree(a, left), &subtree(b, size - left), Mode::Hash)
}

/// A list of chaining values does not match the blob's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunk list does not belong to the blob")]
pub struct WrongTree;

/// A chunk's bytes do not match the blob's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk {0} does not match the blob's hash")]
pub struct WrongChunk(pub u32);

/// Verifies a blob's chunks; itself verified against the blob's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkTree {
    hash: BlobHash,
    size: u64,
    /// Empty for a blob of one chunk.
    values: Box<[ChainingValue]>,
}

impl ChunkTree {
    /// The tree of a blob of one chunk; `None` for a larger one.
    pub fn single(hash: BlobHash, size: u64) -> Option<Self> {
        (chunk_count(size) == 1).then(|| Self { hash, size, values: Box::default() })
    }

    /// Verifies a received list, 32 bytes a chunk.
    ///
    /// # Errors A list of another length, or of another blob.
    pub fn prove(hash: BlobHash, size: u64, list: &[u8]) -> Result<Self, WrongTree> {
        if let Some(single) = Self::single(hash, size) {
            return if list.is_empty() { Ok(single) } else { Err(WrongTree) };
        }
        let (values, rest) = list.as_chunks::<32>();
        if size > FILE_SIZE_MAX || !rest.is_empty() || values.len() != number::index(chunk_count(size)) {
            return Err(WrongTree);
        }
        if root(values, size).as_bytes() != hash.as_bytes() {
            return Err(WrongTree);
        }
        Ok(Self { hash, size, values: values.into() })
    }

    pub fn hash(&self) -> BlobHash {
        self.hash
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn chunks(&self) -> u32 {
        chunk_count(self.size)
    }

    /// The list on the wire and on disk: 32 bytes a chunk, empty for a blob of one.
    pub fn list(&self) -> &[u8] {
        self.values.as_flattened()
    }

    /// # Errors Bytes that are not exactly chunk `index` of this blob.
    pub fn verify<'a>(&self, index: u32, bytes: &'a [u8]) -> Result<VerifiedChunk<'a>, WrongChunk> {
        let right_length = chunk_len(self.size, index) == Some(bytes.len());
        let matches = right_length
            && match self.values.get(number::index(index)) {
                Some(value) => chaining_value(index, bytes) == *value,
                None => blake3::hash(bytes).as_bytes() == self.hash.as_bytes(),
            };
        if matches { Ok(VerifiedChunk { hash: self.hash, index, bytes }) } else { Err(WrongChunk(index)) }
    }
}

/// Bytes that match the blob's hash. Only [`ChunkTree::verify`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedChunk<'a> {
    hash: BlobHash,
    index: u32,
    bytes: &'a [u8],
}

impl<'a> VerifiedChunk<'a> {
    pub fn hash(&self) -> BlobHash {
        self.hash
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    /// The bytes' offset in the blob.
    pub fn offset(&self) -> u64 {
        u64::from(self.index) * number::u64_of(CHUNK_SIZE)
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Hashes a blob once, chunk by chunk, and keeps the chunk list.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    /// The first chunk is the root or a subtree; only a second chunk tells.
    first: Option<(blake3::Hash, ChainingValue)>,
    values: Vec<ChainingValue>,
    size: u64,
}

impl TreeBuilder {
    /// Takes the next chunk: [`CHUNK_SIZE`] bytes, fewer only at the end.
    ///
    /// # Panics A chunk follows a short one: the caller's mistake.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(
            bytes.len() <= CHUNK_SIZE && self.size.is_multiple_of(number::u64_of(CHUNK_SIZE)),
            "only the last chunk is short"
        );
        self.size += number::u64_of(bytes.len());
        let index = number::u32_of(self.values.len());
        if index == 0 {
            self.first = Some(if bytes.len() < CHUNK_SIZE {
                (blake3::hash(bytes), [0; 32])
            } else {
                (blake3::hash(bytes), chaining_value(0, bytes))
            });
            self.values.push(self.first.map_or([0; 32], |(_, value)| value));
        } else {
            self.values.push(chaining_value(index, bytes));
        }
    }

    /// The tree of all pushed chunks; of the empty blob if there were none.
    pub fn finish(self) -> ChunkTree {
        match self.values.len() {
            0 => ChunkTree { hash: BlobHash::of(b""), size: 0, values: Box::default() },
            1 => {
                let hash = self.first.map_or(blake3::hash(b""), |(hash, _)| hash);
                ChunkTree {
                    hash: BlobHash::from_bytes(*hash.as_bytes()),
                    size: self.size,
                    values: Box::default(),
                }
            }
            _ => {
                let hash = root(&self.values, self.size);
                ChunkTree {
                    hash: BlobHash::from_bytes(*hash.as_bytes()),
                    size: self.size,
                    values: self.values.into(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(size: usize) -> Vec<u8> {
        (0..size).map(|n| (n * 31 % 251) as u8).collect()
    }

    fn tree(bytes: &[u8]) -> ChunkTree {
        let mut builder = TreeBuilder::default();
        bytes.chunks(CHUNK_SIZE).for_each(|chunk| builder.push(chunk));
        builder.finish()
    }

    #[test]
    fn the_tree_is_blake3s_own_at_every_edge() {
        for chunks in [0, 1, 2, 3, 4, 5, 8, 9, 17] {
            for extra in [0usize, 1, 1023, 1024, 1025, CHUNK_SIZE - 1] {
                let bytes = blob(chunks * CHUNK_SIZE + extra);
                let tree = tree(&bytes);
                assert_eq!(tree.hash(), BlobHash::of(&bytes), "{chunks} chunks and {extra} bytes");
                let again = ChunkTree::prove(tree.hash(), tree.size(), tree.list()).expect("its own list");
                assert_eq!(again, tree);
                assert_eq!(tree.chunks() as usize, bytes.chunks(CHUNK_SIZE).len().max(1));
                for (index, chunk) in bytes.chunks(CHUNK_SIZE).enumerate() {
                    assert_eq!(tree.verify(index as u32, chunk).expect("right").bytes(), chunk);
                }
            }
        }
    }

    #[test]
    fn changed_moved_and_foreign_chunks_are_detected() {
        let bytes = blob(3 * CHUNK_SIZE + 5);
        let tree = tree(&bytes);
        let mut bent = bytes[..CHUNK_SIZE].to_vec();
        bent[77] ^= 4;
        assert_eq!(tree.verify(0, &bent).unwrap_err(), WrongChunk(0));
        assert!(tree.verify(1, &bytes[..CHUNK_SIZE - 1]).is_err());
        assert!(tree.verify(3, &bytes[3 * CHUNK_SIZE..]).is_ok());
        assert!(tree.verify(4, b"").is_err());
        let mut list = tree.list().to_vec();
        list[3] ^= 1;
        assert_eq!(ChunkTree::prove(tree.hash(), tree.size(), &list), Err(WrongTree));
        assert_eq!(ChunkTree::prove(tree.hash(), tree.size(), &tree.list()[32..]), Err(WrongTree));
        assert_eq!(ChunkTree::prove(tree.hash(), u64::MAX, tree.list()), Err(WrongTree));
        assert_eq!(ChunkTree::prove(BlobHash::of(b""), 0, &[0; 32]), Err(WrongTree));
    }

    #[test]
    fn lengths_behind_the_end_do_not_exist() {
        assert_eq!(chunk_len(0, 0), Some(0));
        assert_eq!(chunk_len(0, 1), None);
        assert_eq!(chunk_len(number::u64_of(CHUNK_SIZE), 1), None);
        assert_eq!(chunk_len(number::u64_of(CHUNK_SIZE) + 1, 1), Some(1));
        assert_eq!(chunk_count(u64::MAX), u32::MAX);
    }
}
