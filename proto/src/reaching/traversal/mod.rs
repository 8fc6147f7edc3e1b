//! NAT traversal to one peer: the paths of one introduction, from the first probe until the link ends.
//!
//! Both ends of an introduction run this machine. Each tells the other its candidates ([`Offer`]); their secrets give the
//! keys of probes. Then everything is tried at once: candidates that need no hole punching, hole punching
//! (`round`), and the relay (`leg`). A path is used only after the peer answered a probe over it (`table`, `entry`). The
//! machine goes to a better path when that is proven, and to the next best when the one in use falls silent.
//!
//! Who runs it: an actor gives inputs and carries out the outputs, but for probes. The socket's thread finds the
//! [`Opener`](super::wire::probe::Opener) of a probe by its tag, drops what does not open, and hands on the rest as
//! [`Input::Probed`]; it sends QUIC packets for the peer over the path of the last [`Output::Use`], and gives QUIC the
//! packets from the relay's leg and from addresses of [`Output::Accept`] as coming from the peer. QUIC sees one address of
//! the peer for good. The end that [`Traversal::dials`] dials that address once a path is in use.
//!
//! A new introduction to the same peer is a new machine. The old one stays until the new one has a path.

mod entry;
mod leg;
mod quality;
mod round;
mod table;
#[cfg(test)]
mod tests;
mod window;
mod words;

pub use super::relay_use::RelayUse;
pub use table::{LEARNT_MAX, TOLD_MAX, TOLD_TIME};
pub use words::{
    Chosen, Grant, Input, Introduction, Kind, Means, Measured, OpenerOf, Output, Path, Reply, Status, UNTOLD,
    Why,
};

use super::{
    candidate::{Candidate, Candidates, Origin},
    nat::{self, Nat},
    wire::{
        offer::Offer,
        probe::{Agreement, Part, Secret},
    },
};
use crate::limit::CANDIDATES_MAX;
use leg::RelayLeg;
use quality::Searches;
use round::{Phase, Round};
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use table::Table;

/// Pause between probes of an idle path at the caller, and at the callee: one end's probes suffice while they come.
const KEEP_CALLER: Duration = Duration::from_secs(20);
const KEEP_CALLEE: Duration = Duration::from_secs(24);

/// Whether direct paths are made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remake {
    No,
    /// When both ends have told their fresh addresses.
    Asked,
    Begun,
}

#[derive(Debug)]
pub struct Traversal {
    introduction: Introduction,
    /// The peer's secret and kind of NAT, and the round of its last offer.
    there: Option<(Secret, Nat, u32)>,
    /// An offer of the peer had a candidate that may be probed.
    told_any: bool,
    /// An offer for a round that may not begin yet.
    pending: Option<Offer>,
    nat: Nat,
    reachable: Candidates,
    outside: Option<SocketAddr>,
    /// The last one that was known.
    outside_ip: Option<IpAddr>,
    told: Option<Offer>,
    round: Round,
    leg: Option<RelayLeg>,
    table: Table,
    worked: bool,
    remake: Remake,
    /// How often this end left a direct path by wish, and the peer.
    leaves: (u32, u32),
    searches: Searches,
    outputs: VecDeque<Output>,
}

impl Traversal {
    /// `reachable` and `nat`: what is known of this machine at once. Tells the first offer, and asks for a fresh outside
    /// address.
    pub fn new(now: Instant, introduction: Introduction, reachable: Candidates, nat: Nat) -> Self {
        let keep = if introduction.part == Part::Caller { KEEP_CALLER } else { KEEP_CALLEE };
        let mut traversal = Self {
            there: None,
            told_any: false,
            pending: None,
            nat,
            reachable,
            outside: None,
            outside_ip: None,
            told: None,
            round: Round::new(now),
            leg: None,
            table: Table::new(introduction.families, keep),
            worked: false,
            remake: Remake::No,
            leaves: (0, 0),
            searches: Searches::default(),
            outputs: VecDeque::new(),
            introduction,
        };
        traversal.tell();
        traversal.outputs.push_back(Output::FindOutside);
        traversal
    }

    /// `jitter` is in 0..1.
    pub fn handle(&mut self, now: Instant, jitter: f64, input: Input) {
        if self.round.phase == Phase::Failed {
            return;
        }
        match input {
            Input::Reachable(candidates) => {
                self.reachable = candidates;
                self.tell();
            }
            Input::Outside { addr, nat } => self.found_outside(now, addr, nat),
            Input::Offered(offer) => self.offered(now, jitter, offer),
            Input::Granted(grant) => self.granted(now, grant),
            Input::Probed { path, probe } => {
                let hidden = self.introduction.relay_only && path.is_direct();
                if !hidden && self.owns(path) {
                    let there = self.there.map_or(Nat::Unknown, |(_, nat, _)| nat);
                    self.table.heard(now, path, probe.probe(), there, &mut self.outputs);
                }
            }
            Input::Replied { leg, reply } => {
                if let Some(own) = self.leg.as_mut().filter(|own| own.grant().leg == leg)
                    && let Some(path) = own.replied(now, reply, &mut self.outputs)
                {
                    self.table.reach(now, path);
                }
            }
            Input::Tcp { leg, open } => {
                if let Some(own) = self.leg.as_mut().filter(|own| own.grant().leg == leg) {
                    match own.tcp(now, open, &mut self.outputs) {
                        Some(path) => self.table.reach(now, path),
                        None => self.table.leave(own.tcp_path()),
                    }
                }
            }
            Input::Busy(busy) => self.table.set_busy(busy),
            Input::Silent => {
                self.table.set_busy(true);
                self.table.verify(now);
            }
            Input::Moved => {
                self.rebind(now);
                self.table.verify(now);
                self.begin(now, self.round.number.saturating_add(1));
            }
            Input::Reconnect => {
                self.rebind(now);
                self.table.verify(now);
                self.round.forgive();
                self.remake = Remake::Asked;
                self.begin(now, self.round.number.saturating_add(1));
            }
            Input::FailOver => {
                let direct = self.chosen().is_some_and(|chosen| chosen.path.is_direct());
                if self.leave(now, jitter) {
                    self.leaves.0 = self.leaves.0.saturating_add(u32::from(direct));
                    self.tell();
                } else {
                    self.begin(now, self.round.number.saturating_add(1));
                }
            }
            Input::RelayBack => self.rebind(now),
            Input::Time => {}
        }
        self.advance(now, jitter);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        if self.round.phase == Phase::Failed {
            return None;
        }
        let round = self.round.deadline().map(|at| match self.round.phase {
            Phase::AwaitOutside(_) | Phase::AwaitOffer(_) => (at, Why::Late),
            _ => (at, Why::Round),
        });
        let pending = self.pending.as_ref().map(|_| (self.round.may_follow(), Why::Round));
        let relay = self.leg.as_ref().and_then(|leg| leg.deadline()).map(|at| (at, Why::Relay));
        let probe = self.table.deadline().map(|at| (at, Why::Probe));
        [round, pending, relay, probe].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Whether this end dials the QUIC connection; `None` until the peer's offer is here.
    pub fn dials(&self) -> Option<bool> {
        let (_, nat, _) = self.there?;
        Some(nat::dials((self.nat, &self.introduction.here), (nat, &self.introduction.there)))
    }

    /// The path in use.
    pub fn chosen(&self) -> Option<Chosen> {
        self.table.chosen()
    }

    /// All paths that work.
    pub fn measured(&self, now: Instant) -> Vec<Measured> {
        self.table.measured(now)
    }

    /// Whether the path is being made anew, as [`Input::Reconnect`] asked for.
    pub fn reconnects(&self) -> bool {
        self.remake != Remake::No
    }

    /// Whether this offer can be the peer's: it has the secret of its first one, or is the first.
    pub fn is_theirs(&self, offer: &Offer) -> bool {
        self.there.is_none_or(|(secret, ..)| offer.secret == Some(secret))
    }

    pub fn status(&self) -> Status {
        let there = self.there.map_or(Nat::Unknown, |(_, nat, _)| nat);
        match self.table.chosen() {
            _ if self.round.phase == Phase::Failed => Status::Failed,
            Some(chosen) if chosen.path.is_direct() => Status::Direct(chosen.kind),
            Some(chosen) if self.introduction.relay_only => {
                Status::Relayed(chosen.kind, "only relays are allowed")
            }
            Some(chosen) if !self.told_any => Status::Relayed(chosen.kind, UNTOLD),
            Some(chosen) => Status::Relayed(chosen.kind, nat::why_relayed(self.nat, there)),
            None if self.worked => Status::Lost,
            None => Status::Searching,
        }
    }

    /// Why nothing is waited for, where nothing is. In every other state there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        match self.round.phase {
            Phase::Failed => Some("the peer's offer did not come: whoever runs it introduces again"),
            Phase::Settled if self.introduction.relay_only && self.deadline().is_none() => {
                Some("relays only, and no relay: whoever runs it asks for one")
            }
            _ => None,
        }
    }

    /// Whether a path that was heard from can be this machine's.
    fn owns(&self, path: Path) -> bool {
        let leg = self.leg.as_ref();
        path.is_direct() || leg.is_some_and(|leg| leg.path() == Some(path) || leg.tcp_path() == path)
    }

    fn offer(&self) -> Offer {
        let observed = self.outside.map(|addr| Candidate { origin: Origin::Observed, addr });
        let mut candidates: Vec<Candidate> = Vec::new();
        // Other flows may have other mappings than the fresh one.
        let is_stale = |candidate: &Candidate| {
            candidate.origin == Origin::Observed
                && self.outside.is_some_and(|fresh| fresh.is_ipv4() == candidate.addr.is_ipv4())
        };
        if !self.introduction.relay_only {
            let known = self.reachable.0.iter().copied().filter(|candidate| !is_stale(candidate));
            for candidate in observed.into_iter().chain(known) {
                let known = candidates.iter().any(|known| known.addr == candidate.addr);
                if !known && candidates.len() < CANDIDATES_MAX {
                    candidates.push(candidate);
                }
            }
        }
        Offer {
            secret: Some(self.introduction.secret),
            nat: self.nat,
            round: self.round.number,
            leaves: self.leaves.0,
            candidates: Candidates(candidates),
        }
    }

    /// Tells the peer what it does not know yet.
    fn tell(&mut self) {
        let offer = self.offer();
        if self.told.as_ref() != Some(&offer) {
            self.told = Some(offer.clone());
            self.outputs.push_back(Output::Tell(offer));
        }
    }

    fn found_outside(&mut self, now: Instant, addr: Option<SocketAddr>, nat: Nat) {
        let awaited = matches!(self.round.phase, Phase::AwaitOutside(_));
        let ip = addr.map(|addr| addr.ip());
        let moved = ip.zip(self.outside_ip).is_some_and(|(new, old)| new != old);
        let changed = moved || (nat != self.nat && nat != Nat::Unknown);
        self.outside_ip = ip.or(self.outside_ip);
        // No STUN server answers: what was known is the best guess.
        if addr.is_some() || nat != Nat::Unknown {
            (self.outside, self.nat) = (addr, nat);
        }
        if nat == Nat::Blocked
            && let Some(leg) = &mut self.leg
        {
            leg.blocked(now);
        }
        // Another port alone, which a question for another peer opened, is of no use to this one.
        if changed || self.round.runs() {
            self.tell();
        }
        if awaited {
            self.round.await_offer(now);
        } else if changed && !self.table.has_direct() && self.round.may_change(now) {
            self.begin(now, self.round.number.saturating_add(1));
        }
    }

    /// Leaves the path in use for a while. `false`: there is no other.
    fn leave(&mut self, now: Instant, jitter: f64) -> bool {
        let leaves = !self.introduction.relay_only && self.table.bar(now);
        if leaves {
            self.round.forgive();
            self.round.fail(now, jitter);
        }
        leaves
    }

    fn offered(&mut self, now: Instant, jitter: f64, offer: Offer) {
        let Some(secret) = offer.secret else { return };
        match self.there {
            Some((known, ..)) if known != secret => return,
            Some((_, _, round)) if offer.round < round => return,
            Some(_) => {}
            None => self.agree(now, secret),
        }
        if offer.round > self.round.number {
            if now < self.round.may_follow() {
                self.pending = Some(offer);
                return;
            }
            self.begin(now, offer.round);
        }
        self.there = Some((secret, offer.nat, offer.round));
        self.told_any |= !offer.candidates.0.is_empty();
        if !self.introduction.relay_only {
            self.table.tell(now, &offer.candidates.0, offer.nat, &mut self.outputs);
        }
        if offer.leaves > self.leaves.1 {
            self.leaves.1 = offer.leaves;
            if self.chosen().is_some_and(|chosen| chosen.path.is_direct()) {
                self.leave(now, jitter);
            }
        }
    }

    /// Derives the keys of probes.
    fn agree(&mut self, now: Instant, theirs: Secret) {
        let Introduction { attempt, part, here, there, secret, .. } = self.introduction;
        let (here, there) = ((here, secret), (there, theirs));
        let (caller, callee) = if part == Part::Caller { (here, there) } else { (there, here) };
        let (sealer, opener) = Agreement { attempt, caller, callee }.keys(part);
        self.table.seal_with(now, sealer);
        self.outputs.push_back(Output::Listen(Box::new(OpenerOf(opener))));
    }

    fn granted(&mut self, now: Instant, grant: Grant) {
        if let Some(old) = self.leg.take() {
            old.path().into_iter().for_each(|path| self.table.leave(path));
            self.table.leave(old.tcp_path());
        }
        let mut leg = RelayLeg::new(now, grant);
        if self.nat == Nat::Blocked {
            leg.blocked(now);
        }
        self.leg = Some(leg);
    }

    /// The relay may not know this end's address, or the leg, any more.
    fn rebind(&mut self, now: Instant) {
        if let Some(leg) = &mut self.leg {
            leg.rebind(now, &mut self.outputs);
        }
    }

    fn begin(&mut self, now: Instant, number: u32) {
        self.round.begin(now, number);
        self.table.unbar();
        if self.introduction.relay_only {
            self.round.settle();
            self.tell();
        } else {
            self.outputs.push_back(Output::FindOutside);
        }
    }

    fn advance(&mut self, now: Instant, jitter: f64) {
        if self.pending.is_some()
            && now >= self.round.may_follow()
            && let Some(offer) = self.pending.take()
        {
            self.offered(now, jitter, offer);
        }
        // A path that dies may begin a round, and a round begins to probe.
        let alarmed = self.table.judge(now, &mut self.outputs);
        if self.table.is_poor(now) && self.round.may_search(now) && self.searches.may_begin(now) {
            self.searches.begin(now, jitter);
            self.table.accept();
            self.begin(now, self.round.number.saturating_add(1));
        }
        self.advance_round(now, jitter);
        if !self.round.runs() {
            self.remake = Remake::No;
        }
        self.table.probe(now, &mut self.outputs);
        self.table.choose(now, &mut self.outputs);
        let needs_tcp = !self.table.is_well(now);
        if let Some(leg) = &mut self.leg {
            // The mapping to the relay has often changed with the one to the peer.
            if alarmed {
                leg.rebind(now, &mut self.outputs);
            }
            leg.time(now, needs_tcp, &mut self.outputs);
        }
        self.worked |= self.table.chosen().is_some();
    }

    fn punch(&mut self, now: Instant) {
        self.table.punch(now, self.round.number, self.introduction.punching, self.nat);
    }

    fn advance_round(&mut self, now: Instant, jitter: f64) {
        let number = self.round.number;
        let offered = self.there.is_some_and(|(_, _, round)| round >= number);
        if self.introduction.relay_only && self.there.is_some() {
            self.round.settle();
        }
        // What needs no hole punching need not wait, and may come at any time.
        if offered {
            self.table.punch(now, number, false, self.nat);
        }
        match self.round.phase {
            Phase::AwaitOutside(at) => {
                if now >= at {
                    self.tell();
                    self.round.await_offer(now);
                    self.advance_round(now, jitter);
                }
            }
            Phase::AwaitOffer(_) if offered => {
                self.round.phase = Phase::Punching(now + entry::round_time(number));
                if self.remake == Remake::Asked {
                    self.remake = Remake::Begun;
                    self.table.renew(now);
                }
                self.punch(now);
            }
            Phase::AwaitOffer(at) if now >= at && self.there.is_none() => {
                self.round.phase = Phase::Failed;
                self.outputs.push_back(Output::Failed);
            }
            Phase::AwaitOffer(at) if now >= at => self.round.fail(now, jitter),
            Phase::Punching(_) | Phase::Quiet(_) if self.table.has_direct() => self.round.settle(),
            Phase::Punching(at) if now >= at => self.round.fail(now, jitter),
            // Candidates that came since.
            Phase::Punching(_) => self.punch(now),
            Phase::Quiet(at) if now >= at => self.begin(now, number.saturating_add(1)),
            Phase::Settled if !self.introduction.relay_only && !self.table.has_direct() => {
                self.round.phase = Phase::Quiet(self.round.may_follow().max(now));
                if now >= self.round.may_follow() {
                    self.begin(now, number.saturating_add(1));
                }
            }
            Phase::AwaitOffer(_) | Phase::Quiet(_) | Phase::Settled | Phase::Failed => {}
        }
    }
}
