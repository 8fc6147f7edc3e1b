//! Reads a request's records, each as its place in the request allows.

use super::{ask::Target, inlet::Inlet};
use crate::{
    io::{
        chunk_buffer::ChunkBuffer,
        quic::stream::{StreamError, exact},
    },
    pumps::{JOB_BYTES, JOB_RECORDS},
};
use fyteclub_proto::{
    chunk_tree::chunk_count,
    id::BlobHash,
    peer::{
        Piece,
        record::{self, Header, Kind, RecordError},
    },
    seal::{NonceCounter, TAG},
};
use quinn::RecvStream;
use tokio::io::AsyncReadExt;

/// What must come next, and under which nonce: the order of the request.
pub(super) struct Order {
    /// Target, and which of its pieces are due.
    due: std::vec::IntoIter<(usize, Piece, u64)>,
    current: Option<(usize, Piece, u64)>,
    nonces: NonceCounter,
    /// The blob of which a record came that is of another length than its place.
    pub(super) unfit: Option<BlobHash>,
}

/// One record as it came, for one place.
pub(super) struct Record {
    pub(super) target: usize,
    pub(super) kind: Kind,
    pub(super) index: u32,
    pub(super) nonce: [u8; 12],
    pub(super) sealed: ChunkBuffer,
}

impl Order {
    pub(super) fn new(targets: &[Target], nonces: NonceCounter) -> Self {
        let due: Vec<_> =
            targets.iter().enumerate().map(|(n, target)| (n, target.piece, target.size)).collect();
        Self { due: due.into_iter(), current: None, nonces, unfit: None }
    }

    /// About [`JOB_BYTES`] of records; none when all have come. A record that does not fit its place is an error.
    pub(super) async fn read_job(
        &mut self,
        recv: &mut RecvStream,
        inlet: &mut Inlet<'_>,
    ) -> Result<Vec<Record>, StreamError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < JOB_BYTES && records.len() < JOB_RECORDS {
            if self.current.is_none() {
                self.current = self.due.next();
            }
            let Some((target, piece, size)) = &mut self.current else { break };
            let (target, size) = (*target, *size);
            let mut header = [0; record::HEADER];
            recv.read_exact(&mut header).await.map_err(exact)?;
            let header = Header::decode(header)?;
            let index = if header.kind == Kind::Tree { 0 } else { piece.first };
            match header.kind {
                Kind::Gone | Kind::Changed => {
                    self.current = None;
                    records.push(Record {
                        target,
                        kind: header.kind,
                        index,
                        nonce: [0; 12],
                        sealed: Vec::new().into(),
                    });
                    continue;
                }
                Kind::Tree if piece.tree && header.len as usize == 32 * chunk_count(size) as usize => {
                    piece.tree = false;
                }
                Kind::Tree => {
                    self.unfit = piece.tree.then_some(piece.hash);
                    return Err(RecordError::Unexpected.into());
                }
                Kind::Raw | Kind::Zstd if piece.tree => return Err(RecordError::Unexpected.into()),
                Kind::Raw | Kind::Zstd => {
                    header.fits_chunk(size, index).inspect_err(|_| self.unfit = Some(piece.hash))?;
                    piece.first += 1;
                    piece.count -= 1;
                    if piece.count == 0 {
                        self.current = None;
                    }
                }
            }
            let nonce = self.nonces.advance().ok_or(RecordError::Unexpected)?;
            // At most one chunk, or one chunk list: the header was checked against its place.
            let sealed = read_sealed(recv, header.len as usize + TAG, inlet).await?;
            bytes += sealed.len();
            records.push(Record { target, kind: header.kind, index, nonce, sealed });
        }
        Ok(records)
    }
}

/// Exactly `len` bytes, into memory that is not cleared first: at a GiB a second that is felt.
async fn read_sealed(
    recv: &mut RecvStream,
    len: usize,
    inlet: &mut Inlet<'_>,
) -> Result<ChunkBuffer, StreamError> {
    let mut sealed = ChunkBuffer::of(len);
    let mut granted = 0;
    while sealed.len() < len {
        if granted == 0 {
            granted = inlet.turn(len - sealed.len()).await;
        }
        let read = (&mut *recv).take(granted as u64).read_buf(&mut *sealed).await;
        // What a QUIC stream says in the words of `std::io` is its own error, wrapped.
        let read = read.map_err(|e| e.downcast().map_or(StreamError::Short, StreamError::Read))?;
        if read == 0 {
            return Err(StreamError::Short);
        }
        granted -= read.min(granted);
        inlet.heard();
    }
    Ok(sealed)
}
