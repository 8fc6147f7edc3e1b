//! One live connection with its data keys: what pumps are given.

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
    peer::CloseCode,
    seal::{EXPORTER_LABEL, End, EpochClock, EpochKey, LinkSecret},
};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Cheap to clone; the connection lives as long as one clone does, or until it is closed.
#[derive(Clone)]
pub struct Link {
    connection: Connection,
    id: usize,
    peer: PeerId,
    end: End,
    keys: Arc<Keys>,
    windows: Arc<Windows>,
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

/// quinn's own id is an address in memory, which the next connection may get again.
static LAST_ID: AtomicUsize = AtomicUsize::new(0);

impl Link {
    pub(super) fn new(
        connection: Connection,
        end: End,
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
        let near = Place::of(&connection).is_near();
        let windows = Arc::new(Windows::new(near, traffic, Instant::now()));
        Some(Self {
            connection,
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            end,
            keys: Arc::new(keys),
            windows,
        })
    }

    pub fn peer(&self) -> PeerId {
        self.peer
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// Tells this link from every other of this process, also from those that are gone.
    pub fn id(&self) -> usize {
        self.id
    }

    /// The key for a stream that begins now and will carry about `bytes`, and its epoch.
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
        Ok(self.connection.open_bi().await?)
    }

    /// # Errors
    /// The connection is gone.
    pub async fn accept_stream(&self) -> Result<(SendStream, RecvStream), quinn::ConnectionError> {
        self.connection.accept_bi().await
    }

    pub fn close(&self, code: CloseCode) {
        self.connection.close(VarInt::from_u32(code as u32), b"");
    }

    /// Either side has closed it, or it broke.
    pub fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
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

    /// A request runs on this link until what is returned is dropped.
    pub fn carry(&self, direction: Direction) -> Carrying {
        self.windows.carry(direction)
    }

    /// Whether a request runs, either way.
    pub fn carries(&self) -> bool {
        self.windows.carries()
    }

    /// To be called while bytes are sent: what may be held for them follows the path, and who else carries.
    pub fn sending(&self) {
        self.windows.follow(&self.connection);
    }

    /// To be called with what has come: what may be held of it follows the path, and who else carries.
    pub fn received(&self, bytes: u64) {
        self.windows.received(&self.connection, bytes);
    }

    /// What the congestion window carries in a round trip: an upper estimate of the path's rate, in bytes a second.
    pub fn rate_estimate(&self) -> u64 {
        let path = self.connection.stats().path;
        (path.cwnd as f64 / path.rtt.as_secs_f64().max(0.000_01)) as u64
    }

    /// Where the other end is now.
    pub fn place(&self) -> Place {
        Place::of(&self.connection)
    }

    /// Whether this link came to an address that this machine does not have any more: nothing can be sent from there,
    /// and the other side takes nothing from elsewhere. `here` is all that this machine has.
    pub fn has_lost(&self, here: &[IpAddr]) -> bool {
        let at = self.connection.local_ip().map(|ip| ip.to_canonical()).filter(|ip| !ip.is_loopback());
        self.end == End::Acceptor && at.is_some_and(|at| !here.contains(&at))
    }
}
