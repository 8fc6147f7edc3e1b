//! Signed appearances: only what keeps every limit is accepted, whatever an owner signed.

use crate::modest;
use ed25519_dalek::SigningKey;
use fyteclub_fuzz::{fuzz, heap, seed::goldens};
use fyteclub_proto::{
    appearance::{Appearance, AppearanceError, SignedAppearance},
    codec,
    id::PeerId,
    limit,
    number::{u64_of, usize_of},
    proof::Proof,
    version::APPEARANCE_VERSION,
};

fn owner() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn id(key: &SigningKey) -> PeerId {
    PeerId::from_bytes(key.verifying_key().to_bytes())
}

/// The envelope's two fields: the document and the signature.
type Envelope = (Vec<u8>, Vec<u8>);

/// Any bytes, properly signed.
fn sign(document: &[u8], key: &SigningKey) -> Vec<u8> {
    let signature = Proof::new("appearance", APPEARANCE_VERSION).field(document).sign(key);
    codec::encode::<Envelope>(&(document.to_vec(), signature.to_vec()))
}

fn documents() -> Vec<Vec<u8>> {
    let envelopes = goldens("peer_v1", &["appearance_signed"]);
    envelopes.iter().map(|bytes| codec::decode::<Envelope>(bytes).expect("a golden").0).collect()
}

fn within_limits(appearance: &Appearance) {
    assert_eq!(appearance.v, APPEARANCE_VERSION);
    assert_eq!(appearance.look.check(), Ok(()));
    let objects = &appearance.look.objects;
    let files = || objects.iter().flat_map(|object| &object.files);
    assert!(objects.len() <= limit::OBJECTS_MAX && files().count() <= limit::FILES_MAX);
    assert!(files().map(|file| file.game_paths.len()).sum::<usize>() <= limit::GAME_PATHS_MAX);
    assert!(files().all(|file| file.size <= limit::FILE_SIZE_MAX && !file.game_paths.is_empty()));
    let (count, bytes) = appearance.look.totals();
    assert!(usize_of(count) <= limit::FILES_MAX && bytes <= count * limit::FILE_SIZE_MAX);
}

/// Mutated envelopes: the signature covers the very bytes, so only the signed ones are accepted.
#[test]
fn envelope() {
    let (owner, stranger) = (id(&owner()), PeerId::from_bytes([2; 32]));
    let golden = goldens("peer_v1", &["appearance_signed"]).remove(0);
    let right = SignedAppearance::open(&golden, &owner).expect("a golden opens");
    fuzz!(goldens("peer_v1", &["appearance_signed"]), |input: &[u8]| {
        if let Ok(appearance) = modest(input, || SignedAppearance::open(input, &owner)) {
            assert_eq!(appearance, right);
        }
        assert!(SignedAppearance::open(input, &stranger).is_err());
    });
}

/// Mutated documents with a valid signature: the owner is hostile.
#[test]
fn document() {
    let key = owner();
    let owner = id(&key);
    fuzz!(documents(), |input: &[u8]| {
        let envelope = sign(input, &key);
        match modest(&envelope, || SignedAppearance::open(&envelope, &owner)) {
            Ok(appearance) => {
                within_limits(&appearance);
                let again = SignedAppearance::sign(&appearance, &key).to_bytes();
                assert_eq!(SignedAppearance::open(&again, &owner).as_ref(), Ok(&appearance));
                let mut normal = appearance.look.clone();
                normal.normalise();
                let hash = normal.hash();
                normal.normalise();
                assert_eq!(normal.hash(), hash, "the one order is one");
            }
            Err(AppearanceError::Signature) => panic!("it is signed"),
            Err(error) => assert!(error.to_string().len() < 1000, "an error is a sentence"),
        }
    });
}

/// A document on the wire, with unchecked paths.
type Paths = Vec<&'static str>;
type Object = (u8, Vec<(Paths, [u8; 32], u64)>, Vec<(Paths, &'static str)>, Option<u8>, Option<u8>);
type Look = (Vec<Object>, [Option<u8>; 5], Vec<(&'static str, &'static str)>);

/// Any signed document costs 32 MiB at most beside three times its length.
#[test]
fn a_signed_document_costs_no_more_than_its_due() {
    let key = owner();
    let path = "a.tex";
    let object = |files, swaps| -> Object { (0, files, swaps, None, None) };
    let many = |count: usize| vec![path; count];
    let files = |count: usize| vec![(vec![path], [0; 32], 0); count];
    for (what, objects) in [
        ("paths of one file", vec![object(vec![(many(1_390_000), [0; 32], 0)], vec![])]),
        ("paths of one swap", vec![object(vec![], vec![(many(1_390_000), path)])]),
        ("swaps", vec![object(vec![], vec![(vec![], path); 1_190_000])]),
        ("files", vec![object(files(200_000), vec![])]),
        ("objects", vec![object(vec![], vec![]); 1_600_000]),
        ("objects in a small document", vec![object(vec![], vec![]); 200_000]),
        ("paths in a small document", vec![object(vec![(many(174_000), [0; 32], 0)], vec![])]),
        ("as many as are accepted", vec![object(files(limit::FILES_MAX), vec![])]),
    ] {
        let look: Look = (objects, [None; 5], vec![]);
        let document = codec::encode(&(APPEARANCE_VERSION, 1_u64, "Alice Ashe@Gilgamesh", look));
        let envelope = sign(&document, &key);
        assert!(envelope.len() <= limit::APPEARANCE_BYTES_MAX, "{what}: {}", envelope.len());
        let (opened, peak) = heap::peak(|| SignedAppearance::open(&envelope, &id(&key)));
        assert!(!matches!(opened, Err(AppearanceError::Malformed(_))), "{what}: {opened:?}");
        assert!(opened.is_err(), "{what}: none of them is right");
        assert!(peak <= (32 << 20) + 3 * envelope.len(), "{what}: {peak} bytes for {}", envelope.len());
    }
}

/// Well-formed documents that break a rule: assembled from bytes, to test the rules.
#[test]
fn look() {
    let key = owner();
    let owner = id(&key);
    let right: Appearance = codec::decode(&documents().remove(0)).expect("a golden");
    fuzz!([vec![], vec![0; 8], (0..32).collect()], |input: &[u8]| {
        let mut appearance = right.clone();
        let look = &mut appearance.look;
        for pair in input.as_chunks::<2>().0 {
            let [what, how] = pair.map(usize::from);
            let objects = look.objects.len();
            let Some(object) = look.objects.get_mut(how % objects.max(1)) else { break };
            let files = object.files.len().max(1);
            match what % 10 {
                0 => object.files.extend(object.files.first().cloned()),
                1 => object.files.iter_mut().for_each(|file| file.size = (u64_of(how)) << (how % 57)),
                2 => object.files.reverse(),
                3 => object.files.iter_mut().skip(how % files).for_each(|file| file.game_paths.clear()),
                4 => object.files.iter_mut().for_each(|file| file.game_paths.reverse()),
                5 => object.swaps.iter_mut().for_each(|swap| swap.game_paths.clear()),
                6 if how > 250 => object.glamourer = Some("x".repeat(limit::OPAQUE_BYTES_MAX + how % 2)),
                6 => object.customize_plus = None,
                7 => drop(look.ext.insert("k".repeat(how), String::new())),
                8 => drop(look.ext.insert(how.to_string(), "v".repeat(how << 10))),
                _ => {
                    let copy = object.clone();
                    look.objects.push(copy);
                }
            }
            if look.objects.len() > 2 * limit::OBJECTS_MAX {
                break;
            }
        }
        let bytes = SignedAppearance::sign(&appearance, &key).to_bytes();
        match (SignedAppearance::open(&bytes, &owner), appearance.look.check()) {
            (Ok(opened), Ok(())) => {
                within_limits(&opened);
                assert_eq!(opened, appearance);
            }
            (Err(error), Err(expected)) => assert_eq!(error, expected),
            (opened, expected) => panic!("{opened:?}, not {expected:?}"),
        }
    });
}
