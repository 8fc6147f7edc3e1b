//! Pins: marks that keep blobs from eviction.

use super::inner::Inner;
use fyteclub_proto::id::BlobHash;
use std::sync::Arc;

/// Keeps blobs from being evicted, whether they are here already or still on their way. Released when dropped.
pub struct Pin {
    inner: Arc<Inner>,
    hashes: Box<[BlobHash]>,
}

impl Pin {
    pub fn holds(&self, hash: &BlobHash) -> bool {
        self.hashes.contains(hash)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        self.hashes.iter().for_each(|hash| state.unpin(hash));
    }
}

/// Until the pin is dropped none of these is evicted, nor loses what it has so far.
pub(crate) fn pin(inner: &Arc<Inner>, hashes: impl IntoIterator<Item = BlobHash>) -> Pin {
    let hashes: Box<[_]> = hashes.into_iter().collect();
    let mut state = inner.state();
    hashes.iter().for_each(|hash| state.pin(*hash));
    drop(state);
    Pin { inner: inner.clone(), hashes }
}
