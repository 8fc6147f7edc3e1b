//! The outbox's jobs.

use crate::clock::Moment;
use crate::signaling::{ClientId, Pending};
use fyteclub_proto::{
    id::PeerId,
    letter::Attempt,
    phonebook::{between::Parcel, live::Say},
};
use std::net::IpAddr;

#[derive(Debug)]
pub(super) enum Job {
    /// A key greeted here.
    Arrived {
        key: PeerId,
        client: ClientId,
        at: Moment,
    },
    /// Forwarded after its budgets were charged.
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
