//! Why a request failed. Each message is one sentence that also says what to do; the variants are for programs.

use crate::FaultCode;
use fyteclub_proto::{frame::FrameError, local::Fault};
use std::{io, path::PathBuf, sync::Arc};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "what the fields hold is in each sentence")]
pub enum Error {
    /// Nobody listens at the endpoint.
    #[error(
        "no FyteClub daemon listens at {endpoint}; start it with `fyteclubd run`, or set FYTECLUB_IPC to its socket"
    )]
    NotRunning { endpoint: String, source: io::Error },
    /// Detected before anything is sent, by the socket's mode or its listener.
    #[error(
        "{endpoint} belongs to another user; run this as the user who runs fyteclubd, or set FYTECLUB_IPC to your own daemon's socket"
    )]
    NoPermission { endpoint: String, source: io::Error },
    /// An invalid endpoint: a mistake in a setting.
    #[error("{endpoint:?} cannot be the daemon's socket ({source}); check FYTECLUB_IPC")]
    Endpoint { endpoint: String, source: io::Error },
    /// The connection was accepted, and nothing answered.
    #[error("the listener at {endpoint} does not answer; restart fyteclubd")]
    Unresponsive { endpoint: String },
    /// No version in common. `upgrade` is `None` where only the daemon's message says which side is older.
    #[error("{message}")]
    Version { upgrade: Option<Side>, message: String },
    /// The daemon understood the request and failed to carry it out.
    #[error(transparent)]
    Fault(Fault),
    /// Whether the request was carried out is unknown.
    #[error(
        "the daemon stopped before it answered; see its log, start it again with `fyteclubd run`, and try again"
    )]
    Lost,
    /// Bytes that are no frame, or a frame that is no reply. The connection closes.
    #[error(
        "the daemon's answer is not valid ({0}); check that the socket is fyteclubd's and of the same version"
    )]
    Malformed(Garbled),
    /// A request over the local API's limit; it was not sent.
    #[error("the request is too large to be sent ({0}); publish fewer files at once")]
    TooLarge(FrameError),
    /// A path that cannot be sent: not Unicode, or relative to a missing folder.
    #[error("the path {path:?} cannot be sent ({source}); use an absolute path in plain Unicode")]
    Path { path: PathBuf, source: io::Error },
}

/// The side to be upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This program.
    Client,
    /// `fyteclubd`.
    Daemon,
}

/// What was wrong with the daemon's bytes. The connection closes for all requests.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Garbled {
    /// An invalid length.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame's body that does not match the local API.
    #[error("{0}")]
    Json(#[source] Arc<serde_json::Error>),
}

/// Why a connection closed, kept for later requests.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// Closed between two frames: the daemon stopped.
    Closed,
    /// Closed in the middle of a frame, or broken.
    Cut,
    Garbled(Garbled),
    /// A fault of the connection, not of one request.
    Fault(Fault),
}

impl From<End> for Error {
    fn from(end: End) -> Self {
        match end {
            End::Closed | End::Cut => Self::Lost,
            End::Garbled(what) => Self::Malformed(what),
            End::Fault(fault) => fault.into(),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault.code {
            FaultCode::Version => Self::Version { upgrade: None, message: fault.message },
            _ => Self::Fault(fault),
        }
    }
}

impl Error {
    /// Whether the same call may succeed later without a change here.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.retryable,
            Self::Lost | Self::Unresponsive { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn dialling(endpoint: &str, source: io::Error) -> Self {
        let endpoint = endpoint.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NoPermission { endpoint, source },
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Self::NotRunning { endpoint, source }
            }
            // A listener with a full queue: it exists, and accepts nothing.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Unresponsive { endpoint },
            _ => Self::Endpoint { endpoint, source },
        }
    }
}
