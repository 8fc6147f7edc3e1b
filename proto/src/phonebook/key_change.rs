//! A signed change of keys: the old key names the new one, and the new one agrees.

use crate::{id::PeerId, limit::KEY_CHANGES_MAX, proof::Proof, version::PROOF_VERSION};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

/// Valid for ever, but only while `from` is the known key: after another change it does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyChange {
    pub from: PeerId,
    pub to: PeerId,
    /// 64 bytes in unpadded base64url by the old key, over [`KeyChange::proof`].
    pub signature: String,
    /// The same by the new key, so that nobody can name a foreign key as their successor.
    pub agreement: String,
}

impl KeyChange {
    pub fn signed(from: &SigningKey, to: &SigningKey) -> Self {
        let (old, new) = (PeerId::of(from), PeerId::of(to));
        let mut change = Self { from: old, to: new, signature: String::new(), agreement: String::new() };
        let proof = change.proof();
        change.signature = proof.sign_text(from);
        change.agreement = proof.sign_text(to);
        change
    }

    /// The signed bytes: purpose `key change`, then the old key and the new one.
    pub fn proof(&self) -> Proof {
        Proof::new("key change", PROOF_VERSION).field(self.from.as_bytes()).field(self.to.as_bytes())
    }

    /// Whether these changes lead to `to`, each from where the one before ended, and signed by both its keys.
    pub fn lead(changes: &[Self], to: &PeerId) -> bool {
        changes.len() <= KEY_CHANGES_MAX
            && changes.last().is_some_and(|last| last.to == *to)
            && changes.windows(2).all(|pair| pair[0].to == pair[1].from)
            && changes.iter().all(Self::is_authentic)
    }

    /// Whether both keys signed it.
    pub fn is_authentic(&self) -> bool {
        let proof = self.proof();
        self.from != self.to
            && proof.verified_by_text(&self.from, &self.signature)
            && proof.verified_by_text(&self.to, &self.agreement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keys_must_have_signed_it() {
        let (old, new) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let change = KeyChange::signed(&old, &new);
        assert!(change.is_authentic());
        let third = PeerId::of(&SigningKey::from_bytes(&[3; 32]));
        for forged in [
            KeyChange { to: third, ..change.clone() },
            KeyChange { from: third, ..change.clone() },
            KeyChange { agreement: change.signature.clone(), ..change.clone() },
            KeyChange { signature: change.agreement.clone(), ..change.clone() },
            KeyChange::signed(&old, &old),
        ] {
            assert!(!forged.is_authentic(), "{forged:?}");
        }
    }

    #[test]
    fn changes_lead_step_by_step_to_one_key() {
        let keys: Vec<SigningKey> = (1..=6).map(|seed| SigningKey::from_bytes(&[seed; 32])).collect();
        let all: Vec<KeyChange> = keys.windows(2).map(|pair| KeyChange::signed(&pair[0], &pair[1])).collect();
        let ids: Vec<PeerId> = keys.iter().map(PeerId::of).collect();
        assert!(KeyChange::lead(&all[..1], &ids[1]) && KeyChange::lead(&all[1..], &ids[5]));
        assert!(!KeyChange::lead(&[], &ids[0]));
        assert!(!KeyChange::lead(&all[..2], &ids[1]), "not where it ends");
        assert!(!KeyChange::lead(&all, &ids[5]), "too many");
        assert!(!KeyChange::lead(&[all[0].clone(), all[2].clone()], &ids[3]), "a step is missing");
        let forged = KeyChange { from: ids[0], ..all[2].clone() };
        assert!(!KeyChange::lead(&[forged, all[3].clone()], &ids[4]));
    }
}
