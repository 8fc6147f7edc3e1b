//! Reaching a peer: from addresses to the one link in use.
//!
//! [`candidate`] has addresses in letters, and which of them may be dialled; [`reachable`] collects this machine's own,
//! [`introduction`] asks phone books for a peer's. [`paths`] keeps a peer's addresses and decides what is dialled,
//! [`connector`] when and how often. [`session`] greets on a new link, [`link_choice`] keeps one of several,
//! [`liveness`] watches the one in use. [`accept_limit`] admits incoming handshakes.
//!
//! [`doctor`] says why players are not reached.
//!
//! [`wire`] has the datagrams that share the socket with QUIC, [`nat`] the kinds of NAT. [`mapping`] asks home routers to
//! forward a port. [`lan`] knows contacts in the local network.

pub mod accept_limit;
pub mod candidate;
pub mod connector;
pub mod doctor;
pub mod families;
pub mod introduction;
pub mod lan;
pub mod link_choice;
pub mod liveness;
pub mod mapping;
pub mod nat;
pub mod paths;
pub mod reachable;
pub mod relay_use;
pub mod session;
pub mod stun_client;
pub mod traversal;
pub mod wire;
