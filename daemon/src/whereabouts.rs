//! Each contact's last address, by address: the listener looks up whose handshake may begin there. The coordinator
//! writes it.

use fyteclub_proto::id::PeerId;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Clones share one map. An address includes the port: peers behind one router differ by it.
#[derive(Debug, Clone, Default)]
pub struct Whereabouts(Arc<Mutex<HashMap<SocketAddr, PeerId>>>);

impl Whereabouts {
    /// `peer` is at this address now, and at no other.
    pub fn note(&self, peer: PeerId, addr: SocketAddr) {
        let mut all = self.all();
        all.retain(|_, known| *known != peer);
        all.insert(canonical(addr), peer);
    }

    /// `peer` is no longer a contact.
    pub fn forget(&self, peer: &PeerId) {
        self.all().retain(|_, known| known != peer);
    }

    pub fn whose(&self, addr: SocketAddr) -> Option<PeerId> {
        self.all().get(&canonical(addr)).copied()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<SocketAddr, PeerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_has_one_address_in_either_form() {
        let (all, peer) = (Whereabouts::default(), PeerId::from_bytes([1; 32]));
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        all.note(peer, addr("[::ffff:192.0.2.1]:7"));
        assert_eq!(all.whose(addr("192.0.2.1:7")), Some(peer));
        assert_eq!(all.whose(addr("192.0.2.1:8")), None);
        all.note(peer, addr("192.0.2.2:7"));
        assert_eq!(all.whose(addr("192.0.2.1:7")), None);
        all.forget(&peer);
        assert_eq!(all.whose(addr("192.0.2.2:7")), None);
    }
}
