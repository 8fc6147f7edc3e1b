//! The local socket, for both ends: a Unix socket at a file path, or a Windows named pipe, behind one type.
//!
//! [`Endpoint`] is where it is, [`LocalListener`] is the daemon's end, [`dial`] the client's; each asks the system who is
//! at the other end. [`frames`] cuts the bytes into frames. What is said in them is not here.

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
