//! Hands: everything that touches the machine or the network. Nothing here knows an actor, a pump or a rule.

pub mod identity;
pub mod ipc;
pub mod known_peers;
pub mod phonebook_http;
pub mod private;
pub mod quic;
pub mod store;
