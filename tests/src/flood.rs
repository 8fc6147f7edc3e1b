//! A stranger who floods a daemon's UDP port: garbage, first datagrams of handshakes, handshakes that prove their
//! address and then stay silent, and complete ones.

use ed25519_dalek::SigningKey;
use fyteclub_client::PeerId;
use fyteclub_proto::number;
use fyteclub_quic::tls::{Certificate, SERVER_NAME};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connecting, Endpoint, EndpointConfig, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::mods::noise;

/// The first byte of a Retry of QUIC version 1, without its random bits.
const RETRY: u8 = 0xf0;

/// A socket that receives only Retry.
#[derive(Debug)]
struct Mute {
    socket: Arc<dyn AsyncUdpSocket>,
    retries: Arc<AtomicU64>,
}

impl AsyncUdpSocket for Mute {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        for (buf, meta) in bufs.iter().zip(meta.iter_mut()).take(count) {
            if buf.first().is_some_and(|first| first & RETRY == RETRY) {
                self.retries.fetch_add(1, Ordering::Relaxed);
            } else {
                meta.len = 0;
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Begins handshakes, proves its address where asked, and never completes one.
pub struct HalfOpen {
    endpoint: Endpoint,
    config: ClientConfig,
    to: SocketAddr,
    retries: Arc<AtomicU64>,
    open: Vec<Connecting>,
}

impl HalfOpen {
    /// From a port of this address. Call it in a Tokio runtime.
    ///
    /// # Panics No socket can be bound.
    pub fn new(from: IpAddr, to: SocketAddr, peer: PeerId) -> Self {
        let socket = UdpSocket::bind((from, 0)).expect("a socket");
        let socket = TokioRuntime.wrap_udp_socket(socket).expect("a socket");
        let retries = Arc::<AtomicU64>::default();
        let mute = Arc::new(Mute { socket, retries: retries.clone() });
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, mute, runtime);
        let endpoint = endpoint.expect("an endpoint");
        Self { endpoint, config: stranger(peer), to, retries, open: Vec::new() }
    }

    /// Begins so many more.
    ///
    /// # Panics QUIC refuses the address.
    pub fn begin(&mut self, count: usize) {
        for _ in 0..count {
            let begun = self.endpoint.connect_with(self.config.clone(), self.to, SERVER_NAME);
            self.open.push(begun.expect("an address"));
        }
    }

    /// How often the address had to be proven.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Keeps only so many of the newest.
    pub fn keep(&mut self, count: usize) {
        let old = self.open.len().saturating_sub(count);
        self.open.drain(..old);
    }
}

/// Of an unknown key.
fn stranger(peer: PeerId) -> ClientConfig {
    let certificate = Certificate::new(&SigningKey::from_bytes(&[99; 32])).expect("a certificate");
    ClientConfig::new(Arc::new(certificate.client(peer).expect("TLS")))
}

/// A third garbage, a third first datagrams, and real handshakes, half of which stay half-open.
pub struct Flood {
    ended: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    began: Instant,
}

impl Flood {
    /// Sends so many packets a second from `from` to `to`, until it is dropped.
    pub fn start(from: IpAddr, to: SocketAddr, peer: PeerId, rate: u64) -> Self {
        let (ended, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let raw = {
            let (ended, sent) = (ended.clone(), sent.clone());
            // On a thread of its own, because this one may run a runtime.
            let made = std::thread::spawn(move || beginnings(peer, 512)).join();
            let beginnings = made.expect("datagrams");
            std::thread::spawn(move || throw(from, to, rate, &beginnings, &ended, &sent))
        };
        let live = {
            let ended = ended.clone();
            std::thread::spawn(move || knock(from, to, peer, &ended))
        };
        Self { ended, sent, threads: vec![raw, live], began: Instant::now() }
    }

    /// Packets a second so far, without real handshakes.
    pub fn rate(&self) -> f64 {
        number::f64_of(self.sent.load(Ordering::Relaxed)) / self.began.elapsed().as_secs_f64()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A failed thread printed why.
            thread.join().ok();
        }
    }
}

/// First datagrams of so many handshakes, each of another connection.
fn beginnings(peer: PeerId, count: usize) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let to = sink.local_addr().expect("bound");
        let mut half = HalfOpen::new([127, 0, 0, 1].into(), to, peer);
        let mut all = Vec::new();
        while all.len() < count {
            half.begin(1);
            let mut datagram = vec![0; 2048];
            let heard = tokio::time::timeout(Duration::from_secs(5), sink.recv(&mut datagram)).await;
            datagram.truncate(heard.expect("a datagram").expect("a datagram"));
            all.push(datagram);
            half.keep(1);
        }
        all
    })
}

fn throw(
    from: IpAddr,
    to: SocketAddr,
    rate: u64,
    beginnings: &[Vec<u8>],
    ended: &AtomicBool,
    sent: &AtomicU64,
) {
    let socket = UdpSocket::bind((from, 0)).expect("a socket");
    let garbage = noise(7, 64 * 1200);
    let (began, mut count) = (Instant::now(), 0_u64);
    while !ended.load(Ordering::Relaxed) {
        let due = number::whole(began.elapsed().as_secs_f64() * number::f64_of(rate));
        while count < due {
            count += 1;
            let at = number::usize_of(count % 60) * 1200;
            let datagram = match count % 3 {
                0 => &garbage[at..at + 20 + number::usize_of(count % 1180)],
                _ => beginnings[number::usize_of(count / 3) % beginnings.len()].as_slice(),
            };
            // A full buffer loses the packet.
            if socket.send_to(datagram, to).is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Some 400 real handshakes a second, half of which are never completed.
fn knock(from: IpAddr, to: SocketAddr, peer: PeerId, ended: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut half = HalfOpen::new(from, to, peer);
        let whole = Endpoint::client((from, 0).into()).expect("a socket");
        let mut whole_open = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            half.begin(2);
            half.keep(600);
            for _ in 0..2 {
                whole_open.extend(whole.connect_with(stranger(peer), to, SERVER_NAME).map(tokio::spawn));
            }
            whole_open.retain(|dial| !dial.is_finished());
            let old = whole_open.len().saturating_sub(600);
            whole_open.drain(..old).for_each(|dial| dial.abort());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}
