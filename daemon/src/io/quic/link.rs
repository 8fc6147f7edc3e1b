//! One live connection with its data keys, as pumps use it.

use super::{
    Tuning,
    place::Place,
    stream::StreamError,
    tls,
    window::{Carrying, Traffic, Windows},
};
use fyteclub_proto::{
    fetching::pace::Direction,
    id::PeerId,
    number::{f64_of, whole},
    peer::CloseCode,
    seal::{EXPORTER_LABEL, End, EpochClock, EpochKey, LinkSecret},
};
use fyteclub_quic::peer_socket::PeerSocket;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Cheap to clone; the connection lives until it is closed or the last clone is dropped.
#[derive(Clone)]
pub struct Link {
    connection: Connection,
    id: usize,
    peer: PeerId,
    end: End,
    keys: Arc<Keys>,
    windows: Arc<Windows>,
    socket: Arc<PeerSocket>,
}

struct Keys {
    secret: LinkSecret,
    sending: Mutex<Sending>,
    /// The other side's newest epoch, and its key.
    receiving: Mutex<(u32, Arc<EpochKey>)>,
}

struct Sending {
    clock: EpochClock,
    epoch: u32,
    key: Arc<EpochKey>,
}

/// quinn's own id is a memory address, which a later connection may get again.
static LAST_ID: AtomicUsize = AtomicUsize::new(0);

impl Link {
    pub(super) fn new(
        connection: Connection,
        end: End,
        socket: Arc<PeerSocket>,
        traffic: Arc<Traffic>,
        tuning: Tuning,
    ) -> Option<Self> {
        let peer = tls::peer_of(&connection)?;
        let mut exported = [0; 32];
        connection.export_keying_material(&mut exported, EXPORTER_LABEL, b"").ok()?;
        let secret = LinkSecret::new(exported, end);
        let clock = EpochClock::new(Instant::now(), tuning.data_key_bytes);
        let sending = Sending { clock, epoch: 0, key: Arc::new(secret.sealing(0)) };
        let receiving = (0, Arc::new(secret.opening(0)));
        let keys = Keys { secret, sending: Mutex::new(sending), receiving: Mutex::new(receiving) };
        let near = Place::of(&connection, &socket).is_near();
        let windows = Arc::new(Windows::new(near, traffic, Instant::now()));
        Some(Self {
            connection,
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            end,
            keys: Arc::new(keys),
            windows,
            socket,
        })
    }

    pub fn peer(&self) -> PeerId {
        self.peer
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// Unique among all links of this process, also closed ones.
    pub fn id(&self) -> usize {
        self.id
    }

    /// The key, and its epoch, for a new stream of about `bytes`.
    pub fn sealing(&self, bytes: u64) -> (u32, Arc<EpochKey>) {
        let mut sending = self.keys.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = sending.clock.epoch(Instant::now(), bytes);
        if epoch != sending.epoch {
            tracing::debug!(peer = %self.peer.short(), epoch, "the data key changes");
            sending.epoch = epoch;
            sending.key = Arc::new(self.keys.secret.sealing(epoch));
        }
        (epoch, sending.key.clone())
    }

    /// The key of an epoch that the other side names. Epochs rise one by one; an older stream may still use the one
    /// before.
    pub fn opening(&self, epoch: u32) -> Option<Arc<EpochKey>> {
        let mut receiving = self.keys.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = receiving.0;
        if epoch == newest {
            return Some(receiving.1.clone());
        }
        if epoch == newest.checked_add(1)? {
            *receiving = (epoch, Arc::new(self.keys.secret.opening(epoch)));
            return Some(receiving.1.clone());
        }
        (epoch.checked_add(1)? == newest).then(|| Arc::new(self.keys.secret.opening(epoch)))
    }

    /// # Errors
    /// The connection has ended.
    pub async fn open_stream(&self) -> Result<(SendStream, RecvStream), StreamError> {
        Ok(self.connection.open_bi().await?)
    }

    /// # Errors
    /// The connection has ended.
    pub async fn accept_stream(&self) -> Result<(SendStream, RecvStream), quinn::ConnectionError> {
        self.connection.accept_bi().await
    }

    pub fn close(&self, code: CloseCode) {
        self.connection.close(VarInt::from_u32(code.number()), b"");
    }

    /// Whether either side has closed it, or it broke.
    pub fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Resolves when the connection has ended, with the reason.
    pub async fn closed(&self) -> quinn::ConnectionError {
        self.connection.closed().await
    }

    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Datagrams received from the peer so far: when the count stops, the path is broken.
    pub fn datagrams_heard(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    /// Counts a request on this link until the returned value is dropped.
    pub fn carry(&self, direction: Direction) -> Carrying {
        self.windows.carry(direction)
    }

    /// Whether a request runs, in either direction.
    pub fn carries(&self) -> bool {
        self.windows.carries()
    }

    /// Call while bytes are sent: adapts the send window to the path and to the number of active links.
    pub fn sending(&self) {
        self.windows.follow(&self.connection);
    }

    /// Call for received bytes: adapts the receive window to the path and to the number of active links.
    pub fn received(&self, bytes: u64) {
        self.windows.received(&self.connection, bytes);
    }

    /// The congestion window per round trip: an upper estimate of the path's rate, in bytes a second.
    pub fn rate_estimate(&self) -> u64 {
        let path = self.connection.stats().path;
        whole(f64_of(path.cwnd) / path.rtt.as_secs_f64().max(0.000_01))
    }

    /// The other end's current place.
    pub fn place(&self) -> Place {
        Place::of(&self.connection, &self.socket)
    }

    /// Whether this link was dialled to an address that this machine no longer has: no packet can be sent from there,
    /// and the other side accepts none from another address. Never over a virtual address. `here`: all current addresses.
    pub fn has_lost(&self, here: &[IpAddr]) -> bool {
        let at = self.connection.local_ip().map(|ip| ip.to_canonical()).filter(|ip| !ip.is_loopback());
        let is_bound = self.end == End::Acceptor && self.place().virtual_addr().is_none();
        is_bound && at.is_some_and(|at| !here.contains(&at))
    }
}
