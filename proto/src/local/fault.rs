//! Why a request failed: a stable code, one sentence for a person, and whether a retry can help.

use serde::{Deserialize, Serialize};

/// Why a request failed: `{"code":"not_found","message":"…","retryable":true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What a program branches on.
    pub code: FaultCode,
    /// One sentence: what was wrong and what to do.
    pub message: String,
    /// Whether the same request may succeed later without a change here.
    pub retryable: bool,
}

impl Fault {
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.is_retryable() }
    }
}

/// Stable strings; a client branches on these and shows the message. An unknown code reads as `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultCode {
    /// The request's form or values are wrong. Fix the program, or the input.
    BadRequest,
    /// `op` is not one that this daemon knows. Upgrade the daemon, or do without.
    Unsupported,
    /// No version in common. Upgrade the one that the message names.
    Version,
    /// The first frame was not `hello`, or none arrived in 5 s. Connect again and send it first.
    HelloFirst,
    /// The path to publish is no mod, or an unreadable one. Choose another path, or fix the mod.
    BadMod,
    /// The daemon runs without a player name, and this needs one. Start it with `--player`.
    NoPlayer,
    /// No phone book knows this player, or the player is not online. Try again later.
    NotFound,
    /// The phone books do not answer. Try again; if that does not help, check the network and the configured phone
    /// books.
    PhonebookUnavailable,
    /// The phone book answered with a refusal. Show the message.
    PhonebookRefused,
    /// The player is no contact, or has not answered yet. Use `contacts.add`, or wait for their answer.
    NotAContact,
    /// The invitation was used by another player, or has expired. Ask for a new one.
    InvitationOver,
    /// The name now belongs to another key than the one known here. Have the person ask the player, then `peer.trust`.
    KeyChanged,
    /// No path to the peer worked. Try again; the message has the cause.
    PeerUnreachable,
    /// The peer does not share with this player, or has nothing published. Wait for `peer.look`.
    PeerRefused,
    /// The peer broke the protocol or its limits. Both should upgrade their daemons; it is banned for a minute.
    PeerMisbehaved,
    /// The peer's bytes did not match their hash. No wrong byte was kept; fetch again later.
    HashMismatch,
    /// A file changed or vanished at the sender before it was served. Fetch again.
    Changed,
    /// The look, or a frame, is larger than a limit, or than the cache. Publish fewer files, or raise `cache_limit`.
    TooLarge,
    /// The disk is full. Free some space and try again: verified chunks are kept.
    DiskFull,
    /// The disk with the cache is away. Connect it and try again.
    CacheAway,
    /// Reading or writing a local file failed. The message says which.
    Io,
    /// Too much is running already. Wait for a reply and try again.
    Busy,
    /// Cancelled by `peer.cancel`, or because the client left.
    Cancelled,
    /// The daemon is stopping. Connect again when it runs.
    Stopping,
    /// The client could not parse the daemon's answer. Made by the Rust client, never sent.
    BadReply,
    /// A defect of the daemon. Report it with the daemon's log.
    Internal,
    /// A code that this client does not know.
    #[serde(other)]
    Unknown,
}

impl FaultCode {
    /// A few words for a log, without names and paths, which the message of a [`Fault`] may have.
    pub fn briefly(self) -> &'static str {
        match self {
            Self::BadRequest => "the request is wrong",
            Self::Unsupported => "the daemon does not know the request",
            Self::Version => "daemon and client have no version in common",
            Self::HelloFirst => "the client did not greet first",
            Self::BadMod => "the mod cannot be read",
            Self::NoPlayer => "the daemon has no player name",
            Self::NotFound => "no phone book knows the player, or they are not online",
            Self::PhonebookUnavailable => "the phone books do not answer",
            Self::PhonebookRefused => "the phone book refuses",
            Self::NotAContact => "the player is no contact yet",
            Self::InvitationOver => "the invitation was used or has expired",
            Self::KeyChanged => "the name belongs to another key now",
            Self::PeerUnreachable => "no path to the player worked",
            Self::PeerRefused => "the player does not share a look",
            Self::PeerMisbehaved => "the player's daemon broke the protocol",
            Self::HashMismatch => "bytes did not match their hash",
            Self::Changed => "a file changed at the sender",
            Self::TooLarge => "the look is too large",
            Self::DiskFull => "the disk is full",
            Self::CacheAway => "the disk with the cache is away",
            Self::Io => "a local file cannot be read or written",
            Self::Busy => "too much is running already",
            Self::Cancelled => "it was cancelled",
            Self::Stopping => "the daemon is stopping",
            Self::BadReply => "the daemon's answer cannot be read",
            Self::Internal => "a defect of this program",
            Self::Unknown => "for an unknown reason",
        }
    }

    /// Whether the same request may succeed later without a change here.
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
