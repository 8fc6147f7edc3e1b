//! Peer ids, player names, blob hashes: newtypes that only parsing makes.
//!
//! Text in JSON and on the command line, raw bytes in bincode.

use crate::{
    foreign::{Foreign, is_blank, is_direction_mark},
    limit,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::{Signature, SigningKey, Verifier, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, sync::LazyLock};

/// Why a text is not an id. The message names the expected form.
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
    #[error("a player name is not empty")]
    NameEmpty,
    #[error("a player name has no line breaks, control or direction characters, and this one has `{}`", .0.escape_default())]
    NameCharacter(char),
    #[error("a player name has no invisible characters, and no spaces but single ones between words")]
    NameBlanks,
}

/// Others' text, for an error message.
fn excerpt(text: &str) -> String {
    Foreign::new(text).to_string()
}

/// The encodings of the points of small order, with which one signature can fit any message.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> =
    LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

/// A player's identity: the 32-byte Ed25519 public key. The key is the identity, a name is an alias.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Takes any 32 bytes; only a signature check shows whether they are a usable key.
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

    /// Strict verification: exactly what `verify_strict` accepts, so no points of small order and no malleable
    /// signatures.
    ///
    /// `verify` compares the bytes of R with a canonical encoding. A point of small order has only eight encodings, so
    /// R need not be decompressed, which takes `verify_strict` a seventh of its time.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        !key.is_weak()
            && !SMALL_ORDER.contains(signature.r_bytes())
            && key.verify(message, &signature).is_ok()
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

/// A file's content, identified by its BLAKE3 hash.
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

    /// 64 lower-case hex digits without the `b3:`: the name of files in the cache.
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

/// `Forename Surname@World`. Compared exactly; apostrophes, hyphens and non-ASCII letters occur; never cut off
/// `@World`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayerName(String);

impl PlayerName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The phone book's rule for a name: 1 to 128 bytes without control characters. Player names and hashed names obey it.
pub fn check_name(text: &str) -> Result<(), IdError> {
    if text.len() > limit::NAME_BYTES_MAX {
        return Err(IdError::NameTooLong { len: text.len() });
    }
    if text.is_empty() {
        return Err(IdError::NameEmpty);
    }
    let wrong = text.chars().find(|c| c.is_control() || is_direction_mark(*c));
    wrong.map_or(Ok(()), |c| Err(IdError::NameCharacter(c)))
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

/// Text in readable formats, 32 raw bytes in others.
macro_rules! serde_as_text_or_bytes {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
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
    use curve25519_dalek::{edwards::EdwardsPoint, scalar::Scalar};
    use ed25519_dalek::Signer;
    use sha2::{Digest, Sha512};

    fn strictly(key: &PeerId, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        VerifyingKey::from_bytes(key.as_bytes())
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    fn signature(r: [u8; 32], s: Scalar) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(s.as_bytes());
        bytes
    }

    #[test]
    fn points_of_small_order_verify_nothing() {
        let honest = SigningKey::from_bytes(&[7; 32]);
        let secret = honest.to_scalar();
        let mut lenient = 0;
        for message in [&b"one"[..], b"two", b"three"] {
            for point in EIGHT_TORSION {
                let r = point.compress().to_bytes();
                // A key of small order, and an honest owner who wants one signature for several messages.
                for weak in EIGHT_TORSION {
                    let key = PeerId::from_bytes(weak.compress().to_bytes());
                    assert!(!key.verifies(message, &signature(r, Scalar::ZERO)));
                }
                let key = PeerId::of(&honest);
                let hash = Sha512::new().chain_update(r).chain_update(key.as_bytes()).chain_update(message);
                let challenge = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
                let forged = signature(r, challenge * secret);
                assert!(!key.verifies(message, &forged) && !strictly(&key, message, &forged));
                lenient += u32::from(
                    honest.verifying_key().verify(message, &Signature::from_bytes(&forged)).is_ok(),
                );
            }
        }
        assert_eq!(lenient, 3, "the forgeries are good where nobody is strict");
    }

    /// An honest key plus a point of small order: `verify` and `verify_strict` must agree there too.
    #[test]
    fn accepted_keys_are_those_of_verify_strict() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let secret = key.to_scalar();
        let (mut accepted, mut refused) = (0, 0);
        for (number, torsion) in (0u64..).zip(EIGHT_TORSION) {
            let mixed = PeerId::from_bytes((EdwardsPoint::mul_base(&secret) + torsion).compress().to_bytes());
            for message in 0..16u8 {
                let nonce = Scalar::from(1_000_003 * number + u64::from(message) + 2);
                for r in EIGHT_TORSION
                    .map(|torsion| (EdwardsPoint::mul_base(&nonce) + torsion).compress().to_bytes())
                {
                    let hash =
                        Sha512::new().chain_update(r).chain_update(mixed.as_bytes()).chain_update([message]);
                    let challenge = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
                    let signed = signature(r, nonce + challenge * secret);
                    let ours = mixed.verifies(&[message], &signed);
                    assert_eq!(ours, strictly(&mixed, &[message], &signed));
                    if ours { accepted += 1 } else { refused += 1 }
                }
            }
        }
        assert!(accepted > 100 && refused > 100, "{accepted} and {refused}");
        let signed = key.sign(b"text").to_bytes();
        for bit in 0..512 {
            let mut bent = signed;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(!PeerId::of(&key).verifies(b"text", &bent), "bit {bit}");
        }
        assert!(PeerId::of(&key).verifies(b"text", &signed));
    }

    #[test]
    fn ids_parse_from_their_text() {
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
    fn names_of_every_region_parse_and_invalid_do_not() {
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
            // Looks like another name.
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
