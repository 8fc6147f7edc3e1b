//! From the request to the plan: the link, the turn, the owner's document.

use super::{
    Fetches,
    state::{Fetch, Link},
    words::{DocumentFailure, FolderId, Output, PlanFailure, Planned, Run, WaiterId},
};
use crate::{
    fetching::{
        scheduler::{self, End, Reason},
        stage::Stage,
        transfer,
    },
    id::{BlobHash, PeerId, PlayerName},
    local::{Fault, FaultCode},
    peer::CloseCode,
};
use std::time::{Duration, Instant};

/// How often the link may be lost without progress in between.
pub(super) const LOSSES_MAX: u32 = 5;
/// After all streams broke, how long the link has to break too.
pub(super) const LOSS_PAUSE: Duration = Duration::from_secs(1);

impl Fetches {
    pub(super) fn asked(
        &mut self,
        now: Instant,
        player: PlayerName,
        key: Result<PeerId, Fault>,
        waiter: WaiterId,
        folder: Option<FolderId>,
    ) {
        if let Some(fetch) = self.fetches.get_mut(&player) {
            fetch.waiters.insert(waiter, folder);
            let peer = fetch.peer;
            self.schedule(now, scheduler::Input::Asked(peer));
            return self.needed(&player);
        }
        let peer = match key {
            Ok(peer) => peer,
            Err(fault) => {
                self.say(Output::Failed { player, fault: fault.clone(), told: true });
                return self.say(Output::Answer { waiter, result: Err(fault) });
            }
        };
        self.names.insert(peer, player.clone());
        self.give_way(now, &player, peer);
        let open = self.links.contains_key(&peer);
        let stage = if open { Stage::AwaitTurn } else { Stage::AwaitLink };
        let mut fetch = Fetch::new(player.clone(), peer, stage, now);
        fetch.waiters.insert(waiter, folder);
        self.fetches.insert(player, fetch);
        // A connected peer is not looked up.
        if !open {
            self.say(Output::Want(peer));
        }
        self.schedule(now, scheduler::Input::Asked(peer));
    }

    /// A key has one fetch, and a name one: if a contact changed either, the older fetch ends.
    fn give_way(&mut self, now: Instant, player: &PlayerName, peer: PeerId) {
        let other = |fetch: &&Fetch| (fetch.player == *player) != (fetch.peer == peer);
        let others: Vec<_> = self.fetches.values().filter(other).map(|fetch| fetch.player.clone()).collect();
        for other in others {
            let says = format!("{other} has another key or name now: fetch again");
            self.fail(now, &other, Fault::new(FaultCode::KeyChanged, says));
        }
    }

    /// The player has a turn, with or without waiters.
    pub(super) fn begin(&mut self, now: Instant, peer: PeerId) {
        let of_peer = self.fetches.values().find(|fetch| fetch.peer == peer);
        let player = of_peer.map(|fetch| &fetch.player).or_else(|| self.names.get(&peer)).cloned();
        let Some(player) = player else {
            return self.schedule(now, scheduler::Input::Ended { peer, end: End::Failed });
        };
        self.give_way(now, &player, peer);
        let prefetch = self.scheduler.reason(&peer) == Reason::Prefetch;
        let fetch = self
            .fetches
            .entry(player.clone())
            .or_insert_with(|| Fetch { prefetch, ..Fetch::new(player.clone(), peer, Stage::AwaitTurn, now) });
        fetch.begun = true;
        if fetch.stage == Stage::AwaitTurn {
            self.ask_document(now, &player);
        }
    }

    /// Others go first. Its chunks stay.
    pub(super) fn preempt(&mut self, now: Instant, peer: PeerId) {
        for player in self.players_of(peer) {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            if fetch.stage == Stage::AwaitFolder {
                // A complete look ends by itself, without a turn.
                fetch.begun = false;
            } else {
                self.put_back(now, &player);
            }
        }
    }

    /// Ends the attempt of a fetch that lost its turn. Its waiters wait for another; its chunks stay.
    pub(super) fn put_back(&mut self, now: Instant, player: &PlayerName) {
        let Some(fetch) = self.fetches.remove(player) else { return };
        self.close(&fetch);
        for (waiter, folder) in fetch.waiters {
            self.asked(now, player.clone(), Ok(fetch.peer), waiter, folder);
        }
    }

    /// Turns a prefetch into an ordinary fetch.
    pub(super) fn needed(&mut self, player: &PlayerName) {
        if let Some(fetch) = self.fetches.get_mut(player)
            && std::mem::take(&mut fetch.prefetch)
        {
            self.ask_holdings(player);
        }
    }

    /// Begins an attempt: asks the owner for its document.
    pub(super) fn ask_document(&mut self, now: Instant, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        self.run += 1;
        let first = std::mem::replace(&mut fetch.run, self.run) == 0;
        (fetch.stage, fetch.since, fetch.ask_at) = (Stage::AwaitAppearance, now, None);
        // A waiter's first request is not refused.
        let anyway = first && !fetch.waiters.is_empty();
        let ask = Output::AskDocument { peer: fetch.peer, run: fetch.run, anyway };
        self.say(ask);
    }

    /// Begins another attempt; the link may be lost.
    pub(super) fn ask_anew(&mut self, now: Instant, player: &PlayerName) {
        let linked = |fetch: &Fetch| self.links.contains_key(&fetch.peer);
        if self.fetches.get(player).is_some_and(linked) {
            self.ask_document(now, player);
        } else {
            self.await_link(now, player);
        }
    }

    /// The contact's allowance of documents is used up.
    pub(super) fn postponed(&mut self, now: Instant, peer: PeerId, run: Run, pause: Duration) {
        let Some(player) = self.asking(peer, run) else { return };
        let Some(fetch) = self.fetches.get_mut(&player) else { return };
        if !fetch.waiters.is_empty() {
            fetch.ask_at = Some(now + pause);
        } else if let Some(fetch) = self.fetches.remove(&player) {
            // Without waiters, another may have its turn meanwhile.
            self.close(&fetch);
            self.schedule(now, scheduler::Input::Ended { peer, end: End::Later(pause) });
        }
    }

    /// The player whose document this attempt awaits.
    fn asking(&self, peer: PeerId, run: Run) -> Option<PlayerName> {
        let asks = |fetch: &&Fetch| fetch.peer == peer && fetch.is_at(Stage::AwaitAppearance, run);
        self.fetches.values().find(asks).map(|fetch| fetch.player.clone())
    }

    pub(super) fn document(
        &mut self,
        now: Instant,
        peer: PeerId,
        run: Run,
        result: Result<u64, DocumentFailure>,
    ) {
        let Some(player) = self.asking(peer, run) else { return };
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(failure) => return self.no_document(now, &player, peer, failure),
        };
        self.schedule(now, scheduler::Input::Document { peer, bytes });
        // It may have used up the budget.
        let asks = |fetch: &&mut Fetch| fetch.is_at(Stage::AwaitAppearance, run);
        let Some(fetch) = self.fetches.get_mut(&player).filter(asks) else { return };
        fetch.enter(now, Stage::AwaitPlan);
        let evict = !fetch.prefetch;
        self.say(Output::Plan { player, peer, run, evict });
    }

    fn no_document(&mut self, now: Instant, player: &PlayerName, peer: PeerId, failure: DocumentFailure) {
        let open = self.links.contains_key(&peer);
        match failure {
            DocumentFailure::Nothing => {
                let says = format!("{player} shares nothing now, or not with you");
                self.fail(now, player, Fault::new(FaultCode::PeerRefused, says));
            }
            DocumentFailure::Misbehaved(code) => {
                self.ban(peer, code);
                self.fail(now, player, misbehaved(player));
            }
            DocumentFailure::Late(error) if open => {
                let says = format!("{player} did not answer in time ({error})");
                self.fail(now, player, Fault::new(FaultCode::PeerUnreachable, says));
            }
            DocumentFailure::Late(_) | DocumentFailure::Broken => {
                self.await_link(now, player);
                // Of two simultaneous links one closed; the other is open.
                if open {
                    self.link_open(now, peer);
                }
            }
        }
    }

    pub(super) fn planned(
        &mut self,
        now: Instant,
        player: &PlayerName,
        run: Run,
        result: Result<Planned, PlanFailure>,
    ) {
        // It was postponed meanwhile, and may have begun again.
        let waits = |fetch: &&mut Fetch| fetch.is_at(Stage::AwaitPlan, run);
        let Some(fetch) = self.fetches.get_mut(player).filter(waits) else { return };
        let peer = fetch.peer;
        let fault = match result {
            Ok(plan) => return self.start_transfer(now, player, plan),
            // Space is made for it after all.
            Err(PlanFailure::NoFreeSpace) if !fetch.prefetch => return self.ask_anew(now, player),
            Err(PlanFailure::NoFreeSpace) => {
                Fault::new(FaultCode::TooLarge, "a prefetched look does not fit")
            }
            Err(PlanFailure::Local(fault)) => fault,
            Err(PlanFailure::Unacceptable(error)) => {
                self.ban(peer, CloseCode::Malformed);
                Fault::new(FaultCode::PeerMisbehaved, format!("{player}'s look is invalid: {error}"))
            }
            Err(PlanFailure::OtherName(name)) => {
                let says = format!("the key of {player} signs as {name}: ask them under that name");
                Fault::new(FaultCode::PeerRefused, says)
            }
        };
        self.fail(now, player, fault);
    }

    /// Only the newest look of a player is fetched: an older one's transfer ends, and its chunks are kept.
    pub(super) fn newest_look(&mut self, now: Instant, owner: PeerId, look: Option<BlobHash>) {
        let Some(look) = look else { return };
        for player in self.players_of(owner) {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            match fetch.stage {
                Stage::Transferring | Stage::AwaitLink => {
                    if fetch.running.as_ref().is_some_and(|running| running.look != look) {
                        self.stop_transfer(&player);
                        self.ask_document(now, &player);
                    }
                }
                Stage::AwaitAppearance | Stage::AwaitPlan => fetch.announced = Some(look),
                Stage::AwaitTurn | Stage::AwaitFolder => {}
            }
        }
    }

    /// A link is open: waiting fetches go on.
    pub(super) fn link_open(&mut self, now: Instant, peer: PeerId) {
        // Its link is being closed.
        if self.is_banned(&peer) {
            return;
        }
        for player in self.players_of(peer) {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            match (fetch.stage, &mut fetch.running) {
                (Stage::AwaitLink, None) if fetch.begun => self.ask_document(now, &player),
                (Stage::AwaitLink, None) => fetch.enter(now, Stage::AwaitTurn),
                (Stage::AwaitLink | Stage::Transferring, Some(running)) => {
                    running.transfer.handle(now, transfer::Input::Joined(peer, transfer::Holds::All));
                    fetch.enter(now, Stage::Transferring);
                    self.drive(now, &player);
                }
                (Stage::AwaitTurn | Stage::AwaitAppearance | Stage::AwaitPlan | Stage::AwaitFolder, _)
                | (Stage::Transferring, None) => {}
            }
        }
        self.ask_holdings_of(peer);
    }

    pub(super) fn link_lost(&mut self, now: Instant, peer: PeerId) {
        let link = self.links.remove(&peer);
        let banned = link.is_some_and(|Link { banned, .. }| banned);
        // Before anything is dialled for a prefetch.
        self.schedule(now, scheduler::Input::Parted(peer));
        for player in self.players_of(peer) {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            match (fetch.stage, &fetch.running) {
                (Stage::AwaitTurn, _) => {
                    fetch.enter(now, Stage::AwaitLink);
                    self.say(Output::Want(peer));
                }
                (Stage::AwaitAppearance, _) => self.await_link(now, &player),
                // Other sources may go on without the owner, who is wanted all the same.
                (Stage::Transferring, Some(_)) if !banned => self.say(Output::Want(peer)),
                _ => {}
            }
        }
        self.source_lost(now, peer);
    }

    /// Waits for a new link, with a deadline.
    pub(super) fn await_link(&mut self, now: Instant, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        fetch.losses += 1;
        // A prefetch dials nobody.
        if fetch.losses > LOSSES_MAX || fetch.prefetch {
            let says = format!(
                "the link to {player} breaks again and again; verified chunks are kept, so try again later"
            );
            return self.fail(now, player, Fault::new(FaultCode::PeerUnreachable, says));
        }
        fetch.enter(now, Stage::AwaitLink);
        // Streams break before the link does; if the link holds, no event says so.
        fetch.link_at = Some(now + LOSS_PAUSE);
        let want = Output::Want(fetch.peer);
        self.say(want);
    }

    pub(super) fn unreachable(&mut self, now: Instant, peer: PeerId, cause: &str) {
        for player in self.players_of(peer) {
            if self.fetches.get(&player).is_some_and(|fetch| fetch.stage == Stage::AwaitLink) {
                let says = format!("{player} cannot be reached: {cause}");
                self.fail(now, &player, Fault::new(FaultCode::PeerUnreachable, says));
            }
        }
        self.schedule(now, scheduler::Input::Unreachable(peer));
    }

    /// An unreachable peer is not awaited; a lost link may return.
    pub(super) fn not_found(&mut self, now: Instant, peer: PeerId, code: FaultCode, cause: &str) {
        for player in self.players_of(peer) {
            let begins = |fetch: &Fetch| {
                fetch.stage == Stage::AwaitLink && fetch.running.is_none() && fetch.losses == 0
            };
            if self.fetches.get(&player).is_some_and(begins) {
                self.fail(now, &player, Fault::new(code, format!("{player} cannot be found: {cause}")));
            }
        }
    }

    /// Handles a stage's deadlines.
    pub(super) fn stage_time(&mut self, now: Instant, player: &PlayerName) {
        let due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        if fetch.stage.is_overdue(now.saturating_duration_since(fetch.since)) {
            // The fact that should have ended the stage was lost.
            let says = format!("{player} did not answer in time; verified chunks are kept, so try again");
            return self.fail(now, player, Fault::new(FaultCode::PeerUnreachable, says));
        }
        if due(fetch.ask_at) {
            fetch.ask_at = None;
            if fetch.stage == Stage::AwaitAppearance {
                return self.ask_document(now, player);
            }
        }
        if due(fetch.link_at) {
            fetch.link_at = None;
            let (peer, waits) = (fetch.peer, fetch.stage == Stage::AwaitLink);
            if waits && self.links.contains_key(&peer) {
                self.link_open(now, peer);
            }
        }
    }

    /// The peer broke the protocol.
    pub(super) fn ban(&mut self, peer: PeerId, code: CloseCode) {
        if code.consequence().ban
            && let Some(link) = self.links.get_mut(&peer)
        {
            link.banned = true;
        }
        self.say(Output::Ban { peer, code });
    }
}

pub(super) fn misbehaved(player: &PlayerName) -> Fault {
    let says = format!("{player}'s daemon broke the protocol and was disconnected; update both daemons");
    Fault::new(FaultCode::PeerMisbehaved, says)
}
