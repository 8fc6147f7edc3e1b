//! A person's word about relays.

use serde::{Deserialize, Serialize};

/// Whether relays are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RelayUse {
    Off,
    /// Where there is no direct way.
    On,
    /// Peers learn no address of this machine.
    Only,
}
