//! Whose look is fetched now: asked ones first, then near players, the nearest first, and when nothing else transfers
//! or waits, one prefetch at a time.
//!
//! | a look | starts | is stopped for |
//! |---|---|---|
//! | with waiters | at once, [`FLOWS_MAX`] together, in the order of asking | none |
//! | of a near player | the nearest first, within the same number | an asked one, or a player less than half as far |
//! | of another contact with a link | alone, within the budget | any above |
//!
//! Near players are looked up, [`REACHES_MAX`] at a time; for a prefetch nobody is. A fetch without a chunk for
//! [`STALLED_AFTER`] gives up its turn, but goes on. A failed one pauses, for a time that doubles; a waiter ends the
//! pause. Why: decision 0023.

mod budget;
#[cfg(test)]
mod tests;
mod words;

pub use words::{Distance, DistanceError, End, Input, Output, Reason, Why};

use crate::{
    id::{BlobHash, PeerId},
    limit::{FLOWS_ALL_MAX, FLOWS_MAX},
};
use budget::Budget;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Lookups at once: each costs an introduction, and a client has sixteen of them.
pub const REACHES_MAX: usize = 8;
/// Longer than three tries of [`crate::reaching::connector`] with their pauses.
pub const REACH_TIME: Duration = Duration::from_secs(60);
/// Long enough for comparing a large look with the cache, and for a chunk of each at about 70 KiB a second.
pub const STALLED_AFTER: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// One contact's look.
#[derive(Debug, Default)]
struct Entry {
    /// When it was asked for, by a counter.
    asked: Option<u64>,
    near: Option<Distance>,
    /// Since when it is near, or when its last fetch ended, by the same counter.
    turn: u64,
    linked: bool,
    offers: Option<BlobHash>,
    held: Option<BlobHash>,
    /// A declined look: fetched only if asked for.
    declined: Option<BlobHash>,
    /// Known missing bytes of its published look.
    missing: u64,
    flow: Option<Flow>,
    reaching: Option<Instant>,
    failures: u32,
    /// Nothing is tried before, unless a client asks.
    again: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Flow {
    moved: Instant,
}

/// The priority of a look; the least is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Asked(u64),
    Near(Distance, u64),
    Prefetch(u64),
}

impl Place {
    fn is_prefetch(self) -> bool {
        matches!(self, Self::Prefetch(_))
    }

    /// Whether this one stops `other`.
    fn displaces(self, other: Self) -> bool {
        match (self, other) {
            (Self::Asked(_), Self::Near(..)) => true,
            (Self::Near(here, _), Self::Near(there, _)) => here.is_much_nearer_than(there),
            _ => false,
        }
    }
}

impl Entry {
    fn place(&self) -> Place {
        match (self.asked, self.near) {
            (Some(turn), _) => Place::Asked(turn),
            (None, Some(distance)) => Place::Near(distance, self.turn),
            (None, None) => Place::Prefetch(self.turn),
        }
    }

    fn rests(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| now < again)
    }

    /// Whether it would start if it had a turn.
    fn waits(&self, now: Instant) -> bool {
        let news = self.offers.is_some() && self.offers != self.held && self.offers != self.declined;
        self.linked && self.flow.is_none() && (self.asked.is_some() || (news && !self.rests(now)))
    }

    fn failed(&mut self, now: Instant) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.again = Some(now + pause);
    }

    fn is_moving(&self, now: Instant) -> bool {
        self.flow.is_some_and(|flow| now < flow.moved + STALLED_AFTER)
    }
}

#[derive(Debug)]
pub struct Scheduler {
    entries: BTreeMap<PeerId, Entry>,
    budget: Budget,
    has_space: bool,
    turn: u64,
    now: Instant,
    outputs: VecDeque<Output>,
}

impl Scheduler {
    /// `prefetch`: unused bytes allowed within [`crate::limit::PREFETCH_AGE`]; 0 switches prefetching off.
    pub fn new(prefetch: u64, now: Instant) -> Self {
        Self {
            entries: BTreeMap::new(),
            budget: Budget::new(prefetch),
            has_space: true,
            turn: 0,
            now,
            outputs: VecDeque::new(),
        }
    }

    /// Why this player's look is, or would be, fetched.
    pub fn reason(&self, peer: &PeerId) -> Reason {
        match self.entries.get(peer).map(Entry::place) {
            Some(Place::Asked(_)) => Reason::Asked,
            Some(Place::Near(..)) => Reason::Near,
            Some(Place::Prefetch(_)) | None => Reason::Prefetch,
        }
    }

    pub fn distance(&self, peer: &PeerId) -> Option<Distance> {
        self.entries.get(peer)?.near
    }

    /// Looks with a link that wait for a turn, the next one first.
    pub fn line(&self) -> Vec<PeerId> {
        let waits = |(_, entry): &(&PeerId, &Entry)| {
            entry.waits(self.now) && (!entry.place().is_prefetch() || self.affords(entry))
        };
        let mut line: Vec<_> =
            self.entries.iter().filter(waits).map(|(peer, entry)| (entry.place(), *peer)).collect();
        line.sort_unstable();
        line.into_iter().map(|(_, peer)| peer).collect()
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        // Called too often to scan all entries: deadlines are handled later.
        if let Input::Moved { peer, bytes } = input {
            return self.moved(now, peer, bytes, bytes);
        }
        self.now = now;
        match input {
            Input::Asked(peer) => {
                let turn = self.next_turn();
                self.budget.give_back(&peer);
                let entry = self.entry(peer);
                entry.asked.get_or_insert(turn);
                entry.declined = None;
            }
            Input::Unasked(peer) => self.unasked(peer),
            Input::Nearby(near) => self.nearby(&near),
            Input::Linked { peer, offers } => {
                let entry = self.entry(peer);
                (entry.linked, entry.reaching) = (true, None);
                entry.offer(offers);
            }
            Input::Offers { peer, look } => self.entry(peer).offer(look),
            Input::Parted(peer) => self.entry(peer).linked = false,
            Input::Unreachable(peer) => {
                let entry = self.entry(peer);
                entry.reaching = None;
                entry.failed(now);
            }
            Input::Document { peer, bytes } => self.moved(now, peer, bytes, 0),
            Input::Planned { peer, bytes } => {
                let entry = self.entry(peer);
                entry.missing = bytes;
                if let Some(flow) = &mut entry.flow {
                    flow.moved = now;
                }
            }
            Input::Ended { peer, end } => {
                let turn = self.next_turn();
                self.entry(peer).ended(now, turn, end);
            }
            Input::Damaged(peer) => self.entry(peer).held = None,
            Input::Gone(peer) => {
                self.budget.give_back(&peer);
                self.entries.remove(&peer);
            }
            Input::DiskSpace(has_space) => self.has_space = has_space,
            Input::Moved { .. } | Input::Time => {}
        }
        self.settle(now);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let entries = self.entries.values();
        let rested = entries.clone().filter_map(|entry| Some((entry.again?, Why::PauseOver)));
        let reached = entries.clone().filter_map(|e| Some((e.reaching? + REACH_TIME, Why::ReachDue)));
        let stalled = entries.filter_map(|e| Some((e.flow?.moved + STALLED_AFTER, Why::FlowStalled)));
        let due = self.budget.due().map(|at| (at, Why::BudgetDue));
        rested
            .chain(reached)
            .chain(stalled)
            .chain(due)
            .filter(|(at, _)| *at > self.now)
            .min_by_key(|(at, _)| *at)
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        let now = self.now;
        let waits = |e: &Entry| e.reaching.is_some() || e.is_moving(now) || e.rests(now);
        if self.entries.values().any(waits) {
            return None;
        }
        // A stalled flow has its fetch's deadlines, and no turn.
        let stalled = self.entries.values().any(|entry| entry.flow.is_some());
        Some(if stalled { "what flows has stalled, and its fetch has deadlines" } else { "nothing flows" })
    }

    /// Whether this look has a turn.
    #[cfg(test)]
    pub(crate) fn flows(&self, peer: &PeerId) -> bool {
        self.entries.get(peer).is_some_and(|entry| entry.flow.is_some())
    }

    fn entry(&mut self, peer: PeerId) -> &mut Entry {
        self.entries.entry(peer).or_default()
    }

    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn unasked(&mut self, peer: PeerId) {
        let Some(entry) = self.entries.get_mut(&peer) else { return };
        if entry.asked.take().is_some() && entry.near.is_none() && entry.flow.take().is_some() {
            // A declined look is not prefetched.
            entry.declined = entry.offers;
            self.outputs.push_back(Output::Stop(peer));
        }
    }

    fn nearby(&mut self, near: &BTreeMap<PeerId, Distance>) {
        for peer in near.keys() {
            let turn = self.next_turn();
            self.budget.give_back(peer);
            let entry = self.entry(*peer);
            if entry.near.is_none() {
                entry.turn = turn;
            }
        }
        for (peer, entry) in &mut self.entries {
            entry.near = near.get(peer).copied();
        }
    }

    /// `bytes` arrived, of which `wanted` were known to be missing.
    fn moved(&mut self, now: Instant, peer: PeerId, bytes: u64, wanted: u64) {
        let Some(entry) = self.entries.get_mut(&peer) else { return };
        let Some(flow) = &mut entry.flow else { return };
        flow.moved = now;
        entry.missing = entry.missing.saturating_sub(wanted);
        if entry.place().is_prefetch() {
            self.budget.spend(now, peer, bytes);
        }
    }

    /// Whether the budget allows prefetching this look.
    fn affords(&self, entry: &Entry) -> bool {
        let left = self.budget.left();
        self.has_space && entry.linked && left > 0 && entry.missing <= left
    }

    fn settle(&mut self, now: Instant) {
        self.budget.forget_old(now);
        let free = self.clear(now);
        while self.fill(now) {}
        if free {
            self.prefetch(now);
        }
        self.reach(now);
    }

    /// Stops a prefetch that is not alone. Returns whether there is a free turn.
    fn clear(&mut self, now: Instant) -> bool {
        let busy = self
            .entries
            .values()
            .any(|entry| !entry.place().is_prefetch() && (entry.flow.is_some() || entry.waits(now)));
        let flowing = self.entries.iter().filter(|(_, e)| e.place().is_prefetch() && e.flow.is_some());
        let mut flowing: Vec<_> = flowing.map(|(peer, entry)| (entry.place(), *peer)).collect();
        flowing.sort_unstable();
        let goes_on = |entry: &Entry| self.has_space && entry.linked && entry.missing <= self.budget.left();
        let stays = flowing.iter().find(|(_, peer)| !busy && self.entries.get(peer).is_some_and(goes_on));
        let stays = stays.map(|(_, peer)| *peer);
        for (_, peer) in flowing {
            if Some(peer) != stays {
                self.stop(peer);
            }
        }
        !busy && stays.is_none()
    }

    /// Gives one turn to the first in the queue; returns whether another may be free.
    fn fill(&mut self, now: Instant) -> bool {
        let needed = |(_, entry): &(&PeerId, &Entry)| !entry.place().is_prefetch();
        let named = |(peer, entry): (&PeerId, &Entry)| (entry.place(), *peer);
        let waiting = self.entries.iter().filter(needed).filter(|(_, entry)| entry.waits(now));
        let Some((place, first)) = waiting.map(named).min() else { return false };
        let flowing = || self.entries.iter().filter(needed).filter(|(_, entry)| entry.flow.is_some());
        let moving = || flowing().filter(move |(_, entry)| entry.is_moving(now));
        if moving().count() >= FLOWS_MAX || flowing().count() >= FLOWS_ALL_MAX {
            let Some((worst, last)) = moving().map(named).max().or_else(|| flowing().map(named).max()) else {
                return false;
            };
            if !place.displaces(worst) {
                return false;
            }
            self.stop(last);
        }
        self.begin(now, first);
        true
    }

    fn prefetch(&mut self, now: Instant) {
        let able = |(_, e): &(&PeerId, &Entry)| e.place().is_prefetch() && e.waits(now) && self.affords(e);
        let first = self.entries.iter().filter(able).map(|(peer, e)| (e.place(), *peer)).min();
        if let Some((_, peer)) = first {
            self.begin(now, peer);
        }
    }

    /// Has near players looked up.
    fn reach(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            if entry.reaching.is_some_and(|since| now >= since + REACH_TIME) {
                entry.reaching = None;
                entry.failed(now);
            }
        }
        let reaching = self.entries.values().filter(|entry| entry.reaching.is_some()).count();
        let away = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.linked && entry.reaching.is_none() && !entry.rests(now));
        let mut away: Vec<_> = away.filter_map(|(peer, e)| Some((e.near?, e.turn, *peer))).collect();
        away.sort_unstable();
        for (_, _, peer) in away.into_iter().take(REACHES_MAX.saturating_sub(reaching)) {
            self.entry(peer).reaching = Some(now);
            self.outputs.push_back(Output::Reach(peer));
        }
    }

    fn begin(&mut self, now: Instant, peer: PeerId) {
        self.entry(peer).flow = Some(Flow { moved: now });
        self.outputs.push_back(Output::Begin(peer));
    }

    fn stop(&mut self, peer: PeerId) {
        self.entry(peer).flow = None;
        self.outputs.push_back(Output::Stop(peer));
    }
}

impl Entry {
    fn offer(&mut self, look: Option<BlobHash>) {
        if self.offers != look {
            (self.offers, self.missing) = (look, 0);
        }
    }

    fn ended(&mut self, now: Instant, turn: u64, end: End) {
        (self.asked, self.flow) = (None, None);
        if self.near.is_none() {
            self.turn = turn;
        }
        match end {
            End::Here(look) => {
                (self.held, self.missing) = (Some(look), 0);
                (self.failures, self.again) = (0, None);
            }
            End::Declined => self.declined = self.offers,
            End::Later(pause) => self.again = self.again.max(Some(now + pause)),
            End::Failed => self.failed(now),
        }
    }
}
