//! The local socket, for both ends: a Unix socket at a file path, or a Windows named pipe, behind one type.
//!
//! [`Endpoint`] is its address, [`LocalListener`] the daemon's end, [`dial`] the client's; each asks the system for the
//! user at the other end. [`frames`] splits the bytes into frames. The messages are proto's.

mod dial;
mod endpoint;
pub mod frames;
mod listen;
mod stranger;

pub use dial::dial;
pub use endpoint::Endpoint;
pub use interprocess::local_socket::tokio::Stream;
pub use listen::{ListenError, LocalListener};
pub use stranger::Stranger;
