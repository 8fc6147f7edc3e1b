//! QUIC: the endpoint, its TLS, and frames on a stream. Nothing here decides; it carries and says what happened.

pub mod endpoint;
pub mod link;
pub mod stream;
pub mod tls;

pub use endpoint::QuicEndpoint;
pub use link::Link;
