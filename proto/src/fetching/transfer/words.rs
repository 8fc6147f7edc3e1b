//! Inputs and outputs of a transfer.

use crate::{
    id::{BlobHash, PeerId},
    peer::{CloseCode, Piece},
};
use std::{collections::BTreeSet, ops::Range};

/// A blob that is not, or not completely, in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub hash: BlobHash,
    pub size: u64,
    /// The chunk list is here, or not needed.
    pub tree: bool,
    /// Chunks that are not in the store, ascending and not empty.
    pub missing: Vec<Range<u32>>,
}

/// The number of one request, unique in a transfer.
pub type RequestId = u64;

/// A source's blobs of the look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// All, as its owner: believed until it reports one as lacking.
    All,
    /// These blobs, complete. `growing`: it fetches the look itself, and will have more.
    These { blobs: BTreeSet<BlobHash>, growing: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A link to a peer with some of the look is open, or it has more now.
    Joined(PeerId, Holds),
    /// Its link is gone, with its requests.
    Left(PeerId),
    /// It does not answer. What another source could serve is requested there.
    Silent(PeerId),
    /// Bytes arrived without a complete chunk, or this side delays them itself. At most every quarter of a second.
    Received {
        request: RequestId,
    },
    /// A blob's chunk list arrived, verified and stored.
    Tree {
        request: RequestId,
        hash: BlobHash,
    },
    /// Chunks are verified and stored.
    Verified {
        request: RequestId,
        hash: BlobHash,
        chunks: Range<u32>,
    },
    /// The source lacks the published blob; the rest of its piece will not come.
    Lacking {
        request: RequestId,
        hash: BlobHash,
        changed: bool,
    },
    /// The request has ended.
    Ended {
        request: RequestId,
        end: End,
    },
    /// Whether to send no new requests, because the disk is full; running ones may end.
    Hold(bool),
    Time,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything arrived, or was reported as lacking.
    Complete,
    /// The stream broke.
    Broken,
    /// This side could not store the bytes: not the source's fault.
    Unkept,
    /// The source serves too many already.
    Busy,
    /// The source does not share with us.
    Refused,
    /// Bytes of this blob do not match its hash.
    Wrong(BlobHash),
    /// The source's blob has another size than the look's.
    Unfit(BlobHash),
    /// The source broke the protocol.
    Misbehaved(CloseCode),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Ask {
        source: PeerId,
        request: RequestId,
        pieces: Vec<Piece>,
    },
    /// Stop this request.
    Drop {
        source: PeerId,
        request: RequestId,
    },
    /// The source sent wrong bytes of this blob. It is accused as well unless it is forgiven.
    Suspect {
        source: PeerId,
        hash: BlobHash,
    },
    /// Close the link with this code: the source misbehaved.
    Accuse {
        source: PeerId,
        code: CloseCode,
    },
    /// No source has what is missing, and the owner is not linked. Once, until one joins that has some.
    Starved(Failure),
    /// Every wanted blob is complete. The last output.
    Done,
    /// No source has the rest. The last output.
    Failed(Failure),
}

/// Why blobs are missing in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The owner's file changed since it was published: request the newer look.
    Changed,
    /// The owner no longer has the file.
    Gone,
    Refused,
    Misbehaved(CloseCode),
    /// The link broke, or never was.
    Unreachable,
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    RequestSilent,
    RequestStalled,
    SourceRested,
    SourceGrowing,
    /// Slow sources are compared with idle ones.
    Endgame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub files_done: u64,
    pub files_total: u64,
    /// Of chunks that are verified and stored, with those that were here before.
    pub bytes_done: u64,
    pub bytes_total: u64,
    /// Of chunks that came more than once.
    pub bytes_again: u64,
}
