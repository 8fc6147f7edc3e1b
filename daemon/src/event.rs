//! The bus: one writer, many listeners. A listener that lags loses events, learns it, and asks for the whole state.

use fyteclub_proto::local::Event;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Events that a slow listener may be behind before it loses some.
const BEHIND_MAX: usize = 256;

/// Written by the coordinator only.
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Arc<Event>>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }
}

impl Bus {
    pub fn publish(&self, event: Event) {
        // Nobody listening is no error.
        self.0.send(Arc::new(event)).ok();
    }

    pub fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.subscribe()
    }
}
