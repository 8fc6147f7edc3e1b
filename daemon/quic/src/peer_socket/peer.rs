//! One peer's place in the socket.

use super::{
    kernel::single,
    socket::{PeerSocket, framed},
    sorter::From,
    virtual_addr::{VirtualAddr, canonical},
};
use fyteclub_proto::reaching::{
    traversal::{Chosen, Path},
    wire::{probe::Opener, relay::Leg},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::sync::mpsc;

/// A peer's virtual address and what belongs to it. Dropped, the socket drops what QUIC still sends there, and treats the
/// peer's packets as those of a stranger.
#[derive(Debug)]
pub struct VirtualPeer {
    socket: Arc<PeerSocket>,
    addr: VirtualAddr,
}

impl VirtualPeer {
    /// Gives a peer a virtual address; `None` when 2^28 peers have one.
    pub fn enter(socket: &Arc<PeerSocket>) -> Option<Self> {
        let addr = socket.table_mut().enter()?;
        Some(Self { socket: socket.clone(), addr })
    }

    pub fn addr(&self) -> VirtualAddr {
        self.addr
    }

    /// Sends QUIC packets over this path from now on; `None`: drops them.
    pub fn use_path(&self, chosen: Option<Chosen>) {
        self.socket.table_mut().use_path(self.addr, chosen);
    }

    /// QUIC packets from this address are the peer's. An address that another peer had changes hands, unless that one's path
    /// in use leads there.
    pub fn accept(&self, source: SocketAddr) {
        self.socket.table_mut().accept(self.addr, canonical(source));
    }

    pub fn refuse(&self, source: SocketAddr) {
        self.socket.table_mut().refuse(self.addr, canonical(source));
    }

    /// Decodes this peer's probes.
    pub fn listen(&self, opener: Opener) {
        self.socket.table_mut().listen(self.addr, opener);
    }

    /// The peer's leg at a relay; replaces a former one. `relay`: where it takes UDP, if it does.
    pub fn hold_leg(&self, leg: Leg, relay: Option<SocketAddr>) {
        self.socket.table_mut().hold_leg(self.addr, leg, relay.map(canonical));
    }

    /// The leg's WebSocket: frames for it are sent here, and dropped while the channel is full.
    pub fn hold_tcp(&self, leg: Leg, tcp: Option<mpsc::Sender<Vec<u8>>>) {
        self.socket.table_mut().hold_tcp(self.addr, leg, tcp);
    }

    /// A frame that the leg's WebSocket received.
    pub fn received_tcp(&self, frame: &[u8]) {
        self.socket.sorter.received(&self.socket.table(), From::WebSocket, frame);
    }

    /// Sends one probe.
    ///
    /// # Errors
    /// The system does not carry it.
    pub fn send_probe(&self, path: Path, ttl: Option<u8>, probe: &[u8]) -> io::Result<()> {
        match path {
            Path::Direct(addr) => self.socket.send_to(addr, ttl, probe),
            Path::Relay { relay, leg } => {
                self.socket.kernel.send_at_once(&single(relay, &framed(leg, probe, probe.len()).0))
            }
            Path::RelayTcp { leg } => {
                let frame = framed(leg, probe, probe.len()).0;
                let sent = self.socket.table().route(self.addr).is_some_and(|route| route.send_tcp(frame));
                if sent { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
            }
        }
    }

    /// Bytes of QUIC packets sent and received over the path that is or was in use last, since it is.
    pub fn traffic(&self) -> (u64, u64) {
        self.socket.table().route(self.addr).map_or((0, 0), |route| route.traffic())
    }
}

impl Drop for VirtualPeer {
    fn drop(&mut self) {
        self.socket.table_mut().leave(self.addr);
    }
}
