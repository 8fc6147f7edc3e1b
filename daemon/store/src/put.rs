//! Blobs of one chunk, which come whole.

use super::{error::StoreError, inner::Inner, name::Ext, naming, trust};
use fyteclub_proto::{chunk_tree::VerifiedChunk, id::BlobHash, limit::CHUNK_SIZE};
use std::{fs, io::Write};

pub(crate) fn put_one(inner: &Inner, chunk: VerifiedChunk<'_>, ext: &str) -> Result<(), StoreError> {
    let (hash, bytes) = (chunk.hash(), chunk.bytes());
    if trust::cached(inner, &hash)?.is_some() {
        inner.state().touch(&hash);
        return Ok(());
    }
    // The first chunk of a longer blob is a whole chunk: only then must the hash be asked.
    let whole = chunk.index() == 0 && (bytes.len() < CHUNK_SIZE || BlobHash::of(bytes) == hash);
    if !whole {
        return Err(StoreError::Foreign { hash });
    }
    inner.activity.note();
    inner.site.again_if_lost(|| {
        let (temp, mut file) = inner.site.create_temp()?;
        let written = file.write_all(bytes);
        drop(file);
        let placed = written
            .map_err(|e| StoreError::at(&temp, e))
            .and_then(|()| naming::place(inner, hash, Ext::new(ext), &temp));
        if placed.is_err() {
            fs::remove_file(&temp).ok();
        }
        placed
    })
}
