//! The live connection without a WebSocket.

use crate::common::{Phonebook, Player, Response, json, live::Client, local, now, serve, signed};
use fyteclub_phonebook::{Config, Rates};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::{Callee, Knock},
    letter::{Letter, Topic},
    phonebook::live::{ANSWER_TIME, CloseReason, Hear, Poll, Polled, Say},
};
use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

const ONE: Bytes<16> = Bytes([1; 16]);
const LONG: Duration = Duration::from_secs(20);

fn poll(phonebook: &Phonebook, player: &Player, sequence: u64, wait: Duration, say: &[Say]) -> Response {
    let poll = Poll::signed("phonebook", sequence, now(), wait, say, &player.0);
    phonebook.send("POST", "/api/live", json(&poll))
}

fn heard(response: &Response) -> Vec<Hear> {
    assert_eq!(response.status, 200, "{response:?}");
    let polled: Polled = serde_json::from_str(&response.body).unwrap();
    assert_eq!(polled.welcome.address.to_string(), "127.0.0.1");
    assert_eq!((polled.welcome.version, polled.welcome.life, polled.welcome.period), (1, 75, 25));
    polled.hear
}

fn key(player: &Player) -> PeerId {
    PeerId::of(&player.0)
}

fn letter(from: &Player, to: &Player, topic: Topic) -> Letter {
    Letter::seal(&from.0, &key(to), topic, b"x", [7; 32].into()).unwrap()
}

fn note(from: &Player, to: &Player) -> Say {
    Say::Note { to: key(to), letter: letter(from, to, Topic::Note) }
}

#[test]
fn two_polling_clients_are_introduced() {
    let (phonebook, alice, bob) = (signed(), Player::new(1), Player::new(2));
    assert_eq!(heard(&poll(&phonebook, &bob, 1, Duration::ZERO, &[])), []);
    let introduce = Say::Introduce {
        to: Callee::Key(key(&bob)),
        attempt: ONE,
        letter: letter(&alice, &bob, Topic::Introduce(ONE)),
    };
    thread::scope(|scope| {
        let waits = scope.spawn(|| heard(&poll(&phonebook, &bob, 2, LONG, &[])));
        heard(&poll(&phonebook, &alice, 1, Duration::ZERO, &[introduce]));
        let introduced = waits.join().unwrap();
        assert!(matches!(introduced[..], [Hear::Introduced { attempt: ONE, .. }]), "{introduced:?}");
        let waits = scope.spawn(|| heard(&poll(&phonebook, &alice, 2, LONG, &[])));
        let letter = letter(&bob, &alice, Topic::Accept(ONE));
        let accept = Say::Accept { to: key(&alice), attempt: ONE, letter };
        let go = heard(&poll(&phonebook, &bob, 3, LONG, &[accept]));
        assert!(matches!(go[..], [Hear::Go { attempt: ONE, .. }]), "{go:?}");
        let mut accepted = waits.join().unwrap();
        if accepted.len() == 1 {
            accepted.extend(heard(&poll(&phonebook, &alice, 3, LONG, &[])));
        }
        assert!(matches!(accepted[..], [Hear::Accepted { .. }, Hear::Go { .. }]), "{accepted:?}");
    });
}

#[test]
fn a_wait_ends_with_the_answer_or_with_its_time() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let began = Instant::now();
    assert_eq!(heard(&poll(&phonebook, &alice, 1, Duration::from_millis(300), &[])), []);
    assert!(began.elapsed() >= Duration::from_millis(300));
    let letter = letter(&alice, &Player::new(9), Topic::Introduce(ONE));
    let introduce = Say::Introduce { to: Callee::Key(key(&Player::new(9))), attempt: ONE, letter };
    let began = Instant::now();
    let unavailable = [Hear::Unavailable { attempt: ONE }];
    assert_eq!(heard(&poll(&phonebook, &alice, 2, LONG, &[introduce])), unavailable);
    assert!(began.elapsed() >= ANSWER_TIME && began.elapsed() < LONG);
}

#[tokio::test]
async fn a_poll_and_a_socket_of_one_key_replace_each_other() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let mut socket = Client::greeted(&phonebook, 1).await;
    heard(&poll(&phonebook, &alice, 1, Duration::ZERO, &[]));
    socket.closes_for(CloseReason::Replaced).await;
    let waiting = thread::scope(|scope| {
        let waits = scope.spawn(|| poll(&phonebook, &alice, 2, LONG, &[]));
        waits_for(&phonebook, &alice);
        let newer = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { drop(Client::greeted(&phonebook, 1).await) });
        });
        newer.join().unwrap();
        waits.join().unwrap()
    });
    waiting.is_problem(409, "replaced");
}

/// Until the phone book has seen the poll with sequence 2. If it sees one of these first, that one counts.
fn waits_for(phonebook: &Phonebook, alice: &Player) {
    crate::common::eventually("the poll is there", || {
        let answer = poll(phonebook, alice, 1, Duration::ZERO, &[]);
        answer.status == 409 && answer.json()["sequence"] == 2
    });
}

#[test]
fn third_poll_ends_the_first() {
    let (phonebook, alice, bob) = (signed(), Player::new(1), Player::new(2));
    heard(&poll(&phonebook, &alice, 1, Duration::ZERO, &[]));
    thread::scope(|scope| {
        let began = Instant::now();
        let first = scope.spawn(|| heard(&poll(&phonebook, &alice, 2, LONG, &[])));
        waits_for(&phonebook, &alice);
        assert_eq!(heard(&poll(&phonebook, &alice, 3, Duration::ZERO, &[Say::Here])), []);
        heard(&poll(&phonebook, &bob, 1, Duration::ZERO, &[note(&bob, &alice)]));
        let heard_by_first = first.join().unwrap();
        assert!(matches!(heard_by_first[..], [Hear::Note { .. }]), "{heard_by_first:?}");
        let waiting: Vec<_> = (4..=6)
            .map(|sequence| {
                let waits = scope.spawn({
                    let (phonebook, alice) = (&phonebook, &alice);
                    move || heard(&poll(phonebook, alice, sequence, LONG, &[]))
                });
                crate::common::eventually("the poll is there", || {
                    let refusal = poll(&phonebook, &alice, 1, Duration::ZERO, &[]);
                    refusal.json()["sequence"] == sequence
                });
                waits
            })
            .collect();
        let mut waiting = waiting.into_iter();
        assert_eq!(waiting.next().unwrap().join().unwrap(), [], "ended by the third");
        let mut others: Vec<_> = waiting.collect();
        for sequence in [2, 3] {
            heard(&poll(&phonebook, &bob, sequence, Duration::ZERO, &[note(&bob, &alice)]));
            // The newest first.
            let hear = others.pop().unwrap().join().unwrap();
            assert!(matches!(hear[..], [Hear::Note { .. }]), "{hear:?}");
        }
        assert!(began.elapsed() < LONG);
    });
}

#[test]
fn interrupted_poll_loses_no_message() {
    let (phonebook, alice, bob) = (signed(), Player::new(1), Player::new(2));
    let body = json(&Poll::signed("phonebook", 2, now(), LONG, &[], &alice.0));
    let mut stream = phonebook.connect();
    let head = "POST /api/live HTTP/1.1\r\nHost: phonebook\r\nContent-Type: application/json\r\n";
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    waits_for(&phonebook, &alice);
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    drop(stream);
    let mut sequence = 2;
    // Until the phone book notices the closed connection, it may send an answer there.
    crate::common::eventually("a note is heard by the next poll", || {
        sequence += 1;
        heard(&poll(&phonebook, &bob, sequence, Duration::ZERO, &[note(&bob, &alice)]));
        let hear = heard(&poll(&phonebook, &alice, sequence, Duration::ZERO, &[]));
        matches!(hear[..], [Hear::Note { .. }, ..])
    });
}

#[test]
fn poll_must_be_signed_for_this_server_and_new() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let send = |poll: &Poll| phonebook.send("POST", "/api/live", json(poll));
    let sign =
        |server: &str, sequence, time| Poll::signed(server, sequence, time, Duration::ZERO, &[], &alice.0);
    send(&sign("elsewhere", 1, now())).is_problem(401, "other_server");
    send(&sign("phonebook", 1, now() - 300_000)).is_problem(401, "clock_skew");
    send(&sign("phonebook", 1, now() + 300_000)).is_problem(401, "clock_skew");
    // Signed before this phone book started.
    let early = send(&sign("phonebook", 1, now() - 60_000));
    early.is_problem(401, "clock_skew");
    assert!((early.json()["clockOffset"].as_i64().unwrap() + 60_000).abs() < 30_000);
    let good = sign("phonebook", 5, now());
    send(&Poll { say: r#"[{"type":"here"}]"#.into(), ..good.clone() }).is_problem(401, "bad_signature");
    send(&Poll { public_key: key(&Player::new(2)), ..good.clone() }).is_problem(401, "bad_signature");
    assert_eq!(heard(&send(&good)), []);
    send(&good).is_problem(409, "stale_sequence");
    assert_eq!(send(&sign("phonebook", 4, now())).json()["sequence"], 5);
    // A slow clock does not matter for a known key.
    assert_eq!(heard(&send(&sign("phonebook", 6, now() - 60_000))), []);
}

#[test]
fn polled_messages_are_checked_as_over_a_socket() {
    let (phonebook, alice, bob) = (signed(), Player::new(1), Player::new(2));
    heard(&poll(&phonebook, &bob, 1, Duration::ZERO, &[]));
    let to = Callee::Key(key(&bob));
    let name = "Alice Ashe@Omega".parse().unwrap();
    let forged = Say::Knock { to: to.clone(), knock: Knock::signed(&to, &name, ONE, &bob.0) };
    poll(&phonebook, &alice, 1, Duration::ZERO, &[note(&alice, &bob), forged]).is_problem(400, "bad_field");
    assert_eq!(heard(&poll(&phonebook, &bob, 2, Duration::ZERO, &[])), [], "all or nothing");
    let mut bad = Poll::signed("phonebook", 2, now(), Duration::ZERO, &[], &alice.0);
    bad.say = "[{}]".to_owned();
    bad.signature = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(bad.proof().sign(&alice.0))
    };
    phonebook.send("POST", "/api/live", json(&bad)).is_problem(400, "bad_field");
    phonebook.send("POST", "/api/live", "{}").is_problem(401, "unsigned");
    let knock = Knock::signed(&to, &name, ONE, &alice.0);
    heard(&poll(
        &phonebook,
        &alice,
        3,
        Duration::ZERO,
        &[Say::Knock { to: to.clone(), knock: knock.clone() }],
    ));
    assert_eq!(heard(&poll(&phonebook, &bob, 3, Duration::ZERO, &[])), [Hear::Knock { to, knock }]);
}

#[test]
fn polls_take_places_and_a_stop_is_their_answer() {
    let phonebook = serve(Config { max_sockets: 1, max_sockets_per_address: Some(9), ..local() });
    let (alice, bob) = (Player::new(1), Player::new(2));
    heard(&poll(&phonebook, &alice, 1, Duration::ZERO, &[]));
    let refusal = poll(&phonebook, &bob, 1, Duration::ZERO, &[]);
    refusal.is_problem(503, "full");
    assert!(refusal.header("retry-after").is_some());
    let addr = phonebook.addr;
    let waits = thread::spawn(move || poll(&Phonebook::at(addr), &Player::new(1), 2, LONG, &[]));
    waits_for(&phonebook, &alice);
    // Seen is not yet waiting: a poll in between is answered the same.
    drop(phonebook);
    let hear = heard(&waits.join().unwrap());
    assert!(matches!(hear[..], [Hear::Restarting { .. }]), "{hear:?}");
}

#[test]
fn first_poll_costs_as_much_as_a_socket() {
    let socket = Some("1/s burst 2".parse().unwrap());
    let phonebook = serve(Config { limits: Rates { socket, ..Rates::OFF }, ..local() });
    let players: Vec<Player> = (1..=20).map(Player::new).collect();
    let first = |player| poll(&phonebook, player, 1, Duration::ZERO, &[]);
    heard(&first(&players[0]));
    let refused = players[1..].iter().map(first).find(|response| response.status != 200).unwrap();
    refused.is_problem(429, "rate_limited");
    // A connected key has paid.
    (2..20).for_each(|sequence| {
        heard(&poll(&phonebook, &players[0], sequence, Duration::ZERO, &[]));
    });
}

#[test]
fn polled_messages_are_charged_to_the_address() {
    let (phonebook, alice) = (signed(), Player::new(1));
    let say = vec![Say::Here; 800];
    let began = Instant::now();
    // Four thousand at once, and five hundred a second.
    let refusal = (1..100)
        .map(|sequence| poll(&phonebook, &alice, sequence, Duration::ZERO, &say))
        .find(|answer| answer.status != 200);
    let refusal = refusal.expect("a bound");
    refusal.is_problem(429, "rate_limited");
    assert!(refusal.header("retry-after").is_some());
    let most = 4000 + 500 * (began.elapsed().as_secs() + 1);
    let (charged, refused) = phonebook.ledger("messages");
    assert!(charged <= most && refused == 1, "{charged} of {most}");
}
