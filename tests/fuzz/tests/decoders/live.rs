//! Messages of `/api/live`, and the letters inside.

use crate::{modest, phonebook::accepted};
use ed25519_dalek::SigningKey;
use fyteclub_fuzz::{fuzz, seed::goldens};
use fyteclub_proto::{
    id::PeerId,
    letter::{Letter, Topic},
    limit::{CANDIDATES_READ_MAX, DISPATCH_MAX, LETTER_BYTES_MAX},
    phonebook::{
        between::Dispatch,
        live::{Hear, Poll, Polled, Say},
    },
    reaching::candidate::Candidates,
};

/// A mutated greeting or knock is authentic only where no signed part changed.
#[test]
fn say() {
    let right: Vec<Say> = goldens("live_v1", &["say_hello", "say_knock"])
        .iter()
        .map(|golden| serde_json::from_slice(golden).expect("a golden reads"))
        .collect();
    fuzz!(goldens("live_v1", &["say"]), |input: &[u8]| {
        let Some(said) = accepted::<Say>(input) else { return };
        let authentic = match &said {
            Say::Hello(hello) => hello.is_authentic(),
            Say::Knock { to, knock } => knock.is_authentic(to),
            _ => return,
        };
        assert_eq!(authentic, right.contains(&said), "{said:?}");
    });
}

#[test]
fn hear() {
    fuzz!(goldens("live_v1", &["hear"]), |input: &[u8]| {
        // Unknown messages lose their content, and are not encoded again.
        if serde_json::from_slice::<Hear>(input).is_ok_and(|hear| hear != Hear::Novel) {
            accepted::<Hear>(input);
        }
    });
}

#[test]
fn poll() {
    let golden = goldens("live_v1", &["poll.json"]).remove(0);
    let right: Poll = serde_json::from_slice(&golden).expect("a golden reads");
    fuzz!(goldens("live_v1", &["poll.json"]), |input: &[u8]| {
        let Some(poll) = accepted::<Poll>(input) else { return };
        assert_eq!(poll.is_authentic(), poll == right, "{poll:?}");
        serde_json::from_str::<Vec<Say>>(&poll.say).ok();
    });
}

#[test]
fn polled() {
    fuzz!(goldens("live_v1", &["polled"]), |input: &[u8]| {
        if serde_json::from_slice::<Polled>(input).is_ok_and(|polled| !polled.hear.contains(&Hear::Novel)) {
            accepted::<Polled>(input);
        }
    });
}

/// Another phone book's dispatch is forwarded unchanged, or not at all.
#[test]
fn dispatch() {
    fuzz!(goldens("live_v1", &["dispatch"]), |input: &[u8]| {
        let Ok(dispatch) = modest(input, || Dispatch::decode(input)) else { return };
        assert!(input.len() <= DISPATCH_MAX);
        assert_eq!(Dispatch::decode(&dispatch.encode()), Ok(dispatch));
    });
}

/// A decoded letter encodes to itself, without unknown kinds.
#[test]
fn candidates() {
    fuzz!(goldens("live_v1", &["candidates"]), |input: &[u8]| {
        let Ok(read) = modest(input, || Candidates::decode(input)) else { return };
        assert!(read.0.len() <= CANDIDATES_READ_MAX && input.len() <= LETTER_BYTES_MAX);
        assert_eq!(Candidates::decode(&read.encode()), Ok(read));
    });
}

/// A mutated letter does not open.
#[test]
fn letter() {
    let (alice, bob) = ([7; 32], [8; 32]);
    let (from, to) = (PeerId::of(&SigningKey::from_bytes(&alice)), SigningKey::from_bytes(&bob));
    let golden = goldens("live_v1", &["letter"]).remove(0);
    let right: Letter = serde_json::from_slice(&golden).expect("a golden reads");
    fuzz!(goldens("live_v1", &["letter"]), |input: &[u8]| {
        let Some(letter) = accepted::<Letter>(input) else { return };
        assert_eq!(letter.open(&from, &to, Topic::Note).is_ok(), letter == right, "{letter:?}");
    });
}
