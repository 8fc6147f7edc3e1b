//! Inputs and outputs of the state machine.

pub(crate) use fyteclub_proto::phonebook::between::Parcel;
use fyteclub_proto::{
    id::PeerId,
    knock::{Callee, Knock},
    ledger::Network,
    letter::{Attempt, Letter},
    phonebook::{
        RelayGrant, RelayRefusal,
        live::{CloseReason, Hear, Say},
    },
};
use std::{collections::VecDeque, net::IpAddr, time::Duration};

/// The number of a connection; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientId(pub(crate) u64);

/// The transport of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Socket,
    Polls,
}

/// What waits for a name's resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pending {
    Introduce { caller: PeerId, attempt: Attempt, letter: Letter },
    Knock { to: Callee, knock: Knock },
}

/// Each introduction yields `Asked`, and later one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Asked,
    Accepted,
    Declined,
    /// Absent, unknown, or silent.
    Unanswered,
}

/// An accepted introduction. Both ends hear `Go` once the relay has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Going {
    pub(crate) attempt: Attempt,
    /// Caller and callee.
    pub(crate) ends: [PeerId; 2],
    /// How long each waits.
    pub(super) delays: [Duration; 2],
    /// Whether the phone book sees both at one public address, or both at private ones.
    pub(super) same_network: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// A key proved itself. Replaces its other connections, but a poll continues a poll.
    Arrived {
        client: ClientId,
        key: PeerId,
        transport: Transport,
        /// Charged for the client's unread messages.
        network: Network,
    },
    /// The client's address.
    Seen {
        client: ClientId,
        address: IpAddr,
    },
    /// Any sign of life.
    Received {
        client: ClientId,
    },
    /// A pong arrived.
    RoundTrip {
        client: ClientId,
        time: Duration,
    },
    /// A verified message: a knock is signed by its sender.
    Said {
        client: ClientId,
        say: Say,
    },
    /// The connection closed.
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
    /// The relay's answer: a leg for each end, none because there is no relay, or none because of a limit.
    Granted {
        going: Going,
        relay: Result<Option<[RelayGrant; 2]>, RelayRefusal>,
    },
    /// The key greeted later at another phone book of this name.
    #[cfg(feature = "redis")]
    Moved {
        key: PeerId,
        client: ClientId,
    },
    /// The phone book is stopping.
    Stop,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// [`super::Signaling::take`] has a message.
    Wake {
        client: ClientId,
    },
    Ping {
        client: ClientId,
    },
    /// The client is removed; send `last` before the close frame.
    Close {
        client: ClientId,
        last: VecDeque<Hear>,
        reason: CloseReason,
        text: &'static str,
    },
    /// Answer with [`Input::Resolved`].
    Resolve {
        name: String,
        pending: Pending,
    },
    /// Ask the relay for a session, and answer with [`Input::Granted`].
    Grant(Going),
    /// For metrics.
    Outcome(Outcome),
    /// Feed it as [`Input::Delivered`] where the key is connected.
    Deliver {
        to: PeerId,
        parcel: Parcel,
    },
}

/// The reason of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// An introduction is unanswered.
    Answer(PeerId, Attempt),
    /// An introduction's candidates expire.
    Introduction(PeerId, Attempt),
    Ping(ClientId),
    Life(ClientId),
    /// A full queue was not read.
    Unread(ClientId),
}
