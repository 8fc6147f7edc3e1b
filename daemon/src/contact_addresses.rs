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
pub struct ContactAddresses(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    last: HashMap<SocketAddr, PeerId>,
    /// Virtual addresses, each of which belongs to one peer for as long as it is here.
    standing: HashMap<SocketAddr, PeerId>,
}

impl ContactAddresses {
    /// `peer` is at this address now, and at no other.
    pub fn note(&self, peer: PeerId, addr: SocketAddr) {
        let mut all = self.all();
        all.last.retain(|_, known| *known != peer);
        all.last.insert(canonical(addr), peer);
    }

    /// `peer` is no longer a contact.
    pub fn forget(&self, peer: &PeerId) {
        self.all().last.retain(|_, known| known != peer);
    }

    /// What comes from this address is `peer`'s, until [`Self::leave`].
    pub fn enter(&self, addr: SocketAddr, peer: PeerId) {
        self.all().standing.insert(canonical(addr), peer);
    }

    pub fn leave(&self, addr: SocketAddr) {
        self.all().standing.remove(&canonical(addr));
    }

    pub fn whose(&self, addr: SocketAddr) -> Option<PeerId> {
        let (all, addr) = (self.all(), canonical(addr));
        all.standing.get(&addr).or_else(|| all.last.get(&addr)).copied()
    }

    fn all(&self) -> MutexGuard<'_, Known> {
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
        let (all, peer) = (ContactAddresses::default(), PeerId::from_bytes([1; 32]));
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        all.note(peer, addr("[::ffff:192.0.2.1]:7"));
        assert_eq!(all.whose(addr("192.0.2.1:7")), Some(peer));
        assert_eq!(all.whose(addr("192.0.2.1:8")), None);
        all.note(peer, addr("192.0.2.2:7"));
        assert_eq!(all.whose(addr("192.0.2.1:7")), None);
        all.enter(addr("240.0.0.1:1"), peer);
        all.forget(&peer);
        assert_eq!(all.whose(addr("192.0.2.2:7")), None);
        assert_eq!(all.whose(addr("[::ffff:240.0.0.1]:1")), Some(peer));
        all.leave(addr("240.0.0.1:1"));
        assert_eq!(all.whose(addr("240.0.0.1:1")), None);
    }
}
