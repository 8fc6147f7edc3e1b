//! Bytes of files that were sent to one key: pumps count them, the coordinator reads them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Shared by all links and streams of the key.
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
