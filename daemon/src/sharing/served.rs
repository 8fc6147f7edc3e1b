//! How many bytes of files went to one key: counted by the pumps that serve it, read by the coordinator.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The same for all links and streams of the key.
#[derive(Debug, Clone, Default)]
pub struct Served(Arc<AtomicU64>);

impl Served {
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
