//! The fetching desk at work: what happens elsewhere is told to it, and its orders become messages to peers, jobs on
//! blocking threads and events. What follows is decided by [`fyteclub_proto::fetching`].

use super::Coordinator;
use crate::{
    actors::{peer, phone_book::LookupError, unix_millis},
    desks::fetching::{HandOut, Input, Order, Planning, Waiter},
    pumps::{
        blocking,
        plan::{self, Plan, PlanError},
        pull::{self, Note},
    },
};
use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture};
use fyteclub_proto::{
    fetching::{
        fetch::{self, RequestNumber, Run},
        scheduler::Reason,
    },
    grant::Grant,
    id::{PeerId, PlayerName},
    local::{
        Fault, FaultCode,
        reply::{Empty, Transfers},
    },
    possession::Span,
};
use std::{sync::Arc, time::Instant};

/// When the desk is told the time next.
pub(super) type Alarm = (Instant, SpawnHandle);

impl Coordinator {
    /// Tells the desk something and carries out what it orders, in order: what follows from an order comes last.
    pub(super) fn fetching(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.fetching.handle(Instant::now(), input, &mut self.fetch_orders);
        if std::mem::replace(&mut self.fetch_carrying, true) {
            return;
        }
        while let Some(order) = self.fetch_orders.pop_front() {
            self.carry_out(order, ctx);
        }
        self.fetch_carrying = false;
        self.set_alarm(ctx);
    }

    pub(super) fn fetch_input(&mut self, input: fetch::Input, ctx: &mut Context<Self>) {
        self.fetching(Input::Machine(input), ctx);
    }

    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let due = self.fetching.deadline();
        // One that rings early is set again then.
        match (due, &self.fetch_alarm) {
            (None, _) => return,
            (Some(due), Some((set, _))) if *set <= due => return,
            _ => {}
        }
        if let Some((_, timer)) = self.fetch_alarm.take() {
            ctx.cancel_future(timer);
        }
        let Some(due) = due else { return };
        let wait = due.saturating_duration_since(Instant::now());
        let timer = ctx.run_later(wait, |coordinator, ctx| {
            coordinator.fetch_alarm = None;
            coordinator.fetch_input(fetch::Input::Time, ctx);
        });
        self.fetch_alarm = Some((due, timer));
    }

    fn carry_out(&mut self, order: Order, ctx: &mut Context<Self>) {
        match order {
            Order::Want(peer) => {
                if let Some(known) = self.peer(peer) {
                    known.actor.do_send(peer::Want);
                }
            }
            Order::Leave(peer) => {
                if let Some(actor) = self.tell(&peer) {
                    actor.do_send(peer::Leave);
                }
            }
            Order::AskAppearance { peer, run } => {
                if let Some(actor) = self.tell(&peer) {
                    actor.do_send(peer::AskAppearance { run });
                }
            }
            Order::Plan(planning) => self.plan(planning, ctx),
            Order::Borrow { owner, grant, plan } => self.borrow(owner, grant, &plan),
            Order::AskHolding { peer, owner, look } => {
                let granted = self.around.lending.grant(&owner, &look, unix_millis()).is_some();
                if let Some(actor) = self.tell(&peer).filter(|_| granted) {
                    actor.do_send(peer::AskHolding { owner, look });
                }
            }
            Order::Pull { source, number, player, run, ask } => {
                self.pull(source, number, (player, run), ask, ctx)
            }
            Order::StopPull { source, number } => {
                if let Some(actor) = self.tell(&source) {
                    actor.do_send(peer::StopPull(number));
                }
            }
            Order::Prove(plan) => self.ask_possession(plan, ctx),
            Order::HandOut(out) => self.hand_out(out, ctx),
            Order::Show { player, pin } => self.shown.show(player, pin, Instant::now()),
            Order::Ban { peer, code } => self.ban(peer, code),
            Order::DiskFull => self.disk_is_full(ctx),
            Order::Tell(event) => self.bus.publish(event),
        }
    }

    /// A client asks for a player's look.
    pub(super) fn fetch(&mut self, player: PlayerName, waiter: Waiter, ctx: &mut Context<Self>) {
        let key = if self.around.player.as_ref() == Some(&player) {
            let says = format!("{player} is this very player: there is nothing to fetch");
            Err(Fault::new(FaultCode::BadRequest, says))
        } else {
            self.key_of(&player)
        };
        self.fetching(Input::Asked { player, key, waiter }, ctx);
    }

    /// A person does not want the look that is fetched or waits for its turn.
    pub(super) fn cancel(&mut self, player: PlayerName, ctx: &mut Context<Self>) -> Result<Empty, Fault> {
        let key = self.key_of(&player).ok();
        if !self.fetching.fetches().can_decline(&player, key) {
            return Err(Fault::new(FaultCode::BadRequest, format!("nothing of {player} is being fetched")));
        }
        self.fetch_input(fetch::Input::Declined { player, key }, ctx);
        Ok(Empty {})
    }

    /// Looks of this peer go by its contact's name.
    pub(super) fn name_contact(&mut self, peer: PeerId, ctx: &mut Context<Self>) {
        if let Some(player) = self.contacts.machine.name_of(&peer).cloned() {
            self.fetch_input(fetch::Input::Named { peer, player }, ctx);
        }
    }

    /// Ends the fetch of this player's look.
    pub(super) fn fail_fetch(&mut self, player: PlayerName, fault: Fault, ctx: &mut Context<Self>) {
        self.fetch_input(fetch::Input::Failed { player, fault }, ctx);
    }

    pub(super) fn transfer_list(&self) -> Transfers {
        let fetches = self.fetching.fetches();
        Transfers {
            uploads: self.upload_list(),
            downloads: fetches.transfers().collect(),
            waiting: fetches.waiting(),
        }
    }

    /// Whether somebody waits for this peer's look.
    pub(super) fn is_asked(&self, peer: &PeerId) -> bool {
        self.fetching.fetches().reason(peer) == Reason::Asked
    }

    /// Nobody can tell where a peer is.
    pub(super) fn not_found(&mut self, peer: PeerId, error: &LookupError, ctx: &mut Context<Self>) {
        let code = match error {
            LookupError::NotFound | LookupError::NotBack => FaultCode::NotFound,
            LookupError::NoPhonebook => FaultCode::BadRequest,
            LookupError::Unavailable(_) => FaultCode::PhonebookUnavailable,
            LookupError::Busy => FaultCode::Busy,
            LookupError::OtherKey(offered) => {
                for player in self.fetching.fetches().players_of(peer) {
                    if let Err(fault) = self.standing_of(&player, *offered) {
                        self.fail_fetch(player, fault, ctx);
                    }
                }
                return;
            }
        };
        self.fetch_input(fetch::Input::NotFound { peer, code, cause: error.to_string() }, ctx);
    }

    /// Tells progress, and what else is looked at five times a second.
    pub(super) fn tick(&mut self, ctx: &mut Context<Self>) {
        self.tick_cache();
        self.tell_uploads();
        self.tick_grants();
        self.expire_nearby(Instant::now(), ctx);
        self.fetching(Input::Tick, ctx);
    }

    fn pull(
        &mut self,
        source: PeerId,
        number: RequestNumber,
        (player, run): (PlayerName, Run),
        ask: pull::Ask,
        ctx: &mut Context<Self>,
    ) {
        let home = ctx.address().recipient::<Carried>();
        let notes = Arc::new(move |note| home.do_send(Carried { player: player.clone(), run, note }));
        if let Some(actor) = self.tell(&source) {
            actor.do_send(peer::Pull { request: number, ask, notes });
        }
    }

    /// Checks a look that came, has its owner prove what is large of it, and says what is to be fetched.
    fn plan(&mut self, planning: Planning, ctx: &mut Context<Self>) {
        self.let_go_of_unseen();
        let Planning { player, peer, run, document, grant, room } = planning;
        let (store, actor, name) = (self.store().clone(), self.tell(&peer).cloned(), player.clone());
        let planning = async move {
            let reading = store.clone();
            let draft = blocking(move || plan::draft(&reading, &document, &peer, &name)).await?;
            let blobs = draft.questions().to_vec();
            let answers = match actor.filter(|_| !blobs.is_empty()) {
                // Without an answer everything is fetched.
                Some(actor) => {
                    actor.send(peer::AskPossession { span: Span::Sample, blobs }).await.ok().flatten()
                }
                None => None,
            };
            blocking(move || draft.settle(&store, room, answers)).await
        };
        ctx.spawn(planning.into_actor(self).map(move |result: Result<Plan, PlanError>, coordinator, ctx| {
            coordinator.fetching(Input::Planned { player, run, grant, result }, ctx);
        }));
    }

    /// Has the owner prove the rest of a look that is here whole, one request after the other. What is not answered is
    /// not lent, and nothing else.
    fn ask_possession(&self, plan: Arc<Plan>, ctx: &mut Context<Self>) {
        let Some(actor) = self.tell(&plan.owner).cloned() else { return };
        let store = self.store().clone();
        let proving = async move {
            let (unproven, owner) = (store.clone(), plan.owner);
            for blobs in blocking(move || plan.unproven(&unproven)).await {
                let asked = actor.send(peer::AskPossession { span: Span::Whole, blobs });
                let Ok(Some(answers)) = asked.await else { return };
                let store = store.clone();
                blocking(move || {
                    let proven: Vec<_> = answers.proven(&store).map(|content| content.hash).collect();
                    store.came_from(&owner, proven);
                })
                .await;
            }
        };
        ctx.spawn(proving.into_actor(self));
    }

    /// Writes the folders that are wished, and describes the look.
    fn hand_out(&mut self, out: HandOut, ctx: &mut Context<Self>) {
        let HandOut { player, run, plan, folders } = out;
        let (store, name) = (self.store().clone(), player.clone());
        let finishing = blocking(move || plan::hand_out(&store, &plan, &name, folders));
        ctx.spawn(finishing.into_actor(self).map(move |(folders, result), coordinator, ctx| {
            coordinator.fetching(Input::Written { player, run, folders, result }, ctx);
        }));
    }

    /// Notes that the look may be asked of others and passed on. A grant that is not good is nobody's fault: players'
    /// clocks are wrong, and then the owner alone is asked.
    fn borrow(&mut self, owner: PeerId, grant: Grant, plan: &Plan) {
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
    fn tick_grants(&self) {
        let open = |owner: &PeerId| self.peers.get(owner).is_some_and(|known| known.open);
        for (owner, look) in self.around.lending.due(unix_millis(), open) {
            if let Some(actor) = self.tell(&owner) {
                actor.do_send(peer::AskGrant { look });
            }
        }
    }
}

/// A pump's note for one transfer.
#[derive(Message)]
#[rtype(result = "()")]
struct Carried {
    player: PlayerName,
    run: Run,
    note: Note,
}

impl Handler<Carried> for Coordinator {
    type Result = ();

    fn handle(&mut self, carried: Carried, ctx: &mut Self::Context) {
        let Carried { player, run, note } = carried;
        self.fetching(Input::Noted { player, run, note }, ctx);
    }
}
