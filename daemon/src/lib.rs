//! The daemon: owns the QUIC connections, the cache and the hashing, so that a game plugin can stay thin.

pub mod io;
pub mod penumbra;
