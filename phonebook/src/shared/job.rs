//! What the outbox is asked to do.

use crate::signaling::{ClientId, Pending};
use fyteclub_proto::{
    id::PeerId,
    letter::Attempt,
    phonebook::{between::Parcel, live::Say},
};
use std::net::IpAddr;

#[derive(Debug)]
pub(crate) enum Job {
    /// A key has greeted here.
    Arrived {
        key: PeerId,
        client: ClientId,
    },
    /// Costs budgets, and is said when they were charged.
    Say {
        client: ClientId,
        key: PeerId,
        address: IpAddr,
        attempt: Option<Attempt>,
        say: Box<Say>,
    },
    Resolve {
        name: String,
        pending: Pending,
    },
    /// For a key that is not connected here.
    Deliver {
        to: PeerId,
        parcel: Parcel,
    },
}
