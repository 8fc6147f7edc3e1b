//! The phone book's bodies.

use crate::modest;
use ed25519_dalek::SigningKey;
use fyteclub_fuzz::{fuzz, seed::goldens};
use fyteclub_proto::phonebook::{
    Found, FoundMany, KeyChange, LookupMany, Problem, Register, Unregister, Unregistered, Visibility,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

pub(crate) fn accepted<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> Option<T> {
    let body: T = modest(input, || serde_json::from_slice(input)).ok()?;
    let text = serde_json::to_vec(&body).expect("encodes");
    assert_eq!(serde_json::from_slice::<T>(&text).ok().as_ref(), Some(&body));
    Some(body)
}

/// A mutated body is authentic only where no signed part changed.
#[test]
fn register() {
    let golden = goldens("phonebook_v1", &["register.json"]).remove(0);
    let right: Register = serde_json::from_slice(&golden).expect("a golden reads");
    fuzz!(goldens("phonebook_v1", &["register.json"]), |input: &[u8]| {
        let Some(body) = accepted::<Register>(input) else { return };
        // Key changes have their own signatures.
        let right = Register { key_changes: body.key_changes.clone(), ..right.clone() };
        assert_eq!(body.is_authentic(), body == right, "{body:?}");
    });
}

#[test]
fn unregister() {
    let golden = goldens("phonebook_v1", &["unregister.json"]).remove(0);
    let right: Unregister = serde_json::from_slice(&golden).expect("a golden reads");
    fuzz!(goldens("phonebook_v1", &["unregister"]), |input: &[u8]| {
        let Some(body) = accepted::<Unregister>(input) else { return };
        assert_eq!(body.is_authentic(), body == right, "{body:?}");
    });
}

/// A signed name stays unchanged and signed.
#[test]
fn signed_names() {
    let key = SigningKey::from_bytes(&[9; 32]);
    let seeds = fyteclub_fuzz::seed::texts(&["Alice Ashe@Gilgamesh", "光の 戦士@トンベリ"]);
    fuzz!(seeds, |input: &[u8]| {
        let name = String::from_utf8_lossy(input);
        let body = Register::signed(&name, 1, Visibility::Listed, "book.example", 2, 3, &key);
        assert!(body.is_authentic());
        let text = serde_json::to_vec(&body).expect("encodes");
        assert_eq!(accepted::<Register>(&text), Some(body));
    });
}

#[test]
fn key_change() {
    let golden = goldens("phonebook_v1", &["key_change"]).remove(0);
    let right: KeyChange = serde_json::from_slice(&golden).expect("a golden reads");
    fuzz!(goldens("phonebook_v1", &["key_change"]), |input: &[u8]| {
        let Some(change) = accepted::<KeyChange>(input) else { return };
        assert_eq!(change.is_authentic(), change == right, "{change:?}");
    });
}

#[test]
fn lookup_many() {
    fuzz!(goldens("phonebook_v1", &["lookup_many"]), |input: &[u8]| {
        accepted::<LookupMany>(input);
    });
}

#[test]
fn many_found() {
    fuzz!(goldens("phonebook_v1", &["many_found"]), |input: &[u8]| {
        accepted::<FoundMany>(input);
    });
}

#[test]
fn answers() {
    let seeds = goldens("phonebook_v1", &["found", "unregistered", "problem"]);
    fuzz!(seeds, |input: &[u8]| {
        accepted::<Found>(input);
        accepted::<Unregistered>(input);
        accepted::<Problem>(input);
    });
}
