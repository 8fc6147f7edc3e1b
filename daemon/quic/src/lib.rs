//! The parts of the daemon's QUIC that need no actor, pump or endpoint: [`tls`] with the identity key, [`congestion`], and
//! the [`peer_socket`] under it. Tests and benches use them without linking the daemon.

#![warn(unreachable_pub, clippy::let_underscore_must_use, clippy::match_bool)]
#![cfg_attr(not(test), warn(clippy::as_conversions))]

pub mod congestion;
pub mod peer_socket;
pub mod tls;
