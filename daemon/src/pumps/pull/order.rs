//! Reads a request's records, each as its place in the request allows.

use super::{
    arrivals::{Arrivals, Record},
    ask::Target,
    inlet::Inlet,
};
use crate::io::{chunk_buffer::ChunkBuffer, quic::stream::StreamError};
use fyteclub_proto::{
    chunk_tree::chunk_count,
    id::BlobHash,
    number::{index, u64_of},
    peer::{
        Piece,
        record::{self, Header, Kind, RecordError},
    },
    seal::{NonceCounter, TAG},
};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What must come next, and under which nonce: the order of the request.
pub(super) struct Order {
    /// Target, and which of its pieces are due.
    due: std::vec::IntoIter<(usize, Piece, u64)>,
    current: Option<(usize, Piece, u64)>,
    nonces: NonceCounter,
    /// The blob of which a record came that is of another length than its place.
    pub(super) unfit: Option<BlobHash>,
}

impl Order {
    pub(super) fn new(targets: &[Target], nonces: NonceCounter) -> Self {
        let due: Vec<_> =
            targets.iter().enumerate().map(|(n, target)| (n, target.piece, target.size)).collect();
        Self { due: due.into_iter(), current: None, nonces, unfit: None }
    }

    /// Reads all records, as far as they fit their places. It is not interrupted to tell of those that have come: half of
    /// a record may be in it.
    pub(super) async fn read_all<R: AsyncRead + Unpin>(
        &mut self,
        recv: &mut R,
        inlet: &mut Inlet<'_>,
        arrivals: &Arrivals,
    ) -> Result<(), StreamError> {
        while let Some(record) = self.read(recv, inlet).await? {
            arrivals.add(record).await;
        }
        Ok(())
    }

    /// The next record; `None` when all have come. A record that does not fit its place is an error.
    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        recv: &mut R,
        inlet: &mut Inlet<'_>,
    ) -> Result<Option<Record>, StreamError> {
        if self.current.is_none() {
            self.current = self.due.next();
        }
        let Some((target, piece, size)) = &mut self.current else { return Ok(None) };
        let (target, size) = (*target, *size);
        let mut header = [0; record::HEADER];
        recv.read_exact(&mut header).await.map_err(broken)?;
        let header = Header::decode(header)?;
        let place = if header.kind == Kind::Tree { 0 } else { piece.first };
        let kind = header.kind;
        match kind {
            Kind::Gone | Kind::Changed => {
                self.current = None;
                let (nonce, sealed) = ([0; 12], Vec::new().into());
                return Ok(Some(Record { target, kind, index: place, nonce, sealed }));
            }
            Kind::Tree if piece.tree && u64::from(header.len) == 32 * u64::from(chunk_count(size)) => {
                piece.tree = false;
            }
            Kind::Tree => {
                self.unfit = piece.tree.then_some(piece.hash);
                return Err(RecordError::Unexpected.into());
            }
            Kind::Raw | Kind::Zstd if piece.tree => return Err(RecordError::Unexpected.into()),
            Kind::Raw | Kind::Zstd => {
                header.fits_chunk(size, place).inspect_err(|_| self.unfit = Some(piece.hash))?;
                piece.first += 1;
                piece.count -= 1;
                if piece.count == 0 {
                    self.current = None;
                }
            }
        }
        let nonce = self.nonces.advance().ok_or(RecordError::Unexpected)?;
        // At most one chunk, or one chunk list: the header was checked against its place.
        let sealed = read_sealed(recv, index(header.len) + TAG, inlet).await?;
        Ok(Some(Record { target, kind, index: place, nonce, sealed }))
    }
}

/// Exactly `len` bytes, into memory that is not cleared first: at a GiB a second that is felt.
async fn read_sealed<R: AsyncRead + Unpin>(
    recv: &mut R,
    len: usize,
    inlet: &mut Inlet<'_>,
) -> Result<ChunkBuffer, StreamError> {
    let mut sealed = ChunkBuffer::of(len);
    let mut granted = 0;
    while sealed.len() < len {
        if granted == 0 {
            granted = inlet.turn(len - sealed.len()).await;
        }
        let read = (&mut *recv).take(u64_of(granted)).read_buf(&mut *sealed).await.map_err(broken)?;
        if read == 0 {
            return Err(StreamError::Short);
        }
        granted -= read.min(granted);
        inlet.heard();
    }
    Ok(sealed)
}

/// What a QUIC stream says in the words of `std::io` is its own error, wrapped.
fn broken(error: io::Error) -> StreamError {
    error.downcast().map_or(StreamError::Short, StreamError::Read)
}
