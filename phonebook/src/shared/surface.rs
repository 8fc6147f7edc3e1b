//! What the rest of the phone book says to what is shared, and hears from it. The same with and without Redis built in.

use crate::{
    book::Refused,
    limits::By,
    switchboard::{ClientId, Pending},
};
use fyteclub_proto::{
    id::PeerId,
    letter::Attempt,
    phonebook::{between::Parcel, live::Say},
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use std::net::IpAddr;

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the phone book cannot reach its records now; try again in some seconds")]
pub struct Away;

/// Why a write did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Away(#[from] Away),
}

/// Whose budget is charged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payer<'a> {
    Address(IpAddr),
    Key(&'a PeerId),
}

impl Payer<'_> {
    pub(crate) fn by(self) -> By {
        match self {
            Self::Address(_) => By::Address,
            Self::Key(_) => By::Key,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Errand {
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

/// What the operator sees of it. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// 1 while Redis answers.
    pub(crate) up: Gauge,
    /// Messages for clients of other phone books.
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    /// Messages that went nowhere: Redis gone, an inbox full, not understood.
    pub(crate) dropped: Counter,
}
