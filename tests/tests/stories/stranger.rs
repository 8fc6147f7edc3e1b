//! A stranger's garbage on every port: nothing answers it, nothing grows, and contacts are unaffected.

#![cfg(unix)]

use fyteclub_proto::number::{index, u32_of, usize_of};
use fyteclub_tests::{
    Resident, Town, eventually,
    mods::{Dice, Mod, arrived, assert_same, noise},
    within,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    time::Duration,
};

/// Growth of an ordinary minute.
const GROWTH_MAX: u64 = 6 << 20;

/// How much a daemon grew by an action, after all connections closed.
async fn growth(resident: &mut Resident, happens: impl Future<Output = ()>) {
    let before = resident.process().memory();
    happens.await;
    resident.client().status().await.expect("it answers");
    let Some(before) = before else { return };
    let name = resident.player.clone();
    let process = resident.process();
    eventually(&format!("{name} is as small as before"), async || {
        (process.memory()? < before + GROWTH_MAX).then_some(())
    })
    .await;
}

/// Contacts are unaffected.
async fn a_look_travels(town: &Town, alice: &Resident, name: &str) {
    let look = Mod::of_noise(town.path(name), 1, 5, 200_000).write();
    alice.publish(&look.folder).await;
    let friend = town.resident(&format!("{name} Birch@Balmung")).await;
    friend.befriend(alice).await;
    assert_same(&arrived(&friend.fetch(&alice.player).await), &look.content);
}

#[tokio::test]
async fn datagrams_on_the_quic_port() {
    let town = Town::new().await;
    let mut alice = town.resident("Alice Ashe@Gilgamesh").await;
    a_look_travels(&town, &alice, "Before").await;
    let port: std::net::SocketAddr =
        alice.client().status().await.expect("a status").listen.parse().expect("an address");
    growth(&mut alice, async {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut dice = Dice::new(1);
        for n in 0..20_000u64 {
            let mut datagram = noise(n, usize_of(dice.below(1500)));
            // Half of them look like the beginning of a QUIC handshake.
            if let Some(first) = datagram.first_mut().filter(|_| n % 2 == 0) {
                *first = 0xc0 | (*first & 0x0f);
            }
            if datagram.len() > 5 && n % 4 == 0 {
                datagram[1..5].copy_from_slice(&1u32.to_be_bytes());
            }
            socket.send_to(&datagram, port).ok();
        }
    })
    .await;
    a_look_travels(&town, &alice, "After").await;
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(u32_of(body.len())).to_le_bytes()[..], body].concat()
}

fn local(alice: &Resident) -> UnixStream {
    let stream = UnixStream::connect(alice.ipc()).expect("the socket is open");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream
}

/// Sends bytes; returns the answer until the daemon closes the connection.
fn talk(alice: &Resident, words: &[u8]) -> Vec<u8> {
    let mut stream = local(alice);
    // A closed connection shows when it is read.
    stream.write_all(words).ok();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).ok();
    heard
}

/// The error code in the first frame.
fn code(heard: &[u8]) -> Option<String> {
    let reply: Value = serde_json::from_slice(heard.get(4..)?).ok()?;
    Some(reply["error"]["code"].as_str()?.to_owned())
}

#[tokio::test]
async fn garbage_on_the_local_socket() {
    let town = Town::new().await;
    let mut alice = town.resident("Alice Ashe@Gilgamesh").await;
    a_look_travels(&town, &alice, "Before").await;
    let bad = Some("bad_request".to_owned());
    for words in [
        frame(b"{"),
        frame(b"[]"),
        frame(b"\xff\xfe"),
        frame(b"{\"id\":-1,\"op\":\"status\"}"),
        vec![0, 0, 0, 0],
        vec![0xff, 0xff, 0xff, 0xff, 1],
        noise(1, 100),
    ] {
        assert_eq!(code(&talk(&alice, &words)), bad, "{words:?}");
    }
    // Unbounded recursion would end the process.
    let deep = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
    assert_eq!(code(&talk(&alice, &frame(&deep))), bad);

    // A greeting is due, and an invalid request does not close the connection.
    let mut stream = local(&alice);
    let call = |id: u64, op: &str, params: Value| {
        frame(json!({ "id": id, "op": op, "params": params }).to_string().as_bytes())
    };
    let hear = |stream: &mut UnixStream| {
        let mut header = [0; 4];
        stream.read_exact(&mut header).expect("an answer");
        let mut body = vec![0; index(u32::from_le_bytes(header))];
        stream.read_exact(&mut body).expect("an answer");
        serde_json::from_slice::<Value>(&body).expect("JSON")
    };
    for (id, op, params, code) in [
        (1, "status", json!(null), Some("hello_first")),
        (2, "hello", json!({ "client": "x", "versions": [] }), Some("version")),
        (3, "hello", json!({ "client": "x", "versions": [1] }), None),
        (4, "dance", json!(null), Some("unsupported")),
        (5, "peer.fetch", json!({ "player": "nobody" }), Some("bad_request")),
        (6, "peer.fetch", json!({ "player": "A B@C", "out": "relative" }), Some("bad_request")),
        (7, "appearance.publishMod", json!({ "path": "/nowhere" }), Some("bad_mod")),
        (8, "status", json!(null), None),
    ] {
        stream.write_all(&call(id, op, params)).expect("said");
        let reply = hear(&mut stream);
        assert_eq!((reply["id"].as_u64(), reply["error"]["code"].as_str()), (Some(id), code), "{reply}");
    }

    growth(&mut alice, async {
        let endpoint = town.path("alice.sock");
        let mut crowd = Vec::new();
        for n in 0..2000u32 {
            let Ok(mut stream) = UnixStream::connect(&endpoint) else { continue };
            // Half a frame, and then nothing.
            stream.write_all(&[200, 0, 0, 0, b'{']).ok();
            crowd.push(stream);
            if n % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
        drop(crowd);
    })
    .await;
    // A long announced length is received byte by byte, and half of it is not kept.
    growth(&mut alice, async {
        let mut stream = UnixStream::connect(town.path("alice.sock")).expect("open");
        stream.write_all(&(30_000_000u32).to_le_bytes()).ok();
        stream.write_all(&noise(1, 4_000_000)).ok();
    })
    .await;
    a_look_travels(&town, &alice, "After").await;
}

#[tokio::test]
async fn garbage_on_the_phone_book() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let before = town.phonebook.process().memory();
    let mut dice = Dice::new(2);
    let said = |words: &[u8]| {
        let mut stream = TcpStream::connect(town.phonebook.addr()).expect("the phone book listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        stream.write_all(words).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).ok();
        String::from_utf8_lossy(&heard).into_owned()
    };
    for n in 0..300 {
        said(&noise(n, usize_of(dice.below(4000))));
    }
    let post = |body: &[u8], length: usize| {
        let head = format!(
            "POST /api/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        said(&[head.as_bytes(), body].concat())
    };
    for (body, length) in [
        (b"{}".to_vec(), 2),
        (b"{".to_vec(), 1),
        (vec![b'['; 16_000], 16_000),
        (noise(1, 20_000), 20_000),
        (b"{}".to_vec(), usize::MAX / 2),
    ] {
        let answer = post(&body, length);
        assert!(answer.starts_with("HTTP/1.1 4") || answer.is_empty(), "{answer}");
    }
    for path in ["/api/lookup/%ff%fe", "/api/lookup/", "/api/lookup/a%00b", "/../../etc/passwd", "/%"] {
        let answer = said(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
    if let (Some(before), Some(after)) = (before, town.phonebook.process().memory()) {
        assert!(after < before + GROWTH_MAX, "from {before} to {after} bytes");
    }
    within("a look travels", a_look_travels(&town, &alice, "After")).await;
}
