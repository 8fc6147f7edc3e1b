//! A signed change of keys: the old one says which follows it, and the new one agrees.

use super::authentic;
use crate::{id::PeerId, proof::Proof, version::PROOF_VERSION};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

/// Good for ever, but only where `from` is still the known key: after another change it opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyChange {
    pub from: PeerId,
    pub to: PeerId,
    /// 64 bytes in unpadded base64url by the old key, over [`KeyChange::proof`].
    pub signature: String,
    /// The same by the new key, so that nobody can make another's key their heir's.
    pub agreement: String,
}

impl KeyChange {
    pub fn signed(from: &SigningKey, to: &SigningKey) -> Self {
        let (old, new) = (PeerId::of(from), PeerId::of(to));
        let mut change = Self { from: old, to: new, signature: String::new(), agreement: String::new() };
        let proof = change.proof();
        change.signature = URL_SAFE_NO_PAD.encode(proof.sign(from));
        change.agreement = URL_SAFE_NO_PAD.encode(proof.sign(to));
        change
    }

    /// What both sign: purpose `key change`, then the old key and the new one.
    pub fn proof(&self) -> Proof {
        Proof::new("key change", PROOF_VERSION).field(self.from.as_bytes()).field(self.to.as_bytes())
    }

    /// Whether both keys signed this very change.
    pub fn is_authentic(&self) -> bool {
        let proof = self.proof();
        self.from != self.to
            && authentic(&self.signature, &proof, &self.from)
            && authentic(&self.agreement, &proof, &self.to)
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
}
