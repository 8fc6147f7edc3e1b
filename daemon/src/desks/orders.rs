//! Orders of desks. The coordinator carries them out one after the other; orders that follow from one are added at the
//! end.

use super::{
    fetching,
    own_look::scan::{ScanId, What},
};
use crate::{
    io::{
        keeper::{KeepError, Keeping},
        store::Pin,
        wall_clock::unix_millis,
    },
    sharing::published::Offer,
};
use futures::future::LocalBoxFuture;
use fyteclub_proto::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    knock::{Callee, Note},
    local::{Event, Fault, FaultCode, RawJson},
};
use serde::Serialize;
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// The time of an input, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub at: Instant,
    /// Unix milliseconds, for state that outlives a restart.
    pub unix_ms: u64,
}

impl Now {
    pub fn read() -> Self {
        Self { at: Instant::now(), unix_ms: unix_millis() }
    }
}

/// An answer to a client.
pub type Answer<T> = Result<T, Fault>;

/// A later answer, usually given when the change is on the disk. Dropping it undoes nothing.
pub type Later<T> = LocalBoxFuture<'static, Answer<T>>;

/// An answer that is ready.
pub fn at_once<T: 'static>(answer: Answer<T>) -> Later<T> {
    Box::pin(std::future::ready(answer))
}

/// The answer as JSON.
pub fn json<T: Serialize>(answer: Answer<T>) -> Answer<RawJson> {
    RawJson::of(&answer?).map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))
}

pub enum Order {
    /// Publishes an event on the bus.
    Tell(Event),
    /// The player consents to this key, with this name.
    Admit {
        key: PeerId,
        player: Option<PlayerName>,
    },
    /// The player no longer consents to this key.
    Dismiss(PeerId),
    /// Ends fetches, loans and links of a key without consent. Follows its [`Order::Dismiss`].
    Disconnect(PeerId),
    /// The key is reached by other means from now on: its links end, and the next ones are made by these.
    Reroute(PeerId),
    /// The origin of one owner's blobs counts as the other's.
    FollowOwner {
        from: PeerId,
        to: PeerId,
    },
    Post(Post),
    /// Asks every phone book for the keys under this name.
    List(PlayerName),
    /// Scans a look, after the write `after` has ended, even if it failed.
    Scan {
        id: ScanId,
        what: What,
        after: Option<Keeping>,
    },
    /// Counts the files of the published look that cannot be served now.
    LookAtOffer(Arc<Offer>),
    /// Sends every peer the hash of the published look.
    AnnounceLook,
    /// The store met a full disk.
    DiskFull,
    /// Measures the disk's free space; `evict`: evicts blobs if it is low.
    LookAtDisk {
        evict: bool,
    },
    Fetching(fetching::Order),
    Desk(DeskOrder),
    /// Awaits a write, and returns its result to the desk that ordered it.
    Await(Keeping, Write),
}

/// An order of one desk to another.
pub enum DeskOrder {
    /// A contact was added, changed or removed.
    ContactsChanged,
    /// The set of near players, or a distance, changed.
    NearbyChanged,
    /// These players were near until now.
    Seen(Vec<PlayerName>),
    /// The player is shown with this look from now on.
    Show { player: PlayerName, pin: Pin },
    /// Files of the published look are gone.
    OwnLookDamaged,
    /// Files of these players' shown looks are gone.
    LooksDamaged(Vec<PlayerName>),
    /// A fetched chunk could not be written to a full disk.
    DiskFull,
    /// Whether the disk has free space; if not, the message for waiters who wait too long.
    DiskSpace(Result<(), String>),
}

impl From<DeskOrder> for Order {
    fn from(order: DeskOrder) -> Self {
        Self::Desk(order)
    }
}

/// A message to another player. Every connected phone book carries it. Without one it is lost, and no arrival is
/// reported.
#[derive(Debug)]
pub enum Post {
    /// Addressed as phone books know the callee: see [`fyteclub_proto::phonebook::Listing::name_of`]. Each phone book
    /// gets its own number, derived from this one.
    Knock {
        to: Callee,
        name: PlayerName,
        nonce: Bytes<16>,
    },
    Note {
        to: PeerId,
        note: Note,
    },
}

/// The write that an [`Order::Await`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// `urgent`: messages to others wait for it.
    Contacts {
        urgent: bool,
    },
    /// By the desk's number.
    Limits(u64),
    OwnLook(ScanId),
}

/// The result of a write.
pub type Kept = Result<(), KeepError>;

#[derive(Default)]
pub struct Orders(VecDeque<Order>);

impl Orders {
    pub fn add(&mut self, order: impl Into<Order>) {
        self.0.push_back(order.into());
    }

    pub fn extend(&mut self, orders: impl IntoIterator<Item = Order>) {
        self.0.extend(orders);
    }

    pub fn tell(&mut self, event: Event) {
        self.add(Order::Tell(event));
    }

    pub fn fetch(&mut self, order: fetching::Order) {
        self.add(Order::Fetching(order));
    }

    pub fn pop(&mut self) -> Option<Order> {
        self.0.pop_front()
    }
}
