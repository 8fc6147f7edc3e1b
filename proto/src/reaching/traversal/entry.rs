//! One path: its probes, whether it is proven, and when it is probed next.

use super::{
    quality::Quality,
    words::{Kind, Path},
};
use crate::reaching::candidate::Origin;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// TTLs of the first two probes to an address behind a NAT, by round. They open this machine's own NAT and die before the
/// peer's: a router whose INPUT chain is open would take an early packet for itself, and the peer would not get its mapping.
/// Later rounds open a second NAT of this machine, too.
const LOW_TTL: [u8; 4] = [2, 2, 3, 4];
const LOW_PROBES: u8 = 2;
/// Pause between those two.
const LOW_PAUSE: Duration = Duration::from_millis(100);
/// From the start until probes with the usual TTL, in the first round: the peer has opened its own NAT by then. Each later
/// round takes as much longer, up to [`HOLDS`] times, because the ends may start at different times.
const HOLD: Duration = Duration::from_millis(400);
const HOLDS: u32 = 4;
/// Probes with the usual TTL: milliseconds after the first.
const PUNCH: [u64; 7] = [0, 100, 250, 500, 900, 1500, 2300];
/// The same through a relay, and the pause after those: while no path works, and beside one that does.
const REACH: [u64; 6] = [0, 150, 350, 700, 1400, 2800];
const REACH_AGAIN: Duration = Duration::from_millis(2500);
const REACH_BESIDE: Duration = Duration::from_secs(24);
/// Further probes after the first answer: the peer may still need one, and answers may get lost.
const CONFIRM: [u64; 3] = [100, 300, 700];

/// From the start of a round until its last probe has had its time.
pub(super) fn round_time(round: u32) -> Duration {
    hold(round) + Duration::from_millis(PUNCH[PUNCH.len() - 1] + 1000)
}

fn hold(round: u32) -> Duration {
    HOLD * round.saturating_add(1).min(HOLDS)
}

/// Pause between probes of the path in use while it is busy, and the least between repeated ones.
const LIVELY: Duration = Duration::from_millis(250);
const REPEAT: Duration = Duration::from_millis(300);
/// Pause between probes of a relay beside the path in use, while that is busy.
const STANDBY: Duration = Duration::from_secs(5);
/// A direct path beside the path in use counts as proven for so long without a probe of the peer.
const LAPSE: Duration = Duration::from_secs(30);
/// Unanswered probes, and silence, after which a path is doubtful; dead; dead although the peer's probes come. Far paths have
/// as much longer as an answer takes.
const DOUBT: (u32, Duration) = (2, Duration::from_millis(500));
const DEATH: (u32, Duration) = (3, Duration::from_secs(1));
const DEAF: (u32, Duration) = (6, Duration::from_millis(2500));
/// Numbers of one path's probes that may still be answered.
const ASKED_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is due. Probes of the peer are answered.
    Rest,
    /// So many probes with a low TTL were sent.
    Open(u8),
    /// The next of [`PUNCH`].
    Punch(usize),
    /// The next of [`REACH`].
    Reach(usize),
    /// Proven; the next of [`CONFIRM`].
    Confirm(usize),
    /// Proven.
    Keep,
}

/// What the rest of the machine says about a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    pub(super) primary: bool,
    /// No path is in use.
    pub(super) searching: bool,
    pub(super) busy: bool,
    /// Pause between probes of the path in use while it is idle.
    pub(super) keep: Duration,
}

/// How well a proven path answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    Well,
    Doubtful,
    Dead,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Path,
    pub(super) kind: Kind,
    /// `None`: learnt from a packet of the peer, or a relay.
    pub(super) origin: Option<Origin>,
    /// The peer is behind a NAT there: probes with the usual TTL wait for [`HOLD`].
    pub(super) punched: bool,
    pub(super) phase: Phase,
    /// When the phase began.
    since: Instant,
    /// When the next probe of the phase is due; computed for [`Phase::Keep`].
    due: Option<Instant>,
    asked: VecDeque<(u32, Instant)>,
    last_ask: Option<Instant>,
    /// Probes without an answer since the last answer, and when the first of them was sent.
    silent: u32,
    silent_since: Option<Instant>,
    /// There while the path is proven.
    pub(super) rtt: Option<Duration>,
    pub(super) answered: Option<Instant>,
    pub(super) heard: Option<Instant>,
    /// Probes that came over a learnt path, less those that went: it gets no more than it sends.
    pub(super) credit: u32,
    /// The socket takes QUIC packets from here.
    pub(super) accepted: bool,
    pub(super) round: Option<u32>,
    pub(super) quality: Quality,
    /// Not to be used before the next round, while another path works.
    pub(super) barred: bool,
}

impl Entry {
    pub(super) fn new(now: Instant, path: Path, kind: Kind, origin: Option<Origin>) -> Self {
        Self {
            path,
            kind,
            origin,
            punched: false,
            phase: Phase::Rest,
            since: now,
            due: None,
            asked: VecDeque::new(),
            last_ask: None,
            silent: 0,
            silent_since: None,
            rtt: None,
            answered: None,
            heard: None,
            credit: 0,
            accepted: false,
            round: None,
            quality: Quality::default(),
            barred: false,
        }
    }

    pub(super) fn is_learnt(&self) -> bool {
        self.origin.is_none() && self.path.is_direct()
    }

    /// Probes it for a round. `open`: this machine has no NAT to open, and a probe with a low TTL might reach the peer's.
    pub(super) fn punch(&mut self, now: Instant, round: u32, open: bool) {
        match (self.punched, open) {
            (false, _) => self.enter(now, Phase::Punch(0)),
            (true, true) => self.enter(now + hold(round), Phase::Punch(0)),
            (true, false) => self.enter(now, Phase::Open(0)),
        }
        self.round = Some(round);
    }

    /// Probes a relay until it answers.
    pub(super) fn reach(&mut self, now: Instant) {
        if self.rtt.is_none() {
            self.enter(now, Phase::Reach(0));
        }
    }

    /// The peer's packets come through: its NAT is open, and the low TTL has done its part.
    pub(super) fn release(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Open(_)) || (self.phase == Phase::Punch(0) && self.due > Some(now)) {
            self.enter(now, Phase::Punch(0));
        }
    }

    /// Probes a proven path now, whatever its plan.
    pub(super) fn verify(&mut self, now: Instant) {
        if self.rtt.is_some() {
            self.enter(now, Phase::Confirm(0));
            self.due = Some(now);
        }
    }

    fn enter(&mut self, now: Instant, phase: Phase) {
        (self.phase, self.since) = (phase, now);
        self.due = match phase {
            Phase::Rest | Phase::Keep => None,
            Phase::Open(_) | Phase::Punch(_) | Phase::Reach(_) => Some(now),
            Phase::Confirm(_) => Some(now + Duration::from_millis(CONFIRM[0])),
        };
    }

    /// Takes the probe that is due by its phase, and says with which TTL it is sent.
    pub(super) fn take_due(&mut self, now: Instant, role: Role) -> Option<Option<u8>> {
        if self.deadline(role).is_none_or(|at| now < at) {
            return None;
        }
        let mut ttl = None;
        let next = |offsets: &[u64], step: usize| {
            offsets.get(step + 1).map(|ms| self.since + Duration::from_millis(*ms))
        };
        match self.phase {
            Phase::Rest => return None,
            Phase::Open(sent) => {
                let round = self.round.unwrap_or(0);
                ttl = Some(LOW_TTL[crate::number::index(round) % LOW_TTL.len()]);
                if sent + 1 < LOW_PROBES {
                    self.phase = Phase::Open(sent + 1);
                    self.due = Some(now + LOW_PAUSE);
                } else {
                    let from = self.since + hold(round);
                    self.enter(from, Phase::Punch(0));
                }
            }
            Phase::Punch(step) => match next(&PUNCH, step) {
                Some(at) => (self.phase, self.due) = (Phase::Punch(step + 1), Some(at)),
                None => self.enter(now, Phase::Rest),
            },
            Phase::Reach(step) => match next(&REACH, step) {
                Some(at) => (self.phase, self.due) = (Phase::Reach(step + 1), Some(at)),
                None => self.due = Some(now + if role.searching { REACH_AGAIN } else { REACH_BESIDE }),
            },
            Phase::Confirm(step) => match next(&CONFIRM, step) {
                Some(at) => (self.phase, self.due) = (Phase::Confirm(step + 1), Some(at.max(now))),
                None => self.enter(now, Phase::Keep),
            },
            Phase::Keep => {}
        }
        Some(ttl)
    }

    /// A probe that wants an answer was sent.
    pub(super) fn asked(&mut self, now: Instant, number: u32) {
        self.asked.push_back((number, now));
        if self.asked.len() > ASKED_MAX {
            self.asked.pop_front();
        }
        self.last_ask = Some(now);
        if self.rtt.is_some() {
            self.quality.asked(now, number);
            self.silent = self.silent.saturating_add(1);
            self.silent_since.get_or_insert(now);
        }
    }

    /// The peer answered this number; `false` if it is none of this path's.
    pub(super) fn prove(&mut self, now: Instant, number: u32) -> bool {
        let Some(at) = self.asked.iter().position(|(asked, _)| *asked == number) else { return false };
        let (_, sent) = self.asked[at];
        // A later answer may be to an earlier probe, so the rest stays.
        self.asked.remove(at);
        let sample = now.duration_since(sent);
        self.quality.answered(now, number, sample);
        match self.rtt {
            Some(rtt) if sample > rtt => self.rtt = Some((rtt * 7 + sample) / 8),
            known => {
                self.rtt = Some(sample);
                if known.is_none() {
                    self.enter(now, Phase::Confirm(0));
                }
            }
        }
        self.answered = Some(now);
        (self.silent, self.silent_since) = (0, None);
        true
    }

    /// It is not proven any more.
    pub(super) fn disprove(&mut self, now: Instant) {
        (self.rtt, self.silent, self.silent_since) = (None, 0, None);
        self.quality = Quality::default();
        self.enter(
            now,
            match self.path {
                // The next round opens the NAT again.
                Path::Direct(_) if self.punched => Phase::Rest,
                Path::Direct(_) if self.origin.is_some() => Phase::Punch(0),
                Path::Direct(_) => Phase::Rest,
                Path::Relay { .. } | Path::RelayTcp { .. } => Phase::Reach(0),
            },
        );
    }

    fn silence_limit(&self) -> Duration {
        let rtt = self.rtt.unwrap_or(Duration::ZERO);
        (rtt * 2 + Duration::from_millis(100)).clamp(Duration::from_millis(200), Duration::from_secs(1))
    }

    pub(super) fn health(&self, now: Instant) -> Health {
        let Some(since) = self.silent_since else { return Health::Well };
        let reached = |since: Instant, (probes, time): (u32, Duration)| {
            let silence = now.saturating_duration_since(since);
            self.silent >= probes && silence >= time.max(self.silence_limit() * 3 / 2)
        };
        // The peer's own probes show that the path is not dead yet.
        let quiet = self.heard.map_or(since, |heard| heard.max(since));
        if reached(since, DEAF) || reached(quiet, DEATH) {
            Health::Dead
        } else if reached(quiet, DOUBT) {
            Health::Doubtful
        } else {
            Health::Well
        }
    }

    /// Since when nothing was answered.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    fn last_sign(&self) -> Instant {
        self.heard.max(self.answered).unwrap_or(self.since)
    }

    pub(super) fn deadline(&self, role: Role) -> Option<Instant> {
        if self.phase != Phase::Keep {
            return self.due;
        }
        let asked = self.last_ask.unwrap_or(self.since);
        let answered = self.answered.unwrap_or(self.since);
        match (role.primary, self.path.is_direct()) {
            (true, _) if role.busy => Some(asked.max(answered) + LIVELY),
            // A probe is under way, or lost.
            _ if self.silent > 0 => Some(asked + REPEAT.max(self.silence_limit())),
            (true, _) => Some(self.last_sign() + role.keep),
            (false, false) if role.busy => Some(asked.max(answered) + STANDBY),
            (false, _) => None,
        }
    }

    /// When a direct path that is not in use counts as proven no longer.
    pub(super) fn lapses(&self, role: Role) -> Option<Instant> {
        let applies = !role.primary && self.path.is_direct() && self.phase == Phase::Keep && self.silent == 0;
        applies.then(|| self.last_sign() + LAPSE)
    }

    /// A lapsed path: nothing is known against it.
    pub(super) fn lapse(&mut self, now: Instant) {
        (self.rtt, self.silent, self.silent_since) = (None, 0, None);
        self.enter(now, Phase::Rest);
    }
}
