//! Sorts what arrives: QUIC's packets by peer, and the rest by kind.

use super::{
    queue::Queue,
    table::Table,
    virtual_addr::{VirtualAddr, canonical},
};
use fyteclub_proto::reaching::{
    traversal::{Path, Reply},
    wire::{
        Kind,
        probe::{self, Authentic},
        relay::{Body, Frame, HEADER, Leg},
        stun,
    },
};
use quinn::udp::RecvMeta;
use std::{
    net::SocketAddr,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::sync::mpsc;

/// A datagram that is not QUIC's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aside {
    Stun(stun::Response),
    /// An authentic probe of this peer, and the path over which it came.
    Probe {
        peer: VirtualAddr,
        path: Path,
        probe: Authentic,
    },
    /// What a relay sent to a leg of this peer, by UDP.
    Relay {
        peer: VirtualAddr,
        leg: Leg,
        reply: Reply,
    },
}

/// Where a datagram came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Address(SocketAddr),
    /// A relay's WebSocket.
    WebSocket,
}

/// A packet for QUIC: where it lies in the datagram, and the virtual address of its peer; `None`: its real one.
type Packet = (Option<VirtualAddr>, Range<usize>);

#[derive(Debug)]
pub(super) struct Sorter {
    queue: Queue,
    aside: mpsc::Sender<Aside>,
    /// QUIC knows IPv4 addresses of this socket in their IPv6 form.
    is_v6: bool,
    junk: AtomicU64,
    full: AtomicU64,
}

impl Sorter {
    pub(super) fn new(aside: mpsc::Sender<Aside>, is_v6: bool) -> Self {
        Self { queue: Queue::default(), aside, is_v6, junk: AtomicU64::new(0), full: AtomicU64::new(0) }
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Received datagrams: junk, and those without space.
    pub(super) fn dropped(&self) -> (u64, u64) {
        (self.junk.load(Ordering::Relaxed), self.full.load(Ordering::Relaxed))
    }

    /// Leaves QUIC's packets in the message, in place, and handles the rest. QUIC's packets of a second peer or size go to
    /// the queue, because a message has one address and one length of packets.
    pub(super) fn sort(&self, table: &Table, buf: &mut [u8], meta: &mut RecvMeta) {
        let from = canonical(meta.addr);
        let stride = meta.stride.max(1);
        let message = meta.len.min(buf.len());
        if VirtualAddr::of(from).is_some() {
            self.junk();
            meta.len = 0;
            return;
        }
        let is_quic = |datagram: &[u8]| Kind::of(datagram) == Kind::Quic;
        if buf[..message].chunks(stride).all(is_quic) {
            if let Some(peer) = table.sender(from, &buf[..message]) {
                table.count_received(peer, message);
                meta.addr = peer.addr_for(self.is_v6);
            }
            return;
        }
        let mut kept = Kept::default();
        for start in (0..message).step_by(stride) {
            let datagram = start..message.min(start + stride);
            let Some((peer, packet)) = self.take(table, From::Address(from), &buf[datagram]) else {
                continue;
            };
            let packet = start + packet.start..start + packet.end;
            if !kept.append(peer, packet.clone(), buf) {
                self.queue_packet(peer, from, &buf[packet]);
            }
        }
        (meta.len, meta.stride) = (kept.len, kept.stride);
        if let Some(Some(peer)) = kept.peer {
            meta.addr = peer.addr_for(self.is_v6);
        }
    }

    /// One datagram that the kernel's socket did not receive.
    pub(super) fn received(&self, table: &Table, from: From, datagram: &[u8]) {
        if let Some((Some(peer), packet)) = self.take(table, from, datagram)
            && !self.queue.push(peer.addr_for(self.is_v6), &datagram[packet])
        {
            self.full();
        }
    }

    fn queue_packet(&self, peer: Option<VirtualAddr>, from: SocketAddr, packet: &[u8]) {
        match peer {
            Some(peer) => {
                if !self.queue.push(peer.addr_for(self.is_v6), packet) {
                    self.full();
                }
            }
            // Only a kernel that joins packets of several lengths gets here: QUIC sends it again.
            None => {
                tracing::debug!("a packet of {from} shares a message with a relay's frame");
                self.full();
            }
        }
    }

    /// Handles one datagram; `Some`: it has a packet for QUIC.
    fn take(&self, table: &Table, from: From, datagram: &[u8]) -> Option<Packet> {
        match (Kind::of(datagram), from) {
            (Kind::Quic, From::Address(addr)) => {
                let peer = table.sender(addr, datagram);
                peer.into_iter().for_each(|peer| table.count_received(peer, datagram.len()));
                return Some((peer, 0..datagram.len()));
            }
            (Kind::Stun, From::Address(_)) => match stun::Response::decode(datagram) {
                Ok(response) => self.hand_on(Aside::Stun(response)),
                Err(_) => self.junk(),
            },
            (Kind::Probe, From::Address(addr)) => self.probe(table, None, Path::Direct(addr), datagram),
            (Kind::Relay, from) => return self.relayed(table, from, datagram),
            (Kind::Junk, _) | (_, From::WebSocket) => self.junk(),
        }
        None
    }

    fn relayed(&self, table: &Table, from: From, datagram: &[u8]) -> Option<Packet> {
        let relay = match from {
            From::Address(addr) => Some(addr),
            From::WebSocket => None,
        };
        let known = Frame::decode(datagram).ok().and_then(|frame| {
            let peer = table.peer_of_leg(frame.leg, relay)?;
            Some((peer, frame))
        });
        let Some((peer, Frame { leg, body })) = known else {
            self.junk();
            return None;
        };
        match body {
            Body::Data(payload) => match Kind::of(payload) {
                Kind::Quic => {
                    table.count_received(peer, payload.len());
                    return Some((Some(peer), HEADER..datagram.len()));
                }
                Kind::Probe => {
                    let path = relay.map_or(Path::RelayTcp { leg }, |relay| Path::Relay { relay, leg });
                    self.probe(table, Some(peer), path, payload);
                }
                _ => self.junk(),
            },
            body => match Reply::of(&body) {
                Some(reply) if relay.is_some() => self.hand_on(Aside::Relay { peer, leg, reply }),
                _ => self.junk(),
            },
        }
        None
    }

    /// `of`: only this peer's probes come over the path.
    fn probe(&self, table: &Table, of: Option<VirtualAddr>, path: Path, datagram: &[u8]) {
        let known = probe::tag(datagram).and_then(|tag| table.opener(tag));
        let opened = known
            .filter(|(peer, _)| of.is_none_or(|of| of == *peer))
            .and_then(|(peer, opener)| opener.open(datagram).map(|probe| (peer, probe)));
        match opened {
            Some((peer, probe)) => self.hand_on(Aside::Probe { peer, path, probe }),
            None => self.junk(),
        }
    }

    fn hand_on(&self, aside: Aside) {
        if self.aside.try_send(aside).is_err() {
            self.full();
        }
    }

    fn junk(&self) {
        self.junk.fetch_add(1, Ordering::Relaxed);
    }

    fn full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }
}

/// The packets that stay in a message: one peer's, all of one length but for the last.
#[derive(Debug, Default)]
struct Kept {
    peer: Option<Option<VirtualAddr>>,
    len: usize,
    stride: usize,
    /// A shorter packet ends the message.
    is_closed: bool,
}

impl Kept {
    /// Moves the packet behind those before it; `false`: it does not fit there.
    fn append(&mut self, peer: Option<VirtualAddr>, packet: Range<usize>, buf: &mut [u8]) -> bool {
        let len = packet.len();
        match self.peer {
            None => (self.peer, self.stride) = (Some(peer), len),
            Some(known) if known != peer || self.is_closed || len > self.stride => return false,
            Some(_) => {}
        }
        self.is_closed = len < self.stride;
        buf.copy_within(packet, self.len);
        self.len += len;
        true
    }
}
