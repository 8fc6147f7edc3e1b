//! What the machine is told and what it orders. What follows from it is decided in the machine.

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

/// Names one request of one local client. Chosen by whoever runs the machine, never used twice.
pub type WaiterId = u64;
/// Names a mod folder that waiters want written. Waiters of one folder are served by one write.
pub type FolderId = u64;
/// Numbers the attempts at all looks, from 1. An attempt begins when the owner is asked for its document; what belongs
/// to an older attempt is ignored.
pub type Run = u64;
/// Numbers the requests to all sources.
pub type RequestNumber = u64;

#[derive(Debug, Clone)]
pub enum Input {
    /// A client asks for this player's look.
    Asked {
        player: PlayerName,
        /// The contact's key, or why nothing can be fetched of this player.
        key: Result<PeerId, Fault>,
        waiter: WaiterId,
        folder: Option<FolderId>,
    },
    /// The client of this waiter left. It gets no answer.
    Left(WaiterId),
    /// A person does not want the look that is fetched, or waits for its turn, now.
    Declined {
        player: PlayerName,
        key: Option<PeerId>,
    },
    /// The player's fetch, if there is one, ends with this fault.
    Failed {
        player: PlayerName,
        fault: Fault,
    },
    /// Everybody near who is a contact; the others are not near.
    Nearby(Vec<(PlayerName, PeerId, Distance)>),
    /// The name of a contact.
    Named {
        peer: PeerId,
        player: PlayerName,
    },
    /// This key is no contact any more.
    Removed(PeerId),
    /// Something of the look that was here is not any more.
    Damaged(PeerId),
    /// A link is open; what the contact publishes.
    Opened {
        peer: PeerId,
        path: PathKind,
        offers: Option<BlobHash>,
    },
    /// The contact publishes another look now.
    Offers {
        peer: PeerId,
        look: Option<BlobHash>,
    },
    /// There is no link any more.
    Lost(PeerId),
    /// No way to the peer worked.
    Unreachable {
        peer: PeerId,
        cause: String,
    },
    /// Nobody knows where the peer is.
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
    /// The answer to [`Output::AskDocument`] where the contact's allowance of documents is used up for so long.
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
    /// What came of requests, in order, and the bytes that crossed the wire for it.
    Heard {
        player: PlayerName,
        run: Run,
        facts: Vec<transfer::Input>,
        wire: u64,
    },
    /// This machine could not keep what came.
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
    /// Whether the disk has room; else, the sentence for those who wait for it too long.
    Room(Result<(), String>),
    /// Progress is told now.
    Tick,
    Time,
}

/// Why no document came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentFailure {
    /// The owner publishes nothing, or not for us.
    Nothing,
    Misbehaved(CloseCode),
    /// It did not come in time.
    Late(String),
    /// The stream broke.
    Broken,
}

/// A look whose document is accepted, compared with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub look: BlobHash,
    /// The look's distinct blobs, ascending.
    pub blobs: Vec<BlobHash>,
    pub wanted: Vec<Wanted>,
    pub missing_bytes: u64,
    /// Files of the look, and their sizes together.
    pub files: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanFailure {
    /// Something else would have to be evicted for a look that was a prefetch then.
    NoFreeSpace,
    /// The document is not accepted.
    Unacceptable(String),
    /// The document is signed under another name.
    OtherName(PlayerName),
    Local(Fault),
}

/// Why something that came was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unkept {
    DiskFull(Fault),
    /// A file of the cache that was being written is gone.
    Vanished,
    Local(Fault),
}

/// What was handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// What came of each folder. One that is not named was not written, because its waiters left.
    pub folders: Vec<(FolderId, Result<(), Fault>)>,
    /// For each waiter, but for what only the machine knows.
    pub fetched: Box<Fetched>,
}

/// Why a look that was here cannot be handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unready {
    /// Some of its files were removed or changed.
    Vanished,
    Local(Fault),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Find a way to this peer, and keep the link.
    Want(PeerId),
    /// The link is not needed any more.
    Leave(PeerId),
    /// Ask the owner for its document, within its allowance of documents. `anyway`: also beyond that.
    AskDocument {
        peer: PeerId,
        run: Run,
        anyway: bool,
    },
    /// Check the document that came with this run and compare it with the store. `evict`: make room for it.
    Plan {
        player: PlayerName,
        peer: PeerId,
        run: Run,
        evict: bool,
    },
    /// What was planned is fetched: others may be asked for the look under the grant that came with it.
    Begin {
        player: PlayerName,
        peer: PeerId,
        run: Run,
    },
    /// The look is fetched no further: what is here of it is all that there will be.
    Settle {
        owner: PeerId,
        look: BlobHash,
    },
    /// Ask a peer what it holds of a look, if the owner's grant lets us.
    AskHolding {
        peer: PeerId,
        owner: PeerId,
        look: BlobHash,
    },
    /// Answered with [`Input::Heard`] until the request ends. Without a grant for a source that is not the owner it
    /// ends at once, as [`transfer::End::Refused`].
    Ask(Ask),
    /// Stop waiting for this request.
    Drop {
        source: PeerId,
        number: RequestNumber,
    },
    /// The look is here: have its owner prove the rest of it, so that it may be passed on.
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
    /// Nobody has used these blobs: they are the first to go.
    Unused(Vec<BlobHash>),
    /// The last word to a waiter.
    Answer {
        waiter: WaiterId,
        result: Result<Box<Fetched>, Fault>,
    },
    /// A fetch ended without a look. `told`: local clients hear of it.
    Failed {
        player: PlayerName,
        fault: Fault,
        told: bool,
    },
    /// The peer broke the protocol: close its link, and if the code says so do not listen to it for a while.
    Ban {
        peer: PeerId,
        code: CloseCode,
    },
    /// A file could not be written for want of room: look at the disk, and answer with [`Input::Room`].
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
    /// As the facts of [`Input::Heard`] name it.
    pub request: transfer::RequestId,
    /// As [`Output::Drop`] names it.
    pub number: RequestNumber,
    pub pieces: Vec<Piece>,
}

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A fetch may not be longer in this stage.
    Overdue(Stage),
    /// The owner is asked for its document again.
    DocumentDue,
    /// A link that was thought lost is used again if it holds.
    LinkDue,
    /// A disk without room is not waited for longer.
    RoomDue,
    /// A source that fetches the look itself is asked again what it holds.
    HoldingDue,
    Transfer(transfer::Why),
    Scheduler(scheduler::Why),
}

/// The earlier one.
pub(super) fn sooner(a: Option<(Instant, Why)>, b: Option<(Instant, Why)>) -> Option<(Instant, Why)> {
    a.into_iter().chain(b).min_by_key(|(at, _)| *at)
}
