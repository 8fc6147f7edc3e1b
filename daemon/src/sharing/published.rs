//! What this player publishes now, as pumps serve it: shared, replaced whole, never changed.

use fyteclub_proto::{blob::Content, id::BlobHash};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::watch;

/// One published look.
#[derive(Debug)]
pub struct Offer {
    pub appearance: BlobHash,
    /// The signed appearance, as it travels.
    pub document: Vec<u8>,
    /// What it names, with sizes.
    pub blobs: HashMap<BlobHash, u64>,
}

impl Offer {
    /// Whether the look names it, in this size.
    pub fn names(&self, content: &Content) -> bool {
        self.blobs.get(&content.hash) == Some(&content.size)
    }
}

/// The look of the moment; `None` while nothing is published.
pub type CurrentOffer = watch::Receiver<Option<Arc<Offer>>>;
