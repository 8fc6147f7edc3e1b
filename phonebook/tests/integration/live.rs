//! The live connection over real sockets: who is admitted, who receives what, and when.

use crate::common::{Player, SERVER, json, live::Client, local, now, serve, signed};
use futures::SinkExt;
use fyteclub_phonebook::Config;
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::{Callee, Knock},
    letter::{Attempt, Letter, Topic},
    limit::{INTRODUCTIONS_MAX, LIVE_MESSAGE_MAX},
    phonebook::{
        Register, Visibility, hidden_name,
        live::{ANSWER_TIME, CloseReason, GREETING_TIME, Hear, Hello, Say},
    },
};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

const ONE: Bytes<16> = Bytes([1; 16]);
const TWO: Bytes<16> = Bytes([2; 16]);

#[tokio::test]
async fn a_caller_and_a_callee_are_introduced() {
    let phonebook = signed();
    let mut alice = Client::greeted(&phonebook, 1).await;
    let mut bob = Client::greeted(&phonebook, 2).await;
    let (a, b) = (alice.id(), bob.id());
    alice.introduce(&b, ONE).await;
    let Hear::Introduced { from, attempt, letter } = bob.hear().await else { panic!("not introduced") };
    assert_eq!((from, attempt), (a, ONE));
    assert!(letter.open(&a, &bob.key, Topic::Introduce(ONE)).is_ok());
    bob.accept(&a, ONE).await;
    let Hear::Accepted { from, attempt, letter, same_network } = alice.hear().await else {
        panic!("not accepted")
    };
    assert!(same_network, "both are on this machine");
    assert_eq!((from, attempt), (b, ONE));
    assert!(letter.open(&b, &alice.key, Topic::Accept(ONE)).is_ok());
    for (client, other) in [(&mut alice, b), (&mut bob, a)] {
        let Hear::Go { peer, attempt, delay_ms, .. } = client.hear().await else { panic!("no go") };
        assert_eq!((peer, attempt), (other, ONE));
        assert!(delay_ms <= 500);
    }
    alice.candidates(&b, ONE).await;
    assert!(matches!(bob.hear().await, Hear::Candidates { from, attempt: ONE, .. } if from == a));
    bob.candidates(&a, ONE).await;
    assert!(matches!(alice.hear().await, Hear::Candidates { from, attempt: ONE, .. } if from == b));
}

#[tokio::test]
async fn name_is_called_without_its_key() {
    let phonebook = signed();
    let mut alice = Client::greeted(&phonebook, 1).await;
    let mut bob = Client::greeted(&phonebook, 2).await;
    for (name, visibility) in [("Bob Birch@Omega", Visibility::Contacts), (&*hidden(), Visibility::Hidden)] {
        let body = Register::signed(name, 7, visibility, SERVER, 1, now(), &bob.key);
        assert_eq!(phonebook.register(json(&body)).status, 200);
        let callee = Callee::Name(name.to_owned());
        alice.introduce_by(callee.clone(), &bob.id(), ONE).await;
        assert!(matches!(bob.hear().await, Hear::Introduced { attempt: ONE, .. }));
        bob.accept(&alice.id(), ONE).await;
        assert!(matches!(alice.hear().await, Hear::Accepted { .. }));
        assert!(matches!((alice.hear().await, bob.hear().await), (Hear::Go { .. }, Hear::Go { .. })));
        alice = Client::greeted(&phonebook, alice.key.to_bytes()[0] + 2).await;
        let name = "Alice Ashe@Omega".parse().unwrap();
        let knock = Knock::signed(&callee, &name, TWO, &alice.key);
        alice.say(&Say::Knock { to: callee.clone(), knock: knock.clone() }).await;
        assert_eq!(bob.hear().await, Hear::Knock { to: callee, knock });
    }
}

fn hidden() -> String {
    hidden_name("secret", &"Bob Birch@Omega".parse().unwrap())
}

#[tokio::test]
async fn failed_introductions_get_one_answer_in_order() {
    let phonebook = signed();
    let mut alice = Client::greeted(&phonebook, 1).await;
    let mut bob = Client::greeted(&phonebook, 2).await;
    let mut carol = Client::greeted(&phonebook, 3).await;
    let (a, b, c) = (alice.id(), bob.id(), carol.id());
    let absent = PeerId::of(&Player::new(9).0);
    let asked = Instant::now();
    let numbers: Vec<_> = (0..5).map(|number| Bytes([number; 16])).collect();
    alice.introduce(&absent, numbers[0]).await;
    alice.introduce(&b, numbers[1]).await;
    alice.introduce(&c, numbers[2]).await;
    alice.introduce_by(Callee::Name("Nobody@Omega".into()), &absent, numbers[3]).await;
    alice.introduce(&a, numbers[4]).await;
    assert!(matches!(bob.hear().await, Hear::Introduced { .. }));
    bob.say(&Say::Decline { to: a, attempt: numbers[1] }).await;
    assert!(matches!(carol.hear().await, Hear::Introduced { .. }));
    for attempt in &numbers {
        assert_eq!(alice.hear().await, Hear::Unavailable { attempt: *attempt });
        assert!(asked.elapsed() >= ANSWER_TIME);
    }
    carol.accept(&a, numbers[2]).await;
    assert_eq!(carol.settled().await, []);
    assert_eq!(alice.settled().await, [], "too late");
}

/// An introduction that was accepted in time. A busy machine may take longer than the phone book waits; then another one.
async fn accepted(alice: &mut Client, bob: &mut Client) -> Attempt {
    let (a, b) = (alice.id(), bob.id());
    for number in 100..120 {
        let attempt = Bytes([number; 16]);
        alice.introduce(&b, attempt).await;
        assert!(matches!(bob.hear().await, Hear::Introduced { .. }));
        bob.accept(&a, attempt).await;
        bob.accept(&a, attempt).await;
        let gone = bob.settled().await;
        let mut heard = alice.settled().await;
        heard.retain(|hear| !matches!(hear, Hear::Unavailable { attempt: other } if *other != attempt));
        if heard == [Hear::Unavailable { attempt }] {
            continue;
        }
        assert_eq!(gone.len(), 1, "one go");
        assert_eq!(heard.len(), 2, "accepted and go: {heard:?}");
        return attempt;
    }
    panic!("no answer was in time");
}

#[tokio::test]
async fn answers_of_third_parties_are_dropped() {
    let phonebook = signed();
    let mut alice = Client::greeted(&phonebook, 1).await;
    let mut bob = Client::greeted(&phonebook, 2).await;
    let mut eve = Client::greeted(&phonebook, 3).await;
    let (a, b, e) = (alice.id(), bob.id(), eve.id());
    alice.introduce(&b, TWO).await;
    assert!(matches!(bob.hear().await, Hear::Introduced { .. }));
    eve.accept(&a, TWO).await;
    eve.candidates(&a, TWO).await;
    bob.candidates(&a, TWO).await;
    alice.candidates(&b, TWO).await;
    assert_eq!(eve.settled().await, []);
    assert_eq!(bob.settled().await, []);
    assert!(matches!(alice.settled().await[..], [] | [Hear::Unavailable { attempt: TWO }]));
    // Nothing before the answer, which is due after 1.5 s.
    let attempt = accepted(&mut alice, &mut bob).await;
    for _ in 0..9 {
        alice.candidates(&b, attempt).await;
        bob.candidates(&a, attempt).await;
        alice.candidates(&e, attempt).await;
        eve.candidates(&a, attempt).await;
    }
    assert_eq!(eve.settled().await, []);
    bob.settled().await;
    alice.settled().await;
    for client in [&mut alice, &mut bob] {
        client.candidates(&e, TWO).await;
    }
    assert_eq!(eve.settled().await, []);
}

#[tokio::test]
async fn a_caller_has_so_many_under_way() {
    let phonebook = signed();
    let mut alice = Client::greeted(&phonebook, 1).await;
    let absent = PeerId::of(&Player::new(9).0);
    for number in 0..=INTRODUCTIONS_MAX {
        alice.introduce(&absent, Bytes([u8::try_from(number).expect("a small number"); 16])).await;
    }
    let attempt = Some(Bytes([u8::try_from(INTRODUCTIONS_MAX).expect("a small number"); 16]));
    assert_eq!(alice.hear().await, Hear::Limited { attempt, retry_after: 2 });
    for _ in 0..INTRODUCTIONS_MAX {
        assert!(matches!(alice.hear().await, Hear::Unavailable { .. }));
    }
}

#[tokio::test]
async fn letters_reach_online_keys_without_an_answer() {
    let phonebook = signed();
    let mut alice = Client::greeted(&phonebook, 1).await;
    let mut bob = Client::greeted(&phonebook, 2).await;
    let name = "Alice Ashe@Omega".parse().unwrap();
    for (key, present) in [(bob.id(), true), (PeerId::of(&Player::new(9).0), false)] {
        let to = Callee::Key(key);
        let knock = Knock::signed(&to, &name, ONE, &alice.key);
        alice.say(&Say::Knock { to: to.clone(), knock: knock.clone() }).await;
        alice.note(&key).await;
        if present {
            assert_eq!(bob.hear().await, Hear::Knock { to, knock });
            let Hear::Note { from, letter } = bob.hear().await else { panic!("no note") };
            assert!(letter.open(&from, &bob.key, Topic::Note).is_ok());
        }
        assert_eq!(alice.settled().await, []);
    }
    // Neither another's knock nor one for another receiver.
    let to = Callee::Key(bob.id());
    let forged = Knock::signed(&to, &name, ONE, &Player::new(9).0);
    alice.say(&Say::Knock { to: to.clone(), knock: forged.clone() }).await;
    alice.closes_for(CloseReason::BadMessage).await;
    let mut alice = Client::greeted(&phonebook, 1).await;
    alice.say(&Say::Knock { to, knock: Knock { from: alice.id(), ..forged } }).await;
    alice.closes_for(CloseReason::BadMessage).await;
    assert_eq!(bob.settled().await, []);
}

#[tokio::test]
async fn greeting_must_be_signed_for_this_challenge() {
    let phonebook = signed();
    let here = phonebook.addr.to_string();
    let other = format!("localhost:{}", phonebook.addr.port());
    for (number, reason) in [
        CloseReason::BadHello,
        CloseReason::BadHello,
        CloseReason::BadHello,
        CloseReason::ClockSkew,
        CloseReason::ClockSkew,
        CloseReason::BadMessage,
        CloseReason::BadMessage,
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::connect(&phonebook, 1).await;
        let nonce = client.challenge().await;
        let hello = |server: &str, nonce, time| Hello::signed(server, nonce, time, &client.key);
        let good = hello(&here, nonce, now());
        let hello = match number {
            0 => hello(&here, Bytes([0; 32]), now()),
            1 => hello(&other, nonce, now()),
            2 => Hello { public_key: PeerId::of(&Player::new(2).0), ..good },
            3 => hello(&here, nonce, now() - 421_000),
            4 => hello(&here, nonce, now() + 421_000),
            5 => Hello { version: 99, ..good },
            _ => good,
        };
        match number {
            6 => client.say(&Say::Here).await,
            _ => client.say(&Say::Hello(hello)).await,
        }
        let text = client.closes_for(reason).await;
        match reason {
            CloseReason::ClockSkew => {
                let offset: i64 = text.strip_prefix("clock_skew:").unwrap().parse().unwrap();
                assert!((offset.abs() - 421_000).abs() < 60_000, "{text}");
            }
            _ => assert!(!text.is_empty()),
        }
    }
}

#[tokio::test]
async fn a_phone_book_that_knows_its_names_goes_by_them() {
    let names = vec!["book.example".to_owned()];
    let phonebook = serve(Config { names, ..local() });
    let mut client = Client::connect(&phonebook, 1).await;
    let nonce = client.challenge().await;
    let hello = Hello::signed("book.example", nonce, now(), &client.key);
    client.say(&Say::Hello(hello)).await;
    assert!(matches!(client.hear().await, Hear::Welcome(_)));
    let mut client = Client::connect(&phonebook, 1).await;
    let nonce = client.challenge().await;
    let hello = Hello::signed(&phonebook.addr.to_string(), nonce, now(), &client.key);
    client.say(&Say::Hello(hello)).await;
    client.closes_for(CloseReason::BadHello).await;
}

#[tokio::test]
async fn newest_socket_of_a_key_replaces_the_older() {
    let phonebook = signed();
    let mut old = Client::greeted(&phonebook, 1).await;
    let mut new = Client::greeted(&phonebook, 1).await;
    old.closes_for(CloseReason::Replaced).await;
    let mut bob = Client::greeted(&phonebook, 2).await;
    bob.note(&new.id()).await;
    assert!(matches!(new.hear().await, Hear::Note { .. }));
}

#[tokio::test]
async fn invalid_message_ends_the_conversation() {
    let phonebook = signed();
    let long = format!("{{\"type\":\"here\",\"x\":\"{}\"}}", "x".repeat(LIVE_MESSAGE_MAX));
    let greeting = Hello::signed("x", Bytes([0; 32]), 0, &Player::new(1).0);
    for message in [
        Message::text("{"),
        Message::text("[]"),
        Message::text(r#"{"type":"relay"}"#),
        Message::text(r#"{"type":"introduce","to":{"key":"x"}}"#),
        Message::text(json(&Say::Hello(greeting))),
        Message::text(long),
        Message::binary(b"{\"type\":\"here\"}".as_slice()),
        Message::Frame(Frame::message(b"\xff".as_slice(), OpCode::Data(Data::Text), true)),
        Message::Frame(Frame::message(b"x".as_slice(), OpCode::Data(Data::Continue), true)),
    ] {
        let mut client = Client::greeted(&phonebook, 1).await;
        client.send(message).await;
        client.closes_for(CloseReason::BadMessage).await;
    }
    // Nor before the greeting.
    let mut client = Client::connect(&phonebook, 1).await;
    client.challenge().await;
    client.send(Message::text("{")).await;
    client.closes_for(CloseReason::BadMessage).await;
}

#[tokio::test]
async fn fragments_are_one_message_up_to_its_limit() {
    let phonebook = signed();
    let mut alice = Client::greeted(&phonebook, 1).await;
    let mut bob = Client::greeted(&phonebook, 2).await;
    let letter = alice.letter(&bob.id(), Topic::Note);
    let text = json(&Say::Note { to: bob.id(), letter });
    let (first, last) = text.as_bytes().split_at(100);
    let part =
        |bytes: &[u8], kind, last| Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(kind), last));
    alice.send(part(first, Data::Text, false)).await;
    alice.send(Message::Ping(b"between".as_slice().into())).await;
    alice.send(part(last, Data::Continue, true)).await;
    assert!(matches!(bob.hear().await, Hear::Note { .. }));
    let some = [b'x'; 1024];
    alice.send(part(&some, Data::Text, false)).await;
    for _ in 0..LIVE_MESSAGE_MAX / some.len() {
        alice.send(part(&some, Data::Continue, false)).await;
    }
    let (_, reason, _) = alice.ended().await;
    assert_eq!(reason, CloseReason::BadMessage);
}

#[tokio::test]
async fn connection_without_a_greeting_is_closed() {
    let phonebook = signed();
    let mut client = Client::connect(&phonebook, 1).await;
    client.challenge().await;
    let connected = Instant::now();
    client.closes_for(CloseReason::Silent).await;
    assert!(connected.elapsed() > GREETING_TIME / 2);
}

#[tokio::test]
async fn slow_reader_is_closed_and_others_are_served() {
    let phonebook = signed();
    let mut deaf = Client::connect_small(&phonebook, 1).await.greet().await;
    let to = deaf.id();
    let mut writers = Vec::new();
    for seed in 2..=250 {
        let from = format!("127.0.0.{}", seed / 16 + 1);
        writers.push(Client::connect_from(&phonebook, seed, &from).await.greet().await);
    }
    // More than the kernel buffers at both ends, plus one read of each.
    for writer in &mut writers {
        let letter = Letter::seal(&writer.key, &to, Topic::Note, &[7; 800], [7; 32].into()).unwrap();
        let note = json(&Say::Note { to, letter });
        for _ in 0..240 {
            writer.send(Message::text(note.clone())).await;
        }
    }
    for writer in &mut writers {
        assert_eq!(writer.settled().await, []);
    }
    // For twice as long as a full queue may stay unread: on a busy machine the kernel's buffers go on growing.
    let filled = Instant::now();
    while filled.elapsed() < Duration::from_secs(10) {
        for writer in &mut writers {
            let letter = Letter::seal(&writer.key, &to, Topic::Note, &[7; 800], [7; 32].into()).unwrap();
            writer.say(&Say::Note { to, letter }).await;
        }
        // No faster than it is read.
        assert_eq!(writers[0].settled().await, []);
    }
    let mut writer = writers.remove(0);
    deaf.is_cut_off().await;
    let mut again = Client::greeted(&phonebook, 1).await;
    writer.note(&to).await;
    assert!(matches!(again.hear().await, Hear::Note { .. }));
}

#[tokio::test]
async fn there_are_so_many_places_and_each_is_free_again() {
    let phonebook = serve(Config { max_sockets: 2, max_sockets_per_address: Some(9), ..local() });
    let _alice = Client::greeted(&phonebook, 1).await;
    let mut bob = Client::greeted(&phonebook, 2).await;
    let mut carol = Client::connect(&phonebook, 3).await;
    assert_eq!(carol.closes_for(CloseReason::Limited).await, "retry_after:30");
    bob.socket.close(None).await.unwrap();
    bob.is_cut_off().await;
    // Its slot is free once the connection is gone.
    Client::greeted(&phonebook, 3).await;
}

#[tokio::test]
async fn an_address_has_so_many_places_and_others_theirs() {
    let phonebook = serve(Config { max_sockets_per_address: Some(2), ..local() });
    let mut alice = Client::greeted(&phonebook, 1).await;
    let _bob = Client::greeted(&phonebook, 2).await;
    let mut carol = Client::connect(&phonebook, 3).await;
    assert_eq!(carol.closes_for(CloseReason::Limited).await, "retry_after:30");
    let mut other = Client::connect_from(&phonebook, 4, "127.0.0.2").await;
    other.challenge().await;
    alice.socket.close(None).await.unwrap();
    alice.is_cut_off().await;
    Client::greeted(&phonebook, 3).await;
}

#[tokio::test]
async fn a_socket_that_floods_is_read_at_its_rate() {
    const FRAMES: u32 = 320;
    let phonebook = signed();
    let mut flooder = Client::greeted(&phonebook, 1).await;
    let began = Instant::now();
    for _ in 0..FRAMES {
        flooder.socket.feed(Message::Ping(Vec::new().into())).await.unwrap();
    }
    flooder.socket.flush().await.unwrap();
    // All are read in the end, no sooner than burst and rate allow.
    flooder.settled().await;
    let least = Duration::from_secs(1).mul_f64(f64::from(FRAMES - 250) / 50.0);
    assert!(began.elapsed() > least.mul_f64(0.9), "{:?}", began.elapsed());
    assert!(phonebook.ledger("messages").0 >= u64::from(FRAMES));
}

#[tokio::test]
async fn stop_sends_different_retry_times_quickly() {
    let phonebook = signed();
    let mut clients = Vec::new();
    for seed in 1..=20 {
        clients.push(Client::greeted(&phonebook, seed).await);
    }
    let began = Instant::now();
    let stopped = std::thread::spawn(move || drop(phonebook));
    let mut times = Vec::new();
    for client in &mut clients {
        match client.ended().await {
            (heard, CloseReason::Restart, _) => match heard[..] {
                [Hear::Restarting { after_ms }] => times.push(after_ms),
                _ => panic!("{heard:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    times.sort_unstable();
    assert!(times.windows(2).all(|two| two[0] < two[1]), "{times:?}");
    drop(clients);
    stopped.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_websockets_are_upgraded() {
    signed().get("/api/live").is_problem(426, "not_websocket");
    let nothing = r#"{"error":"Endpoint not found"}"#;
    let headers =
        ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    crate::common::compat().request("GET", "/api/live", &headers, "").is(404, nothing);
    crate::common::compat().send("POST", "/api/live", "{}").is(404, nothing);
    signed().send("DELETE", "/api/live", "{}").is(404, nothing);
}
