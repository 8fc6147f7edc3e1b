//! Budgets over real HTTP: each class refuses by itself, says for how long, and serves again in time.

use crate::common::{Phonebook, Player, Response, compat, eventually, json, local, serve};
use fyteclub_phonebook::{Config, Rate, Rates};
use fyteclub_proto::number::u64_of;
use serde_json::json as object;
use std::{io::Write, time::Duration};

fn tiny() -> Option<Rate> {
    Some("1/s burst 2".parse().unwrap())
}

fn limited(limits: Rates) -> Phonebook {
    // The tests choose a client's address by the header that a proxy writes.
    serve(Config { limits, trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..local() })
}

fn ask(phonebook: &Phonebook, from: &str, method: &str, path: &str, body: &str) -> Response {
    let from = format!("X-Forwarded-For: {from}");
    phonebook.request(method, path, &["Content-Type: application/json", &from], body)
}

/// Sends until refused, checks the refusal, and sends until served, which must take no longer than `Retry-After`.
fn refuses_and_recovers(what: &str, mut ask: impl FnMut() -> Response) {
    let mut refusal = ask();
    eventually(what, || {
        refusal = ask();
        refusal.status == 429
    });
    refusal.is_problem(429, "rate_limited");
    let told: u64 = refusal.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&told), "{refusal:?}");
    let refused = std::time::Instant::now();
    eventually(what, || ask().status != 429);
    // The requests meanwhile were refused, and refusals cost no budget.
    assert!(
        refused.elapsed() < Duration::from_secs(told) + Duration::from_secs(2),
        "{:?}",
        refused.elapsed()
    );
}

#[test]
fn each_address_has_a_budget_for_each_class() {
    let limits = Rates { register: tiny(), lookup: tiny(), socket: tiny(), ..Rates::OFF };
    let phonebook = limited(limits);
    let player = Player::new(1);
    let mut sequence = 0;
    refuses_and_recovers("registrations", || {
        sequence += 1;
        ask(
            &phonebook,
            "192.0.2.1",
            "POST",
            "/api/register",
            &json(&player.register("Alice Ashe@Omega", sequence)),
        )
    });
    refuses_and_recovers("unregistrations", || {
        ask(&phonebook, "192.0.2.1", "DELETE", "/api/unregister", "{}")
    });
    refuses_and_recovers("lookups", || ask(&phonebook, "192.0.2.1", "GET", "/api/lookup/A@B", ""));
    refuses_and_recovers("sockets", || ask(&phonebook, "192.0.2.1", "GET", "/api/live", ""));
}

#[test]
fn another_address_and_another_class_are_served_on() {
    let phonebook = limited(Rates { lookup: tiny(), ..Rates::OFF });
    let lookup = |from| ask(&phonebook, from, "GET", "/api/lookup/A@B", "").status;
    eventually("one is refused", || lookup("192.0.2.1") == 429);
    assert_eq!(lookup("192.0.2.2"), 404);
    assert_eq!(lookup("2001:db8::1"), 404);
    for _ in 0..50 {
        assert_eq!(ask(&phonebook, "192.0.2.1", "GET", "/api/health", "").status, 200);
        assert_eq!(ask(&phonebook, "192.0.2.1", "GET", "/api/status", "").status, 200);
    }
}

#[test]
fn requests_for_unknown_paths_are_limited() {
    let phonebook = limited(Rates { other: tiny(), ..Rates::OFF });
    refuses_and_recovers("a path that is nowhere", || {
        ask(&phonebook, "192.0.2.1", "GET", "/wp-login.php", "")
    });
    refuses_and_recovers("the health", || ask(&phonebook, "192.0.2.1", "GET", "/api/health", ""));
    assert_eq!(ask(&phonebook, "192.0.2.2", "GET", "/api/health", "").status, 200);
}

#[test]
fn a_batch_without_names_is_paid_for_too() {
    let phonebook = limited(Rates { lookup: tiny(), ..Rates::OFF });
    refuses_and_recovers("batches", || ask(&phonebook, "192.0.2.1", "POST", "/api/lookup", "[]"));
    let phonebook = limited(Rates { lookup: Some("1/h burst 3".parse().unwrap()), ..Rates::OFF });
    let three = object!({"players": ["A@B", "C@D", "E@F"]}).to_string();
    assert_eq!(ask(&phonebook, "192.0.2.1", "POST", "/api/lookup", &three).status, 200);
    assert_eq!(ask(&phonebook, "192.0.2.1", "GET", "/api/lookup/A@B", "").status, 429);
}

#[test]
fn refused_live_requests_get_one_answer_a_second() {
    let phonebook = limited(Rates { other: Some("1/h burst 1".parse().unwrap()), ..Rates::OFF });
    let mut stream = phonebook.connect();
    let began = std::time::Instant::now();
    stream.write_all("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(4).as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).ok();
    let refusals = u64_of(text.matches(" 429 ").count());
    assert!(refusals >= 1, "{text}");
    assert!(began.elapsed() >= Duration::from_secs(refusals), "{refusals} in {:?}", began.elapsed());
}

#[test]
fn ipv6_neighbours_of_one_64_share() {
    let phonebook = limited(Rates { lookup: Some("1/h burst 2".parse().unwrap()), ..Rates::OFF });
    let lookup = |from: &str| ask(&phonebook, from, "GET", "/api/lookup/A@B", "").status;
    assert_eq!((lookup("2001:db8:0:1::1"), lookup("2001:db8:0:1::2")), (404, 404));
    assert_eq!(lookup("2001:db8:0:1:ffff:ffff:ffff:ffff"), 429);
    assert_eq!(lookup("2001:db8:0:2::1"), 404);
}

#[test]
fn a_key_has_a_budget_wherever_it_is_used_from() {
    let phonebook = limited(Rates { register_key: tiny(), ..Rates::OFF });
    let player = Player::new(1);
    let mut sequence = 0;
    refuses_and_recovers("registrations under one key", || {
        sequence += 1;
        let from = format!("198.51.100.{}", sequence % 250 + 1);
        ask(&phonebook, &from, "POST", "/api/register", &json(&player.register("Alice Ashe@Omega", sequence)))
    });
    let other = Player::new(2).register("Bob Birch@Omega", 1);
    assert_eq!(ask(&phonebook, "198.51.100.1", "POST", "/api/register", &json(&other)).status, 200);
}

#[test]
fn forged_requests_do_not_use_a_keys_budget() {
    let phonebook = limited(Rates { register_key: Some("1/h burst 1".parse().unwrap()), ..Rates::OFF });
    let player = Player::new(1);
    let mut forged = player.register("Alice Ashe@Omega", 1);
    forged.port = 1;
    for _ in 0..20 {
        let answer = ask(&phonebook, "192.0.2.66", "POST", "/api/register", &json(&forged));
        answer.is_problem(401, "bad_signature");
    }
    let own = player.register("Alice Ashe@Omega", 1);
    assert_eq!(ask(&phonebook, "192.0.2.1", "POST", "/api/register", &json(&own)).status, 200);
    let own = player.register("Alice Ashe@Omega", 2);
    ask(&phonebook, "192.0.2.1", "POST", "/api/register", &json(&own)).is_problem(429, "rate_limited");
}

#[test]
fn compatible_routes_are_limited_in_their_own_form() {
    let limits = Rates { register: Some("1/h burst 1".parse().unwrap()), ..Rates::OFF };
    let phonebook = serve(Config { compat: true, limits, ..local() });
    let body = object!({"playerName": "A", "port": 1});
    assert_eq!(phonebook.register(&body).status, 200);
    let refusal = phonebook.request(
        "POST",
        "/api/register",
        &["Content-Type: application/json", "Origin: http://a.example"],
        body.to_string(),
    );
    refusal.is_problem(429, "rate_limited");
    assert_eq!(refusal.json().as_object().unwrap().len(), 2, "error and code only");
    assert_eq!(refusal.header("access-control-allow-origin"), Some("http://a.example"));
}

#[test]
fn default_budgets_allow_a_household_and_a_party() {
    let phonebook = serve(Config { limits: Rates::default(), ..local() });
    for number in 1..=8 {
        for heartbeat in 1..=20 {
            let body = Player::new(number).register(&format!("P{number}@Omega"), heartbeat);
            assert_eq!(phonebook.register(object!(body)).status, 200);
        }
    }
    for _ in 0..500 {
        assert_eq!(phonebook.lookup("Nobody@Omega").status, 404);
    }
}

#[test]
fn refused_requests_leave_the_connection_in_step() {
    let phonebook = limited(Rates { register: Some("1/h burst 1".parse().unwrap()), ..Rates::OFF });
    let body = "x".repeat(3000);
    let one = format!(
        "POST /api/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = phonebook.connect();
    stream.write_all(one.repeat(2).as_bytes()).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).ok();
    let heads: Vec<_> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert!(heads.len() >= 2 && heads[1] == "429", "{heads:?}");
    // The third is answered, or the connection closed before it; a body never counts as a request.
    assert!(heads.len() == 2 || heads[2] == "200", "{heads:?}");
}

#[test]
fn unlimited_is_unlimited() {
    let phonebook = compat();
    for _ in 0..1500 {
        assert_eq!(phonebook.lookup("A").status, 404);
    }
}
