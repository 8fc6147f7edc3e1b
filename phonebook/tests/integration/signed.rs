//! Signed writes: only its key lists, moves or ends a name, and no signature counts twice.

use crate::common::{Player, SERVER, compat, eventually, json, local, now, serve, signed};
use ed25519_dalek::SigningKey;
use fyteclub_phonebook::{Config, config::Password};
use fyteclub_proto::{
    id::PeerId,
    phonebook::{Register, Unregister, Visibility, live::Poll},
};
use serde_json::{Value, json};
use std::time::Duration;

const ALICE: &str = "Alice Ashe@Gilgamesh";
const ALICE_PATH: &str = "Alice%20Ashe@Gilgamesh";
const DONE: &str = r#"{"success":true}"#;

#[test]
fn a_signed_player_is_found_with_key_and_address() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let body = alice.register(ALICE, 1);
    phonebook.register(json(&body)).is(200, DONE);
    let found = phonebook.lookup(ALICE_PATH).json();
    assert_eq!(found["publicKey"], body.public_key.to_string());
    assert_eq!((&found["ip"], &found["port"]), (&json!("127.0.0.1"), &json!(7777)));
    assert!(found["lastSeen"].as_u64().unwrap().abs_diff(now()) < 60_000);
    assert_eq!(phonebook.active_users(), 1);
}

#[test]
fn another_key_cannot_take_a_name() {
    let phonebook = signed();
    phonebook.register(json(&Player::new(1).register(ALICE, 1))).is(200, DONE);
    phonebook.register(json(&Player::new(2).register(ALICE, 99))).is_problem(409, "name_taken");
    let found = phonebook.lookup(ALICE_PATH).json();
    assert_eq!(found["publicKey"], Player::new(1).register(ALICE, 1).public_key.to_string());
}

#[test]
fn another_key_cannot_end_a_registration() {
    let phonebook = signed();
    phonebook.register(json(&Player::new(1).register(ALICE, 1))).is(200, DONE);
    phonebook.unregister(json!({"playerName": ALICE})).is_problem(401, "unsigned");
    assert_eq!(phonebook.lookup(ALICE_PATH).status, 200);
}

#[test]
fn foreign_unregistration_has_no_effect() {
    let (phonebook, mallory) = (signed(), Player::new(2));
    phonebook.register(json(&Player::new(1).register(ALICE, 1))).is(200, DONE);
    let nothing = r#"{"success":true,"existed":false}"#;
    for (name, sequence) in [(ALICE, 1), ("Nobody Known@Omega", 1), (ALICE, 2)] {
        phonebook.unregister(json(&mallory.unregister(name, sequence))).is(200, nothing);
    }
    assert_eq!(phonebook.lookup(ALICE_PATH).status, 200);
}

#[test]
fn number_of_users_is_rounded() {
    let phonebook = signed();
    for number in 1..=19 {
        let name = format!("Player {number}@Omega");
        phonebook.register(json(&Player::new(number).register(&name, 1))).is(200, DONE);
        assert_eq!(phonebook.told_users(), 0, "counted rarely, and in whole tens");
    }
    assert_eq!(phonebook.get("/api/status").json()["activeUsers"], 0);
    assert_eq!(phonebook.active_users(), 19);
}

#[test]
fn one_address_holds_its_share_of_names() {
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let phonebook = serve(Config { max_names_per_address: Some(2), trusted_proxies, ..local() });
    let register = |from: &str, number: u8, sequence| {
        let headers = ["Content-Type: application/json", &format!("X-Forwarded-For: {from}")];
        let body = json(&Player::new(number).register(&format!("Player {number}@Omega"), sequence));
        phonebook.request("POST", "/api/register", &headers, body)
    };
    for home in ["192.0.2.1", "2001:db8:1::1"] {
        let first = if home.contains('.') { 1 } else { 11 };
        register(home, first, 1).is(200, DONE);
        register(home, first + 1, 1).is(200, DONE);
        let refusal = register(home, first + 2, 1);
        refusal.is_problem(429, "too_many_names");
        assert!(refusal.header("retry-after").is_some());
        register(home, first, 2).is(200, DONE);
    }
    register("2001:db8:1:ffff::1", 13, 1).is_problem(429, "too_many_names");
    register("192.0.2.2", 3, 1).is(200, DONE);
    assert_eq!(phonebook.ledger("names"), (5, 3));
}

#[test]
fn the_owner_ends_it_and_the_name_stays_the_owners() {
    let (phonebook, alice) = (signed(), Player::new(1));
    phonebook.register(json(&alice.register(ALICE, 1))).is(200, DONE);
    phonebook.unregister(json(&alice.unregister(ALICE, 2))).is(200, r#"{"success":true,"existed":true}"#);
    phonebook.lookup(ALICE_PATH).is(404, r#"{"error":"Player not found"}"#);
    phonebook.unregister(json(&alice.unregister(ALICE, 3))).is(200, r#"{"success":true,"existed":false}"#);
    phonebook.register(json(&Player::new(2).register(ALICE, 1))).is_problem(409, "name_taken");
    phonebook.register(json(&alice.register(ALICE, 4))).is(200, DONE);
}

#[test]
fn replay_is_refused_with_the_newest_sequence() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let body = json(&alice.register(ALICE, 5));
    phonebook.register(&body).is(200, DONE);
    for old in [body.clone(), json(&alice.register(ALICE, 4)), json(&alice.register(ALICE, 0))] {
        let refusal = phonebook.register(old);
        refusal.is_problem(409, "stale_sequence");
        assert_eq!(refusal.json()["sequence"], 5);
    }
    let end = json(&alice.unregister(ALICE, 6));
    phonebook.unregister(&end).is(200, r#"{"success":true,"existed":true}"#);
    phonebook.register(&body).is_problem(409, "stale_sequence");
    phonebook.unregister(&end).is_problem(409, "stale_sequence");
    phonebook.lookup(ALICE_PATH).is(404, r#"{"error":"Player not found"}"#);
}

#[test]
fn a_replay_after_expiry_is_refused() {
    let (ttl, pin) = (Duration::from_secs(1), Duration::ZERO);
    let (phonebook, alice) = (serve(Config { ttl, pin, ..local() }), Player::new(1));
    let body = json(&alice.register(ALICE, 5));
    phonebook.register(&body).is(200, DONE);
    eventually("the registration ends", || phonebook.active_users() == 0);
    phonebook.lookup(ALICE_PATH).is(404, r#"{"error":"Player not found"}"#);
    phonebook.register(&body).is_problem(409, "stale_sequence");
    phonebook.register(json(&alice.register(ALICE, 6))).is(200, DONE);
}

#[test]
fn wrong_clock_gets_its_offset() {
    let (phonebook, alice) = (signed(), Player::new(1));
    for (offset, at) in [(-300_000, now() - 300_000), (300_000, now() + 300_000)] {
        let refusal = phonebook.register(json(&alice.register_at(ALICE, 1, at)));
        refusal.is_problem(401, "clock_skew");
        let told = refusal.json()["clockOffset"].as_i64().unwrap();
        assert!((told - offset).abs() < 60_000, "{told}");
        assert!(refusal.json()["error"].as_str().unwrap().starts_with("your clock is off by "));
    }
    phonebook.register(json(&alice.register_at(ALICE, 1, 0))).is_problem(401, "clock_skew");
    phonebook.register(json(&alice.register_at(ALICE, 1, u64::MAX))).is_problem(401, "clock_skew");
    phonebook.register(json(&alice.register_at(ALICE, 1, now() + 60_000))).is(200, DONE);
}

#[test]
fn an_unsigned_write_is_refused() {
    let phonebook = signed();
    phonebook
        .register(json!({"playerName": ALICE, "port": 1, "publicKey": "test-key"}))
        .is_problem(401, "unsigned");
    for missing in ["publicKey", "sequence", "time", "signature"] {
        let mut body: Value = serde_json::to_value(Player::new(1).register(ALICE, 1)).unwrap();
        body[missing] = Value::Null;
        phonebook.register(body).is_problem(401, "unsigned");
    }
    assert_eq!(phonebook.active_users(), 0);
}

#[test]
fn bodies_that_clients_compare_are_the_originals() {
    let phonebook = signed();
    phonebook.register(json!({"playerName": ALICE})).is(400, r#"{"error":"playerName and port required"}"#);
    phonebook.unregister(json!({})).is(400, r#"{"error":"playerName required"}"#);
    phonebook.get("/api/register").is(404, r#"{"error":"Endpoint not found"}"#);
    phonebook.request("OPTIONS", "/api/register", &[], "").is(404, r#"{"error":"Endpoint not found"}"#);
    let health = phonebook.request("GET", "/health", &["Origin: http://a.test"], "");
    assert_eq!(health.header("access-control-allow-origin"), None);
}

#[test]
fn a_signature_covers_every_field() {
    let phonebook = signed();
    let body = Player::new(1).register(ALICE, 1);
    for forged in [
        Register { port: 7778, ..body.clone() },
        Register { player_name: "Bob Ashe@Gilgamesh".to_owned(), ..body.clone() },
        Register { public_key: Player::new(2).register(ALICE, 1).public_key, ..body.clone() },
        Register { sequence: 2, ..body.clone() },
        Register { visibility: Visibility::Contacts, ..body.clone() },
        Register { time: body.time + 1, ..body.clone() },
        Register { signature: "AAAA".to_owned(), ..body.clone() },
    ] {
        phonebook.register(json(&forged)).is_problem(401, "bad_signature");
    }
    let end = Player::new(1).unregister(ALICE, 1);
    let crossed = Register { signature: end.signature, ..body.clone() };
    phonebook.register(json(&crossed)).is_problem(401, "bad_signature");
    phonebook.register(json(&body)).is(200, DONE);
}

#[test]
fn a_body_for_another_server_is_refused() {
    let names = vec!["book.example".to_owned()];
    let named = serve(Config { names, ..local() });
    let key = &Player::new(1).0;
    for (phonebook, right) in [(&signed(), SERVER), (&named, "book.example")] {
        let register = |server| Register::signed(ALICE, 7777, Visibility::Listed, server, now(), now(), key);
        // Both may fall into one millisecond.
        let unregister = |server| Unregister::signed(ALICE, server, now() + 1_000, now(), key);
        phonebook.register(json(&register("evil.example"))).is_problem(401, "other_server");
        phonebook.unregister(json(&unregister("evil.example"))).is_problem(401, "other_server");
        // A replay writes its own request around the body.
        if phonebook.addr == named.addr {
            let headers = ["Content-Type: application/json", "Host: evil.example"];
            let body = json(&register("evil.example"));
            assert_ne!(phonebook.request("POST", "/api/register", &headers, body).status, 200);
        }
        phonebook.register(json(&register(right))).is(200, DONE);
        phonebook.unregister(json(&unregister(right))).is(200, r#"{"success":true,"existed":true}"#);
    }
}

#[test]
fn a_body_of_version_1_is_refused_by_its_code() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let without = |body: Value| {
        let mut body = body;
        body.as_object_mut().unwrap().remove("server");
        body
    };
    let register = without(serde_json::to_value(alice.register(ALICE, 1)).unwrap());
    let unregister = without(serde_json::to_value(alice.unregister(ALICE, 2)).unwrap());
    phonebook.register(&register).is_problem(401, "no_server");
    phonebook.unregister(&unregister).is_problem(401, "no_server");
    // Compatibility mode checks no signature.
    compat().register(&register).is(200, DONE);
}

#[test]
fn a_sequence_ahead_of_the_clock_is_refused() {
    let (phonebook, alice) = (signed(), Player::new(1));
    for ahead in [u64::MAX, u64::MAX - 1, now() + 180_000] {
        phonebook.register(json(&alice.register(ALICE, ahead))).is_problem(400, "sequence_ahead");
        phonebook.unregister(json(&alice.unregister(ALICE, ahead))).is_problem(400, "sequence_ahead");
        let poll = Poll::signed(SERVER, ahead, now(), Duration::ZERO, &[], &alice.0);
        phonebook.send("POST", "/api/live", json(&poll)).is_problem(400, "sequence_ahead");
    }
    phonebook.register(json(&alice.register(ALICE, now() + 90_000))).is(200, DONE);
}

#[test]
fn a_weak_key_signs_nothing() {
    let phonebook = signed();
    // The neutral point: if it were accepted, one signature would fit every message.
    let mut weak = [0; 32];
    weak[0] = 1;
    let mut body = Player::new(1).register(ALICE, 1);
    body.public_key = PeerId::from_bytes(weak);
    body.signature = format!("AQ{}", "A".repeat(84));
    phonebook.register(json(&body)).is_problem(401, "bad_signature");
    let mut text = serde_json::to_value(Player::new(1).register(ALICE, 1)).unwrap();
    text["publicKey"] = json!("test-key");
    phonebook.register(text).is_problem(401, "bad_signature");
}

#[test]
fn each_name_of_a_key_has_its_own_sequence() {
    let (phonebook, alice) = (signed(), Player::new(1));
    phonebook.register(json(&alice.register(ALICE, 9))).is(200, DONE);
    phonebook.register(json(&alice.register("Alt Ashe@Omega", 1))).is(200, DONE);
    assert_eq!(phonebook.active_users(), 2);
}

#[test]
fn a_missing_password_has_a_code_here() {
    let phonebook = serve(Config { password: Some(Password::new("x")), ..local() });
    let refusal = phonebook.register(json(&Player(SigningKey::from_bytes(&[1; 32])).register(ALICE, 1)));
    refusal.is_problem(401, "bad_password");
    assert_eq!(refusal.json()["error"], "Authentication required");
}

#[test]
fn full_book_refuses_with_its_own_code() {
    let phonebook = serve(Config { max_records: 1, ..local() });
    phonebook.register(json(&Player::new(1).register(ALICE, 1))).is(200, DONE);
    let refusal = phonebook.register(json(&Player::new(2).register("Bob Ashe@Omega", 1)));
    refusal.is_problem(503, "full");
    assert!(refusal.header("retry-after").is_some());
    phonebook.register(json(&Player::new(1).register(ALICE, 2))).is(200, DONE);
}
