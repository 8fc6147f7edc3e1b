//! The rules: when a window grows, and when it shrinks.
//!
//! Loss is weak evidence: a radio loses at random. Delay is stronger: a packet that took longer than the path's own
//! delay waited in a queue, filled by this flow or another. Alone on the path, the window is the product of rate and
//! delay, probes a little more, and steps back as soon as a queue shows ([`Phase::Cruise`]). If the queue stays after
//! the step, another flow fills it; then the window is CUBIC's, as theirs ([`Phase::Compete`]). Now and then it dips,
//! to measure the path's own delay and whether the other flow has gone.

use super::{
    cubic::{BETA, Cubic},
    model::{Model, Round},
};
use fyteclub_proto::number::{f64_of, whole};
use std::time::{Duration, Instant};

/// The first flight: 200 KB of small files within two round trips instead of five.
pub const INITIAL_WINDOW: u64 = 128 * 1024;

/// At least so many packets, to keep acknowledgements coming.
const WINDOW_MIN: u64 = 4;
/// A flow tolerates a queue of this many times the root of its packets in flight: a flow with a smaller share tolerates
/// a longer queue, so flows that share a path converge,
const KNEE_PART: f64 = 4.0;
/// and at least this, the noise of timers and radios.
const KNEE_MIN: Duration = Duration::from_millis(5);
/// A queue is believed after so many consecutive packets (HyStart++, RFC 9406).
const SAMPLES: u32 = 8;
/// The start ends after so many rounds that gained less than a quarter.
const FLAT_ROUNDS: u32 = 3;
/// Rounds without an empty queue after which it counts as another flow's; after half of them the window is cut far.
const STANDING_ROUNDS: u32 = 10;
const DEEP_STEP: f64 = 0.75;
/// How much a round raises the ceiling of a hidden queue.
const CEILING_RISE: f64 = 1.01;
/// Lost packets among long round trips from which on a queue counts as overflowing.
const OVERFLOW_PACKETS: f64 = 4.0;
/// A queue is empty when it adds at most this part of the path's delay, or the noise.
const CLEAR_PART: u32 = 8;
/// Rounds with an empty queue until the other flows count as gone.
const EMPTY_ROUNDS: u32 = 4;
/// The part of a packet that each acknowledged one adds while the others' share is unknown.
const RAMP: f64 = 2.0;
/// What remains after a loss among others: more than theirs, because they do not dip.
const KEEP: f64 = 0.8;
/// Loss above twice the usual loss and this is not chance.
const LOSS_EXCESS: f64 = 0.02;
/// What remains of the product when a queue shows, and of the window when it overflows unseen.
const STEP_BACK: f64 = 0.95;
const GIVE_WAY: f64 = 0.7;
/// The same in the start, without a usual loss.
const LOSS_START: f64 = 0.2;
/// The path's own delay is measured after so long; sooner while competing.
const DIP_CRUISING: Duration = Duration::from_secs(10);
const DIP_COMPETING: Duration = Duration::from_secs(10);
/// A least delay that was not seen for so long belongs to another path.
const LEAST_FORGOTTEN: Duration = Duration::from_secs(30);

/// One path's window. Times must not go backwards; bytes are those of packets with their headers.
#[derive(Debug, Clone)]
pub struct Flow {
    window: f64,
    mtu: f64,
    model: Model,
    phase: Phase,
    /// Packets sent before were sent with a larger window: their losses reduce nothing again.
    reduced: Instant,
    dipped: Instant,
}

#[derive(Debug, Clone)]
enum Phase {
    /// Doubles each round trip until there is a queue, or no gain. `queued`: since when every packet waited in one, and
    /// how many.
    Start {
        best: f64,
        flat: u32,
        queued: Option<(Instant, u32)>,
    },
    Cruise(Cruise),
    Compete(Compete),
    Dip {
        rounds: u32,
        began: Instant,
        least: Option<Duration>,
        then: Then,
    },
}

impl Phase {
    const START: Self = Self::Start { best: 0.0, flat: 0, queued: None };
}

/// Alone, as far as is known.
#[derive(Debug, Clone, Copy)]
struct Cruise {
    /// Consecutive rounds in which the window grew.
    empty: i32,
    /// Rounds since the queue was last seen empty,
    standing: u32,
    /// and the largest window in them.
    before: f64,
    /// The window at which a queue overflowed before it was long enough to show.
    ceiling: f64,
}

impl Cruise {
    const NEW: Self = Self { empty: 0, standing: 0, before: 0.0, ceiling: f64::INFINITY };
}

/// Among others.
#[derive(Debug, Clone, Copy)]
struct Compete {
    /// `None` until the first loss: the share is searched as at the start.
    cubic: Option<Cubic>,
    /// Consecutive rounds without a queue.
    empty: u32,
    /// The longest and the shortest recent round trips: the queue full, and as empty as the others leave it.
    most: Duration,
    least: Duration,
}

/// The phase after a dip.
#[derive(Debug, Clone, Copy)]
enum Then {
    Cruise,
    Compete(Compete, f64),
}

impl Flow {
    pub fn new(mtu: u16, now: Instant) -> Self {
        Self {
            window: f64_of(INITIAL_WINDOW),
            mtu: f64::from(mtu),
            model: Model::new(now),
            phase: Phase::START,
            reduced: now,
            dipped: now,
        }
    }

    /// Bytes that may be in flight.
    pub fn window(&self) -> u64 {
        whole(self.window).max(WINDOW_MIN * whole(self.mtu))
    }

    pub fn resize_packets(&mut self, mtu: u16) {
        self.mtu = f64::from(mtu);
    }

    /// A packet was acknowledged. `limited`: there was too little to send to fill the window.
    pub fn acked(&mut self, now: Instant, sent: Instant, bytes: u64, limited: bool) {
        let bytes = f64_of(bytes);
        self.model.acked(now, sent, bytes, limited);
        let rtt = now.saturating_duration_since(sent);
        let clear = self.clear(Some(rtt));
        let patience = self.noise();
        match &mut self.phase {
            Phase::Start { queued, .. } => {
                let (since, samples) = match queued.take() {
                    Some((since, samples)) if !clear => *queued.insert((since, samples + 1)),
                    _ if !clear => *queued.insert((now, 1)),
                    _ => (now, 0),
                };
                if samples >= SAMPLES && now.saturating_duration_since(since) >= patience {
                    self.cruise(now);
                } else if !limited {
                    self.window += bytes;
                }
            }
            Phase::Compete(compete) if !limited => {
                compete.most = compete.most.max(rtt);
                match compete.cubic {
                    Some(cubic) => {
                        let wanted = cubic.window(now, rtt, self.mtu);
                        // Half a packet for each, at most, as CUBIC does.
                        self.window += (wanted - self.window).clamp(0.0, bytes / 2.0);
                    }
                    None => self.window += bytes / RAMP,
                }
            }
            Phase::Compete(_) | Phase::Cruise(_) | Phase::Dip { .. } => {}
        }
    }

    /// All packets of one acknowledgement were reported.
    pub fn settle(&mut self, now: Instant) {
        let usual = self.model.loss();
        let Some(round) = self.model.end_round(now) else { return };
        let queued = self.queued(round.least);
        self.model.count_loss(&round);
        let overflow = self.model.overflows(OVERFLOW_PACKETS * self.mtu) && round.lost > 0.0
            || round.loss() > 2.0 * usual + LOSS_EXCESS && round.lost > 4.0 * self.mtu;
        match self.phase.clone() {
            Phase::Start { best, flat, queued } => self.end_start_round(now, &round, (best, flat), queued),
            Phase::Cruise(cruise) => self.end_cruise_round(now, &round, cruise, queued, overflow),
            Phase::Compete(compete) => self.end_compete_round(now, &round, compete),
            Phase::Dip { rounds, began, least, then } => {
                let least = least.min(round.least).or(least).or(round.least);
                // One until the dip is under way, one to see it.
                match rounds {
                    0 | 1 => self.phase = Phase::Dip { rounds: rounds + 1, began, least, then },
                    _ => self.end_dip(now, began, least, then),
                }
            }
        }
    }

    /// Packets are lost, the newest of them sent at `sent`. No bytes: an ECN mark reports a long queue.
    pub fn lost(&mut self, now: Instant, sent: Instant, bytes: u64, persistent: bool) {
        if sent > self.reduced {
            self.model.lost(f64_of(bytes));
        }
        if persistent {
            self.window = f64_of(WINDOW_MIN) * self.mtu;
            self.model = Model::new(now);
            self.phase = Phase::START;
            return;
        }
        if sent <= self.reduced {
            return;
        }
        match &mut self.phase {
            Phase::Compete(compete) => {
                // An overflowing queue is as long as it was ever seen; chance loses at any length.
                let took = now.saturating_duration_since(sent);
                let full = compete.least + (compete.most.saturating_sub(compete.least)) / 2;
                if took < full && bytes > 0 {
                    return;
                }
                let top = self.window;
                // At least the share that is certain.
                let floor = self.model.product(self.model.rate_of(2)).unwrap_or(0.0).min(top);
                self.window = (top * KEEP).max(floor);
                compete.cubic = Some(Cubic::new(now, self.window, top, self.mtu));
                compete.most = compete.most.mul_f64(0.9).max(compete.least);
                self.reduced = now;
            }
            Phase::Start { .. } if bytes == 0 => {
                self.cruise(now);
            }
            Phase::Cruise(_) if bytes == 0 => {
                self.window *= BETA;
                self.reduced = now;
            }
            Phase::Start { .. } | Phase::Cruise(_) | Phase::Dip { .. } => {}
        }
    }

    fn end_start_round(
        &mut self,
        now: Instant,
        round: &Round,
        (best, flat): (f64, u32),
        queued: Option<(Instant, u32)>,
    ) {
        if round.limited {
            return;
        }
        let rate = self.model.rate_of(1);
        let (best, flat) = if rate > best * 1.25 { (rate, 0) } else { (best, flat + 1) };
        self.phase = Phase::Start { best, flat, queued };
        if flat >= FLAT_ROUNDS || round.loss() > LOSS_START {
            self.cruise(now);
        }
    }

    fn end_cruise_round(
        &mut self,
        now: Instant,
        round: &Round,
        mut cruise: Cruise,
        queued: bool,
        overflow: bool,
    ) {
        let Some(product) = self.model.product(self.model.rate()) else { return };
        cruise.standing = if self.clear(round.least) { 0 } else { cruise.standing + 1 };
        cruise.ceiling *= CEILING_RISE;
        if cruise.standing == 1 {
            cruise.before = 0.0;
        }
        cruise.before = cruise.before.max(self.window);
        if cruise.standing >= STANDING_ROUNDS {
            return self.compete(now, round, cruise.before);
        } else if cruise.standing == STANDING_ROUNDS / 2 {
            // If the queue were this flow's, this would empty it, even if the path has become slower.
            let recent = self.model.product(self.model.rate_of(2)).unwrap_or(product);
            self.window = self.window.min(recent * DEEP_STEP);
            cruise.empty = 0;
        } else if overflow {
            cruise.ceiling = self.window;
            self.window = self.window.min(product) * GIVE_WAY;
            cruise.empty = 0;
        } else if queued {
            if cruise.empty > 0 {
                self.window = self.window.min(product * STEP_BACK);
            }
            cruise.empty = 0;
        } else if !round.limited {
            cruise.empty = if cruise.standing > 0 { 1 } else { (cruise.empty + 1).min(32) };
            // Less than in proportion at first, so that flows that share a path become alike.
            let mut step = (self.window * self.mtu).sqrt() / 2.0 * 1.5_f64.powi(cruise.empty - 1);
            if self.window > cruise.ceiling * GIVE_WAY {
                step = step.min(self.window / 64.0);
            }
            self.window = (self.window + step.min(self.window / 4.0).max(self.mtu)).min(2.0 * product);
        }
        self.phase = Phase::Cruise(cruise);
        let seen = self.model.age(now).min(now.saturating_duration_since(self.dipped));
        if seen > DIP_CRUISING && !round.limited {
            self.dip(now, product, Then::Cruise);
        }
    }

    fn end_compete_round(&mut self, now: Instant, round: &Round, mut compete: Compete) {
        compete.empty = if self.clear(round.least) { compete.empty + 1 } else { 0 };
        if compete.empty >= EMPTY_ROUNDS {
            return self.cruise(now);
        }
        if let Some(least) = round.least {
            // Follows what the others leave, slowly upwards.
            compete.least = least.min(compete.least + compete.least / 32);
        }
        let rate = self.model.rate();
        self.window = self.window.min(2.0 * rate * compete.least.as_secs_f64());
        self.phase = Phase::Compete(compete);
        if now.saturating_duration_since(self.dipped) > DIP_COMPETING
            && let Some(product) = self.model.product(rate)
            && !round.limited
        {
            self.dip(now, product, Then::Compete(compete, self.window));
        }
    }

    /// The start is over, or the other flows have gone.
    fn cruise(&mut self, now: Instant) {
        // A queue shows within a doubling: the half is never too much, and the first rounds' rates are too small.
        let product = self.model.product(self.model.rate_of(3)).unwrap_or(0.0);
        self.window = product.clamp(self.window / 2.0, self.window);
        self.model.forget_loss();
        self.phase = Phase::Cruise(Cruise::NEW);
        self.reduced = now;
    }

    fn compete(&mut self, now: Instant, round: &Round, before: f64) {
        let least = round.least.or(self.model.least()).unwrap_or(KNEE_MIN);
        // The reduction was a test; it is undone.
        self.window = self.window.max(before * BETA);
        self.phase = Phase::Compete(Compete { cubic: None, empty: 0, most: least, least });
        self.dipped = now;
    }

    fn dip(&mut self, now: Instant, product: f64, then: Then) {
        self.window = self.window.min(product / 2.0);
        self.phase = Phase::Dip { rounds: 0, began: now, least: None, then };
    }

    fn end_dip(&mut self, now: Instant, began: Instant, least: Option<Duration>, then: Then) {
        self.dipped = now;
        let others = self.queued(least);
        if let Some(least) = least
            && (!others || self.model.age(now) > LEAST_FORGOTTEN)
        {
            self.model.set_least(least, now);
        }
        match then {
            Then::Compete(mut compete, window) if others => {
                compete.cubic.iter_mut().for_each(|cubic| cubic.skip(began, now));
                self.window = window;
                self.phase = Phase::Compete(compete);
            }
            Then::Cruise | Then::Compete(..) => {
                if let Some(product) = self.model.product(self.model.rate()) {
                    self.window = product;
                }
                self.phase = Phase::Cruise(Cruise::NEW);
            }
        }
    }

    /// Whether a round trip shows an empty queue.
    fn clear(&self, rtt: Option<Duration>) -> bool {
        let (Some(rtt), Some(least)) = (rtt, self.model.least()) else { return true };
        rtt <= least + self.noise()
    }

    /// How much longer a round trip may be without a queue.
    fn noise(&self) -> Duration {
        self.model.least().map_or(KNEE_MIN, |least| (least / CLEAR_PART).max(KNEE_MIN))
    }

    /// Whether a round trip shows a queue that is partly this flow's.
    fn queued(&self, rtt: Option<Duration>) -> bool {
        let (Some(rtt), Some(least)) = (rtt, self.model.least()) else { return false };
        let packets = (self.window / self.mtu).max(KNEE_PART * KNEE_PART);
        rtt > least + least.mul_f64(KNEE_PART / packets.sqrt()).max(KNEE_MIN)
    }
}

#[cfg(test)]
mod tests;
