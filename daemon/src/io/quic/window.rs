//! How much of a link's bytes this machine may hold: little on most paths, as much as a far and fast one needs.
//!
//! What is in flight must be held by the sender until it is acknowledged, and by the receiver when something before it was
//! lost. On a path of 1 Gbit and 150 ms that is 19 MB; on most it is less than one. So both windows begin small and follow
//! what is measured while bytes flow.

use quinn::{Connection, VarInt};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Both, of a link within this machine, and for good: there is no distance to fill, and what is there to be measured is
/// how busy the machine is (docs/decisions/0022).
pub const NEAR: u64 = 3 << 20;
/// All streams of a link together, to receive.
pub const RECEIVE: u64 = 12 << 20;
/// What a link may have sent and not heard of.
pub const SEND: u64 = 8 << 20;
/// Neither grows beyond this: 1 Gbit over 150 ms, and what the promise on memory leaves room for.
pub const MOST: u64 = 24 << 20;
/// Rates are taken over no less than this.
const SPAN: Duration = Duration::from_millis(200);

/// A link's two windows, as they are now.
#[derive(Debug)]
pub struct Windows {
    send: Mutex<u64>,
    receive: Mutex<Receiving>,
}

#[derive(Debug)]
struct Receiving {
    window: u64,
    since: Instant,
    bytes: u64,
}

impl Windows {
    pub fn new(now: Instant) -> Self {
        Self {
            send: Mutex::new(SEND),
            receive: Mutex::new(Receiving { window: RECEIVE, since: now, bytes: 0 }),
        }
    }

    /// Follows the congestion window.
    pub fn follow(&self, connection: &Connection) {
        let wanted = to_send(connection.stats().path.cwnd);
        let mut window = self.send.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wanted) = changed(*window, wanted) {
            *window = wanted;
            connection.set_send_window(wanted);
        }
    }

    /// So many bytes have come.
    pub fn received(&self, connection: &Connection, bytes: u64) {
        let mut receiving = self.receive.lock().unwrap_or_else(PoisonError::into_inner);
        receiving.bytes += bytes;
        let (now, rtt) = (Instant::now(), connection.rtt());
        let span = now - receiving.since;
        if span < SPAN.max(rtt) {
            return;
        }
        let wanted = to_receive(receiving.bytes, span, rtt);
        (receiving.since, receiving.bytes) = (now, 0);
        if let Some(wanted) = changed(receiving.window, wanted) {
            receiving.window = wanted;
            connection.set_receive_window(VarInt::from_u32(wanted as u32));
        }
    }
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

/// Small changes are not worth a word to the other side; a window shrinks only when half of it is too much.
fn changed(window: u64, wanted: u64) -> Option<u64> {
    (wanted > window + window / 16 || wanted <= window / 2).then_some(wanted)
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
        assert_eq!(changed(12 << 20, 12 << 20), None);
        assert_eq!(changed(16 << 20, 15 << 20), None);
        assert_eq!(changed(12 << 20, 20 << 20), Some(20 << 20));
        assert_eq!(changed(24 << 20, 12 << 20), Some(12 << 20));
    }
}
