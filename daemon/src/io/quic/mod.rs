//! QUIC: the endpoint, its TLS, its congestion controller, and frames on a stream. Nothing here decides.

mod bundle;
pub mod endpoint;
pub mod link;
mod place;
mod socket;
pub mod stream;
mod tuning;
pub mod window;

pub(crate) use fyteclub_quic::{congestion, tls};

pub use endpoint::QuicEndpoint;
pub use link::Link;
pub use place::{Place, lasting};
pub use socket::try_bind;
pub use tuning::Tuning;
