//! Becoming contacts: messages between players who are not contacts yet, and about changed keys.
//!
//! A [`Knock`] is not sealed, because its sender may not know the receiver's key; it holds no address. A [`Note`] is
//! the text of a [`crate::letter::Letter`]. The daemon's contacts decide what follows.

use crate::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    phonebook::KeyChange,
    proof::Proof,
    version::PROOF_VERSION,
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

/// The receiver for a phone book to find.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Callee {
    Key(PeerId),
    /// A player's name, or a hidden one.
    Name(String),
}

impl Callee {
    fn field(&self) -> Vec<u8> {
        match self {
            Self::Key(key) => key.to_string().into_bytes(),
            Self::Name(name) => format!("name:{name}").into_bytes(),
        }
    }
}

/// A request to become a contact. Signed by the sender for this receiver; a repetition only repeats the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Knock {
    pub from: PeerId,
    /// The sender's claimed name.
    pub name: PlayerName,
    /// An answer with this number proves that its sender got the knock. Random, one for each wish.
    pub nonce: Bytes<16>,
    pub signature: Bytes<64>,
}

impl Knock {
    pub fn signed(to: &Callee, name: &PlayerName, nonce: Bytes<16>, key: &SigningKey) -> Self {
        let mut knock = Self { from: PeerId::of(key), name: name.clone(), nonce, signature: Bytes([0; 64]) };
        knock.signature = Bytes(knock.proof(to).sign(key));
        knock
    }

    /// The signed bytes: purpose `knock`, then receiver, sender, name, nonce.
    pub fn proof(&self, to: &Callee) -> Proof {
        Proof::new("knock", PROOF_VERSION)
            .field(&to.field())
            .field(self.from.as_bytes())
            .field(self.name.as_str().as_bytes())
            .field(self.nonce.as_slice())
    }

    /// Whether `from` signed this knock to `to`.
    pub fn is_authentic(&self, to: &Callee) -> bool {
        self.proof(to).verified_by(&self.from, &self.signature.0)
    }
}

/// The nonce of a wish's knock at one phone book: an answer with it shows which phone book found its sender. `carrier`
/// names the phone book, `nonce` is the wish's number.
pub fn knock_number(nonce: &Bytes<16>, carrier: &str) -> Bytes<16> {
    let wish = [nonce.as_slice(), carrier.as_bytes()].concat();
    let derived = blake3::derive_key("fyteclub knock number v1", &wish);
    let mut number = [0; 16];
    number.copy_from_slice(&derived[..16]);
    Bytes(number)
}

/// A sealed message between two keys about being contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// The acceptance of a knock, with its nonce.
    Accepted { name: PlayerName, nonce: Bytes<16> },
    /// An invitation's one-time secret, sent by its user.
    Join { name: PlayerName, secret: Bytes<16> },
    /// A changed key: sealed by the last key, with the changes that lead to it, oldest first.
    KeyChanged(Vec<KeyChange>),
    /// The answer to a [`Note::Join`] whose secret is used or expired. `answer` is the nonce of the acceptance, which
    /// only a holder of the secret can compute.
    TooLate { answer: Bytes<16> },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_carrier_has_a_number_of_its_own() {
        let number = |nonce, carrier| knock_number(&Bytes([nonce; 16]), carrier);
        let all = [number(1, "https://a"), number(1, "https://b"), number(2, "https://a")];
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
        assert_eq!(all[0], number(1, "https://a"));
        assert!(!all.contains(&Bytes([1; 16])), "the wish's own number is told to nobody");
    }

    #[test]
    fn a_knock_is_for_one_door() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let name: PlayerName = "Alice Ashe@Gilgamesh".parse().expect("a name");
        let to = Callee::Name("Bob Birch@Balmung".into());
        let knock = Knock::signed(&to, &name, Bytes([7; 16]), &key);
        assert!(knock.is_authentic(&to));
        assert!(!knock.is_authentic(&Callee::Name("Eve@Balmung".into())));
        assert!(!knock.is_authentic(&Callee::Key(PeerId::of(&key))));
        let other: PlayerName = "Alice Ashe@Omega".parse().expect("a name");
        assert!(!Knock { name: other, ..knock.clone() }.is_authentic(&to));
        assert!(!Knock { nonce: Bytes([8; 16]), ..knock }.is_authentic(&to));
    }
}
