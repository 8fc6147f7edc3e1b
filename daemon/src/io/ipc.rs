//! The local socket: listening, and JSON frames on it. What is said there is the `ipc` actors'.
//!
//! A Unix socket that only its owner may open, in a folder that only its owner may enter; a Windows named pipe for this
//! user, the system and the administrators.

use crate::io::private;
use fyteclub_client::pipe;
use fyteclub_proto::{
    frame::{self, FrameError},
    limit::LOCAL_FRAME_MAX,
};
use interprocess::local_socket::{
    ListenerOptions,
    tokio::{Listener, Stream, prelude::*},
};
use serde::Serialize;
use std::{io, path::Path, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpcError {
    #[error("another daemon listens on {0}: stop it, or choose another place with --ipc")]
    InUse(String),
    #[error("cannot listen on {endpoint}: {source}")]
    Listen { endpoint: String, source: io::Error },
}

/// A frame that cannot be read. The connection is of no use after it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub struct LocalListener {
    listener: Listener,
    endpoint: String,
}

impl LocalListener {
    /// Takes the endpoint over from a daemon that died without cleaning up, but not from one that lives.
    ///
    /// # Errors
    /// Another daemon answers there, or the system refuses.
    pub async fn bind(endpoint: &str) -> Result<Self, IpcError> {
        let error = |source| IpcError::Listen { endpoint: endpoint.to_owned(), source };
        if pipe::dial(endpoint).await.is_ok() {
            return Err(IpcError::InUse(endpoint.to_owned()));
        }
        if cfg!(unix)
            && let Some(dir) = Path::new(endpoint).parent().filter(|dir| !dir.as_os_str().is_empty())
        {
            private::create_dir(dir).map_err(error)?;
        }
        let name = pipe::name(endpoint).map_err(error)?;
        let options = restrict(ListenerOptions::new().name(name).try_overwrite(true)).map_err(error)?;
        let listener = options.create_tokio().map_err(error)?;
        Ok(Self { listener, endpoint: endpoint.to_owned() })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// # Errors
    /// The system's: out of file handles, for one. Worth waiting a moment and trying again.
    pub async fn accept(&self) -> io::Result<(LocalReader, LocalWriter)> {
        let stream: Stream = self.listener.accept().await?;
        let stream = Arc::new(stream);
        Ok((LocalReader { stream: stream.clone(), buffer: Vec::new() }, LocalWriter { stream }))
    }
}

#[cfg(unix)]
fn restrict(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
    use interprocess::os::unix::local_socket::ListenerOptionsExt;
    Ok(options.mode(0o600))
}

#[cfg(windows)]
fn restrict(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
    use interprocess::os::windows::{
        local_socket::ListenerOptionsExt, security_descriptor::SecurityDescriptor,
    };
    // Nobody over the network; the system, the administrators and the owner here.
    let sddl = widestring::u16cstr!("D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)");
    Ok(options.security_descriptor(SecurityDescriptor::deserialize(sddl)?))
}

pub struct LocalReader {
    stream: Arc<Stream>,
    buffer: Vec<u8>,
}

impl LocalReader {
    /// The next frame's body; `None` when the client is gone. A claim is not allocated before its bytes are there.
    ///
    /// # Errors
    /// A frame over the limit, or a socket that broke.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            if let frame::Frame::Whole { body, used } = frame::split(&self.buffer, LOCAL_FRAME_MAX)? {
                let body = body.to_vec();
                self.buffer.drain(..used);
                return Ok(Some(body));
            }
            if (&*self.stream).read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

pub struct LocalWriter {
    stream: Arc<Stream>,
}

impl LocalWriter {
    /// Writes all messages at once: many small events cost one system call.
    ///
    /// # Errors
    /// A message over the limit, or a client that is gone.
    pub async fn write<T: Serialize>(&mut self, messages: &[T]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for message in messages {
            let body = serde_json::to_vec(message)?;
            let frame = frame::join(&body, LOCAL_FRAME_MAX)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            bytes.extend_from_slice(&frame);
        }
        (&*self.stream).write_all(&bytes).await?;
        (&*self.stream).flush().await
    }
}
