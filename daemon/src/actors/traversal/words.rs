//! Messages of the traversals' actor.

use crate::{
    actors::server::ServerAt,
    desks::links::Taken,
    io::{phonebook_http::PhonebookHttp, quic::Link},
};
use actix::{Message, Recipient};
use fyteclub_proto::{
    id::PeerId,
    letter::Attempt,
    local::reply::PathStatus,
    phonebook::RelayGrant,
    reaching::{
        candidate::Vantage,
        nat::{self, Nat},
        wire::{offer::Offer, probe::Part, relay::Limit},
    },
};
use fyteclub_quic::peer_socket::VirtualAddr;
use std::collections::BTreeMap;

/// One introduction of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    pub peer: PeerId,
    pub attempt: Attempt,
}

/// Begins a session, or goes on with it. Answered with the offer for the first letter; `None`: there can be no session.
#[derive(Message)]
#[rtype(result = "Option<Offer>")]
pub struct Begin {
    pub id: Id,
    pub part: Part,
    /// Brings later offers to the peer.
    pub tell: Recipient<Tell>,
    pub renew: Recipient<Renew>,
}

/// Bring this offer to the peer, if it does not know it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Tell {
    pub id: Id,
    pub offer: Offer,
}

/// The peer's offer, reduced to candidates that may be probed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Offered {
    pub id: Id,
    pub offer: Offer,
    /// What was known of both ends when it was reduced.
    pub vantage: Vantage,
}

/// The peer's offer as it came over the link.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OfferedOverLink {
    pub id: Id,
    pub offer: Offer,
}

/// Asks the phone books to introduce both ends once more under the same attempt, because their relay is gone. The callee
/// only makes sure that it can be asked.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Renew {
    pub id: Id,
    pub part: Part,
}

/// QUIC hears nothing over its link at this address while something is asked.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Silent {
    pub addr: VirtualAddr,
}

/// The phone book with this URL is there again: its relay may know no leg.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct BookBack(pub String);

/// The phone book's word about a relay.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Granted {
    pub id: Id,
    pub grant: Result<(RelayGrant, ServerAt, PhonebookHttp), Option<Limit>>,
}

/// The introduction failed, or the peer's build has no probes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct End(pub Id);

/// The peer is no contact any more, or banned.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Forget(pub PeerId);

/// The peer is reached by other means from now on: its sessions end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave(pub PeerId);

/// A link runs over this virtual address.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Linked {
    pub addr: VirtualAddr,
    pub link: Link,
}

/// A person wants the path to a peer made anew. `false`: no link to it runs over a virtual address.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct Reconnect(pub PeerId);

/// A person wants another path to a peer. `false`: there is no link, or no other path.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct FailOver(pub PeerId);

/// All paths of all links over virtual addresses.
#[derive(Debug, Message)]
#[rtype(result = "BTreeMap<PeerId, Shown>")]
pub struct Report;

/// The paths to one peer, for people.
#[derive(Debug, Default)]
pub struct Shown {
    pub paths: Vec<PathStatus>,
    /// Why it is relayed, if it is.
    pub why: Option<&'static str>,
    /// The path is being made anew.
    pub reconnects: bool,
}

/// This machine's addresses changed, or it woke up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Moved;

/// Facts for the coordinator.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum TraversalFact {
    /// A path works: dial the peer at this address.
    Reached { peer: PeerId, addr: VirtualAddr, part: Part },
    /// No path works. Only for a peer that this end called.
    Unreached { peer: PeerId, cause: String },
    /// A link of the peer goes over this path now; `None`: over none.
    Path { peer: PeerId, path: Option<Taken> },
    /// Bring this offer to the peer over its link at this address.
    Tell { peer: PeerId, addr: VirtualAddr, attempt: Attempt, offer: Offer },
}

/// What is known of a relay for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relay {
    Off,
    /// No phone book granted one.
    None,
    Refused(Limit),
    Granted,
}

/// Why no path works: one sentence.
pub(super) fn why_unreached(here: Nat, there: Nat, relay: Relay, relay_only: bool) -> String {
    let relay = match relay {
        Relay::Off => "relays are switched off here",
        Relay::None => "their phone book has no relay",
        Relay::Refused(Limit::Holder) => "the phone book's relay grants this network no more sessions",
        Relay::Refused(_) => "the phone book's relay is full",
        Relay::Granted => "nothing came through the relay either",
    };
    if relay_only {
        return format!("only relays are allowed here, and {relay}");
    }
    format!("no direct way to them works ({}), and {relay}", nat::why_relayed(here, there))
}
