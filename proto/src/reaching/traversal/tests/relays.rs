//! The leg at a relay: bound, kept, challenged again, refused, and replaced by a WebSocket.

use super::*;
use crate::reaching::wire::relay::{Cookie, Terms};

const LEG: Leg = Leg(9);
const COOKIE: Cookie = Bytes([3; 16]);
const BOUND: Reply = Reply::Bound(Terms { rate: 100, idle: Duration::from_secs(60) });

fn relayed() -> Path {
    Path::Relay { relay: addr(RELAY), leg: LEG }
}

/// A callee with a leg that is not bound yet.
fn granted() -> Bench {
    let mut bench = Bench::punching(Nat::Same, &[]);
    bench.give(Input::Granted(grant()));
    bench
}

fn reply(reply: Reply) -> Input {
    Input::Replied { leg: LEG, reply }
}

/// Kinds of the frames so far, without their times.
fn bodies(bench: &Bench) -> Vec<Body<'_>> {
    bench.frames.iter().map(|(_, frame)| Frame::decode(frame).expect("a frame").body).collect()
}

#[test]
fn leg_is_bound_by_proof_and_probed_at_once() {
    let mut bench = granted();
    assert_eq!(bodies(&bench), [Body::Bind]);
    bench.run(100);
    bench.give(reply(Reply::Challenge(COOKIE)));
    let mac = grant().token.prove(LEG, &COOKIE);
    assert_eq!(bodies(&bench).last(), Some(&Body::Proof { cookie: COOKIE, mac }));
    assert_eq!(bench.sent_to(relayed()).len(), 1, "the probe follows the proof");
    bench.run(200);
    bench.answer(relayed(), relayed());
    assert_eq!(bench.chosen(), Some(relayed()));
    assert!(matches!(bench.traversal.status(), Status::Relayed(Kind::Relay, _)));
}

#[test]
fn lost_frames_are_repeated_and_the_leg_is_kept() {
    let mut bench = granted();
    bench.run(1100);
    let times: Vec<u64> = bench.frames.iter().map(|(ms, _)| *ms).collect();
    assert_eq!(times, [0, 150, 450, 1050]);
    bench.give(reply(Reply::Challenge(COOKIE)));
    bench.give(reply(Reply::Challenge(COOKIE)));
    assert_eq!(bench.frames.len(), 5, "one proof answers both");
    bench.give(reply(BOUND));
    bench.run(23_000);
    assert_eq!(bench.frames.len(), 5);
    bench.run(2000);
    assert_eq!(bodies(&bench).last(), Some(&Body::Bind));
}

#[test]
fn silent_relay_is_tried_over_tcp() {
    let mut bench = granted();
    let opens = |bench: &Bench| bench.other.contains(&Output::OpenTcp(LEG));
    bench.run(590);
    assert!(!opens(&bench));
    bench.run(20);
    assert!(opens(&bench));
    bench.give(Input::Tcp { leg: LEG, open: true });
    let path = Path::RelayTcp { leg: LEG };
    bench.answer(path, path);
    assert_eq!(bench.chosen(), Some(path));
    // UDP gets through later: the WebSocket is closed after a while.
    bench.give(reply(Reply::Challenge(COOKIE)));
    bench.give(reply(BOUND));
    bench.answer(relayed(), relayed());
    assert_eq!(bench.chosen(), Some(relayed()));
    for _ in 0..400 {
        bench.run(100);
        bench.answer(relayed(), relayed());
    }
    assert!(bench.other.contains(&Output::CloseTcp(LEG)));
}

#[test]
fn relay_that_replies_needs_no_tcp() {
    let mut bench = granted();
    bench.run(500);
    bench.give(reply(Reply::Challenge(COOKIE)));
    bench.give(reply(BOUND));
    bench.run(20_000);
    assert!(!bench.other.contains(&Output::OpenTcp(LEG)));
}

#[test]
fn blocked_udp_opens_tcp_at_once() {
    let mut bench = Bench::punching(Nat::Same, &[]);
    bench.give(Input::Outside { addr: None, nat: Nat::Blocked });
    bench.give(Input::Granted(grant()));
    bench.run(10);
    assert!(bench.other.contains(&Output::OpenTcp(LEG)));
}

#[test]
fn unknown_leg_is_replaced() {
    let mut bench = granted();
    bench.give(reply(Reply::Challenge(COOKIE)));
    bench.give(reply(BOUND));
    bench.answer(relayed(), relayed());
    bench.give(reply(Reply::Closed));
    bench.give(reply(Reply::Closed));
    assert_eq!(bench.other.iter().filter(|output| **output == Output::FindRelay).count(), 1);
    let other = Grant { leg: Leg(10), ..grant() };
    bench.give(Input::Granted(other));
    assert_eq!(bench.chosen(), None, "the path over the former leg is gone");
    let before = bench.frames.len();
    bench.give(reply(Reply::Challenge(COOKIE)));
    assert_eq!(bench.frames.len(), before, "and its relay is not heard any more");
}

#[test]
fn probe_over_a_foreign_leg_is_ignored() {
    let mut bench = granted();
    bench.probe(Path::Relay { relay: addr(RELAY), leg: Leg(77) }, None, true);
    bench.probe(Path::Relay { relay: addr("198.51.100.1:1"), leg: LEG }, None, true);
    bench.probe(Path::RelayTcp { leg: Leg(77) }, None, true);
    assert!(bench.sent.is_empty());
}

#[test]
fn limits_are_told() {
    let mut bench = granted();
    let limited = (crate::reaching::wire::relay::Limit::Session, Duration::from_secs(2));
    bench.give(reply(Reply::Limited { limit: limited.0, retry_after: limited.1 }));
    let told = Output::Limited { limit: limited.0, retry_after: limited.1 };
    assert!(bench.other.contains(&told));
}

#[test]
fn relay_only_machine_tells_and_answers_nobody() {
    let mut bench = Bench::of(Introduction { relay_only: true, ..introduction(Part::Callee) });
    bench.give(Input::Outside { addr: Some(addr("198.51.100.7:7")), nat: Nat::Same });
    bench.give(Input::Offered(offer(
        0,
        Nat::Same,
        &[(Origin::Observed, PEER), (Origin::Host, "10.0.0.7:7")],
    )));
    bench.give(Input::Granted(grant()));
    bench.probe(direct(PEER), None, true);
    bench.give(Input::Moved);
    bench.run(200_000);
    assert!(bench.sent.iter().all(|(_, path, ..)| !path.is_direct()));
    assert!(bench.told().iter().all(|offer| offer.candidates.0.is_empty()));
}
