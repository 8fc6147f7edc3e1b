//! Who and what: peer ids, player names, blob hashes. Newtypes that can only be made by parsing.
//!
//! Text in JSON and on the command line, raw bytes in bincode. What a name may look like is said here; what a key
//! may do is not.

use crate::limit;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Why a text is not an id. The message names the form that is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    #[error("a peer id reads `ed25519:` and 43 characters of unpadded base64url, not `{0}`")]
    PeerId(String),
    #[error("a blob hash reads `b3:` and 64 lower-case hex digits, not `{0}`")]
    BlobHash(String),
    #[error("a player name is `Forename Surname@World`, and `{0}` has no world after an `@`")]
    NoWorld(String),
    #[error("a player name has at most {max} bytes, and this one has {len}", max = limit::NAME_BYTES_MAX)]
    NameTooLong { len: usize },
    #[error("a player name is not empty and has no control or direction characters")]
    NameCharacters,
    #[error("a player name has no invisible characters, and no spaces but single ones between words")]
    NameBlanks,
}

/// At most 80 characters of somebody's text, for an error message.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// A player's identity: the 32-byte Ed25519 public key. The key is the identity, a name is an alias.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Takes any 32 bytes; whether they are a usable key shows when a signature is checked.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public half of a signing key.
    pub fn of(key: &SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Strict verification (RFC 8032 with the checks of `verify_strict`): no small-order keys, no malleable signatures.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }

    /// The first eight characters of the key's text, for logs and lists.
    pub fn short(&self) -> String {
        let mut text = URL_SAFE_NO_PAD.encode(self.0);
        text.truncate(8);
        text
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

impl FromStr for PeerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix("ed25519:")
            .and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| IdError::PeerId(excerpt(text)))
    }
}

/// One file's content, named by its BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobHash([u8; 32]);

impl BlobHash {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of bytes that are at hand whole.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// 64 lower-case hex digits without the `b3:`: how files in the cache are called.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The reverse of [`BlobHash::hex`]; `None` for anything but 64 lower-case hex digits.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let lower = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        lower.then(|| blake3::Hash::from_hex(hex).ok()).flatten().map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b3:{}", self.hex())
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b3:{}…", &self.hex()[..8])
    }
}

impl FromStr for BlobHash {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix("b3:").and_then(Self::from_hex).ok_or_else(|| IdError::BlobHash(excerpt(text)))
    }
}

/// `Forename Surname@World`. Compared exactly; apostrophes, hyphens and non-ASCII letters occur; never cut off `@World`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayerName(String);

impl PlayerName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Invisible characters that turn the reading direction: a name could look like another with them.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that show nothing, and blanks that look like others: a name would look like another with them.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{2800}')
        || matches!(c, '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

/// The phone book's own rule for a name: any key of 1 to 128 bytes without control characters. A player's name obeys
/// it, and so would an opaque, hashed one.
pub fn check_name(text: &str) -> Result<(), IdError> {
    if text.len() > limit::NAME_BYTES_MAX {
        return Err(IdError::NameTooLong { len: text.len() });
    }
    if text.is_empty() || text.chars().any(|c| c.is_control() || is_direction_mark(c)) {
        return Err(IdError::NameCharacters);
    }
    Ok(())
}

impl FromStr for PlayerName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        check_name(text)?;
        let parts = text.split_once('@').filter(|(_, world)| !world.contains('@'));
        let Some((name, world)) = parts.filter(|(name, world)| !name.is_empty() && !world.is_empty()) else {
            return Err(IdError::NoWorld(excerpt(text)));
        };
        let is_plain = |part: &str| part.split(' ').all(|word| !word.is_empty() && !word.contains(is_blank));
        if is_plain(name) && is_plain(world) { Ok(Self(text.to_owned())) } else { Err(IdError::NameBlanks) }
    }
}

impl fmt::Display for PlayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PlayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Text where a person may read it, 32 raw bytes where only daemons do.
macro_rules! serde_as_text_or_bytes {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match serializer.is_human_readable() {
                    true => serializer.collect_str(self),
                    false => self.0.serialize(serializer),
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match deserializer.is_human_readable() {
                    true => String::deserialize(deserializer)?.parse().map_err(de::Error::custom),
                    false => <[u8; 32]>::deserialize(deserializer).map(Self),
                }
            }
        }
    };
}
serde_as_text_or_bytes!(PeerId);
serde_as_text_or_bytes!(BlobHash);

impl Serialize for PlayerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PlayerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let peer = PeerId::from_bytes([7; 32]);
        assert_eq!(peer.to_string().parse(), Ok(peer));
        assert_eq!(peer.to_string().len(), "ed25519:".len() + 43);
        let blob = BlobHash::of(b"");
        assert_eq!(blob.to_string(), "b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
        assert_eq!(blob.to_string().parse(), Ok(blob));
    }

    #[test]
    fn an_id_has_one_text_only() {
        let upper = BlobHash::of(b"x").to_string().to_uppercase().replace("B3:", "b3:");
        assert!(upper.parse::<BlobHash>().is_err());
        assert!("ed25519:AAAA".parse::<PeerId>().is_err());
        assert!(format!("{}=", PeerId::from_bytes([0; 32])).parse::<PeerId>().is_err());
    }

    #[test]
    fn names_of_every_region_pass_and_impossible_ones_do_not() {
        for good in
            ["Alice Ashe@Gilgamesh", "Y'shtola Rhul@Omega", "Ana-Lu O'Dim@Zodiark", "光の 戦士@トンベリ"]
        {
            assert_eq!(good.parse::<PlayerName>().expect(good).as_str(), good);
        }
        for bad in [
            "",
            "Alice Ashe",
            "@World",
            "Alice@",
            "Al\nice@World",
            "Al\u{202e}ice@World",
            "A@B@C",
            &"a".repeat(200),
            // As good as another's, to the eye.
            " Alice Ashe@Gilgamesh",
            "Alice Ashe @Gilgamesh",
            "Alice  Ashe@Gilgamesh",
            "Alice\u{a0}Ashe@Gilgamesh",
            "Alice\u{3000}Ashe@Gilgamesh",
            "Alice Ashe\u{200b}@Gilgamesh",
            "Alice Ashe@Gilgamesh\u{fe0f}",
            "Alice Ashe@\u{3164}",
        ] {
            assert!(bad.parse::<PlayerName>().is_err(), "{bad:?}");
        }
    }
}
