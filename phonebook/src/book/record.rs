//! One name's line in the book, packed: a million of them are the phone book's memory.

use crate::clock::Moment;
use fyteclub_proto::{id::PeerId, phonebook::Visibility};
use std::net::{IpAddr, SocketAddr};

/// Under what key a player registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Peer(PeerId),
    /// Whatever JSON a client of the original sent, as text.
    Json(Box<str>),
}

/// What a registration says: where, under what key, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Kept for the listed only.
    pub address: SocketAddr,
    pub key: Option<Key>,
    pub visibility: Visibility,
}

/// What a lookup answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of the listed.
    pub address: Option<SocketAddr>,
    pub key: Option<Key>,
    /// Unix milliseconds of the last registration, by the server's clock at that time.
    pub last_seen: u64,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: Box<str>,
    pub(super) key: Option<Key>,
    /// Newest sequence that the key used for this name; 0 for the unsigned.
    pub(super) sequence: u64,
    /// [`Moment::steady`] of the last registration, in milliseconds.
    registered: u64,
    last_seen: u64,
    // `SocketAddr` would take 32 bytes: it has room for the flow and scope of IPv6, which mean nothing elsewhere.
    // Absent for everybody who is not listed: what is not kept cannot be seized.
    ip: Option<IpAddr>,
    port: u16,
    pub(super) visibility: Visibility,
    pub(super) signed: bool,
    /// Registered and neither unregistered nor found expired. A record that is not current only remembers its key.
    pub(super) current: bool,
}

impl Record {
    pub(super) fn new(name: &str, contact: Contact, sequence: Option<u64>, now: Moment) -> Self {
        let listed = contact.visibility == Visibility::Listed;
        Self {
            name: name.into(),
            key: contact.key,
            sequence: sequence.unwrap_or(0),
            registered: now.steady_millis(),
            last_seen: now.unix_millis(),
            ip: listed.then(|| contact.address.ip()),
            port: if listed { contact.address.port() } else { 0 },
            visibility: contact.visibility,
            signed: sequence.is_some(),
            current: true,
        }
    }

    /// A new registration under the same name.
    pub(super) fn renew(&mut self, contact: Contact, sequence: Option<u64>, now: Moment) {
        let name = std::mem::take(&mut self.name);
        *self = Self { name, ..Self::new("", contact, sequence, now) };
    }

    pub(super) fn found(&self) -> Found {
        Found {
            address: self.ip.map(|ip| SocketAddr::new(ip, self.port)),
            key: self.key.clone(),
            last_seen: self.last_seen,
        }
    }

    /// Milliseconds since the last registration.
    pub(super) fn age(&self, now: Moment) -> u64 {
        now.steady_millis().saturating_sub(self.registered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stays_small() {
        assert!(size_of::<Record>() <= 104, "{} bytes", size_of::<Record>());
    }
}
