//! What the machine is told, and what it says.

use crate::{local::reply::PeerState, reaching::candidate::Candidate};
use std::{net::SocketAddr, time::Duration};

const NO_ANSWER: &str =
    "nothing answers at their address: their daemon may be off, or their router blocks incoming packets";
const NOWHERE: &str = "none of their addresses can be dialled from here";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A link to the peer is wanted.
    Want,
    /// No link is wanted any more: an open one stays while it lives, and is not dialled again.
    Leave,
    /// The answer to [`Output::Find`]: the likeliest first, or why there is none. `last` is where a link led to last.
    Found {
        told: Result<Vec<Candidate>, Unfound>,
        last: Option<SocketAddr>,
    },
    /// More addresses of the peer; they are dialled if it is being tried.
    Told(Vec<Candidate>),
    /// How a dial ended. The connection of one that is not running any more is to be dropped.
    Dialled {
        dial: u64,
        result: Result<Duration, Failure>,
    },
    /// A link is in use, dialled by either side, and leads to `addr`. `suspect`: what came over the link of
    /// [`Paths::suspect`](super::Paths::suspect) so far, if that is still there.
    Opened {
        link: usize,
        addr: SocketAddr,
        rtt: Duration,
        suspect: Option<u64>,
    },
    /// A link that led to this address is gone.
    Closed {
        addr: SocketAddr,
    },
    /// There is no link any more, or one that was dialled ended before its greeting.
    Lost(Failure),
    /// The link in use is silent; so many datagrams came over it.
    Suspect {
        link: usize,
        heard: u64,
    },
    /// The link in use came to an address that this machine does not have any more: the peer cannot answer there, and is
    /// dialled from here.
    Stranded {
        addr: SocketAddr,
    },
    Time,
}

/// Why no source told an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfound {
    /// All of them know that the peer is not there, or not for us.
    NotThere(String),
    /// They do not answer, or cannot say.
    Unavailable(String),
    /// Its name is known under another key: no address is to be dialled for it.
    OtherKey(String),
    /// It is not to be dialled now.
    Forbidden(String),
}

/// Why a dial or a link ended, for a person, and whether another try makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub cause: String,
    pub again: bool,
}

impl Failure {
    pub fn new(cause: impl Into<String>, again: bool) -> Self {
        Self { cause: cause.into(), again }
    }

    /// Nothing came back.
    pub fn no_answer() -> Self {
        Self::new(NO_ANSWER, true)
    }

    pub(super) fn nowhere() -> Self {
        Self::new(NOWHERE, false)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask every source where the peer is.
    Find,
    /// Dial this address; what comes of it is [`Input::Dialled`].
    Dial {
        dial: u64,
        addr: SocketAddr,
    },
    /// End this dial: another one answered, or its time is over.
    Abandon {
        dial: u64,
    },
    /// This link is still silent while another is in use.
    Close {
        link: usize,
    },
    /// The best path that works is this one now; `None`: none works.
    Primary(Option<SocketAddr>),
    State(PeerState),
    /// All tries failed.
    GaveUp(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NextTry,
    TryDue,
    NextDial,
}
