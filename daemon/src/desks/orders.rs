//! What a desk may order. The coordinator carries orders out one after the other; what follows from one comes after
//! those that wait.

use super::{
    fetching,
    own_look::scan::{ScanId, What},
};
use crate::io::{
    keeper::{KeepError, Keeping},
    store::Pin,
    wall_clock::unix_millis,
};
use futures::future::LocalBoxFuture;
use fyteclub_proto::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    knock::{Callee, Note},
    local::{Event, Fault, FaultCode, RawJson},
};
use serde::Serialize;
use std::{collections::VecDeque, time::Instant};

/// The time of an input, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub at: Instant,
    /// Unix milliseconds: for what outlives a restart.
    pub unix_ms: u64,
}

impl Now {
    pub fn read() -> Self {
        Self { at: Instant::now(), unix_ms: unix_millis() }
    }
}

/// What a client is answered.
pub type Answer<T> = Result<T, Fault>;

/// An answer that is given later, most often when what it tells of is safe on the disk. To drop it undoes nothing.
pub type Later<T> = LocalBoxFuture<'static, Answer<T>>;

/// Gives an answer that is known already.
pub fn at_once<T: 'static>(answer: Answer<T>) -> Later<T> {
    Box::pin(std::future::ready(answer))
}

/// The answer as it is sent.
pub fn json<T: Serialize>(answer: Answer<T>) -> Answer<RawJson> {
    RawJson::of(&answer?).map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))
}

pub enum Order {
    /// Publishes an event on the bus.
    Tell(Event),
    /// The player consents to this key, which goes by this name.
    Admit {
        key: PeerId,
        player: Option<PlayerName>,
    },
    /// The player consents to this key no more.
    Dismiss(PeerId),
    /// What is here for a key that was consented to ends: fetches, loans, links. After its [`Order::Dismiss`].
    Disconnect(PeerId),
    /// What came from the one owner came from the other.
    FollowOwner {
        from: PeerId,
        to: PeerId,
    },
    Post(Post),
    /// Asks every phone book whom it knows by this name.
    List(PlayerName),
    /// Scans a look, once `after` has ended, well or not.
    Scan {
        id: ScanId,
        what: What,
        after: Option<Keeping>,
    },
    /// Tells every peer what look this player publishes now.
    AnnounceLook,
    /// The store met a full disk.
    DiskFull,
    /// Looks how the disk stands; `evict` has files removed where it is low.
    LookAtDisk {
        evict: bool,
    },
    Fetching(fetching::Order),
    Desk(DeskOrder),
    /// Awaits a write and hands its result back to the desk that ordered it.
    Await(Keeping, Write),
}

/// What one desk orders of another.
pub enum DeskOrder {
    /// Somebody became a contact, or is none any more.
    ContactsChanged,
    /// Others are near than were before.
    NearbyChanged,
    /// These players were near until now.
    Seen(Vec<PlayerName>),
    /// This look is shown from now on.
    Show { player: PlayerName, pin: Pin },
    /// Files of the look that this player publishes are gone.
    OwnLookDamaged,
    /// Files of what these players are shown with are gone.
    LooksDamaged(Vec<PlayerName>),
    /// What was fetched could not be written for want of room.
    DiskFull,
    /// Whether the disk has room; else the sentence for those who wait for it too long.
    Room(Result<(), String>),
}

impl From<DeskOrder> for Order {
    fn from(order: DeskOrder) -> Self {
        Self::Desk(order)
    }
}

/// A message to others. Every phone book that is connected carries it; it is lost where none is, and nobody hears whether it
/// arrived.
#[derive(Debug)]
pub enum Post {
    /// To the callee as the phone books know it: see [`fyteclub_proto::phonebook::Listing::name_of`]. Each phone book is
    /// given a number of its own that comes from this one.
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

/// Which write of which desk an [`Order::Await`] is about.
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

/// How a write ended.
pub type Kept = Result<(), KeepError>;

#[derive(Default)]
pub struct Orders(VecDeque<Order>);

impl Orders {
    pub fn add(&mut self, order: impl Into<Order>) {
        self.0.push_back(order.into());
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
