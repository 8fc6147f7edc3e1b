//! The names of keys in Redis: keyed hashes, so that a reader of Redis finds no player, key or address.
//!
//! Without a secret the hash is public, and anybody with a list of names can look them up.

use fyteclub_proto::{
    id::PeerId,
    ledger::{Network, Wide},
};
use std::net::IpAddr;

/// Versions of the layout: two never read each other's keys.
const PREFIX: &[u8] = b"fc2:";
/// Bytes per hash: collision-free in practice, and 16 MB less for a million keys.
const TAG: usize = 16;

/// The purpose of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Record,
    /// The lease of a player's key.
    Presence,
    /// The newest sequence of polls.
    Sequence,
    Budget,
    /// The names that a customer holds.
    Customer,
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Record => b'n',
            Self::Presence => b'p',
            Self::Sequence => b'q',
            Self::Budget => b'r',
            Self::Customer => b'c',
        }
    }
}

#[derive(Clone)]
pub(super) struct Keyspace([u8; 32]);

impl Keyspace {
    pub(super) fn new(secret: Option<&[u8; 32]>) -> Self {
        let secret: &[u8] = secret.map_or(b"no secret", |secret| secret);
        Self(blake3::derive_key("fyteclub-phonebook 2026-11 what things are called in Redis", secret))
    }

    pub(super) fn of(&self, kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[kind.letter()]);
        for part in parts {
            hasher.update(part);
        }
        let mut key = Vec::with_capacity(PREFIX.len() + 1 + TAG);
        key.extend_from_slice(PREFIX);
        key.push(kind.letter());
        key.extend_from_slice(&hasher.finalize().as_bytes()[..TAG]);
        key
    }

    pub(super) fn record(&self, name: &str) -> Vec<u8> {
        self.of(Kind::Record, &[name.as_bytes()])
    }

    pub(super) fn presence(&self, key: &PeerId) -> Vec<u8> {
        self.of(Kind::Presence, &[key.as_bytes()])
    }

    pub(super) fn sequence(&self, key: &PeerId) -> Vec<u8> {
        self.of(Kind::Sequence, &[key.as_bytes()])
    }

    pub(super) fn address_budget(&self, class: &str, address: IpAddr) -> Vec<u8> {
        match Network::from(address) {
            Network::V4(bits) => self.of(Kind::Budget, &[class.as_bytes(), b"4", &bits.to_be_bytes()]),
            Network::V6(bits) => self.of(Kind::Budget, &[class.as_bytes(), b"6", &bits.to_be_bytes()]),
        }
    }

    /// The customer's hash in records: IPv4 whole, IPv6 by /48.
    pub(super) fn customer(&self, address: IpAddr) -> [u8; 4] {
        let (kind, bits) = match Wide::from(address) {
            Wide::V4(bits) => (b"4", u64::from(bits)),
            Wide::V6(bits) => (b"6", bits),
        };
        let tag = self.of(Kind::Customer, &[kind, &bits.to_be_bytes()]);
        let (_, hash) = tag.split_at(PREFIX.len() + 1);
        [hash[0], hash[1], hash[2], hash[3]]
    }

    pub(super) fn key_budget(&self, class: &str, key: &PeerId) -> Vec<u8> {
        self.of(Kind::Budget, &[class.as_bytes(), b"k", key.as_bytes()])
    }
}

/// The key of a customer's names.
pub(super) fn names_of(customer: [u8; 4]) -> Vec<u8> {
    [PREFIX, &[Kind::Customer.letter()], &customer].concat()
}

/// A key that all phone books share, unhashed.
pub(super) fn plain(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyspace(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_be_read_and_nothing_meets() {
        let (keyspace, others) = (Keyspace::new(Some(&[1; 32])), Keyspace::new(None));
        let key = PeerId::from_bytes([7; 32]);
        let all = [
            keyspace.record("Alice Ashe@Gilgamesh"),
            keyspace.presence(&key),
            keyspace.sequence(&key),
            keyspace.key_budget("lookup", &key),
            keyspace.address_budget("lookup", [192, 0, 2, 1].into()),
            keyspace.address_budget("registration", [192, 0, 2, 1].into()),
            others.record("Alice Ashe@Gilgamesh"),
        ];
        for (number, tag) in all.iter().enumerate() {
            assert_eq!(tag.len(), PREFIX.len() + 1 + TAG);
            assert!(!all[..number].contains(tag));
        }
        let v6 = |text: &str| keyspace.address_budget("lookup", text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff"), "one /64 is one client");
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:192.0.2.1"), v6("192.0.2.1"));
        let customer = |keyspace: &Keyspace, text: &str| keyspace.customer(text.parse().unwrap());
        assert_eq!(
            customer(&keyspace, "2001:db8:1:1::1"),
            customer(&keyspace, "2001:db8:1:2::1"),
            "one /48 is one customer"
        );
        assert_ne!(customer(&keyspace, "2001:db8:1::1"), customer(&keyspace, "2001:db8:2::1"));
        assert_eq!(customer(&keyspace, "::ffff:192.0.2.1"), customer(&keyspace, "192.0.2.1"));
        assert_ne!(customer(&keyspace, "192.0.2.1"), customer(&others, "192.0.2.1"));
    }
}
