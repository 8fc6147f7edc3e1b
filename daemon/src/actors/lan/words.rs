//! Messages of the local network's actor.

use actix::Message;
use fyteclub_proto::id::PeerId;
use std::net::SocketAddr;

/// A contact was found in the local network, at these addresses.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LanFact {
    pub peer: PeerId,
    pub addrs: Vec<SocketAddr>,
}

/// The player consents to this key, or does not any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Contact {
    pub key: PeerId,
    pub consented: bool,
}

/// Where is this contact? Answered at once; `is_patient`: or when the neighbours had time to answer after a start.
#[derive(Debug, Message)]
#[rtype(result = "Vec<SocketAddr>")]
pub struct Seek {
    pub peer: PeerId,
    pub is_patient: bool,
}

/// A dial of this contact failed at this address.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Unanswered {
    pub peer: PeerId,
    pub addr: SocketAddr,
}

/// This machine's addresses changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Moved;

/// Withdraws the announcement; answered when that was sent.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;
