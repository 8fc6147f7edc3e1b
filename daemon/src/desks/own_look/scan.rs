//! What is scanned, and the number by which its result comes back.

use fyteclub_proto::local::request::{AppearancePublish, AppearancePublishMod};
use serde::{Deserialize, Serialize};

/// What to publish, as it was asked for; kept, to be done again when files change and after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum What {
    Mod(AppearancePublishMod),
    Plugin(AppearancePublish),
}

/// Numbers a scan and the write of what it published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanId(pub(super) u64);
