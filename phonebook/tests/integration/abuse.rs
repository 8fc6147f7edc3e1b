//! Hostile input: too much, too slow, malformed. The server answers or closes the connection, and goes on serving.

use crate::common::{DEADLINE, Phonebook, answer, compat, eventually, local, serve, signed};
use fyteclub_phonebook::{Config, Rates};
use fyteclub_proto::number::usize_of;
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

const DONE: &str = r#"{"success":true}"#;

fn is_well(phonebook: &Phonebook) {
    assert_eq!(phonebook.get("/health").status, 200);
}

/// Waits until the server closes the connection, by an end or a reset.
fn is_cut_off(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let start = Instant::now();
    stream.read_to_end(&mut bytes).ok();
    assert!(start.elapsed() < DEADLINE, "still connected");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn names_are_short_and_printable() {
    for phonebook in [compat(), signed()] {
        for name in
            ["a".repeat(129), "é".repeat(65), "A\nB".into(), "\0".into(), "A\u{7f}".into(), "\u{85}".into()]
        {
            phonebook.register(json!({"playerName": name, "port": 1})).is_problem(400, "bad_name");
            phonebook.unregister(json!({"playerName": name})).is_problem(400, "bad_name");
        }
        for path in [&"a".repeat(129), "A%0aB", "%00", "%7f", "%C2%85"] {
            phonebook.lookup(path).is_problem(400, "bad_name");
        }
        for name in [json!(5), json!({"a": 1}), json!(["A"]), json!(true)] {
            phonebook.register(json!({"playerName": name, "port": 1})).is_problem(400, "bad_name");
        }
        assert_eq!(phonebook.active_users(), 0);
    }
    let phonebook = compat();
    phonebook.register(json!({"playerName": "a".repeat(128), "port": 1})).is(200, DONE);
    assert_eq!(phonebook.lookup(&"a".repeat(128)).status, 200);
}

#[test]
fn a_megabyte_of_name_is_refused_everywhere() {
    let phonebook = compat();
    let name = "a".repeat(1_000_000);
    phonebook.register(json!({"playerName": name, "port": 1})).is_problem(413, "too_large");
    phonebook.unregister(json!({"playerName": name})).is_problem(413, "too_large");
    let mut stream = phonebook.connect();
    stream.write_all(format!("GET /api/lookup/{name} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).ok();
    let said = is_cut_off(stream);
    assert!(!said.starts_with("HTTP/1.1 2"), "{said}");
    is_well(&phonebook);
}

#[test]
fn ports_are_those_of_udp() {
    for phonebook in [compat(), signed()] {
        for port in [
            json!(-1),
            json!(65536),
            json!(70000),
            json!(1e300),
            json!(1.5),
            json!("abc"),
            json!("0"),
            json!([1]),
        ] {
            let body = json!({"playerName": "A", "port": port});
            phonebook.register(body).is_problem(400, "bad_port");
        }
        assert_eq!(phonebook.active_users(), 0);
    }
    compat().register(json!({"playerName": "A", "port": 65535})).is(200, DONE);
}

#[test]
fn broken_json_is_refused_without_a_crash() {
    for phonebook in [compat(), signed()] {
        for body in
            ["{", "nonsense", "5", "null", r#"{"playerName":"\ud800"}"#, &"[".repeat(10_000), "\u{feff}{}"]
        {
            phonebook.send("POST", "/api/register", body).is_problem(400, "bad_json");
        }
        let not_utf8 = b"{\"playerName\":\"\xff\",\"port\":1}";
        phonebook.send("POST", "/api/register", not_utf8).is_problem(400, "bad_json");
        phonebook.lookup("%zz").is_problem(400, "bad_encoding");
        phonebook.lookup("%ff").is_problem(400, "bad_encoding");
    }
}

#[test]
fn body_over_16_kib_is_refused() {
    let phonebook = compat();
    let body = |filler| json!({"playerName": "A", "port": 1, "filler": "x".repeat(filler)});
    phonebook.register(body(16_000)).is(200, DONE);
    phonebook.register(body(16_384)).is_problem(413, "too_large");
    phonebook.register(body(5_000_000)).is_problem(413, "too_large");
    phonebook
        .register(json!({"playerName": "B", "port": 1, "publicKey": "x".repeat(3000)}))
        .is_problem(400, "bad_key");
}

#[test]
fn a_claimed_length_is_refused_before_it_is_sent() {
    let phonebook = compat();
    let mut stream = phonebook.connect();
    let head = "POST /api/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    answer(stream).is_problem(413, "too_large");
}

#[test]
fn endless_chunks_are_cut_off() {
    let phonebook = compat();
    let mut stream = phonebook.connect();
    let head = "POST /api/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let start = Instant::now();
    while stream.write_all(chunk.as_bytes()).is_ok() {
        assert!(start.elapsed() < DEADLINE, "still reading");
    }
    is_well(&phonebook);
}

#[test]
fn slow_requests_are_closed_while_others_are_served() {
    let phonebook = compat();
    let slow_heads: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = phonebook.connect();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
            stream
        })
        .collect();
    let slow_bodies: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = phonebook.connect();
            let head = "POST /api/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    for number in 0..100 {
        phonebook.register(json!({"playerName": format!("P{number}"), "port": 1})).is(200, DONE);
    }
    assert!(start.elapsed().as_secs() < 5, "the others waited {:?}", start.elapsed());
    for stream in slow_heads {
        assert!(!is_cut_off(stream).starts_with("HTTP/1.1 2"));
    }
    for stream in slow_bodies {
        answer(stream).is_problem(408, "too_slow");
    }
    is_well(&phonebook);
}

#[test]
fn huge_heads_are_refused_and_forgotten() {
    let phonebook = signed();
    let many: String = (0..5000).map(|number| format!("X-Header-{number}: {number}\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(1_000_000));
    for headers in [many, long] {
        let mut stream = phonebook.connect();
        stream.write_all(format!("GET /health HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).ok();
        assert!(!is_cut_off(stream).starts_with("HTTP/1.1 2"));
        is_well(&phonebook);
    }
}

#[test]
fn a_stream_of_huge_heads_leaves_the_others_served() {
    let phonebook = signed();
    let addr = phonebook.addr;
    let senders: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let head =
                    format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(1_000_000));
                for _ in 0..50 {
                    let mut stream = Phonebook::at(addr).connect();
                    stream.write_all(head.as_bytes()).ok();
                    assert!(!is_cut_off(stream).starts_with("HTTP/1.1 2"));
                }
            })
        })
        .collect();
    let mut served = 0;
    while senders.iter().any(|sender| !sender.is_finished()) {
        let start = Instant::now();
        is_well(&phonebook);
        assert!(start.elapsed().as_secs() < 5, "the others waited {:?}", start.elapsed());
        served += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(served > 0);
}

#[test]
fn flood_of_unknown_paths_is_slowed_others_are_not() {
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let phonebook = serve(Config { limits: Rates::default(), trusted_proxies: proxies, ..local() });
    let began = Instant::now();
    let flooders: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = phonebook.connect();
            let mut reader = stream.try_clone().unwrap();
            let request = b"GET /wp-login.php HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n";
            let writer = std::thread::spawn(move || while stream.write_all(&request.repeat(50)).is_ok() {});
            let reader = std::thread::spawn(move || {
                let mut answers = Vec::new();
                let mut buffer = [0; 16_384];
                while let Ok(length @ 1..) = reader.read(&mut buffer) {
                    answers.extend_from_slice(&buffer[..length]);
                    if String::from_utf8_lossy(&answers).contains("HTTP/1.1 429") {
                        break;
                    }
                }
                reader.shutdown(std::net::Shutdown::Both).ok();
                String::from_utf8_lossy(&answers).matches("HTTP/1.1 404").count()
            });
            (writer, reader)
        })
        .collect();
    for _ in 0..100 {
        let start = Instant::now();
        is_well(&phonebook);
        assert!(start.elapsed().as_secs() < 5, "the others waited {:?}", start.elapsed());
    }
    let mut answered = 0;
    for (writer, reader) in flooders {
        answered += reader.join().unwrap();
        writer.join().unwrap();
    }
    let allowed = 200 + 20 * (usize_of(began.elapsed().as_secs()) + 1);
    assert!((200..=allowed).contains(&answered), "{answered} of {allowed}");
}

#[test]
fn garbage_is_no_request() {
    let phonebook = compat();
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    for length in [1, 7, 100, 5000] {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise.to_le_bytes()[0]
            })
            .collect();
        let mut stream = phonebook.connect();
        stream.write_all(&[&bytes[..], b"\r\n\r\n"].concat()).ok();
        assert!(!is_cut_off(stream).starts_with("HTTP/1.1 2"));
    }
    is_well(&phonebook);
}

/// Connections that one process can have both ends of; each takes a descriptor here and two at the server.
fn connections(wanted: usize) -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
            .expect("the hard limit may be had");
        // Other tests of this process have some open.
        let most = limit.maximum.map_or(wanted, |most| (usize_of(most)).saturating_sub(1500) / 3);
        if most < wanted {
            println!(
                "SCALED DOWN to {most} connections from {wanted}: the limit of open files allows no more"
            );
        }
        wanted.min(most)
    }
    #[cfg(not(unix))]
    wanted.min(2000)
}

#[test]
fn idle_connections_are_closed_and_block_nobody() {
    // A great many addresses.
    let phonebook = serve(Config { max_connections_per_address: Some(20_000), ..local() });
    let idle: Vec<_> = (0..connections(10_000)).map(|_| phonebook.connect()).collect();
    let player = crate::common::Player::new(1);
    for sequence in 1..=50 {
        let start = Instant::now();
        let body = crate::common::json(&player.register("Alice Ashe@Omega", sequence));
        phonebook.send("POST", "/api/register", body).is(200, DONE);
        assert_eq!(phonebook.lookup("Alice%20Ashe@Omega").status, 200);
        assert!(start.elapsed().as_secs() < 5, "the others waited {:?}", start.elapsed());
    }
    for stream in idle {
        assert!(!is_cut_off(stream).starts_with("HTTP/1.1 2"));
    }
    is_well(&phonebook);
}

#[test]
fn one_address_does_not_hold_every_connection() {
    let phonebook = serve(Config { max_connections: 64, ..local() });
    let mut held: Vec<_> = (0..70)
        .map(|_| {
            let mut stream = phonebook.connect();
            stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").ok();
            stream
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(phonebook.get_from("127.0.0.2", "/health").status, 200);
    }
    let statuses = held.iter_mut().map(|stream| {
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        String::from_utf8(start.to_vec()).unwrap()
    });
    let refused = statuses.filter(|status| status == "HTTP/1.1 429").count();
    assert_eq!(refused, 70 - 16, "a quarter of the connections is its share");
    assert_eq!(phonebook.ledger("connections").1, 54);
    // A closed connection frees its slot.
    drop(held);
    eventually("there is room again", || phonebook.get("/health").status == 200);
}

#[test]
fn behind_a_proxy_each_client_has_a_share_of_its_own() {
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let phonebook = serve(Config {
        max_connections: 400,
        max_connections_per_address: Some(2),
        trusted_proxies,
        ..local()
    });
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = phonebook.connect();
            let head = "POST /api/register HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\
                        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let from = |address: &str| {
        let from = format!("X-Forwarded-For: {address}");
        phonebook.request("GET", "/health", &[&from], "")
    };
    eventually("its share is used up", || phonebook.ledger("connections").1 >= 48);
    from("192.0.2.1").is_problem(429, "too_many_connections");
    assert_eq!(from("192.0.2.2").status, 200);
    drop(slow);
    eventually("there is room again", || from("192.0.2.1").status == 200);
}

#[test]
fn an_unreadable_forwarded_address_is_refused() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let phonebook = serve(Config { trusted_proxies, ..local() });
    for unreadable in ["unknown", "203.0.113.5, unknown", "", "203.0.113.5, \u{e9}", "_hidden"] {
        let header = format!("X-Forwarded-For: {unreadable}");
        for (method, path) in
            [("GET", "/health"), ("GET", "/api/lookup/A@B"), ("POST", "/api/register"), ("GET", "/api/live")]
        {
            phonebook.request(method, path, &[&header], "").is_problem(400, "bad_forwarded");
        }
    }
    assert_eq!(
        phonebook.request("GET", "/health", &["X-Forwarded-For: unknown, 203.0.113.5"], "").status,
        200
    );
    assert_eq!(phonebook.get("/health").status, 200, "the proxy itself");
}

#[test]
fn forwarded_addresses_need_a_trusted_proxy() {
    let behind_proxy = |trusted: &str| {
        let trusted_proxies = vec![trusted.parse().unwrap()];
        let phonebook = serve(Config { compat: true, trusted_proxies, ..local() });
        let headers =
            ["Content-Type: application/json", "X-Forwarded-For: 6.6.6.6, 203.0.113.5", "X-Real-IP: 6.6.6.7"];
        phonebook.request("POST", "/api/register", &headers, r#"{"playerName":"A","port":1}"#).is(200, DONE);
        phonebook.lookup("A").json()["ip"].as_str().unwrap().to_owned()
    };
    assert_eq!(behind_proxy("127.0.0.0/8"), "203.0.113.5");
    assert_eq!(behind_proxy("10.0.0.0/8"), "127.0.0.1");
}
