//! Contacts in the local network: which of the names that are announced there is whose, and where it may be dialled.
//!
//! [`name`] has the announced names, [`subnet`] the networks of this machine. Names of others than contacts are not kept,
//! so no stranger takes memory here.

pub mod name;
pub mod subnet;
#[cfg(test)]
mod tests;

use crate::{
    id::PeerId,
    limit::{LAN_ADDRS_MAX, LAN_NAMES_MAX},
};
use name::Name;
use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};
use subnet::Subnet;

/// How long an address is not dialled after a failed dial; four times longer after each further one. Until then mDNS has
/// verified the entry, or it is gone.
const DOUBT: Duration = Duration::from_millis(3500);
const DOUBT_MAX: Duration = Duration::from_secs(600);

/// What is announced by contacts in the local network. At most [`LAN_NAMES_MAX`] names a contact, with
/// [`LAN_ADDRS_MAX`] addresses each.
#[derive(Debug, Default)]
pub struct Neighbours {
    subnets: Vec<Subnet>,
    /// The oldest name first.
    contacts: HashMap<PeerId, Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    addr: SocketAddr,
    failures: u32,
    doubted_until: Option<Instant>,
}

impl Place {
    fn new(addr: SocketAddr) -> Self {
        Self { addr, failures: 0, doubted_until: None }
    }
}

impl Neighbours {
    /// This machine is in these networks now. Forgets everything that was announced.
    pub fn enter(&mut self, subnets: Vec<Subnet>) {
        self.subnets = subnets;
        self.contacts.values_mut().for_each(Vec::clear);
    }

    pub fn admit(&mut self, contact: PeerId) {
        self.contacts.entry(contact).or_default();
    }

    pub fn dismiss(&mut self, contact: &PeerId) {
        self.contacts.remove(contact);
    }

    /// Whether there is a contact at all.
    pub fn has_contacts(&self) -> bool {
        !self.contacts.is_empty()
    }

    /// A name is announced with these addresses; it replaces what it had before. Returns the contact whose name it is,
    /// with its new addresses, if there are some. Addresses outside of this machine's networks, and ports of services,
    /// are left out.
    pub fn heard(&mut self, name: Name, addrs: &[SocketAddr]) -> Option<(PeerId, Vec<SocketAddr>)> {
        let whose = *self.contacts.keys().find(|key| name.is_of(key))?;
        let dialled = addrs.iter().copied().filter(|addr| self.may_be_dialled(*addr));
        let mut told: Vec<SocketAddr> = dialled.take(LAN_ADDRS_MAX).collect();
        // Private addresses first: they stay within the network.
        told.sort_by_key(|addr| !subnet::is_private(addr.ip()));
        let entries = self.contacts.get_mut(&whose)?;
        let at = entries.iter().position(|entry| entry.name == name);
        let mut before = at.map(|at| entries.remove(at).places).unwrap_or_default();
        if entries.len() >= LAN_NAMES_MAX {
            entries.remove(0);
        }
        let mut new = Vec::new();
        let places = told.into_iter().map(|addr| match before.iter().position(|place| place.addr == addr) {
            Some(at) => before.swap_remove(at),
            None => {
                new.push(addr);
                Place::new(addr)
            }
        });
        let places = places.collect();
        entries.push(Entry { name, places });
        (!new.is_empty()).then_some((whose, new))
    }

    /// A name is no longer announced.
    pub fn gone(&mut self, name: &Name) {
        self.contacts.values_mut().for_each(|entries| entries.retain(|entry| entry.name != *name));
    }

    /// Where a contact may be dialled now, the newest name first.
    pub fn of(&self, now: Instant, contact: &PeerId) -> Vec<SocketAddr> {
        let entries = self.contacts.get(contact).into_iter().flatten().rev();
        let mut all = Vec::new();
        for place in entries.flat_map(|entry| &entry.places) {
            if place.doubted_until.is_none_or(|until| now >= until) && !all.contains(&place.addr) {
                all.push(place.addr);
            }
        }
        all
    }

    /// A dial of a contact failed. Returns the names to verify: those that have this address.
    pub fn unanswered(&mut self, now: Instant, contact: &PeerId, addr: SocketAddr) -> Vec<Name> {
        let mut names = Vec::new();
        for entry in self.contacts.get_mut(contact).into_iter().flatten() {
            for place in entry.places.iter_mut().filter(|place| place.addr == addr) {
                let doubt = DOUBT.saturating_mul(4_u32.saturating_pow(place.failures));
                place.failures = place.failures.saturating_add(1);
                place.doubted_until = Some(now + doubt.min(DOUBT_MAX));
                names.push(entry.name);
            }
        }
        names
    }

    /// Contacts that are announced.
    pub fn count(&self) -> usize {
        self.contacts.values().filter(|entries| entries.iter().any(|entry| !entry.places.is_empty())).count()
    }

    fn may_be_dialled(&self, addr: SocketAddr) -> bool {
        // Ports below belong to services, not to players.
        addr.port() >= 1024 && self.subnets.iter().any(|subnet| subnet.has(addr.ip()))
    }
}
