//! A flow's estimate of its path: rate, delay when empty, random loss.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The rate is the best of so many rounds, so that one round does not decide.
const ROUNDS: usize = 10;
/// Rounds over which a rate is measured: acknowledgements come in clumps.
const SPAN: usize = 2;
/// Delay beside the path's own: timers, batches and delayed acknowledgements of both ends.
const SLACK: Duration = Duration::from_millis(1);
/// A round lasts a round trip, but at least this.
const ROUND_MIN: Duration = Duration::from_millis(4);
/// How much of the loss counters is kept from one round to the next.
const MEMORY: f64 = 0.9;
/// A queue overflows when long round trips lose so much more than twice the loss of short ones.
const OVERFLOW: f64 = 0.01;
/// Loss up to this is compensated: beyond it the path is broken.
const LOSS_MAX: f64 = 0.25;

#[derive(Debug, Clone)]
pub(super) struct Model {
    /// When rounds ended, and the bytes delivered by then.
    ends: VecDeque<(Instant, f64)>,
    delivered: f64,
    least: Option<(Duration, Instant)>,
    lost: f64,
    counted: f64,
    /// The latest round trip, and the longest recent one.
    last: Duration,
    most: Duration,
    short: Share,
    long: Share,
    pub(super) round: Round,
}

#[derive(Debug, Clone, Copy, Default)]
struct Share {
    lost: f64,
    all: f64,
}

impl Share {
    fn part(self) -> f64 {
        self.lost / (self.all + self.lost).max(1.0)
    }
}

/// The measurements of one round trip.
#[derive(Debug, Clone)]
pub(super) struct Round {
    began: Instant,
    pub(super) acked: f64,
    pub(super) lost: f64,
    pub(super) samples: u32,
    pub(super) least: Option<Duration>,
    /// The application had too little to send at some time.
    pub(super) limited: bool,
    over: bool,
}

impl Round {
    fn new(began: Instant) -> Self {
        Self { began, acked: 0.0, lost: 0.0, samples: 0, least: None, limited: false, over: false }
    }

    pub(super) fn loss(&self) -> f64 {
        self.lost / (self.lost + self.acked).max(1.0)
    }
}

impl Model {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ends: [(now, 0.0)].into(),
            delivered: 0.0,
            least: None,
            lost: 0.0,
            counted: 0.0,
            last: Duration::ZERO,
            most: Duration::ZERO,
            short: Share::default(),
            long: Share::default(),
            round: Round::new(now),
        }
    }

    pub(super) fn acked(&mut self, now: Instant, sent: Instant, bytes: f64, limited: bool) {
        self.delivered += bytes;
        let round = &mut self.round;
        round.acked += bytes;
        round.limited |= limited;
        round.samples += 1;
        let rtt = now.saturating_duration_since(sent);
        round.least = Some(round.least.map_or(rtt, |least| least.min(rtt)));
        self.last = rtt;
        self.most = self.most.max(rtt);
        round.over |= sent >= round.began && now.saturating_duration_since(round.began) >= ROUND_MIN;
        self.half().all += bytes;
        if self.least.is_none_or(|(least, _)| rtt <= least) {
            self.least = Some((rtt, now));
        } else if let Some((least, at)) = &mut self.least
            && rtt <= *least + (*least / 50).max(Duration::from_micros(300))
        {
            // As good as the least: it is still valid.
            *at = now;
        }
    }

    /// The round that just ended, if one did.
    pub(super) fn end_round(&mut self, now: Instant) -> Option<Round> {
        if !self.round.over {
            return None;
        }
        let round = std::mem::replace(&mut self.round, Round::new(now));
        if round.limited && self.rate() > 0.0 {
            // Says nothing about the path; the next round's rate begins here.
            self.shift(now);
        } else {
            self.ends.push_back((now, self.delivered));
            if self.ends.len() > ROUNDS + SPAN {
                self.ends.pop_front();
            }
        }
        Some(round)
    }

    pub(super) fn lost(&mut self, bytes: f64) {
        self.round.lost += bytes;
        self.half().lost += bytes;
    }

    /// The counters for now: of short round trips, or of long ones.
    fn half(&mut self) -> &mut Share {
        let least = self.least.map_or(Duration::ZERO, |(least, _)| least);
        let middle = least + self.most.saturating_sub(least) / 2;
        if self.last > middle { &mut self.long } else { &mut self.short }
    }

    /// Adds a round to the usual loss.
    pub(super) fn count_loss(&mut self, round: &Round) {
        self.lost = self.lost * MEMORY + round.lost;
        self.counted = self.counted * MEMORY + round.lost + round.acked;
        for share in [&mut self.short, &mut self.long] {
            share.lost *= MEMORY;
            share.all *= MEMORY;
        }
        let least = self.least.map_or(Duration::ZERO, |(least, _)| least);
        self.most = least + self.most.saturating_sub(least).mul_f64(0.98);
    }

    /// Losses until now say nothing about queues.
    pub(super) fn forget_loss(&mut self) {
        (self.short, self.long) = Default::default();
        self.most = self.least().unwrap_or_default();
    }

    /// Loss comes with delay, and of more than `least` bytes: a queue overflows. Random loss comes at any time.
    pub(super) fn overflows(&self, least: f64) -> bool {
        self.long.lost >= least && self.long.part() > 2.0 * self.short.part() + OVERFLOW
    }

    /// Removes the time and the bytes since the last end.
    fn shift(&mut self, now: Instant) {
        let Some((last, delivered)) = self.ends.back().copied() else { return };
        let (time, bytes) = (now.saturating_duration_since(last), self.delivered - delivered);
        for (at, count) in &mut self.ends {
            *at += time;
            *count += bytes;
        }
    }

    /// Bytes a second, the best of the last rounds.
    pub(super) fn rate(&self) -> f64 {
        self.rate_of(ROUNDS)
    }

    /// The best of the last `rounds`.
    pub(super) fn rate_of(&self, rounds: usize) -> f64 {
        let skipped = self.ends.len().saturating_sub(rounds + SPAN);
        let ends: Vec<_> = self.ends.iter().skip(skipped).collect();
        let span = SPAN.min(ends.len().saturating_sub(1)).max(1);
        let rate = |from: &(Instant, f64), to: &(Instant, f64)| {
            (to.1 - from.1) / to.0.saturating_duration_since(from.0).as_secs_f64().max(0.000_1)
        };
        ends.iter().zip(ends.iter().skip(span)).map(|(from, to)| rate(from, to)).fold(0.0, f64::max)
    }

    /// The path's own delay, if known.
    pub(super) fn least(&self) -> Option<Duration> {
        self.least.map(|(least, _)| least)
    }

    /// The age of that measurement.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.least.map_or(Duration::ZERO, |(_, at)| now.saturating_duration_since(at))
    }

    pub(super) fn set_least(&mut self, rtt: Duration, now: Instant) {
        self.least = Some((rtt, now));
    }

    /// The lost part of all bytes, over the last rounds.
    pub(super) fn loss(&self) -> f64 {
        (self.lost / self.counted.max(1.0)).min(LOSS_MAX)
    }

    /// Bytes that the path holds without a queue at `rate`, and undetected lost ones.
    pub(super) fn product(&self, rate: f64) -> Option<f64> {
        let rtt = self.least()? + SLACK;
        (rate > 0.0).then(|| rate * rtt.as_secs_f64() * (1.0 + 1.25 * self.loss()))
    }
}
