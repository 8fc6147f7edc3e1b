//! How a fetch ends: with the look, with a fault, or put off without a word.

use super::{Fetch, Stage};
use crate::{
    actors::{
        coordinator::{Coordinator, requests::internal},
        peer,
    },
    io::store::Pin,
    pumps::{
        blocking,
        plan::{self, Plan},
    },
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use fyteclub_proto::{
    agenda,
    id::{PeerId, PlayerName},
    local::{
        Event, Fault, FaultCode,
        reply::{Fetched, SourceStatus},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

/// A look that is here, on its way to those who wait for it.
struct Whole {
    /// Tells its fetch from another of the same player.
    began: Instant,
    peer: PeerId,
    plan: Arc<Plan>,
    pin: Pin,
    sources: Vec<SourceStatus>,
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
        let whole = Whole { began, peer, plan: running.plan, pin, sources, folders: BTreeMap::new() };
        self.hand_out(player.clone(), whole, ctx);
    }

    /// Writes the folders that are wished by now; who asks meanwhile gets the next round.
    fn hand_out(&mut self, player: PlayerName, mut whole: Whole, ctx: &mut Context<Self>) {
        let Some(fetch) = self.fetches.get(&player) else { return };
        let outs = fetch.waiters.iter().filter_map(|waiter| waiter.out.clone());
        let outs: BTreeSet<PathBuf> = outs.filter(|out| !whole.folders.contains_key(out)).collect();
        let report = self.tell(&whole.peer).map(|actor| actor.send(peer::Report));
        let (store, plan, name) = (self.store().clone(), whole.plan.clone(), player.clone());
        let finishing = async move {
            let path = match report {
                Some(report) if !plan.wanted.is_empty() => report.await.ok().and_then(|status| status.path),
                Some(_) | None => None,
            };
            let written = blocking(move || {
                let write = |out: PathBuf| {
                    let written = plan::write(&store, &plan, &name, &out);
                    (out, written.map_err(|error| Fault::new(FaultCode::Io, error.to_string())))
                };
                let folders: Vec<_> = outs.into_iter().map(write).collect();
                (folders, plan::reply(&store, &plan, &name))
            });
            (path, written.await)
        };
        ctx.spawn(finishing.into_actor(self).map(move |(path, (folders, fetched)), coordinator, ctx| {
            whole.folders.extend(folders);
            let told = fetched.map(|fetched| Fetched { path, ..fetched });
            coordinator.handed_out(player, whole, told, ctx);
        }));
    }

    /// Answers whose folder is written, or who wished for none.
    fn handed_out(
        &mut self,
        player: PlayerName,
        whole: Whole,
        told: Option<Fetched>,
        ctx: &mut Context<Self>,
    ) {
        // It was given up meanwhile, and may have begun anew.
        let ends = |fetch: &&mut Fetch| fetch.stage == Stage::AwaitFolder && fetch.began == whole.began;
        let Some(fetch) = self.fetches.get_mut(&player).filter(ends) else { return };
        let told = told.map(|fetched| Fetched {
            seconds: fetch.began.elapsed().as_secs_f64(),
            bytes_transferred: fetch.wire,
            bytes_fetched: fetch.fetched,
            sources: whole.sources.clone(),
            ..fetched
        });
        for waiter in std::mem::take(&mut fetch.waiters) {
            let folder = waiter.out.as_ref().map(|out| whole.folders.get(out).cloned());
            let answer = match (folder, &told) {
                (Some(None), Some(_)) => {
                    fetch.waiters.push(waiter);
                    continue;
                }
                (_, None) => Err(internal()),
                (Some(Some(Err(fault))), _) => Err(fault),
                (Some(Some(Ok(()))) | None, Some(fetched)) => {
                    let out = waiter.out.map(|out| out.to_string_lossy().into_owned());
                    Ok(Fetched { out, ..fetched.clone() })
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
        let end = match told {
            Some(fetched) => {
                if !fetch.spare {
                    self.bus.publish(Event::AppearanceReady {
                        player,
                        appearance: fetched.appearance,
                        files: fetched.files.len() as u64,
                        bytes: fetched.bytes_total,
                        bytes_transferred: fetch.wire,
                    });
                }
                agenda::End::Here(fetched.appearance)
            }
            None => agenda::End::Failed,
        };
        self.agenda(agenda::Input::Ended { peer: whole.peer, end });
    }

    /// Ends a fetch without a look.
    pub(in super::super) fn fail(&mut self, player: &PlayerName, fault: Fault) {
        let Some(fetch) = self.fetches.remove(player) else { return };
        tracing::info!("a fetch failed ({:?})", fault.code);
        tracing::debug!(%player, "a fetch failed: {fault}");
        self.end(&fetch);
        let peer = fetch.peer;
        // Who is near stays wanted.
        let left = peer.filter(|peer| self.agenda.distance(peer).is_none());
        if let Some(actor) = left.and_then(|peer| self.tell(&peer)) {
            actor.do_send(peer::Leave);
        }
        if !fetch.spare {
            self.bus.publish(Event::TransferFailed { player: player.clone(), error: fault.clone() });
        }
        let declined = fault.code == FaultCode::Cancelled;
        fetch.answer(Err(fault));
        if let Some(peer) = peer {
            let end = if declined { agenda::End::Declined } else { agenda::End::Failed };
            self.agenda(agenda::Input::Ended { peer, end });
        }
    }

    /// Stops what runs for a fetch that is over. What came stays in the store.
    fn end(&self, fetch: &Fetch) {
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
        let near = fetch.peer.filter(|peer| self.agenda.distance(peer).is_some());
        let Some(peer) = near else {
            return self.fail(player, Fault::new(FaultCode::Cancelled, "nobody waits for it any more"));
        };
        fetch.waiters.clear();
        // In line it stands without a fetch.
        if !fetch.begun {
            self.fetches.remove(player);
        }
        self.agenda(agenda::Input::Unasked(peer));
    }
}
