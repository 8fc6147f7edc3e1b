//! Inputs and outputs of the machine.

use super::pairs::Source;
use crate::{local::reply::PeerState, reaching::candidate::Candidate};
use std::{net::SocketAddr, time::Duration};

const NO_ANSWER: &str =
    "nothing answers at their address: their daemon may be off, or their router blocks incoming packets";
const NOWHERE: &str = "none of their addresses can be dialled from here";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A link to the peer is wanted.
    Want,
    /// The link is no longer wanted: an open one stays until it ends, and is not dialled again.
    Leave,
    /// The answer to [`Output::Find`]: addresses, the likeliest first, or why there are none. `last`: the last link's
    /// address.
    Found {
        told: Result<Vec<Candidate>, Unfound>,
        last: Option<SocketAddr>,
    },
    /// Further addresses of the peer; dialled if a try is running.
    Told(Vec<Candidate>),
    /// Addresses that no source was asked for: the peer is announced in the local network, or a person named them. Dialled
    /// at once if the peer is wanted and has no link.
    Known {
        source: Source,
        addrs: Vec<SocketAddr>,
    },
    /// NAT traversal has a path to the peer, and this stands for it: dialled at once, wanted or not.
    Traversed(SocketAddr),
    /// A dial's result. Drop the connection of one that is no longer running.
    Dialled {
        dial: u64,
        result: Result<Duration, Failure>,
    },
    /// A link is in use, dialled by either side, at `addr`. `suspect`: received datagrams of the link of
    /// [`Paths::suspect`](super::Paths::suspect), if that is still open.
    Opened {
        link: usize,
        addr: SocketAddr,
        rtt: Duration,
        suspect: Option<u64>,
    },
    /// A link at this address has closed.
    Closed {
        addr: SocketAddr,
    },
    /// There is no link any more, or a dialled one ended before its greeting.
    Lost(Failure),
    /// The link in use may be dead; so many datagrams came over it. The peer is dialled beside it.
    Suspect {
        link: usize,
        heard: u64,
    },
    /// The same of a link that is silent while something is asked.
    Silent {
        link: usize,
        heard: u64,
    },
    /// It is not silent any more.
    Heard,
    /// The link in use came to an address that this machine no longer has: the peer cannot answer there, and is dialled
    /// from here.
    Stranded {
        addr: SocketAddr,
    },
    Time,
}

/// Why no source has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfound {
    /// All of them report the peer as absent, or not for us.
    NotThere(String),
    /// They do not answer, or cannot say.
    Unavailable(String),
    /// It is present, and no path to it works.
    NoPath(String),
    /// Its name is known under another key: dial nothing.
    OtherKey(String),
    /// Dialling is not allowed now.
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

    /// No answer.
    pub fn no_answer() -> Self {
        Self::new(NO_ANSWER, true)
    }

    pub(super) fn nowhere() -> Self {
        Self::new(NOWHERE, false)
    }

    /// Whether somebody answered, and another try makes no sense.
    pub(super) fn is_answer(&self) -> bool {
        !self.again && self.cause != NOWHERE
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask every source for the peer's addresses.
    Find,
    /// Dial this address; the result is [`Input::Dialled`].
    Dial {
        dial: u64,
        addr: SocketAddr,
    },
    /// End this dial: another one succeeded, or its time is over.
    Abandon {
        dial: u64,
    },
    /// Close this link, still silent while another is in use.
    Close {
        link: usize,
    },
    /// The best working path now; `None`: none works.
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
