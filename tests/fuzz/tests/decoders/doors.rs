//! The phone book's entrances to strangers: mutated bodies, paths and frames at a real server over real sockets.
//!
//! Every answer is a documented one, no mutation passes as signed, and the next request is served.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use fyteclub_fuzz::{
    fuzz,
    mutation::INPUT_MAX,
    seed::{goldens, texts},
};
use fyteclub_phonebook::{Config, Rates, Running, Server};
use fyteclub_proto::{
    number::millis,
    phonebook::{
        KeyChange, Problem, Register, Unregister, Visibility,
        live::{CloseReason, Hear, Poll, Say},
    },
};
use std::{
    cell::RefCell,
    io::{Read, Write},
    net::TcpStream,
    panic::RefUnwindSafe,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

struct Door {
    server: Running,
    /// Reused for as long as the server keeps it open.
    stream: RefCell<Option<TcpStream>>,
}

/// A panic ends the test.
impl RefUnwindSafe for Door {}

impl Door {
    fn open() -> Self {
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            limits: Rates::OFF,
            workers: 1,
            ..Config::default()
        };
        let server = Server::build(config).map(|server| server.spawn().expect("a thread"));
        Self { server: server.expect("a free port"), stream: RefCell::default() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.addr()).expect("the server listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: book.example\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let kept = self.stream.borrow_mut().take();
        let mut stream = kept.unwrap_or_else(|| self.connect());
        let mut answer = exchange(&mut stream, &request);
        if answer.is_none() {
            // The server may have closed an idle connection.
            stream = self.connect();
            answer = exchange(&mut stream, &request);
        }
        let (status, head, body) = answer.expect("an answer");
        if !head.to_ascii_lowercase().contains("connection: close") {
            *self.stream.borrow_mut() = Some(stream);
        }
        (status, body)
    }

    /// A refusal has a reason of bounded length.
    fn refuses(&self, method: &str, path: &str, body: &[u8]) -> Option<u16> {
        let (status, answer) = self.ask(method, path, body);
        if status == 200 {
            return None;
        }
        assert!(matches!(status, 400 | 401 | 404 | 409 | 413), "{status}");
        let problem: Problem = serde_json::from_slice(&answer).expect("a refusal is a problem");
        assert!(!problem.error.is_empty() && answer.len() < 1000, "{problem:?}");
        Some(status)
    }
}

fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<(u16, String, Vec<u8>)> {
    stream.write_all(request).ok()?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).expect("heads are ASCII");
        let length = head.lines().filter_map(|line| line.split_once(": "));
        let mut length = length.filter(|(key, _)| key.eq_ignore_ascii_case("content-length"));
        let length: usize = length.next().map_or(0, |(_, length)| length.parse().expect("a length"));
        if bytes.len() >= end + 4 + length {
            let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
            return Some((status, head, bytes.split_off(end + 4)));
        }
    }
}

fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"))
}

fn json(body: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("JSON")
}

/// An accepted body is what its key signed.
#[test]
fn register() {
    let door = Door::open();
    let keys = [7, 8].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let signed = |name: &str, visibility, sequence| {
        Register::signed(name, 7777, visibility, "book.example", sequence, now(), &keys[0])
    };
    let changed = Register {
        key_changes: vec![KeyChange::signed(&keys[1], &keys[0])],
        ..signed("Bob Birch@Balmung", Visibility::Contacts, 6)
    };
    let alice = "Alice Ashe@Gilgamesh";
    let right = [signed(alice, Visibility::Listed, 5), signed(alice, Visibility::Contacts, 5), changed];
    let mut seeds: Vec<Vec<u8>> = right.iter().map(json).collect();
    seeds.extend(goldens("phonebook_v1", &["register"]));
    fuzz!(seeds, |input: &[u8]| {
        if door.refuses("POST", "/api/register", input).is_none() {
            let fields: serde_json::Value = serde_json::from_slice(input).expect("what is taken is JSON");
            let same = |right: &Register| {
                fields["playerName"] == right.player_name.as_str()
                    && fields["publicKey"] == right.public_key.to_string()
                    && fields["sequence"] == right.sequence
                    && fields["signature"] == right.signature.as_str()
            };
            assert!(right.iter().any(same), "{fields}");
        }
    });
}

#[test]
fn unregister() {
    let door = Door::open();
    let key = SigningKey::from_bytes(&[7; 32]);
    let right = Unregister::signed("Alice Ashe@Gilgamesh", "book.example", 5, now(), &key);
    let mut seeds = vec![json(&right)];
    seeds.extend(goldens("phonebook_v1", &["unregister.json"]));
    fuzz!(seeds, |input: &[u8]| {
        if door.refuses("DELETE", "/api/unregister", input).is_none() {
            let fields: serde_json::Value = serde_json::from_slice(input).expect("what is taken is JSON");
            assert_eq!(fields["signature"], right.signature.as_str(), "{fields}");
        }
    });
}

/// The book is empty, so nobody is found.
#[test]
fn lookup_many() {
    let door = Door::open();
    fuzz!(goldens("phonebook_v1", &["lookup_many"]), |input: &[u8]| {
        let (status, answer) = door.ask("POST", "/api/lookup", input);
        match status {
            200 => assert_eq!(answer, br#"{"players":{}}"#),
            _ => assert!(matches!(status, 400 | 413), "{status}"),
        }
    });
}

#[test]
fn poll() {
    let door = Door::open();
    let key = SigningKey::from_bytes(&[7; 32]);
    let right = Poll::signed("book.example", 5, now(), Duration::ZERO, &[Say::Here], &key);
    let mut seeds = vec![json(&right)];
    seeds.extend(goldens("live_v1", &["poll.json"]));
    fuzz!(seeds, |input: &[u8]| {
        if door.refuses("POST", "/api/live", input).is_none() {
            let poll: Poll = serde_json::from_slice(input).expect("what is taken is a poll");
            assert_eq!(poll, right);
        }
    });
}

/// Any path that HTTP allows.
#[test]
fn paths() {
    let door = Door::open();
    let seeds = texts(&[
        "lookup/Alice%20Ashe@Gilgamesh",
        "lookup/%E5%85%89@%2f",
        "lookup/h1:AAAA",
        "../health",
        "live",
    ]);
    fuzz!(seeds, |input: &[u8]| {
        let path: String =
            input.iter().map(|byte| char::from(*byte)).filter(char::is_ascii_graphic).collect();
        if path.is_empty() || path.contains('#') {
            return;
        }
        let (status, _) = door.ask("GET", &format!("/api/{path}"), b"");
        assert!(matches!(status, 200 | 400 | 404 | 426), "{status} for {path}");
    });
}

/// Frames of an upgraded connection: an unknown one closes it, with a reason or without.
#[test]
fn frames() {
    let door = Door::open();
    let say = goldens("live_v1", &["say"]);
    let mut seeds: Vec<Vec<u8>> = say.iter().map(|text| frame(0x81, text)).collect();
    seeds.extend(say.iter().map(|text| [frame(0x01, &text[..4]), frame(0x80, &text[4..])].concat()));
    seeds.extend([frame(0x89, b"ping"), frame(0x88, &[0x03, 0xe8]), frame(0x82, b"bytes"), frame(0x8a, b"")]);
    fuzz!(seeds, |input: &[u8]| {
        let mut stream = door.connect();
        let key = STANDARD.encode([7; 16]);
        let upgrade = format!(
            "GET /api/live HTTP/1.1\r\nHost: book.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).expect("it listens");
        stream.write_all(input).ok();
        // Completes any begun message, then closes.
        stream.write_all(&frame(0x88, &[0x03, 0xe8])).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut heard = Vec::new();
        // A reset after the last frame loses nothing.
        stream.read_to_end(&mut heard).ok();
        let end = heard.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        assert!(heard.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&heard));
        let mut rest = &heard[end..];
        while let Some((kind, text, after)) = spoken(rest) {
            match kind {
                0x81 => assert!(serde_json::from_slice::<Hear>(text).is_ok_and(|hear| hear != Hear::Novel)),
                0x88 if !text.is_empty() => {
                    let code = u16::from_be_bytes([text[0], text[1]]);
                    assert!(CloseReason::from_code(code).is_some(), "{code}");
                }
                0x88..=0x8a => {}
                _ => panic!("a frame of kind {kind:#x}"),
            }
            rest = after;
        }
        assert!(rest.is_empty() && heard.len() < 2 * INPUT_MAX, "{rest:?}");
    });
    let (status, _) = door.ask("GET", "/api/health", b"");
    assert_eq!(status, 200);
}

/// A masked frame, with a mask of zeros.
fn frame(kind: u8, text: &[u8]) -> Vec<u8> {
    let length = match text.len() {
        short @ 0..126 => vec![0x80 | u8::try_from(short).expect("a small number")],
        long => [&[0x80 | 126][..], &(u16::try_from(long).expect("a small number")).to_be_bytes()].concat(),
    };
    [&[kind][..], &length, &[0; 4], text].concat()
}

/// Kind and text of a server's first frame, and the rest.
fn spoken(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, length) = (*bytes.first()?, usize::from(*bytes.get(1)?));
    let (start, length) = match length {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        short => (2, short),
    };
    Some((kind, bytes.get(start..start + length)?, bytes.get(start + length..)?))
}
