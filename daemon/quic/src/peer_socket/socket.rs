//! The socket as QUIC uses it.

use super::{
    kernel::{self, Kernel, single},
    sorter::{Aside, Sorter},
    table::{Moves, Route, Table},
    virtual_addr::{VirtualAddr, canonical},
};
use fyteclub_proto::reaching::{
    traversal::{Chosen, Path},
    wire::{relay, relay::Leg},
};
use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use std::{
    future::Future,
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// Datagrams since the start that were dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Received: of no known kind, from an address that cannot be, or not authentic.
    pub junk: u64,
    /// Received: [`Aside`]'s channel or the queue was full.
    pub full: u64,
    /// Not sent: the peer has no path.
    pub no_path: u64,
    /// Not sent: longer than the path's first hop takes. QUIC's search for the path's MTU causes a few; more show that the
    /// MTU shrank.
    pub too_long: u64,
}

#[derive(Debug)]
pub struct PeerSocket {
    pub(super) kernel: Kernel,
    /// Sending holds it for reading, so that a changed TTL applies to no other packet.
    table: RwLock<Table>,
    pub(super) sorter: Sorter,
    no_path: AtomicU64,
}

impl PeerSocket {
    /// Takes over a bound socket. To be called in a Tokio runtime.
    ///
    /// # Errors
    /// The runtime cannot register the socket.
    pub fn new(socket: UdpSocket, aside: mpsc::Sender<Aside>) -> io::Result<Arc<Self>> {
        let kernel = Kernel::new(socket)?;
        Ok(Arc::new(Self {
            sorter: Sorter::new(aside, kernel.is_v6()),
            kernel,
            table: RwLock::default(),
            no_path: AtomicU64::new(0),
        }))
    }

    /// Sends one datagram that is not QUIC's to a real address: a STUN request, or a frame to a relay. It is not repeated
    /// where the kernel has no space for it. `ttl`: with this TTL or hop limit.
    ///
    /// # Errors
    /// The system does not carry it.
    pub fn send_to(&self, to: SocketAddr, ttl: Option<u8>, datagram: &[u8]) -> io::Result<()> {
        match ttl {
            // The TTL is the socket's: nothing else is sent meanwhile.
            Some(ttl) => {
                let _alone = self.table_mut();
                self.kernel.send_with_ttl(to, ttl, datagram)
            }
            None => self.kernel.send_at_once(&single(to, datagram)),
        }
    }

    /// The path in use to the peer of this address.
    pub fn chosen(&self, peer: VirtualAddr) -> Option<Chosen> {
        self.table().route(peer)?.chosen()
    }

    /// How often that path was replaced. `None`: no peer has the address.
    pub fn moves(&self, peer: VirtualAddr) -> Option<Moves> {
        Some(self.table().route(peer)?.moves().clone())
    }

    /// Where QUIC must dial what has this real address: at the virtual address of the peer whose path in use leads there,
    /// else at the real one. Answers from there belong to that dial.
    pub fn addr_to_dial(&self, addr: SocketAddr) -> SocketAddr {
        let peer = self.table().peer_or_release(canonical(addr));
        peer.map_or(addr, VirtualAddr::addr)
    }

    pub fn dropped(&self) -> Dropped {
        let (junk, full) = self.sorter.dropped();
        Dropped {
            junk,
            full,
            no_path: self.no_path.load(Ordering::Relaxed),
            too_long: self.kernel.too_long(),
        }
    }

    pub(super) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_unsent(&self) {
        self.no_path.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends packets for a virtual address over its peer's path.
    ///
    /// # Errors
    /// As [`Kernel::send`].
    fn send_routed(&self, route: Option<&Route>, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some((route, path)) = route.and_then(|route| Some((route, route.chosen()?.path))) else {
            self.drop_unsent();
            return Ok(());
        };
        route.count_sent(transmit.contents.len());
        match path {
            // The kernel chooses the source address, as it does for probes: the last one may be gone, or of the other family.
            Path::Direct(addr) => {
                self.kernel.send(&Transmit { destination: addr, src_ip: None, ..transmit.clone() })
            }
            Path::Relay { relay, leg } => {
                let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
                let (contents, segment) = framed(leg, transmit.contents, segment);
                self.kernel.send(&Transmit {
                    destination: relay,
                    ecn: transmit.ecn,
                    segment_size: (contents.len() > segment).then_some(segment),
                    contents: &contents,
                    src_ip: None,
                })
            }
            Path::RelayTcp { leg } => {
                let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
                for packet in transmit.contents.chunks(segment) {
                    if !route.send_tcp(framed(leg, packet, packet.len()).0) {
                        self.drop_unsent();
                    }
                }
                Ok(())
            }
        }
    }
}

/// Each packet with the header of this leg, and the length of a whole one.
pub(super) fn framed(leg: Leg, contents: &[u8], segment: usize) -> (Vec<u8>, usize) {
    let header = relay::header(leg);
    let packets = contents.chunks(segment.max(1));
    let mut bytes = Vec::with_capacity(contents.len() + packets.len() * header.len());
    for packet in packets {
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(packet);
    }
    (bytes, segment + header.len())
}

#[derive(Debug)]
struct Writable(kernel::Writable);

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl AsyncUdpSocket for PeerSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable(self.kernel.writable()))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let table = self.table();
        match VirtualAddr::of(transmit.destination) {
            Some(addr) => self.send_routed(table.route(addr), transmit),
            None => self.kernel.send(transmit),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = match self.kernel.poll_recv(cx, bufs, meta) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(count)) => count,
            Poll::Pending => 0,
        };
        let table = self.table();
        for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()).take(received) {
            self.sorter.sort(&table, buf, meta);
        }
        drop(table);
        let queued = self.sorter.queue().poll(cx, &mut bufs[received..], &mut meta[received..]);
        // A message whose packets were all taken out stays with the length 0, which QUIC passes over.
        match received + queued {
            0 => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.kernel.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.kernel.send_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.kernel.receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.kernel.may_fragment()
    }
}
