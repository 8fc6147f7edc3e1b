//! The outbox's jobs.

use crate::clock::Moment;
use crate::signaling::{ClientId, Pending};
use fyteclub_proto::{
    id::PeerId,
    letter::Attempt,
    phonebook::{between::Parcel, live::Say},
};
use std::{net::IpAddr, time::Instant};
use tokio::sync::OwnedSemaphorePermit;

/// An introduction's place among those that wait for an absent callee; a drop gives it back.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) until: Instant,
    pub(super) _place: OwnedSemaphorePermit,
}

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
    /// For a key that is not connected here. `held`: it was connected nowhere when it was asked for before.
    Deliver {
        to: PeerId,
        parcel: Parcel,
        held: Option<Held>,
    },
}
