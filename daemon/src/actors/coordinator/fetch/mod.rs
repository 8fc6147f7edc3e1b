//! Fetching a player's look: a row of stages, moved on by facts.
//!
//! ```text
//! AwaitLink ─► AwaitTurn ─► AwaitAppearance ─► AwaitPlan ─► Transferring ─► AwaitFolder ─► answered
//!     ▲                            ▲                            │
//!     └────────── link lost ───────┴─ a file, the look changed ─┘
//! ```
//!
//! Everybody who asks for the same player waits for the same fetch; whose turn it is says the scheduler ([`super::order`]),
//! which also has looks fetched that nobody asked for. When nobody waits any more, and the player is not near, it is given
//! up; what came stays in the store, and the next fetch goes on from there.

mod asking;
mod ending;
mod possession;
mod sources;
mod transfer;

use super::{Coordinator, speed::remaining};
use crate::{
    actors::{peer, phone_book::LookupError},
    io::{
        quic::stream::StreamError,
        store::{Evicted, StoreError},
    },
    pumps::{
        plan::{self, Plan},
        pull::AppearancePullError,
    },
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use fyteclub_proto::{
    fetching::{
        scheduler,
        stage::Stage,
        transfer::{Holds, Input, RequestId, Transfer},
    },
    grant::Grant,
    id::{BlobHash, PeerId, PlayerName},
    local::{
        Event, Fault, FaultCode,
        reply::{Fetched, TransferStatus},
    },
    peer::CloseCode,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How often a look is asked for anew because a file of it changed meanwhile.
const CHANGES_MAX: u32 = 5;
/// How often files of the cache may vanish under a fetch.
const VANISHED_MAX: u32 = 3;
/// How often the link may be lost without a byte of progress in between.
const LOSSES_MAX: u32 = 5;
/// How long a link on which every stream broke gets to break too.
const LOSS_PAUSE: Duration = Duration::from_secs(1);
/// How long the owner gets to publish what changed.
const CHANGE_PAUSE: Duration = Duration::from_millis(1500);

/// Somebody who waits for a look, and where it is to be written.
pub struct Waiter {
    pub out: Option<PathBuf>,
    pub answer: oneshot::Sender<Result<Fetched, Fault>>,
    /// Cancelled when the local client has left. `answer` does not tell: its other end is held by a task of actix's.
    pub left: CancellationToken,
}

pub struct Fetch {
    player: PlayerName,
    peer: Option<PeerId>,
    waiters: Vec<Waiter>,
    began: Instant,
    stage: Stage,
    /// Numbers the attempts, of all fetches: what comes of an older one is told by it. An attempt begins when the
    /// appearance is asked for.
    run: u64,
    /// The stage and attempt at the last tick, and since when.
    watched: (Stage, u64, Instant),
    /// When the appearance is asked for, where that has to wait.
    ask_at: Option<Instant>,
    /// Its turn has come; a link that is lost after that does not take it away.
    begun: bool,
    /// Nobody has needed it so far: it makes no room, asks nobody but its owner, and is not told of.
    spare: bool,
    /// Kept while a lost link is looked for.
    running: Option<Running>,
    changes: u32,
    /// How often files of the cache vanished under it.
    vanished: u32,
    /// What the owner said to publish while the look was on its way.
    announced: Option<BlobHash>,
    /// Links lost since something came.
    losses: u32,
    wire: u64,
    fetched: u64,
    /// Since when nothing is asked for it, because the disk has no room.
    held: Option<Instant>,
    /// How often it met a full disk.
    full: u32,
    /// Who brought what for looks that were given up for a newer one.
    brought: BTreeMap<PeerId, u64>,
}

struct Running {
    transfer: Transfer,
    plan: Arc<Plan>,
    /// Whom each of the machine's requests went to, and its daemon-wide number.
    requests: HashMap<RequestId, (PeerId, u64)>,
    /// Who was ever a source, by the name of the contact.
    names: HashMap<PeerId, Option<PlayerName>>,
    timer: Option<actix::SpawnHandle>,
    /// Bytes done at the looks of the last seconds, for the rate.
    seen: std::collections::VecDeque<(Instant, u64)>,
}

impl Fetch {
    /// Whether it is of this peer's look.
    pub fn is_of(&self, peer: &PeerId) -> bool {
        self.peer.as_ref() == Some(peer)
    }

    pub fn answer(self, result: Result<Fetched, Fault>) {
        for waiter in self.waiters {
            // Who left does not want to know.
            waiter.answer.send(result.clone()).ok();
        }
    }

    fn new(player: PlayerName) -> Self {
        Self {
            player,
            peer: None,
            waiters: Vec::new(),
            began: Instant::now(),
            stage: Stage::AwaitLink,
            run: 0,
            watched: (Stage::AwaitLink, 0, Instant::now()),
            ask_at: None,
            begun: false,
            spare: false,
            running: None,
            changes: 0,
            vanished: 0,
            announced: None,
            losses: 0,
            wire: 0,
            fetched: 0,
            held: None,
            full: 0,
            brought: BTreeMap::new(),
        }
    }

    fn status(&self, reason: scheduler::Reason) -> Option<TransferStatus> {
        let (running, peer_id) = (self.running.as_ref()?, self.peer?);
        let progress = running.transfer.progress();
        let rate = match (running.seen.front(), running.seen.back()) {
            (Some((from, before)), Some((to, now))) if to > from => {
                (now.saturating_sub(*before) as f64 / to.duration_since(*from).as_secs_f64()) as u64
            }
            _ => 0,
        };
        Some(TransferStatus {
            player: self.player.clone(),
            peer_id,
            appearance: running.plan.appearance,
            files_done: progress.files_done,
            files_total: progress.files_total,
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            rate,
            sources: self.sources(),
            remaining_seconds: remaining(progress.bytes_total.saturating_sub(progress.bytes_done), rate),
            reason,
        })
    }
}

impl Coordinator {
    /// What of its look is being fetched, and why.
    pub(super) fn transfers(&self) -> impl Iterator<Item = TransferStatus> + '_ {
        self.fetches.values().filter_map(|fetch| fetch.status(self.scheduler.reason(fetch.peer.as_ref()?)))
    }

    pub(super) fn fetch(&mut self, player: PlayerName, waiter: Waiter) {
        if let Some(fetch) = self.fetches.get_mut(&player) {
            fetch.waiters.push(waiter);
            if let Some(peer) = fetch.peer {
                self.scheduler(scheduler::Input::Asked(peer));
                self.needed(&player);
            }
            return;
        }
        let fetch = Fetch { waiters: vec![waiter], ..Fetch::new(player.clone()) };
        self.fetches.insert(player.clone(), fetch);
        if self.around.player.as_ref() == Some(&player) {
            let fault = Fault::new(
                FaultCode::BadRequest,
                format!("{player} is this very player: there is nothing to fetch"),
            );
            self.fail(&player, fault);
            return;
        }
        let key = match self.key_of(&player) {
            Ok(key) => key,
            Err(fault) => return self.fail(&player, fault),
        };
        let open = self.peers.get(&key).is_some_and(|known| known.open);
        let Some(fetch) = self.fetches.get_mut(&player) else { return };
        (fetch.peer, fetch.stage) = (Some(key), if open { Stage::AwaitTurn } else { Stage::AwaitLink });
        // Who is connected needs no looking up.
        if !open && let Some(known) = self.peer(key) {
            known.actor.do_send(peer::Want);
        }
        self.scheduler(scheduler::Input::Asked(key));
    }

    /// It is this player's turn, whether somebody waits or not.
    pub(super) fn begin(&mut self, player: PlayerName, peer: PeerId, spare: bool) {
        let fetch = self.fetches.entry(player.clone()).or_insert_with(|| Fetch {
            peer: Some(peer),
            stage: Stage::AwaitTurn,
            spare,
            ..Fetch::new(player.clone())
        });
        fetch.begun = true;
        if fetch.stage == Stage::AwaitTurn {
            self.ask_appearance(&player);
        }
    }

    /// Somebody needs what was fetched for want of anything else to do.
    pub(super) fn needed(&mut self, player: &PlayerName) {
        if let Some(fetch) = self.fetches.get_mut(player)
            && std::mem::take(&mut fetch.spare)
        {
            self.ask_holdings(player);
        }
    }

    /// Nobody can tell where a peer is. Who was never reached is not waited for; a link that was lost may come back.
    pub(super) fn not_found(&mut self, peer: PeerId, error: &LookupError) {
        let code = match error {
            LookupError::NotFound => FaultCode::NotFound,
            LookupError::NoPhonebook => FaultCode::BadRequest,
            LookupError::Unavailable(_) => FaultCode::PhonebookUnavailable,
            LookupError::NotBack => FaultCode::NotFound,
            LookupError::Busy => FaultCode::Busy,
            LookupError::OtherKey(offered) => {
                for player in self.players_of(peer) {
                    if let Err(fault) = self.standing_of(&player, *offered) {
                        self.fail(&player, fault);
                    }
                }
                return;
            }
        };
        for player in self.players_of(peer) {
            let begins = self.fetches.get(&player).is_some_and(|fetch| {
                matches!(fetch.stage, Stage::AwaitLink) && fetch.running.is_none() && fetch.losses == 0
            });
            if begins {
                self.fail(&player, Fault::new(code, format!("{player} cannot be found: {error}")));
            }
        }
    }

    pub(super) fn players_of(&self, peer: PeerId) -> Vec<PlayerName> {
        self.fetches
            .values()
            .filter(|fetch| fetch.peer == Some(peer))
            .map(|fetch| fetch.player.clone())
            .collect()
    }

    /// A link to the peer is open: who waited for it goes on.
    pub(super) fn link_open(&mut self, peer: PeerId, ctx: &mut Context<Self>) {
        // Its links are being closed.
        if self.is_banned(&peer) {
            return;
        }
        for player in self.players_of(peer) {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            match (&fetch.stage, &mut fetch.running) {
                (Stage::AwaitLink, None) if fetch.begun => self.ask_appearance(&player),
                (Stage::AwaitLink, None) => fetch.stage = Stage::AwaitTurn,
                (Stage::AwaitLink | Stage::Transferring, Some(running)) => {
                    running.transfer.handle(Instant::now(), Input::Joined(peer, Holds::All));
                    fetch.stage = Stage::Transferring;
                    self.drive(&player, ctx);
                }
                (Stage::AwaitTurn | Stage::AwaitAppearance | Stage::AwaitPlan | Stage::AwaitFolder, _)
                | (Stage::Transferring, None) => {}
            }
        }
        self.ask_holdings_of(peer);
    }

    pub(super) fn link_lost(&mut self, peer: PeerId, ctx: &mut Context<Self>) {
        let banned = self.is_banned(&peer);
        for player in self.players_of(peer) {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            match (&fetch.stage, &mut fetch.running) {
                (Stage::AwaitTurn, _) => {
                    fetch.stage = Stage::AwaitLink;
                    self.want(peer);
                }
                (Stage::AwaitAppearance, _) => self.await_link(&player, peer, ctx),
                // Others may go on without the owner, who is wanted all the same.
                (Stage::Transferring, Some(_)) if !banned => self.want(peer),
                _ => {}
            }
        }
        self.source_lost(peer, ctx);
    }

    /// Goes on when there is a link again, but not for ever.
    fn await_link(&mut self, player: &PlayerName, peer: PeerId, ctx: &mut Context<Self>) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        fetch.losses += 1;
        // For what nobody needs nobody is dialled.
        if fetch.losses > LOSSES_MAX || fetch.spare {
            let says = format!(
                "the link to {player} breaks off again and again; what came is kept, so try again later"
            );
            return self.fail(player, Fault::new(FaultCode::PeerUnreachable, says));
        }
        fetch.stage = Stage::AwaitLink;
        self.want(peer);
        // Streams break before the link is known to; when it holds after all, nobody will say that it is open.
        let player = player.clone();
        ctx.run_later(LOSS_PAUSE, move |coordinator, ctx| {
            let waits = coordinator
                .fetches
                .get(&player)
                .is_some_and(|fetch| matches!(fetch.stage, Stage::AwaitLink) && fetch.peer == Some(peer));
            let open = coordinator.peers.get(&peer).is_some_and(|known| known.open);
            if waits && open {
                coordinator.link_open(peer, ctx);
            }
        });
    }

    fn want(&mut self, peer: PeerId) {
        if let Some(actor) = self.tell(&peer) {
            actor.do_send(peer::Want);
        }
    }

    pub(super) fn unreachable(&mut self, peer: PeerId, cause: &str, _: &mut Context<Self>) {
        for player in self.players_of(peer) {
            let waits =
                self.fetches.get(&player).is_some_and(|fetch| matches!(fetch.stage, Stage::AwaitLink));
            if waits {
                let fault =
                    Fault::new(FaultCode::PeerUnreachable, format!("{player} cannot be reached: {cause}"));
                self.fail(&player, fault);
            }
        }
        self.scheduler(scheduler::Input::Unreachable(peer));
    }

    pub(super) fn appearance_came(
        &mut self,
        peer: PeerId,
        run: u64,
        result: Result<(Vec<u8>, Grant), AppearancePullError>,
        ctx: &mut Context<Self>,
    ) {
        let waiting = self.players_of(peer).into_iter().find(|player| {
            let asks = |fetch: &Fetch| fetch.stage == Stage::AwaitAppearance && fetch.run == run;
            self.fetches.get(player).is_some_and(asks)
        });
        let Some(player) = waiting else { return };
        let (bytes, grant) = match result {
            Ok(came) => came,
            Err(AppearancePullError::Nothing) => {
                let says = format!("{player} shares nothing at the moment, or not with you");
                return self.fail(&player, Fault::new(FaultCode::PeerRefused, says));
            }
            Err(AppearancePullError::Unsealed) => {
                self.ban(peer, CloseCode::WrongBytes);
                return self.fail(&player, misbehaved(&player));
            }
            Err(AppearancePullError::Stream(error)) => {
                if let Some(code) = error.misbehaviour() {
                    self.ban(peer, code);
                    return self.fail(&player, misbehaved(&player));
                }
                let open = self.peers.get(&peer).is_some_and(|known| known.open);
                if open && matches!(error, StreamError::Short) {
                    let says = format!("{player} did not answer in time ({error})");
                    return self.fail(&player, Fault::new(FaultCode::PeerUnreachable, says));
                }
                self.await_link(&player, peer, ctx);
                // Of two links that were dialled at once one goes, and the other is open already.
                if open {
                    self.link_open(peer, ctx);
                }
                return;
            }
        };
        self.scheduler(scheduler::Input::Document { peer, bytes: bytes.len() as u64 });
        self.let_go_of_unseen();
        // The document may have been the last that the budget paid for.
        let Some(fetch) = self.fetches.get_mut(&player) else { return };
        fetch.stage = Stage::AwaitPlan;
        let room = if fetch.spare { plan::Room::Spare } else { plan::Room::Make };
        let planning = self.plan(peer, player.clone(), bytes, room);
        ctx.spawn(planning.into_actor(self).map(move |plan, coordinator, ctx| {
            coordinator.planned(&player, (peer, run), plan, grant, ctx);
        }));
    }

    fn planned(
        &mut self,
        player: &PlayerName,
        (peer, run): (PeerId, u64),
        plan: Result<Plan, plan::PlanError>,
        grant: Grant,
        ctx: &mut Context<Self>,
    ) {
        // It was put off meanwhile, and may have begun anew since.
        let waits = |fetch: &Fetch| fetch.stage == Stage::AwaitPlan && fetch.run == run;
        if !self.fetches.get(player).is_some_and(waits) {
            return;
        }
        let plan = match plan {
            Ok(plan) => Arc::new(plan),
            // Room is made for it after all.
            Err(plan::PlanError::NoSpareRoom) if self.fetches.get(player).is_some_and(|now| !now.spare) => {
                return self.ask_appearance(player);
            }
            Err(plan::PlanError::NoSpareRoom) => {
                let says = "there is no room for a look that nobody needs yet";
                return self.fail(player, Fault::new(FaultCode::TooLarge, says));
            }
            Err(plan::PlanError::Store(error)) => return self.fail(player, store_fault(&error)),
            Err(plan::PlanError::Appearance(error)) => {
                self.ban(peer, CloseCode::Malformed);
                let says = format!("{player}'s look is not accepted: {error}");
                return self.fail(player, Fault::new(FaultCode::PeerMisbehaved, says));
            }
            Err(plan::PlanError::Name { says }) => {
                let says = format!("the key of {player} signs as {says}: ask them under that name");
                return self.fail(player, Fault::new(FaultCode::PeerRefused, says));
            }
        };
        let open = self.peers.get(&peer).is_some_and(|known| known.open) && !self.is_banned(&peer);
        let may_ask = self.may_ask();
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        // They changed while this look was on its way.
        if open && fetch.announced.take().is_some_and(|newest| newest != plan.appearance) {
            return self.ask_appearance(player);
        }
        self.scheduler(scheduler::Input::Planned { peer, bytes: plan.missing_bytes });
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        let (files, bytes) = plan.look.totals();
        let Evicted { files: evicted_files, bytes: evicted_bytes } = plan.evicted;
        if evicted_files > 0 {
            self.bus.publish(Event::CacheEvicted { files: evicted_files, bytes: evicted_bytes });
        }
        if !fetch.spare {
            self.bus.publish(Event::AppearanceOffered {
                player: player.clone(),
                appearance: plan.appearance,
                files,
                bytes,
                missing_files: plan.wanted.len() as u64,
                missing_bytes: plan.missing_bytes,
            });
        }
        fetch.fetched = plan.missing_bytes + fetch.brought.values().sum::<u64>();
        let mut transfer = Transfer::new(plan.wanted.clone());
        if !may_ask {
            transfer.handle(Instant::now(), Input::Hold(true));
            fetch.held = Some(Instant::now());
        }
        // Without a link it says that it has no source.
        transfer.handle(Instant::now(), if open { Input::Joined(peer, Holds::All) } else { Input::Time });
        fetch.stage = Stage::Transferring;
        self.borrow(peer, grant, &plan);
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        fetch.running = Some(Running {
            transfer,
            plan,
            requests: HashMap::new(),
            names: [(peer, Some(player.clone()))].into(),
            timer: None,
            seen: std::iter::once((Instant::now(), 0)).collect(),
        });
        self.drive(player, ctx);
        self.ask_holdings(player);
    }

    /// Whether anything flows that somebody needs, for which room is made.
    pub(super) fn is_transferring(&self) -> bool {
        self.fetches.values().any(|fetch| !fetch.spare && matches!(fetch.stage, Stage::Transferring))
    }

    pub(super) fn held_longer_than(&self, most: Duration) -> Vec<PlayerName> {
        let held = |fetch: &&Fetch| fetch.held.is_some_and(|since| since.elapsed() > most);
        self.fetches.values().filter(held).map(|fetch| fetch.player.clone()).collect()
    }

    /// Has every transfer wait, or go on.
    pub(super) fn hold_fetches(&mut self, held: bool, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let mut running = Vec::new();
        for fetch in self.fetches.values_mut() {
            let Some(at) = &mut fetch.running else {
                fetch.held = None;
                continue;
            };
            at.transfer.handle(now, Input::Hold(held));
            fetch.held = held.then_some(now);
            running.push(fetch.player.clone());
        }
        for player in running {
            self.drive(&player, ctx);
        }
    }

    /// Tells progress, and gives up what nobody waits for.
    pub(super) fn tick(&mut self, _: &mut Context<Self>) {
        self.tick_cache();
        self.drop_who_left();
        self.tell_uploads();
        self.tick_grants();
        let now = Instant::now();
        self.fail_overdue(now);
        self.ask_who_waited(now);
        self.tick_scheduler(now);
        for fetch in self.fetches.values_mut() {
            if let Some(running) = &mut fetch.running {
                running.seen.push_back((now, running.transfer.progress().bytes_done));
                // The rate of the last two seconds.
                if running.seen.len() > 10 {
                    running.seen.pop_front();
                }
            }
        }
        self.transfers().for_each(|status| self.bus.publish(Event::TransferProgress(status)));
    }
}

fn misbehaved(player: &PlayerName) -> Fault {
    let says = format!("{player}'s daemon broke the protocol and was disconnected; update both daemons");
    Fault::new(FaultCode::PeerMisbehaved, says)
}

pub(super) fn store_fault(error: &StoreError) -> Fault {
    match error {
        StoreError::DiskFull { .. } | StoreError::DiskLow { .. } => Fault::new(
            FaultCode::DiskFull,
            format!("{error}: make room and try again, what came so far is kept"),
        ),
        StoreError::TooLarge { .. } => {
            Fault::new(FaultCode::TooLarge, format!("{error}: raise cache_limit in the configuration"))
        }
        StoreError::Away { .. } => Fault::new(FaultCode::CacheAway, error.to_string()),
        other => Fault::new(FaultCode::Io, other.to_string()),
    }
}
