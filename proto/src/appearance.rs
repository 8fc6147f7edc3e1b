//! Appearances: the document, its limits, its hash, and its signed envelope.
//!
//! They have no path of a disk. Other plugins' strings are opaque.

mod error;
mod look;
mod shape;

pub use error::AppearanceError;
pub use look::{FileEntry, Look, ObjectKind, ObjectLook, Swap};

use crate::{
    codec,
    id::{PeerId, PlayerName},
    proof::Proof,
    version::APPEARANCE_VERSION,
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appearance {
    /// [`APPEARANCE_VERSION`].
    pub v: u8,
    /// Strictly rising per owner; the highest is the newest.
    pub seq: u64,
    pub player: PlayerName,
    pub look: Look,
}

/// An appearance on the wire and on disk: the encoded document and the owner's signature over those bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAppearance {
    #[serde(with = "serde_bytes")]
    document: Vec<u8>,
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
}

impl SignedAppearance {
    pub fn sign(appearance: &Appearance, key: &SigningKey) -> Self {
        let document = codec::encode(appearance);
        let signature = Self::proof(&document).sign(key).to_vec();
        Self { document, signature }
    }

    fn proof(document: &[u8]) -> Proof {
        Proof::new("appearance", APPEARANCE_VERSION).field(document)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Checks the signature, then every limit. Allocates for the resulting appearance only.
    ///
    /// # Errors Any fault of it; then nothing of it may be used.
    pub fn open(bytes: &[u8], owner: &PeerId) -> Result<Appearance, AppearanceError> {
        let Envelope { document, signature } = codec::borrow(bytes)?;
        let signature = signature.try_into().map_err(|_| AppearanceError::Signature)?;
        if !Self::proof(document).verified_by(owner, signature) {
            return Err(AppearanceError::Signature);
        }
        if document.first() != Some(&APPEARANCE_VERSION) {
            return Err(AppearanceError::Version(document.first().copied().unwrap_or(0)));
        }
        // Counted first without keeping any of it: a document of short paths takes ten times its length in memory.
        shape::of(document)?.check()?;
        let appearance: Appearance = codec::decode(document)?;
        appearance.look.check()?;
        Ok(appearance)
    }
}

/// [`SignedAppearance`], borrowed.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, with = "serde_bytes")]
    document: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    signature: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::{error::Counts, *};
    use crate::{id::BlobHash, limit};

    pub(super) fn file(path: &str, bytes: &[u8]) -> FileEntry {
        FileEntry {
            game_paths: vec![path.parse().expect("a game path")],
            hash: BlobHash::of(bytes),
            size: bytes.len() as u64,
        }
    }

    pub(super) fn look(files: Vec<FileEntry>) -> Look {
        let object = ObjectLook {
            kind: ObjectKind::Player,
            files,
            swaps: vec![],
            glamourer: None,
            customize_plus: None,
        };
        let mut look = Look { objects: vec![object], ..Look::default() };
        look.normalise();
        look
    }

    fn signed(look: Look) -> (SigningKey, PeerId, SignedAppearance) {
        let key = SigningKey::from_bytes(&[1; 32]);
        let owner = PeerId::from_bytes(key.verifying_key().to_bytes());
        let player = "Alice Ashe@Gilgamesh".parse().expect("a name");
        let envelope = SignedAppearance::sign(&Appearance { v: 1, seq: 1, player, look }, &key);
        (key, owner, envelope)
    }

    #[test]
    fn an_envelope_opens_for_its_owner_only() {
        let (_, owner, envelope) = signed(look(vec![file("a.tex", b"a")]));
        assert_eq!(SignedAppearance::open(&envelope.to_bytes(), &owner).expect("opens").seq, 1);
        let stranger = PeerId::from_bytes([2; 32]);
        assert_eq!(
            SignedAppearance::open(&envelope.to_bytes(), &stranger).unwrap_err(),
            AppearanceError::Signature
        );
        let mut bent = envelope.clone();
        *bent.document.last_mut().expect("not empty") ^= 1;
        assert_eq!(SignedAppearance::open(&bent.to_bytes(), &owner).unwrap_err(), AppearanceError::Signature);
    }

    #[test]
    fn counted_totals_equal_the_decoded_look() {
        let mut many = look(vec![file("a.tex", b"a"), file("b.tex", b"b")]);
        let path = |path: &str| path.parse().expect("a game path");
        many.objects[0].files[0].game_paths.push(path("c.tex"));
        many.objects[0].swaps =
            vec![Swap { game_paths: vec![path("d.tex"), path("e.tex")], to: path("f.tex") }];
        many.objects[0].glamourer = Some("g".into());
        (many.meta, many.pet_names) = (Some("m".repeat(300)), Some(String::new()));
        many.ext.insert("key".into(), "value".into());
        let (_, _, envelope) = signed(many);
        let counts = shape::of(&envelope.document).expect("counted");
        assert_eq!(counts, Counts { objects: 1, files: 2, swaps: 1, game_paths: 5 });
        let cut = &envelope.document[..envelope.document.len() - 1];
        assert!(shape::of(cut).is_err());
    }

    #[test]
    fn limits_apply_to_signed_looks_too() {
        let mut large = file("a.tex", b"a");
        large.size = limit::FILE_SIZE_MAX + 1;
        let mut two_sizes = file("b.tex", b"a");
        two_sizes.size = 2;
        let mut pathless = file("a.tex", b"a");
        pathless.game_paths.clear();
        for bad in [
            look(vec![large]),
            look(vec![file("a.tex", b"a"), two_sizes]),
            look(vec![file("a.tex", b"a"), file("a.tex", b"b")]),
            look(vec![pathless]),
            look((0..=limit::FILES_MAX).map(|n| file(&format!("{n}.tex"), b"")).collect()),
        ] {
            let (_, owner, envelope) = signed(bad);
            assert!(SignedAppearance::open(&envelope.to_bytes(), &owner).is_err());
        }
    }
}
