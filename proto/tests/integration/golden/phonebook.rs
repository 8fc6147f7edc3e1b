//! phonebook_v1: every body of the phone book, and the signed bytes.

use super::{Example, Reader, check, json};
use ed25519_dalek::SigningKey;
use fyteclub_proto::{
    id::PeerId,
    phonebook::{
        Found, FoundMany, KeyChange, LookupMany, Problem, Register, Unregister, Unregistered, Visibility,
        hidden_name,
    },
};

const SERVER: &str = "book.example";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

#[test]
fn phone_book_bodies_equal_the_goldens() {
    let name = "Alice Ashe@Gilgamesh";
    let id = PeerId::from_bytes(key().verifying_key().to_bytes());
    let register = Register::signed(name, 7777, Visibility::Listed, SERVER, 5, 1_700_000_000_000, &key());
    let unregister = Unregister::signed(name, SERVER, 6, 1_700_000_060_000, &key());
    let hidden = hidden_name("a secret of sixteen bytes", &name.parse().expect("a name"));
    let registered =
        Register::signed(&hidden, 7777, Visibility::Hidden, SERVER, 5, 1_700_000_000_000, &key());
    let change = KeyChange::signed(&SigningKey::from_bytes(&[8; 32]), &key());
    let follows = Register { key_changes: vec![change.clone()], ..register.clone() };
    assert!(change.is_authentic());
    assert!(register.is_authentic() && unregister.is_authentic());
    let proof =
        |name, bytes: &[u8]| Example::hex(name, bytes.to_vec(), bytes, |bytes| Ok::<_, ()>(bytes.to_vec()));
    let found = Found {
        ip: Some("203.0.113.7".into()),
        port: Some(7777),
        public_key: Some(id.to_string()),
        last_seen: 1_700_000_000_000,
    };
    let examples = vec![
        proof("proof_register", register.proof().as_bytes()),
        proof("proof_unregister", unregister.proof().as_bytes()),
        proof("proof_key_change", change.proof().as_bytes()),
        Example::json("key_change", change),
        Example::json("register", register),
        Example::json("register_hidden", registered),
        Example::json("register_key_changes", follows),
        Example::json("unregister", unregister),
        Example::json("found", found.clone()),
        Example::json("found_compat", Found { public_key: None, ..found.clone() }),
        Example::json("found_hidden", Found { ip: None, port: None, ..found.clone() }),
        Example::json("lookup_many", LookupMany { players: vec![name.to_owned(), hidden.clone()] }),
        Example::json(
            "many_found",
            FoundMany {
                players: [
                    (name.to_owned(), found.clone()),
                    (hidden, Found { ip: None, port: None, ..found }),
                ]
                .into(),
            },
        ),
        Example::json("unregistered", Unregistered { success: true, existed: false }),
        Example::json(
            "problem_compat",
            Problem { error: "Missing required fields".into(), ..Problem::default() },
        ),
        Example::json(
            "problem",
            Problem {
                error: "this name belongs to another key".into(),
                code: Some("name_taken".into()),
                ..Problem::default()
            },
        ),
    ];
    let readers: &[(&str, Reader)] = &[
        ("register", json::<Register>),
        ("unregistered", json::<Unregistered>),
        ("unregister", json::<Unregister>),
        ("found", json::<Found>),
        ("key_change", json::<KeyChange>),
        ("lookup_many", json::<LookupMany>),
        ("many_found", json::<FoundMany>),
        ("problem", json::<Problem>),
    ];
    check("phonebook_v1", examples, readers);
}
