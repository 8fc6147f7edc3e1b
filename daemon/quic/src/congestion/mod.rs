//! The congestion controller for far peers: [`Knee`] makes a [`Flow`] for each path, and this is its wiring to quinn.
//!
//! The rules are in `flow`, and know time only as an argument. Why not quinn's: docs/decisions/0021.

mod cubic;
mod flow;
mod model;

pub use flow::{Flow, INITIAL_WINDOW};

use crate::peer_socket::Moves;
use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use std::{any::Any, sync::Arc, time::Instant};

/// Makes controllers that keep the path at its knee: full rate, empty queue.
#[derive(Debug, Clone, Default)]
pub struct Knee {
    /// Of a peer whose path changes without QUIC's knowledge: each new path begins with what is known of none.
    pub moves: Option<Moves>,
}

impl ControllerFactory for Knee {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let flow = Flow::new(mtu, now);
        match self.moves.clone() {
            Some(moves) => Box::new(Movable::new(flow, mtu, now, moves)),
            None => Box::new(flow),
        }
    }
}

/// A flow that begins anew when its path changed.
#[derive(Debug, Clone)]
struct Movable {
    flow: Flow,
    mtu: u16,
    /// Acknowledgements of packets that were sent before tell of another path.
    since: Instant,
    moves: Moves,
    seen: u64,
}

impl Movable {
    fn new(flow: Flow, mtu: u16, now: Instant, moves: Moves) -> Self {
        Self { flow, mtu, since: now, seen: moves.count(), moves }
    }

    fn acked(&mut self, now: Instant, sent: Instant, bytes: u64, limited: bool) {
        self.renew(now);
        if sent >= self.since {
            self.flow.acked(now, sent, bytes, limited);
        }
    }

    fn renew(&mut self, now: Instant) {
        let count = self.moves.count();
        if count != self.seen {
            (self.flow, self.since, self.seen) = (Flow::new(self.mtu, now), now, count);
        }
    }
}

impl Controller for Movable {
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, limited: bool, _: &RttEstimator) {
        self.acked(now, sent, bytes, limited);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, limited: bool, largest: Option<u64>) {
        self.renew(now);
        self.flow.on_end_acks(now, in_flight, limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        self.renew(now);
        self.flow.on_congestion_event(now, sent, persistent, lost);
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.mtu = mtu;
        self.flow.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        let window = Flow::window(&self.flow);
        if self.moves.count() == self.seen { window } else { window.min(INITIAL_WINDOW) }
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Controller for Flow {
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, limited: bool, _: &RttEstimator) {
        self.acked(now, sent, bytes, limited);
    }

    fn on_end_acks(&mut self, now: Instant, _: u64, _: bool, _: Option<u64>) {
        self.settle(now);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        self.lost(now, sent, lost, persistent);
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.resize_packets(mtu);
    }

    fn window(&self) -> u64 {
        Flow::window(self)
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn flow_begins_anew_on_another_path() {
        let start = Instant::now();
        let moves = Moves::default();
        let mut flow = Movable::new(Flow::new(1200, start), 1200, start, moves.clone());
        for round in 0..6 {
            let sent = start + Duration::from_millis(50 * round);
            let now = sent + Duration::from_millis(50);
            (0..100).for_each(|_| flow.acked(now, sent, 1200, false));
            flow.on_end_acks(now, 0, false, None);
        }
        let grown = flow.window();
        assert!(grown > INITIAL_WINDOW, "{grown}");
        let mut fixed = flow.clone();
        fixed.moves = Moves::default();
        let now = start + Duration::from_secs(1);
        moves.advance();
        assert_eq!((flow.window(), fixed.window()), (INITIAL_WINDOW, grown), "at once");
        flow.acked(now, start, 1200, false);
        assert_eq!(flow.window(), INITIAL_WINDOW, "it was sent over the other path");
        assert_eq!(flow.seen, 1);
    }
}
