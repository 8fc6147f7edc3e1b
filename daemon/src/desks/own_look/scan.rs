//! Requests for scans, and their numbers.

use fyteclub_proto::local::request::{AppearancePublish, AppearancePublishMod};
use serde::{Deserialize, Serialize};

/// A request to publish. Saved, and repeated when files change and after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum What {
    Mod(AppearancePublishMod),
    Plugin(AppearancePublish),
}

/// Numbers a scan and the write of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanId(pub(super) u64);
