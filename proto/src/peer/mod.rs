//! Peer wire v1: the messages of two daemons inside one QUIC connection.
//!
//! - The dialler opens the first bidirectional stream, the **control stream**: [`Control`] frames, `Hello` first, then
//!   facts in both directions until the link ends.
//! - Every other bidirectional stream is one **request**: a [`Request`] frame and the end of the stream; then a reply
//!   frame, and sealed bytes as the reply says.
//!
//! Frames are [`crate::frame`]s of bincode, at most [`crate::limit::PEER_FRAME_MAX`]. Enum numbers are positions: new
//! variants are appended, old ones stay. [`crate::reaching::session`] and [`crate::fetching::transfer`] decide what
//! follows from a message.

pub mod close;
pub mod record;

pub use close::CloseCode;

use crate::{
    blob::Content,
    bytes::Bytes,
    codec::{self, CodecError},
    grant::Grant,
    id::{BlobHash, PlayerName},
    letter::Attempt,
    limit, number,
    possession::Span,
};
use serde::{Deserialize, Serialize};

/// Longest name of a program.
const AGENT_BYTES_MAX: usize = 64;
/// Most versions that a `Hello` may list.
const VERSIONS_MAX: usize = 16;

/// Bits of [`Greeting::capabilities`].
pub mod capability {
    /// Takes [`Control::Offer`](super::Control::Offer).
    pub const OFFERS: u64 = 1;
    /// What this build can do.
    pub const OWN: u64 = OFFERS;
}

/// On the control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// 0: the dialler's first message.
    Hello(Hello),
    /// 1: the acceptor's answer, which opens the link.
    HelloAck(HelloAck),
    /// 2: the sender's own look now, or none.
    Published(Option<BlobHash>),
    /// 3: the sender's newest [`Offer`](crate::reaching::wire::offer::Offer) for the introduction from which this link's
    /// path came, as in a letter. Only to a peer with [`capability::OFFERS`].
    Offer {
        attempt: Attempt,
        #[serde(with = "serde_bytes")]
        offer: Vec<u8>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Peer wire versions, newest first.
    pub versions: Vec<u16>,
    pub greeting: Greeting,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAck {
    /// One of the dialler's versions, for both sides.
    pub version: u16,
    pub greeting: Greeting,
}

/// Each end's description of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Program and version, for logs.
    pub agent: String,
    /// The name of this key: a claim, until the phone book or the contacts confirm it.
    pub player: Option<PlayerName>,
    /// Bits of optional features, see [`capability`]; unknown ones are ignored.
    pub capabilities: u64,
    /// The published look.
    pub published: Option<BlobHash>,
    /// Random at every start, and new after each change of the machine's address: distinguishes a restarted or moved
    /// peer from a second link of the same process.
    pub instance: u64,
}

/// The first and only frame of a request stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// 0: the owner's document.
    Appearance,
    /// 1: pieces of blobs of the own look, answered in this order.
    Pieces(Vec<Piece>),
    /// 2: which blobs of a look the other holds. The tag is [`crate::grant::holding_tag`]: a peer that does not know
    /// the look cannot tell whose it is.
    Holding { tag: Bytes<32> },
    /// 3: pieces of blobs of a third peer's look, under its grant.
    Granted { grant: Grant, pieces: Vec<Piece> },
    /// 4: proofs that the other has these blobs of its own look ([`crate::possession`]). The nonce is random.
    Possession { nonce: Bytes<32>, span: Span, blobs: Vec<Content> },
    /// 5: the next grant for the look of this hash, which the other still publishes. Without a document.
    Grant { look: BlobHash },
}

/// A run of chunks of one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub hash: BlobHash,
    /// Send the chunk list first. Only for blobs of more than one chunk.
    pub tree: bool,
    pub first: u32,
    /// At least one.
    pub count: u32,
}

/// The frame that answers [`Request::Appearance`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppearanceReply {
    /// 0: a sealed [`crate::appearance::SignedAppearance`] of `len` bytes follows (`len` without the tag). The grant is
    /// the asker's, for this look.
    Document { epoch: u32, len: u32, grant: Grant },
    /// 1: nothing is published, or not for you: one answer on purpose.
    Nothing,
}

/// The frame that answers [`Request::Holding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldingReply {
    /// 0: none of it, or not for you: one answer on purpose.
    Nothing,
    /// 1: a bit for each of the look's distinct blobs in the order of their hashes, the lowest first: whether it is
    /// held completely.
    Holds {
        #[serde(with = "serde_bytes")]
        bits: Vec<u8>,
        /// The look is being fetched: ask again later.
        growing: bool,
    },
}

impl HoldingReply {
    /// A map with a bit for each of the look's blobs in the order of their hashes.
    pub fn of(has: impl IntoIterator<Item = bool>, growing: bool) -> Self {
        let mut bits = Vec::new();
        for (at, has) in has.into_iter().enumerate() {
            if at % 8 == 0 {
                bits.push(0);
            }
            if let Some(byte) = bits.last_mut() {
                *byte |= u8::from(has) << (at % 8);
            }
        }
        Self::Holds { bits, growing }
    }

    /// Whether the map has the blob at this index.
    pub fn has(bits: &[u8], at: usize) -> bool {
        bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
    }
}

/// The frame that answers [`Request::Possession`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PossessionReply {
    /// 0: not for you, or too much at the moment: one answer on purpose.
    Nothing,
    /// 1: one for each blob, in the order of the request; `None` for unpublished or unreadable ones.
    Proofs(Vec<Option<Bytes<32>>>),
}

/// The frame that answers [`Request::Grant`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantReply {
    /// 0: that look is no longer published, or not for you: one answer on purpose.
    Nothing,
    /// 1
    Given(Grant),
}

/// The frame that answers [`Request::Pieces`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PiecesReply {
    /// 0: records follow, see [`record`]; sealed with the key of this epoch.
    Serving { epoch: u32 },
    /// 1: not for you.
    NotShared,
    /// 2: too many requests are served already; try again in a moment.
    Busy,
}

/// A peer's invalid frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("{0} is over its limit")]
    Limit(&'static str),
}

/// A message that decodes within its limits.
pub trait Message: Sized {
    /// # Errors Malformed bytes, leftovers, or a number over its limit.
    fn decode(body: &[u8]) -> Result<Self, WireError>;
}

impl Greeting {
    fn check(&self) -> Result<(), WireError> {
        if self.agent.len() > AGENT_BYTES_MAX { Err(WireError::Limit("the agent's name")) } else { Ok(()) }
    }
}

impl Message for Control {
    fn decode(body: &[u8]) -> Result<Self, WireError> {
        let message = codec::decode(body)?;
        match &message {
            Self::Hello(hello) if hello.versions.len() > VERSIONS_MAX => {
                return Err(WireError::Limit("the list of versions"));
            }
            Self::Hello(Hello { greeting, .. }) | Self::HelloAck(HelloAck { greeting, .. }) => {
                greeting.check()?
            }
            Self::Offer { offer, .. } if offer.len() > limit::LETTER_BYTES_MAX => {
                return Err(WireError::Limit("the offer"));
            }
            Self::Published(_) | Self::Offer { .. } => {}
        }
        Ok(message)
    }
}

impl Message for Request {
    fn decode(body: &[u8]) -> Result<Self, WireError> {
        let request = codec::decode(body)?;
        match &request {
            Self::Pieces(pieces) | Self::Granted { pieces, .. } if !in_limits(pieces) => {
                Err(WireError::Limit("the list of pieces"))
            }
            Self::Possession { blobs, .. } if !may_be_proven(blobs) => {
                Err(WireError::Limit("the list of blobs to prove"))
            }
            Self::Appearance
            | Self::Pieces(_)
            | Self::Holding { .. }
            | Self::Granted { .. }
            | Self::Possession { .. }
            | Self::Grant { .. } => Ok(request),
        }
    }
}

fn in_limits(pieces: &[Piece]) -> bool {
    let chunks: u64 = pieces.iter().map(|piece| u64::from(piece.count)).sum();
    let most = number::u64_of(limit::REQUEST_ITEMS_MAX)
        + limit::REQUEST_BYTES_MAX / number::u64_of(limit::CHUNK_SIZE);
    let exists = |piece: &Piece| {
        let end = piece.first.checked_add(piece.count);
        piece.count > 0 && end.is_some_and(|end| number::index(end) <= limit::BLOB_CHUNKS_MAX)
    };
    (1..=limit::REQUEST_ITEMS_MAX).contains(&pieces.len()) && chunks <= most && pieces.iter().all(exists)
}

fn may_be_proven(blobs: &[Content]) -> bool {
    (1..=limit::PROOFS_MAX).contains(&blobs.len())
        && blobs.iter().all(|content| content.size <= limit::FILE_SIZE_MAX)
}

impl Message for PossessionReply {
    fn decode(body: &[u8]) -> Result<Self, WireError> {
        match codec::decode(body)? {
            Self::Proofs(proofs) if proofs.len() > limit::PROOFS_MAX => {
                Err(WireError::Limit("the list of proofs"))
            }
            reply => Ok(reply),
        }
    }
}

impl Message for GrantReply {
    fn decode(body: &[u8]) -> Result<Self, WireError> {
        Ok(codec::decode(body)?)
    }
}

impl Message for HoldingReply {
    fn decode(body: &[u8]) -> Result<Self, WireError> {
        match codec::decode(body)? {
            Self::Holds { bits, .. } if bits.len() > limit::HOLDING_BYTES_MAX => {
                Err(WireError::Limit("the map of held blobs"))
            }
            reply => Ok(reply),
        }
    }
}

impl Message for AppearanceReply {
    fn decode(body: &[u8]) -> Result<Self, WireError> {
        match codec::decode(body)? {
            Self::Document { len, .. } if number::index(len) > limit::APPEARANCE_BYTES_MAX => {
                Err(WireError::Limit("the appearance"))
            }
            reply => Ok(reply),
        }
    }
}

impl Message for PiecesReply {
    fn decode(body: &[u8]) -> Result<Self, WireError> {
        Ok(codec::decode(body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerId;

    #[test]
    fn pieces_beyond_any_blob_do_not_decode() {
        let piece = Piece { hash: BlobHash::of(b""), tree: false, first: 0, count: 1 };
        let decode = |pieces: Vec<Piece>| Request::decode(&codec::encode(&Request::Pieces(pieces)));
        assert!(decode(vec![piece]).is_ok());
        assert!(decode(vec![]).is_err());
        assert!(decode(vec![Piece { count: 0, ..piece }]).is_err());
        assert!(decode(vec![Piece { first: u32::MAX, ..piece }]).is_err());
        assert!(decode(vec![Piece { first: 5000, ..piece }]).is_err());
        assert!(decode(vec![piece; limit::REQUEST_ITEMS_MAX + 1]).is_err());
        assert!(decode(vec![Piece { count: 1000, ..piece }; 2]).is_err());
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let grant = Grant::new(&key, PeerId::from_bytes([2; 32]), BlobHash::of(b"look"), 0);
        let granted =
            |pieces| Request::decode(&codec::encode(&Request::Granted { grant: grant.clone(), pieces }));
        assert!(granted(vec![piece]).is_ok());
        assert!(granted(vec![]).is_err());
        assert!(granted(vec![piece; limit::REQUEST_ITEMS_MAX + 1]).is_err());
    }

    #[test]
    fn proofs_are_asked_of_few_possible_blobs() {
        let content = Content { hash: BlobHash::of(b""), size: limit::FILE_SIZE_MAX };
        let decode = |blobs: Vec<Content>| {
            let request = Request::Possession { nonce: Bytes([1; 32]), span: Span::Whole, blobs };
            let bytes = codec::encode(&request);
            (Request::decode(&bytes), bytes.len())
        };
        let (most, len) = decode(vec![content; limit::PROOFS_MAX]);
        assert!(most.is_ok() && len <= limit::PEER_FRAME_MAX, "{len}");
        assert!(decode(vec![]).0.is_err());
        assert!(decode(vec![content; limit::PROOFS_MAX + 1]).0.is_err());
        assert!(decode(vec![Content { size: limit::FILE_SIZE_MAX + 1, ..content }]).0.is_err());
        let reply = |count| codec::encode(&PossessionReply::Proofs(vec![Some(Bytes([1; 32])); count]));
        assert!(reply(limit::PROOFS_MAX).len() <= limit::PEER_FRAME_MAX);
        assert!(PossessionReply::decode(&reply(limit::PROOFS_MAX)).is_ok());
        assert!(PossessionReply::decode(&reply(limit::PROOFS_MAX + 1)).is_err());
    }

    #[test]
    fn a_map_has_a_bit_for_every_blob_and_an_end() {
        let HoldingReply::Holds { bits, growing } = HoldingReply::of((0..11).map(|at| at % 3 == 0), true)
        else {
            panic!("it holds some");
        };
        assert!(growing && bits.len() == 2);
        assert!((0..20).all(|at| HoldingReply::has(&bits, at) == (at % 3 == 0 && at < 11)));
        let map = |len| codec::encode(&HoldingReply::Holds { bits: vec![0; len], growing: false });
        assert!(HoldingReply::decode(&map(limit::HOLDING_BYTES_MAX)).is_ok());
        assert!(HoldingReply::decode(&map(limit::HOLDING_BYTES_MAX + 1)).is_err());
    }
}
