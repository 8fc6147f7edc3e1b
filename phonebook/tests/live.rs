//! The live conversation over real sockets: who gets in, who hears what, and when.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Player, json, live::Client, local, now, serve, signed};
use fyteclub_phonebook::Config;
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::{Callee, Knock},
    letter::Topic,
    limit::{INTRODUCTIONS_MAX, LIVE_MESSAGE_MAX},
    phonebook::live::{ANSWER_TIME, CloseReason, GREETING_TIME, Hear, Hello, Say},
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
    let Hear::Accepted { from, attempt, letter } = alice.hear().await else { panic!("not accepted") };
    assert_eq!((from, attempt), (b, ONE));
    assert!(letter.open(&b, &alice.key, Topic::Accept(ONE)).is_ok());
    for (client, other) in [(&mut alice, b), (&mut bob, a)] {
        let Hear::Go { peer, attempt, delay_ms } = client.hear().await else { panic!("no go") };
        assert_eq!((peer, attempt), (other, ONE));
        assert!(delay_ms <= 500);
    }
    alice.candidates(&b, ONE).await;
    assert!(matches!(bob.hear().await, Hear::Candidates { from, attempt: ONE, .. } if from == a));
    bob.candidates(&a, ONE).await;
    assert!(matches!(alice.hear().await, Hear::Candidates { from, attempt: ONE, .. } if from == b));
}
