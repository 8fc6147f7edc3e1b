//! Flows on a simulated bottleneck, under virtual time.

use super::*;
use fyteclub_proto::number::u64_of;
use std::{cmp::Reverse, collections::BinaryHeap};

const PACKET: u64 = 1452;
const MTU: u16 = 1452;
/// To calculate with.
const LEN: f64 = 1452.0;

struct Path {
    rate: f64,
    rtt: Duration,
    loss: f64,
    /// Bytes.
    queue: f64,
    /// Period and length of pauses in which no acknowledgement returns, then all at once: a busy machine.
    stalls: Option<(Duration, Duration)>,
    /// Another rate from then on.
    later: Option<(Duration, f64)>,
}

impl Path {
    fn new(mbit: f64, ms: u64, loss: f64, products: f64) -> Self {
        let rate = mbit * 1e6 / 8.0;
        let rtt = Duration::from_millis(ms);
        let queue = (rate * rtt.as_secs_f64() * products).max(64.0 * LEN);
        Self { rate, rtt, loss, queue, stalls: None, later: None }
    }

    fn back(&self, zero: Instant, known: Instant) -> Instant {
        let Some((every, stall)) = self.stalls else { return known };
        let into = Duration::from_nanos(
            ((known - zero).as_nanos() % every.as_nanos()).try_into().expect("a short run"),
        );
        known + stall.saturating_sub(into)
    }

    fn product(&self) -> f64 {
        self.rate * self.rtt.as_secs_f64()
    }
}

#[derive(Default, Clone)]
struct Seen {
    delivered: f64,
    lost: f64,
    most_in_flight: f64,
    /// The queue's delay at each arrival.
    waits: Vec<Duration>,
}

/// The sender: this flow, or plain CUBIC, which reduces its window after every loss.
enum Sender {
    Ours(Box<Flow>),
    Cubic { window: f64, top: f64, slow: bool, epoch: Cubic, reduced: Instant },
}

impl Sender {
    fn cubic(now: Instant) -> Self {
        let epoch = Cubic::new(now, LEN, LEN, LEN);
        Self::Cubic { window: 10.0 * LEN, top: 0.0, slow: true, epoch, reduced: now }
    }

    fn window(&self) -> f64 {
        match self {
            Self::Ours(flow) => f64_of(flow.window()),
            Self::Cubic { window, .. } => *window,
        }
    }

    fn acked(&mut self, now: Instant, sent: Instant) {
        match self {
            Self::Ours(flow) => {
                flow.acked(now, sent, PACKET, false);
                flow.settle(now);
            }
            Self::Cubic { window, slow: true, .. } => *window += LEN,
            Self::Cubic { window, epoch, .. } => {
                let wanted = epoch.window(now, now - sent, LEN);
                let most = LEN * LEN / *window;
                *window += (wanted - *window).clamp(0.0, 50.0 * most).min(LEN / 2.0);
            }
        }
    }

    fn lost(&mut self, now: Instant, sent: Instant) {
        match self {
            Self::Ours(flow) => flow.lost(now, sent, PACKET, false),
            Self::Cubic { window, top, slow, epoch, reduced } => {
                if sent > *reduced {
                    // Fast convergence (RFC 9438 §4.7).
                    *top = if *window < *top { *window * (1.0 + BETA) / 2.0 } else { *window };
                    *epoch = Cubic::new(now, *window * BETA, *top, LEN);
                    *window = (*window * BETA).max(2.0 * LEN);
                    *slow = false;
                    *reduced = now;
                }
            }
        }
    }
}

/// Runs senders, each from its own start, for this long; returns each one's results after `from`.
fn run(
    zero: Instant,
    path: &Path,
    senders: Vec<(Duration, Sender)>,
    whole: Duration,
    from: Duration,
) -> Vec<Seen> {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Event {
        Send(usize),
        /// Sender, time of sending, arrived or lost.
        Back(usize, Instant, bool),
    }
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut chance = || {
        noise ^= noise >> 12;
        noise ^= noise << 25;
        noise ^= noise >> 27;
        f64_of(noise.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) / f64_of(1 << 53)
    };
    let mut events: BinaryHeap<Reverse<(Instant, u64, Event)>> = BinaryHeap::new();
    let mut number = 0;
    let mut seen = vec![Seen::default(); senders.len()];
    let mut senders: Vec<Sender> = senders
        .into_iter()
        .enumerate()
        .map(|(n, (start, sender))| {
            events.push(Reverse((zero + start, u64_of(n), Event::Send(n))));
            number += 1;
            sender
        })
        .collect();
    let mut in_flight = vec![0.0; senders.len()];
    let mut smooth = vec![path.rtt; senders.len()];
    let mut idle = vec![false; senders.len()];
    let mut free = zero;
    while let Some(Reverse((now, _, event))) = events.pop() {
        if now > zero + whole {
            break;
        }
        let rate = path.later.filter(|(at, _)| now > zero + *at).map_or(path.rate, |(_, rate)| rate);
        let counts = now > zero + from;
        let who = match event {
            Event::Send(who) => who,
            Event::Back(who, sent, arrived) => {
                in_flight[who] -= LEN;
                if arrived {
                    smooth[who] = smooth[who].mul_f64(7.0 / 8.0) + (now - sent) / 8;
                    senders[who].acked(now, sent);
                } else {
                    senders[who].lost(now, sent);
                }
                if counts {
                    *(if arrived { &mut seen[who].delivered } else { &mut seen[who].lost }) += LEN;
                }
                if !std::mem::take(&mut idle[who]) {
                    continue;
                }
                who
            }
        };
        if in_flight[who] + LEN > senders[who].window() {
            idle[who] = true;
            continue;
        }
        in_flight[who] += LEN;
        if counts {
            seen[who].most_in_flight = seen[who].most_in_flight.max(in_flight[who]);
        }
        let wait = free.saturating_duration_since(now);
        number += 1;
        if wait.as_secs_f64() * rate > path.queue {
            // Detected by the packets behind it, a round trip later.
            let known = now + wait + path.rtt + path.rtt / 8;
            events.push(Reverse((known, number, Event::Back(who, now, false))));
        } else {
            free = free.max(now) + Duration::from_secs_f64(LEN / rate);
            if counts {
                seen[who].waits.push(wait);
            }
            let arrived = chance() >= path.loss;
            let known = free + path.rtt + if arrived { Duration::ZERO } else { path.rtt / 8 };
            let known = path.back(zero, known);
            events.push(Reverse((known, number, Event::Back(who, now, arrived))));
        }
        // quinn's pacing: a quarter above a window a round trip.
        let pause = smooth[who].as_secs_f64() * LEN / (1.25 * senders[who].window());
        number += 1;
        events.push(Reverse((now + Duration::from_secs_f64(pause), number, Event::Send(who))));
    }
    seen
}

fn alone(path: &Path, whole: u64, from: u64) -> Seen {
    let zero = Instant::now();
    let flow = Sender::Ours(Box::new(Flow::new(MTU, zero)));
    run(zero, path, vec![(Duration::ZERO, flow)], secs(whole), secs(from)).swap_remove(0)
}

/// Two flows, one a second after the other, for 40 s: the second's bytes as a multiple of the first's in the last 30.
fn ratio(path: &Path, make: [fn(Instant) -> Sender; 2], late: usize) -> f64 {
    let zero = Instant::now();
    let start = |n| if n == late { secs(1) } else { Duration::ZERO };
    let senders = make.iter().enumerate().map(|(n, make)| (start(n), make(zero))).collect();
    let seen = run(zero, path, senders, secs(40), secs(10));
    seen[1].delivered / seen[0].delivered
}

fn ours(zero: Instant) -> Sender {
    Sender::Ours(Box::new(Flow::new(MTU, zero)))
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn random_loss_does_not_slow_a_path_down() {
    for (mbit, ms) in [(10.0, 20), (10.0, 150), (100.0, 20)] {
        for (loss, least) in [(0.0, 0.9), (0.01, 0.9), (0.05, 0.85)] {
            let path = Path::new(mbit, ms, loss, 1.0);
            let got = alone(&path, 10, 2).delivered / (path.rate * 8.0);
            assert!(got > least, "{mbit} Mbit, {ms} ms, loss {loss}: {got:.3} of the line");
        }
    }
}

#[test]
fn lone_flow_keeps_the_queue_short() {
    for (mbit, ms) in [(10.0, 50), (10.0, 150), (100.0, 20)] {
        let path = Path::new(mbit, ms, 0.0, 8.0);
        let mut seen = alone(&path, 15, 3);
        assert_eq!(seen.lost, 0.0, "{mbit} Mbit, {ms} ms");
        let most = seen.most_in_flight / path.product();
        assert!(most < 2.0, "{mbit} Mbit, {ms} ms: {most:.2} products in flight");
        seen.waits.sort();
        let wait = seen.waits[seen.waits.len() / 2];
        assert!(wait < path.rtt * 3 / 5, "{mbit} Mbit, {ms} ms: {wait:?}");
    }
}

#[test]
fn two_flows_converge() {
    for (mbit, ms, queue) in
        [(10.0, 20, 1.0), (10.0, 50, 1.0), (10.0, 150, 1.0), (10.0, 50, 4.0), (50.0, 20, 1.0)]
    {
        let got = ratio(&Path::new(mbit, ms, 0.0, queue), [ours, ours], 1);
        assert!((0.5..2.0).contains(&got), "{mbit} Mbit, {ms} ms, queue {queue}: {got:.2}");
    }
}

#[test]
fn flow_and_cubic_share_a_path() {
    for (mbit, ms, queue) in
        [(10.0, 20, 1.0), (10.0, 50, 1.0), (10.0, 50, 4.0), (50.0, 20, 1.0), (50.0, 50, 0.25)]
    {
        for late in [0, 1] {
            let got = ratio(&Path::new(mbit, ms, 0.0, queue), [Sender::cubic, ours], late);
            assert!(
                (0.3..3.0).contains(&got),
                "{mbit} Mbit, {ms} ms, queue {queue}, {late} is late: {got:.2}"
            );
        }
    }
}

#[test]
fn queue_that_overflows_before_it_shows_is_detected() {
    // 5 ms of queue at 50 ms: less than what counts as noise.
    let path = Path::new(50.0, 50, 0.0, 0.1);
    let seen = alone(&path, 15, 3);
    let lost = seen.lost / (seen.lost + seen.delivered);
    assert!(lost < 0.01, "{lost:.4} of all is lost");
    let got = seen.delivered / (path.rate * 12.0);
    assert!(got > 0.8, "{got:.3} of the line");
}

#[test]
fn window_follows_a_path_that_changes_its_rate() {
    for (from, to) in [(20.0, 5.0), (5.0, 20.0)] {
        let mut path = Path::new(from, 50, 0.01, 4.0);
        path.later = Some((secs(10), to * 1e6 / 8.0));
        let mut seen = alone(&path, 30, 20);
        let got = seen.delivered / (to * 1e6 / 8.0 * 10.0);
        assert!(got > 0.85, "{from} to {to} Mbit: {got:.3} of the line");
        seen.waits.sort();
        let wait = seen.waits[seen.waits.len() / 2];
        assert!(wait < path.rtt, "{from} to {to} Mbit: {wait:?}");
    }
}

#[test]
fn stalled_machine_is_not_taken_for_an_overflow() {
    for (mbit, ms, loss) in [(100.0, 20, 0.0), (100.0, 20, 0.01), (10.0, 50, 0.01), (100.0, 20, 0.05)] {
        let mut path = Path::new(mbit, ms, loss, 1.0);
        path.stalls = Some((Duration::from_millis(370), Duration::from_millis(40)));
        let got = alone(&path, 15, 3).delivered / (path.rate * 12.0);
        assert!(got > 0.7, "{mbit} Mbit, {ms} ms, loss {loss}: {got:.3} of the line");
    }
}

#[test]
fn sender_without_data_learns_nothing() {
    let zero = Instant::now();
    let mut flow = Flow::new(MTU, zero);
    for n in 1..1000 {
        let now = zero + Duration::from_millis(20 * n);
        flow.acked(now, now - Duration::from_millis(20), PACKET, true);
        flow.settle(now);
    }
    assert_eq!(flow.window(), INITIAL_WINDOW);
}

#[test]
fn dead_path_gets_four_packets() {
    let zero = Instant::now();
    let mut flow = Flow::new(MTU, zero);
    let now = zero + secs(1);
    flow.lost(now, zero + Duration::from_millis(1), 20 * PACKET, true);
    assert_eq!(flow.window(), 4 * PACKET);
}

#[test]
fn ecn_mark_ends_the_doubling() {
    let zero = Instant::now();
    let mut flow = Flow::new(MTU, zero);
    flow.lost(zero + secs(1), zero + Duration::from_millis(1), 0, false);
    assert!(flow.window() < INITIAL_WINDOW);
}
