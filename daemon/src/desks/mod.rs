//! Desks: each owns one part of the daemon's state and decides over it.
//!
//! A desk takes inputs, changes its own state, answers, and adds consequences to [`orders::Orders`]. It names neither
//! an actor nor another desk, and time is an argument, so each is tested alone. [`Desks`] passes orders between desks;
//! the coordinator routes inputs to desks and carries out the other orders.

pub mod cache;
pub mod contacts;
pub mod faults;
pub mod fetching;
pub mod limits;
pub mod links;
pub mod orders;
pub mod own_look;
pub mod sessions;
#[cfg(test)]
pub mod tests;
pub mod uploads;

use crate::{io::limits::LimitsFile, pumps::pace::Pacer};
use cache::CacheDesk;
use contacts::ContactDesk;
use fetching::Fetching;
use fyteclub_proto::{
    fetching::{fetch, scheduler::Reason},
    id::{PeerId, PlayerName},
    local::{
        Fault,
        reply::{Nearby, Transfers},
    },
};
use limits::LimitDesk;
use links::{DialHints, LinkDesk, NewLink, Seen, Taken};
use orders::{DeskOrder, Kept, Now, Order, Orders, Write};
use own_look::OwnLook;
use sessions::SessionDesk;
use std::time::Instant;
use uploads::UploadDesk;

/// Parts of all desks.
pub struct Setup {
    pub contacts: contacts::Setup,
    pub own_look: own_look::Setup,
    pub limits: LimitsFile,
    pub pacer: Pacer,
    pub fetching: fetching::Shared,
    /// The most bytes that prefetches may store.
    pub prefetch_budget: u64,
}

/// The desks of a daemon.
pub struct Desks {
    pub contacts: ContactDesk,
    pub links: LinkDesk,
    pub own_look: OwnLook,
    pub fetching: Fetching,
    pub cache: CacheDesk,
    pub uploads: UploadDesk,
    pub limits: LimitDesk,
    pub sessions: SessionDesk,
}

impl Desks {
    /// Orders what follows from the saved state.
    pub fn new(setup: Setup, now: Now, orders: &mut Orders) -> Self {
        let store = setup.fetching.store.clone();
        Self {
            contacts: ContactDesk::new(setup.contacts, now, orders),
            links: LinkDesk::default(),
            own_look: OwnLook::new(setup.own_look, now, orders),
            fetching: Fetching::new(setup.prefetch_budget, setup.fetching, now.at),
            cache: CacheDesk::new(store),
            uploads: UploadDesk::default(),
            limits: LimitDesk::new(setup.limits, setup.pacer),
            sessions: SessionDesk::default(),
        }
    }

    /// When [`Self::time`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let desks = [
            self.contacts.deadline(),
            self.own_look.deadline(),
            self.sessions.deadline(),
            self.fetching.deadline(),
        ];
        desks.into_iter().flatten().min()
    }

    /// Gives the time to the desks whose deadline has passed.
    pub fn time(&mut self, now: Now, orders: &mut Orders) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now.at);
        if is_due(self.contacts.deadline()) {
            self.contacts.handle(now, contacts::Input::Time, orders);
        }
        if is_due(self.own_look.deadline()) {
            self.own_look.handle(now, own_look::Input::Time, orders);
        }
        if is_due(self.sessions.deadline()) {
            self.sessions.time(now.at, orders);
        }
        if is_due(self.fetching.deadline()) {
            self.fetch(now, fetch::Input::Time, orders);
        }
    }

    /// Called five times a second. `served`: bytes that each key was served since its peer's actor started.
    pub fn tick(&mut self, now: Now, served: impl Iterator<Item = (PeerId, u64)>, orders: &mut Orders) {
        self.cache.tick(self.fetching.fetches().is_transferring(), orders);
        let name = |key: &PeerId| self.contacts.name_of(key).filter(|_| self.links.is_open(key));
        self.uploads.look(now.at, served, name, orders);
        self.fetching.renew_grants(now, |owner| self.links.is_open(owner), orders);
        self.fetching.handle(now.at, fetching::Input::Tick, orders);
    }

    /// Begins the last writes, and answers all waiters for looks.
    pub fn close(&mut self, fault: &Fault) {
        self.contacts.close();
        self.fetching.close(fault);
    }

    /// Passes an order to the desks that it concerns. Returns it if the coordinator has to carry it out.
    pub fn route(&mut self, now: Now, order: Order, orders: &mut Orders) -> Option<Order> {
        match &order {
            Order::Admit { key, player } => {
                self.links.rename(key, player.as_ref());
                if let Some(player) = player.clone() {
                    self.fetch(now, fetch::Input::Named { peer: *key, player }, orders);
                }
            }
            Order::Disconnect(key) => {
                let player = self.contacts.name_of(key).or_else(|| self.links.name_of(key));
                self.uploads.end(*key, player, orders);
                self.fetching.forget(now.at, *key, |player| self.contacts.why_gone(player), orders);
            }
            Order::Fetching(fetching::Order::Plan(_)) => {
                // Looks that are no longer shown may be evicted for this one.
                self.cache.seen(self.sessions.near(), now.at);
                self.cache.unpin_unseen(now.at);
            }
            _ => {}
        }
        let Order::Desk(order) = order else { return Some(order) };
        match order {
            DeskOrder::ContactsChanged | DeskOrder::NearbyChanged => {
                let (near, _) = self.sessions.contacts(|player| self.contacts.key_of(player));
                let near = near.into_iter().map(|(distance, player, key)| (player, key, distance));
                self.fetch(now, fetch::Input::Nearby(near.collect()), orders);
            }
            DeskOrder::Seen(players) => self.cache.seen(players.iter(), now.at),
            DeskOrder::Show { player, pin } => self.cache.show(player, pin, now.at),
            DeskOrder::OwnLookDamaged => self.own_look.handle(now, own_look::Input::Damaged, orders),
            DeskOrder::LooksDamaged(players) => {
                for player in players {
                    if let Ok(key) = self.contacts.key_of(&player) {
                        self.fetch(now, fetch::Input::Damaged(key), orders);
                    }
                }
            }
            DeskOrder::DiskFull => self.cache.full(orders),
            DeskOrder::DiskSpace(space) => self.fetch(now, fetch::Input::DiskSpace(space), orders),
        }
        None
    }

    /// A write that a desk ordered has ended.
    pub fn written(&mut self, now: Now, write: Write, result: Kept, orders: &mut Orders) {
        match write {
            Write::Contacts { urgent } => {
                self.contacts.handle(now, contacts::Input::Written { urgent, result }, orders);
            }
            Write::Limits(write) => self.limits.written(write, result),
            Write::OwnLook(id) => self.own_look.handle(now, own_look::Input::Written(id, result), orders),
        }
    }

    /// A link to a contact is open. It may be dialled at the link's address later.
    pub fn opened(&mut self, now: Now, peer: PeerId, link: NewLink, orders: &mut Orders) {
        let player = self.contacts.name_of(&peer).cloned();
        // First: no event about the peer may precede this one.
        self.links.opened(peer, player.clone(), link, orders);
        if let Some(player) = player {
            self.fetch(now, fetch::Input::Named { peer, player }, orders);
        }
        let NewLink { addr, path, look, .. } = link;
        self.fetch(now, fetch::Input::Opened { peer, path, offers: look }, orders);
        self.contacts.handle(now, contacts::Input::Linked { peer, addr }, orders);
    }

    /// The peer's link goes over this path now; `None`: over none.
    pub fn moved(&mut self, now: Now, peer: PeerId, path: Option<Taken>, orders: &mut Orders) {
        self.links.moved(&peer, path);
        if let Some(Taken { kind, lasting, .. }) = path {
            self.fetch(now, fetch::Input::Path { peer, path: kind }, orders);
            if let Some(addr) = lasting.filter(|_| self.links.is_open(&peer)) {
                self.contacts.note_addr(peer, addr);
            }
        }
    }

    /// This peer leaves requests unanswered, or answers again.
    pub fn silent(&mut self, now: Now, peer: PeerId, silent: bool, orders: &mut Orders) {
        self.links.silent(&peer, silent, orders);
        if silent {
            self.fetch(now, fetch::Input::Silent(peer), orders);
        }
    }

    /// The last link to this peer is closed.
    pub fn lost(&mut self, now: Now, peer: PeerId, cause: String, orders: &mut Orders) {
        let player = self.contacts.name_of(&peer).or_else(|| self.links.name_of(&peer));
        self.uploads.end(peer, player, orders);
        if self.links.lost(peer, cause, orders) {
            self.contacts.handle(now, contacts::Input::Parted(peer), orders);
        }
        self.fetch(now, fetch::Input::Lost(peer), orders);
    }

    /// A phone book has another key for a peer's name.
    pub fn other_key(&mut self, now: Now, peer: PeerId, offered: PeerId, orders: &mut Orders) {
        for player in self.fetching.fetches().players_of(peer) {
            if let Err(fault) = self.contacts.check_key(&player, offered, orders) {
                self.fetch(now, fetch::Input::Failed { player, fault }, orders);
            }
        }
    }

    /// What is known of a peer before it is dialled.
    pub fn dial_hints(&self, now: Now, peer: &PeerId) -> DialHints {
        let last = self.links.last_addr(peer).or_else(|| self.contacts.last_addr(peer));
        let since = match last {
            Some(_) => Seen::Once,
            None if self.contacts.is_fresh(peer, now) => Seen::JustNow,
            None => Seen::Never,
        };
        let asked = self.fetching.fetches().reason(peer) == Reason::Asked;
        DialHints { name: self.contacts.name_of(peer).cloned(), asked, since, last }
    }

    /// The name of a contact, or of a removed one in events about its link.
    pub fn name_of(&self, key: &PeerId) -> Option<&PlayerName> {
        self.contacts.name_of(key).or_else(|| self.links.name_of(key))
    }

    /// The reply to `nearby.list`.
    pub fn nearby(&self) -> Nearby {
        self.sessions.reply(|player| self.contacts.key_of(player), |key| self.links.is_open(key))
    }

    /// The reply to `transfer.list`.
    pub fn transfers(&self) -> Transfers {
        let fetches = self.fetching.fetches();
        Transfers {
            uploads: self.uploads.list(|key| self.contacts.name_of(key).filter(|_| self.links.is_open(key))),
            downloads: fetches.transfers().collect(),
            waiting: fetches.waiting(),
        }
    }

    fn fetch(&mut self, now: Now, input: fetch::Input, orders: &mut Orders) {
        self.fetching.handle(now.at, fetching::Input::Machine(input), orders);
    }
}
