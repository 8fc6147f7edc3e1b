//! Who else than the owner brings a look: what contacts with an open link hold of it, the grant that lets them give it,
//! and what this side may pass on itself.

use super::{Fetch, Plan, Running, Stage};
use crate::actors::{coordinator::Coordinator, peer, unix_millis};
use actix::{AsyncContext, Context};
use fyteclub_proto::{
    fetching::transfer::{Holds, Input},
    grant::Grant,
    id::{BlobHash, PeerId, PlayerName},
    local::{Event, reply::SourceStatus},
    peer::{CloseCode, HoldingReply},
};
use std::time::{Duration, Instant};

/// How often a peer that fetches the same look itself is asked what it has by now.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Wrong chunks of one peer, over all looks, after which it is not listened to for a while.
const WRONGS_MAX: u32 = 2;

impl Fetch {
    pub(super) fn sources(&self) -> Vec<SourceStatus> {
        let mut bytes = self.brought.clone();
        let running = self.running.as_ref();
        for (peer, more) in running.into_iter().flat_map(|running| running.transfer.brought()) {
            *bytes.entry(peer).or_default() += more;
        }
        let name = |peer: &PeerId| running.and_then(|running| running.names.get(peer).cloned().flatten());
        let source = |(peer_id, bytes)| SourceStatus { player: name(&peer_id), peer_id, bytes };
        bytes.into_iter().map(source).collect()
    }

    /// The running transfer, while it can use sources.
    fn open_transfer(&mut self) -> Option<&mut Running> {
        let open = matches!(self.stage, Stage::Transferring | Stage::AwaitLink);
        self.running.as_mut().filter(|_| open)
    }
}

impl Coordinator {
    /// Notes that the look may be asked of others and passed on. A grant that is not good is nobody's fault: players'
    /// clocks are wrong, and then the owner alone is asked.
    pub(super) fn borrow(&mut self, owner: PeerId, grant: Grant, plan: &Plan) {
        let now = unix_millis();
        let checked = grant.holds_for(&self.around.here, now);
        if checked.is_err() || grant.owner != owner || grant.look != plan.appearance {
            tracing::info!(peer = %owner.short(), "others are not asked for this look: its grant is not good ({checked:?})");
            return;
        }
        let Some(known) = self.peers.get(&owner) else { return };
        self.around.lending.begin(grant, known.access.clone(), plan.blobs.clone(), now);
    }

    /// Asks owners for the next grant where what is fetched or lent under the last one needs it.
    pub(super) fn tick_grants(&self) {
        let open = |owner: &PeerId| self.peers.get(owner).is_some_and(|known| known.open);
        for (owner, look) in self.around.lending.due(unix_millis(), open) {
            if let Some(actor) = self.tell(&owner) {
                actor.do_send(peer::AskGrant { look });
            }
        }
    }

    fn is_granted(&self, owner: &PeerId, look: &BlobHash) -> bool {
        self.around.lending.grant(owner, look, unix_millis()).is_some()
    }

    /// Asks everybody with a link what they hold of a look that is being fetched.
    pub(super) fn ask_holdings(&self, player: &PlayerName) {
        let Some(fetch) = self.fetches.get(player) else { return };
        let (Some(owner), Some(running)) = (fetch.peer, &fetch.running) else { return };
        // What nobody needs yet is nobody else's business.
        if !self.is_granted(&owner, &running.plan.appearance) || fetch.spare {
            return;
        }
        let ask = || peer::AskHolding { owner, look: running.plan.appearance };
        let others = self.peers.iter().filter(|(peer, known)| known.open && **peer != owner);
        others.for_each(|(_, known)| known.actor.do_send(ask()));
    }

    /// Asks one peer, whose link is open now, about all looks that are being fetched.
    pub(super) fn ask_holdings_of(&self, peer: PeerId) {
        let Some(actor) = self.tell(&peer) else { return };
        for fetch in self.fetches.values() {
            if let (Some(owner), Some(running)) = (fetch.peer, &fetch.running)
                && owner != peer
                && !fetch.spare
                && self.is_granted(&owner, &running.plan.appearance)
            {
                actor.do_send(peer::AskHolding { owner, look: running.plan.appearance });
            }
        }
    }

    pub(in super::super) fn holding_came(
        &mut self,
        peer: PeerId,
        owner: PeerId,
        look: BlobHash,
        reply: HoldingReply,
        ctx: &mut Context<Self>,
    ) {
        let HoldingReply::Holds { bits, growing } = reply else { return };
        if self.is_banned(&peer) {
            return;
        }
        let Some(known) = self.peers.get(&peer).filter(|known| known.open) else { return };
        let name = known.player.clone();
        for player in self.players_of(owner) {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            let Some(running) = fetch.open_transfer().filter(|running| running.plan.appearance == look)
            else {
                continue;
            };
            let held = running.plan.blobs.iter().enumerate();
            let blobs =
                held.filter(|(at, _)| HoldingReply::has(&bits, *at)).map(|(_, blob)| blob.hash).collect();
            running.names.insert(peer, name.clone());
            running.transfer.handle(Instant::now(), Input::Joined(peer, Holds::These { blobs, growing }));
            self.drive(&player, ctx);
            if growing {
                ctx.run_later(ASK_AGAIN, move |coordinator, _| {
                    let going = coordinator.fetches.get_mut(&player).and_then(Fetch::open_transfer);
                    if going.is_some_and(|running| running.plan.appearance == look)
                        && let Some(actor) = coordinator.tell(&peer)
                    {
                        actor.do_send(peer::AskHolding { owner, look });
                    }
                });
            }
        }
    }

    /// A peer's link is gone, whosever look it was a source of.
    pub(super) fn source_lost(&mut self, peer: PeerId, ctx: &mut Context<Self>) {
        let players: Vec<PlayerName> = self.fetches.keys().cloned().collect();
        for player in players {
            let running = self.fetches.get_mut(&player).and_then(Fetch::open_transfer);
            if let Some(running) = running {
                running.transfer.handle(Instant::now(), Input::Left(peer));
                self.drive(&player, ctx);
            }
        }
    }

    /// Only the newest look of a player is fetched: an older one is given up, and what came of it is kept.
    pub(in super::super) fn newest_look(&mut self, owner: PeerId, look: Option<BlobHash>) {
        let Some(look) = look else { return };
        for player in self.players_of(owner) {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            let (going, stage) = (fetch.running.is_some(), &fetch.stage);
            match stage {
                Stage::Transferring | Stage::AwaitLink if going => {
                    let Some(running) = fetch.running.take_if(|running| running.plan.appearance != look)
                    else {
                        continue;
                    };
                    for (peer, bytes) in running.transfer.brought() {
                        *fetch.brought.entry(peer).or_default() += bytes;
                    }
                    tracing::debug!(%player, "the look changed: the older one is fetched no further");
                    self.stop(&running);
                    self.around.lending.settle(&owner, &running.plan.appearance);
                    self.ask_appearance(&player);
                }
                Stage::AwaitAppearance | Stage::AwaitPlan => fetch.announced = Some(look),
                Stage::AwaitLink | Stage::AwaitTurn | Stage::Transferring | Stage::AwaitFolder => {}
            }
        }
    }

    /// Stops what was asked of anybody.
    pub(super) fn stop(&self, running: &Running) {
        for (source, number) in running.requests.values() {
            if let Some(actor) = self.tell(source) {
                actor.do_send(peer::StopPull(*number));
            }
        }
    }

    /// A source sent wrong bytes. Once is a bad disk; who goes on is not listened to, whatever else it brought.
    pub(super) fn suspected(&mut self, player: &PlayerName, source: PeerId, hash: BlobHash) {
        tracing::warn!(peer = %source.short(), "a source sent wrong bytes of {hash}");
        self.bus.publish(Event::TransferSuspect { player: player.clone(), source, hash });
        let Some(known) = self.peers.get_mut(&source) else { return };
        known.wrongs += 1;
        if known.wrongs >= WRONGS_MAX {
            known.wrongs = 0;
            self.ban(source, CloseCode::WrongBytes);
        }
    }
}
