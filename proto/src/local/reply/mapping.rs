//! The state of the home router's port mapping.

use serde::{Deserialize, Serialize};

/// The port that the home router forwards to this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortMapping {
    pub state: MappingState,
    /// The state in a few words.
    pub words: String,
    /// `IP:PORT` outside, if it is mapped.
    pub outside: Option<String>,
    /// `UPnP`, `NAT-PMP` or `PCP`, if it is mapped.
    pub protocol: Option<String>,
    /// The granted lease; `null` for a mapping without end.
    pub lease_seconds: Option<u32>,
    /// Whether a peer connected through it. Not measured yet: always `false`.
    pub proven: bool,
    /// Why nothing is mapped, in one sentence.
    pub cause: Option<String>,
    /// Advice to a person, in one or two sentences.
    pub hint: Option<String>,
    pub counts: MappingCounts,
}

/// The state of the port mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MappingState {
    /// Switched off.
    #[default]
    Off,
    Searching,
    Mapped,
    /// Nothing is mapped; it is tried again later.
    None,
    /// A state that this client does not know.
    #[serde(other)]
    Unknown,
}

/// Counts of the port mapping since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MappingCounts {
    /// Searches for routers that speak UPnP.
    pub searches: u64,
    /// Packets and requests to routers, without searches.
    pub requests: u64,
    /// Answers from routers.
    pub answers: u64,
    /// Announcements of routers.
    pub announcements: u64,
    /// New mappings, and changes of an outside address or lease.
    pub granted: u64,
    /// Changes to "nothing is mapped", or to another cause of it.
    pub refused: u64,
}
