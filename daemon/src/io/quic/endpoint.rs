//! The UDP socket and the QUIC endpoint on it, which listens and dials.

use super::{
    Link, Tuning,
    bundle::Bundling,
    congestion::{INITIAL_WINDOW, Knee},
    place::Place,
    socket,
    tls::{self, Certificate, TlsError},
    tuning::{LOOPBACK_PACKET, SAFE_PACKET},
    window::{self, Traffic},
};
use fyteclub_proto::{
    foreign::Foreign, id::PeerId, limit::STREAMS_SERVED_MAX, reaching::families::Families, seal::End,
};
use fyteclub_quic::peer_socket::{Aside, PeerSocket};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
    congestion::{ControllerFactory, CubicConfig},
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// A link that receives nothing for this long is lost.
const IDLE: Duration = Duration::from_secs(30);
/// Both sides send a keep-alive this often; it also keeps home routers' mappings, which last 30 s and more.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// The same for a peer at a virtual address: its paths are kept and watched by probes, which leave 0.7 bytes a second.
const VIRTUAL_IDLE: Duration = Duration::from_secs(120);
const VIRTUAL_KEEP_ALIVE: Duration = Duration::from_secs(50);
/// How far a stream may be ahead of its reader: 4 MiB carry 80 MB/s at 50 ms. It is the most that a stalled disk makes
/// this machine buffer for a stream.
const STREAM_WINDOW: u32 = 4 << 20;
/// Datagrams that are not QUIC's and may wait: a burst of probes of a hundred peers.
const ASIDES_MAX: usize = 1024;
/// The size of Ethernet's packets, to be probed first.
const PACKET: u16 = 1452;
/// Beside a relay's header of 10 bytes.
const VIRTUAL_PACKET: u16 = PACKET - 10;
/// QUIC's first guess of a round trip, from that of probes: it repeats after three of them, and loads may follow.
const RTT_MIN: Duration = Duration::from_millis(20);
const RTT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    #[error("cannot listen on {addr}: {source}; choose another port with --listen, or 0 for any free one")]
    Bind { addr: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a dial failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    #[error("the address cannot be dialled: {0}")]
    Address(#[from] quinn::ConnectError),
    #[error("{}", Foreign::new(&.0.to_string()))]
    Connection(#[from] quinn::ConnectionError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

#[derive(Clone)]
pub struct QuicEndpoint {
    endpoint: Endpoint,
    socket: Arc<Bundling>,
    peer_socket: Arc<PeerSocket>,
    certificate: Arc<Certificate>,
    far: Arc<TransportConfig>,
    /// For peers on this machine.
    loopback: (Arc<TransportConfig>, Arc<ServerConfig>),
    local: SocketAddr,
    buffers: (usize, usize),
    traffic: Arc<Traffic>,
    tuning: Tuning,
    moves: Arc<AtomicU64>,
}

impl QuicEndpoint {
    /// Binds the socket and accepts from now on. Also returned: received datagrams that are not QUIC's. `reset_key` is a secret that survives restarts. `[::]` means both
    /// address families, or 0.0.0.0 where there is no IPv6.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(
        addr: SocketAddr,
        certificate: Certificate,
        reset_key: &[u8; 32],
        tuning: Tuning,
    ) -> Result<(Self, mpsc::Receiver<Aside>), EndpointError> {
        let bind = |source| EndpointError::Bind { addr, source };
        let (socket, buffers) = socket::open(addr).map_err(bind)?;
        let far = Arc::new(transport(SAFE_PACKET, PACKET, Arc::new(Knee::default())));
        let mut server = ServerConfig::with_crypto(Arc::new(certificate.server()?));
        server.transport_config(far.clone()).max_incoming(256).incoming_buffer_size_total(4 << 20);
        let nearby = Arc::new(nearby(tuning));
        let mut nearby_server = server.clone();
        nearby_server.transport_config(nearby.clone());
        let loopback = (nearby, Arc::new(nearby_server));
        // The same key after a restart: peers of the former process learn at once that it has ended (RFC 9000 §10.3).
        let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, reset_key);
        let mut config = EndpointConfig::new(Arc::new(reset_key));
        // So that the first byte distinguishes QUIC from other protocols on this socket (RFC 9443).
        config.grease_quic_bit(false);
        config.max_udp_payload_size(LOOPBACK_PACKET).expect("it is far above QUIC's minimum");
        let (aside, asides) = mpsc::channel(ASIDES_MAX);
        let peer_socket = PeerSocket::new(socket, aside).map_err(bind)?;
        let socket = Bundling::new(peer_socket.clone());
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(config, Some(server), socket.clone(), runtime)
            .map_err(bind)?;
        let local = endpoint.local_addr().map_err(bind)?;
        let (certificate, traffic, moves) = (Arc::new(certificate), Arc::default(), Arc::default());
        let this = Self {
            endpoint,
            socket,
            peer_socket,
            certificate,
            far,
            loopback,
            local,
            buffers,
            traffic,
            tuning,
            moves,
        };
        Ok((this, asides))
    }

    /// The socket under QUIC, for datagrams that are not QUIC's.
    pub fn peer_socket(&self) -> &Arc<PeerSocket> {
        &self.peer_socket
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Families of addresses that can be dialled, and can dial this endpoint.
    pub fn families(&self) -> Families {
        Families::of(self.local)
    }

    /// `None` when the other side proved no key, which TLS prevents.
    pub fn link(&self, connection: Connection, end: End) -> Option<Link> {
        Link::new(connection, end, self.peer_socket.clone(), self.traffic.clone(), self.tuning)
    }

    /// Bytes of the receive and send buffers that the kernel granted.
    pub fn granted_buffers(&self) -> (usize, usize) {
        self.buffers
    }

    /// Packets, or bundles of them, that the system did not send or receive, since the start.
    pub fn packets_lost(&self) -> u64 {
        self.socket.lost()
    }

    /// Call when this machine's addresses have changed. Links that this side dialled go on from the new address: each
    /// sends a packet at once, so the other side learns it. Links that the other side dialled end with the address that
    /// they were dialled at ([`Link::has_lost`]).
    pub fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
        // The same socket: it is bound to no particular address, or to one that is gone for good.
        if let Err(error) = self.endpoint.rebind_abstract(self.socket.clone()) {
            tracing::debug!("the links did not move to the new address: {error}");
        }
    }

    /// How often this machine's addresses have changed since the start.
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// The next incoming handshake; `None` once the endpoint is closed.
    pub async fn incoming(&self) -> Option<quinn::Incoming> {
        self.endpoint.accept().await
    }

    /// Accepts a handshake.
    ///
    /// # Errors
    /// Those of [`quinn::Incoming::accept`].
    pub fn accept(&self, incoming: quinn::Incoming) -> Result<quinn::Connecting, quinn::ConnectionError> {
        let place = self.calling(&incoming);
        match self.virtual_transport(place) {
            Some(transport) => {
                let mut server = ServerConfig::clone(&self.loopback.1);
                server.transport_config(Arc::new(transport));
                incoming.accept_with(Arc::new(server))
            }
            None if place.is_near() => incoming.accept_with(self.loopback.1.clone()),
            None => incoming.accept(),
        }
    }

    /// Whether a connection goes over a virtual address.
    pub fn is_virtual(&self, connection: &Connection) -> bool {
        Place::of(connection, self.peer_socket()).virtual_addr().is_some()
    }

    /// Where a handshake comes from.
    pub fn calling(&self, incoming: &quinn::Incoming) -> Place {
        Place::calling(incoming, &self.peer_socket)
    }

    /// For a peer at a virtual address, whose path may change at any time.
    fn virtual_transport(&self, place: Place) -> Option<TransportConfig> {
        let moves = self.peer_socket.moves(place.virtual_addr()?)?;
        let mut transport = if place.is_near() {
            nearby(self.tuning)
        } else {
            transport(SAFE_PACKET, VIRTUAL_PACKET, Arc::new(Knee { moves: Some(moves) }))
        };
        transport
            .max_idle_timeout(Some(IdleTimeout::try_from(VIRTUAL_IDLE).expect("QUIC allows longer ones")))
            .keep_alive_interval(Some(VIRTUAL_KEEP_ALIVE));
        if let Some(chosen) = place.chosen() {
            transport.initial_rtt(chosen.rtt.clamp(RTT_MIN, RTT_MAX));
        }
        Some(transport)
    }

    /// Dials, and checks that the other side has the expected key. Only the greeting shows whether it accepts this
    /// side's. Where a path that NAT traversal found leads to the address, that path is dialled.
    ///
    /// # Errors
    /// No answer within the transport's timeout, or another key.
    pub async fn dial(&self, addr: SocketAddr, peer: PeerId) -> Result<Connection, DialError> {
        let mut config = ClientConfig::new(Arc::new(self.certificate.client(peer)?));
        let addr = self.peer_socket.addr_to_dial(addr);
        let place = Place::at(addr, &self.peer_socket);
        config.transport_config(match self.virtual_transport(place) {
            Some(transport) => Arc::new(transport),
            None if place.is_near() => self.loopback.0.clone(),
            None => self.far.clone(),
        });
        Ok(self.endpoint.connect_with(config, addr, tls::SERVER_NAME)?.await?)
    }

    /// Refuses new connections and closes every link with this code, then waits until the other sides know, or
    /// `patience` is over.
    pub async fn close(&self, code: u32, patience: Duration) {
        self.endpoint.set_server_config(None);
        self.endpoint.close(VarInt::from_u32(code), b"");
        tokio::time::timeout(patience, self.endpoint.wait_idle()).await.ok();
    }
}

/// For peers on this machine: there is no path to measure, and CUBIC costs less CPU.
fn nearby(tuning: Tuning) -> TransportConfig {
    let mut cubic = CubicConfig::default();
    cubic.initial_window(INITIAL_WINDOW);
    transport(tuning.packet, tuning.packet, Arc::new(cubic))
}

/// With packets of `first` bytes from the start, and up to `largest` once a probe of that size has arrived.
fn transport(
    first: u16,
    largest: u16,
    controller: Arc<dyn ControllerFactory + Send + Sync>,
) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(largest);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE).expect("QUIC allows longer ones")))
        .keep_alive_interval(Some(KEEP_ALIVE))
        // Each allowed stream uses memory from the start of the link; one more than are served, for the control stream.
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_SERVED_MAX + 1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u64(window::FIRST).expect("QUIC allows larger ones"))
        .send_window(window::FIRST)
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(Some(mtu))
        .initial_mtu(first)
        .congestion_controller_factory(controller);
    transport
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use fyteclub_proto::{limit::DIAL_DATAGRAMS, number::u64_of, reaching::connector::TRY_TIME};

    /// The ledger charges this many for a dial: an address that a peer named must not get more.
    #[tokio::test]
    async fn silent_address_gets_few_datagrams() {
        let certificate = Certificate::new(&SigningKey::from_bytes(&[1; 32])).expect("a certificate");
        let anywhere = ([127, 0, 0, 1], 0).into();
        let (endpoint, _asides) =
            QuicEndpoint::bind(anywhere, certificate, &[2; 32], Tuning::default()).expect("an endpoint");
        let silent = async |transport: &Arc<TransportConfig>| {
            let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
            silent.set_nonblocking(true).expect("a mode");
            let addr = silent.local_addr().expect("bound");
            let tls = endpoint.certificate.client(PeerId::from_bytes([3; 32])).expect("TLS");
            let mut config = ClientConfig::new(Arc::new(tls));
            config.transport_config(transport.clone());
            let dial = endpoint.endpoint.connect_with(config, addr, tls::SERVER_NAME).expect("a dial");
            assert!(tokio::time::timeout(TRY_TIME, dial).await.is_err(), "nobody answers");
            endpoint.endpoint.wait_idle().await;
            let mut buffer = [0; 2048];
            u64_of(std::iter::from_fn(|| silent.recv(&mut buffer).ok()).count())
        };
        let (far, near) = tokio::join!(silent(&endpoint.far), silent(&endpoint.loopback.0));
        assert!((2..=DIAL_DATAGRAMS).contains(&far) && (2..=DIAL_DATAGRAMS).contains(&near), "{far} {near}");
    }
}
