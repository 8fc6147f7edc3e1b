//! datagram_v1: datagrams that share the QUIC socket and are not QUIC, and what two peers write to each other so that
//! they can probe.

use super::{Example, Reader, check, unhex};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    reaching::{
        candidate::{Candidate, Candidates, Origin},
        nat::Nat,
        wire::{
            offer::Offer,
            probe::{Agreement, Part, Probe},
            relay::{Body, Frame, Leg, Limit, Terms, Token},
            stun::{Request, Response, Transaction},
        },
    },
};
use std::time::Duration;

const TRANSACTION: Transaction = Bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
const LEG: Leg = Leg(0x0123_4567_89ab_cdef);

fn agreement() -> Agreement {
    let side = |n| (PeerId::from_bytes([n; 32]), Bytes([n + 10; 32]));
    Agreement { attempt: Bytes([5; 16]), caller: side(1), callee: side(2) }
}

fn probe(name: &str, sender: Part, probe: Probe) -> Example {
    let receiver = if sender == Part::Caller { Part::Callee } else { Part::Caller };
    let bytes = agreement().keys(sender).0.seal(probe);
    let opener = agreement().keys(receiver).1;
    Example::hex(name, probe, &bytes, move |bytes| {
        opener.open(bytes).map(|authentic| authentic.probe()).ok_or("does not open")
    })
}

/// Read as what it is encoded to again: a frame only points into its bytes.
fn frame(name: &str, body: Body<'_>) -> Example {
    let bytes = Frame { leg: LEG, body }.encode();
    Example::hex(name, bytes.clone(), &bytes, |bytes| Frame::decode(bytes).map(|frame| frame.encode()))
}

fn reads_frame(text: &str) -> Result<(), String> {
    Frame::decode(&unhex(text)).map(drop).map_err(|error| error.to_string())
}

fn reads_offer(text: &str) -> Result<(), String> {
    Offer::decode(&unhex(text)).map(drop).map_err(|error| error.to_string())
}

#[test]
fn datagrams_equal_the_goldens() {
    let response =
        |addr: &str| Response { transaction: TRANSACTION, mapped: addr.parse().expect("an address") };
    let [v4, v6] = ["203.0.113.9:4000", "[2001:db8::5]:4000"].map(response);
    let cookie = Bytes([6; 16]);
    let mac = Token::new([7; 32]).prove(LEG, &cookie);
    let candidate = |origin, addr: &str| Candidate { origin, addr: addr.parse().expect("an address") };
    let offer = Offer {
        secret: Some(Bytes([9; 32])),
        nat: Nat::PerDestination,
        round: 2,
        leaves: 0,
        candidates: Candidates(vec![
            candidate(Origin::Observed, "203.0.113.7:7777"),
            candidate(Origin::Host, "[2001:db8::5]:7778"),
        ]),
    };
    let request = Request { transaction: TRANSACTION };
    let (rate, idle, retry_after) = (512, Duration::from_secs(60), Duration::from_millis(1500));
    let examples = vec![
        Example::hex("stun_request", request, &request.encode(), Request::decode),
        Example::hex("stun_response", v4, &v4.encode(), Response::decode),
        Example::hex("stun_response_v6", v6, &v6.encode(), Response::decode),
        probe("probe_ask", Part::Caller, Probe { number: 1, echo: None, asks: true, to_mapped: false }),
        probe(
            "probe_answer_and_ask",
            Part::Callee,
            Probe { number: 7, echo: Some(1), asks: true, to_mapped: false },
        ),
        probe(
            "probe_answer",
            Part::Caller,
            Probe { number: 2, echo: Some(7), asks: false, to_mapped: false },
        ),
        probe("probe_to_mapped", Part::Caller, Probe { number: 3, echo: None, asks: true, to_mapped: true }),
        frame("relay_data", Body::Data(b"sealed")),
        frame("relay_bind", Body::Bind),
        frame("relay_challenge", Body::Challenge(cookie)),
        frame("relay_proof", Body::Proof { cookie, mac }),
        frame("relay_bound", Body::Bound(Terms { rate, idle })),
        frame("relay_limited", Body::Limited { limit: Limit::Session, retry_after }),
        frame("relay_closed", Body::Closed),
        Example::hex("offer", offer.clone(), &offer.encode(), Offer::decode),
    ];
    let readers: &[(&str, Reader)] = &[("relay_", reads_frame), ("offer", reads_offer)];
    check("datagram_v1", examples, readers);
}
