//! Datagrams of anybody: STUN's questions and answers, probes, a relay's frames, and the offers in letters.

use crate::modest;
use fyteclub_fuzz::{fuzz, seed::goldens};
use fyteclub_phonebook::relay::{Relay, Settings, Source, Verdict};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    limit::{CANDIDATES_READ_MAX, LETTER_BYTES_MAX},
    reaching::wire::{
        Kind,
        offer::Offer,
        probe::{self, Agreement, Part, Probe},
        relay::{Body, Frame, HEADER, Leg, Token},
        stun::{self, Request, Response},
    },
};
use std::time::Instant;

/// A question is answered by no more than it cost, and by nothing that would be answered in turn.
#[test]
fn stun_request() {
    let from = ["203.0.113.9:4000", "[2001:db8::5]:4000"].map(|text| text.parse().expect("an address"));
    fuzz!(goldens("datagram_v1", &["stun_"]), |input: &[u8]| {
        let asked = modest(input, || Request::decode(input));
        for from in from {
            let Some(answer) = stun::answer(input, from) else { continue };
            let transaction = asked.expect("only a question is answered").transaction;
            assert!(answer.len() <= input.len() && Kind::of(input) == Kind::Stun);
            assert_eq!(Response::decode(&answer), Ok(Response { transaction, mapped: from }));
            assert_eq!(stun::answer(&answer, from), None);
        }
    });
}

#[test]
fn stun_response() {
    fuzz!(goldens("datagram_v1", &["stun_"]), |input: &[u8]| {
        let Ok(response) = modest(input, || Response::decode(input)) else { return };
        assert!(response.mapped.port() != 0 && !response.mapped.ip().is_unspecified());
        assert_eq!(response.mapped.ip(), response.mapped.ip().to_canonical());
        assert_eq!(Response::decode(&response.encode()), Ok(response));
    });
}

/// Nothing but what the other end wrote opens; whatever it writes is read as that, or not at all.
#[test]
fn probe() {
    let side = |n| (PeerId::from_bytes([n; 32]), Bytes([n + 10; 32]));
    let agreement = || Agreement { attempt: Bytes([5; 16]), caller: side(1), callee: side(2) };
    let (seals, opens_callees) = agreement().keys(Part::Caller);
    let (_, opens_callers) = agreement().keys(Part::Callee);
    let right = goldens("datagram_v1", &["probe_"]);
    let seeds = right.clone();
    fuzz!(seeds, |input: &[u8]| {
        let opened = [&opens_callers, &opens_callees].map(|opener| modest(input, || opener.open(input)));
        assert_eq!(opened.iter().any(Option::is_some), right.iter().any(|probe| probe == input));
        if Kind::of(input) == Kind::Probe {
            assert!(probe::tag(input).is_some());
        }
        let Some((number, rest)) = input.split_first_chunk::<4>() else { return };
        let echo = rest.first_chunk::<4>().map(|echo| u32::from_be_bytes(*echo));
        let (asks, to_mapped) = (input[0] & 1 == 1, input[0] & 2 == 2);
        let said = Probe { number: u32::from_be_bytes(*number), echo, asks, to_mapped };
        let read = opens_callers.open(&seals.seal(said)).map(|authentic| authentic.probe());
        assert_eq!(read, (said.number > 0).then_some(said));
    });
}

/// A frame is read as it was written, and no bent proof is one.
#[test]
fn relay() {
    let token = Token::new([7; 32]);
    let (leg, cookie) = (Leg(0x0123_4567_89ab_cdef), Bytes([6; 16]));
    let right = Body::Proof { cookie, mac: token.prove(leg, &cookie) };
    let token = std::panic::AssertUnwindSafe(token);
    fuzz!(goldens("datagram_v1", &["relay_"]), |input: &[u8]| {
        let Ok(frame) = modest(input, || Frame::decode(input)) else { return };
        assert_eq!(frame.encode(), input);
        assert_eq!(Kind::of(input), Kind::Relay);
        match frame.body {
            Body::Data(payload) => assert_eq!(payload, &input[HEADER..]),
            Body::Proof { cookie, mac } => {
                let is_right = frame == Frame { leg, body: right };
                assert_eq!(token.verifies(frame.leg, &cookie, &mac), is_right, "{frame:?}");
            }
            _ => assert!(input.len() <= HEADER + 16),
        }
    });
}

/// Whatever comes from an address that has proven nothing: no longer reply, and nothing is forwarded.
#[test]
fn relay_server() {
    let settings = Settings {
        rate: Some(1 << 20),
        holder_rate: None,
        whole_rate: None,
        sessions: 1,
        holder_sessions: 1,
    };
    let keys = [1, 2].map(|n| PeerId::from_bytes([n; 32]));
    // The leg of the goldens, and another.
    let seeds = [0x0123_4567_89ab_cdef_u64, 5].map(|leg| {
        let mut seed = [7; 40];
        seed[..8].copy_from_slice(&leg.to_be_bytes());
        seed
    });
    let from = Source::udp("203.0.113.9:4000".parse().expect("an address"), None);
    fuzz!(goldens("datagram_v1", &["relay_"]), |input: &[u8]| {
        let now = Instant::now();
        let mut relay = Relay::new(settings, [9; 32], now);
        relay.open(now, keys, seeds).expect("there is room");
        let mut frame = input.to_vec();
        match modest(input, || relay.receive(now, from, &mut frame)) {
            Verdict::Reply { leg, body, proven } => {
                assert!(!proven && Frame { leg, body }.encode().len() <= input.len());
            }
            Verdict::Drop => {}
            Verdict::Forward { .. } => panic!("forwarded without a proof"),
        }
        assert_eq!(frame, input, "changed and not forwarded");
    });
}

/// What is read of an offer is written the same, but for what nobody knows.
#[test]
fn offer() {
    fuzz!(goldens("datagram_v1", &["offer"]), |input: &[u8]| {
        let Ok(offer) = modest(input, || Offer::decode(input)) else { return };
        assert!(offer.candidates.0.len() <= CANDIDATES_READ_MAX && input.len() <= LETTER_BYTES_MAX);
        let again = offer.encode();
        assert!(again.len() <= LETTER_BYTES_MAX);
        assert_eq!(Offer::decode(&again), Ok(offer));
    });
}
