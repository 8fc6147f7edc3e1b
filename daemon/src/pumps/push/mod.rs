//! Serves one request of a peer from the store. `right` checks permission; `source` makes the records.

mod right;
mod source;

pub use right::Grants;
pub use source::Changed;

use super::{blocking, compression::Compression, document, pace::Pacer, possession};
use crate::{
    io::{
        chunk_buffer::ChunkBuffer,
        identity::Identity,
        quic::{
            Link,
            stream::{StreamError, read_frame, write_frame},
        },
        store::Store,
        wall_clock::unix_millis,
    },
    ledger::Accounts,
    sharing::{
        access::Access,
        lending::{Lending, Loan},
        published::{CurrentOffer, Offer},
        served::Served,
    },
};
use bytes::Bytes;
use fyteclub_proto::{
    blob::Content,
    bytes::Bytes as Tag,
    fetching::pace::Direction,
    grant::Grant,
    id::BlobHash,
    ledger::{Counterpart, Item},
    limit::{APPEARANCE_BYTES_MAX, PROOF_BYTES_MAX},
    number::{u32_of, u64_of},
    peer::{
        AppearanceReply, CloseCode, GrantReply, HoldingReply, Piece, PiecesReply, PossessionReply, Request,
        record,
    },
    possession::{Challenge, Span},
    seal::NonceCounter,
    share_rule::{Asked, Verdict, share_rule},
};
use quinn::{RecvStream, SendStream, VarInt};
use right::Right;
use serde::Serialize;
use source::Source;
use std::{sync::Arc, time::Duration};
use tokio::task::spawn_blocking;

/// How long a peer may take to send its request after it opened a stream.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a peer may take to accept one job's bytes.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// How long a request for a document may wait until the same peer has read an earlier one.
const TURN_TIME: Duration = Duration::from_secs(60);

/// Parts that serve a link's requests.
#[derive(Clone)]
pub struct Push {
    pub link: Link,
    pub store: Store,
    pub offer: CurrentOffer,
    /// Signs grants.
    pub identity: Arc<Identity>,
    pub lending: Lending,
    pub grants: Grants,
    /// Checked before each record: a removed contact receives no further record.
    pub access: Access,
    pub compression: Compression,
    pub pacer: Pacer,
    pub accounts: Accounts,
    pub served: Served,
    /// Called when a published file has changed.
    pub changed: Changed,
}

impl Push {
    /// Serves one stream to its end. Closes the link of a peer that breaks the protocol.
    pub async fn serve(self, mut send: SendStream, mut recv: RecvStream) {
        let link = self.link.clone();
        if let Err(error) = self.answer(&mut send, &mut recv).await {
            tracing::debug!(peer = %link.peer().short(), "serving a request ended early: {error}");
            match error.misbehaviour() {
                Some(code) => link.close(code),
                None => {
                    send.reset(VarInt::from_u32(CloseCode::Internal.number())).ok();
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
            Request::Pieces(pieces) => self.pieces(Right::Published(offer), pieces, send).await?,
            Request::Holding { tag } => self.holding(&tag, send).await?,
            Request::Granted { grant, pieces } => {
                let checked = self.grants.check(&grant, &self.link.peer());
                if let Err(error) = checked {
                    tracing::debug!(peer = %self.link.peer().short(), "a grant is not honoured: {error}");
                }
                let loan = self.lending.of(&grant.owner, &grant.look);
                let right = Right::Lent { loan, grant, good: checked.is_ok() };
                self.pieces(right, pieces, send).await?;
            }
            Request::Possession { nonce, span, blobs } => {
                let reply = self.possession(offer, &nonce, span, blobs).await;
                say(send, &reply).await?;
            }
            Request::Grant { look } => {
                let shared = share_rule(self.access.asker(), Asked::Appearance) == Verdict::Share;
                let published = offer.is_some_and(|offer| offer.appearance == look);
                let reply = if shared && published {
                    GrantReply::Given(self.grant(look))
                } else {
                    GrantReply::Nothing
                };
                say(send, &reply).await?;
            }
        }
        send.finish().ok();
        // quinn sends the buffered bytes of a finished stream even after the peer has stopped it. Therefore the stream is
        // kept until everything is acknowledged, and is reset when the peer stops it.
        if let Ok(Some(code)) = send.stopped().await {
            send.reset(code).ok();
        }
        Ok(())
    }

    async fn appearance(&self, offer: Option<Arc<Offer>>, send: &mut SendStream) -> Result<(), StreamError> {
        let shared = share_rule(self.access.asker(), Asked::Appearance) == Verdict::Share;
        let Some(offer) = offer.filter(|_| shared) else {
            return say(send, &AppearanceReply::Nothing).await;
        };
        // Held until the peer has read it: one contact has at most the bytes of one longest document in memory.
        let (who, len) =
            (Counterpart::Contact(self.link.peer()), u64_of(offer.document.len().min(APPEARANCE_BYTES_MAX)));
        let unread = self.accounts.hold_when_free(who, Item::Unread, len);
        let _unread = tokio::select! {
            unread = tokio::time::timeout(TURN_TIME, unread) => unread.map_err(|_| StreamError::Short)?,
            // The peer no longer wants the answer.
            _ = send.stopped() => return Ok(()),
            error = self.link.closed() => return Err(error.into()),
        };
        let (epoch, key) = self.link.sealing(u64_of(offer.document.len()));
        let mut nonces = NonceCounter::new(VarInt::from(send.id()).into_inner());
        let len = u32_of(offer.document.len());
        let grant = self.grant(offer.appearance);
        let mut sealed = offer.document.clone();
        if let Some(nonce) = nonces.advance() {
            key.small().seal(nonce, record::APPEARANCE_PLACE, &mut sealed);
        }
        say(send, &AppearanceReply::Document { epoch, len, grant }).await?;
        document::send(&self.link, &self.pacer, send, Bytes::from(sealed)).await
    }

    /// A grant for the asker: others may send it this look of this player.
    fn grant(&self, look: BlobHash) -> Grant {
        Grant::new(self.identity.key(), self.link.peer(), look, unix_millis())
    }

    /// Proves possession of blobs that this player's published look names, and of no other blobs.
    async fn possession(
        &self,
        offer: Option<Arc<Offer>>,
        nonce: &Tag<32>,
        span: Span,
        blobs: Vec<Content>,
    ) -> PossessionReply {
        let asker = self.link.peer();
        let challenge = Challenge::new(nonce, &asker, &self.identity.peer_id(), span);
        let may = |content: &Content| {
            let published = offer.as_ref().is_some_and(|offer| offer.names(content));
            share_rule(self.access.asker(), Asked::Blob { published }) == Verdict::Share
        };
        let blobs: Vec<_> = blobs.into_iter().map(|content| (may(&content), content)).collect();
        let costs = blobs.iter().filter(|(may, _)| *may).map(|(_, content)| challenge.cost(content));
        let (cost, few) = (costs.clone().sum::<u64>(), costs.count() <= 1);
        let affordable = cost <= PROOF_BYTES_MAX || few;
        if cost == 0 || !affordable {
            return PossessionReply::Nothing;
        }
        if let Err(refused) = self.accounts.charge(&Counterpart::Contact(asker), Item::Proofs, cost) {
            tracing::debug!(peer = %asker.short(), "possession is not proven: {refused}");
            return PossessionReply::Nothing;
        }
        let store = self.store.clone();
        let prove = move |(may, content): &(bool, Content)| {
            may.then(|| possession::prove(&store, &challenge, content)).flatten()
        };
        PossessionReply::Proofs(blocking(move || blobs.iter().map(prove).collect()).await)
    }

    /// Answers which blobs of a look are stored completely; looked up for each request.
    async fn holding(&self, tag: &Tag<32>, send: &mut SendStream) -> Result<(), StreamError> {
        let shared = |loan: &Arc<Loan>| {
            let asked = Asked::Holding(loan.lent(unix_millis()));
            share_rule(self.access.asker(), asked) == Verdict::Share
        };
        let loan = self.lending.by_tag(tag, &self.link.peer()).filter(shared);
        let Some(loan) = loan else { return say(send, &HoldingReply::Nothing).await };
        let store = self.store.clone();
        // Before the lookup: a blob that arrives meanwhile causes one more request, and is not missed.
        let growing = loan.is_growing();
        let look = move || HoldingReply::of(loan.blobs().map(|blob| store.holds(&blob)), growing);
        say(send, &blocking(look).await).await
    }

    async fn pieces(
        self,
        right: Right,
        pieces: Vec<Piece>,
        send: &mut SendStream,
    ) -> Result<(), StreamError> {
        let link = self.link.clone();
        // Exactly the bytes of this answer: if the epoch advanced faster, a slow stream's epoch would expire.
        let (epoch, key) = link.sealing(right.bytes(&pieces));
        let _carrying = link.carry(Direction::Up);
        say(send, &PiecesReply::Serving { epoch }).await?;
        let out = Out { link: self.link.clone(), pacer: self.pacer, served: self.served };
        let mut source = Source {
            pieces: pieces.into_iter(),
            current: None,
            store: self.store,
            right,
            access: self.access,
            key,
            nonces: NonceCounter::new(VarInt::from(send.id()).into_inner()),
            compress: self.compression.pays(link.rate_estimate()),
            changed: self.changed,
        };
        let buffer = ChunkBuffer::take();
        let mut job = spawn_blocking(move || {
            let records = source.records(buffer);
            (source, records)
        });
        loop {
            let Ok((mut source, mut records)) = job.await else { return Err(StreamError::Short) };
            if records.is_empty() {
                return Ok(());
            }
            link.sending();
            // Reads the next job while this one's bytes are written.
            let buffer = ChunkBuffer::take();
            job = spawn_blocking(move || {
                let records = source.records(buffer);
                (source, records)
            });
            out.write(send, &mut records).await?;
        }
    }
}

/// Sends one message.
///
/// # Errors
/// The stream broke, or the peer did not accept the bytes within [`WRITE_TIME`].
async fn say<T: Serialize>(send: &mut SendStream, message: &T) -> Result<(), StreamError> {
    tokio::time::timeout(WRITE_TIME, write_frame(send, message)).await.map_err(|_| StreamError::Short)?
}

/// Writes a request's records within this side's limits.
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
                    // A waiter for a closed link or a stopped stream would take a turn from other requests.
                    error = self.link.closed() => return Err(error.into()),
                    _ = send.stopped() => return Err(StreamError::Short),
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
