//! Frames and byte runs on a QUIC stream. Memory is allocated as bytes arrive, not for an announced length.

use fyteclub_proto::{
    codec,
    foreign::Foreign,
    frame::{self, FrameError},
    limit::PEER_FRAME_MAX,
    peer::{CloseCode, Message, WireError, record::RecordError},
};
use quinn::{ConnectionError, ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use serde::Serialize;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    #[error("the peer's bytes are wrong: {0}")]
    Frame(#[from] FrameError),
    #[error("the peer's message is wrong: {0}")]
    Wire(#[from] WireError),
    #[error("the peer's record is wrong: {0}")]
    Record(#[from] RecordError),
    #[error("the stream ended too early")]
    Short,
    // These may quote the peer: a close reason is its text.
    #[error("{}", Foreign::new(&.0.to_string()))]
    Read(#[from] ReadError),
    #[error("{}", Foreign::new(&.0.to_string()))]
    Write(#[from] WriteError),
    #[error("{}", Foreign::new(&.0.to_string()))]
    Connection(#[from] ConnectionError),
}

impl StreamError {
    /// The close code if the peer broke the protocol; `None` if the stream or the network broke.
    pub fn misbehaviour(&self) -> Option<CloseCode> {
        match self {
            Self::Frame(_) | Self::Wire(_) | Self::Record(_) => Some(CloseCode::Malformed),
            Self::Short | Self::Read(_) | Self::Write(_) | Self::Connection(_) => None,
        }
    }
}

/// # Errors
/// The stream or connection broke.
pub async fn write_frame<T: Serialize>(stream: &mut SendStream, message: &T) -> Result<(), StreamError> {
    let frame = frame::join(&codec::encode(message), PEER_FRAME_MAX)?;
    Ok(stream.write_all(&frame).await?)
}

/// The next frame; `None` when the stream ends before one begins.
///
/// # Errors
/// The frame is too long or does not decode, or the stream broke.
pub async fn read_frame<T: Message>(stream: &mut RecvStream) -> Result<Option<T>, StreamError> {
    let mut header = [0; frame::HEADER];
    match stream.read_exact(&mut header).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(exact(error)),
    }
    let body = read_run(stream, frame::length(header, PEER_FRAME_MAX)?).await?;
    Ok(Some(T::decode(&body)?))
}

/// Exactly `len` bytes. The buffer grows with the received bytes: at most twice of them is allocated.
///
/// # Errors
/// The stream ended or broke before.
pub async fn read_run(stream: &mut RecvStream, len: usize) -> Result<Vec<u8>, StreamError> {
    const STEP: usize = 64 * 1024;
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let start = bytes.len();
        let end = len.min((start * 2).max(STEP));
        bytes.resize(end, 0);
        stream.read_exact(bytes.get_mut(start..end).unwrap_or_default()).await.map_err(exact)?;
    }
    Ok(bytes)
}

pub fn exact(error: ReadExactError) -> StreamError {
    match error {
        ReadExactError::FinishedEarly(_) => StreamError::Short,
        ReadExactError::ReadError(error) => StreamError::Read(error),
    }
}
