//! What the phone books' actor is asked and says, and what it keeps of an introduction.

use crate::io::phonebook_http::PhonebookError;
use actix::{Message, Recipient};
use fyteclub_proto::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    knock::{Callee, Knock, Note},
    letter::Attempt,
    reaching::{
        candidate::{Candidate, Candidates},
        introduction::Failure,
    },
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long the lists of all phone books together may take.
pub(super) const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// What the phone books' actor says to the coordinator.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum PhonebookFact {
    /// A phone book began or ceased to answer.
    Changed { url: String, error: Option<String> },
    /// A live conversation began: what waits to be carried may be sent again.
    Connected,
    /// Somebody asks to be a contact; the knock is authentic.
    Knocked(Knock),
    /// Somebody wrote; the note is from this key and from nobody else.
    Noted { from: PeerId, note: Note },
    /// Whom the phone books know by a name, each key once.
    Listed { player: PlayerName, keys: Vec<PeerId> },
    /// Somebody wants to be introduced: answer with [`Answer`].
    Introduced { introduction: Introduction, from: PeerId },
}

/// Which introduction, by which phone book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    pub book: usize,
    pub attempt: Attempt,
}

/// Whether the addresses of this machine are told to who asked to be introduced.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Answer {
    pub introduction: Introduction,
    pub to: PeerId,
    pub accept: bool,
}

/// Carried by every phone book that is connected; lost where none is, and nobody hears whether it arrived.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Post {
    /// To the callee as the phone books know it: see [`fyteclub_proto::phonebook::Listing::name_of`]. Each phone book is
    /// given a number of its own that comes from this one.
    Knock {
        to: Callee,
        name: PlayerName,
        nonce: Bytes<16>,
    },
    Note {
        to: PeerId,
        note: Note,
    },
}

/// Asks every phone book whom it knows by this name; what they say is [`PhonebookFact::Listed`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct List(pub PlayerName);

/// An introduction that was accepted lately: addresses that are learned now are told, too.
pub struct Exchange {
    pub(super) introduction: Introduction,
    pub(super) peer: PeerId,
    pub(super) since: Instant,
    /// What the other side was told last.
    pub(super) told: Candidates,
    /// Whether the phone book sees both ends together.
    pub(super) together: bool,
    /// Where they said they are, as far as it may be dialled.
    pub(super) given: Vec<SocketAddr>,
}

/// Why a player's address is not known.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    #[error("no phone book is configured: start the daemon with --phonebook URL")]
    NoPhonebook,
    #[error("they are not online, or do not let themselves be found by you")]
    NotFound,
    #[error("{0}")]
    Unavailable(PhonebookError),
    #[error("they are not there yet, as far as a phone book knows that has only just come back: try again")]
    NotBack,
    #[error("too many others are looked for at the moment: try again")]
    Busy,
    #[error("the phone book knows their name under another key")]
    OtherKey(PeerId),
}

/// Where is this peer? Answered within about two seconds, unless many are looked for at once, or the phone book is not
/// there or has only just come back. `name` is theirs, if it is known.
#[derive(Message)]
#[rtype(result = "Result<Vec<Candidate>, LookupError>")]
pub struct Reach {
    pub peer: PeerId,
    pub name: Option<PlayerName>,
    /// Somebody waits for it.
    pub asked: bool,
    pub since: Seen,
    /// Takes what is learnt of its addresses after the answer.
    pub more: Recipient<MoreCandidates>,
}

/// Further addresses of a peer that may be dialled.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MoreCandidates(pub Vec<Candidate>);

/// What is known of where they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// They were there a moment ago, though not over a link.
    JustNow,
    /// They had a link once, and can be tried at its address.
    Once,
    Never,
}

/// Somebody here waits for an introduction.
pub struct Call {
    pub(super) peer: PeerId,
    pub(super) candidates: Vec<Candidate>,
    pub(super) answer: oneshot::Sender<Result<Vec<Candidate>, Failure>>,
}
