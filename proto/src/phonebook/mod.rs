//! Phone book, JSON over HTTP: the bodies, and their signed parts. [`live`] has the messages of `/api/live`,
//! [`between`] those between phone books of one name.
//!
//! The paths and the unsigned bodies are the original's (compatibility mode serves them exactly); signed bodies add
//! `server`, `sequence`, `time` and `signature`. The phone book decides who may write what.

pub mod between;
mod key_change;
pub mod live;
mod relay;
mod visibility;

pub use key_change::KeyChange;
pub use relay::{RelayGrant, RelayRefusal};
pub use visibility::{HIDDEN_PREFIX, Listing, Visibility, hidden_name, is_hidden_name};

use crate::{id::PeerId, limit::PROOF_TIME_WINDOW, proof::Proof, version::WRITE_PROOF_VERSION};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `POST /api/register`. The address is never in the body: the phone book takes it from the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    pub player_name: String,
    /// The daemon's UDP port, 1–65535, at the address that the phone book sees.
    pub port: u16,
    pub public_key: PeerId,
    /// Who may look it up.
    #[serde(default)]
    pub visibility: Visibility,
    /// The phone book of this body, as in [`live::Hello::server`]. Another one refuses it.
    pub server: String,
    /// If the name belongs to an older key: the changes from it to this one, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_changes: Vec<KeyChange>,
    /// Strictly rising per key; the phone book refuses a used one, and one that [`is_sequence_ahead`].
    pub sequence: u64,
    /// Unix milliseconds; refused if further than [`crate::limit::PROOF_TIME_WINDOW`] from the server's clock.
    pub time: u64,
    /// 64 bytes in unpadded base64url, over [`Register::proof`].
    pub signature: String,
}

impl Register {
    /// `name` is a player's, or a hidden one; `time` in Unix milliseconds.
    pub fn signed(
        name: &str,
        port: u16,
        visibility: Visibility,
        server: &str,
        sequence: u64,
        time: u64,
        key: &SigningKey,
    ) -> Self {
        let mut body = Self {
            player_name: name.to_owned(),
            port,
            public_key: PeerId::of(key),
            visibility,
            server: server.to_owned(),
            key_changes: Vec::new(),
            sequence,
            time,
            signature: String::new(),
        };
        body.signature = body.proof().sign_text(key);
        body
    }

    /// The signed bytes: purpose `register`, then name, port, key, visibility, server, sequence, time. Key changes have
    /// their own signatures.
    pub fn proof(&self) -> Proof {
        Proof::new("register", WRITE_PROOF_VERSION)
            .field(self.player_name.as_bytes())
            .number(self.port.into())
            .field(self.public_key.as_bytes())
            .field(self.visibility.as_str().as_bytes())
            .field(self.server.as_bytes())
            .number(self.sequence)
            .number(self.time)
    }

    /// Whether the key in the body signed this body.
    pub fn is_authentic(&self) -> bool {
        self.proof().verified_by_text(&self.public_key, &self.signature)
    }
}

/// `DELETE /api/unregister`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unregister {
    pub player_name: String,
    pub public_key: PeerId,
    /// As in [`Register::server`].
    pub server: String,
    /// From the same sequence as registrations.
    pub sequence: u64,
    pub time: u64,
    pub signature: String,
}

impl Unregister {
    pub fn signed(name: &str, server: &str, sequence: u64, time: u64, key: &SigningKey) -> Self {
        let mut body = Self {
            player_name: name.to_owned(),
            public_key: PeerId::of(key),
            server: server.to_owned(),
            sequence,
            time,
            signature: String::new(),
        };
        body.signature = body.proof().sign_text(key);
        body
    }

    /// The signed bytes: purpose `unregister`, then name, key, server, sequence, time.
    pub fn proof(&self) -> Proof {
        Proof::new("unregister", WRITE_PROOF_VERSION)
            .field(self.player_name.as_bytes())
            .field(self.public_key.as_bytes())
            .field(self.server.as_bytes())
            .number(self.sequence)
            .number(self.time)
    }

    pub fn is_authentic(&self) -> bool {
        self.proof().verified_by_text(&self.public_key, &self.signature)
    }
}

/// Whether a sequence is further ahead of a clock than a signature may be. Sequences begin at the clock in
/// milliseconds, so an honest one never is. A phone book refuses it, and a daemon does not continue above it, because a
/// sequence near the highest number would leave the key none.
pub fn is_sequence_ahead(sequence: u64, unix_millis: u64) -> bool {
    u128::from(sequence) > u128::from(unix_millis) + PROOF_TIME_WINDOW.as_millis()
}

/// `GET /api/lookup/{playerName}`, found. A listed player has an address; of a hidden one only key and time are
/// returned, and a player visible to contacts only is not found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// An address literal without port or brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Any text that a compatibility server was given; `ed25519:…` everywhere else.
    pub public_key: Option<String>,
    /// Unix milliseconds of the last registration.
    pub last_seen: u64,
}

/// `POST /api/lookup`: several names at once, [`crate::limit::LOOKUP_NAMES_MAX`] at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupMany {
    pub players: Vec<String>,
}

/// Its answer: the found ones. The others are absent, for any reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundMany {
    pub players: BTreeMap<String, Found>,
}

/// `DELETE /api/unregister`, done. Exactly these two fields: clients compare the whole body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unregistered {
    pub success: bool,
    pub existed: bool,
}

/// Any refusal. Everything but `error` is absent where the original's body must not grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A sentence for a person; programs decide by status and `code`.
    pub error: String,
    /// Only with a missing or wrong password, as in the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// With `clock_skew`: how far the signer's clock is ahead of the server's, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset: Option<i64>,
    /// With `stale_sequence`: the newest known sequence; the next one must be above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// With `rate_limited` and `unavailable`: seconds to wait, as in the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_body_is_authentic_until_a_field_changes() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let name = "Alice Ashe@Gilgamesh";
        let server = "book.example";
        let body = Register::signed(name, 7777, Visibility::Contacts, server, 5, 1_700_000_000_000, &key);
        assert!(body.is_authentic());
        for changed in [
            Register { port: 7778, ..body.clone() },
            Register { sequence: 6, ..body.clone() },
            Register { visibility: Visibility::Listed, ..body.clone() },
            Register { server: "evil.example".into(), ..body.clone() },
            Register { player_name: "Alice Ashe@Omega".into(), ..body.clone() },
            Register { public_key: PeerId::from_bytes([4; 32]), ..body.clone() },
            Register { signature: body.signature.replace(&body.signature[..4], "AAAA"), ..body.clone() },
            Register { signature: String::new(), ..body.clone() },
        ] {
            assert!(!changed.is_authentic(), "{changed:?}");
        }
        let end = Unregister::signed(name, server, 6, 0, &key);
        assert!(end.is_authentic());
        assert!(!Unregister { server: "evil.example".into(), ..end }.is_authentic());
    }

    #[test]
    fn a_sequence_is_ahead_beyond_the_window_only() {
        let now = 1_700_000_000_000;
        for (sequence, ahead) in [(0, false), (now + 120_000, false), (now + 120_001, true), (u64::MAX, true)]
        {
            assert_eq!(is_sequence_ahead(sequence, now), ahead, "{sequence}");
        }
        assert!(!is_sequence_ahead(u64::MAX, u64::MAX));
    }
}
