//! What the phone books' actor is asked and says, and what it keeps of an introduction.

use crate::{
    desks::{links::Seen, orders::Post},
    io::phonebook_http::PhonebookError,
};
use actix::{Message, Recipient};
use fyteclub_proto::{
    contact,
    id::{PeerId, PlayerName},
    letter::Attempt,
    local::FaultCode,
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
    /// What is the contacts' to know. A knock is authentic, and a note is from the key that it names; of whom the phone
    /// books know by a name, each key is named once.
    Heard(contact::Input),
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

impl Message for Post {
    type Result = ();
}

/// Asks every phone book whom it knows by this name; what they say rises as [`PhonebookFact::Heard`].
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

impl LookupError {
    /// What a client is told whose fetch fails for it.
    pub fn code(&self) -> FaultCode {
        match self {
            Self::NotFound | Self::NotBack => FaultCode::NotFound,
            Self::NoPhonebook => FaultCode::BadRequest,
            Self::Unavailable(_) => FaultCode::PhonebookUnavailable,
            Self::Busy => FaultCode::Busy,
            Self::OtherKey(_) => FaultCode::KeyChanged,
        }
    }
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

/// Somebody here waits for an introduction.
pub struct Call {
    pub(super) peer: PeerId,
    pub(super) candidates: Vec<Candidate>,
    pub(super) answer: oneshot::Sender<Result<Vec<Candidate>, Failure>>,
}
