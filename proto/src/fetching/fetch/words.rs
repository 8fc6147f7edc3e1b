//! Inputs and outputs of the machine.

use crate::{
    fetching::{
        scheduler::{self, Distance},
        stage::Stage,
        transfer::{self, Wanted},
    },
    id::{BlobHash, PeerId, PlayerName},
    local::{
        Event, Fault, FaultCode,
        reply::{Fetched, PathKind},
    },
    peer::{CloseCode, HoldingReply, Piece},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The number of one request of one local client. Chosen by the caller, never reused.
pub type WaiterId = u64;
/// The number of a mod folder to write. One write serves all waiters of a folder.
pub type FolderId = u64;
/// The number of an attempt, over all looks, from 1. An attempt begins when the owner is asked for its document; inputs
/// of an older attempt are ignored.
pub type Run = u64;
/// The number of a request, over all sources.
pub type RequestNumber = u64;

#[derive(Debug, Clone)]
pub enum Input {
    /// A client asks for this player's look.
    Asked {
        player: PlayerName,
        /// The contact's key, or why this player's look cannot be fetched.
        key: Result<PeerId, Fault>,
        waiter: WaiterId,
        folder: Option<FolderId>,
    },
    /// The client of this waiter left. It gets no answer.
    Left(WaiterId),
    /// A person does not want the look that is fetched or waits for its turn.
    Declined {
        player: PlayerName,
        key: Option<PeerId>,
    },
    /// Ends the player's fetch with this fault.
    Failed {
        player: PlayerName,
        fault: Fault,
    },
    /// All near contacts; the others are not near.
    Nearby(Vec<(PlayerName, PeerId, Distance)>),
    /// The name of a contact.
    Named {
        peer: PeerId,
        player: PlayerName,
    },
    /// This key is no longer a contact.
    Removed(PeerId),
    /// Some blob of the look is no longer here.
    Damaged(PeerId),
    /// A link is open; the contact's published look.
    Opened {
        peer: PeerId,
        path: PathKind,
        offers: Option<BlobHash>,
    },
    /// The link goes over another kind of path.
    Path {
        peer: PeerId,
        path: PathKind,
    },
    /// The contact published another look.
    Offers {
        peer: PeerId,
        look: Option<BlobHash>,
    },
    /// The contact does not answer.
    Silent(PeerId),
    /// The link is gone.
    Lost(PeerId),
    /// No path to the peer worked.
    Unreachable {
        peer: PeerId,
        cause: String,
    },
    /// No source knows the peer's address.
    NotFound {
        peer: PeerId,
        code: FaultCode,
        cause: String,
    },
    /// The answer to [`Output::AskDocument`]: the document's length.
    Document {
        peer: PeerId,
        run: Run,
        result: Result<u64, DocumentFailure>,
    },
    /// The answer to [`Output::AskDocument`] if the contact's allowance of documents is used up for so long.
    Postponed {
        peer: PeerId,
        run: Run,
        pause: Duration,
    },
    /// The answer to [`Output::Plan`].
    Planned {
        player: PlayerName,
        run: Run,
        result: Result<Planned, PlanFailure>,
    },
    /// The answer to [`Output::AskHolding`].
    Holding {
        peer: PeerId,
        owner: PeerId,
        look: BlobHash,
        reply: HoldingReply,
    },
    /// Facts of requests, in order, and their bytes on the wire.
    Received {
        player: PlayerName,
        run: Run,
        facts: Vec<transfer::Input>,
        wire: u64,
    },
    /// This machine could not store received bytes.
    Unkept {
        player: PlayerName,
        run: Run,
        why: Unkept,
    },
    /// The answer to [`Output::HandOut`].
    Written {
        player: PlayerName,
        run: Run,
        result: Result<Written, Unready>,
    },
    /// Whether the disk has space; if not, the message for waiters who wait too long.
    DiskSpace(Result<(), String>),
    /// Send progress now.
    Tick,
    Time,
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentFailure {
    /// The owner publishes nothing, or not for us.
    Nothing,
    Misbehaved(CloseCode),
    /// It did not arrive in time.
    Late(String),
    /// The stream broke.
    Broken,
}

/// A look with an accepted document, compared with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub look: BlobHash,
    /// The look's distinct blobs, ascending.
    pub blobs: Vec<BlobHash>,
    pub wanted: Vec<Wanted>,
    pub missing_bytes: u64,
    /// Number of the look's files, and their total size.
    pub files: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanFailure {
    /// A prefetched look would have to evict something.
    NoFreeSpace,
    /// The document is invalid.
    Unacceptable(String),
    /// The document is signed under another name.
    OtherName(PlayerName),
    Local(Fault),
}

/// Why received bytes were not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unkept {
    DiskFull(Fault),
    /// A file of the cache that was being written disappeared.
    Vanished,
    Local(Fault),
}

/// The result of a hand-out.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The result of each folder. A missing one was not written, because its waiters left.
    pub folders: Vec<(FolderId, Result<(), Fault>)>,
    /// For each waiter; the machine adds what only it knows.
    pub fetched: Box<Fetched>,
}

/// Why a complete look cannot be handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unready {
    /// Some of its files were removed or changed.
    Vanished,
    Local(Fault),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Connect to this peer, and keep the link.
    Want(PeerId),
    /// The link is no longer needed.
    Leave(PeerId),
    /// Ask the owner for its document, within its allowance of documents. `anyway`: also beyond it.
    AskDocument {
        peer: PeerId,
        run: Run,
        anyway: bool,
    },
    /// Check the document of this run and compare it with the store. `evict`: make space for it.
    Plan {
        player: PlayerName,
        peer: PeerId,
        run: Run,
        evict: bool,
    },
    /// The transfer begins: others may be asked for the look under the document's grant.
    Begin {
        player: PlayerName,
        peer: PeerId,
        run: Run,
    },
    /// The transfer ended: no more of it will arrive.
    Settle {
        owner: PeerId,
        look: BlobHash,
    },
    /// Ask a peer what it holds of a look, if the owner's grant allows it.
    AskHolding {
        peer: PeerId,
        owner: PeerId,
        look: BlobHash,
    },
    /// Answered with [`Input::Received`] until the request ends. Without a grant for a source that is not the owner it
    /// ends at once, as [`transfer::End::Refused`].
    Ask(Ask),
    /// Stop this request.
    Drop {
        source: PeerId,
        number: RequestNumber,
    },
    /// The look is complete: have its owner prove the sampled blobs, so that they may be lent.
    Prove {
        run: Run,
    },
    /// Write these folders for these waiters, and describe the look.
    HandOut {
        player: PlayerName,
        run: Run,
        folders: BTreeMap<FolderId, Vec<WaiterId>>,
    },
    /// The look is shown from now on: it stays in the cache.
    Show {
        player: PlayerName,
        run: Run,
    },
    /// Nobody has used these blobs: evict them first.
    Unused(Vec<BlobHash>),
    /// The answer to a waiter.
    Answer {
        waiter: WaiterId,
        result: Result<Box<Fetched>, Fault>,
    },
    /// A fetch ended without a look. `told`: send an event.
    Failed {
        player: PlayerName,
        fault: Fault,
        told: bool,
    },
    /// Close the peer's link, and ban it if the code says so.
    Ban {
        peer: PeerId,
        code: CloseCode,
    },
    /// A write failed for want of space: check the disk, and answer with [`Input::DiskSpace`].
    DiskFull,
    Tell(Event),
}

/// One request to one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub player: PlayerName,
    pub run: Run,
    pub source: PeerId,
    pub owner: PeerId,
    pub look: BlobHash,
    /// Its name in the facts of [`Input::Received`].
    pub request: transfer::RequestId,
    /// Its name in [`Output::Drop`].
    pub number: RequestNumber,
    pub pieces: Vec<Piece>,
}

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A fetch's time in this stage is over.
    Overdue(Stage),
    /// Ask the owner for its document again.
    DocumentDue,
    /// A link that was thought lost is used again if it holds.
    LinkDue,
    /// The wait for disk space is over.
    RoomDue,
    /// Ask a source that fetches the same look again what it holds.
    HoldingDue,
    Transfer(transfer::Why),
    Scheduler(scheduler::Why),
}

/// The earlier one.
pub(super) fn sooner(a: Option<(Instant, Why)>, b: Option<(Instant, Why)>) -> Option<(Instant, Why)> {
    a.into_iter().chain(b).min_by_key(|(at, _)| *at)
}
