//! The original's contract: its own ten tests, then its recorded answers. Bodies are compared to the byte where clients
//! compare them.

use crate::common::{Phonebook, compat, eventually, local, now, serve};
use fyteclub_phonebook::{Config, config::Password};
use serde_json::{Value, json};
use std::time::Duration;

const DONE: &str = r#"{"success":true}"#;
const NO_PLAYER: &str = r#"{"error":"Player not found"}"#;
const NO_ENDPOINT: &str = r#"{"error":"Endpoint not found"}"#;
const NAME_AND_PORT: &str = r#"{"error":"playerName and port required"}"#;
const NO_PASSWORD: &str = r#"{"error":"Authentication required","message":"Invalid or missing password"}"#;

fn alice(phonebook: &Phonebook, body: Value) {
    phonebook.register(body).is(200, DONE);
}

fn secret() -> Phonebook {
    serve(Config { compat: true, password: Some(Password::new("secret123")), ..local() })
}

// The original's ten tests.

#[test]
fn t01_health_of_a_fresh_server() {
    let answer = compat().get("/health");
    let body = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(body["service"], "fyteclub-phonebook");
    assert_eq!(body["status"], "healthy");
    assert_eq!(body["activeUsers"], 0);
    assert!(body["timestamp"].as_u64().unwrap().abs_diff(now()) < 60_000);
}

#[test]
fn t02_registers_a_player() {
    let phonebook = compat();
    phonebook
        .register(json!({"playerName": "TestPlayer", "port": 8080, "publicKey": "test-key"}))
        .is(200, DONE);
    assert_eq!(phonebook.lookup("TestPlayer").json()["port"], 8080);
}

#[test]
fn t03_a_registration_needs_a_port() {
    compat().register(json!({"playerName": "TestPlayer"})).is(400, NAME_AND_PORT);
}

#[test]
fn t04_looks_a_player_up() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "TestPlayer", "port": 8080, "publicKey": "test-key"}));
    let answer = phonebook.lookup("TestPlayer");
    let body = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(body["port"], 8080);
    assert_eq!(body["publicKey"], "test-key");
    assert_eq!(body["ip"], "127.0.0.1");
    assert!(body["lastSeen"].as_u64().unwrap().abs_diff(now()) < 60_000, "milliseconds");
    assert_eq!(body.as_object().unwrap().len(), 4);
}

#[test]
fn t05_an_unknown_player_is_not_found() {
    compat().lookup("Nobody").is(404, NO_PLAYER);
}

#[test]
fn t06_unregisters_a_player() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "TestPlayer", "port": 8080}));
    phonebook.unregister(json!({"playerName": "TestPlayer"})).is(200, r#"{"success":true,"existed":true}"#);
    phonebook.lookup("TestPlayer").is(404, NO_PLAYER);
}

#[test]
fn t07_an_unregistration_needs_a_name() {
    compat().unregister(json!({})).is(400, r#"{"error":"playerName required"}"#);
}

#[test]
fn t08_status_of_a_fresh_server() {
    let answer = compat().get("/api/status");
    let body = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(body["name"], "FyteClub Phone Book");
    assert_eq!(body["version"], "1.0.0");
    assert_eq!(body["activeUsers"], 0);
    assert!(body["uptime"].is_number() && body["timestamp"].is_number());
}

#[test]
fn t09_an_expired_entry_is_gone() {
    let phonebook = serve(Config { ttl: Duration::from_secs(1), compat: true, ..local() });
    alice(&phonebook, json!({"playerName": "TestPlayer", "port": 8080}));
    eventually("the lookup ends", || phonebook.lookup("TestPlayer").status == 404);
    phonebook.lookup("TestPlayer").is(404, NO_PLAYER);
    assert_eq!(phonebook.active_users(), 0);
}

#[test]
fn t10_a_password_is_wanted_where_one_is_set() {
    let phonebook = secret();
    let body = json!({"playerName": "TestPlayer", "port": 8080}).to_string();
    phonebook.register(&body).is(401, NO_PASSWORD);
    let headers = ["Content-Type: application/json", "x-fyteclub-password: secret123"];
    phonebook.request("POST", "/api/register", &headers, body).is(200, DONE);
}

// The twelve recorded answers.

#[test]
fn r01_name_is_found_with_encoded_and_literal_at() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "Test Player@World", "port": 1}));
    for path in ["Test%20Player@World", "Test%20Player%40World", "%54est%20Player%40World"] {
        assert_eq!(phonebook.lookup(path).status, 200, "{path}");
    }
    alice(&phonebook, json!({"playerName": "光の 戦士@トンベリ/50%", "port": 1}));
    let path = "%E5%85%89%E3%81%AE%20%E6%88%A6%E5%A3%AB@%E3%83%88%E3%83%B3%E3%83%99%E3%83%AA%2F50%25";
    assert_eq!(phonebook.lookup(path).status, 200);
}

#[test]
fn r02_a_plus_is_not_a_space() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "Test Player@World", "port": 1}));
    phonebook.lookup("Test+Player@World").is(404, NO_PLAYER);
}

#[test]
fn r03_names_are_case_sensitive_and_keep_their_world() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "Test Player@World", "port": 1}));
    phonebook.lookup("test%20player@world").is(404, NO_PLAYER);
    phonebook.lookup("Test%20Player").is(404, NO_PLAYER);
}

#[test]
fn r04_a_missing_key_is_null() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "A", "port": 1}));
    let body = phonebook.lookup("A").json();
    assert!(body.as_object().unwrap().contains_key("publicKey"));
    assert_eq!(body["publicKey"], Value::Null);
}

#[test]
fn r05_a_port_in_a_text_becomes_a_number() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "A", "port": "9999"}));
    assert_eq!(phonebook.lookup("A").json()["port"], 9999);
}

#[test]
fn r06_port_0_is_a_missing_port() {
    compat().register(json!({"playerName": "A", "port": 0})).is(400, NAME_AND_PORT);
}

#[test]
fn r07_registering_again_overwrites() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "A", "port": 1, "publicKey": "old"}));
    alice(&phonebook, json!({"playerName": "A", "port": 2, "publicKey": "new"}));
    let body = phonebook.lookup("A").json();
    assert_eq!((&body["port"], &body["publicKey"]), (&json!(2), &json!("new")));
    assert_eq!(phonebook.active_users(), 1);
}

#[test]
fn r08_unregistering_again_finds_nothing() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "A", "port": 1}));
    phonebook.unregister(json!({"playerName": "A"})).is(200, r#"{"success":true,"existed":true}"#);
    phonebook.unregister(json!({"playerName": "A"})).is(200, r#"{"success":true,"existed":false}"#);
}

#[test]
fn r09_an_address_in_the_body_is_ignored() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "A", "port": 1, "ip": "203.0.113.5"}));
    alice(&phonebook, json!({"playerName": "B", "port": 1, "ip": "auto-detected", "more": [1]}));
    assert_eq!(phonebook.lookup("A").json()["ip"], "127.0.0.1");
}

#[test]
fn r10_forwarding_headers_are_ignored() {
    let phonebook = compat();
    let headers =
        ["Content-Type: application/json", "X-Forwarded-For: 203.0.113.5", "Forwarded: for=203.0.113.5"];
    phonebook.request("POST", "/api/register", &headers, r#"{"playerName":"A","port":1}"#).is(200, DONE);
    assert_eq!(phonebook.lookup("A").json()["ip"], "127.0.0.1");
}

#[test]
fn r11_an_unknown_path_or_method_has_no_endpoint() {
    let phonebook = compat();
    for (method, path) in [
        ("GET", "/api/register"),
        ("POST", "/api/unregister"),
        ("PUT", "/api/lookup/A"),
        ("POST", "/health"),
        ("GET", "/nonexistent"),
        ("GET", "/"),
        ("GET", "/api/lookup/"),
        ("GET", "/api/lookup"),
        ("GET", "/api/lookup/A/B"),
        ("GET", "/api/lookups/A"),
        ("DELETE", "/api/lookup/A"),
        ("GET", "/api/debug/players"),
    ] {
        phonebook.request(method, path, &[], "").is(404, NO_ENDPOINT);
    }
}

#[test]
fn r12_the_password_may_stand_in_the_query() {
    let phonebook = secret();
    phonebook.get("/api/lookup/A?password=secret123").is(404, NO_PLAYER);
    phonebook.get("/api/lookup/A?password=secret124").is(401, NO_PASSWORD);
    phonebook.get("/api/lookup/A?password=").is(401, NO_PASSWORD);
}

// The rest of the table.

#[test]
fn password_guards_all_but_health_and_preflights() {
    let phonebook = secret();
    assert_eq!(phonebook.get("/health").status, 200);
    for path in ["/api/health", "/api/status", "/api/lookup/A", "/api/nonexistent"] {
        phonebook.get(path).is(401, NO_PASSWORD);
    }
    assert_eq!(phonebook.request("OPTIONS", "/api/register", &[], "").status, 204);
    let wrong_header = ["x-fyteclub-password: wrong"];
    phonebook.request("GET", "/api/status?password=secret123", &wrong_header, "").is(401, NO_PASSWORD);
}

#[test]
fn body_that_is_no_object_has_no_fields() {
    let phonebook = compat();
    phonebook.send("POST", "/api/register", "").is(400, NAME_AND_PORT);
    phonebook.send("POST", "/api/register", "[]").is(400, NAME_AND_PORT);
    phonebook.register(json!({"port": 1})).is(400, NAME_AND_PORT);
    phonebook.register(json!({"playerName": "", "port": 1})).is(400, NAME_AND_PORT);
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    phonebook.request("POST", "/api/register", &form, "playerName=A&port=1").is(400, NAME_AND_PORT);
}

#[test]
fn health_is_served_under_both_paths() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "A", "port": 1}));
    let body = phonebook.get("/api/health").json();
    assert_eq!((&body["status"], &body["activeUsers"]), (&json!("ok"), &json!(1)));
    assert_eq!(body["service"], "fyteclub-phonebook");
}

#[test]
fn browsers_of_any_origin_may_ask() {
    let phonebook = compat();
    let headers = ["Origin: http://a.test", "Access-Control-Request-Headers: content-type"];
    let preflight = phonebook.request("OPTIONS", "/api/register", &headers, "");
    preflight.is(204, "");
    assert_eq!(preflight.header("access-control-allow-headers"), Some("content-type"));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("DELETE"));
    for answer in [preflight, phonebook.request("GET", "/health", &headers, "")] {
        assert_eq!(answer.header("access-control-allow-origin"), Some("http://a.test"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    }
}

#[test]
fn chunked_bodies_and_reused_connections_work() {
    let phonebook = compat();
    let answer = phonebook.raw(
        b"POST /api/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n\
          Transfer-Encoding: chunked\r\n\r\n10\r\n{\"playerName\":\"A\r\nb\r\n\",\"port\":1}\r\n0\r\n\r\n\
          GET /api/lookup/A HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.body.starts_with(DONE), "{answer:?}");
    assert!(answer.body.contains(r#""publicKey":null"#), "{answer:?}");
}

#[test]
fn a_head_request_has_no_body() {
    compat().request("HEAD", "/health", &[], "").is(200, "");
}

#[test]
fn the_debug_list_is_shown_when_it_was_asked_for() {
    let phonebook = serve(Config { compat: true, debug_players: true, ..local() });
    alice(&phonebook, json!({"playerName": "A", "port": 7}));
    let body = phonebook.get("/api/debug/players").json();
    assert_eq!((&body["count"], &body["players"][0]["playerName"]), (&json!(1), &json!("A")));
    assert_eq!((&body["players"][0]["ip"], &body["players"][0]["port"]), (&json!("127.0.0.1"), &json!(7)));
    assert!(body["players"][0]["lastSeen"].as_str().unwrap().ends_with('Z'));
    assert!(body["players"][0]["age"].is_number());
}

#[test]
fn a_key_that_is_no_text_comes_back_as_it_was() {
    let phonebook = compat();
    alice(&phonebook, json!({"playerName": "A", "port": 1, "publicKey": {"x": [1, "é\""]}}));
    assert_eq!(phonebook.lookup("A").json()["publicKey"], json!({"x": [1, "é\""]}));
}

#[test]
fn ipv4_client_of_a_dual_stack_is_plain_ipv4() {
    let Ok(server) = fyteclub_phonebook::Server::build(Config {
        listen: "[::]:0".parse().unwrap(),
        compat: true,
        ..local()
    }) else {
        return; // A machine without IPv6.
    };
    let running = server.spawn().unwrap();
    let phonebook = Phonebook::at(([127, 0, 0, 1], running.addr().port()).into());
    alice(&phonebook, json!({"playerName": "A", "port": 1}));
    assert_eq!(phonebook.lookup("A").json()["ip"], "127.0.0.1");
}
