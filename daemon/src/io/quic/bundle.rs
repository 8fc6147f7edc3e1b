//! A UDP socket that passes more packets at a time to the kernel than quinn does.
//!
//! quinn passes at most ten packets of one size to a system call, and has no setting for it. At a usual packet size
//! these calls are a fifth of the sender's CPU time, and as many wake-ups of the receiver. So a full batch of ten waits
//! here until the task that made it has run again, microseconds later, and is sent together with the next ones: up to
//! forty packets, below the 64 KiB of a UDP message. Fewer than ten packets are sent at once.
//!
//! No error other than `WouldBlock` is returned to quinn. On any other error quinn ends the connection that was
//! sending, and on an error while receiving the whole endpoint. But the error may belong to another peer's packets that
//! waited here, or to a route that is missing for a second. So every other error counts as a lost packet
//! ([`Bundling::lost`]), and QUIC sends its content again.

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use std::{
    future::{Future, poll_fn},
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::Notify;

/// The longest message of a UDP socket over IPv4.
const LONGEST: usize = 65_507;
/// The most segments into which any kernel splits a message.
const SEGMENTS: usize = 64;
/// quinn's batch when it has enough to send.
const WHOLE: usize = 10;
/// Errors in a row, without a packet, after which receiving fails: the socket itself is broken.
const DEAF_AFTER: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Bundling {
    socket: Arc<dyn AsyncUdpSocket>,
    waiting: Mutex<Waiting>,
    lost: Arc<AtomicU64>,
    /// Errors while receiving since the last packet.
    deaf: AtomicU64,
    /// Notified when a batch begins to wait, and when the socket is dropped.
    begun: Arc<Notify>,
}

impl Drop for Bundling {
    fn drop(&mut self) {
        self.begun.notify_one();
    }
}

/// Packets of one size to one address.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    label: Option<Label>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label {
    /// In the system's form of an address, not in the caller's.
    to: SocketAddr,
    from: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    packet: usize,
}

impl Label {
    /// `None` for a single packet.
    fn of(transmit: &Transmit<'_>) -> Option<Self> {
        let packet = transmit.segment_size.filter(|size| *size > 0 && transmit.contents.len() > *size)?;
        Some(Self { to: transmit.destination, from: transmit.src_ip, ecn: transmit.ecn, packet })
    }

    /// The most bytes of such packets in one message.
    fn most(&self) -> usize {
        self.packet * (LONGEST / self.packet).min(SEGMENTS)
    }
}

impl Bundling {
    /// Must be called in a Tokio runtime.
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>) -> Arc<Self> {
        let begun = Arc::new(Notify::new());
        let this = Arc::new(Self {
            socket,
            waiting: Mutex::default(),
            lost: Arc::default(),
            deaf: AtomicU64::new(0),
            begun: begun.clone(),
        });
        tokio::spawn(send_on(Arc::downgrade(&this), begun));
        this
    }

    /// System calls that failed with an error other than `WouldBlock`, since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Turns every error but `WouldBlock` into a lost packet.
    fn mask_errors(&self, sent: io::Result<()>) -> io::Result<()> {
        match sent {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                lose(&self.lost, &error);
                Ok(())
            }
            sent => sent,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the waiting packets. They go on waiting while the kernel's buffer is full; the only error is `WouldBlock`.
    fn send_waiting(&self, waiting: &mut Waiting) -> io::Result<()> {
        let Some(label) = waiting.label else { return Ok(()) };
        self.mask_errors(self.socket.try_send(&Transmit {
            destination: label.to,
            ecn: label.ecn,
            contents: &waiting.bytes,
            segment_size: Some(label.packet),
            src_ip: label.from,
        }))?;
        waiting.bytes.clear();
        waiting.label = None;
        Ok(())
    }
}

fn lose(lost: &AtomicU64, error: &io::Error) {
    let before = lost.fetch_add(1, Ordering::Relaxed);
    // 1, 2, 4, 8, …: visible, without flooding the log.
    if (before + 1).is_power_of_two() {
        tracing::debug!("the system did not send or receive a packet ({} so far): {error}", before + 1);
    }
}

/// The socket's poller, with the same rule for errors.
#[derive(Debug)]
struct Writable {
    poller: Pin<Box<dyn UdpPoller>>,
    lost: Arc<AtomicU64>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poller.as_mut().poll_writable(cx).map(|ready| {
            if let Err(error) = ready {
                lose(&self.lost, &error);
            }
            Ok(())
        })
    }
}

/// Sends the waiting packets as soon as no more are added.
async fn send_on(bundling: Weak<Bundling>, begun: Arc<Notify>) {
    loop {
        begun.notified().await;
        let mut before = 0;
        loop {
            let Some(this) = bundling.upgrade() else { return };
            let len = this.waiting().bytes.len();
            if len == before {
                break;
            }
            before = len;
            next_turn().await;
        }
        let Some(this) = bundling.upgrade() else { return };
        let mut sent = this.send_waiting(&mut this.waiting());
        if sent.is_err() {
            let mut writable = this.socket.clone().create_io_poller();
            while sent.is_err() {
                if poll_fn(|cx| writable.as_mut().poll_writable(cx)).await.is_err() {
                    break;
                }
                sent = this.send_waiting(&mut this.waiting());
            }
        }
    }
}

/// Resolves after every task that is ready now has run.
fn next_turn() -> impl Future<Output = ()> {
    let mut come = false;
    poll_fn(move |cx: &mut Context<'_>| {
        if std::mem::replace(&mut come, true) {
            Poll::Ready(())
        } else {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
}

impl AsyncUdpSocket for Bundling {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { poller: self.socket.clone().create_io_poller(), lost: self.lost.clone() })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let waiting = &mut *self.waiting();
        let (label, len) = (Label::of(transmit), transmit.contents.len());
        let whole = label.is_some_and(|label| len == label.packet * WHOLE);
        let fits = label.is_some_and(|label| {
            let all_full = waiting.bytes.len().is_multiple_of(label.packet);
            waiting.label == Some(label) && all_full && waiting.bytes.len() + len <= label.most()
        });
        if !fits {
            self.send_waiting(waiting)?;
            let more = label.is_some_and(|label| 2 * len <= label.most());
            if !whole || !more {
                return self.mask_errors(self.socket.try_send(transmit));
            }
            waiting.label = label;
            self.begun.notify_one();
        }
        waiting.bytes.extend_from_slice(transmit.contents);
        let full = label.is_none_or(|label| waiting.bytes.len() + len > label.most());
        if full || !whole {
            // The packets are accepted either way: if the buffer is full, they are sent later.
            if self.send_waiting(waiting).is_err() {
                self.begun.notify_one();
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        match self.socket.poll_recv(cx, bufs, meta) {
            Poll::Ready(Err(error)) if self.deaf.fetch_add(1, Ordering::Relaxed) < DEAF_AFTER => {
                lose(&self.lost, &error);
                // After the other tasks have run.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Ok(count)) => {
                self.deaf.store(0, Ordering::Relaxed);
                Poll::Ready(Ok(count))
            }
            other => other,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    const PACKET: usize = 1452;

    /// A port without a route.
    const NOWHERE: u16 = 9;

    /// Sends everything but packets to [`NOWHERE`]; while full, nothing.
    #[derive(Debug, Default)]
    struct Kernel {
        full: AtomicBool,
        /// Errors that receiving returns before it succeeds.
        broken: AtomicU64,
        taken: Mutex<Vec<(u16, Vec<u8>)>>,
    }

    impl Kernel {
        fn taken(&self) -> Vec<(u16, Vec<u8>)> {
            std::mem::take(&mut *self.taken.lock().expect("nobody panicked"))
        }
    }

    #[derive(Debug)]
    struct Writability(Arc<Kernel>);

    impl UdpPoller for Writability {
        fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.0.full.load(Ordering::Relaxed) {
                cx.waker().wake_by_ref();
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        }
    }

    impl AsyncUdpSocket for Kernel {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            Box::pin(Writability(self))
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            if self.full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if transmit.destination.port() == NOWHERE {
                return Err(io::ErrorKind::NetworkUnreachable.into());
            }
            let (len, packet) = (transmit.contents.len(), transmit.segment_size.unwrap_or(usize::MAX));
            assert!(len <= LONGEST && len.div_ceil(packet) <= SEGMENTS, "{len} bytes in packets of {packet}");
            let sent = (transmit.destination.port(), transmit.contents.to_vec());
            self.taken.lock().expect("nobody panicked").push(sent);
            Ok(())
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            match self.broken.load(Ordering::Relaxed) {
                0 => Poll::Ready(Ok(1)),
                left => {
                    self.broken.store(left - 1, Ordering::Relaxed);
                    Poll::Ready(Err(io::ErrorKind::NetworkDown.into()))
                }
            }
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn send(socket: &Bundling, port: u16, first: u8, packets: usize, last: usize) -> io::Result<()> {
        let mut contents = Vec::new();
        for n in 0..packets {
            let len = if n + 1 == packets { last } else { PACKET };
            contents.extend(vec![first + u8::try_from(n).expect("a few packets"); len]);
        }
        socket.try_send(&Transmit {
            destination: SocketAddr::from(([127, 0, 0, 1], port)),
            ecn: None,
            contents: &contents,
            segment_size: (packets > 1).then_some(PACKET),
            src_ip: None,
        })
    }

    async fn turns() {
        for _ in 0..8 {
            next_turn().await;
        }
    }

    #[tokio::test]
    async fn batches_of_ten_are_sent_together_and_less_at_once() {
        let kernel = Arc::new(Kernel::default());
        let socket = Bundling::new(kernel.clone());
        let lens =
            |kernel: &Kernel| kernel.taken().iter().map(|(port, all)| (*port, all.len())).collect::<Vec<_>>();
        for n in 0..3 {
            send(&socket, 1, n * 10, 10, PACKET).expect("taken");
            assert!(kernel.taken().is_empty(), "a batch of ten waits for the next");
        }
        send(&socket, 1, 30, 3, 7).expect("taken");
        let taken = kernel.taken();
        let all = (0..32).flat_map(|n| vec![n; PACKET]).chain([32; 7]).collect::<Vec<u8>>();
        assert_eq!(taken, [(1, all)], "they are sent with the last");
        (0..9).for_each(|n| send(&socket, 1, n * 10, 10, PACKET).expect("taken"));
        assert_eq!(lens(&kernel), [(1, 40 * PACKET), (1, 40 * PACKET)]);
        send(&socket, 2, 0, 1, 50).expect("taken");
        assert_eq!(lens(&kernel), [(1, 10 * PACKET), (2, 50)], "nobody overtakes");
        send(&socket, 1, 0, 10, PACKET).expect("taken");
        send(&socket, 2, 0, 10, PACKET).expect("taken");
        assert_eq!(lens(&kernel), [(1, 10 * PACKET)]);
        turns().await;
        assert_eq!(lens(&kernel), [(2, 10 * PACKET)], "nothing followed");
    }

    #[tokio::test]
    async fn packets_wait_and_no_more_are_taken_while_full() {
        let kernel = Arc::new(Kernel::default());
        let socket = Bundling::new(kernel.clone());
        kernel.full.store(true, Ordering::Relaxed);
        send(&socket, 1, 0, 10, PACKET).expect("it waits");
        send(&socket, 1, 10, 2, 7).expect("it waits");
        let refused = send(&socket, 1, 20, 10, PACKET).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::WouldBlock), "nothing may follow a short packet");
        turns().await;
        kernel.full.store(false, Ordering::Relaxed);
        turns().await;
        let taken = kernel.taken();
        assert_eq!(taken.iter().map(|(_, all)| all.len()).collect::<Vec<_>>(), [11 * PACKET + 7]);
        drop(socket);
        turns().await;
        assert_eq!(Arc::strong_count(&kernel), 1, "the task ends with the socket");
    }

    #[tokio::test]
    async fn unsent_packet_is_lost_without_an_error() {
        let kernel = Arc::new(Kernel::default());
        let socket = Bundling::new(kernel.clone());
        send(&socket, NOWHERE, 0, 10, PACKET).expect("it waits");
        send(&socket, 1, 0, 1, 50).expect("another peer's error does not concern this peer");
        send(&socket, NOWHERE, 0, 1, 50).expect("it counts as lost");
        send(&socket, NOWHERE, 0, 10, PACKET).expect("it waits");
        send(&socket, NOWHERE, 10, 1, 50).expect("the last of a bundle");
        turns().await;
        assert_eq!(kernel.taken().len(), 1);
        assert_eq!(socket.lost(), 4, "counted by system call");
    }

    #[tokio::test]
    async fn receiving_goes_on_after_all_but_endless_errors() {
        let kernel = Arc::new(Kernel::default());
        let socket = Bundling::new(kernel.clone());
        let mut bytes = [0; 8];
        let mut receive = async || {
            let (mut bufs, mut meta) = ([IoSliceMut::new(&mut bytes)], [RecvMeta::default()]);
            poll_fn(|cx| socket.poll_recv(cx, &mut bufs, &mut meta)).await.map_err(|error| error.kind())
        };
        for _ in 0..2 {
            kernel.broken.store(DEAF_AFTER - 1, Ordering::Relaxed);
            assert_eq!(receive().await, Ok(1));
        }
        kernel.broken.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(receive().await, Err(io::ErrorKind::NetworkDown), "a broken socket causes no busy loop");
    }
}
