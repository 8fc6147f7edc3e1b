//! Answers to strangers, one name at a time and by the hundred; and names that pass from an old key to a new one.

use crate::common::{Phonebook, Player, Response, compat, json, now, signed};
use fyteclub_proto::{
    limit::LOOKUP_NAMES_MAX,
    phonebook::{Found, FoundMany, KeyChange, LookupMany, Register, Visibility, hidden_name},
};
use serde_json::json;

const ALICE: &str = "Alice Ashe@Gilgamesh";
const ALICE_PATH: &str = "Alice%20Ashe@Gilgamesh";
const DONE: &str = r#"{"success":true}"#;

fn hidden() -> String {
    hidden_name("secret", &ALICE.parse().unwrap())
}

fn lookup_many(phonebook: &Phonebook, names: &[&str]) -> Response {
    let players = names.iter().map(|name| (*name).to_owned()).collect();
    phonebook.send("POST", "/api/lookup", json(&LookupMany { players }))
}

#[test]
fn contacts_only_player_is_unknown_to_strangers() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let register = |sequence, visibility| {
        phonebook.register(json(&alice.register_for(ALICE, sequence, visibility))).is(200, DONE);
    };
    register(1, Visibility::Contacts);
    assert_eq!(phonebook.active_users(), 1);
    let (there, never) = (phonebook.lookup(ALICE_PATH), phonebook.lookup("Never%20Was@Gilgamesh"));
    there.is(404, r#"{"error":"Player not found"}"#);
    let undated = |response: &Response| {
        response
            .head
            .lines()
            .filter(|line| !line.starts_with("date: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!((undated(&there), &there.body), (undated(&never), &never.body));
    lookup_many(&phonebook, &[ALICE]).is(200, r#"{"players":{}}"#);
    register(2, Visibility::Listed);
    assert_eq!(phonebook.lookup(ALICE_PATH).json()["port"], 7777);
    register(3, Visibility::Contacts);
    assert_eq!(phonebook.lookup(ALICE_PATH).status, 404);
}

#[test]
fn contacts_are_the_default() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let mut body = serde_json::to_value(alice.register_for(ALICE, 1, Visibility::Contacts)).unwrap();
    body.as_object_mut().unwrap().remove("visibility");
    phonebook.register(body).is(200, DONE);
    assert_eq!(phonebook.lookup(ALICE_PATH).status, 404);
}

#[test]
fn a_hidden_name_tells_key_and_time_and_no_address() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let name = hidden();
    phonebook.register(json(&alice.register_for(&name, 1, Visibility::Hidden))).is(200, DONE);
    let answer = phonebook.lookup(&name);
    let found: Found = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((found.ip, found.port), (None, None));
    assert_eq!(found.public_key.unwrap(), alice.register(ALICE, 1).public_key.to_string());
    assert!(found.last_seen.abs_diff(now()) < 60_000);
    assert!(!answer.body.contains("ip") && !answer.body.contains("port"), "{answer:?}");
    assert_eq!(phonebook.lookup(ALICE_PATH).status, 404);
}

#[test]
fn hidden_names_are_registered_hidden_and_no_others() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let long = format!("{}A", hidden());
    for (name, visibility) in [
        (&*hidden(), Visibility::Listed),
        (&hidden(), Visibility::Contacts),
        (ALICE, Visibility::Hidden),
        ("h1:short", Visibility::Hidden),
        (&long, Visibility::Hidden),
    ] {
        phonebook.register(json(&alice.register_for(name, 1, visibility))).is_problem(400, "bad_field");
    }
    let mut body = serde_json::to_value(alice.register(ALICE, 1)).unwrap();
    body["visibility"] = json!("everybody");
    phonebook.register(body).is_problem(400, "bad_field");
    assert_eq!(phonebook.active_users(), 0);
}

#[test]
fn batch_and_lookups_find_the_same() {
    let (phonebook, alice) = (signed(), Player::new(1));
    phonebook.register(json(&alice.register(ALICE, 1))).is(200, DONE);
    phonebook.register(json(&alice.register_for(&hidden(), 1, Visibility::Hidden))).is(200, DONE);
    phonebook.register(json(&alice.register_for("Bob Birch@Omega", 1, Visibility::Contacts))).is(200, DONE);
    let answer = lookup_many(&phonebook, &[ALICE, &hidden(), "Bob Birch@Omega", "Never Was@Omega", ALICE]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let found: FoundMany = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(found.players.len(), 2);
    for (name, path) in [(ALICE, ALICE_PATH), (&hidden(), &hidden())] {
        let one: Found = serde_json::from_str(&phonebook.lookup(path).body).unwrap();
        assert_eq!(found.players[name], one);
    }
    let compat = compat();
    let body = json!({"playerName": "A", "port": 1, "publicKey": {"any": "json"}});
    compat.register(body).is(200, DONE);
    assert_eq!(lookup_many(&compat, &["A"]).json()["players"]["A"]["publicKey"], json!({"any": "json"}));
}

#[test]
fn a_batch_has_a_hundred_names_at_most() {
    for phonebook in [signed(), compat()] {
        let name = |number| format!("{number:0>128}");
        let names: Vec<String> = (0..LOOKUP_NAMES_MAX).map(name).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        lookup_many(&phonebook, &names).is(200, r#"{"players":{}}"#);
        names.push("A");
        lookup_many(&phonebook, &names).is_problem(400, "too_many");
        lookup_many(&phonebook, &["a\nb"]).is_problem(400, "bad_name");
        lookup_many(&phonebook, &[]).is(200, r#"{"players":{}}"#);
        for body in ["{}", r#"{"players":"A"}"#, r#"{"players":[1]}"#, r#"{"players":null}"#] {
            phonebook.send("POST", "/api/lookup", body).is_problem(400, "bad_field");
        }
        phonebook.send("POST", "/api/lookup", "{").is_problem(400, "bad_json");
        phonebook.send("POST", "/api/lookup/A", "{}").is(404, r#"{"error":"Endpoint not found"}"#);
        phonebook.get("/api/lookup").is(404, r#"{"error":"Endpoint not found"}"#);
    }
}

#[test]
fn a_name_passes_to_the_key_that_follows() {
    let phonebook = signed();
    let [first, second, third] = [1, 2, 3].map(Player::new);
    phonebook.register(json(&first.register(ALICE, 9))).is(200, DONE);
    // The new key has sequences of its own.
    phonebook.register(json(&second.register_after(&first, ALICE, 1))).is(200, DONE);
    let key = |player: &Player| player.register(ALICE, 1).public_key.to_string();
    assert_eq!(phonebook.lookup(ALICE_PATH).json()["publicKey"], key(&second));
    phonebook.register(json(&first.register(ALICE, 99))).is_problem(409, "name_taken");
    let nothing = r#"{"success":true,"existed":false}"#;
    phonebook.unregister(json(&first.unregister(ALICE, 99))).is(200, nothing);
    // Repeated, it changes nothing, and its sequences rise as any.
    phonebook.register(json(&second.register_after(&first, ALICE, 1))).is_problem(409, "stale_sequence");
    phonebook.register(json(&second.register_after(&first, ALICE, 2))).is(200, DONE);
    phonebook.register(json(&third.register_after(&second, ALICE, 1))).is(200, DONE);
    // The old change is void now.
    phonebook.register(json(&second.register_after(&first, ALICE, 99))).is_problem(409, "name_taken");
    phonebook.register(json(&second.register(ALICE, 99))).is_problem(409, "name_taken");
    assert_eq!(phonebook.lookup(ALICE_PATH).json()["publicKey"], key(&third));
}

#[test]
fn only_an_authentic_change_to_the_very_key_counts() {
    let phonebook = signed();
    let [owner, heir, thief] = [1, 2, 3].map(Player::new);
    phonebook.register(json(&owner.register(ALICE, 1))).is(200, DONE);
    let change = KeyChange::signed(&owner.0, &heir.0);
    let with = |change: KeyChange| json(&Register { key_changes: vec![change], ..thief.register(ALICE, 1) });
    phonebook.register(with(change.clone())).is_problem(401, "bad_signature");
    let to = thief.register(ALICE, 1).public_key;
    phonebook.register(with(KeyChange { to, ..change })).is_problem(401, "bad_signature");
    phonebook.register(with(KeyChange::signed(&heir.0, &thief.0))).is_problem(409, "name_taken");
    let mut body = serde_json::to_value(heir.register(ALICE, 1)).unwrap();
    body["keyChanges"] = json!({"from": 1});
    phonebook.register(body).is_problem(400, "bad_field");
}

#[test]
fn a_name_passes_along_several_changes() {
    let phonebook = signed();
    let keys: Vec<Player> = (1..=6).map(Player::new).collect();
    let changes: Vec<KeyChange> =
        keys.windows(2).map(|pair| KeyChange::signed(&pair[0].0, &pair[1].0)).collect();
    let by = |player: usize, changes: &[KeyChange]| {
        json(&Register { key_changes: changes.to_vec(), ..keys[player].register(ALICE, 1) })
    };
    phonebook.register(json(&keys[0].register(ALICE, 1))).is(200, DONE);
    phonebook.register(by(2, &changes[1..2])).is_problem(409, "name_taken");
    phonebook.register(by(3, &[changes[0].clone(), changes[2].clone()])).is_problem(401, "bad_signature");
    phonebook.register(by(5, &changes)).is_problem(400, "bad_field");
    phonebook.register(by(4, &changes[..4])).is(200, DONE);
    phonebook.register(by(2, &changes[..2])).is_problem(409, "name_taken");
}

#[test]
fn signatures_from_before_the_start_are_refused() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let captured = json(&alice.register_at(ALICE, 5, now() - 60_000));
    let refusal = phonebook.register(&captured);
    refusal.is_problem(401, "clock_skew");
    // A client with a slow clock corrects it by this.
    let offset = refusal.json()["clockOffset"].as_i64().unwrap();
    assert!((offset + 60_000).abs() < 30_000, "{offset}");
    phonebook.register(json(&alice.register(ALICE, 5))).is(200, DONE);
    // Known now: the sequence protects it.
    phonebook.register(&captured).is_problem(409, "stale_sequence");
    phonebook.register(json(&alice.register_at(ALICE, 6, now() - 60_000))).is(200, DONE);
}
