//! The congestion controller for far peers: [`Knee`] makes a [`Flow`] for each path, and this is its wiring to quinn.
//!
//! The rules are in `flow`, and know time only as an argument. Why not quinn's: docs/decisions/0021.

mod cubic;
mod flow;
mod model;

pub use flow::{Flow, INITIAL_WINDOW};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use std::{any::Any, sync::Arc, time::Instant};

/// Makes controllers that keep the path at its knee: full rate, empty queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct Knee;

impl ControllerFactory for Knee {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Flow::new(mtu, now))
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
