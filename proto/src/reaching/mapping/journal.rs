//! Which mappings were asked of routers, so that one that outlives its daemon is removed at the next start.

use super::{by::By, pcp::Nonce};
use crate::bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Mappings that are remembered; one more drops the oldest. A network that the machine left is met again or not.
pub const JOURNAL_MAX: usize = 16;

/// A mapping that a router was asked for. It may never have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub by: By,
    /// The router, which alone is asked to remove it.
    pub router: Ipv4Addr,
    /// This machine's address, which alone may ask.
    pub local: Ipv4Addr,
    pub inside: u16,
    /// As it was asked for or given. The key of UPnP's mappings.
    pub outside: u16,
    /// The key of PCP's mappings; of others all zero.
    #[serde(default = "no_nonce")]
    pub nonce: Bytes<12>,
}

impl Entry {
    /// Whether a router takes both for one mapping.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let key = |entry: &Self| match entry.by {
            By::Upnp => entry.outside,
            By::Pcp | By::NatPmp => entry.inside,
        };
        (self.by, self.router, self.local, key(self)) == (other.by, other.router, other.local, key(other))
    }
}

fn no_nonce() -> Bytes<12> {
    Bytes(Nonce::default())
}

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    #[serde(default)]
    pub mappings: Vec<Entry>,
}

impl Journal {
    /// Notes a mapping in place of one with the same key; whether the file changes.
    pub(super) fn note(&mut self, entry: Entry) -> bool {
        if self.mappings.contains(&entry) {
            return false;
        }
        self.mappings.retain(|old| !old.is_same(&entry));
        self.mappings.push(entry);
        let surplus = self.mappings.len().saturating_sub(JOURNAL_MAX);
        self.mappings.drain(..surplus);
        true
    }

    /// Forgets a mapping that is removed; whether the file changes.
    pub(super) fn strike(&mut self, entry: &Entry) -> bool {
        let before = self.mappings.len();
        self.mappings.retain(|old| !old.is_same(entry));
        self.mappings.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(by: By, inside: u16, outside: u16) -> Entry {
        let (router, local) = ([192, 168, 1, 1].into(), [192, 168, 1, 5].into());
        Entry { by, router, local, inside, outside, nonce: no_nonce() }
    }

    #[test]
    fn mapping_is_kept_once_and_the_oldest_goes() {
        let mut journal = Journal::default();
        assert!(journal.note(entry(By::Pcp, 4000, 4000)));
        assert!(!journal.note(entry(By::Pcp, 4000, 4000)));
        assert!(journal.note(entry(By::Pcp, 4000, 4001)) && journal.mappings.len() == 1);
        assert!(journal.note(entry(By::Upnp, 4000, 4001)) && journal.note(entry(By::Upnp, 4000, 4002)));
        assert_eq!(journal.mappings.len(), 3);
        for port in 0..u16::try_from(JOURNAL_MAX).expect("few") {
            journal.note(entry(By::NatPmp, 5000 + port, 5000));
        }
        assert_eq!(journal.mappings.len(), JOURNAL_MAX);
        assert!(journal.mappings.iter().all(|kept| kept.by == By::NatPmp));
        assert!(journal.strike(&entry(By::NatPmp, 5003, 1)) && !journal.strike(&entry(By::NatPmp, 5003, 1)));
    }

    #[test]
    fn journal_of_another_build_is_read() {
        let text = r#"{"mappings":[{"by":"natPmp","router":"192.168.1.1","local":"192.168.1.5","inside":1,"outside":2,"more":3}],"later":4}"#;
        let journal: Journal = serde_json::from_str(text).expect("a journal");
        assert_eq!(journal.mappings, [entry(By::NatPmp, 1, 2)]);
    }
}
