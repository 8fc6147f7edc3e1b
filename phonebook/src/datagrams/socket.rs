//! One UDP socket: receives many datagrams with one call, and sends many of one length with one call.

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
};
use tokio::{io::Interest, net::UdpSocket};

/// The kernel's buffers, where it grants so much: a burst of a fast link.
const KERNEL_BUFFER: usize = 4 << 20;
/// Bytes of datagrams that one call sends at most: as many as one IPv4 packet has.
const BUNDLE_MAX: usize = 65_507;

pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    /// Needs a Tokio runtime.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        // Fewer bytes lose bursts, and nothing else.
        state.set_recv_buffer_size((&socket).into(), KERNEL_BUFFER).ok();
        state.set_send_buffer_size((&socket).into(), KERNEL_BUFFER).ok();
        Ok(Self { io: UdpSocket::from_std(socket)?, state })
    }

    /// Waits for datagrams, and receives them. Returns how many of the buffers are filled.
    pub(super) async fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        self.io
            .async_io(Interest::READABLE, || {
                let Inbox { memory, each, metas } = &mut *inbox;
                let mut parts = memory.chunks_exact_mut(*each).map(IoSliceMut::new);
                let mut slices: [_; BATCH_SIZE] =
                    std::array::from_fn(|_| parts.next().expect("the memory has a part for each"));
                self.state.recv((&self.io).into(), &mut slices, metas)
            })
            .await
    }

    /// Sends at once or not at all: the kernel's buffer is the only queue. `from` is this machine's address, for those
    /// that have several.
    pub(super) fn send(
        &self,
        contents: &[u8],
        segment_size: Option<usize>,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<()> {
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: from };
        self.state.try_send((&self.io).into(), &transmit)
    }
}

impl Socket {
    /// Sends datagrams of `each` bytes but the last. Returns how many were not taken.
    pub(super) fn send_many(
        &self,
        datagrams: &[u8],
        each: usize,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> usize {
        let most = self.state.max_gso_segments().min(BUNDLE_MAX / each).max(1);
        let unsent = |part: &[u8]| {
            let segment_size = (part.len() > each).then_some(each);
            let sent = self.send(part, segment_size, to, from);
            if sent.is_ok() { 0 } else { part.len().div_ceil(each) }
        };
        datagrams.chunks(each * most).map(unsent).sum()
    }
}

/// Room for what one call receives. A buffer may have several datagrams of one sender, one after the other.
pub(super) struct Inbox {
    memory: Vec<u8>,
    each: usize,
    metas: [RecvMeta; BATCH_SIZE],
}

impl Inbox {
    /// `each`: bytes of a buffer.
    pub(super) fn new(each: usize) -> Self {
        Self { memory: vec![0; each * BATCH_SIZE], each, metas: [RecvMeta::default(); BATCH_SIZE] }
    }

    /// The first `count` buffers.
    pub(super) fn batches(&mut self, count: usize) -> impl Iterator<Item = Batch<'_>> {
        let parts = self.memory.chunks_exact_mut(self.each).zip(&self.metas);
        parts.take(count).map(|(part, meta)| Batch {
            from: meta.addr,
            to: meta.dst_ip,
            stride: meta.stride.max(1),
            bytes: &mut part[..meta.len],
        })
    }
}

/// Datagrams of one sender.
pub(super) struct Batch<'a> {
    pub(super) from: SocketAddr,
    /// This machine's address.
    pub(super) to: Option<IpAddr>,
    /// Length of each datagram but the last.
    pub(super) stride: usize,
    pub(super) bytes: &'a mut [u8],
}
