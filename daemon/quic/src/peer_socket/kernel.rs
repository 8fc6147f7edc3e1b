//! System calls of the socket: with the kernel's offloads, or plain where the system lacks their options (Wine).

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;
use std::{
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::Interest;

#[cfg(unix)]
const TOO_LONG: i32 = rustix::io::Errno::MSGSIZE.raw_os_error();
/// `WSAEMSGSIZE`.
#[cfg(windows)]
const TOO_LONG: i32 = 10040;

#[derive(Debug)]
pub(super) struct Kernel {
    io: Arc<tokio::net::UdpSocket>,
    /// `None`: one datagram a call.
    offload: Option<UdpSocketState>,
    is_v6: bool,
    too_long: AtomicU64,
}

impl Kernel {
    /// # Errors
    /// The runtime cannot register the socket.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let offload = UdpSocketState::new((&socket).into())
            .inspect_err(|error| tracing::info!("UDP without offloads, which is slower: {error}"))
            .ok();
        Self::with(socket, offload)
    }

    fn with(socket: UdpSocket, offload: Option<UdpSocketState>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let is_v6 = socket.local_addr()?.is_ipv6();
        let io = Arc::new(tokio::net::UdpSocket::from_std(socket)?);
        Ok(Self { io, offload, is_v6, too_long: AtomicU64::new(0) })
    }

    /// As it would be on a system without offloads.
    #[cfg(test)]
    pub(super) fn plain(socket: UdpSocket) -> io::Result<Self> {
        Self::with(socket, None)
    }

    /// Whether QUIC knows IPv4 addresses in their IPv6 form.
    pub(super) fn is_v6(&self) -> bool {
        self.is_v6
    }

    pub(super) fn too_long(&self) -> u64 {
        self.too_long.load(Ordering::Relaxed)
    }

    /// Sends these packets. One that is too long for the way counts as sent, and in [`Self::too_long`].
    ///
    /// # Errors
    /// `WouldBlock`, also before the runtime has seen that the socket is writable, and whatever the system says.
    pub(super) fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.judge(self.io.try_io(Interest::WRITABLE, || self.carry(transmit)))
    }

    /// As [`Self::send`], without the runtime's opinion.
    ///
    /// # Errors
    /// `WouldBlock`, and whatever the system says.
    pub(super) fn send_at_once(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.judge(self.carry(transmit))
    }

    fn carry(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let destination = self.in_family(transmit.destination);
        match &self.offload {
            Some(offload) => {
                offload.try_send((&*self.io).into(), &Transmit { destination, ..transmit.clone() })
            }
            None => {
                let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
                let socket = SockRef::from(&*self.io);
                transmit
                    .contents
                    .chunks(segment)
                    .try_for_each(|packet| socket.send_to(packet, &destination.into()).map(|_| ()))
            }
        }
    }

    fn judge(&self, sent: io::Result<()>) -> io::Result<()> {
        match sent {
            Err(error) if error.raw_os_error() == Some(TOO_LONG) => {
                self.too_long.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            sent => sent,
        }
    }

    /// Sends one datagram with this TTL or hop limit. Nothing else may be sent meanwhile.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) fn send_with_ttl(&self, to: SocketAddr, ttl: u8, datagram: &[u8]) -> io::Result<()> {
        let socket = SockRef::from(&*self.io);
        // A socket of both families has both options.
        let v6 = to.ip().to_canonical().is_ipv6();
        let set = |ttl: u32| if v6 { socket.set_unicast_hops_v6(ttl) } else { socket.set_ttl_v4(ttl) };
        let usual = if v6 { socket.unicast_hops_v6()? } else { socket.ttl_v4()? };
        set(ttl.into())?;
        let sent = self.send_at_once(&single(to, datagram));
        set(usual)?;
        sent
    }

    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = match &self.offload {
                Some(offload) => {
                    self.io.try_io(Interest::READABLE, || offload.recv((&*self.io).into(), bufs, meta))
                }
                None => self.io.try_recv_from(&mut bufs[0]).map(|(len, addr)| {
                    meta[0] = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: None };
                    1
                }),
            };
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return Poll::Ready(received),
            }
        }
    }

    pub(super) fn writable(&self) -> Writable {
        Writable { io: self.io.clone(), waiting: None }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    pub(super) fn send_segments(&self) -> usize {
        self.offload.as_ref().map_or(1, UdpSocketState::max_gso_segments)
    }

    pub(super) fn receive_segments(&self) -> usize {
        self.offload.as_ref().map_or(1, UdpSocketState::gro_segments)
    }

    pub(super) fn may_fragment(&self) -> bool {
        self.offload.as_ref().is_none_or(UdpSocketState::may_fragment)
    }

    fn in_family(&self, addr: SocketAddr) -> SocketAddr {
        match addr {
            SocketAddr::V4(v4) if self.is_v6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            addr => addr,
        }
    }
}

/// One datagram.
pub(super) fn single(to: SocketAddr, contents: &[u8]) -> Transmit<'_> {
    Transmit { destination: to, ecn: None, contents, segment_size: None, src_ip: None }
}

type Ready = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Completes when the socket takes packets, any number of times. Each task that sends has its own.
pub(super) struct Writable {
    io: Arc<tokio::net::UdpSocket>,
    waiting: Option<Ready>,
}

impl fmt::Debug for Writable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable").finish_non_exhaustive()
    }
}

impl Future for Writable {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.io.clone();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async move { io.writable().await }));
        let ready = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(ready)
    }
}
