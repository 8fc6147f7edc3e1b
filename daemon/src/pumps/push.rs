//! Store → stream: serves one request of a peer.

use super::{
    JOB_BYTES, JOB_RECORDS, blocking,
    compression::{self, Compression},
    pace::Pacer,
};
use crate::{
    consent::Consent,
    io::{
        quic::{
            Link,
            stream::{StreamError, read_frame, write_frame},
        },
        store::{BlobReader, ReadError, Store},
    },
    offer::{CurrentOffer, Offer},
    served::Served,
};
use bytes::Bytes;
use fyteclub_proto::{
    chunk_tree::chunk_len,
    id::BlobHash,
    limit::REQUEST_BYTES_MAX,
    pace::Direction,
    peer::{
        AppearanceReply, CloseCode, Piece, PiecesReply, Request,
        record::{self, Header, Kind},
    },
    seal::{EpochKey, NonceCounter, TAG},
    share_rule::{Asked, Verdict, share_rule},
};
use quinn::{RecvStream, SendStream, VarInt};
use std::{sync::Arc, time::Duration, vec};

/// How long a peer may take to say what it wants, once it opened a stream.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a peer may take to make room for one job's bytes.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// What every request of a link is served with.
#[derive(Clone)]
pub struct Push {
    pub link: Link,
    pub store: Store,
    pub offer: CurrentOffer,
    /// Read anew for each record: who is no contact any more gets nothing more.
    pub consent: Consent,
    pub compression: Compression,
    pub pacer: Pacer,
    pub served: Served,
    /// Called when a published file turns out to have changed.
    pub changed: Changed,
}

/// Whoever wants to hear that a published file changed. Must not block.
pub type Changed = Arc<dyn Fn() + Send + Sync>;

impl Push {
    /// Serves one stream to its end. A peer that breaks the protocol loses its link.
    pub async fn serve(self, mut send: SendStream, mut recv: RecvStream) {
        let link = self.link.clone();
        if let Err(error) = self.answer(&mut send, &mut recv).await {
            tracing::debug!(peer = %link.peer().short(), "a request was not served to its end: {error}");
            match error.misbehaviour() {
                Some(code) => link.close(code),
                None => {
                    send.reset(VarInt::from_u32(CloseCode::Internal as u32)).ok();
                }
            }
        }
    }

    async fn answer(self, send: &mut SendStream, recv: &mut RecvStream) -> Result<(), StreamError> {
        let request = tokio::time::timeout(REQUEST_TIME, read_frame::<Request>(recv));
        let Some(request) = request.await.map_err(|_| StreamError::Short)?? else { return Ok(()) };
        let offer = self.offer.borrow().clone();
        match request {
            Request::Appearance => self.appearance(offer, send).await?,
            Request::Pieces(pieces) => self.pieces(offer, pieces, send).await?,
        }
        send.finish().ok();
        Ok(())
    }

    async fn appearance(&self, offer: Option<Arc<Offer>>, send: &mut SendStream) -> Result<(), StreamError> {
        let shared = share_rule(self.consent.asker(), Asked::Appearance) == Verdict::Share;
        let Some(offer) = offer.filter(|_| shared) else {
            return write_frame(send, &AppearanceReply::Nothing).await;
        };
        let (epoch, key) = self.link.sealing(offer.document.len() as u64);
        let mut nonces = NonceCounter::new(VarInt::from(send.id()).into_inner());
        let len = offer.document.len() as u32;
        let mut sealed = offer.document.clone();
        if let Some(nonce) = nonces.advance() {
            key.small().seal(nonce, record::APPEARANCE_PLACE, &mut sealed);
        }
        write_frame(send, &AppearanceReply::Document { epoch, len }).await?;
        send.write_chunk(Bytes::from(sealed)).await?;
        Ok(())
    }

    async fn pieces(
        self,
        offer: Option<Arc<Offer>>,
        pieces: Vec<Piece>,
        send: &mut SendStream,
    ) -> Result<(), StreamError> {
        let (epoch, key) = self.link.sealing(REQUEST_BYTES_MAX);
        write_frame(send, &PiecesReply::Serving { epoch }).await?;
        let out = Out { link: self.link.clone(), pacer: self.pacer, served: self.served };
        let mut source = Source {
            pieces: pieces.into_iter(),
            current: None,
            store: self.store,
            offer,
            consent: self.consent,
            key,
            nonces: NonceCounter::new(VarInt::from(send.id()).into_inner()),
            compress: self.compression.pays(self.link.rate_estimate()),
            changed: self.changed,
        };
        let first = room();
        let mut job = tokio::spawn(blocking(move || {
            let records = source.records(first);
            (source, records)
        }));
        loop {
            let Ok((mut source, mut records)) = job.await else { return Err(StreamError::Short) };
            if records.is_empty() {
                return Ok(());
            }
            // The next job runs while this one's bytes are written.
            let next = room();
            job = tokio::spawn(blocking(move || {
                let records = source.records(next);
                (source, records)
            }));
            out.write(send, &mut records).await?;
        }
    }
}

/// Where a request's records go, at the pace that our own limits leave.
struct Out {
    link: Link,
    pacer: Pacer,
    served: Served,
}

impl Out {
    async fn write(&self, send: &mut SendStream, records: &mut [Bytes]) -> Result<(), StreamError> {
        if !self.pacer.holds(&self.link, Direction::Up) {
            self.served.add(records.iter().map(Bytes::len).sum());
            let written = tokio::time::timeout(WRITE_TIME, send.write_all_chunks(records)).await;
            return Ok(written.map_err(|_| StreamError::Short)??);
        }
        for record in records {
            while !record.is_empty() {
                let turn = self.pacer.wait(&self.link, Direction::Up, record.len());
                let bytes = tokio::select! {
                    bytes = turn => bytes,
                    // Who waits for a link that is gone takes the others' turn.
                    error = self.link.closed() => return Err(error.into()),
                };
                let slice = record.split_to(bytes.min(record.len()));
                self.served.add(slice.len());
                let written = tokio::time::timeout(WRITE_TIME, send.write_chunk(slice)).await;
                written.map_err(|_| StreamError::Short)??;
            }
        }
        Ok(())
    }
}

/// Memory for one job's bytes, taken where it will be given back: an allocator that keeps a heap for each thread would
/// otherwise hold it once for every thread that ever made a record.
fn room() -> Vec<u8> {
    Vec::with_capacity(JOB_BYTES + TAG)
}

/// Makes a request's records, in order, a job at a time. Runs on blocking threads.
struct Source {
    pieces: vec::IntoIter<Piece>,
    current: Option<(Piece, BlobReader)>,
    store: Store,
    offer: Option<Arc<Offer>>,
    consent: Consent,
    key: Arc<EpochKey>,
    nonces: NonceCounter,
    compress: bool,
    changed: Changed,
}

impl Source {
    /// About [`JOB_BYTES`] of records, in `room` as far as it goes; none when the request is served.
    fn records(&mut self, mut room: Vec<u8>) -> Vec<Bytes> {
        let mut records = Vec::new();
        // Small records share one buffer; a full chunk goes by itself, uncopied.
        let mut small = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        while bytes < JOB_BYTES && count < JOB_RECORDS {
            let Some((header, body)) = self.record(&mut room) else { break };
            bytes += body.len();
            count += 1;
            if body.len() < JOB_BYTES / 4 && small.capacity() == 0 {
                small = std::mem::take(&mut room);
            }
            small.extend_from_slice(&header.encode());
            if body.len() < JOB_BYTES / 4 {
                small.extend_from_slice(&body);
            } else {
                records.extend([Bytes::from(std::mem::take(&mut small)), Bytes::from(body)]);
            }
        }
        if !small.is_empty() {
            records.push(Bytes::from(small));
        }
        records
    }

    fn record(&mut self, room: &mut Vec<u8>) -> Option<(Header, Vec<u8>)> {
        let consent = share_rule(self.consent.asker(), Asked::Appearance);
        if consent == Verdict::Refuse {
            // What is under way ends as well.
            self.current = None;
        }
        if self.current.is_none() {
            let piece = self.pieces.next()?;
            let published = self.offer.as_ref().is_some_and(|offer| offer.blobs.contains(&piece.hash));
            let reader = match share_rule(self.consent.asker(), Asked::Blob { published }) {
                Verdict::Share => self.store.open_blob(&piece.hash),
                Verdict::Refuse => Err(ReadError::Gone { hash: piece.hash }),
            };
            match reader {
                Ok(reader) => self.current = Some((piece, reader)),
                Err(error) => {
                    if published && consent == Verdict::Share {
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
            return self.sealed(Kind::Tree, hash, 0, list);
        }
        let (index, size) = (piece.first, tree.size());
        if index >= tree.chunks() {
            // Behind the blob's end there is nothing, and nothing has changed.
            self.current = None;
            return Some((Header { kind: Kind::Gone, len: 0 }, Vec::new()));
        }
        let len = chunk_len(size, index).unwrap_or(0);
        let mut body = if len < JOB_BYTES / 4 { Vec::with_capacity(len + TAG) } else { std::mem::take(room) };
        body.reserve_exact(len + TAG);
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
            Some(packed) => self.sealed(Kind::Zstd, hash, index, packed),
            None => self.sealed(Kind::Raw, hash, index, body),
        }
    }

    fn sealed(
        &mut self,
        kind: Kind,
        hash: BlobHash,
        index: u32,
        mut body: Vec<u8>,
    ) -> Option<(Header, Vec<u8>)> {
        let header = Header { kind, len: body.len() as u32 };
        self.key.bulk().seal(self.nonces.advance()?, &record::place(kind, &hash, index), &mut body);
        Some((header, body))
    }

    /// What a peer is told of a blob that cannot be read: why exactly stays in our log.
    fn lacking(&self, error: &ReadError) -> (Header, Vec<u8>) {
        tracing::debug!("a published blob is not served: {error}");
        let kind = match error {
            ReadError::Gone { .. } => Kind::Gone,
            ReadError::Changed { .. } | ReadError::Io { .. } => {
                (self.changed)();
                Kind::Changed
            }
        };
        (Header { kind, len: 0 }, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::store::StoreConfig;
    use fyteclub_proto::{
        limit::CHUNK_SIZE,
        seal::{End, LinkSecret},
    };
    use std::fs;

    #[test]
    fn consent_that_ends_in_the_middle_of_a_file_ends_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(dir.path(), StoreConfig { cache_limit: u64::MAX }).expect("a store");
        let path = dir.path().join("large.tex");
        fs::write(&path, vec![7; 3 * CHUNK_SIZE]).expect("written");
        let hash = store.index_source(&path).expect("read").hash;
        let consent = Consent::default();
        let piece = Piece { hash, tree: false, first: 0, count: 3 };
        let blobs = [hash].into();
        let mut source = Source {
            pieces: vec![piece; 2].into_iter(),
            current: None,
            store,
            offer: Some(Arc::new(Offer { appearance: hash, document: Vec::new(), blobs })),
            consent: consent.clone(),
            key: Arc::new(LinkSecret::new([1; 32], End::Acceptor).sealing(0)),
            nonces: NonceCounter::new(0),
            compress: false,
            changed: Arc::new(|| panic!("nothing changed")),
        };
        let mut kind = |contact: bool| {
            consent.set_contact(contact);
            source.record(&mut room()).map(|(header, _)| header.kind)
        };
        let kinds = [kind(true), kind(true), kind(false), kind(false)];
        assert_eq!(kinds, [Some(Kind::Raw), Some(Kind::Raw), Some(Kind::Gone), None]);
    }
}
