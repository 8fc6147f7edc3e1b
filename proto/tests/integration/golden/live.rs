//! live_v1: every message of `/api/live`, the polls that carry them, and the signed bytes; and messages between phone
//! books of one name.

use super::{Example, Reader, check, json};
use ed25519_dalek::SigningKey;
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::{Callee, Knock},
    letter::{Attempt, Letter, Topic},
    phonebook::{
        RelayGrant, RelayRefusal,
        between::{Dispatch, Parcel},
        live::{Hear, Hello, POLL_TIME_MAX, Poll, Polled, Say, Udp, Welcome},
    },
    reaching::{
        candidate::{Candidate, Candidates, Origin},
        wire::relay::{Leg, Limit, Token},
    },
};
use std::time::Duration;

const ATTEMPT: Attempt = Bytes([5; 16]);
const TIME: u64 = 1_700_000_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

#[test]
fn live_conversation_equals_the_goldens() {
    let (alice, bob) = (key(7), key(8));
    let (from, to) = (PeerId::of(&alice), PeerId::of(&bob));
    let letter = |topic| {
        Letter::seal(&alice, &to, topic, b"203.0.113.7:7777", [9; 32].into()).expect("a short letter")
    };
    let introduce = letter(Topic::Introduce(ATTEMPT));
    let accept = letter(Topic::Accept(ATTEMPT));
    let candidates = letter(Topic::Candidates(ATTEMPT));
    let note = letter(Topic::Note);
    for (letter, topic) in [
        (&introduce, Topic::Introduce(ATTEMPT)),
        (&accept, Topic::Accept(ATTEMPT)),
        (&candidates, Topic::Candidates(ATTEMPT)),
        (&note, Topic::Note),
    ] {
        assert_eq!(letter.open(&from, &bob, topic).as_deref(), Ok(&b"203.0.113.7:7777"[..]));
    }
    let (by_key, by_name) = (Callee::Key(to), Callee::Name("Bob Birch@Balmung".into()));
    let name = "Alice Ashe@Gilgamesh".parse().expect("a name");
    let knock = Knock::signed(&by_name, &name, Bytes([6; 16]), &alice);
    let hello = Hello::signed("book.example", Bytes([4; 32]), TIME, &alice);
    let address = [203, 0, 113, 7].into();
    let welcome = Welcome { version: 1, address, life: 75, period: 25, udp: None, return_ms: None };
    let udp = Udp { address: Some("udp.book.example:3478".into()), stun_ports: 2 };
    let say = [Say::Here, Say::Decline { to, attempt: ATTEMPT }];
    let poll = Poll::signed("book.example:3000", 5, TIME, POLL_TIME_MAX, &say, &alice);
    assert!(hello.is_authentic() && poll.is_authentic() && knock.is_authentic(&by_name));
    let proof =
        |name, bytes: &[u8]| Example::hex(name, bytes.to_vec(), bytes, |bytes| Ok::<_, ()>(bytes.to_vec()));
    let hear = vec![Hear::Unavailable { attempt: ATTEMPT }, Hear::Restarting { after_ms: 700 }];
    let parcel = |parcel| Dispatch::Parcel { to, parcel };
    let introduced = Hear::Introduced { from, attempt: ATTEMPT, letter: introduce.clone() };
    let half_trip = Duration::from_micros(21_500);
    let candidate = |origin, addr: &str| Candidate { origin, addr: addr.parse().expect("an address") };
    let told = Candidates(vec![
        candidate(Origin::Host, "192.168.1.3:7777"),
        candidate(Origin::Observed, "203.0.113.7:7777"),
        candidate(Origin::Mapped, "[2001:db8::5]:7778"),
        candidate(Origin::Manual, "198.51.100.9:7777"),
    ]);
    let grant = RelayGrant { leg: Leg(77), token: Token::new([6; 32]), udp: true, tcp: true, address: None };
    let elsewhere = RelayGrant { tcp: false, address: Some("udp.book.example:3478".into()), ..grant.clone() };
    let go = |relay, relay_refused| Hear::Go {
        peer: to,
        attempt: ATTEMPT,
        delay_ms: 130,
        relay,
        relay_refused,
        same_network: false,
    };
    let go_near = Hear::Go {
        peer: to,
        attempt: ATTEMPT,
        delay_ms: 130,
        relay: None,
        relay_refused: None,
        same_network: true,
    };
    let answer = |accepted, seen| parcel(Parcel::Answer { from, attempt: ATTEMPT, accepted, seen });
    let examples = vec![
        Example::json("dispatch_hear", parcel(Parcel::Hear(introduced))),
        Example::json("dispatch_answer", answer(Some((accept.clone(), half_trip)), None)),
        Example::json(
            "dispatch_answer_seen",
            answer(Some((accept.clone(), half_trip)), Some([203, 0, 113, 7].into())),
        ),
        Example::json("dispatch_answer_no", answer(None, None)),
        Example::json(
            "dispatch_candidates",
            parcel(Parcel::Candidates { from, attempt: ATTEMPT, letter: candidates.clone() }),
        ),
        Example::json("dispatch_moved", Dispatch::Moved { key: from, client: 17 }),
        proof("proof_hello", hello.proof().as_bytes()),
        proof("proof_poll", poll.proof().as_bytes()),
        proof("proof_knock", knock.proof(&by_name).as_bytes()),
        proof("proof_knock_by_key", knock.proof(&by_key).as_bytes()),
        proof("proof_letter_introduce", introduce.proof(&from, &to, Topic::Introduce(ATTEMPT)).as_bytes()),
        proof("proof_letter_note", note.proof(&from, &to, Topic::Note).as_bytes()),
        Example::json("say_hello", Say::Hello(hello)),
        Example::json("say_here", Say::Here),
        Example::json(
            "say_introduce",
            Say::Introduce { to: by_key.clone(), attempt: ATTEMPT, letter: introduce.clone() },
        ),
        Example::json(
            "say_introduce_by_name",
            Say::Introduce { to: by_name.clone(), attempt: ATTEMPT, letter: introduce.clone() },
        ),
        Example::json("say_accept", Say::Accept { to, attempt: ATTEMPT, letter: accept.clone() }),
        Example::json("say_decline", Say::Decline { to, attempt: ATTEMPT }),
        Example::json("say_candidates", Say::Candidates { to, attempt: ATTEMPT, letter: candidates.clone() }),
        Example::json("say_knock", Say::Knock { to: by_name.clone(), knock: knock.clone() }),
        Example::json("say_note", Say::Note { to, letter: note.clone() }),
        Example::json(
            "hear_challenge",
            Hear::Challenge { versions: vec![1], nonce: Bytes([4; 32]), time: TIME },
        ),
        Example::json("hear_welcome", Hear::Welcome(welcome.clone())),
        Example::json("hear_welcome_udp", Hear::Welcome(Welcome { udp: Some(udp), ..welcome.clone() })),
        Example::json(
            "hear_welcome_return",
            Hear::Welcome(Welcome { return_ms: Some(1000), ..welcome.clone() }),
        ),
        Example::json("hear_introduced", Hear::Introduced { from, attempt: ATTEMPT, letter: introduce }),
        Example::json(
            "hear_accepted",
            Hear::Accepted { from, attempt: ATTEMPT, letter: accept.clone(), same_network: false },
        ),
        Example::json(
            "hear_accepted_near",
            Hear::Accepted { from, attempt: ATTEMPT, letter: accept, same_network: true },
        ),
        Example::hex("candidates", told.clone(), &told.encode(), Candidates::decode),
        Example::json("hear_unavailable", Hear::Unavailable { attempt: ATTEMPT }),
        Example::json("hear_candidates", Hear::Candidates { from, attempt: ATTEMPT, letter: candidates }),
        Example::json("hear_go", go(None, None)),
        Example::json("hear_go_near", go_near),
        Example::json("hear_go_relay", go(Some(grant), None)),
        Example::json("hear_go_relay_elsewhere", go(Some(elsewhere), None)),
        Example::json(
            "hear_go_no_relay",
            go(None, Some(RelayRefusal { limit: Limit::Holder, retry_after: 60 })),
        ),
        Example::json("hear_knock", Hear::Knock { to: by_name, knock }),
        Example::json("hear_note", Hear::Note { from, letter: note.clone() }),
        Example::json("hear_limited", Hear::Limited { attempt: Some(ATTEMPT), retry_after: 2 }),
        Example::json("hear_limited_say", Hear::Limited { attempt: None, retry_after: 30 }),
        Example::json("hear_restarting", Hear::Restarting { after_ms: 700 }),
        Example::json("letter", note),
        Example::json("polled", Polled { welcome, hear }),
        Example::json("poll", poll),
    ];
    let readers: &[(&str, Reader)] = &[
        ("say", json::<Say>),
        ("hear", json::<Hear>),
        ("letter", json::<Letter>),
        ("polled", json::<Polled>),
        ("poll", json::<Poll>),
        ("dispatch", json::<Dispatch>),
    ];
    check("live_v1", examples, readers);
}
