//! The client's end.

use crate::{Endpoint, Stranger, stranger};
use interprocess::local_socket::tokio::{Stream, prelude::*};
use std::io;

/// Connects to the daemon that listens there; nothing is said yet. A program of another user is none: whoever makes the
/// socket first would be told everything.
///
/// # Errors
/// The operating system's, as they come; [`io::ErrorKind::PermissionDenied`] with [`Stranger`] where another user listens.
pub async fn dial(endpoint: &Endpoint) -> io::Result<Stream> {
    let stream = Stream::connect(endpoint.name()?).await?;
    if stranger::listens_as_us(&stream, endpoint)? {
        Ok(stream)
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, Stranger))
    }
}
