//! The running transfer of a fetch: the machine's outputs become commands to peers, the pumps' notes its inputs.

use super::{CHANGE_PAUSE, CHANGES_MAX, Fetch, Stage, misbehaved, store_fault};
use crate::{
    actors::{coordinator::Coordinator, peer, unix_millis},
    pumps::pull::{Ask, Note, Target},
};
use actix::{AsyncContext, Context, Handler, Message};
use fyteclub_proto::{
    fetching::{
        scheduler,
        transfer::{End, Failure, Input, Output, RequestId},
    },
    id::{PeerId, PlayerName},
    local::{Fault, FaultCode},
    peer::{CloseCode, Piece},
};
use std::{sync::Arc, time::Instant};

/// How often a fetch may meet a full disk on which room is found again: a quota is not seen in what a disk has free.
const FULL_MAX: u32 = 8;

impl Coordinator {
    /// Acts on everything the transfer has to say, and sets its next alarm.
    pub(super) fn drive(&mut self, player: &PlayerName, ctx: &mut Context<Self>) {
        while let Some(fetch) = self.fetches.get_mut(player) {
            let Some(output) = fetch.running.as_mut().and_then(|running| running.transfer.poll()) else {
                break;
            };
            match output {
                Output::Ask { source, request, pieces } => {
                    self.ask_pieces(player, source, request, &pieces, ctx)
                }
                Output::Drop { source, request } => {
                    let asked = fetch.running.as_mut().and_then(|running| running.requests.remove(&request));
                    if let Some(((_, number), actor)) = asked.zip(self.tell(&source)) {
                        actor.do_send(peer::StopPull(number));
                    }
                }
                Output::Suspect { source, hash } => self.suspected(player, source, hash),
                Output::Accuse { source, code } => self.ban(source, code),
                Output::Starved(failure) => self.starved(player, failure, ctx),
                Output::Done => self.complete(player, ctx),
                Output::Failed(failure) => self.transfer_failed(player, failure, ctx),
            }
        }
        let Some(running) = self.fetches.get_mut(player).and_then(|fetch| fetch.running.as_mut()) else {
            return;
        };
        if let Some(timer) = running.timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some((at, _)) = running.transfer.deadline() {
            let player = player.clone();
            let wait = at.saturating_duration_since(Instant::now());
            running.timer = Some(ctx.run_later(wait, move |coordinator, ctx| {
                let fetch = coordinator.fetches.get_mut(&player);
                if let Some(running) = fetch.and_then(|fetch| fetch.running.as_mut()) {
                    running.transfer.handle(Instant::now(), Input::Time);
                    coordinator.drive(&player, ctx);
                }
            }));
        }
    }

    fn ask_pieces(
        &mut self,
        player: &PlayerName,
        source: PeerId,
        request: RequestId,
        pieces: &[Piece],
        ctx: &mut Context<Self>,
    ) {
        let number = self.next_request;
        self.next_request += 1;
        let lending = self.around.lending.clone();
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        let Some(running) = fetch.running.as_mut() else { return };
        // Somebody other than the owner wants to see why. The newest word: a fetch may last longer than one.
        let owner = running.plan.owner;
        let grant = match owner == source {
            true => None,
            false => lending.grant(&owner, &running.plan.appearance, unix_millis()),
        };
        if grant.is_none() && owner != source {
            let end = Input::Ended { request, end: End::Refused };
            running.transfer.handle(Instant::now(), end);
            return;
        }
        // With somebody to ask the link that was lost is not what is waited for.
        fetch.stage = Stage::Transferring;
        running.requests.insert(request, (source, number));
        let targets: Vec<Target> = pieces.iter().filter_map(|piece| running.plan.target(*piece)).collect();
        let (home, player) = (ctx.address().recipient::<Carried>(), player.clone());
        let run = fetch.run;
        let notes = Arc::new(move |note| home.do_send(Carried { player: player.clone(), run, note }));
        if let Some(actor) = self.tell(&source) {
            let ask = Ask { request, targets, grant };
            actor.do_send(peer::Pull { request: number, ask, notes });
        }
    }

    fn starved(&mut self, player: &PlayerName, failure: Failure, ctx: &mut Context<Self>) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        let Some(peer) = fetch.peer else { return };
        match failure {
            Failure::Unreachable => self.await_link(player, peer, ctx),
            Failure::Silent => {
                let says = format!("{player}'s daemon stopped sending; what came is kept, so try again");
                self.fail(player, Fault::new(FaultCode::PeerUnreachable, says));
            }
            Failure::Misbehaved(CloseCode::WrongBytes) => {
                let says =
                    format!("{player} sent bytes that do not match their hashes; nothing of it was kept");
                self.fail(player, Fault::new(FaultCode::HashMismatch, says));
            }
            Failure::Misbehaved(_) => self.fail(player, misbehaved(player)),
            Failure::Refused | Failure::Gone | Failure::Changed => {
                let says = format!("{player} does not share this with you any more");
                self.fail(player, Fault::new(FaultCode::PeerRefused, says));
            }
        }
    }

    /// What is left cannot be had: the owner's files are not what was published. The newest look may have it.
    fn transfer_failed(&mut self, player: &PlayerName, failure: Failure, ctx: &mut Context<Self>) {
        if matches!(failure, Failure::Misbehaved(_)) {
            return self.starved(player, failure, ctx);
        }
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        if let Some(running) = fetch.running.take() {
            for (peer, bytes) in running.transfer.brought() {
                *fetch.brought.entry(peer).or_default() += bytes;
            }
            // What it did not bring does not come: others wait for a look that grows.
            if let Some(owner) = fetch.peer {
                self.around.lending.settle(&owner, &running.plan.appearance);
            }
        }
        fetch.changes += 1;
        if fetch.changes > CHANGES_MAX {
            let says = match failure {
                Failure::Changed => "some of their files keep changing while they are sent",
                _ => "some of their files are gone since they published",
            };
            let fault = Fault::new(
                FaultCode::Changed,
                format!("{player}'s look did not come whole: {says}; try again later"),
            );
            return self.fail(player, fault);
        }
        fetch.stage = Stage::AwaitAppearance;
        let (player, run) = (player.clone(), fetch.run);
        ctx.run_later(CHANGE_PAUSE, move |coordinator, _| {
            // Neither begun anew meanwhile, nor moved on.
            let waits = |fetch: &Fetch| fetch.run == run && fetch.stage == Stage::AwaitAppearance;
            if coordinator.fetches.get(&player).is_some_and(waits) {
                coordinator.ask_appearance(&player);
            }
        });
    }
}

/// A pump's note for one transfer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Carried {
    player: PlayerName,
    /// Of the fetch: requests are numbered anew in each.
    run: u64,
    note: Note,
}

impl Handler<Carried> for Coordinator {
    type Result = ();

    fn handle(&mut self, carried: Carried, ctx: &mut Self::Context) {
        let Carried { player, run, note } = carried;
        let Some(fetch) = self.fetches.get_mut(&player).filter(|fetch| fetch.run == run) else { return };
        let Some(running) = fetch.running.as_mut() else { return };
        match note {
            Note::Progress { facts, wire } => {
                fetch.wire += wire;
                let now = Instant::now();
                let before = running.transfer.progress().bytes_done;
                for fact in facts {
                    match &fact {
                        Input::Ended { request, .. } => drop(running.requests.remove(request)),
                        Input::Verified { .. } => fetch.losses = 0,
                        _ => {}
                    }
                    running.transfer.handle(now, fact);
                }
                let bytes = running.transfer.progress().bytes_done.saturating_sub(before);
                if let Some(peer) = fetch.peer.filter(|_| bytes > 0) {
                    self.scheduler(scheduler::Input::Moved { peer, bytes });
                }
                self.drive(&player, ctx);
            }
            Note::Local(error) if error.is_disk_full() && fetch.full < FULL_MAX => {
                // Several requests meet the same full disk.
                fetch.full += u32::from(fetch.held.is_none());
                self.disk_is_full(ctx);
            }
            Note::Local(error) if error.is_lost() => {
                let Some(peer) = fetch.peer else { return };
                if let Some(running) = fetch.running.take() {
                    for (peer, bytes) in running.transfer.brought() {
                        *fetch.brought.entry(peer).or_default() += bytes;
                    }
                    self.stop(&running);
                }
                self.fetch_anew(&player, peer, ctx);
            }
            Note::Local(error) => self.fail(&player, store_fault(&error)),
        }
    }
}
