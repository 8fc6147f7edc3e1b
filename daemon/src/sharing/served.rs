//! Bytes of files that were sent to one key: pumps count them, the coordinator reads them.

use fyteclub_proto::number::u64_of;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Shared by all links and streams of the key.
#[derive(Debug, Clone, Default)]
pub struct Served(Arc<AtomicU64>);

impl Served {
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(u64_of(bytes), Ordering::Relaxed);
    }

    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
