//! This machine's candidates, by source. Each source writes its own slot; readers watch the merged list.

use fyteclub_proto::reaching::{
    candidate::Candidates,
    families::Families,
    reachable::{self, Slot},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// Clones share one list.
#[derive(Debug, Clone)]
pub struct Reachable(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    local: SocketAddr,
    slots: Mutex<reachable::Reachable>,
    candidates: watch::Sender<Candidates>,
}

impl Reachable {
    /// For a socket bound to `local`.
    pub fn new(local: SocketAddr) -> Self {
        let mut slots = reachable::Reachable::new(Families::of(local));
        if !local.ip().is_unspecified() {
            slots.set(Slot::Bound, vec![local]);
        }
        let candidates = watch::Sender::new(slots.candidates());
        Self(Arc::new(Shared { local, slots: Mutex::new(slots), candidates }))
    }

    /// Whether the socket receives packets to any address of this machine; else only to the address that it is bound
    /// to.
    pub fn is_anywhere(&self) -> bool {
        self.0.local.ip().is_unspecified()
    }

    /// Replaces one source's addresses; the port is the socket's.
    pub fn set(&self, slot: Slot, ips: impl IntoIterator<Item = IpAddr>) {
        let port = self.0.local.port();
        self.replace(slot, ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
    }

    /// Replaces the outside addresses of port mappings, which have ports of their own.
    pub fn set_mapped(&self, outside: Vec<SocketAddr>) {
        self.replace(Slot::Mapped, outside);
    }

    /// Replaces the outside address of the socket.
    pub fn set_outside(&self, addr: Option<SocketAddr>) {
        self.replace(Slot::Outside, addr.into_iter().collect());
    }

    /// The address to which the socket is bound.
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }

    fn replace(&self, slot: Slot, addrs: Vec<SocketAddr>) {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.set(slot, addrs);
        let all = slots.candidates();
        self.0.candidates.send_if_modified(|known| {
            let changed = *known != all;
            *known = all;
            changed
        });
    }

    pub fn watch(&self) -> watch::Receiver<Candidates> {
        self.0.candidates.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_are_notified_of_changes_only() {
        let all = Reachable::new("[::]:7".parse().expect("an address"));
        let mut watch = all.watch();
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        all.set(Slot::Interfaces, [ip(1)]);
        assert!(watch.has_changed().expect("a sender"));
        assert_eq!(watch.borrow_and_update().addrs().collect::<Vec<_>>(), [SocketAddr::new(ip(1), 7)]);
        all.set(Slot::Interfaces, [ip(1)]);
        all.set(Slot::Observed, [ip(1)]);
        // A more reliable source has the address now.
        assert!(watch.has_changed().expect("a sender"));
    }

    #[test]
    fn mapped_address_keeps_its_port_and_goes() {
        let all = Reachable::new("[::]:7".parse().expect("an address"));
        let outside: SocketAddr = "11.22.33.44:8".parse().expect("an address");
        all.set(Slot::Observed, [outside.ip()]);
        all.set_mapped(vec![outside]);
        let now = || all.watch().borrow().addrs().collect::<Vec<_>>();
        assert_eq!(now(), [outside, SocketAddr::new(outside.ip(), 7)]);
        all.set_mapped(Vec::new());
        assert_eq!(now(), [SocketAddr::new(outside.ip(), 7)]);
    }

    #[test]
    fn bound_socket_has_only_its_own_address() {
        let local: SocketAddr = "192.0.2.1:7".parse().expect("an address");
        let all = Reachable::new(local);
        assert_eq!((all.is_anywhere(), all.watch().borrow().addrs().next()), (false, Some(local)));
    }
}
