//! Makes a request's records from the store.

use super::right::Right;
use crate::{
    io::{
        chunk_buffer::ChunkBuffer,
        store::{BlobReader, ReadError, Store},
    },
    pumps::{JOB_BYTES, JOB_RECORDS, compression},
    sharing::access::Access,
};
use bytes::Bytes;
use fyteclub_proto::{
    chunk_tree::chunk_len,
    id::BlobHash,
    number::u32_of,
    peer::{
        Piece,
        record::{self, Header, Kind},
    },
    seal::{EpochKey, NonceCounter, TAG},
    share_rule::{Asked, Verdict, share_rule},
};
use std::{sync::Arc, vec};

/// Called when a published file has changed. Must not block.
pub type Changed = Arc<dyn Fn() + Send + Sync>;

/// Makes a request's records, in order, one job at a time. Runs on blocking threads.
pub(super) struct Source {
    pub(super) pieces: vec::IntoIter<Piece>,
    pub(super) current: Option<(Piece, BlobReader)>,
    pub(super) store: Store,
    pub(super) right: Right,
    pub(super) access: Access,
    pub(super) key: Arc<EpochKey>,
    pub(super) nonces: NonceCounter,
    pub(super) compress: bool,
    pub(super) changed: Changed,
}

impl Source {
    /// About [`JOB_BYTES`] of records, in `buffer` while it has space. Empty when the request is complete.
    pub(super) fn records(&mut self, buffer: ChunkBuffer) -> Vec<Bytes> {
        let mut buffer = Some(buffer);
        let mut records = Vec::new();
        // Small records share one buffer; a full chunk is sent alone and not copied.
        let mut small = ChunkBuffer::from(Vec::new());
        let (mut bytes, mut count) = (0, 0);
        while bytes < JOB_BYTES && count < JOB_RECORDS {
            let Some((header, body)) = self.record(&mut buffer) else { break };
            bytes += body.len();
            count += 1;
            let alone = body.is_shared();
            let needed = record::HEADER + if alone { 0 } else { body.len() };
            if small.len() + needed > small.capacity() {
                let next = if alone {
                    Vec::with_capacity(needed).into()
                } else {
                    buffer.take().unwrap_or_else(ChunkBuffer::take)
                };
                let full = std::mem::replace(&mut small, next);
                records.extend((!full.is_empty()).then(|| full.into_bytes()));
            }
            small.extend_from_slice(&header.encode());
            if alone {
                let before = std::mem::replace(&mut small, Vec::new().into());
                records.extend([before.into_bytes(), body.into_bytes()]);
            } else {
                small.extend_from_slice(&body);
            }
        }
        if !small.is_empty() {
            records.push(small.into_bytes());
        }
        records
    }

    fn record(&mut self, buffer: &mut Option<ChunkBuffer>) -> Option<(Header, ChunkBuffer)> {
        let standing = share_rule(self.access.asker(), self.right.standing());
        if standing == Verdict::Refuse {
            // Also in the middle of a file.
            self.current = None;
        }
        if self.current.is_none() {
            let piece = self.pieces.next()?;
            let blob = self.right.blob(&piece.hash);
            let asked = self.right.asked(blob.as_ref(), &self.store);
            let reader = match (share_rule(self.access.asker(), asked), blob) {
                (Verdict::Share, Some(blob)) => self.store.open_blob(&blob),
                _ => Err(ReadError::Gone { hash: piece.hash }),
            };
            match reader {
                Ok(reader) => self.current = Some((piece, reader)),
                Err(error) => {
                    if asked == (Asked::Blob { published: true }) && standing == Verdict::Share {
                        (self.changed)();
                    }
                    return Some(self.lacking(&error));
                }
            }
        }
        let (piece, reader) = self.current.as_mut()?;
        let (hash, tree) = (piece.hash, reader.tree());
        if std::mem::take(&mut piece.tree) {
            let list = tree.list().to_vec();
            return self.sealed(Kind::Tree, hash, 0, list.into());
        }
        let (index, size) = (piece.first, tree.size());
        if index >= tree.chunks() {
            // An index beyond the blob's end: no file has changed.
            self.current = None;
            return Some((Header { kind: Kind::Gone, len: 0 }, Vec::new().into()));
        }
        let len = chunk_len(size, index).unwrap_or(0);
        let mut body = ChunkBuffer::of_or(buffer, len + TAG);
        if let Err(error) = reader.read_chunk(index, &mut body) {
            self.current = None;
            return Some(self.lacking(&error));
        }
        piece.first += 1;
        piece.count -= 1;
        if piece.count == 0 {
            self.current = None;
        }
        match self.compress.then(|| compression::compress(&body)).flatten() {
            Some(packed) => self.sealed(Kind::Zstd, hash, index, packed.into()),
            None => self.sealed(Kind::Raw, hash, index, body),
        }
    }

    fn sealed(
        &mut self,
        kind: Kind,
        hash: BlobHash,
        index: u32,
        mut body: ChunkBuffer,
    ) -> Option<(Header, ChunkBuffer)> {
        let header = Header { kind, len: u32_of(body.len()) };
        self.key.bulk().seal(self.nonces.advance()?, &record::place(kind, &hash, index), &mut body);
        Some((header, body))
    }

    /// The record for a blob that cannot be read; the cause is only logged here.
    fn lacking(&self, error: &ReadError) -> (Header, ChunkBuffer) {
        tracing::debug!("a blob is not served: {error}");
        let kind = match error {
            ReadError::Gone { .. } => Kind::Gone,
            // No published file has changed.
            ReadError::Changed { .. } | ReadError::Away { .. } | ReadError::Io { .. }
                if matches!(self.right, Right::Lent { .. }) =>
            {
                Kind::Gone
            }
            ReadError::Changed { .. } | ReadError::Away { .. } | ReadError::Io { .. } => {
                (self.changed)();
                Kind::Changed
            }
        };
        (Header { kind, len: 0 }, Vec::new().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{io::store::StoreConfig, sharing::published::Offer};
    use fyteclub_proto::{
        limit::CHUNK_SIZE,
        number::u64_of,
        seal::{End, LinkSecret},
    };
    use std::fs;

    #[test]
    fn access_that_ends_within_a_file_stops_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, _) =
            Store::open(dir.path(), StoreConfig { cache_limit: u64::MAX, min_free: None }).expect("a store");
        let path = dir.path().join("large.tex");
        fs::write(&path, vec![7; 3 * CHUNK_SIZE]).expect("written");
        let hash = store.index_source(&path).expect("read").hash;
        let access = Access::default();
        let piece = Piece { hash, tree: false, first: 0, count: 3 };
        let blobs = [(hash, 3 * u64_of(CHUNK_SIZE))].into();
        let mut source = Source {
            pieces: vec![piece; 2].into_iter(),
            current: None,
            store,
            right: Right::Published(Some(Arc::new(Offer { appearance: hash, document: Vec::new(), blobs }))),
            access: access.clone(),
            key: Arc::new(LinkSecret::new([1; 32], End::Acceptor).sealing(0)),
            nonces: NonceCounter::new(0),
            compress: false,
            changed: Arc::new(|| panic!("nothing changed")),
        };
        let mut kind = |contact: bool| {
            access.set_contact(contact);
            source.record(&mut None).map(|(header, _)| header.kind)
        };
        let kinds = [kind(true), kind(true), kind(false), kind(false)];
        assert_eq!(kinds, [Some(Kind::Raw), Some(Kind::Raw), Some(Kind::Gone), None]);
    }
}
