//! How a fetch ends: with the look, with a fault, or put off without a word.

use super::{Fetch, Stage};
use crate::{
    actors::{
        coordinator::{Coordinator, requests::internal},
        peer,
    },
    pumps::{blocking, plan},
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use fyteclub_proto::{
    agenda,
    id::{BlobHash, PeerId, PlayerName},
    local::{Event, Fault, FaultCode},
};
use std::path::PathBuf;

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
        let sources = fetch.sources();
        let Some(running) = fetch.running.take() else { return };
        let Some(peer) = fetch.peer else { return };
        self.around.lending.settle(&peer, &running.plan.appearance);
        let fresh = !running.plan.wanted.is_empty();
        let outs: Vec<PathBuf> = fetch.waiters.iter().filter_map(|waiter| waiter.out.clone()).collect();
        let (store, plan, name) = (self.store().clone(), running.plan, player.clone());
        let pin = store.pin(plan.look.blobs().into_keys());
        let brought: Vec<BlobHash> = plan.wanted.iter().map(|wanted| wanted.hash).collect();
        let report = self.tell(&peer).map(|actor| actor.send(peer::Report));
        let finishing = async move {
            let path = match report {
                Some(report) if fresh => report.await.ok().and_then(|status| status.path),
                Some(_) | None => None,
            };
            let written = blocking(move || {
                let written = outs.iter().try_for_each(|out| plan::write(&store, &plan, &name, out));
                written.map(|()| plan::reply(&store, &plan, &name))
            });
            (path, written.await)
        };
        let player = player.clone();
        ctx.spawn(finishing.into_actor(self).map(move |(path, written), coordinator, _| {
            // It was given up meanwhile, and may have begun anew.
            let ends = |fetch: &Fetch| fetch.stage == Stage::AwaitFolder;
            if !coordinator.fetches.get(&player).is_some_and(ends) {
                return;
            }
            let Some(fetch) = coordinator.fetches.remove(&player) else { return };
            let end = match &written {
                Ok(Some(fetched)) => agenda::End::Here(fetched.appearance),
                _ => agenda::End::Failed,
            };
            match fetch.spare {
                true => coordinator.store().unused(&brought),
                false => drop(coordinator.shown.insert(player.clone(), pin)),
            }
            let result = match written {
                Ok(Some(mut fetched)) => {
                    fetched.seconds = fetch.began.elapsed().as_secs_f64();
                    fetched.bytes_transferred = fetch.wire;
                    fetched.bytes_fetched = fetch.fetched;
                    fetched.path = path;
                    fetched.sources = sources;
                    if !fetch.spare {
                        coordinator.bus.publish(Event::AppearanceReady {
                            player,
                            appearance: fetched.appearance,
                            files: fetched.files.len() as u64,
                            bytes: fetched.bytes_total,
                            bytes_transferred: fetch.wire,
                        });
                    }
                    Ok(fetched)
                }
                Ok(None) => Err(internal()),
                Err(error) => Err(Fault::new(FaultCode::Io, error.to_string())),
            };
            for waiter in fetch.waiters {
                let told = result.clone().map(|mut fetched| {
                    fetched.out = waiter.out.map(|out| out.to_string_lossy().into_owned());
                    fetched
                });
                waiter.answer.send(told).ok();
            }
            coordinator.agenda(agenda::Input::Ended { peer, end });
        }));
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
