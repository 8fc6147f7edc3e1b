//! What the machines of one uplink order and come to.

use super::{
    by::By,
    journal::Entry,
    words::{Action, Cause},
};
use std::net::SocketAddrV4;

/// What one uplink orders; carried out one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Remember a mapping before it is asked for.
    Note(Entry),
    /// Forget it: it is removed, or was not made.
    Strike(Entry),
    /// To port 5351 of the gateway.
    Send(Vec<u8>),
    Search,
    Ask {
        device: u64,
        action: Action,
    },
}

/// A mapping that the router made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) by: By,
    pub(super) outside: SocketAddrV4,
    /// `None`: without end.
    pub(super) seconds: Option<u32>,
}

/// How a conversation with a router ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Granted(Grant),
    /// The mapping is there as before.
    Kept,
    /// The mapping is gone, or leads from another address.
    Changed,
    /// `None`: without an answer.
    Denied(Option<Cause>),
    /// There is no such mapping now. `false`: nobody answered.
    Removed(bool),
}
