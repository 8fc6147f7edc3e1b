//! The client's end.

use crate::{Endpoint, Stranger, stranger};
use interprocess::local_socket::tokio::{Stream, prelude::*};
use std::io;

/// Connects to the daemon's socket, without a greeting. Refuses a listener of another user, who may have made the
/// socket first.
///
/// # Errors The operating system's, unchanged; [`io::ErrorKind::PermissionDenied`] with [`Stranger`] where another user
/// listens.
pub async fn dial(endpoint: &Endpoint) -> io::Result<Stream> {
    let stream = Stream::connect(endpoint.name()?).await?;
    if stranger::listens_as_us(&stream, endpoint)? {
        Ok(stream)
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, Stranger))
    }
}
