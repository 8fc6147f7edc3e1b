//! The look that this player publishes, as pumps serve it: shared, replaced as a whole, never changed.

use fyteclub_proto::{blob::Content, id::BlobHash};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::watch;

/// One published look.
#[derive(Debug)]
pub struct Offer {
    pub appearance: BlobHash,
    /// The signed document, as it is sent.
    pub document: Vec<u8>,
    /// Its blobs, with their sizes.
    pub blobs: HashMap<BlobHash, u64>,
}

impl Offer {
    /// Whether the look contains this blob in this size.
    pub fn names(&self, content: &Content) -> bool {
        self.blobs.get(&content.hash) == Some(&content.size)
    }
}

/// The published look; `None` while there is none.
pub type CurrentOffer = watch::Receiver<Option<Arc<Offer>>>;
