//! The relay's machine under its lock, and the ways out of it: the UDP port, and the WebSockets.
//!
//! The lock is held for the frames of one sender that came together, and never while anything is sent.

use super::{outlet::Outlet, socket::Socket};
use crate::relay::{Counts, Granted, Place, Refused, Relay, Seed, Settings, Source, Verdict};
use fyteclub_proto::{
    id::PeerId,
    phonebook::{RelayGrant, RelayRefusal},
    reaching::wire::relay::{Body, Frame, Leg, Limit},
};
use prometheus_client::metrics::counter::Counter;
use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How clients reach the relay.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    pub(crate) udp: bool,
    pub(crate) tcp: bool,
    pub(crate) address: Option<String>,
}

/// Shared by the datagrams' thread and the workers.
pub(crate) struct Hub {
    relay: Mutex<Relay>,
    /// Set once the port is served, and owned by who serves it; without it there are WebSockets only.
    udp: OnceLock<Weak<Socket>>,
    outlets: Mutex<HashMap<u64, Arc<Outlet>>>,
    numbers: AtomicU64,
    is_stopping: AtomicBool,
    ways: Ways,
    /// Frames that neither the system nor a WebSocket's queue took.
    unsent: Counter,
}

/// What comes of the frames of one sender; kept for the next ones, so that none allocates.
#[derive(Default)]
pub(crate) struct Sorted {
    runs: Vec<Run>,
    replies: Vec<(Leg, Body<'static>, bool)>,
}

/// Frames that follow each other, of one length but the last, to one place.
struct Run {
    to: Place,
    local: Option<IpAddr>,
    range: Range<usize>,
    each: usize,
}

impl Hub {
    /// # Errors
    /// There is no randomness.
    pub(crate) fn new(settings: Settings, ways: Ways, unsent: Counter) -> io::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        Ok(Self {
            relay: Mutex::new(Relay::new(settings, secret, Instant::now())),
            udp: OnceLock::new(),
            outlets: Mutex::default(),
            numbers: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            ways,
            unsent,
        })
    }

    /// A session of two keys, for their introduction.
    ///
    /// # Errors
    /// The relay, or a key, has its number of them.
    pub(crate) fn grant(&self, keys: [PeerId; 2]) -> Result<[RelayGrant; 2], RelayRefusal> {
        let Ways { udp, tcp, address } = &self.ways;
        match self.open(keys) {
            Ok(legs) => Ok(legs.map(|Granted { leg, token }| RelayGrant {
                leg,
                token,
                udp: *udp,
                tcp: *tcp,
                address: address.clone(),
            })),
            Err(Refused { limit, retry_after }) => {
                Err(RelayRefusal { limit, retry_after: retry_after.as_secs() })
            }
        }
    }

    fn open(&self, keys: [PeerId; 2]) -> Result<[Granted; 2], Refused> {
        let mut seeds: [Seed; 2] = [[0; 40]; 2];
        let filled = seeds.iter_mut().try_for_each(|seed| getrandom::fill(seed));
        if filled.is_err() {
            return Err(Refused { limit: Limit::Full, retry_after: Duration::from_secs(60) });
        }
        self.relay().open(Instant::now(), keys, seeds)
    }

    /// Ends silent sessions; to be called every second or so.
    pub(crate) fn pass(&self) {
        self.relay().pass(Instant::now());
    }

    pub(crate) fn sessions(&self) -> usize {
        self.relay().sessions()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.relay().counts()
    }

    pub(super) fn serve_udp(&self, socket: &Arc<Socket>) {
        // There is one port.
        self.udp.set(Arc::downgrade(socket)).ok();
    }

    /// Judges frames of one sender, each `stride` bytes long but the last, and forwards them. `may_reply` says whether
    /// one more reply to an address that has proven nothing may be sent.
    pub(super) fn frames(
        &self,
        from: Source,
        bytes: &mut [u8],
        stride: usize,
        sorted: &mut Sorted,
        may_reply: impl Fn() -> bool,
    ) {
        self.sort(from, bytes, stride, sorted);
        let udp = self.udp.get().and_then(Weak::upgrade);
        for Run { to, local, range, each } in sorted.runs.drain(..) {
            self.send(udp.as_deref(), (to, local), &bytes[range], each);
        }
        for (leg, body, proven) in sorted.replies.drain(..) {
            if proven || may_reply() {
                let frame = Frame { leg, body }.encode();
                self.send(udp.as_deref(), (from.place, from.local), &frame, frame.len());
            }
        }
    }

    fn sort(&self, from: Source, bytes: &mut [u8], stride: usize, sorted: &mut Sorted) {
        let now = Instant::now();
        let mut relay = self.relay();
        let mut at = 0;
        for frame in bytes.chunks_mut(stride) {
            let range = at..at + frame.len();
            at = range.end;
            match relay.receive(now, from, frame) {
                Verdict::Forward { to, local } => match sorted.runs.last_mut() {
                    Some(run) if run.to == to && run.range.end == range.start => run.range.end = range.end,
                    _ => sorted.runs.push(Run { to, local, range, each: stride }),
                },
                Verdict::Reply { leg, body, proven } => sorted.replies.push((leg, body, proven)),
                Verdict::Drop => {}
            }
        }
    }

    /// Sends frames of `each` bytes but the last. What is not taken at once is lost.
    fn send(&self, udp: Option<&Socket>, to: (Place, Option<IpAddr>), frames: &[u8], each: usize) {
        let (to, local) = to;
        let lost = match (to, udp) {
            (Place::Udp(to), Some(udp)) => udp.send_many(frames, each, to, local),
            (Place::Udp(_), None) => frames.len().div_ceil(each),
            (Place::Socket(socket), _) => match self.outlet(socket) {
                Some(outlet) => frames.chunks(each).filter(|frame| !outlet.push(frame)).count(),
                None => frames.len().div_ceil(each),
            },
        };
        if lost > 0 {
            self.unsent.inc_by(fyteclub_proto::number::u64_of(lost));
        }
    }

    /// A new WebSocket: its number, and what it sends. `None`: the phone book stops.
    pub(crate) fn arrive(&self) -> Option<(u64, Arc<Outlet>)> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let outlet = Arc::new(Outlet::default());
        self.outlets().insert(number, Arc::clone(&outlet));
        if self.is_stopping.load(Ordering::SeqCst) {
            self.leave(number);
            return None;
        }
        Some((number, outlet))
    }

    pub(crate) fn leave(&self, socket: u64) {
        self.outlets().remove(&socket);
        self.relay().left(socket);
    }

    /// Whether a WebSocket has proven a leg that is still there.
    pub(crate) fn knows(&self, socket: u64) -> bool {
        self.relay().knows(socket)
    }

    /// Open WebSockets.
    pub(crate) fn sockets(&self) -> usize {
        self.outlets().len()
    }

    /// Ends all WebSockets.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        for outlet in self.outlets().values() {
            outlet.stop();
        }
    }

    fn outlet(&self, socket: u64) -> Option<Arc<Outlet>> {
        self.outlets().get(&socket).cloned()
    }

    fn outlets(&self) -> MutexGuard<'_, HashMap<u64, Arc<Outlet>>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A panic under the lock loses frames at most.
    fn relay(&self) -> MutexGuard<'_, Relay> {
        self.relay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
