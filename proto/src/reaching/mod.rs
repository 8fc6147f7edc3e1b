//! Reaching a peer: from addresses to the one link in use.
//!
//! [`candidate`] are addresses as letters carry them, and which of them may be dialled; [`reachable`] collects this
//! machine's own, [`introduction`] asks phone books for a peer's. [`paths`] keeps what is known of a peer's and says what is
//! dialled, [`connector`] when and how often. [`session`] greets on a fresh link, [`link_choice`] keeps one of several,
//! [`liveness`] watches the one in use. [`doorway`] admits handshakes that others begin.
//!
//! [`wire`] has the datagrams that share the socket with QUIC, [`nat`] the kinds of NAT.

pub mod candidate;
pub mod connector;
pub mod doorway;
pub mod families;
pub mod introduction;
pub mod link_choice;
pub mod liveness;
pub mod nat;
pub mod paths;
pub mod reachable;
pub mod session;
pub mod wire;
