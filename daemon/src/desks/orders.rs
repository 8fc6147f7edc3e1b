//! What a desk may order. The coordinator carries orders out one after the other; what follows from one comes after
//! those that wait.

use super::{
    fetching,
    own_look::scan::{ScanId, What},
};
use crate::io::{
    keeper::{KeepError, Keeping},
    wall_clock::unix_millis,
};
use futures::future::LocalBoxFuture;
use fyteclub_proto::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    knock::{Callee, Note},
    local::{Event, Fault},
};
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
    /// Somebody became a contact, or is none any more.
    ContactsChanged,
    /// Others are near than were before.
    NearbyChanged,
    /// These players were near until now.
    Seen(Vec<PlayerName>),
    /// What came from the one owner came from the other.
    FollowOwner {
        from: PeerId,
        to: PeerId,
    },
    /// Sends a knock, to the callee as the phone books know it.
    Knock {
        to: Callee,
        name: PlayerName,
        nonce: Bytes<16>,
    },
    Note {
        to: PeerId,
        note: Note,
    },
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
    /// Files of the look that this player publishes are gone.
    OwnLookDamaged,
    /// Files of what these players are shown with are gone.
    LooksDamaged(Vec<PlayerName>),
    /// The store met a full disk.
    DiskFull,
    /// Looks how the disk stands; `evict` has files removed where it is low.
    LookAtDisk {
        evict: bool,
    },
    /// Whether the disk has room; else the sentence for those who wait for it too long.
    Room(Result<(), String>),
    Fetching(fetching::Order),
    /// Awaits a write and hands its result back to the desk that ordered it.
    Await(Keeping, Write),
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
    pub fn add(&mut self, order: Order) {
        self.0.push_back(order);
    }

    pub fn tell(&mut self, event: Event) {
        self.add(Order::Tell(event));
    }

    pub fn pop(&mut self) -> Option<Order> {
        self.0.pop_front()
    }
}
