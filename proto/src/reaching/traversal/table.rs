//! All paths to one peer: probes them, and chooses the one in use.
//!
//! A path is proven while the peer answers probes over it. The answer may come from anywhere: a probe is known by its number.
//! Each end proves and chooses for itself, so the two directions may take different paths.
//!
//! A path whose address the peer told gets a fixed number of probes in a round. A path that is learnt from a packet's source
//! gets one probe for each that comes from there, so nobody can aim this machine at an address by a forged source.

use super::{
    entry::{Entry, Health, Role},
    window::Window,
    words::{Chosen, Kind, Measured, Output, Path},
};
use crate::{
    limit::CANDIDATES_MAX,
    local::reply::PathKind,
    reaching::{
        candidate::{Candidate, Origin},
        families::Families,
        nat::Nat,
        paths::score,
        wire::probe::{Probe, Sealer},
    },
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Told addresses that are begun to be probed within [`TOLD_TIME`]: offers say where probes go, and may come often.
pub const TOLD_MAX: usize = 2 * CANDIDATES_MAX;
pub const TOLD_TIME: Duration = Duration::from_secs(60);
/// Paths that are learnt from packets; the one that was heard longest ago is replaced.
pub const LEARNT_MAX: usize = 8;
/// A path that is not proven and was not heard for so long is dropped, if no offer names it.
const FORGET: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    families: Families,
    sealer: Option<Sealer>,
    number: u32,
    window: Window,
    primary: Option<Path>,
    told: Option<Chosen>,
    busy: bool,
    /// Pause between probes of the path in use while it is idle.
    keep: Duration,
    /// A path is doubtful: the others were asked.
    alarmed: bool,
    /// Told addresses that were begun to be probed, with the time and the round.
    begun: VecDeque<(Instant, Path, u32)>,
}

impl Table {
    pub(super) fn new(families: Families, keep: Duration) -> Self {
        Self {
            entries: Vec::new(),
            families,
            sealer: None,
            number: 0,
            window: Window::default(),
            primary: None,
            told: None,
            busy: false,
            keep,
            alarmed: false,
            begun: VecDeque::new(),
        }
    }

    /// From now on probes can be sent.
    pub(super) fn seal_with(&mut self, now: Instant, sealer: Sealer) {
        self.sealer = Some(sealer);
        self.entries.iter_mut().filter(|entry| !entry.path.is_direct()).for_each(|entry| entry.reach(now));
    }

    pub(super) fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }

    pub(super) fn chosen(&self) -> Option<Chosen> {
        let entry = self.get(self.primary?)?;
        Some(Chosen { path: entry.path, kind: entry.kind, rtt: entry.rtt? })
    }

    /// Whether the path in use answers, and is better than a WebSocket to the relay.
    pub(super) fn is_well(&self, now: Instant) -> bool {
        let entry = self.primary.and_then(|path| self.get(path));
        entry.is_some_and(|entry| {
            entry.rtt.is_some() && entry.kind != Kind::RelayTcp && entry.health(now) == Health::Well
        })
    }

    pub(super) fn has_direct(&self) -> bool {
        self.entries.iter().any(|entry| entry.path.is_direct() && entry.rtt.is_some() && !entry.barred)
    }

    /// All proven paths.
    pub(super) fn measured(&self, now: Instant) -> Vec<Measured> {
        let measured = |entry: &Entry| {
            let (kind, in_use) = (entry.kind, self.primary == Some(entry.path));
            Some(Measured { kind, rtt: entry.rtt?, loss: entry.quality.loss(now), in_use })
        };
        self.entries.iter().filter_map(measured).collect()
    }

    /// Whether the path in use has answered badly for some time.
    pub(super) fn is_poor(&self, now: Instant) -> bool {
        self.primary.and_then(|path| self.get(path)).is_some_and(|entry| entry.quality.is_poor(now))
    }

    /// A better path than the one in use is looked for.
    pub(super) fn accept(&mut self) {
        let primary = self.primary;
        let used = self.entries.iter_mut().find(|entry| Some(entry.path) == primary);
        used.into_iter().for_each(|entry| entry.quality.accept());
    }

    /// Leaves the path in use until [`Self::unbar`], if another one works. `false`: none does.
    pub(super) fn bar(&mut self, now: Instant) -> bool {
        let primary = self.primary;
        let works = |entry: &Entry| {
            Some(entry.path) != primary
                && entry.rtt.is_some()
                && !entry.barred
                && entry.health(now) == Health::Well
        };
        if !self.entries.iter().any(works) {
            return false;
        }
        let used = self.entries.iter_mut().find(|entry| Some(entry.path) == primary);
        used.into_iter().for_each(|entry| entry.barred = true);
        self.verify(now);
        true
    }

    pub(super) fn unbar(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.barred = false);
    }

    /// Every direct path must prove itself again.
    pub(super) fn renew(&mut self, now: Instant) {
        for entry in self.entries.iter_mut().filter(|entry| entry.path.is_direct() && entry.rtt.is_some()) {
            entry.disprove(now);
            entry.round = None;
        }
    }

    fn get(&self, path: Path) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path == path)
    }

    fn role(&self, path: Path) -> Role {
        let searching = self.primary.is_none();
        Role { primary: self.primary == Some(path), searching, busy: self.busy, keep: self.keep }
    }

    /// Takes the peer's candidates, of which those before are dropped if they are not proven. Probes none yet.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        candidates: &[Candidate],
        nat: Nat,
        out: &mut VecDeque<Output>,
    ) {
        let mut told: Vec<Path> = Vec::new();
        for Candidate { origin, addr } in candidates {
            let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
            if !self.families.has(addr.ip()) || told.len() >= CANDIDATES_MAX {
                continue;
            }
            let path = Path::Direct(addr);
            let kind = kind_of(addr, Some(*origin), nat);
            told.push(path);
            if self.get(path).is_none() {
                self.entries.push(Entry::new(now, path, kind, Some(*origin)));
            }
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.path == path) {
                (entry.origin, entry.kind) = (Some(*origin), kind);
                entry.punched = kind == Kind::Punched && addr.is_ipv4();
            }
        }
        self.entries.retain(|entry| {
            let stays = entry.origin.is_none() || entry.rtt.is_some() || told.contains(&entry.path);
            refuse(entry, stays, out)
        });
    }

    /// Probes the told paths of a round: those behind a NAT only if `punched`. `here`: this machine's NAT.
    pub(super) fn punch(&mut self, now: Instant, round: u32, punched: bool, here: Nat) {
        for entry in self.entries.iter_mut().filter(|entry| entry.origin.is_some()) {
            if (!punched && entry.punched) || entry.round == Some(round) {
                continue;
            }
            // An offer may drop an address and name it again.
            let again = self.begun.iter().any(|(_, path, of)| (*path, *of) == (entry.path, round));
            if again || entry.rtt.is_some() {
                entry.round = Some(round);
                continue;
            }
            if self.begun.len() >= TOLD_MAX {
                if now < self.begun[0].0 + TOLD_TIME {
                    continue;
                }
                self.begun.pop_front();
            }
            self.begun.push_back((now, entry.path, round));
            entry.punch(now, round, here == Nat::Open);
        }
    }

    /// Adds the path through a relay, and probes it.
    pub(super) fn reach(&mut self, now: Instant, path: Path) {
        if self.get(path).is_none() {
            let kind = if matches!(path, Path::Relay { .. }) { Kind::Relay } else { Kind::RelayTcp };
            self.entries.push(Entry::new(now, path, kind, None));
        }
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.path == path) {
            entry.reach(now);
            entry.verify(now);
        }
    }

    /// Drops the path through a relay.
    pub(super) fn leave(&mut self, path: Path) {
        self.entries.retain(|entry| entry.path != path);
    }

    /// Probes every proven path now.
    pub(super) fn verify(&mut self, now: Instant) {
        self.entries.iter_mut().for_each(|entry| entry.verify(now));
    }

    /// Takes the peer's probe and answers it. `false`: it came before.
    pub(super) fn heard(
        &mut self,
        now: Instant,
        path: Path,
        probe: Probe,
        there: Nat,
        out: &mut VecDeque<Output>,
    ) -> bool {
        if !self.window.take(probe.number) {
            return false;
        }
        if let Some(echo) = probe.echo {
            self.entries.iter_mut().find_map(|entry| entry.prove(now, echo).then_some(()));
        }
        let at = self.entries.iter().position(|entry| entry.path == path);
        let Some(at) = at.or_else(|| self.learn(now, path, there, out)) else { return true };
        let entry = &mut self.entries[at];
        entry.heard = Some(now);
        entry.credit = (entry.credit + 1).min(LEARNT_CREDIT);
        if let (Path::Direct(addr), false) = (path, entry.accepted) {
            entry.accepted = true;
            out.push_back(Output::Accept(addr));
        }
        entry.release(now);
        if let (Path::Direct(addr), true) = (path, probe.to_mapped) {
            out.push_back(Output::CameIn(addr.ip()));
        }
        if probe.asks {
            // While the path in use is doubtful, the peer's probe is the chance to prove this one.
            let asks = entry.rtt.is_none() || (self.alarmed && self.primary != Some(path));
            self.send(now, at, Some(probe.number), asks, None, out);
        }
        true
    }

    fn learn(&mut self, now: Instant, path: Path, there: Nat, out: &mut VecDeque<Output>) -> Option<usize> {
        let Path::Direct(addr) = path else { return None };
        if !self.families.has(addr.ip()) {
            return None;
        }
        let learnt = self.entries.iter().filter(|entry| entry.is_learnt());
        if learnt.clone().count() >= LEARNT_MAX {
            let oldest = learnt.filter(|entry| entry.rtt.is_none()).min_by_key(|entry| entry.heard)?.path;
            self.entries.retain(|entry| refuse(entry, entry.path != oldest, out));
        }
        self.entries.push(Entry::new(now, path, kind_of(addr, None, there), None));
        Some(self.entries.len() - 1)
    }

    fn send(
        &mut self,
        now: Instant,
        at: usize,
        echo: Option<u32>,
        asks: bool,
        ttl: Option<u8>,
        out: &mut VecDeque<Output>,
    ) {
        let (Some(sealer), entry) = (&self.sealer, &mut self.entries[at]) else { return };
        if entry.is_learnt() && entry.rtt.is_none() {
            let Some(credit) = entry.credit.checked_sub(1) else { return };
            entry.credit = credit;
        }
        self.number += 1;
        if asks {
            entry.asked(now, self.number);
        }
        let to_mapped = entry.origin == Some(Origin::Mapped);
        let datagram = sealer.seal(Probe { number: self.number, echo, asks, to_mapped });
        out.push_back(Output::Send { path: entry.path, ttl, datagram });
    }

    /// Gives up paths that are dead or lapsed, and drops those that nobody names. `true`: the path in use is doubtful, and was
    /// not before.
    pub(super) fn judge(&mut self, now: Instant, out: &mut VecDeque<Output>) -> bool {
        for at in 0..self.entries.len() {
            let role = self.role(self.entries[at].path);
            let entry = &mut self.entries[at];
            if entry.rtt.is_some() && entry.health(now) == Health::Dead {
                entry.disprove(now);
            } else if entry.lapses(role).is_some_and(|until| now >= until) {
                entry.lapse(now);
            }
        }
        self.entries.retain(|entry| {
            let heard = entry.heard.is_some_and(|at| now < at + FORGET);
            refuse(entry, !entry.is_learnt() || entry.rtt.is_some() || heard, out)
        });
        let well = |entry: &Entry| entry.rtt.is_some() && entry.health(now) == Health::Well;
        let doubtful = self.primary.is_some_and(|path| !self.get(path).is_some_and(well));
        let rises = doubtful && !self.alarmed;
        self.alarmed = doubtful;
        if rises {
            self.verify(now);
        }
        rises
    }

    /// Sends the probes that are due.
    pub(super) fn probe(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        for at in 0..self.entries.len() {
            let role = self.role(self.entries[at].path);
            // More than one may be due after a pause; one is enough.
            if let Some(ttl) = self.entries[at].take_due(now, role) {
                self.send(now, at, None, true, ttl, out);
            }
        }
    }

    /// Chooses the path in use, and says so if it is another one.
    pub(super) fn choose(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        let key = |entry: &Entry| Some((tier(entry.kind) + 10 * u8::from(entry.barred), entry.rtt?));
        let is_well = |entry: &Entry| entry.health(now) == Health::Well;
        let current = self.primary.and_then(|path| self.get(path)).filter(|entry| entry.rtt.is_some());
        // While the path in use is doubtful, only an answer after its silence began speaks for another.
        let since = current.and_then(|entry| entry.silent_since().filter(|_| !is_well(entry)));
        let proven = self.entries.iter().filter(|entry| entry.rtt.is_some());
        let well = proven.clone().filter(|entry| {
            is_well(entry) && since.is_none_or(|since| entry.answered.is_some_and(|at| at >= since))
        });
        let best = well.min_by_key(|entry| key(entry));
        let stays = current.filter(|current| match best {
            None => true,
            Some(best) => {
                let beats = key(best).zip(key(current)).is_some_and(|(best, now)| score::beats(best, now));
                is_well(current) && !beats
            }
        });
        let best = best.or_else(|| proven.min_by_key(|entry| key(entry)));
        self.primary = stays.or(best).map(|entry| entry.path);
        let chosen = self.chosen();
        if chosen.map(|chosen| chosen.path) != self.told.map(|chosen| chosen.path) {
            self.told = chosen;
            out.push_back(Output::Use(chosen));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let all = self.entries.iter().filter_map(|entry| {
            let role = self.role(entry.path);
            let forget = entry.heard.filter(|_| entry.is_learnt() && entry.rtt.is_none());
            let due = [entry.deadline(role), entry.lapses(role), forget.map(|at| at + FORGET)];
            due.into_iter().flatten().min()
        });
        all.min()
    }
}

/// Probes that a learnt path may have received more than it was sent.
const LEARNT_CREDIT: u32 = 16;

/// Tells the socket of a path that goes.
fn refuse(entry: &Entry, stays: bool, out: &mut VecDeque<Output>) -> bool {
    if let (Path::Direct(addr), true, false) = (entry.path, entry.accepted, stays) {
        out.push_back(Output::Refuse(addr));
    }
    stays
}

fn tier(kind: Kind) -> u8 {
    match kind {
        Kind::Loopback => 0,
        Kind::Lan => 1,
        Kind::Direct | Kind::Mapped | Kind::Punched => 2,
        Kind::Relay => 3,
        Kind::RelayTcp => 4,
    }
}

fn kind_of(addr: SocketAddr, origin: Option<Origin>, there: Nat) -> Kind {
    match (score::kind(addr), origin) {
        (PathKind::Loopback, _) => Kind::Loopback,
        (PathKind::Lan, _) => Kind::Lan,
        (_, Some(Origin::Mapped)) => Kind::Mapped,
        (_, Some(Origin::Observed) | None) if there != Nat::Open && addr.is_ipv4() => Kind::Punched,
        _ => Kind::Direct,
    }
}
