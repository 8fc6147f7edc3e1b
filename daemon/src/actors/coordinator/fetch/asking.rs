//! When an owner is asked for the document of its look; and what ends a fetch that no fact moves on: its clients have
//! left, or its stage has lasted too long.

use super::{CHANGE_PAUSE, Fetch, Stage};
use crate::actors::{coordinator::Coordinator, peer};
use fyteclub_proto::{
    fetching::scheduler,
    id::{PeerId, PlayerName},
    ledger::{Counterpart, Item},
    local::{Fault, FaultCode},
};
use std::time::{Duration, Instant};

impl Coordinator {
    /// Begins an attempt: asks for the owner's document now, or when its allowance of documents lets it.
    pub(super) fn ask_appearance(&mut self, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        let Some(peer) = fetch.peer else { return };
        fetch.stage = Stage::AwaitAppearance;
        self.next_run += 1;
        let first = std::mem::replace(&mut fetch.run, self.next_run) == 0;
        let asked = !fetch.waiters.is_empty();
        let charged = self.around.accounts.charge(&Counterpart::Contact(peer), Item::Documents, 1);
        match charged {
            // A person who asks is a reason of its own, once.
            Err(_) if asked && first => self.send_ask(player),
            Err(refused) => self.ask_later(player, peer, refused.retry_after.unwrap_or(CHANGE_PAUSE)),
            Ok(()) => self.send_ask(player),
        }
    }

    /// This contact's looks were asked for too often of late.
    fn ask_later(&mut self, player: &PlayerName, peer: PeerId, pause: Duration) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        if !fetch.waiters.is_empty() {
            fetch.ask_at = Some(Instant::now() + pause);
        } else if let Some(fetch) = self.fetches.remove(player) {
            // Nobody waits for it, so another may have its place meanwhile.
            self.end(&fetch);
            self.scheduler(scheduler::Input::Ended { peer, end: scheduler::End::Later(pause) });
        }
    }

    fn send_ask(&mut self, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        fetch.ask_at = None;
        let (peer, run) = (fetch.peer, fetch.run);
        if let Some(actor) = peer.and_then(|peer| self.tell(&peer)) {
            actor.do_send(peer::AskAppearance { run });
        }
    }

    /// Forgets the waiters whose clients have left, and gives up the fetches that nobody waits for any more.
    pub(super) fn drop_who_left(&mut self) {
        let mut abandoned = Vec::new();
        for fetch in self.fetches.values_mut() {
            let before = fetch.waiters.len();
            fetch.waiters.retain(|waiter| !waiter.left.is_cancelled());
            if before > 0 && fetch.waiters.is_empty() {
                abandoned.push(fetch.player.clone());
            }
        }
        for player in abandoned {
            self.abandoned(&player);
        }
    }

    /// Asks for the documents that had to wait.
    pub(super) fn ask_who_waited(&mut self, now: Instant) {
        let due = |fetch: &&Fetch| fetch.ask_at.is_some_and(|at| now >= at);
        let due: Vec<PlayerName> =
            self.fetches.values().filter(due).map(|fetch| fetch.player.clone()).collect();
        for player in due {
            let waits =
                |fetch: &mut Fetch| fetch.ask_at.take().is_some() && fetch.stage == Stage::AwaitAppearance;
            if self.fetches.get_mut(&player).is_some_and(waits) {
                self.ask_appearance(&player);
            }
        }
    }

    /// Fails the fetches that have been in one stage for longer than it may last: a fact that should have moved them
    /// on was lost.
    pub(super) fn fail_overdue(&mut self, now: Instant) {
        let mut overdue = Vec::new();
        for fetch in self.fetches.values_mut() {
            let (stage, run, since) = fetch.watched;
            if (stage, run) != (fetch.stage, fetch.run) {
                fetch.watched = (fetch.stage, fetch.run, now);
            } else if stage.is_overdue(now.saturating_duration_since(since)) {
                overdue.push(fetch.player.clone());
            }
        }
        for player in overdue {
            let says = format!("{player} did not answer in time; what came is kept, so try again");
            self.fail(&player, Fault::new(FaultCode::PeerUnreachable, says));
        }
    }
}
