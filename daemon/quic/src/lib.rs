//! The parts of the daemon's QUIC that need no actor, pump or endpoint: [`tls`] with the identity key, [`congestion`], and
//! the [`peer_socket`] under it. Tests and benches use them without linking the daemon.

pub mod congestion;
pub mod peer_socket;
pub mod tls;
