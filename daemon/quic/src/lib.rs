//! The parts of the daemon's QUIC that need no actor, pump or endpoint: [`tls`] with the identity key, and
//! [`congestion`]. Tests and benches use both without linking the daemon.

pub mod congestion;
pub mod tls;
