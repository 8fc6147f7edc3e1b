//! Every fetch, from the request for a player's look to the answer.
//!
//! ```text
//! AwaitLink ─► AwaitTurn ─► AwaitAppearance ─► AwaitPlan ─► Transferring ─► AwaitFolder ─► answered
//!     ▲                            ▲                            │
//!     └────────── link lost ───────┴─ a file, the look changed ─┘
//! ```
//!
//! - A player has one fetch: all who ask for the same player wait for it. The [`Scheduler`] gives turns, also to looks
//!   of near players and to prefetches.
//! - Each waiter is answered once, unless it left. When the last one leaves and the player is not near, the fetch ends;
//!   its chunks stay in the store for the next fetch.
//! - A lost link ends a running [`Transfer`](super::transfer) only when no other source has what is missing.
//! - The newest look of a player is fetched. An older one's transfer ends, and its chunks are kept.
//! - Every stage has a deadline, or names what ends it ([`Stage::ends_by`]).
//!
//! `stages` brings a fetch to its plan, `running` runs its transfer, `ending` hands the look out or fails it.

mod ending;
mod running;
mod stages;
mod state;
#[cfg(test)]
mod tests;
mod words;

use super::{
    scheduler::{self, Distance, Reason, Scheduler},
    stage::Stage,
};
use crate::{
    id::{PeerId, PlayerName},
    local::{
        Event, Fault, FaultCode,
        reply::{TransferStatus, WaitingStatus},
    },
};
use state::{Fetch, Link};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};
use words::sooner;
pub use words::{
    Ask, DocumentFailure, FolderId, Input, Output, PlanFailure, Planned, RequestNumber, Run, Unkept, Unready,
    WaiterId, Why, Written,
};

/// All fetches of this daemon.
#[derive(Debug)]
pub struct Fetches {
    scheduler: Scheduler,
    fetches: BTreeMap<PlayerName, Fetch>,
    /// Peers with an open link.
    links: BTreeMap<PeerId, Link>,
    /// Names of contacts.
    names: BTreeMap<PeerId, PlayerName>,
    /// Forgiven wrong chunks of each peer.
    wrongs: BTreeMap<PeerId, u32>,
    /// The disk is full; the message for waiters who wait too long for space.
    full: Option<String>,
    /// The number of the last attempt.
    run: Run,
    /// The number of the next request.
    request: RequestNumber,
    /// The scheduler's deadline. May be early: it is not recomputed for received bytes.
    scheduler_due: Option<(Instant, scheduler::Why)>,
    outputs: VecDeque<Output>,
}

impl Fetches {
    /// `prefetch`: see [`Scheduler::new`].
    pub fn new(prefetch: u64, now: Instant) -> Self {
        Self {
            scheduler: Scheduler::new(prefetch, now),
            fetches: BTreeMap::new(),
            links: BTreeMap::new(),
            names: BTreeMap::new(),
            wrongs: BTreeMap::new(),
            full: None,
            run: 0,
            request: 0,
            scheduler_due: None,
            outputs: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Asked { player, key, waiter, folder } => self.asked(now, player, key, waiter, folder),
            Input::Left(waiter) => self.left(now, waiter),
            Input::Declined { player, key } => self.declined(now, &player, key),
            Input::Failed { player, fault } => self.fail(now, &player, fault),
            Input::Nearby(near) => self.nearby(now, near),
            Input::Named { peer, player } => drop(self.names.insert(peer, player)),
            Input::Removed(peer) => self.removed(now, peer),
            Input::Damaged(peer) => self.schedule(now, scheduler::Input::Damaged(peer)),
            Input::Opened { peer, path, offers } => {
                self.links.insert(peer, Link { path, banned: false });
                self.newest_look(now, peer, offers);
                self.link_open(now, peer);
                self.schedule(now, scheduler::Input::Linked { peer, offers });
            }
            Input::Path { peer, path } => {
                if let Some(link) = self.links.get_mut(&peer) {
                    link.path = path;
                }
            }
            Input::Offers { peer, look } => {
                self.newest_look(now, peer, look);
                self.schedule(now, scheduler::Input::Offers { peer, look });
            }
            Input::Silent(peer) => self.source_silent(now, peer),
            Input::Lost(peer) => self.link_lost(now, peer),
            Input::Unreachable { peer, cause } => self.unreachable(now, peer, &cause),
            Input::NotFound { peer, code, cause } => self.not_found(now, peer, code, &cause),
            Input::Document { peer, run, result } => self.document(now, peer, run, result),
            Input::Postponed { peer, run, pause } => self.postponed(now, peer, run, pause),
            Input::Planned { player, run, result } => self.planned(now, &player, run, result),
            Input::Holding { peer, owner, look, reply } => self.holding(now, peer, owner, look, reply),
            Input::Received { player, run, facts, wire } => self.heard(now, &player, run, facts, wire),
            Input::Unkept { player, run, why } => self.unkept(now, &player, run, why),
            Input::Written { player, run, result } => self.written(now, &player, run, result),
            Input::DiskSpace(space) => self.disk_space(now, space.err()),
            Input::Tick => {
                self.time(now);
                self.tell_progress(now);
            }
            Input::Time => self.time(now),
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let scheduler = self.scheduler_due.map(|(at, why)| (at, Why::Scheduler(why)));
        self.fetches.values().map(Fetch::deadline).fold(scheduler, sooner)
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        if self.fetches.is_empty() {
            return Some("nothing is fetched");
        }
        let local = |fetch: &Fetch| matches!(fetch.stage, Stage::AwaitPlan | Stage::AwaitFolder);
        let ends = |fetch: &Fetch| local(fetch) || fetch.stage == Stage::AwaitTurn;
        let ends = self.fetches.values().all(ends) && self.fetches.values().any(local);
        ends.then_some("jobs of this machine run, which end by themselves")
    }

    /// Running fetches, and their reasons.
    pub fn transfers(&self) -> impl Iterator<Item = TransferStatus> + '_ {
        let status = |fetch: &Fetch| fetch.status(self.scheduler.reason(&fetch.peer), &self.names);
        self.fetches.values().filter_map(status)
    }

    /// Fetches with a link that wait for a turn, the next one first. Before them, fetches with a turn whose document is
    /// awaited or planned: nothing of them moves yet, and a client that reads both lists must find them in one.
    pub fn waiting(&self) -> Vec<WaitingStatus> {
        let waiting = |peer_id: PeerId| {
            Some(WaitingStatus {
                player: self.names.get(&peer_id)?.clone(),
                peer_id,
                reason: self.reason(&peer_id),
                distance: self.distance(&peer_id),
            })
        };
        let begun = |fetch: &&Fetch| matches!(fetch.stage, Stage::AwaitAppearance | Stage::AwaitPlan);
        let begun = self.fetches.values().filter(begun).filter(|fetch| fetch.running.is_none());
        let mut peers: Vec<PeerId> = begun.map(|fetch| fetch.peer).collect();
        for peer in self.scheduler.line() {
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        peers.into_iter().filter_map(waiting).collect()
    }

    /// Why this player's look is, or would be, fetched.
    pub fn reason(&self, peer: &PeerId) -> Reason {
        self.scheduler.reason(peer)
    }

    pub fn distance(&self, peer: &PeerId) -> Option<Distance> {
        self.scheduler.distance(peer)
    }

    /// Whether a link to this peer is needed, for a fetch or because the player is near.
    pub fn needs(&self, peer: &PeerId) -> bool {
        self.distance(peer).is_some() || self.fetches.values().any(|fetch| fetch.peer == *peer)
    }

    /// Whether there is a fetch that [`Input::Declined`] ends, or one that waits for a turn.
    pub fn can_decline(&self, player: &PlayerName, key: Option<PeerId>) -> bool {
        self.fetches.contains_key(player) || key.is_some_and(|key| self.scheduler.line().contains(&key))
    }

    /// Players whose look is fetched from this peer.
    pub fn players_of(&self, peer: PeerId) -> Vec<PlayerName> {
        let of_peer = self.fetches.values().filter(|fetch| fetch.peer == peer);
        of_peer.map(|fetch| fetch.player.clone()).collect()
    }

    /// Whether a transfer runs for which space is made.
    pub fn is_transferring(&self) -> bool {
        self.fetches.values().any(|fetch| !fetch.prefetch && fetch.stage == Stage::Transferring)
    }

    /// Whether this attempt is current, and its plan still needed.
    pub fn holds(&self, run: Run) -> bool {
        let uses = |fetch: &Fetch| fetch.run == run && (fetch.running.is_some() || fetch.whole.is_some());
        self.fetches.values().any(uses)
    }

    fn say(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn is_banned(&self, peer: &PeerId) -> bool {
        self.links.get(peer).is_some_and(|link| link.banned)
    }

    fn schedule(&mut self, now: Instant, input: scheduler::Input) {
        self.scheduler.handle(now, input);
        while let Some(output) = self.scheduler.poll() {
            match output {
                scheduler::Output::Reach(peer) => self.say(Output::Want(peer)),
                scheduler::Output::Begin(peer) => self.begin(now, peer),
                scheduler::Output::Stop(peer) => self.preempt(now, peer),
            }
        }
        self.scheduler_due = self.scheduler.deadline();
    }

    fn nearby(&mut self, now: Instant, near: Vec<(PlayerName, PeerId, Distance)>) {
        let distances = near.iter().map(|(_, peer, distance)| (*peer, *distance)).collect();
        self.names.extend(near.iter().map(|(player, peer, _)| (*peer, player.clone())));
        self.schedule(now, scheduler::Input::Nearby(distances));
        near.iter().for_each(|(player, ..)| self.needed(player));
    }

    fn removed(&mut self, now: Instant, peer: PeerId) {
        for player in self.players_of(peer) {
            let fault = Fault::new(FaultCode::NotAContact, format!("{player} is no longer your contact"));
            self.fail(now, &player, fault);
        }
        self.names.remove(&peer);
        self.wrongs.remove(&peer);
        self.schedule(now, scheduler::Input::Gone(peer));
    }

    fn time(&mut self, now: Instant) {
        for player in self.fetches.keys().cloned().collect::<Vec<_>>() {
            self.stage_time(now, &player);
            self.transfer_time(now, &player);
        }
        if self.scheduler_due.is_some_and(|(at, _)| at <= now) {
            self.schedule(now, scheduler::Input::Time);
        }
    }

    fn tell_progress(&mut self, now: Instant) {
        for running in self.fetches.values_mut().filter_map(|fetch| fetch.running.as_mut()) {
            running.speed.look(now, running.transfer.progress().bytes_done);
        }
        let told: Vec<_> =
            self.transfers().map(|status| Output::Tell(Event::TransferProgress(status))).collect();
        self.outputs.extend(told);
    }
}
