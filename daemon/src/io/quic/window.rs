//! Limits the bytes of a link that this machine buffers: few on most paths, more on long fast ones.
//!
//! The sender keeps bytes in flight until they are acknowledged, and the receiver keeps bytes that arrived after a lost
//! one. On a path of 1 Gbit and 150 ms that is 19 MB; on most it is less than one. So both windows begin small and
//! follow the measured path while bytes flow. All active links share one limit.

use fyteclub_proto::{
    fetching::pace::Direction,
    number::{f64_of, u64_of, whole},
};
use quinn::{Connection, VarInt};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Both windows of a link within this machine: the path has no length, and a measurement would show how busy the
/// machine is (docs/decisions/0022).
pub const NEAR: u64 = 3 << 20;
/// All streams of a link together, to receive.
pub const RECEIVE: u64 = 12 << 20;
/// Sent and not acknowledged.
pub const SEND: u64 = 8 << 20;
/// The maximum of both: 1 Gbit over 150 ms, within the promised memory.
pub const MOST: u64 = 24 << 20;
/// Before a link's first request: several links that begin at once must not each get the full window.
pub const FIRST: u64 = 1 << 20;
/// Shared by all active links, for each direction: those within this machine, and all.
const ALL_NEAR: u64 = 8 << 20;
const ALL: u64 = MOST;
/// The minimum for each link: two chunks.
const LEAST: u64 = 512 << 10;
/// The least time over which a rate is measured.
const SPAN: Duration = Duration::from_millis(200);

/// The number of links with running requests, for each direction.
#[derive(Debug, Default)]
pub struct Traffic {
    up: AtomicUsize,
    down: AtomicUsize,
}

impl Traffic {
    fn links(&self, direction: Direction) -> &AtomicUsize {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

/// A link's current windows, and its requests.
#[derive(Debug)]
pub struct Windows {
    near: bool,
    traffic: Arc<Traffic>,
    requests: Traffic,
    send: Mutex<u64>,
    receive: Mutex<Receiving>,
}

#[derive(Debug)]
struct Receiving {
    window: u64,
    /// The window that fits the path.
    wanted: u64,
    since: Instant,
    bytes: u64,
}

/// One request of a link, while it runs.
#[derive(Debug)]
pub struct Carrying {
    windows: Arc<Windows>,
    direction: Direction,
}

impl Drop for Carrying {
    fn drop(&mut self) {
        let Self { windows, direction } = self;
        if windows.requests.links(*direction).fetch_sub(1, Ordering::Relaxed) == 1 {
            windows.traffic.links(*direction).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Windows {
    pub fn new(near: bool, traffic: Arc<Traffic>, now: Instant) -> Self {
        let wanted = if near { NEAR } else { RECEIVE };
        let receive = Receiving { window: FIRST, wanted, since: now, bytes: 0 };
        let requests = Traffic::default();
        Self { near, traffic, requests, send: Mutex::new(FIRST), receive: Mutex::new(receive) }
    }

    /// A request begins.
    pub fn carry(self: &Arc<Self>, direction: Direction) -> Carrying {
        if self.requests.links(direction).fetch_add(1, Ordering::Relaxed) == 0 {
            self.traffic.links(direction).fetch_add(1, Ordering::Relaxed);
        }
        Carrying { windows: self.clone(), direction }
    }

    /// Whether a request runs, in either direction.
    pub fn carries(&self) -> bool {
        [Direction::Up, Direction::Down]
            .into_iter()
            .any(|direction| self.requests.links(direction).load(Ordering::Relaxed) > 0)
    }

    fn share(&self, direction: Direction) -> u64 {
        share(self.near, self.traffic.links(direction).load(Ordering::Relaxed))
    }

    /// Adapts the send window to the congestion window.
    pub fn follow(&self, connection: &Connection) {
        let wanted = if self.near { NEAR } else { to_send(connection.stats().path.cwnd) };
        let share = self.share(Direction::Up);
        let mut window = self.send.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = changed(*window, wanted, share) {
            *window = next;
            connection.set_send_window(next);
        }
    }

    /// Adapts the receive window to `bytes` just received.
    pub fn received(&self, connection: &Connection, bytes: u64) {
        let share = self.share(Direction::Down);
        let mut receiving = self.receive.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.near {
            receiving.measure(bytes, connection.rtt());
        }
        if let Some(next) = changed(receiving.window, receiving.wanted, share) {
            receiving.window = next;
            connection.set_receive_window(VarInt::from_u64(next).unwrap_or(VarInt::MAX));
        }
    }
}

impl Receiving {
    fn measure(&mut self, bytes: u64, rtt: Duration) {
        self.bytes += bytes;
        let now = Instant::now();
        let span = now - self.since;
        if span >= SPAN.max(rtt) {
            self.wanted = to_receive(self.bytes, span, rtt);
            (self.since, self.bytes) = (now, 0);
        }
    }
}

/// The share of one of `links` links.
fn share(near: bool, links: usize) -> u64 {
    let all = if near { ALL_NEAR } else { ALL };
    (all / u64_of(links.max(1))).max(LEAST)
}

/// The bytes in flight, and half as many for those that were lost and are sent again.
fn to_send(congestion: u64) -> u64 {
    (congestion + congestion / 2).clamp(SEND, MOST)
}

/// Twice the bytes of a round trip: a full window limits the measurement, so that the window grows by doubling.
fn to_receive(bytes: u64, span: Duration, rtt: Duration) -> u64 {
    let product = f64_of(bytes) / span.as_secs_f64() * rtt.as_secs_f64();
    whole(2.0 * product).clamp(RECEIVE, MOST)
}

/// Small changes are not worth a frame to the other side; a window shrinks only when half of it is too much for the
/// path, or a quarter for its share.
fn changed(window: u64, wanted: u64, share: u64) -> Option<u64> {
    let next = wanted.min(share);
    let small = wanted > window / 2 && share > window - window / 4;
    let same = next <= window + window / 16 && small;
    (!same).then_some(next).filter(|next| *next != window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_slow_paths_keep_the_small_windows() {
        let second = Duration::from_secs(1);
        assert_eq!(to_send(2 << 20), SEND);
        assert_eq!(to_receive(12_500_000, second, Duration::from_millis(150)), RECEIVE);
        assert_eq!(to_receive(500_000_000, second, Duration::from_micros(300)), RECEIVE);
    }

    #[test]
    fn windows_follow_the_path_up_to_the_maximum() {
        let (second, rtt) = (Duration::from_secs(1), Duration::from_millis(100));
        assert_eq!(to_send(12 << 20), 18 << 20);
        assert_eq!(to_send(1 << 30), MOST);
        assert_eq!(to_receive(100_000_000, second, rtt), 20_000_000);
        assert_eq!(to_receive(u64::MAX, second, rtt), MOST);
    }

    #[test]
    fn window_ignores_small_changes() {
        assert_eq!(changed(12 << 20, 12 << 20, ALL), None);
        assert_eq!(changed(16 << 20, 15 << 20, ALL), None);
        assert_eq!(changed(12 << 20, 20 << 20, ALL), Some(20 << 20));
        assert_eq!(changed(24 << 20, 12 << 20, ALL), Some(12 << 20));
        assert_eq!(changed(12 << 20, 20 << 20, 11 << 20), None, "a little over its share is allowed");
        assert_eq!(changed(12 << 20, 20 << 20, 8 << 20), Some(8 << 20));
        assert_eq!(changed(8 << 20, 20 << 20, 8 << 20), None);
    }

    #[test]
    fn active_links_share_the_window_down_to_a_minimum() {
        let traffic = Arc::new(Traffic::default());
        let links =
            [true, true, false].map(|near| Arc::new(Windows::new(near, traffic.clone(), Instant::now())));
        let shares = || [0, 1, 2].map(|n| links[n].share(Direction::Up));
        assert_eq!(shares(), [ALL_NEAR, ALL_NEAR, ALL], "a link without requests takes no share");
        let first = [links[0].carry(Direction::Up), links[0].carry(Direction::Up)];
        assert_eq!(shares(), [ALL_NEAR, ALL_NEAR, ALL], "two requests of a link count once");
        let others = [links[1].carry(Direction::Up), links[2].carry(Direction::Up)];
        assert_eq!(shares(), [ALL_NEAR / 3, ALL_NEAR / 3, ALL / 3]);
        assert_eq!(links[0].share(Direction::Down), ALL_NEAR, "nothing comes");
        assert!(links.iter().all(|link| link.carries()));
        drop((first, others));
        assert_eq!(shares(), [ALL_NEAR, ALL_NEAR, ALL]);
        assert!(!links.iter().any(|link| link.carries()));
        assert_eq!(share(true, 1_000), LEAST);
    }
}
