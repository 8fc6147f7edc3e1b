//! The bus: one writer, many receivers. A receiver that lags loses events, detects it, and requests the whole state.

use fyteclub_proto::local::{Event, Numbered};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::broadcast;

/// Events that a slow receiver may lag behind before it loses some.
const BEHIND_MAX: usize = 256;

/// Only the coordinator writes to it.
#[derive(Debug, Clone)]
pub struct Bus {
    events: broadcast::Sender<Arc<Numbered>>,
    last: Arc<AtomicU64>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(BEHIND_MAX), last: Arc::default() }
    }
}

impl Bus {
    pub fn publish(&self, event: Event) {
        let seq = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        // Fails when there is no receiver, which is no error.
        self.events.send(Arc::new(Numbered { seq, event })).ok();
    }

    /// The number of the last event; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    pub fn listen(&self) -> broadcast::Receiver<Arc<Numbered>> {
        self.events.subscribe()
    }
}
