//! A record as it lies in Redis: 53 bytes, and 6 or 18 more with a listed player's address. The scripts read the same
//! layout.
//!
//! ```text
//! flags 1 · sequence 8 · registered 8 (Unix ms, of Redis' clock) · key 32 · customer 4 · [port 2 · address 4 or 16]
//! ```
//!
//! Numbers are big-endian. Flags: 1 current, 2 listed, 4 hidden, 8 registered more than once.

use crate::book::{Contact, Found};
use fyteclub_proto::{id::PeerId, phonebook::Visibility};
use std::net::{IpAddr, SocketAddr};

const HEAD: usize = 53;
/// Registered, and not unregistered.
const CURRENT: u8 = 1;
/// Set by `register.lua`.
const RENEWED: u8 = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    current: bool,
    pub(super) visibility: Visibility,
    pub(super) registered: u64,
    pub(super) key: PeerId,
    address: Option<SocketAddr>,
}

/// Flags and address for `register.lua`.
pub(super) fn ends(contact: &Contact) -> (u8, Vec<u8>) {
    let (visibility, mut address) = match contact.visibility {
        Visibility::Contacts => (0, Vec::new()),
        Visibility::Listed => (1, contact.address.port().to_be_bytes().to_vec()),
        Visibility::Hidden => (2, Vec::new()),
    };
    if contact.visibility == Visibility::Listed {
        match contact.address.ip() {
            IpAddr::V4(ip) => address.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => address.extend_from_slice(&ip.octets()),
        }
    }
    (CURRENT | visibility << 1, address)
}

impl Record {
    /// `None` for an unknown layout.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let visibility = match (head[0] & !RENEWED) >> 1 {
            0 => Visibility::Contacts,
            1 => Visibility::Listed,
            2 => Visibility::Hidden,
            _ => return None,
        };
        let address = match rest.split_at_checked(2) {
            None if rest.is_empty() => None,
            None => return None,
            Some((port, ip)) => {
                let ip: IpAddr = match ip.len() {
                    4 => <[u8; 4]>::try_from(ip).ok()?.into(),
                    16 => <[u8; 16]>::try_from(ip).ok()?.into(),
                    _ => return None,
                };
                Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
            }
        };
        Some(Self {
            current: head[0] & CURRENT != 0,
            visibility,
            registered: u64::from_be_bytes(head[9..17].try_into().ok()?),
            key: PeerId::from_bytes(head[17..49].try_into().ok()?),
            address,
        })
    }

    pub(super) fn is_live(&self, now: u64, ttl: u64) -> bool {
        self.current && now.saturating_sub(self.registered) < ttl
    }

    pub(super) fn found(self) -> Found {
        Found { address: self.address, key: self.key, last_seen: self.registered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(contact: &Contact) -> Vec<u8> {
        let (flags, address) = ends(contact);
        [&[flags][..], &[0; 8], &5u64.to_be_bytes(), &[9; 32], &[1; 4], &address].concat()
    }

    #[test]
    fn address_of_an_unlisted_player_is_not_stored() {
        for ip in ["192.0.2.1", "2001:db8::1"] {
            let address = SocketAddr::new(ip.parse().unwrap(), 7777);
            let key = PeerId::from_bytes([9; 32]);
            for visibility in [Visibility::Listed, Visibility::Contacts, Visibility::Hidden] {
                let contact = Contact { address, key, visibility };
                let record = Record::decode(&record(&contact)).unwrap();
                let listed = (visibility == Visibility::Listed).then_some(address);
                assert_eq!((record.visibility, record.registered, record.key), (visibility, 5, key));
                assert_eq!(record.found().address, listed);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let record = Record::decode(&bytes);
            let address = |record: Record| match record.address {
                None => 0,
                Some(address) => if address.is_ipv4() { 2 + 4 } else { 2 + 16 },
            };
            prop_assert!(record.is_none_or(|record| HEAD + address(record) == bytes.len()));
        }
    }
}
