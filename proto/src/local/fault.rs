//! Why a request failed: a stable code, one sentence for a person, and whether trying again can help.

use serde::{Deserialize, Serialize};

/// `{"code":"not_found","message":"…","retryable":true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub code: FaultCode,
    /// One sentence: what was wrong and what to do.
    pub message: String,
    pub retryable: bool,
}

impl Fault {
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.is_retryable() }
    }
}

/// Stable strings; a client branches on these and shows the message. New ones may come: an unknown one reads as `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultCode {
    /// The request's shape or values are wrong.
    BadRequest,
    /// `op` is not one that this daemon knows.
    Unsupported,
    /// No version in common; the message says who must upgrade.
    Version,
    /// The first frame was not `hello`.
    HelloFirst,
    /// The path to publish is no mod, or a mod that cannot be read.
    BadMod,
    /// The daemon runs without a player name, and this needs one.
    NoPlayer,
    /// No phone book knows this player, or the player is not online.
    NotFound,
    /// The phone books do not answer.
    PhonebookUnavailable,
    /// The phone book answered with a refusal.
    PhonebookRefused,
    /// The player is no contact, or has not answered yet.
    NotAContact,
    /// The invitation was used by another, or is too old.
    InvitationOver,
    /// The name now belongs to another key than the one known here.
    KeyChanged,
    /// No path to the peer worked.
    PeerUnreachable,
    /// The peer does not share with this player, or has nothing published.
    PeerRefused,
    /// The peer broke the protocol or its limits.
    PeerMisbehaved,
    /// The peer's bytes did not match their hash.
    HashMismatch,
    /// A file changed or vanished at the sender before it was served.
    Changed,
    /// The look is larger than a limit, or than the cache.
    TooLarge,
    DiskFull,
    /// The disk with the cache is not there.
    CacheAway,
    /// Reading or writing a local file failed.
    Io,
    /// Too much is going on already.
    Busy,
    Cancelled,
    /// The daemon is stopping.
    Stopping,
    /// The daemon answered something that the client does not understand.
    BadReply,
    /// A defect of the daemon.
    Internal,
    #[serde(other)]
    Unknown,
}

impl FaultCode {
    /// Whether the same request may succeed later without anybody changing anything here.
    pub fn is_retryable(self) -> bool {
        use FaultCode::*;
        match self {
            NotFound | PhonebookUnavailable | PeerUnreachable | Changed | Busy | DiskFull | CacheAway => true,
            BadRequest | Unsupported | Version | HelloFirst | BadMod | NoPlayer | PhonebookRefused
            | NotAContact | InvitationOver | KeyChanged | PeerRefused | PeerMisbehaved | HashMismatch
            | TooLarge | Io | Cancelled | Stopping | BadReply | Internal | Unknown => false,
        }
    }
}
