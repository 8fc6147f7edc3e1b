//! Why a request came to nothing. Each message is one sentence that also says what to do; the variants are for
//! programs that do it themselves.

use crate::FaultCode;
use fyteclub_proto::{frame::FrameError, local::Fault};
use std::{io, path::PathBuf, sync::Arc};

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "what the fields hold is in each sentence")]
pub enum Error {
    /// Nobody listens at the endpoint.
    #[error(
        "no FyteClub daemon listens at {endpoint}; start it with `fyteclubd run`, or set FYTECLUB_IPC to where it listens"
    )]
    NotRunning { endpoint: String, source: io::Error },
    /// Said before anything is sent: what lies there is another user's, by its mode or by who listens.
    #[error(
        "{endpoint} belongs to another user; run this as the user who runs fyteclubd, or set FYTECLUB_IPC to where your own daemon listens"
    )]
    NoPermission { endpoint: String, source: io::Error },
    /// The endpoint can be nobody's: a mistake in a setting, not an absent daemon.
    #[error("{endpoint:?} cannot be where the daemon listens ({source}); check FYTECLUB_IPC")]
    Endpoint { endpoint: String, source: io::Error },
    /// Somebody accepted the connection and then said nothing.
    #[error("whoever listens at {endpoint} does not answer; restart fyteclubd")]
    Unresponsive { endpoint: String },
    /// No version in common. `upgrade` is `None` where only the daemon's message says who is the older.
    #[error("{message}")]
    Version { upgrade: Option<Side>, message: String },
    /// The daemon understood the request and could not do it.
    #[error(transparent)]
    Fault(Fault),
    /// Whether the request was carried out is unknown.
    #[error(
        "the daemon went away before it answered; see its log, start it again with `fyteclubd run`, and try again"
    )]
    Lost,
    /// Bytes that are no frame, or a frame that is no reply. It ends the connection.
    #[error(
        "the daemon's answer is not FyteClub's ({0}); check that the socket is fyteclubd's and of the same version"
    )]
    Malformed(Garbled),
    /// A request over the local API's limit: nothing was sent.
    #[error("the request is too large to be sent ({0}); publish fewer files at once")]
    TooLarge(FrameError),
    /// A path that cannot be sent: not Unicode, or relative to a folder that is gone.
    #[error("the path {path:?} cannot be passed on ({source}); use an absolute path in plain Unicode")]
    Path { path: PathBuf, source: io::Error },
}

/// Of the two that talk, one that has to be upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This program.
    Client,
    /// `fyteclubd`.
    Daemon,
}

/// What about the daemon's bytes was wrong. It ends the connection, for every request alike.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Garbled {
    /// A length that no frame may have.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame's body that is not what the local API says.
    #[error("{0}")]
    Json(#[source] Arc<serde_json::Error>),
}

/// Why a connection is over, kept for all who still ask.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// Closed between two frames: the daemon stopped, or was stopped.
    Closed,
    /// Closed in the middle of a frame, or broken.
    Cut,
    Garbled(Garbled),
    /// Said by the daemon about the connection, not about one request.
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
    /// Whether the same call may succeed later without anybody changing anything here.
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
            // A listener whose queue is full: it is there, and it accepts nobody.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Unresponsive { endpoint },
            _ => Self::Endpoint { endpoint, source },
        }
    }
}
