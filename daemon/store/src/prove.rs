//! Reading a file to know what it is: its hash is the proof, and names, sizes and times are not.

use super::{chunk_buffer::ChunkBuffer, error::StoreError, os, os::Stamp};
use fyteclub_proto::{
    chunk_tree::{ChunkTree, TreeBuilder, chunk_count, chunk_len},
    id::BlobHash,
    limit::{CHUNK_SIZE, FILE_SIZE_MAX},
    number::{u64_of, usize_of},
};
use std::{fs::File, io, path::Path};

/// Opens a file in `blobs/` and tells its stamp.
pub(super) fn open_blob_file(path: &Path) -> Result<(File, Stamp), StoreError> {
    let (file, _) = os::open_regular(path)?;
    let stamp = file.metadata().map(|found| Stamp::of_cached(&found)).map_err(|e| StoreError::at(path, e))?;
    if stamp.size > FILE_SIZE_MAX {
        return Err(StoreError::FileTooLarge { path: path.to_owned(), size: stamp.size });
    }
    Ok((file, stamp))
}

/// Where a chunk of a blob begins.
pub(super) fn offset_of(index: u32) -> u64 {
    u64::from(index) * u64_of(CHUNK_SIZE)
}

/// Hashes `size` bytes of a file; `None` when it ends before. Needs one chunk of memory.
pub(super) fn hash_file(file: &File, size: u64) -> io::Result<Option<ChunkTree>> {
    let mut builder = TreeBuilder::default();
    let mut bytes = ChunkBuffer::of(CHUNK_SIZE.min(usize_of(size)));
    for index in 0..chunk_count(size) {
        let len = chunk_len(size, index).unwrap_or_default();
        match os::read_vec_at(file, &mut bytes, len, offset_of(index)) {
            Ok(()) => builder.push(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(builder.finish()))
}

/// A complete blob that is known by its bytes.
pub(super) struct Proven {
    pub tree: ChunkTree,
    pub stamp: Stamp,
}

/// Hashes a file that claims to be `hash`. `None` when it is something else.
pub(super) fn prove(path: &Path, hash: &BlobHash) -> Result<Option<Proven>, StoreError> {
    let (file, stamp) = match open_blob_file(path) {
        Ok(opened) => opened,
        Err(StoreError::FileTooLarge { .. } | StoreError::NotAFile { .. } | StoreError::Missing { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let tree = hash_file(&file, stamp.size).map_err(|e| StoreError::at(path, e))?;
    Ok(tree.filter(|tree| tree.hash() == *hash).map(|tree| Proven { tree, stamp }))
}
