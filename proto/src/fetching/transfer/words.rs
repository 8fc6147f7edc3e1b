//! What a transfer is told and what it says. What follows from it is decided in the machine.

use crate::{
    id::{BlobHash, PeerId},
    peer::{CloseCode, Piece},
};
use std::{collections::BTreeSet, ops::Range};

/// A blob that is not, or not wholly, in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub hash: BlobHash,
    pub size: u64,
    /// The chunk list is at hand, or not needed.
    pub tree: bool,
    /// Chunks that are not in the store, ascending and not empty.
    pub missing: Vec<Range<u32>>,
}

/// Names one request for as long as the transfer lives.
pub type RequestId = u64;

/// What a source has of the look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// Everything, as its owner: it is believed until it says that it lacks something.
    All,
    /// These blobs, whole. `growing`: it fetches the look itself, and will have more.
    These { blobs: BTreeSet<BlobHash>, growing: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A link to a peer that has some of the look is open, or it has more now.
    Joined(PeerId, Holds),
    /// Its link is gone; so are its requests.
    Left(PeerId),
    /// Bytes came that are no whole chunk yet, or this side holds them back itself. Said every quarter of a second at most.
    Heard {
        request: RequestId,
    },
    /// A blob's chunk list came and is proven and stored.
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
    /// The source has not, or no longer, what was published; the rest of this blob's piece will not come.
    Lacking {
        request: RequestId,
        hash: BlobHash,
        changed: bool,
    },
    /// Nothing more comes of this request.
    Ended {
        request: RequestId,
        end: End,
    },
    /// Whether nothing new is asked, because there is no place for it; what is under way may end.
    Hold(bool),
    Time,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything came, or was said to be lacking.
    Complete,
    /// The stream broke.
    Broken,
    /// This side could not keep what came: nothing was wrong with the source.
    Unkept,
    /// The source serves too many already.
    Busy,
    /// The source does not share with us.
    Refused,
    /// Bytes of this blob do not match its hash.
    Wrong(BlobHash),
    /// What the source has of this blob is not of the size that the look says.
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
    /// Stop waiting for this request.
    Drop {
        source: PeerId,
        request: RequestId,
    },
    /// The source sent bytes of this blob that are wrong. It is accused as well unless it is forgiven.
    Suspect {
        source: PeerId,
        hash: BlobHash,
    },
    /// Close the link with this code: the source misbehaved.
    Accuse {
        source: PeerId,
        code: CloseCode,
    },
    /// No source has what is missing, and the owner is not there to be asked. Comes once until one joins that has some.
    Starved(Failure),
    /// Every wanted blob is complete. The last output.
    Done,
    /// What is left cannot be had from any source. The last output.
    Failed(Failure),
}

/// Why blobs are missing in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The owner's file changed since it was published: ask for the newer look.
    Changed,
    /// The owner has the file no more.
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
