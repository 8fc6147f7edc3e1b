//! The bus: one writer, many listeners. A listener that lags loses events, learns it, and asks for the whole state.

use fyteclub_proto::local::{Event, Numbered};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::broadcast;

/// Events that a slow listener may be behind before it loses some.
const BEHIND_MAX: usize = 256;

/// Written by the coordinator only.
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
        // Nobody listening is no error.
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
