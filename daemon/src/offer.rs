//! What this player publishes now, as pumps serve it: shared, replaced whole, never changed.

use fyteclub_proto::id::BlobHash;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::watch;

/// One published look.
#[derive(Debug)]
pub struct Offer {
    pub appearance: BlobHash,
    /// The signed appearance, as it travels.
    pub document: Vec<u8>,
    pub blobs: HashSet<BlobHash>,
}

/// The look of the moment; `None` while nothing is published.
pub type CurrentOffer = watch::Receiver<Option<Arc<Offer>>>;
