//! Records: the content of pieces after a [`super::PiecesReply::Serving`], in the order of the request.
//!
//! Each is an eight-byte header — kind, three zero bytes, `u32` little-endian length of the sealed bytes without their
//! tag — and then those bytes with the tag. A record's position tells its blob and chunk.

use crate::{
    chunk_tree::chunk_len,
    id::BlobHash,
    limit::{BLOB_CHUNKS_MAX, CHUNK_SIZE},
    number,
};

/// Bytes of a record's header.
pub const HEADER: usize = 8;

/// A record's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A chunk's bytes.
    Raw = 0,
    /// A chunk's bytes, compressed with zstd.
    Zstd = 1,
    /// The blob's chunk list.
    Tree = 2,
    /// Empty: the blob is not here, and the rest of its piece is skipped.
    Gone = 3,
    /// Empty: the file changed since it was published, and the rest of its piece is skipped.
    Changed = 4,
}

impl Kind {
    /// As its header carries it.
    #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// Length of the sealed bytes, without the tag. 0 for `Gone` and `Changed`, which have no tag either.
    pub len: u32,
}

/// A header that no correct sender writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    #[error("no record has kind {0}")]
    Kind(u8),
    #[error("a record of {len} bytes does not fit its place")]
    Length { len: u32 },
    #[error("a record's reserved bytes are not zero")]
    Reserved,
    #[error("another kind of record was expected here")]
    Unexpected,
}

impl Header {
    pub fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind.number();
        bytes[4..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// # Errors
    /// An unknown kind, a length that no record of that kind has, or reserved bytes in use.
    pub fn decode(bytes: [u8; HEADER]) -> Result<Self, RecordError> {
        let [kind, a, b, c, l0, l1, l2, l3] = bytes;
        let kind = match kind {
            0 => Kind::Raw,
            1 => Kind::Zstd,
            2 => Kind::Tree,
            3 => Kind::Gone,
            4 => Kind::Changed,
            other => return Err(RecordError::Kind(other)),
        };
        if [a, b, c] != [0; 3] {
            return Err(RecordError::Reserved);
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let fits = match kind {
            Kind::Raw => number::index(len) <= CHUNK_SIZE,
            Kind::Zstd => (1..CHUNK_SIZE).contains(&number::index(len)),
            Kind::Tree => number::index(len) <= BLOB_CHUNKS_MAX * 32,
            Kind::Gone | Kind::Changed => len == 0,
        };
        if fits { Ok(Self { kind, len }) } else { Err(RecordError::Length { len }) }
    }

    /// Whether a chunk record fits chunk `index` of a blob of `size` bytes.
    ///
    /// # Errors
    /// A length that the chunk cannot have, or a record that is no chunk.
    pub fn fits_chunk(self, size: u64, index: u32) -> Result<(), RecordError> {
        let expected = chunk_len(size, index).ok_or(RecordError::Unexpected)?;
        let len = number::index(self.len);
        match self.kind {
            Kind::Raw if len == expected => Ok(()),
            Kind::Zstd if len < expected => Ok(()),
            Kind::Raw | Kind::Zstd => Err(RecordError::Length { len: self.len }),
            Kind::Tree | Kind::Gone | Kind::Changed => Err(RecordError::Unexpected),
        }
    }
}

/// The associated data of a record: kind, blob, chunk index.
pub fn place(kind: Kind, hash: &BlobHash, index: u32) -> [u8; 37] {
    let mut place = [0; 37];
    place[0] = kind.number();
    place[1..33].copy_from_slice(hash.as_bytes());
    place[33..].copy_from_slice(&index.to_be_bytes());
    place
}

/// The associated data of a sealed appearance.
pub const APPEARANCE_PLACE: &[u8] = b"appearance";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_and_impossible_ones_do_not_exist() {
        for header in [
            Header { kind: Kind::Raw, len: 0 },
            Header { kind: Kind::Raw, len: CHUNK_SIZE as u32 },
            Header { kind: Kind::Zstd, len: 9 },
            Header { kind: Kind::Tree, len: 64 },
            Header { kind: Kind::Changed, len: 0 },
        ] {
            assert_eq!(Header::decode(header.encode()), Ok(header));
        }
        assert_eq!(Header::decode([9, 0, 0, 0, 0, 0, 0, 0]), Err(RecordError::Kind(9)));
        assert_eq!(Header::decode([0, 1, 0, 0, 0, 0, 0, 0]), Err(RecordError::Reserved));
        assert!(Header::decode([0, 0, 0, 0, 255, 255, 255, 255]).is_err());
        assert!(Header::decode([3, 0, 0, 0, 1, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_chunk_has_its_own_length_only() {
        let size = CHUNK_SIZE as u64 + 10;
        assert!(Header { kind: Kind::Raw, len: 10 }.fits_chunk(size, 1).is_ok());
        assert!(Header { kind: Kind::Raw, len: 9 }.fits_chunk(size, 1).is_err());
        assert!(
            Header { kind: Kind::Zstd, len: 10 }.fits_chunk(size, 1).is_err(),
            "compressed to fewer bytes"
        );
        assert!(Header { kind: Kind::Raw, len: 10 }.fits_chunk(size, 2).is_err());
    }
}
