//! By which means each peer is reached: the daemon's own, and what a person set for a contact. The contacts' desk writes
//! it; whoever sends to a peer or answers it reads it.

use fyteclub_proto::{
    id::PeerId,
    reaching::traversal::{Means, RelayUse},
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::watch;

type Set = HashMap<PeerId, RelayUse>;

/// Clones share it.
#[derive(Debug, Clone)]
pub struct PeerMeans {
    general: Means,
    set: Arc<watch::Sender<Set>>,
}

impl PeerMeans {
    /// `general`: toward peers for whom nothing is set.
    pub fn new(general: Means) -> Self {
        Self { general, set: Arc::default() }
    }

    pub fn general(&self) -> Means {
        self.general
    }

    pub fn toward(&self, peer: &PeerId) -> Means {
        self.general.toward(self.set.borrow().get(peer).copied())
    }

    /// Whether some peer must learn no address of this machine.
    pub fn hides(&self) -> bool {
        self.general.relay_only() || self.set.borrow().values().any(|relay| *relay == RelayUse::Only)
    }

    /// Whether a handshake from an address of a place is answered. `from`: the contact who was there last; no one is
    /// known before the answer has told that this machine is there.
    pub fn answers(&self, from: Option<&PeerId>) -> bool {
        match from {
            Some(peer) => !self.toward(peer).relay_only(),
            None => !self.hides(),
        }
    }

    /// Returns whether the peer is reached by other means than before.
    pub fn set(&self, peer: PeerId, relay: Option<RelayUse>) -> bool {
        let before = self.toward(&peer);
        self.set.send_if_modified(|set| match relay {
            Some(relay) => set.insert(peer, relay) != Some(relay),
            None => set.remove(&peer).is_some(),
        });
        self.toward(&peer) != before
    }

    /// Notices each change.
    pub fn watch(&self) -> watch::Receiver<Set> {
        self.set.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RelayUse::{Off, On, Only};

    const PEER: PeerId = PeerId::from_bytes([1; 32]);
    const OTHER: PeerId = PeerId::from_bytes([2; 32]);

    #[test]
    fn what_hides_counts_more_than_what_does_not() {
        for (general, own, toward) in [
            (On, None, On),
            (On, Some(Only), Only),
            (On, Some(Off), Off),
            (Off, None, Off),
            (Off, Some(On), On),
            (Off, Some(Only), Only),
            (Only, None, Only),
            (Only, Some(On), Only),
            (Only, Some(Off), Only),
        ] {
            let means = PeerMeans::new(Means { punching: true, relay: general });
            assert_eq!(means.set(PEER, own), toward != general, "{general:?} {own:?}");
            assert_eq!(means.toward(&PEER).relay, toward, "{general:?} {own:?}");
            assert_eq!(means.toward(&OTHER).relay, general);
            assert_eq!(means.hides(), toward == Only || general == Only);
        }
    }

    #[test]
    fn one_hidden_from_makes_strangers_unanswered() {
        let means = PeerMeans::new(Means { punching: true, relay: On });
        let mut watch = means.watch();
        assert!(means.answers(None) && means.answers(Some(&PEER)));
        assert!(means.set(PEER, Some(Only)) && !means.set(PEER, Some(Only)));
        assert!(watch.has_changed().expect("open"));
        watch.mark_unchanged();
        assert!(!means.answers(None) && !means.answers(Some(&PEER)) && means.answers(Some(&OTHER)));
        assert!(means.set(PEER, None) && means.answers(None));
    }
}
