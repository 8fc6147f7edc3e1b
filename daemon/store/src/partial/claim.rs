//! A `.have` file: which chunks of a partial are there, and of whom.

use crate::os;
use fyteclub_files::regular;
use fyteclub_proto::{
    chunk_tree::{ChunkTree, chunk_count},
    id::PeerId,
    limit::{BLOB_CHUNKS_MAX, FILE_SIZE_MAX},
    number::{self, u64_of},
};
use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

const HAVE_MAGIC: &[u8; 8] = b"FC.have2";
/// Magic, size, and the owner who brought all that is there; zeros where there is no such one.
const HAVE_HEAD: usize = 48;

/// A `.have` file's bytes, as far as they make sense. Proves nothing yet.
pub(crate) struct Claim {
    pub size: u64,
    pub(super) giver: Option<PeerId>,
    pub(super) list: Vec<u8>,
    bits: Vec<u8>,
}

impl Claim {
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let len = fs::metadata(path).ok()?.len();
        // The longest that the limits allow; anything else is not ours and not worth reading.
        let longest = HAVE_HEAD + BLOB_CHUNKS_MAX * 33;
        let bytes = (len <= u64_of(longest)).then(|| regular::read(path).ok())??;
        let (head, rest) = bytes.split_at_checked(HAVE_HEAD)?;
        let (size, giver) = head.strip_prefix(HAVE_MAGIC)?.split_first_chunk::<8>()?;
        let (size, giver) = (u64::from_le_bytes(*size), <[u8; 32]>::try_from(giver).ok()?);
        let giver = (giver != [0; 32]).then(|| PeerId::from_bytes(giver));
        let chunks = (size <= FILE_SIZE_MAX).then(|| number::index(chunk_count(size)))?;
        let (list, bits) = rest.split_at_checked(32 * chunks)?;
        (bits.len() == chunks.div_ceil(8)).then(|| Self { size, giver, list: list.into(), bits: bits.into() })
    }

    pub(crate) fn all(&self) -> bool {
        (0..chunk_count(self.size)).all(|index| self.claims(index))
    }

    pub(super) fn claims(&self, index: u32) -> bool {
        self.bits[number::index(index) / 8] & (1 << (index % 8)) != 0
    }
}

/// Writes what is there beside the data, unsynced. Where the list lies already, only the bits and the owner.
pub(super) fn save(
    path: &Path,
    tree: &ChunkTree,
    giver: &[u8; 32],
    bits: &[u8],
    list_saved: bool,
) -> io::Result<()> {
    let file = regular::open(path, OpenOptions::new().write(true).create(!list_saved).truncate(false))?;
    let list_end = HAVE_HEAD + tree.list().len();
    if !list_saved {
        let mut head = HAVE_MAGIC.to_vec();
        head.extend(tree.size().to_le_bytes());
        head.extend(giver);
        head.extend(tree.list());
        os::write_all_at(&file, &head, 0)?;
        file.set_len(u64_of(list_end + bits.len()))?;
    }
    // Before the bits: another's chunk must not count as theirs.
    os::write_all_at(&file, giver, 16)?;
    os::write_all_at(&file, bits, u64_of(list_end))
}
