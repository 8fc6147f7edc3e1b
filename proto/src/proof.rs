//! The bytes that a signature covers: a domain string with a version, then length-prefixed fields.
//!
//! `"fyteclub/" purpose "/v" version 0x00 { u32-be length, bytes }…` — no two purposes share a prefix, no two field
//! lists share an encoding, and nothing is re-encoded to be verified.

use crate::id::PeerId;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};

/// The exact bytes that one signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof(Vec<u8>);

impl Proof {
    /// `purpose` is a short constant such as `register`; a new meaning needs a new purpose or version.
    pub fn new(purpose: &str, version: u8) -> Self {
        Self(format!("fyteclub/{purpose}/v{version}\0").into_bytes())
    }

    /// Appends one field. Fields longer than `u32::MAX` cannot occur: every input has a limit far below it.
    #[must_use]
    pub fn field(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("inputs are limited to megabytes");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a number as eight big-endian bytes.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.field(&number.to_be_bytes())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.0).to_bytes()
    }

    /// Strict, see [`PeerId::verifies`].
    pub fn verified_by(&self, peer: &PeerId, signature: &[u8; 64]) -> bool {
        peer.verifies(&self.0, signature)
    }

    /// The signature as JSON carries it: 64 bytes in unpadded base64url.
    pub fn sign_text(&self, key: &SigningKey) -> String {
        URL_SAFE_NO_PAD.encode(self.sign(key))
    }

    /// Whether `signature` is a [`Proof::sign_text`] by this key.
    pub fn verified_by_text(&self, peer: &PeerId, signature: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(signature)
            .ok()
            .and_then(|bytes| <[u8; 64]>::try_from(bytes).ok())
            .is_some_and(|signature| self.verified_by(peer, &signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_be_shifted_into_each_other() {
        let one = Proof::new("test", 1).field(b"ab").field(b"c");
        let other = Proof::new("test", 1).field(b"a").field(b"bc");
        assert_ne!(one, other);
        assert_eq!(one.as_bytes(), b"fyteclub/test/v1\0\0\0\0\x02ab\0\0\0\x01c");
    }

    #[test]
    fn a_signature_counts_for_its_purpose_and_key_only() {
        let key = SigningKey::from_bytes(&[9; 32]);
        let peer = PeerId::from_bytes(key.verifying_key().to_bytes());
        let signature = Proof::new("register", 1).number(1).sign(&key);
        assert!(Proof::new("register", 1).number(1).verified_by(&peer, &signature));
        assert!(!Proof::new("unregister", 1).number(1).verified_by(&peer, &signature));
        assert!(!Proof::new("register", 1).number(2).verified_by(&peer, &signature));
        assert!(!Proof::new("register", 1).number(1).verified_by(&PeerId::from_bytes([1; 32]), &signature));
    }
}
