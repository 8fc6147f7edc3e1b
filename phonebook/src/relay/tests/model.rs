//! Random frames from honest and forging senders, against what a relay may do at most.

use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

/// Few places, so that legs move between them and senders forge each other's.
const PLACES: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    Open(u8, u8),
    /// A frame of this leg from this place: what it is, and its length.
    Bind {
        leg: usize,
        place: usize,
    },
    /// With the newest cookie that reached that place, or an older one; with the right token, or another's.
    Proof {
        leg: usize,
        place: usize,
        of: usize,
        age: usize,
        forged: bool,
    },
    Data {
        leg: usize,
        place: usize,
        length: usize,
    },
    Left(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (leg, place) = (0..8usize, 0..PLACES);
    let step = prop_oneof![
        1 => (0..4u8, 0..4u8).prop_map(|(one, other)| Step::Open(one, other)),
        3 => (leg.clone(), place.clone()).prop_map(|(leg, place)| Step::Bind { leg, place }),
        5 => (leg.clone(), place.clone(), place.clone(), 0..3usize, prop::bool::weighted(0.2)).prop_map(
            // Mostly honest: from where the cookie came to.
            |(leg, place, of, age, forged)| Step::Proof {
                leg, place, of: if age == 0 { place } else { of }, age, forged
            }
        ),
        8 => (leg, place.clone(), 1..1500usize).prop_map(|(leg, place, length)| Step::Data { leg, place, length }),
        1 => place.prop_map(Step::Left),
        2 => (0..40_000u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

fn at_place(number: usize) -> Source {
    match number {
        0..4 => udp(&format!("192.0.2.{number}:{number}000")),
        // Sockets of one network.
        _ => socket(number as u64),
    }
}

struct Model {
    bench: Bench,
    legs: Vec<Granted>,
    /// Cookies that reached each place, with their leg.
    cookies: HashMap<usize, Vec<(Leg, Cookie)>>,
    /// Which places may have proven which leg: a proof with the right token, from where its cookie came to.
    proven: HashSet<(Leg, usize)>,
    used: HashSet<Cookie>,
    /// Bytes from and to each place that has proven no leg.
    balance: HashMap<usize, (usize, usize)>,
    /// Bytes forwarded of each leg, with their time.
    sent: HashMap<Leg, Vec<(Instant, usize)>>,
}

impl Model {
    fn other(&self, leg: Leg) -> Leg {
        let at = self.legs.iter().position(|granted| granted.leg == leg).unwrap();
        self.legs[at ^ 1].leg
    }

    fn run(&mut self, step: &Step) {
        let leg_of = |number: &usize| self.legs.get(*number % self.legs.len().max(1)).cloned();
        match step {
            Step::Open(one, other) => {
                if let Ok(granted) = self.bench.open(*one, *other) {
                    self.legs.extend(granted);
                }
            }
            Step::Bind { leg, place } => {
                if let Some(granted) = leg_of(leg) {
                    self.frame(*place, granted.leg, Body::Bind);
                }
            }
            Step::Proof { leg, place, of, age, forged } => {
                let Some(granted) = leg_of(leg) else { return };
                let known = self.cookies.get(of).into_iter().flatten();
                let Some((_, cookie)) = known.rev().filter(|(of, _)| *of == granted.leg).nth(*age).copied()
                else {
                    return;
                };
                let token = if *forged { Token::new([77; 32]) } else { granted.token.clone() };
                let mac = token.prove(granted.leg, &cookie);
                let verdict = self.frame(*place, granted.leg, Body::Proof { cookie, mac });
                let was_proven = self.proven.contains(&(granted.leg, *place));
                if is_bound(verdict) && !was_proven {
                    assert!(!forged && of == place, "bound by a forged or stolen proof");
                    assert!(self.used.insert(cookie), "bound by a proof that was used");
                }
                if is_bound(verdict) {
                    self.used.insert(cookie);
                    let is_socket = |at: usize| matches!(at_place(at).place, Place::Socket(_));
                    self.proven
                        .retain(|(leg, at)| *leg != granted.leg || is_socket(*at) != is_socket(*place));
                    self.proven.insert((granted.leg, *place));
                }
            }
            Step::Data { leg, place, length } => {
                if let Some(granted) = leg_of(leg) {
                    self.frame(*place, granted.leg, Body::Data(&vec![7; *length]));
                }
            }
            Step::Left(number) => {
                if let Place::Socket(socket) = at_place(*number).place {
                    self.bench.relay.left(socket);
                    self.proven.retain(|(_, at)| at != number);
                }
            }
            Step::Wait(millis) => {
                self.bench.now += Duration::from_millis(*millis);
                self.bench.relay.pass(self.bench.now);
            }
        }
    }

    fn frame(&mut self, at: usize, leg: Leg, body: Body<'_>) -> Verdict {
        let mut frame = Frame { leg, body }.encode();
        let length = frame.len();
        let verdict = self.bench.relay.receive(self.bench.now, at_place(at), &mut frame);
        self.balance.entry(at).or_default().0 += length;
        match verdict {
            Verdict::Forward { to, .. } => {
                let other = self.other(leg);
                assert!(self.proven.contains(&(leg, at)), "forwarded from a place without a proof");
                let to = (0..PLACES).find(|number| at_place(*number).place == to).unwrap();
                assert!(self.proven.contains(&(other, to)), "forwarded to a place without a proof");
                assert_eq!(&frame[..HEADER], header(other));
                assert_eq!(frame.len(), length);
                self.sent.entry(leg).or_default().push((self.bench.now, length));
            }
            Verdict::Reply { leg: told, body, proven } => {
                assert_eq!(told, leg);
                let reply = Frame { leg, body }.encode().len();
                if !proven {
                    assert!(reply <= length, "a reply that amplifies: {body:?}");
                }
                if let Body::Challenge(cookie) = body {
                    self.cookies.entry(at).or_default().push((leg, cookie));
                }
                let balance = self.balance.entry(at).or_default();
                balance.1 += reply;
                if !self.proven.iter().any(|(_, proven)| *proven == at) {
                    assert!(
                        balance.1 <= balance.0,
                        "more bytes to than from a place that has proven nothing"
                    );
                }
            }
            Verdict::Drop => {}
        }
        verdict
    }

    /// Over any time, no more than the burst and the rate.
    fn keeps_its_rate(&self, rate: u64) {
        let burst = (rate / 4).max(64 * 1024) + 2048;
        for sent in self.sent.values() {
            for (from, (start, _)) in sent.iter().enumerate() {
                let mut bytes = 0;
                for (at, length) in &sent[from..] {
                    bytes += *length as u64;
                    let most = burst + (at.duration_since(*start).as_secs_f64() * rate as f64) as u64;
                    assert!(bytes <= most, "{bytes} bytes where {most} may pass");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn nothing_moves_or_amplifies_without_a_proof(steps in steps()) {
        let rate = 20 << 10;
        let settings = Settings {
            rate: Some(rate), holder_rate: Some(50 << 10), whole_rate: None, sessions: 4, holder_sessions: 3,
        };
        let mut model = Model {
            bench: Bench::new(settings),
            legs: Vec::new(),
            cookies: HashMap::new(),
            proven: HashSet::new(),
            used: HashSet::new(),
            balance: HashMap::new(),
            sent: HashMap::new(),
        };
        for step in &steps {
            model.run(step);
        }
        model.keeps_its_rate(rate);
        let bench = &mut model.bench;
        // Whatever happened, it ends by itself.
        let mut rounds = 0;
        while let Some(due) = bench.relay.deadline() {
            bench.now = due.max(bench.now);
            bench.relay.pass(bench.now);
            rounds += 1;
            prop_assert!(rounds < 1000);
        }
        bench.relay.pass(bench.now + Duration::from_secs(3600));
        prop_assert!(bench.relay.is_empty());
    }
}
