//! A name's record, packed: a million of them are most of the phone book's memory.

use crate::clock::Moment;
use fyteclub_proto::{id::PeerId, phonebook::Visibility};
use std::net::{IpAddr, SocketAddr};

/// The content of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Stored only if `visibility` is `Listed`.
    pub address: SocketAddr,
    pub key: PeerId,
    pub visibility: Visibility,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `Some` if listed.
    pub address: Option<SocketAddr>,
    pub key: PeerId,
    /// Unix milliseconds of the last registration, by the server's clock.
    pub last_seen: u64,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: Box<str>,
    pub(super) key: PeerId,
    /// The key's newest sequence for this name.
    pub(super) sequence: u64,
    /// [`Moment::steady`] of the last registration, in milliseconds.
    registered: u64,
    last_seen: u64,
    // Not `SocketAddr`, whose IPv6 flow and scope take 32 bytes. `None` unless listed: what is not stored cannot be
    // seized.
    ip: Option<IpAddr>,
    port: u16,
    flags: u8,
    /// Hash of the customer, from which no address follows.
    pub(super) customer: u32,
}

/// Registered, and neither unregistered nor found expired. Other records only remember their key.
const CURRENT: u8 = 1;
/// Registered more than once by its key, or by one that follows it.
const RENEWED: u8 = 4;
const LISTED: u8 = 8;
const HIDDEN: u8 = 16;

impl Record {
    pub(super) fn new(name: &str, contact: Contact, customer: u32, sequence: u64, now: Moment) -> Self {
        let listed = contact.visibility == Visibility::Listed;
        let visibility = match contact.visibility {
            Visibility::Contacts => 0,
            Visibility::Listed => LISTED,
            Visibility::Hidden => HIDDEN,
        };
        Self {
            name: name.into(),
            key: contact.key,
            sequence,
            registered: now.steady_millis(),
            last_seen: now.unix_millis(),
            ip: listed.then(|| contact.address.ip()),
            port: if listed { contact.address.port() } else { 0 },
            flags: CURRENT | visibility,
            customer,
        }
    }

    /// Registers the name again; `again`: by its key, or one that follows it.
    pub(super) fn renew(&mut self, contact: Contact, customer: u32, sequence: u64, again: bool, now: Moment) {
        let name = std::mem::take(&mut self.name);
        *self = Self { name, ..Self::new("", contact, customer, sequence, now) };
        if again {
            self.flags |= RENEWED;
        }
    }

    pub(super) fn visibility(&self) -> Visibility {
        match self.flags & (LISTED | HIDDEN) {
            LISTED => Visibility::Listed,
            HIDDEN => Visibility::Hidden,
            _ => Visibility::Contacts,
        }
    }

    pub(super) fn is_current(&self) -> bool {
        self.flags & CURRENT != 0
    }

    pub(super) fn is_renewed(&self) -> bool {
        self.flags & RENEWED != 0
    }

    pub(super) fn end(&mut self) {
        self.flags &= !CURRENT;
    }

    pub(super) fn found(&self) -> Found {
        Found {
            address: self.ip.map(|ip| SocketAddr::new(ip, self.port)),
            key: self.key,
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
