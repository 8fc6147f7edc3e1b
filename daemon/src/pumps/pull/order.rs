//! Reads a request's records in the order of the request, and checks each header against the requested piece.

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

/// The records that are still expected, in order, with their nonces.
pub(super) struct Order {
    /// Index of the target, its expected piece, and the blob's size.
    due: std::vec::IntoIter<(usize, Piece, u64)>,
    current: Option<(usize, Piece, u64)>,
    nonces: NonceCounter,
    /// The blob of a record with a wrong length.
    pub(super) unfit: Option<BlobHash>,
}

impl Order {
    pub(super) fn new(targets: &[Target], nonces: NonceCounter) -> Self {
        let due: Vec<_> =
            targets.iter().enumerate().map(|(n, target)| (n, target.piece, target.size)).collect();
        Self { due: due.into_iter(), current: None, nonces, unfit: None }
    }

    /// Reads all records and queues them. Not cancellation-safe: it may hold a part of a record.
    ///
    /// # Errors
    /// The stream broke, or a record does not match the request.
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

    /// The next record; `None` after the last. A record that does not match the expected piece is an error.
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
        // At most one chunk, or one chunk list: the header was checked above.
        let sealed = read_sealed(recv, index(header.len) + TAG, inlet).await?;
        Ok(Some(Record { target, kind, index: place, nonce, sealed }))
    }
}

/// Reads exactly `len` bytes into memory that is not zeroed first, which would cost measurable time at a GiB a second.
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

/// Unwraps the QUIC error inside a `std::io::Error`.
fn broken(error: io::Error) -> StreamError {
    error.downcast().map_or(StreamError::Short, StreamError::Read)
}
