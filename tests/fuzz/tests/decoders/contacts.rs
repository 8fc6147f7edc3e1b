//! Knocks and notes of strangers and contacts, pasted links, and the contacts' file.

use crate::modest;
use ed25519_dalek::SigningKey;
use fyteclub_fuzz::{fuzz, seed::texts};
use fyteclub_proto::{
    bytes::Bytes,
    codec,
    contact::{Contacts, Here, Input, Policy, Saved},
    id::{PeerId, PlayerName},
    invitation::{Invitation, LINK_BYTES_MAX},
    knock::{Callee, Knock, Note},
    phonebook::KeyChange,
};

const NOW: u64 = 1_700_000_000_000;

fn name() -> PlayerName {
    "Alice Ashe@Gilgamesh".parse().expect("a name")
}

fn machine(saved: Saved) -> Contacts {
    let here =
        Here { key: PeerId::from_bytes([1; 32]), player: Some("Bob Birch@Balmung".parse().expect("a name")) };
    Contacts::new(here, Policy::Ask, saved, NOW)
}

#[test]
fn invitation() {
    let right = Invitation {
        player: name(),
        peer_id: PeerId::from_bytes([7; 32]),
        secret: Bytes([9; 16]),
        phonebooks: vec!["https://book.example".into(), String::new()],
    };
    let link = right.to_string();
    fuzz!(texts(&[&link, "fyteclub://join/e30"]), |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let Ok(invitation) = modest(input, || text.parse::<Invitation>()) else { return };
        let again = invitation.to_string();
        assert!(again.len() <= 2 * LINK_BYTES_MAX, "{again}");
        assert_eq!(again.parse(), Ok(invitation));
    });
}

/// A mutated knock is authentic only where nothing changed.
#[test]
fn knock() {
    let key = SigningKey::from_bytes(&[3; 32]);
    let to = Callee::Name("Bob Birch@Balmung".into());
    let right = Knock::signed(&to, &name(), Bytes([7; 16]), &key);
    let text = serde_json::to_string(&right).expect("JSON");
    fuzz!(texts(&[&text]), |input: &[u8]| {
        let Ok(knock) = modest(input, || serde_json::from_slice::<Knock>(input)) else { return };
        let text = serde_json::to_vec(&knock).expect("encodes");
        assert_eq!(serde_json::from_slice::<Knock>(&text).ok().as_ref(), Some(&knock));
        assert_eq!(knock.is_authentic(&to), knock == right, "{knock:?}");
    });
}

/// No note makes an unknown key a contact.
#[test]
fn note() {
    let [old, new] = [[5; 32], [6; 32]].map(|seed| SigningKey::from_bytes(&seed));
    let seeds = [
        Note::Accepted { name: name(), nonce: Bytes([1; 16]) },
        Note::Join { name: name(), secret: Bytes([2; 16]) },
        Note::KeyChanged(vec![KeyChange::signed(&old, &new)]),
        Note::TooLate { answer: Bytes([3; 16]) },
    ];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(codec::encode).collect();
    fuzz!(seeds, |input: &[u8]| {
        let Ok(note) = modest(input, || codec::decode::<Note>(input)) else { return };
        assert_eq!(codec::decode(&codec::encode(&note)), Ok(note.clone()));
        let mut contacts = machine(Saved::default());
        let from = PeerId::of(&old);
        contacts.handle(NOW, Input::Noted { from, note });
        assert!(!contacts.consents(&from) && contacts.poll().is_none());
    });
}

/// An accepted file keeps the rules, and goes on keeping them.
#[test]
fn contacts_file() {
    let mut contacts = machine(Saved::default());
    let keys = [2, 3, 4].map(|seed| PeerId::from_bytes([seed; 32]));
    contacts.add(&name(), Some(keys[0]), Bytes([1; 16]), NOW).expect("added");
    contacts.add(&"Carol Cole@Gilgamesh".parse().expect("a name"), None, Bytes([2; 16]), NOW).expect("added");
    contacts.block(&keys[1].into(), NOW).expect("blocked");
    contacts.invite(Bytes([3; 16]), &[], NOW).expect("invited");
    let knock = Knock { from: keys[2], name: name(), nonce: Bytes([4; 16]), signature: Bytes([0; 64]) };
    contacts.handle(NOW, Input::Knocked(knock.clone()));
    let text = serde_json::to_string(contacts.saved()).expect("JSON");
    fuzz!(texts(&[&text]), |input: &[u8]| {
        let Ok(saved) = modest(input, || serde_json::from_slice::<Saved>(input)) else { return };
        if saved.check().is_err() {
            return;
        }
        let mut contacts = machine(saved);
        contacts.handle(NOW, Input::Connected);
        contacts.handle(NOW, Input::Knocked(knock.clone()));
        contacts.handle(NOW, Input::Linked(keys[0]));
        while contacts.poll().is_some() {}
        assert_eq!(contacts.saved().check(), Ok(()));
        let again = serde_json::to_vec(contacts.saved()).expect("encodes");
        assert!(serde_json::from_slice::<Saved>(&again).is_ok_and(|saved| saved.check().is_ok()));
    });
}
