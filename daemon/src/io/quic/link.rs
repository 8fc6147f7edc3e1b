//! One live connection with its data keys: what pumps are given.

use super::{stream::StreamError, tls};
use fyteclub_proto::{
    id::PeerId,
    local::reply::PathKind,
    peer::CloseCode,
    seal::{EXPORTER_LABEL, End, EpochClock, EpochKey, LinkSecret},
};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What a link may have under way in each direction before anything is known of its path.
pub const WINDOW_NEAR: u64 = 3 << 20;
/// And at most: 640 Mbit/s over 150 ms.
const WINDOW_MAX: u64 = 12 << 20;
/// The line that windows do not slow down, in bytes a second: 1 Gbit/s.
const LINE: u64 = 125_000_000;

/// Cheap to clone; the connection lives as long as one clone does, or until it is closed.
#[derive(Clone)]
pub struct Link {
    connection: Connection,
    peer: PeerId,
    end: End,
    keys: Arc<Keys>,
    /// Shortest round trip so far, in microseconds: what the windows are for.
    shortest: Arc<AtomicU64>,
}

struct Keys {
    secret: LinkSecret,
    sending: Mutex<Sending>,
    /// The newest epoch that the other side used, and its key.
    receiving: Mutex<(u32, Arc<EpochKey>)>,
}

struct Sending {
    clock: EpochClock,
    epoch: u32,
    key: Arc<EpochKey>,
}

impl Link {
    /// `None` when the other side proved no key, which TLS does not let happen.
    pub fn new(connection: Connection, end: End) -> Option<Self> {
        let peer = tls::peer_of(&connection)?;
        let mut exported = [0; 32];
        connection.export_keying_material(&mut exported, EXPORTER_LABEL, b"").ok()?;
        let secret = LinkSecret::new(exported, end);
        let sending =
            Sending { clock: EpochClock::new(Instant::now()), epoch: 0, key: Arc::new(secret.sealing(0)) };
        let receiving = (0, Arc::new(secret.opening(0)));
        let keys = Keys { secret, sending: Mutex::new(sending), receiving: Mutex::new(receiving) };
        let shortest = Arc::new(AtomicU64::new(u64::MAX));
        let link = Self { connection, peer, end, keys: Arc::new(keys), shortest };
        link.fit_window();
        Some(link)
    }

    /// Windows are memory on both sides, and only a long path needs large ones: as much as [`LINE`] carries in a round
    /// trip. In the shortest that was seen: a slow disk makes it longer, and a larger window would make it longer still.
    fn fit_window(&self) {
        let rtt = u64::try_from(self.connection.rtt().as_micros()).unwrap_or(u64::MAX);
        if rtt < self.shortest.fetch_min(rtt, Ordering::Relaxed) {
            let window = WINDOW_NEAR.saturating_add(rtt.saturating_mul(LINE / 1_000_000)).min(WINDOW_MAX);
            self.connection.set_send_window(window);
            self.connection.set_receive_window(VarInt::from_u64(window).unwrap_or(VarInt::MAX));
        }
    }

    pub fn peer(&self) -> PeerId {
        self.peer
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// Tells this link from every other of this process.
    pub fn id(&self) -> usize {
        self.connection.stable_id()
    }

    /// The key for a stream that begins now and will carry about `bytes`, and its epoch.
    pub fn sealing(&self, bytes: u64) -> (u32, Arc<EpochKey>) {
        let mut sending = self.keys.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = sending.clock.epoch(Instant::now(), bytes);
        if epoch != sending.epoch {
            sending.epoch = epoch;
            sending.key = Arc::new(self.keys.secret.sealing(epoch));
        }
        (epoch, sending.key.clone())
    }

    /// The key of an epoch that the other side names. Epochs rise one by one; an older stream may still use the last.
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
    /// The connection is gone.
    pub async fn open_stream(&self) -> Result<(SendStream, RecvStream), StreamError> {
        self.fit_window();
        Ok(self.connection.open_bi().await?)
    }

    /// # Errors
    /// The connection is gone.
    pub async fn accept_stream(&self) -> Result<(SendStream, RecvStream), quinn::ConnectionError> {
        let stream = self.connection.accept_bi().await?;
        self.fit_window();
        Ok(stream)
    }

    pub fn close(&self, code: CloseCode) {
        self.connection.close(VarInt::from_u32(code as u32), b"");
    }

    /// Resolves when the connection is gone, with the reason.
    pub async fn closed(&self) -> quinn::ConnectionError {
        self.connection.closed().await
    }

    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Datagrams that came from the peer so far: when they stop, so did the path.
    pub fn datagrams_heard(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    /// What the congestion window carries in a round trip: an upper estimate of the path's rate, in bytes a second.
    pub fn rate_estimate(&self) -> u64 {
        let path = self.connection.stats().path;
        (path.cwnd as f64 / path.rtt.as_secs_f64().max(0.000_01)) as u64
    }

    /// Where the other end is now.
    pub fn addr(&self) -> std::net::SocketAddr {
        let addr = self.connection.remote_address();
        std::net::SocketAddr::new(addr.ip().to_canonical(), addr.port())
    }

    pub fn path(&self) -> PathKind {
        match self.connection.remote_address().ip().to_canonical() {
            ip if ip.is_loopback() => PathKind::Loopback,
            IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => PathKind::Lan,
            IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => PathKind::Lan,
            IpAddr::V4(_) | IpAddr::V6(_) => PathKind::Direct,
        }
    }
}
