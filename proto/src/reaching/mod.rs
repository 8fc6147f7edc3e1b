//! Reaching a peer: from addresses to the one link in use.
//!
//! [`candidate`] are the addresses as letters carry them, and which of them may be dialled. [`introduction`] asks phone
//! books for them. [`connector`] says when to dial and how often, [`session`] greets on a fresh link, [`link_choice`] keeps
//! one of several, [`liveness`] watches the one in use. [`doorway`] admits handshakes that others begin.

pub mod candidate;
pub mod connector;
pub mod doorway;
pub mod families;
pub mod introduction;
pub mod link_choice;
pub mod liveness;
pub mod paths;
pub mod reachable;
pub mod session;
