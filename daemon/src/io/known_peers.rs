//! Which key a name was first seen with: trust on first use, kept in a file of its own, because the index may be lost.

use crate::io::private;
use fyteclub_proto::id::{PeerId, PlayerName};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownPeersError {
    #[error(
        "{0} is damaged: move it away to start without known peers (names will be trusted at first sight again)"
    )]
    Damaged(PathBuf),
    #[error("cannot read or write {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    version: u32,
    peers: BTreeMap<PlayerName, PeerId>,
}

/// Name → key. A name keeps its first key until somebody says that another is right.
#[derive(Debug)]
pub struct KnownPeers {
    path: PathBuf,
    peers: BTreeMap<PlayerName, PeerId>,
}

/// How a name's key stands to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    New,
    Known,
    /// The name is known under this other key.
    Changed(PeerId),
}

impl KnownPeers {
    /// # Errors
    /// A file that cannot be read or is not whole; nothing is overwritten.
    pub fn load(path: &Path) -> Result<Self, KnownPeersError> {
        let peers = match fs::read(path) {
            Ok(bytes) => match serde_json::from_slice::<Content>(&bytes) {
                Ok(Content { version: 1, peers }) => peers,
                Ok(_) | Err(_) => return Err(KnownPeersError::Damaged(path.to_owned())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(KnownPeersError::Io { path: path.to_owned(), source }),
        };
        Ok(Self { path: path.to_owned(), peers })
    }

    pub fn standing(&self, name: &PlayerName, key: &PeerId) -> Standing {
        match self.peers.get(name) {
            None => Standing::New,
            Some(known) if known == key => Standing::Known,
            Some(known) => Standing::Changed(*known),
        }
    }

    /// The name that a key is known by.
    pub fn name_of(&self, key: &PeerId) -> Option<&PlayerName> {
        self.peers.iter().find(|(_, known)| *known == key).map(|(name, _)| name)
    }

    /// Pins a name to a key, replacing what was known.
    ///
    /// # Errors
    /// The file could not be written; the pin holds until the daemon stops.
    pub fn pin(&mut self, name: PlayerName, key: PeerId) -> Result<(), KnownPeersError> {
        if self.peers.insert(name, key) == Some(key) {
            return Ok(());
        }
        let content = Content { version: 1, peers: self.peers.clone() };
        let text = serde_json::to_vec_pretty(&content).unwrap_or_default();
        private::write(&self.path, &text)
            .map_err(|source| KnownPeersError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_key_until_told_otherwise() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("known_peers.json");
        let name: PlayerName = "Alice Ashe@Gilgamesh".parse().expect("a name");
        let (one, other) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let mut known = KnownPeers::load(&path).expect("new");
        assert_eq!(known.standing(&name, &one), Standing::New);
        known.pin(name.clone(), one).expect("pinned");
        let mut known = KnownPeers::load(&path).expect("kept");
        assert_eq!(known.standing(&name, &one), Standing::Known);
        assert_eq!(known.standing(&name, &other), Standing::Changed(one));
        assert_eq!(known.name_of(&one), Some(&name));
        known.pin(name.clone(), other).expect("trusted");
        assert_eq!(KnownPeers::load(&path).expect("kept").standing(&name, &other), Standing::Known);
    }

    #[test]
    fn a_damaged_file_is_not_an_empty_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("known_peers.json");
        fs::write(&path, b"{").expect("written");
        assert!(matches!(KnownPeers::load(&path), Err(KnownPeersError::Damaged(_))));
    }
}
