//! This machine's network in `status`.

use crate::reaching::nat::Nat;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// This machine as STUN servers see it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    pub nat: NatKind,
    /// `IP:PORT` of the QUIC socket, as seen from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// What the kind of NAT means for this player, in one sentence.
    #[serde(default)]
    pub meaning: String,
}

/// Which outside ports a NAT gives one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum NatKind {
    /// No NAT.
    Open,
    /// One port for all destinations.
    Same,
    /// Another port for each destination ("symmetric").
    PerDestination,
    /// No server answers over UDP.
    Blocked,
    /// No server answered yet, or too few did.
    #[default]
    #[serde(other)]
    Unknown,
}

impl From<Nat> for NatKind {
    fn from(nat: Nat) -> Self {
        match nat {
            Nat::Unknown => Self::Unknown,
            Nat::Open => Self::Open,
            Nat::Same => Self::Same,
            Nat::PerDestination => Self::PerDestination,
            Nat::Blocked => Self::Blocked,
        }
    }
}
