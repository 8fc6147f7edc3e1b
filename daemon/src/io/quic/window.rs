//! How much of a link's bytes this machine may hold: little on most paths, as much as a far and fast one needs.
//!
//! What is in flight must be held by the sender until it is acknowledged, and by the receiver when something before it was
//! lost. On a path of 1 Gbit and 150 ms that is 19 MB; on most it is less than one. So both windows begin small and follow
//! what is measured while bytes flow. All links that carry something at the same time share what one of them may have.

use fyteclub_proto::fetching::pace::Direction;
use quinn::{Connection, VarInt};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Both, of a link within this machine: there is no distance to fill, and what is there to be measured is how busy the
/// machine is (docs/decisions/0022).
pub const NEAR: u64 = 3 << 20;
/// All streams of a link together, to receive.
pub const RECEIVE: u64 = 12 << 20;
/// What a link may have sent and not heard of.
pub const SEND: u64 = 8 << 20;
/// Neither grows beyond this: 1 Gbit over 150 ms, and what the promise on memory leaves room for.
pub const MOST: u64 = 24 << 20;
/// Before a link's first request: several that begin at once must not have each been promised all of it.
pub const FIRST: u64 = 1 << 20;
/// What all links that carry something share, a direction: those within this machine, and any.
const ALL_NEAR: u64 = 8 << 20;
const ALL: u64 = MOST;
/// However many there are, each may have this: two chunks.
const LEAST: u64 = 512 << 10;
/// Rates are taken over no less than this.
const SPAN: Duration = Duration::from_millis(200);

/// How many links of a daemon carry requests now, a direction.
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

/// A link's two windows, as they are now, and its requests.
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
    /// What the path would need.
    wanted: u64,
    since: Instant,
    bytes: u64,
}

/// One request of a link, as long as it runs.
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

    /// Whether a request runs, either way.
    pub fn carries(&self) -> bool {
        [Direction::Up, Direction::Down]
            .into_iter()
            .any(|direction| self.requests.links(direction).load(Ordering::Relaxed) > 0)
    }

    fn share(&self, direction: Direction) -> u64 {
        share(self.near, self.traffic.links(direction).load(Ordering::Relaxed))
    }

    /// Follows the congestion window.
    pub fn follow(&self, connection: &Connection) {
        let wanted = if self.near { NEAR } else { to_send(connection.stats().path.cwnd) };
        let share = self.share(Direction::Up);
        let mut window = self.send.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = changed(*window, wanted, share) {
            *window = next;
            connection.set_send_window(next);
        }
    }

    /// So many bytes have come.
    pub fn received(&self, connection: &Connection, bytes: u64) {
        let share = self.share(Direction::Down);
        let mut receiving = self.receive.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.near {
            receiving.measure(bytes, connection.rtt());
        }
        if let Some(next) = changed(receiving.window, receiving.wanted, share) {
            receiving.window = next;
            connection.set_receive_window(VarInt::from_u32(next as u32));
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

/// What one of so many links may have.
fn share(near: bool, links: usize) -> u64 {
    let all = if near { ALL_NEAR } else { ALL };
    (all / links.max(1) as u64).max(LEAST)
}

/// What is in flight, and half of it for what was lost and is under way once more.
fn to_send(congestion: u64) -> u64 {
    (congestion + congestion / 2).clamp(SEND, MOST)
}

/// Twice what comes in a round trip: a window that is used up limits what is measured, so that it grows by doubling.
fn to_receive(bytes: u64, span: Duration, rtt: Duration) -> u64 {
    let product = bytes as f64 / span.as_secs_f64() * rtt.as_secs_f64();
    ((2.0 * product) as u64).clamp(RECEIVE, MOST)
}

/// Small changes are not worth a word to the other side; a window shrinks only when half of it is too much for the path,
/// or a quarter for those it is shared with.
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
    fn far_and_fast_paths_get_their_product_and_no_more_than_is_promised() {
        let (second, rtt) = (Duration::from_secs(1), Duration::from_millis(100));
        assert_eq!(to_send(12 << 20), 18 << 20);
        assert_eq!(to_send(1 << 30), MOST);
        assert_eq!(to_receive(100_000_000, second, rtt), 20_000_000);
        assert_eq!(to_receive(u64::MAX, second, rtt), MOST);
    }

    #[test]
    fn a_window_does_not_follow_every_breath() {
        assert_eq!(changed(12 << 20, 12 << 20, ALL), None);
        assert_eq!(changed(16 << 20, 15 << 20, ALL), None);
        assert_eq!(changed(12 << 20, 20 << 20, ALL), Some(20 << 20));
        assert_eq!(changed(24 << 20, 12 << 20, ALL), Some(12 << 20));
        assert_eq!(changed(12 << 20, 20 << 20, 11 << 20), None, "a little too much, for a while");
        assert_eq!(changed(12 << 20, 20 << 20, 8 << 20), Some(8 << 20));
        assert_eq!(changed(8 << 20, 20 << 20, 8 << 20), None);
    }

    #[test]
    fn links_that_carry_share_what_one_may_have_and_each_has_some() {
        let traffic = Arc::new(Traffic::default());
        let links =
            [true, true, false].map(|near| Arc::new(Windows::new(near, traffic.clone(), Instant::now())));
        let shares = || [0, 1, 2].map(|n| links[n].share(Direction::Up));
        assert_eq!(shares(), [ALL_NEAR, ALL_NEAR, ALL], "who carries nothing takes nothing");
        let first = [links[0].carry(Direction::Up), links[0].carry(Direction::Up)];
        assert_eq!(shares(), [ALL_NEAR, ALL_NEAR, ALL], "two requests of a link are one link");
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
