//! The file of contacts, with each one's last address. The rules of contacts are [`fyteclub_proto::contact`]'s.
//!
//! A file of its own, because the index may be lost. The coordinator decides when contacts are written. Addresses
//! matter less: they are written once a minute at most, and when the daemon stops. The [`Keeper`] writes.

use crate::io::{
    keeper::{Keeper, Keeping},
    regular,
    trouble::{Trouble, explain_state},
};
use fyteclub_proto::{
    contact::{Saved, SavedError},
    id::PeerId,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const VERSION: u32 = 1;
/// The least time between two writes for addresses alone.
const ADDRS_PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContactsFileError {
    #[error(
        "{path} is damaged ({cause}): put a copy of it back, or move it away to start without contacts, who then have to be added again"
    )]
    Damaged { path: PathBuf, cause: String },
    #[error("{0} was written by a newer fyteclubd: install that, or choose another folder with --data-dir")]
    Newer(PathBuf),
    #[error(transparent)]
    Unusable(Trouble),
}

/// Why bytes are no valid file of contacts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Saved(#[from] SavedError),
    #[error("it is of version {0}")]
    Newer(u32),
}

/// The file's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    pub version: u32,
    #[serde(flatten)]
    pub saved: Saved,
    #[serde(default)]
    pub last_addr: BTreeMap<PeerId, SocketAddr>,
}

impl Content {
    /// # Errors
    /// The bytes are not as this program writes them.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(ContentError::Newer(version));
        }
        let content: Self = serde_json::from_slice(bytes)?;
        content.saved.check()?;
        Ok(content)
    }
}

pub struct ContactsFile {
    path: PathBuf,
    keeper: Keeper,
    content: Content,
    /// Addresses have changed since the last write.
    stale: bool,
    written: Instant,
}

impl ContactsFile {
    /// # Errors
    /// The file cannot be read or is damaged; nothing is overwritten.
    pub fn load(path: &Path, keeper: Keeper) -> Result<Self, ContactsFileError> {
        let content = match regular::read(path) {
            Ok(bytes) => Content::decode(&bytes).map_err(|error| match error {
                ContentError::Newer(version) if version > VERSION => {
                    ContactsFileError::Newer(path.to_owned())
                }
                error => ContactsFileError::Damaged { path: path.to_owned(), cause: error.to_string() },
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Content { version: VERSION, saved: Saved::default(), last_addr: BTreeMap::new() }
            }
            Err(error) => return Err(ContactsFileError::Unusable(explain_state(path, &error))),
        };
        Ok(Self { path: path.to_owned(), keeper, content, stale: false, written: Instant::now() })
    }

    /// As last read or written.
    pub fn saved(&self) -> &Saved {
        &self.content.saved
    }

    /// Writes these contacts, with their addresses.
    pub fn write(&mut self, saved: &Saved) -> Keeping {
        self.content.saved = saved.clone();
        let keys: BTreeSet<PeerId> = saved.contacts.iter().filter_map(|contact| contact.peer_id).collect();
        self.content.last_addr.retain(|key, _| keys.contains(key));
        self.flush()
    }

    /// This contact's last address.
    pub fn last_addr(&self, key: &PeerId) -> Option<SocketAddr> {
        self.content.last_addr.get(key).copied()
    }

    /// A link with this contact is open over this address. Ignores keys that are no contact's.
    pub fn note_addr(&mut self, key: PeerId, addr: SocketAddr) {
        let known = self.content.saved.contacts.iter().any(|contact| contact.peer_id == Some(key));
        if known && self.content.last_addr.insert(key, addr) != Some(addr) {
            self.stale = true;
        }
    }

    /// Writes changed addresses if it is time to, or if `last`.
    pub fn settle(&mut self, last: bool) -> Option<Keeping> {
        let due = self.stale && (last || self.written.elapsed() >= ADDRS_PERIOD);
        due.then(|| self.flush())
    }

    /// The last write failed: it is repeated with the next one of addresses.
    pub fn lost(&mut self) {
        self.stale = true;
    }

    fn flush(&mut self) -> Keeping {
        (self.stale, self.written) = (false, Instant::now());
        self.keeper.write_json(&self.path, &self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::{
        bytes::Bytes,
        contact::{Contacts, Here, Policy},
    };
    use std::fs;

    fn key(seed: u8) -> PeerId {
        PeerId::from_bytes([seed; 32])
    }

    fn saved() -> Saved {
        let here = Here { key: key(1), player: Some("Alice Ashe@Gilgamesh".parse().expect("a name")) };
        let mut contacts = Contacts::new(here, Policy::Ask, Saved::default(), 0);
        let bob = "Bob Birch@Balmung".parse().expect("a name");
        contacts.add(&bob, Some(key(2)), Bytes([3; 16]), 5).expect("added");
        contacts.invite(Bytes([4; 16]), &[], 5).expect("invited");
        // As it reads back: times of the last messages are not saved.
        let text = serde_json::to_vec(contacts.saved()).expect("JSON");
        serde_json::from_slice(&text).expect("its own text")
    }

    #[tokio::test]
    async fn contacts_and_their_addresses_are_saved() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("contacts.json");
        let addr: SocketAddr = "192.0.2.1:7777".parse().expect("an address");
        let load = || ContactsFile::load(&path, Keeper::default()).expect("kept");
        let mut file = load();
        file.write(&saved()).await.expect("written");
        file.note_addr(key(2), addr);
        file.note_addr(key(9), addr);
        assert!(file.settle(false).is_none(), "not yet");
        let read = load();
        assert_eq!((read.saved(), read.last_addr(&key(2))), (&saved(), None));
        file.settle(true).expect("something to write").await.expect("written");
        let mut read = load();
        assert_eq!((read.last_addr(&key(2)), read.last_addr(&key(9))), (Some(addr), None));
        read.write(&Saved::default()).await.expect("written");
        assert_eq!(load().last_addr(&key(2)), None);
    }

    #[test]
    fn damaged_file_is_not_taken_for_an_empty_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("contacts.json");
        let mut twice = saved();
        twice.contacts.push(twice.contacts[0].clone());
        let twice = serde_json::to_vec(&Content { version: 1, saved: twice, last_addr: BTreeMap::new() });
        for bytes in [b"{".to_vec(), b"{\"version\":0,\"contacts\":[]}".to_vec(), twice.expect("JSON")] {
            fs::write(&path, &bytes).expect("written");
            let error = ContactsFile::load(&path, Keeper::default()).err().expect("damaged");
            assert!(matches!(error, ContactsFileError::Damaged { .. }), "{error}");
            assert_eq!(fs::read(&path).expect("there"), bytes);
        }
        fs::write(&path, br#"{"version":2,"other":[]}"#).expect("written");
        assert!(matches!(ContactsFile::load(&path, Keeper::default()), Err(ContactsFileError::Newer(_))));
    }
}
