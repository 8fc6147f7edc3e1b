//! The end of a fetch: with the look, with a fault, or postponed without an answer.

use super::{
    Fetches,
    state::{Fetch, Whole},
    words::{FolderId, Output, Run, Unready, WaiterId, Written},
};
use crate::{
    fetching::{
        scheduler::{self, End},
        stage::Stage,
    },
    id::{PeerId, PlayerName},
    local::{Event, Fault, FaultCode, reply::Fetched},
    number,
};
use std::{collections::BTreeMap, time::Instant};

/// How often files of the cache may disappear under a fetch.
pub(super) const VANISHED_MAX: u32 = 3;

impl Fetches {
    /// Everything is here.
    pub(super) fn complete(&mut self, now: Instant, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        fetch.enter(now, Stage::AwaitFolder);
        let sources = fetch.sources(&self.names);
        let Some(running) = fetch.running.take() else { return };
        let (owner, run, needed) = (fetch.peer, fetch.run, !fetch.prefetch);
        fetch.whole = Some(Whole {
            wanted: running.wanted,
            path: None,
            sources,
            brought: running.transfer.brought().collect(),
            folders: BTreeMap::new(),
        });
        self.say(Output::Settle { owner, look: running.look });
        if needed {
            self.say(Output::Prove { run });
        }
        self.hand_out(player);
    }

    /// Has the waiters' folders written; later waiters get the next round.
    fn hand_out(&mut self, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        let (run, peer) = (fetch.run, fetch.peer);
        let Some(whole) = &mut fetch.whole else { return };
        let travelled = !whole.wanted.is_empty();
        whole.path = self.links.get(&peer).filter(|_| travelled).map(|link| link.path);
        let mut folders: BTreeMap<FolderId, Vec<WaiterId>> = BTreeMap::new();
        for (waiter, folder) in &fetch.waiters {
            if let Some(folder) = folder.filter(|folder| !whole.folders.contains_key(folder)) {
                folders.entry(folder).or_default().push(*waiter);
            }
        }
        self.say(Output::HandOut { player: player.clone(), run, folders });
    }

    pub(super) fn written(
        &mut self,
        now: Instant,
        player: &PlayerName,
        run: Run,
        result: Result<Written, Unready>,
    ) {
        // It ended meanwhile, and may have begun again.
        let ends = |fetch: &&mut Fetch| fetch.is_at(Stage::AwaitFolder, run);
        let Some(fetch) = self.fetches.get_mut(player).filter(ends) else { return };
        let Some(whole) = &mut fetch.whole else { return };
        match result {
            Ok(Written { folders, fetched }) => {
                whole.folders.extend(folders);
                let told = Fetched {
                    seconds: now.saturating_duration_since(fetch.began).as_secs_f64(),
                    bytes_transferred: fetch.wire,
                    bytes_fetched: fetch.fetched,
                    path: whole.path,
                    sources: whole.sources.clone(),
                    ..*fetched
                };
                self.answer(now, player, told);
            }
            Err(unready) => {
                let brought = std::mem::take(&mut whole.brought);
                fetch.whole = None;
                fetch.keep_brought(brought);
                match unready {
                    Unready::Local(fault) => self.fail(now, player, fault),
                    Unready::Vanished => self.fetch_anew(now, player),
                }
            }
        }
    }

    /// Answers waiters whose folder is written, and those without one.
    fn answer(&mut self, now: Instant, player: &PlayerName, told: Fetched) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        let Some(whole) = &fetch.whole else { return };
        let mut later = BTreeMap::new();
        for (waiter, folder) in std::mem::take(&mut fetch.waiters) {
            let result = match folder.map(|folder| whole.folders.get(&folder)) {
                Some(None) => {
                    later.insert(waiter, folder);
                    continue;
                }
                Some(Some(Err(fault))) => Err(fault.clone()),
                Some(Some(Ok(()))) | None => Ok(Box::new(told.clone())),
            };
            self.outputs.push_back(Output::Answer { waiter, result });
        }
        fetch.waiters = later;
        if !fetch.waiters.is_empty() {
            return self.hand_out(player);
        }
        let Some(fetch) = self.fetches.remove(player) else { return };
        let wanted = fetch.whole.map(|whole| whole.wanted).unwrap_or_default();
        if fetch.prefetch {
            self.say(Output::Unused(wanted));
        } else {
            self.say(Output::Show { player: player.clone(), run: fetch.run });
            self.say(Output::Tell(Event::AppearanceReady {
                player: player.clone(),
                appearance: told.appearance,
                files: number::u64_of(told.files.len()),
                bytes: told.bytes_total,
                bytes_transferred: fetch.wire,
            }));
        }
        self.schedule(now, scheduler::Input::Ended { peer: fetch.peer, end: End::Here(told.appearance) });
    }

    /// Begins again at the document, because files of the cache disappeared under the fetch.
    pub(super) fn fetch_anew(&mut self, now: Instant, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        if !fetch.begun {
            return self.put_back(now, player);
        }
        fetch.vanished += 1;
        if fetch.vanished > VANISHED_MAX {
            let says = "files of the cache keep disappearing: check whether a cleaner or another program removes them";
            return self.fail(now, player, Fault::new(FaultCode::Io, says));
        }
        self.ask_anew(now, player);
    }

    /// Ends a fetch without a look.
    pub(super) fn fail(&mut self, now: Instant, player: &PlayerName, fault: Fault) {
        let Some(fetch) = self.fetches.remove(player) else { return };
        self.close(&fetch);
        let peer = fetch.peer;
        // A near player stays wanted.
        if self.distance(&peer).is_none() {
            self.say(Output::Leave(peer));
        }
        let end = if fault.code == FaultCode::Cancelled { End::Declined } else { End::Failed };
        let told = !fetch.prefetch;
        self.say(Output::Failed { player: player.clone(), fault: fault.clone(), told });
        for waiter in fetch.waiters.into_keys() {
            self.say(Output::Answer { waiter, result: Err(fault.clone()) });
        }
        self.schedule(now, scheduler::Input::Ended { peer, end });
    }

    /// Stops what runs for a fetch that is over. Its chunks stay in the store.
    pub(super) fn close(&mut self, fetch: &Fetch) {
        let Some(running) = &fetch.running else { return };
        self.stop_requests(fetch.peer, running);
        if fetch.prefetch {
            self.say(Output::Unused(running.wanted.clone()));
        }
    }

    pub(super) fn left(&mut self, now: Instant, waiter: WaiterId) {
        let of_waiter = |fetch: &&mut Fetch| fetch.waiters.contains_key(&waiter);
        let Some(fetch) = self.fetches.values_mut().find(of_waiter) else { return };
        fetch.waiters.remove(&waiter);
        if fetch.waiters.is_empty() {
            let player = fetch.player.clone();
            self.abandoned(now, &player);
        }
    }

    /// The last waiter has left: the fetch goes on only for a near player.
    fn abandoned(&mut self, now: Instant, player: &PlayerName) {
        let Some(fetch) = self.fetches.get(player) else { return };
        // A complete look ends by itself.
        if fetch.stage == Stage::AwaitFolder {
            return;
        }
        let (peer, begun) = (fetch.peer, fetch.begun);
        if self.distance(&peer).is_none() {
            let fault = Fault::new(FaultCode::Cancelled, "no client waits for it any more");
            return self.fail(now, player, fault);
        }
        // In the scheduler's queue it needs no fetch.
        if !begun {
            self.fetches.remove(player);
        }
        self.schedule(now, scheduler::Input::Unasked(peer));
    }

    /// A person does not want this look.
    pub(super) fn declined(&mut self, now: Instant, player: &PlayerName, key: Option<PeerId>) {
        if self.fetches.contains_key(player) {
            let says =
                format!("the fetch of {player} was cancelled; its verified chunks are kept for the next one");
            return self.fail(now, player, Fault::new(FaultCode::Cancelled, says));
        }
        if let Some(peer) = key.filter(|key| self.scheduler.line().contains(key)) {
            self.schedule(now, scheduler::Input::Ended { peer, end: End::Declined });
        }
    }
}
