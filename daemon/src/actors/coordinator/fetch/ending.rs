//! How a fetch ends: with the look, with a fault, or put off without a word.

use super::{Fetch, Stage, VANISHED_MAX, store_fault};
use crate::{
    actors::{coordinator::Coordinator, peer},
    io::store::Pin,
    pumps::{
        blocking,
        plan::{self, Plan, Unready},
    },
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use fyteclub_proto::{
    fetching::scheduler,
    id::{PeerId, PlayerName},
    local::{
        Event, Fault, FaultCode,
        reply::{Fetched, SourceStatus},
    },
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Instant};
use tokio_util::sync::CancellationToken;

/// A look that is here, on its way to those who wait for it.
struct Whole {
    /// Tells its fetch from another of the same player.
    began: Instant,
    peer: PeerId,
    plan: Arc<Plan>,
    pin: Pin,
    sources: Vec<SourceStatus>,
    /// Who brought how much of it.
    brought: Vec<(PeerId, u64)>,
    /// What came of each folder that was wished for.
    folders: BTreeMap<PathBuf, Result<(), Fault>>,
}

impl Coordinator {
    /// Others go first; nobody waits for this one. What came stays.
    pub(in super::super) fn put_off(&mut self, peer: PeerId) {
        for player in self.players_of(peer) {
            // What is here whole is let end by itself.
            let moves = |fetch: &Fetch| fetch.stage != Stage::AwaitFolder;
            if self.fetches.get(&player).is_some_and(moves)
                && let Some(fetch) = self.fetches.remove(&player)
            {
                self.end(&fetch);
            }
        }
    }

    pub(super) fn complete(&mut self, player: &PlayerName, ctx: &mut Context<Self>) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        fetch.stage = Stage::AwaitFolder;
        let (began, sources, fetch_is_spare) = (fetch.began, fetch.sources(), fetch.spare);
        let Some(running) = fetch.running.take() else { return };
        let Some(peer) = fetch.peer else { return };
        self.around.lending.settle(&peer, &running.plan.appearance);
        if !fetch_is_spare {
            self.ask_possession(running.plan.clone(), ctx);
        }
        let pin = self.store().pin(running.plan.look.blobs().into_keys());
        let brought = running.transfer.brought().collect();
        let whole =
            Whole { began, peer, plan: running.plan, pin, sources, brought, folders: BTreeMap::new() };
        self.hand_out(player.clone(), whole, ctx);
    }

    /// Writes the folders that are wished by now; who asks meanwhile gets the next round.
    fn hand_out(&mut self, player: PlayerName, mut whole: Whole, ctx: &mut Context<Self>) {
        let Some(fetch) = self.fetches.get(&player) else { return };
        let mut outs: BTreeMap<PathBuf, Vec<CancellationToken>> = BTreeMap::new();
        for waiter in &fetch.waiters {
            if let Some(out) = waiter.out.as_ref().filter(|out| !whole.folders.contains_key(*out)) {
                outs.entry(out.clone()).or_default().push(waiter.left.clone());
            }
        }
        let path = self.peers.get(&whole.peer).filter(|known| known.open && !whole.plan.wanted.is_empty());
        let path = path.and_then(|known| known.path);
        let (store, plan, name) = (self.store().clone(), whole.plan.clone(), player.clone());
        let finishing = blocking(move || {
            // Before anything is written: a folder is whole, or it is not begun.
            let all = if outs.is_empty() { Ok(()) } else { plan::look(&store, &plan) };
            if let Err(unready) = all {
                return (Vec::new(), Err(unready));
            }
            let write = |(out, asked): (PathBuf, Vec<CancellationToken>)| {
                // Nothing is written for a client that left.
                let here = asked.iter().any(|left| !left.is_cancelled());
                here.then(|| {
                    let written = plan::write(&store, &plan, &name, &out);
                    (out, written.map_err(|error| Fault::new(FaultCode::Io, error.to_string())))
                })
            };
            let folders: Vec<_> = outs.into_iter().filter_map(write).collect();
            // And after it: a file that went meanwhile is not in every folder.
            (folders, plan::reply(&store, &plan, &name))
        });
        ctx.spawn(finishing.into_actor(self).map(move |(folders, fetched), coordinator, ctx| {
            let told = match fetched {
                Ok(fetched) => Fetched { path, ..fetched },
                Err(unready) => return coordinator.not_whole(&player, &whole, &unready, ctx),
            };
            whole.folders.extend(folders);
            coordinator.handed_out(player, whole, told, ctx);
        }));
    }

    /// Some files of a look that was here are gone or changed: they are fetched anew.
    fn not_whole(&mut self, player: &PlayerName, whole: &Whole, unready: &Unready, ctx: &mut Context<Self>) {
        let ends = |fetch: &&mut Fetch| fetch.stage == Stage::AwaitFolder && fetch.began == whole.began;
        let Some(fetch) = self.fetches.get_mut(player).filter(ends) else { return };
        for (peer, bytes) in &whole.brought {
            *fetch.brought.entry(*peer).or_default() += bytes;
        }
        match unready {
            Unready::Store(error) => self.fail(player, store_fault(error)),
            Unready::Lost => self.fetch_anew(player, whole.peer, ctx),
        }
    }

    /// Begins again at the look's document, because files of the cache vanished under the fetch.
    pub(super) fn fetch_anew(&mut self, player: &PlayerName, peer: PeerId, ctx: &mut Context<Self>) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        fetch.vanished += 1;
        if fetch.vanished > VANISHED_MAX {
            let says =
                "files of the cache keep vanishing: see whether a cleaner or another program removes them";
            return self.fail(player, Fault::new(FaultCode::Io, says));
        }
        tracing::warn!("files of the cache vanished under a fetch: they are fetched again");
        match self.peers.get(&peer).is_some_and(|known| known.open) {
            true => self.ask_appearance(player),
            false => self.await_link(player, peer, ctx),
        }
    }

    /// Answers whose folder is written, or who wished for none.
    fn handed_out(&mut self, player: PlayerName, whole: Whole, told: Fetched, ctx: &mut Context<Self>) {
        // It was given up meanwhile, and may have begun anew.
        let ends = |fetch: &&mut Fetch| fetch.stage == Stage::AwaitFolder && fetch.began == whole.began;
        let Some(fetch) = self.fetches.get_mut(&player).filter(ends) else { return };
        let told = Fetched {
            seconds: fetch.began.elapsed().as_secs_f64(),
            bytes_transferred: fetch.wire,
            bytes_fetched: fetch.fetched,
            sources: whole.sources.clone(),
            ..told
        };
        for waiter in std::mem::take(&mut fetch.waiters) {
            if waiter.left.is_cancelled() {
                continue;
            }
            let folder = waiter.out.as_ref().map(|out| whole.folders.get(out).cloned());
            let answer = match folder {
                Some(None) => {
                    fetch.waiters.push(waiter);
                    continue;
                }
                Some(Some(Err(fault))) => Err(fault),
                Some(Some(Ok(()))) | None => {
                    let out = waiter.out.map(|out| out.to_string_lossy().into_owned());
                    Ok(Fetched { out, ..told.clone() })
                }
            };
            waiter.answer.send(answer).ok();
        }
        if !fetch.waiters.is_empty() {
            return self.hand_out(player, whole, ctx);
        }
        let Some(fetch) = self.fetches.remove(&player) else { return };
        match fetch.spare {
            true => {
                let brought: Vec<_> = whole.plan.wanted.iter().map(|wanted| wanted.hash).collect();
                self.store().unused(&brought);
            }
            false => self.shown.show(player.clone(), whole.pin, Instant::now()),
        }
        if !fetch.spare {
            self.bus.publish(Event::AppearanceReady {
                player,
                appearance: told.appearance,
                files: told.files.len() as u64,
                bytes: told.bytes_total,
                bytes_transferred: fetch.wire,
            });
        }
        self.scheduler(scheduler::Input::Ended {
            peer: whole.peer,
            end: scheduler::End::Here(told.appearance),
        });
    }

    /// Ends a fetch without a look.
    pub(in super::super) fn fail(&mut self, player: &PlayerName, fault: Fault) {
        let Some(fetch) = self.fetches.remove(player) else { return };
        tracing::info!("a fetch failed ({:?})", fault.code);
        tracing::debug!(%player, "a fetch failed: {fault}");
        self.end(&fetch);
        let peer = fetch.peer;
        // Who is near stays wanted.
        let left = peer.filter(|peer| self.scheduler.distance(peer).is_none());
        if let Some(actor) = left.and_then(|peer| self.tell(&peer)) {
            actor.do_send(peer::Leave);
        }
        if !fetch.spare {
            self.bus.publish(Event::TransferFailed { player: player.clone(), error: fault.clone() });
        }
        let declined = fault.code == FaultCode::Cancelled;
        fetch.answer(Err(fault));
        if let Some(peer) = peer {
            let end = if declined { scheduler::End::Declined } else { scheduler::End::Failed };
            self.scheduler(scheduler::Input::Ended { peer, end });
        }
    }

    /// Stops what runs for a fetch that is over. What came stays in the store.
    pub(super) fn end(&self, fetch: &Fetch) {
        let Some((owner, running)) = fetch.peer.zip(fetch.running.as_ref()) else { return };
        self.stop(running);
        self.around.lending.settle(&owner, &running.plan.appearance);
        if fetch.spare {
            let wanted = running.plan.wanted.iter().map(|wanted| wanted.hash);
            self.store().unused(&wanted.collect::<Vec<_>>());
        }
    }

    /// Nobody waits for it any more: it goes on only for who is near.
    pub(super) fn abandoned(&mut self, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        // What is here whole ends by itself.
        if fetch.stage == Stage::AwaitFolder {
            return;
        }
        let near = fetch.peer.filter(|peer| self.scheduler.distance(peer).is_some());
        let Some(peer) = near else {
            return self.fail(player, Fault::new(FaultCode::Cancelled, "nobody waits for it any more"));
        };
        // In line it stands without a fetch.
        if !fetch.begun {
            self.fetches.remove(player);
        }
        self.scheduler(scheduler::Input::Unasked(peer));
    }
}
