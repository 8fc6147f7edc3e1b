//! The operator's listener: numbers that add up, a page that loads nothing else, and no names.

use crate::common::{DEADLINE, Phonebook, Player, eventually, json, local};
use fyteclub_phonebook::{AuditFile, Config, Operator, Rates, Running, Server, StartError};
use serde_json::json as object;
use std::{collections::HashMap, net::SocketAddr};

const NAME: &str = "Alice Ashe@Omega";

fn with_office(config: Config) -> (Running, Phonebook, Phonebook) {
    let operator = Operator::At(([127, 0, 0, 1], 0).into());
    let running = Server::build(Config { operator, ..config }).unwrap().spawn().unwrap();
    let (public, office) = (Phonebook::at(running.addr()), Phonebook::at(running.operator_addr().unwrap()));
    (running, public, office)
}

fn get(office: &Phonebook, path: &str) -> crate::common::Response {
    office.get_as("127.0.0.1:3001", path)
}

/// Every sample of the text by its name with labels; checks the format on the way.
fn samples(text: &str) -> HashMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut samples = HashMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let word = comment.split(' ').next().unwrap();
            assert!(["HELP", "TYPE", "UNIT", "EOF"].contains(&word), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("fyteclub_phonebook_"), "{line}");
        assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
    }
    samples
}

fn metrics(office: &Phonebook) -> HashMap<String, f64> {
    let answer = get(office, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let samples = samples(&answer.body);
    samples.into_iter().map(|(name, value)| (name["fyteclub_phonebook_".len()..].to_owned(), value)).collect()
}

#[test]
fn metrics_count_events_without_names() {
    let limits = Rates { lookup: Some("1/h burst 4".parse().unwrap()), ..Rates::OFF };
    let (_running, public, office) = with_office(Config { limits, ..local() });
    let (alice, mallory) = (Player::new(1), Player::new(2));
    assert_eq!(public.register(json(&alice.register(NAME, 1))).status, 200);
    public.register(json(&alice.register(NAME, 1))).is_problem(409, "stale_sequence");
    public.register(json(&mallory.register(NAME, 1))).is_problem(409, "name_taken");
    for _ in 0..3 {
        assert_eq!(public.lookup("Alice%20Ashe@Omega").status, 200);
    }
    assert_eq!(public.lookup("Nobody@Omega").status, 404);
    public.lookup("Alice%20Ashe@Omega").is_problem(429, "rate_limited");
    for _ in 0..5 {
        assert_eq!(public.get("/wp-login.php").status, 404);
    }
    let held = public.connect();

    let mut all = metrics(&office);
    for (name, value) in [
        (r#"requests_total{route="Register",status="2xx"}"#, 1.0),
        (r#"requests_total{route="Register",status="4xx"}"#, 2.0),
        (r#"requests_total{route="Lookup",status="2xx"}"#, 3.0),
        (r#"requests_total{route="Lookup",status="4xx"}"#, 2.0),
        (r#"requests_total{route="Other",status="4xx"}"#, 5.0),
        (r#"request_duration_seconds_count{route="Lookup"}"#, 5.0),
        (r#"limited_total{class="lookup",by="address"}"#, 1.0),
        (r#"limited_total{class="introduction",by="key"}"#, 0.0),
        (r#"refusals_total{reason="name_taken"}"#, 1.0),
        (r#"refusals_total{reason="stale_sequence"}"#, 1.0),
        ("registrations_total", 1.0),
        ("lookups_total", 4.0),
        ("introductions_total", 0.0),
        ("users", 1.0),
        ("names", 1.0),
        ("sockets", 0.0),
        ("relay_sessions", 0.0),
        ("relay_bytes_total", 0.0),
        ("stun_answers_total", 0.0),
    ] {
        assert_eq!(all.get(name), Some(&value), "{name} in {all:#?}");
    }
    eventually("the held connection is counted", || {
        all = metrics(&office);
        all["connections"] >= 1.0
    });
    drop(held);
    #[cfg(target_os = "linux")]
    assert!(all["memory_bytes"] > 1e6 && all["descriptors"] > 5.0);

    let key = alice.register(NAME, 9).public_key.to_string();
    for path in ["/metrics", "/status.json", "/"] {
        let text = get(&office, path).body;
        for secret in ["Alice", "Ashe", "Nobody", "Omega", "wp-login", &key, "127.0.0.1"] {
            assert!(!text.contains(secret), "{secret} in {path}: {text}");
        }
    }
}

#[test]
fn the_page_stands_alone_and_agrees_with_its_json() {
    let (_running, public, office) = with_office(Config { relay: false, ..local() });
    for number in 1..=3 {
        let body = Player::new(number).register(&format!("P{number}@Omega"), 1);
        assert_eq!(public.register(json(&body)).status, 200);
    }
    public.lookup("P1@Omega");
    let status = get(&office, "/status.json").json();
    assert_eq!(
        (&status["status"], &status["users"], &status["lookups"]),
        (&object!("ok"), &object!(3), &object!(1))
    );
    assert_eq!(status["relayBytes"], object!(null));
    assert!(status["lookupsPerSecond"].as_f64().unwrap() >= 0.0);

    let page = get(&office, "/");
    assert_eq!(page.status, 200);
    assert!(page.body.len() < 12 * 1024, "{} bytes", page.body.len());
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(page.body.contains("<td id=users>3\n") && page.body.contains("no relay"), "{}", page.body);
    assert!(!page.body.contains("<!-- rows -->"));
    for outside in ["http://", "https://", "src=", "url(", "@import"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
}

#[test]
fn operators_page_refuses_other_host_names() {
    let (_running, _public, office) = with_office(local());
    for path in ["/", "/metrics", "/status.json"] {
        // The tests' client sends `Host: phonebook` by default.
        let answer = office.get(path);
        assert_eq!(answer.status, 403, "{path}");
        assert!(!answer.body.contains("users"));
    }
    assert_eq!(get(&office, "/api/health").status, 404);
}

#[test]
fn the_public_face_shows_none_of_it() {
    let (_running, public, _office) = with_office(local());
    for path in ["/metrics", "/status.json", "/"] {
        public.get(path).is(404, r#"{"error":"Endpoint not found"}"#);
    }
}

#[test]
fn full_book_is_degraded_until_it_has_space() {
    let config = Config { max_records: 1, sweep: Some(DEADLINE / 200), compat: true, ..local() };
    let (_running, public, office) = with_office(config);
    let health = || public.get("/api/health");
    assert_eq!((health().status, &health().json()["status"]), (200, &object!("ok")));
    assert_eq!(public.register(object!({"playerName": "A", "port": 1})).status, 200);
    eventually("it is noticed", || health().status == 503);
    assert_eq!(health().json()["status"], "degraded");
    assert_eq!(get(&office, "/status.json").json()["status"], "degraded");
    assert_eq!(public.get("/health").json()["status"], "healthy");
    assert_eq!(public.lookup("A").status, 200);
    assert_eq!(public.unregister(object!({"playerName": "A"})).status, 200);
    eventually("it is well again", || health().status == 200);
}

#[test]
fn unwritable_audit_log_does_not_stop_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("audit.jsonl");
    let audit = Some(AuditFile { path, size: 1 << 20, full_addresses: false });
    let (_running, public, office) = with_office(Config { audit, ..local() });
    assert_eq!(public.register(json(&Player::new(1).register(NAME, 1))).status, 200);
    public.register(json(&Player::new(2).register(NAME, 1))).is_problem(409, "name_taken");
    eventually("the lost event is counted", || {
        get(&office, "/status.json").json()["auditDropped"].as_u64() >= Some(1)
    });
    assert_eq!(public.lookup("Alice%20Ashe@Omega").status, 200);
}

#[test]
fn taken_operator_port_is_fatal_only_if_configured() {
    let (_running, _public, office) = with_office(local());
    let taken: SocketAddr = office.addr;
    let without = Server::build(Config { operator: Operator::IfFree(taken), ..local() }).unwrap();
    assert_eq!(without.operator_addr(), None);
    let refused = Server::build(Config { operator: Operator::At(taken), ..local() }).unwrap_err();
    assert!(matches!(refused, StartError::Operator { .. }), "{refused}");
    assert_eq!(Server::build(local()).unwrap().operator_addr(), None, "off unless asked for");
}

#[test]
fn listeners_beyond_loopback_need_a_setting() {
    let everywhere: SocketAddr = ([0, 0, 0, 0], 0).into();
    let refused = Server::build(Config { operator: Operator::At(everywhere), ..local() }).unwrap_err();
    assert!(refused.to_string().contains("operator_anywhere = true"), "{refused}");

    let plain = Server::build(Config { listen: everywhere, ..local() }).unwrap_err().to_string();
    for way_out in ["`tls_cert` and `tls_key`", "127.0.0.1:0 behind a proxy", "plain_http = true"] {
        assert!(plain.contains(way_out), "{plain}");
    }
}
