//! What the signaling is told, and what it has done.

pub(crate) use fyteclub_proto::phonebook::between::Parcel;
use fyteclub_proto::{
    id::PeerId,
    knock::{Callee, Knock},
    ledger::Network,
    letter::{Attempt, Letter},
    phonebook::live::{CloseReason, Hear, Say},
};
use std::{collections::VecDeque, net::IpAddr, time::Duration};

/// One connection's number, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientId(pub(crate) u64);

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Socket,
    Polls,
}

/// What waits for a name to be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pending {
    Introduce { caller: PeerId, attempt: Attempt, letter: Letter },
    Knock { to: Callee, knock: Knock },
}

/// What becomes of an introduction: asked once, and one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Asked,
    Accepted,
    Declined,
    /// Nobody there, nobody of that name, or nothing said in time.
    Unanswered,
}

#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// A key has proven itself. Ends what the same key has open, except that polls follow polls.
    Arrived {
        client: ClientId,
        key: PeerId,
        transport: Transport,
        /// Which pays for what waits for the client.
        network: Network,
    },
    /// Where a client is connected from.
    Seen {
        client: ClientId,
        address: IpAddr,
    },
    /// Any sign of life.
    Heard {
        client: ClientId,
    },
    /// A ping came back.
    RoundTrip {
        client: ClientId,
        time: Duration,
    },
    /// Judged already: a knock is its sender's.
    Said {
        client: ClientId,
        say: Say,
    },
    /// The connection is gone.
    Left {
        client: ClientId,
    },
    Resolved {
        pending: Pending,
        callee: Option<PeerId>,
    },
    Delivered {
        to: PeerId,
        parcel: Parcel,
    },
    /// The key has greeted at another phone book of the same name, after this client here.
    Moved {
        key: PeerId,
        client: ClientId,
    },
    /// The phone book stops.
    Stop,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// There is something to take.
    Wake {
        client: ClientId,
    },
    Ping {
        client: ClientId,
    },
    /// The client is gone from here; `last` is still to be said to it.
    Close {
        client: ClientId,
        last: VecDeque<Hear>,
        reason: CloseReason,
        text: &'static str,
    },
    /// Answer with [`Input::Resolved`], now or later.
    Resolve {
        name: String,
        pending: Pending,
    },
    /// For whoever counts.
    Outcome(Outcome),
    /// Hand it in as [`Input::Delivered`] where the key is connected.
    Deliver {
        to: PeerId,
        parcel: Parcel,
    },
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// Nobody has answered an introduction.
    Answer(PeerId, Attempt),
    /// An introduction's candidates are carried no longer.
    Introduction(PeerId, Attempt),
    Ping(ClientId),
    Life(ClientId),
    /// A queue is full, and nothing was taken from it.
    Unread(ClientId),
}
