//! Letters: sealed messages of two daemons that phone books forward and cannot read.
//!
//! X25519 between a key made for this letter and the receiver's identity, HKDF-SHA-256, AES-256-GCM; signed by the
//! sender's identity. An Ed25519 key is used as an X25519 key by the birational map (RFC 7748 §4.1);
//! <https://eprint.iacr.org/2021/509> shows that one key may do both. Phone book and receiver see who writes to whom,
//! and how much. There is no forward secrecy against the loss of the receiver's identity key, so a letter holds only
//! short-lived addresses.

use crate::{
    bytes::{self, Bytes},
    id::PeerId,
    limit::LETTER_BYTES_MAX,
    proof::Proof,
    seal::TAG,
    version::PROOF_VERSION,
};
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use curve25519_dalek::montgomery::MontgomeryPoint;
use ed25519_dalek::{SigningKey, VerifyingKey};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A letter's purpose: signed, and part of the key derivation, so that it opens for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The caller's candidates, of one attempt.
    Introduce(Attempt),
    /// The callee's candidates, of the same attempt.
    Accept(Attempt),
    /// Further candidates of either.
    Candidates(Attempt),
    /// About being contacts.
    Note,
}

/// The random number of one introduction, chosen by the caller.
pub type Attempt = Bytes<16>;

impl Topic {
    fn parts(self) -> (&'static [u8], Attempt) {
        match self {
            Self::Introduce(attempt) => (b"introduce", attempt),
            Self::Accept(attempt) => (b"accept", attempt),
            Self::Candidates(attempt) => (b"candidates", attempt),
            Self::Note => (b"note", Bytes([0; 16])),
        }
    }
}

/// A sealed and signed message from one key to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// X25519 public key of this letter alone.
    ephemeral: Bytes<32>,
    #[serde(with = "bytes::long")]
    sealed: Vec<u8>,
    signature: Bytes<64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LetterError {
    #[error("the receiver's key is no point of the curve")]
    BadKey,
    #[error("a letter has at most {LETTER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the letter is not signed by its sender")]
    Forged,
    #[error("the letter is not sealed for this receiver and purpose")]
    Unsealed,
}

impl Letter {
    /// Seals `text` from one key to another. `secret` is 32 random bytes, never used again.
    ///
    /// # Errors [`LetterError::BadKey`] for a peer id that is no key, [`LetterError::TooLong`].
    pub fn seal(
        from: &SigningKey,
        to: &PeerId,
        topic: Topic,
        text: &[u8],
        secret: Zeroizing<[u8; 32]>,
    ) -> Result<Self, LetterError> {
        if text.len() + TAG > LETTER_BYTES_MAX {
            return Err(LetterError::TooLong);
        }
        let theirs = VerifyingKey::from_bytes(to.as_bytes()).map_err(|_| LetterError::BadKey)?;
        let shared = theirs.to_montgomery().mul_clamped(*secret);
        let ephemeral = Bytes(MontgomeryPoint::mul_base_clamped(*secret).to_bytes());
        let sender = PeerId::of(from);
        let cipher = key(&shared, &ephemeral, &sender, to, topic).ok_or(LetterError::BadKey)?;
        let mut sealed = text.to_vec();
        let tag = cipher
            .encrypt_inout_detached(&NONCE.into(), &[], sealed.as_mut_slice().into())
            .expect("a letter is far below AES-GCM's 64 GiB");
        sealed.extend_from_slice(&tag);
        let mut letter = Self { ephemeral, sealed, signature: Bytes([0; 64]) };
        letter.signature = Bytes(letter.proof(&sender, to, topic).sign(from));
        Ok(letter)
    }

    /// Opens a letter of `from` to the holder of `to`.
    ///
    /// # Errors Anything but such a letter of this topic.
    pub fn open(&self, from: &PeerId, to: &SigningKey, topic: Topic) -> Result<Vec<u8>, LetterError> {
        if self.sealed.len() > LETTER_BYTES_MAX {
            return Err(LetterError::TooLong);
        }
        let receiver = PeerId::of(to);
        if !self.proof(from, &receiver, topic).verified_by(from, &self.signature.0) {
            return Err(LetterError::Forged);
        }
        let secret = Zeroizing::new(to.to_scalar_bytes());
        let shared = MontgomeryPoint(self.ephemeral.0).mul_clamped(*secret);
        let cipher = key(&shared, &self.ephemeral, from, &receiver, topic).ok_or(LetterError::Unsealed)?;
        let mut text = self.sealed.clone();
        let length = text.len().checked_sub(TAG).ok_or(LetterError::Unsealed)?;
        let tag: [u8; TAG] = text.split_off(length).try_into().map_err(|_| LetterError::Unsealed)?;
        cipher
            .decrypt_inout_detached(&NONCE.into(), &[], text.as_mut_slice().into(), &tag.into())
            .map_err(|_| LetterError::Unsealed)?;
        Ok(text)
    }

    /// The signed bytes: purpose `letter`, then topic, attempt, sender, receiver, the letter's own key, the sealed
    /// bytes.
    pub fn proof(&self, from: &PeerId, to: &PeerId, topic: Topic) -> Proof {
        let (topic, attempt) = topic.parts();
        Proof::new("letter", PROOF_VERSION)
            .field(topic)
            .field(attempt.as_slice())
            .field(from.as_bytes())
            .field(to.as_bytes())
            .field(self.ephemeral.as_slice())
            .field(&self.sealed)
    }
}

/// Every letter has a key of its own.
const NONCE: [u8; 12] = [0; 12];

/// `None` if the shared point is zero: the other key has small order (RFC 7748 §6.1).
fn key(
    shared: &MontgomeryPoint,
    ephemeral: &Bytes<32>,
    from: &PeerId,
    to: &PeerId,
    topic: Topic,
) -> Option<Aes256Gcm> {
    let shared = Zeroizing::new(shared.to_bytes());
    if shared.iter().all(|byte| *byte == 0) {
        return None;
    }
    let (topic, attempt) = topic.parts();
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(b"fyteclub letter v1"), shared.as_slice())
        .expand_multi_info(
            &[ephemeral.as_slice(), from.as_bytes(), to.as_bytes(), attempt.as_slice(), topic],
            key.as_mut_slice(),
        )
        .expect("32 bytes are within HKDF's 255 blocks");
    Some(Aes256Gcm::new_from_slice(key.as_slice()).expect("32 bytes are an AES-256 key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [SigningKey; 3] {
        [1, 2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]))
    }

    fn letter(topic: Topic) -> Letter {
        let [alice, bob, _] = keys();
        Letter::seal(&alice, &PeerId::of(&bob), topic, b"10.0.0.7:4242", Zeroizing::new([9; 32]))
            .expect("sealed")
    }

    #[test]
    fn only_the_receiver_opens_it_and_knows_the_sender() {
        let [alice, bob, eve] = keys();
        let topic = Topic::Introduce(Bytes([5; 16]));
        let letter = letter(topic);
        assert_eq!(letter.open(&PeerId::of(&alice), &bob, topic).as_deref(), Ok(&b"10.0.0.7:4242"[..]));
        assert_eq!(letter.open(&PeerId::of(&alice), &eve, topic), Err(LetterError::Forged));
        assert_eq!(letter.open(&PeerId::of(&eve), &bob, topic), Err(LetterError::Forged));
        assert!(!letter.sealed.windows(4).any(|window| window == b"10.0"));
    }

    #[test]
    fn it_opens_for_its_topic_and_attempt_only() {
        let [alice, bob, _] = keys();
        let letter = letter(Topic::Introduce(Bytes([5; 16])));
        for other in [
            Topic::Introduce(Bytes([6; 16])),
            Topic::Accept(Bytes([5; 16])),
            Topic::Candidates(Bytes([5; 16])),
            Topic::Note,
        ] {
            assert_eq!(letter.open(&PeerId::of(&alice), &bob, other), Err(LetterError::Forged));
        }
    }

    #[test]
    fn a_change_anywhere_is_noticed() {
        let [alice, bob, _] = keys();
        let whole = letter(Topic::Note);
        let open = |letter: &Letter| letter.open(&PeerId::of(&alice), &bob, Topic::Note);
        for at in 0..whole.sealed.len() {
            let mut changed = whole.clone();
            changed.sealed[at] ^= 1;
            assert_eq!(open(&changed), Err(LetterError::Forged));
        }
        // Signed by a key that did not seal it: only the seal tells.
        let mut resigned = whole.clone();
        resigned.ephemeral = Bytes([0; 32]);
        resigned.signature =
            Bytes(resigned.proof(&PeerId::of(&alice), &PeerId::of(&bob), Topic::Note).sign(&alice));
        assert_eq!(open(&resigned), Err(LetterError::Unsealed));
        resigned.sealed.truncate(3);
        resigned.signature =
            Bytes(resigned.proof(&PeerId::of(&alice), &PeerId::of(&bob), Topic::Note).sign(&alice));
        assert_eq!(open(&resigned), Err(LetterError::Unsealed));
    }

    #[test]
    fn too_long_or_unaddressed_letter_is_not_sealed() {
        let [alice, bob, _] = keys();
        let secret = || Zeroizing::new([9; 32]);
        let long = [0; LETTER_BYTES_MAX];
        let bob = PeerId::of(&bob);
        assert_eq!(Letter::seal(&alice, &bob, Topic::Note, &long, secret()), Err(LetterError::TooLong));
        // y = 2 is on no point; the identity has small order.
        let (mut none, mut small) = ([0; 32], [0; 32]);
        (none[0], small[0]) = (2, 1);
        for bad in [none, small].map(PeerId::from_bytes) {
            assert_eq!(Letter::seal(&alice, &bad, Topic::Note, b"", secret()), Err(LetterError::BadKey));
        }
    }
}
