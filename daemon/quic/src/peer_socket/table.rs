//! Which path belongs to which peer.

use super::virtual_addr::{VirtualAddr, canonical};
use fyteclub_proto::reaching::{
    traversal::{Chosen, Path},
    wire::{
        probe::{Opener, Tag},
        relay::Leg,
    },
};
use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

#[derive(Debug, Default)]
pub(super) struct Table {
    next: u32,
    routes: HashMap<VirtualAddr, Route>,
    sources: HashMap<SocketAddr, Source>,
    openers: HashMap<Tag, (VirtualAddr, Opener)>,
    /// With the relay's address; `None`: the leg has no UDP.
    legs: HashMap<Leg, (VirtualAddr, Option<SocketAddr>)>,
}

/// QUIC packets from an address are this peer's.
#[derive(Debug)]
struct Source {
    peer: VirtualAddr,
    /// They are, for now, those of the real address.
    released: AtomicBool,
}

/// What is sent to one peer.
#[derive(Debug, Default)]
pub(super) struct Route {
    chosen: Option<Chosen>,
    /// The last path that was in use.
    last: Option<Path>,
    moves: Moves,
    tcp: Option<(Leg, mpsc::Sender<Vec<u8>>)>,
    traffic: Traffic,
}

/// How often the path in use was replaced by another.
#[derive(Debug, Clone, Default)]
pub struct Moves(Arc<AtomicU64>);

impl Moves {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Bytes of QUIC packets over the path in use, since it is.
#[derive(Debug, Default)]
struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Route {
    pub(super) fn chosen(&self) -> Option<Chosen> {
        self.chosen
    }

    pub(super) fn moves(&self) -> &Moves {
        &self.moves
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.traffic.sent.fetch_add(bytes.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn count_received(&self, bytes: usize) {
        self.traffic.received.fetch_add(bytes.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sent and received bytes.
    pub(super) fn traffic(&self) -> (u64, u64) {
        (self.traffic.sent.load(Ordering::Relaxed), self.traffic.received.load(Ordering::Relaxed))
    }

    /// `false`: there is no WebSocket, or it does not send as fast.
    pub(super) fn send_tcp(&self, frame: Vec<u8>) -> bool {
        self.tcp.as_ref().is_some_and(|(_, tcp)| tcp.try_send(frame).is_ok())
    }
}

impl Table {
    pub(super) fn enter(&mut self) -> Option<VirtualAddr> {
        for _ in 0..VirtualAddr::COUNT {
            let addr = VirtualAddr::number(self.next);
            self.next = self.next.wrapping_add(1) % VirtualAddr::COUNT;
            if let Entry::Vacant(vacant) = self.routes.entry(addr) {
                vacant.insert(Route::default());
                return Some(addr);
            }
        }
        None
    }

    pub(super) fn leave(&mut self, peer: VirtualAddr) {
        self.routes.remove(&peer);
        self.sources.retain(|_, source| source.peer != peer);
        self.openers.retain(|_, (owner, _)| *owner != peer);
        self.legs.retain(|_, (owner, _)| *owner != peer);
    }

    pub(super) fn route(&self, peer: VirtualAddr) -> Option<&Route> {
        self.routes.get(&peer)
    }

    pub(super) fn use_path(&mut self, peer: VirtualAddr, chosen: Option<Chosen>) {
        let Some(route) = self.routes.get_mut(&peer) else { return };
        route.chosen = chosen;
        if let Some(path) = chosen.map(|chosen| chosen.path)
            && route.last != Some(path)
        {
            route.traffic = Traffic::default();
            if route.last.replace(path).is_some() {
                route.moves.advance();
            }
        }
        if let Some(Chosen { path: Path::Direct(addr), .. }) = chosen {
            self.assign(peer, canonical(addr));
        }
    }

    /// The last peer that claims an address gets it, but for one that is another's path in use: who claims it may have
    /// forged the source.
    pub(super) fn accept(&mut self, peer: VirtualAddr, source: SocketAddr) {
        if self.user(source).is_none_or(|user| user == peer) {
            self.assign(peer, source);
        }
    }

    fn assign(&mut self, peer: VirtualAddr, source: SocketAddr) {
        self.sources.insert(source, Source { peer, released: AtomicBool::new(false) });
    }

    /// The peer whose path in use leads to this address.
    fn user(&self, addr: SocketAddr) -> Option<VirtualAddr> {
        let peer = self.sources.get(&addr)?.peer;
        let chosen = self.routes.get(&peer)?.chosen?;
        matches!(chosen.path, Path::Direct(to) if canonical(to) == addr).then_some(peer)
    }

    pub(super) fn refuse(&mut self, peer: VirtualAddr, source: SocketAddr) {
        if self.sources.get(&source).is_some_and(|source| source.peer == peer) {
            self.sources.remove(&source);
        }
    }

    pub(super) fn listen(&mut self, peer: VirtualAddr, opener: Opener) {
        self.openers.insert(opener.tag(), (peer, opener));
    }

    pub(super) fn hold_leg(&mut self, peer: VirtualAddr, leg: Leg, relay: Option<SocketAddr>) {
        self.legs.retain(|_, (owner, _)| *owner != peer);
        self.legs.insert(leg, (peer, relay));
    }

    pub(super) fn hold_tcp(&mut self, peer: VirtualAddr, leg: Leg, tcp: Option<mpsc::Sender<Vec<u8>>>) {
        if let Some(route) = self.routes.get_mut(&peer) {
            route.tcp = tcp.map(|tcp| (leg, tcp));
        }
    }

    /// Whose this QUIC packet is. One that begins a handshake releases the address of a peer that has no path: the answer
    /// would not be sent.
    pub(super) fn sender(&self, source: SocketAddr, packet: &[u8]) -> Option<VirtualAddr> {
        let Source { peer, released } = self.sources.get(&source)?;
        let has_path = || self.routes.get(peer).is_some_and(|route| route.chosen.is_some());
        if is_initial(packet) && !has_path() {
            released.store(true, Ordering::Relaxed);
        }
        (!released.load(Ordering::Relaxed)).then_some(*peer)
    }

    /// The peer whose path in use leads to the address. Otherwise what comes from there belongs to no peer from now on,
    /// until one accepts it or uses it again.
    pub(super) fn peer_or_release(&self, addr: SocketAddr) -> Option<VirtualAddr> {
        let user = self.user(addr);
        if user.is_none() {
            self.sources.get(&addr)?.released.store(true, Ordering::Relaxed);
        }
        user
    }

    pub(super) fn opener(&self, tag: Tag) -> Option<(VirtualAddr, &Opener)> {
        self.openers.get(&tag).map(|(peer, opener)| (*peer, opener))
    }

    /// The peer of a leg; `relay`: who sent the frame, `None` for a WebSocket.
    pub(super) fn peer_of_leg(&self, leg: Leg, relay: Option<SocketAddr>) -> Option<VirtualAddr> {
        let (peer, known) = self.legs.get(&leg)?;
        (relay.is_none() || relay == *known).then_some(*peer)
    }

    pub(super) fn count_received(&self, peer: VirtualAddr, bytes: usize) {
        if let Some(route) = self.routes.get(&peer) {
            route.count_received(bytes);
        }
    }
}

/// A packet with a long header and the type Initial (RFC 9000 §17.2.2).
fn is_initial(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & 0xF0 == 0xC0)
}
