//! Requests with one answer: a signed document, a peer's holdings, proofs of possession, the next grant.

use crate::{
    io::quic::{
        Link,
        stream::{StreamError, read_frame, write_frame},
    },
    pumps::{
        document::{self, StallLimit},
        pace::Pacer,
    },
};
use fyteclub_proto::{
    blob::Content,
    bytes::Bytes as Tag,
    grant::Grant,
    id::BlobHash,
    number::index,
    peer::{AppearanceReply, GrantReply, HoldingReply, PossessionReply, Request, record},
    possession::Span,
    seal::{NonceCounter, TAG},
};
use quinn::VarInt;

/// Why a document was not received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppearancePullError {
    #[error("nothing is published, or not for this player")]
    Nothing,
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the document cannot be decrypted with the link's key")]
    Unsealed,
}

/// Requests the peer's signed document and a grant; checks neither. Ends within
/// [`fyteclub_proto::limit::document_time`], plus waits for this side's limits.
///
/// # Errors
/// The peer refuses, the stream breaks or stalls, or the bytes cannot be decrypted.
pub async fn appearance(link: &Link, pacer: &Pacer) -> Result<(Vec<u8>, Grant), AppearancePullError> {
    let mut stall_limit = StallLimit::default();
    let asking = async {
        let (mut send, mut recv) = link.open_stream().await?;
        write_frame(&mut send, &Request::Appearance).await?;
        send.finish().ok();
        let reply = read_frame(&mut recv).await?.ok_or(StreamError::Short)?;
        Ok::<_, AppearancePullError>((send, recv, reply))
    };
    let (send, mut recv, reply) = stall_limit.within(asking).await?;
    match reply {
        AppearanceReply::Nothing => Err(AppearancePullError::Nothing),
        AppearanceReply::Document { epoch, len, grant } => {
            let mut sealed = document::receive(link, pacer, stall_limit, &mut recv, index(len) + TAG).await?;
            let key = link.opening(epoch).ok_or(AppearancePullError::Unsealed)?;
            let nonce = NonceCounter::new(VarInt::from(send.id()).into_inner()).advance();
            let nonce = nonce.ok_or(AppearancePullError::Unsealed)?;
            key.small()
                .open(nonce, record::APPEARANCE_PLACE, &mut sealed)
                .map_err(|_| AppearancePullError::Unsealed)?;
            Ok((sealed, grant))
        }
    }
}

/// Asks which blobs of a look the peer has.
///
/// # Errors
/// The stream broke, or the message is invalid.
pub async fn holding(link: &Link, tag: Tag<32>) -> Result<HoldingReply, StreamError> {
    let (mut send, mut recv) = link.open_stream().await?;
    write_frame(&mut send, &Request::Holding { tag }).await?;
    send.finish().ok();
    read_frame(&mut recv).await?.ok_or(StreamError::Short)
}

/// Asks for a proof of each of these blobs of the peer's own look. Empty if the peer gives none.
///
/// # Errors
/// The stream broke, or the message is invalid.
pub async fn possession(
    link: &Link,
    nonce: Tag<32>,
    span: Span,
    blobs: &[Content],
) -> Result<Vec<Option<Tag<32>>>, StreamError> {
    let (mut send, mut recv) = link.open_stream().await?;
    let asked = Request::Possession { nonce, span, blobs: blobs.to_vec() };
    write_frame(&mut send, &asked).await?;
    send.finish().ok();
    Ok(match read_frame(&mut recv).await?.ok_or(StreamError::Short)? {
        PossessionReply::Proofs(proofs) if proofs.len() == blobs.len() => proofs,
        PossessionReply::Proofs(_) | PossessionReply::Nothing => Vec::new(),
    })
}

/// Asks the owner for its next grant, and does not check it; `None` if the owner gives none.
///
/// # Errors
/// The stream broke, or the message is invalid.
pub async fn grant(link: &Link, look: BlobHash) -> Result<Option<Grant>, StreamError> {
    let (mut send, mut recv) = link.open_stream().await?;
    write_frame(&mut send, &Request::Grant { look }).await?;
    send.finish().ok();
    Ok(match read_frame(&mut recv).await?.ok_or(StreamError::Short)? {
        GrantReply::Given(grant) => Some(grant),
        GrantReply::Nothing => None,
    })
}
