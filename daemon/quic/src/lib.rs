//! What the daemon's QUIC is made of and no actor, pump or endpoint is needed for: [`tls`] with the identity key, and
//! [`congestion`]. Tests and benches take both from here, without linking the daemon.

pub mod congestion;
pub mod tls;
