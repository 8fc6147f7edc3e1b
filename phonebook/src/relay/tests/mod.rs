//! The relay under virtual time.

mod model;

use super::*;
use fyteclub_proto::bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const UNLIMITED: Settings =
    Settings { rate: None, holder_rate: None, whole_rate: None, sessions: 100, holder_sessions: 100 };

fn key(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn udp(text: &str) -> Source {
    Source::udp(text.parse().unwrap(), Some(LOCAL))
}

fn socket(number: u64) -> Source {
    Source { place: Place::Socket(number), network: Network::V4(7), local: None }
}

struct Bench {
    relay: Relay,
    now: Instant,
    seeds: u32,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let now = Instant::now();
        Self { relay: Relay::new(settings, [9; 32], now), now, seeds: 0 }
    }

    fn open(&mut self, one: u8, other: u8) -> Result<[Granted; 2], Refused> {
        let seeds = [1, 2].map(|more| {
            let mut seed = [7; 40];
            seed[..4].copy_from_slice(&(self.seeds + more).to_be_bytes());
            seed[8..12].copy_from_slice(&(self.seeds + more).to_be_bytes());
            seed
        });
        self.seeds += 2;
        self.relay.open(self.now, [key(one), key(other)], seeds)
    }

    fn send(&mut self, from: Source, leg: Leg, body: Body<'_>) -> Verdict {
        let mut frame = Frame { leg, body }.encode();
        self.relay.receive(self.now, from, &mut frame)
    }

    fn challenge(&mut self, from: Source, leg: Leg) -> Cookie {
        match self.send(from, leg, Body::Bind) {
            Verdict::Reply { body: Body::Challenge(cookie), leg: told, proven: false } if told == leg => {
                cookie
            }
            other => panic!("{other:?}"),
        }
    }

    fn prove(&mut self, from: Source, granted: &Granted, cookie: Cookie) -> Verdict {
        let mac = granted.token.prove(granted.leg, &cookie);
        self.send(from, granted.leg, Body::Proof { cookie, mac })
    }

    fn bind(&mut self, from: Source, granted: &Granted) {
        let cookie = self.challenge(from, granted.leg);
        let verdict = self.prove(from, granted, cookie);
        assert!(is_bound(verdict), "{verdict:?}");
    }

    /// A payload of so many bytes, and where it goes.
    fn data(&mut self, from: Source, leg: Leg, length: usize) -> Verdict {
        self.send(from, leg, Body::Data(&vec![1; length]))
    }
}

fn to_udp(text: &str) -> Verdict {
    Verdict::Forward { to: Place::Udp(text.parse().unwrap()), local: Some(LOCAL) }
}

fn is_bound(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Reply { body: Body::Bound(_), proven: true, .. })
}

fn is_challenge(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Reply { body: Body::Challenge(_), proven: false, .. })
}

fn is_closed(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Reply { body: Body::Closed, proven: false, .. })
}

const A: &str = "192.0.2.1:1000";
const B: &str = "[2001:db8::2]:2000";

#[test]
fn payloads_pass_once_both_legs_are_proven() {
    let mut bench = Bench::new(UNLIMITED);
    let [a, b] = bench.open(1, 2).unwrap();
    assert!(is_challenge(bench.data(udp(A), a.leg, 100)), "not proven");
    bench.bind(udp(A), &a);
    assert_eq!(bench.data(udp(A), a.leg, 100), Verdict::Drop, "the other leg is not bound");
    bench.bind(udp(B), &b);
    let mut frame = Frame { leg: a.leg, body: Body::Data(b"sealed") }.encode();
    assert_eq!(bench.relay.receive(bench.now, udp(A), &mut frame), to_udp(B));
    assert_eq!(Frame::decode(&frame), Ok(Frame { leg: b.leg, body: Body::Data(b"sealed") }));
    assert_eq!(bench.data(udp(B), b.leg, 1), to_udp(A));
    let counts = bench.relay.counts();
    assert_eq!((counts.forwarded, counts.alone), (2, 1));
}

#[test]
fn proof_needs_token_leg_address_and_works_once() {
    let mut bench = Bench::new(UNLIMITED);
    let [a, b] = bench.open(1, 2).unwrap();
    let cookie = bench.challenge(udp(A), a.leg);
    let other_token = Granted { leg: a.leg, token: b.token.clone() };
    assert_eq!(bench.prove(udp(A), &other_token, cookie), Verdict::Drop, "forged");
    assert!(is_challenge(bench.prove(udp(B), &a, cookie)), "from another address");
    assert!(is_challenge(bench.prove(udp(A), &b, cookie)), "for another leg");
    assert!(is_bound(bench.prove(udp(A), &a, cookie)));
    assert!(is_bound(bench.prove(udp(A), &a, cookie)), "the answer was lost");
    // The leg moves; then somebody sends the recorded proof from the forged old address.
    bench.bind(udp(B), &a);
    assert!(is_challenge(bench.prove(udp(A), &a, cookie)), "replayed");
    bench.bind(udp("192.0.2.9:9"), &b);
    assert_eq!(bench.data(udp("192.0.2.9:9"), b.leg, 10), to_udp(B));
    assert_eq!(bench.relay.counts().forged, 1);
}

#[test]
fn cookie_is_valid_for_two_periods_at_most() {
    let mut bench = Bench::new(UNLIMITED);
    let [a, _] = bench.open(1, 2).unwrap();
    let cookie = bench.challenge(udp(A), a.leg);
    bench.now += Duration::from_secs(20);
    assert!(is_challenge(bench.prove(udp(A), &a, cookie)));
    let cookie = bench.challenge(udp(A), a.leg);
    bench.now += Duration::from_secs(10);
    assert!(is_bound(bench.prove(udp(A), &a, cookie)));
}

#[test]
fn unproven_sender_gets_no_more_than_it_sent() {
    let mut bench = Bench::new(UNLIMITED);
    let [a, _] = bench.open(1, 2).unwrap();
    let (cookie, mac) = (Bytes([1; 16]), Bytes([2; 16]));
    for leg in [a.leg, Leg(77)] {
        for body in [
            Body::Bind,
            Body::Proof { cookie, mac },
            Body::Data(&[1]),
            Body::Data(&[1; 15]),
            Body::Data(&[1; 1200]),
        ] {
            let sent = Frame { leg, body }.encode().len();
            let verdict = bench.send(udp(A), leg, body);
            let got = match verdict {
                Verdict::Reply { leg, body, proven } => {
                    assert!(!proven);
                    Frame { leg, body }.encode().len()
                }
                Verdict::Drop => 0,
                Verdict::Forward { .. } => panic!("{verdict:?}"),
            };
            assert!(got <= sent, "{body:?} {got}");
        }
    }
    for body in [Body::Challenge(cookie), Body::Closed] {
        assert_eq!(bench.send(udp(A), a.leg, body), Verdict::Drop, "what relays send");
    }
    assert_eq!(bench.relay.receive(bench.now, udp(A), &mut [0x0e; 9]), Verdict::Drop);
}

#[test]
fn leg_has_a_udp_way_and_a_socket_and_answers_follow() {
    let mut bench = Bench::new(UNLIMITED);
    let [a, b] = bench.open(1, 2).unwrap();
    bench.bind(udp(A), &a);
    bench.bind(udp(B), &b);
    bench.bind(socket(5), &a);
    let by_socket = Verdict::Forward { to: Place::Socket(5), local: None };
    let by_udp = to_udp(A);
    assert_eq!(bench.data(udp(B), b.leg, 10), by_socket, "proven last");
    bench.data(udp(A), a.leg, 10);
    assert_eq!(bench.data(udp(B), b.leg, 10), by_udp);
    bench.data(socket(5), a.leg, 10);
    assert_eq!(bench.data(udp(B), b.leg, 10), by_socket);
    bench.relay.left(5);
    assert_eq!(bench.data(udp(B), b.leg, 10), by_udp, "the socket closed");
    // Over UDP nothing comes any more, and the socket is the only one.
    bench.bind(socket(6), &a);
    bench.now += Duration::from_secs(59);
    bench.data(socket(6), a.leg, 10);
    assert!(is_bound(bench.send(udp(B), b.leg, Body::Bind)));
    bench.now += Duration::from_secs(1);
    bench.relay.left(6);
    assert_eq!(bench.data(udp(B), b.leg, 10), Verdict::Drop, "the UDP way is silent for too long");
}

#[test]
fn session_ends_when_a_leg_is_silent() {
    let mut bench = Bench::new(UNLIMITED);
    let [a, b] = bench.open(1, 2).unwrap();
    bench.bind(udp(A), &a);
    bench.bind(socket(5), &b);
    assert!(bench.relay.knows(5));
    for _ in 0..10 {
        bench.now += IDLE / 2;
        bench.relay.pass(bench.now);
        assert!(
            is_bound(bench.send(udp(A), a.leg, Body::Bind))
                && is_bound(bench.send(socket(5), b.leg, Body::Bind))
        );
    }
    let due = bench.relay.deadline().unwrap();
    assert!(due > bench.now && due <= bench.now + IDLE);
    bench.now += IDLE / 2;
    assert!(is_bound(bench.send(udp(A), a.leg, Body::Bind)));
    bench.now += IDLE / 2;
    bench.relay.pass(bench.now);
    assert!(is_closed(bench.send(udp(A), a.leg, Body::Bind)), "the other leg was silent");
    assert!(bench.relay.is_empty() && bench.relay.deadline().is_none() && !bench.relay.knows(5));
}

#[test]
fn limits_are_told_by_their_kind() {
    let kib = |count: u64| Some(count << 10);
    let slow = Settings { rate: kib(1024), ..UNLIMITED };
    for (settings, expected) in [
        (slow, Limit::Session),
        (Settings { holder_rate: kib(1024), ..UNLIMITED }, Limit::Holder),
        (Settings { whole_rate: kib(1024), ..UNLIMITED }, Limit::Full),
    ] {
        let mut bench = Bench::new(settings);
        let [a, b] = bench.open(1, 2).unwrap();
        bench.bind(udp(A), &a);
        bench.bind(udp(B), &b);
        let mut passed = 0;
        let told = loop {
            match bench.data(udp(A), a.leg, 1014) {
                Verdict::Forward { .. } => passed += 1,
                Verdict::Reply { body: Body::Limited { limit, retry_after }, proven: true, .. } => {
                    assert_eq!(limit, expected);
                    break retry_after;
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(passed, 256, "a quarter of a second");
        assert_eq!(bench.data(udp(A), a.leg, 1014), Verdict::Drop, "told once in a while");
        bench.now += told;
        assert!(matches!(bench.data(udp(A), a.leg, 1014), Verdict::Forward { .. }));
        let back = bench.data(udp(B), b.leg, 1014);
        let is_free = matches!(back, Verdict::Forward { .. });
        assert_eq!(is_free, expected != Limit::Full, "each direction, key and network for itself: {back:?}");
    }
    let Verdict::Reply { body: Body::Bound(terms), .. } = ({
        let mut bench = Bench::new(slow);
        let [a, _] = bench.open(1, 2).unwrap();
        bench.bind(udp(A), &a);
        bench.send(udp(A), a.leg, Body::Bind)
    }) else {
        panic!("not bound")
    };
    assert_eq!(terms, Terms { rate: 1024, idle: IDLE }, "announced");
}

#[test]
fn sessions_of_relay_key_and_network_are_bounded() {
    let mut bench = Bench::new(Settings { sessions: 3, holder_sessions: 2, ..UNLIMITED });
    let refused = |limit| Err(Refused { limit, retry_after: RETRY_AFTER });
    let [a, _] = bench.open(1, 2).unwrap();
    let [c, _] = bench.open(1, 3).unwrap();
    assert_eq!(bench.open(4, 1), refused(Limit::Holder), "the callee's too");
    let [d, _] = bench.open(4, 5).unwrap();
    assert_eq!(bench.open(6, 7), refused(Limit::Full));
    bench.bind(udp("192.0.2.1:1"), &a);
    bench.bind(udp("192.0.2.1:2"), &c);
    let cookie = bench.challenge(udp("192.0.2.1:3"), d.leg);
    let full = bench.prove(udp("192.0.2.1:3"), &d, cookie);
    assert!(
        matches!(
            full,
            Verdict::Reply { body: Body::Limited { limit: Limit::Holder, .. }, proven: false, .. }
        ),
        "{full:?}"
    );
    bench.bind(udp("192.0.2.2:3"), &d);
    // A leg that moves within its network takes no second place.
    bench.bind(udp("192.0.2.1:9"), &a);
    bench.now += IDLE;
    assert!(bench.open(6, 7).is_ok(), "what ended makes room");
}

#[test]
fn socket_has_few_legs() {
    let mut bench = Bench::new(UNLIMITED);
    for number in 0..LEGS_MAX {
        let [a, _] = bench.open(1, 2 + u8::try_from(number).unwrap()).unwrap();
        bench.bind(socket(5), &a);
    }
    let [a, _] = bench.open(1, 100).unwrap();
    let cookie = bench.challenge(socket(5), a.leg);
    let full = bench.prove(socket(5), &a, cookie);
    assert!(matches!(full, Verdict::Reply { body: Body::Limited { .. }, .. }), "{full:?}");
    bench.bind(socket(6), &a);
}
