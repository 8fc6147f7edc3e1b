//! Messages of the phone books' actor, and its state of an introduction.

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
    reaching::{candidate::Candidate, introduction::Failure, wire::offer::Offer},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long the lookups at all phone books together may take.
pub(super) const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// Facts for the coordinator.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum PhonebookFact {
    /// A phone book started or stopped answering.
    Changed { url: String, error: Option<String> },
    /// Inputs for the contacts' machine. A knock is authentic, and a note is from the key that it names; of the keys
    /// that phone books have for a name, each is listed once.
    Received(contact::Input),
    /// A peer asks for an introduction: answer with [`Answer`].
    Introduced { introduction: Introduction, from: PeerId },
}

/// An introduction, and its phone book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    pub book: usize,
    pub attempt: Attempt,
}

/// Whether the peer that asked is sent this machine's addresses.
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

/// Asks every phone book for the keys under this name; the answers are [`PhonebookFact::Received`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct List(pub PlayerName);

/// An introduction that was accepted lately: later addresses are sent too.
pub(super) struct Exchange {
    pub(super) introduction: Introduction,
    pub(super) peer: PeerId,
    pub(super) since: Instant,
    /// The text of the last letter.
    pub(super) told: Vec<u8>,
    /// Both ends traverse NATs: the texts are offers of a session. With the peer's last one, as it came.
    pub(super) offer: Option<Offer>,
    /// Whether the phone book sees both ends at one address.
    pub(super) together: bool,
    /// The peer's addresses that may be dialled.
    pub(super) given: Vec<SocketAddr>,
}

/// Why a player's addresses are not known.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    #[error(
        "they are not in the local network, and no phone book is configured: start the daemon with --phonebook URL"
    )]
    NoPhonebook,
    #[error("they are not online, or hidden from you")]
    NotFound,
    #[error("{0}")]
    Unavailable(PhonebookError),
    #[error("they are not online yet, but the phone book has only just started: try again")]
    NotBack,
    #[error("too many players are being looked up: try again")]
    Busy,
    #[error("their program is too old for relays, and only relays are allowed here")]
    OldBuild,
    #[error("the phone book has another key for their name")]
    OtherKey(PeerId),
}

impl LookupError {
    /// The code of the fault that fails a fetch.
    pub fn code(&self) -> FaultCode {
        match self {
            Self::NotFound | Self::NotBack | Self::OldBuild => FaultCode::NotFound,
            Self::NoPhonebook => FaultCode::BadRequest,
            Self::Unavailable(_) => FaultCode::PhonebookUnavailable,
            Self::Busy => FaultCode::Busy,
            Self::OtherKey(_) => FaultCode::KeyChanged,
        }
    }
}

/// Finds a peer's addresses. Answered within about two seconds, unless many are being looked up, or the phone book is
/// down or has only just started. `name` is the peer's, if it is known.
#[derive(Message)]
#[rtype(result = "Result<Found, LookupError>")]
pub struct Reach {
    pub peer: PeerId,
    pub name: Option<PlayerName>,
    /// Whether a client waits for it.
    pub asked: bool,
    pub since: Seen,
    /// Receives the peer's addresses that arrive after the answer.
    pub more: Recipient<MoreCandidates>,
}

/// How a peer is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// At one of these addresses, the likeliest first.
    At(Vec<Candidate>),
    /// NAT traversal has begun: the coordinator tells what comes of it.
    Traversing,
}

/// Further addresses of a peer that may be dialled.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MoreCandidates(pub Vec<Candidate>);

/// An introduction that this daemon waits for.
pub(super) struct Call {
    pub(super) peer: PeerId,
    /// The text of the letter, by phone book.
    pub(super) sent: BTreeMap<usize, Vec<u8>>,
    pub(super) found: Option<Found>,
    /// It is the session's second introduction, or a later one: its failure does not end the session.
    pub(super) renews: bool,
    pub(super) answer: oneshot::Sender<Result<Found, Failure>>,
}

/// An introduction that awaits the coordinator's answer, with its letter.
pub(super) struct Asking {
    pub(super) introduction: Introduction,
    pub(super) from: PeerId,
    pub(super) offer: Offer,
}
