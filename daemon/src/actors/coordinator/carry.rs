//! Carries out what desks order, and tells them the time when it is due.

use super::Coordinator;
use crate::{
    actors::{
        jobs,
        mod_cache::{Full, LookAtDisk},
        peer,
        phone_book::{List, Post},
        unix_millis,
    },
    desks::{
        contacts,
        fetching::{self, Input},
        orders::{Now, Order, Orders, Write},
        own_look,
    },
    pumps::pull::Note,
};
use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use fyteclub_proto::{
    fetching::fetch::{self, Run},
    id::{PeerId, PlayerName},
    local::{Fault, FaultCode},
    peer::CloseCode,
};
use std::{future::Future, sync::Arc, time::Instant};

impl Coordinator {
    /// Has a desk act, and carries out what it orders. What follows from an order comes after the orders before it.
    pub(super) fn act<T>(
        &mut self,
        ctx: &mut Context<Self>,
        act: impl FnOnce(&mut Self, Now, &mut Orders) -> T,
    ) -> T {
        let mut orders = std::mem::take(&mut self.orders);
        let answer = act(self, Now::read(), &mut orders);
        self.orders = orders;
        // Else whoever carries out already goes on with it.
        if !std::mem::replace(&mut self.is_carrying_out, true) {
            while let Some(order) = self.orders.pop() {
                self.carry_out(order, ctx);
            }
            self.is_carrying_out = false;
            self.set_alarm(ctx);
        }
        answer
    }

    pub(super) fn fetching(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.act(ctx, |desks, now, orders| desks.tell_fetching(now, input, orders));
    }

    pub(super) fn fetch_input(&mut self, input: fetch::Input, ctx: &mut Context<Self>) {
        self.fetching(Input::Machine(input), ctx);
    }

    fn tell_fetching(&mut self, now: Now, input: Input, orders: &mut Orders) {
        let mut ordered = fetching::Orders::new();
        self.fetching.handle(now.at, input, &mut ordered);
        ordered.into_iter().for_each(|order| orders.add(Order::Fetching(order)));
    }

    fn carry_out(&mut self, order: Order, ctx: &mut Context<Self>) {
        match order {
            Order::Tell(event) => self.bus.publish(event),
            Order::Admit { key, player } => {
                self.roster.admit(key, player.clone());
                if let Some(player) = player {
                    self.fetch_input(fetch::Input::Named { peer: key, player }, ctx);
                }
            }
            Order::Dismiss(key) => self.roster.dismiss(&key),
            Order::Disconnect(key) => self.disconnect(key, ctx),
            Order::ContactsChanged | Order::NearbyChanged => {
                let (near, _) = self.sessions.contacts(|player| self.contacts.key_of(player));
                let near = near.into_iter().map(|(distance, player, key)| (player, key, distance));
                self.fetch_input(fetch::Input::Nearby(near.collect()), ctx);
            }
            Order::FollowOwner { from, to } => {
                if self.around.store.follow_owner(&from, &to) {
                    let store = self.around.store.clone();
                    // A record that a crash loses has the owner's small files sent again.
                    tokio::task::spawn_blocking(move || store.save_origins());
                }
            }
            Order::Knock { to, name, nonce } => self.post(Post::Knock { to, name, nonce }),
            Order::Note { to, note } => self.post(Post::Note { to, note }),
            Order::List(player) => {
                if let Some(phone_book) = &self.phone_book {
                    phone_book.do_send(List(player));
                }
            }
            Order::Scan { id, what, after } => {
                let scanning = jobs::scan(self.cache.clone(), what, after);
                self.job(scanning, ctx, move |desks, scanned, now, orders| {
                    desks.own_look.handle(now, own_look::Input::Scanned(id, scanned), orders);
                });
            }
            Order::AnnounceLook => {
                self.roster.values().for_each(|known| known.actor.do_send(peer::OurLook));
            }
            Order::OwnLookDamaged => self.act(ctx, |desks, now, orders| {
                desks.own_look.handle(now, own_look::Input::Damaged, orders);
            }),
            Order::DiskFull => self.cache.do_send(Full),
            Order::LookAtDisk { evict } => self.cache.do_send(LookAtDisk { evict }),
            Order::Room(room) => self.fetch_input(fetch::Input::Room(room), ctx),
            Order::LooksDamaged(players) => {
                for player in players {
                    if let Ok(key) = self.contacts.key_of(&player) {
                        self.fetch_input(fetch::Input::Damaged(key), ctx);
                    }
                }
            }
            Order::Seen(players) => self.cache_desk.seen(players.iter(), Instant::now()),
            Order::Await(keeping, write) => {
                self.job(keeping, ctx, move |desks, kept, now, orders| match write {
                    Write::Contacts { urgent } => {
                        desks.contacts.handle(now, contacts::Input::Written { urgent, result: kept }, orders);
                    }
                    Write::Limits(write) => desks.limits.written(write, kept),
                    Write::OwnLook(id) => {
                        desks.own_look.handle(now, own_look::Input::Written(id, kept), orders);
                    }
                });
            }
            Order::Fetching(order) => self.carry_out_fetching(order, ctx),
        }
    }

    fn carry_out_fetching(&mut self, order: fetching::Order, ctx: &mut Context<Self>) {
        match order {
            fetching::Order::Want(peer) => self.roster.want(peer),
            fetching::Order::Leave(peer) => self.roster.send(&peer, peer::Leave),
            fetching::Order::AskAppearance { peer, run } => {
                self.roster.send(&peer, peer::AskAppearance { run });
            }
            fetching::Order::Plan(planning) => {
                // Looks that are not shown any more make room.
                let now = Instant::now();
                self.cache_desk.seen(self.sessions.near(), now);
                self.cache_desk.unpin_unseen(now);
                let actor = self.roster.get(&planning.peer).map(|known| known.actor.clone());
                let planning = jobs::plan(self.around.store.clone(), actor, planning);
                self.job(planning, ctx, |desks, planned, now, orders| {
                    desks.tell_fetching(now, planned, orders);
                });
            }
            fetching::Order::Borrow { owner, grant, plan } => {
                let owner = (owner, self.roster.access(&owner));
                let look = (plan.appearance, plan.blobs.clone());
                self.around.lending.borrow(grant, &self.around.here, owner, look, unix_millis());
            }
            fetching::Order::AskHolding { peer, owner, look } => {
                // Not before the look is borrowed.
                if self.around.lending.grant(&owner, &look, unix_millis()).is_some() {
                    self.roster.send(&peer, peer::AskHolding { owner, look });
                }
            }
            fetching::Order::Pull { source, number, player, run, ask } => {
                let home = ctx.address().recipient::<Carried>();
                let notes = Arc::new(move |note| home.do_send(Carried { player: player.clone(), run, note }));
                self.roster.send(&source, peer::Pull { request: number, ask, notes });
            }
            fetching::Order::StopPull { source, number } => {
                self.roster.send(&source, peer::StopPull(number));
            }
            fetching::Order::Prove(plan) => {
                if let Some(known) = self.roster.get(&plan.owner) {
                    let proving = jobs::prove(self.around.store.clone(), known.actor.clone(), plan);
                    ctx.spawn(proving.into_actor(self));
                }
            }
            fetching::Order::HandOut(out) => {
                self.job(
                    jobs::hand_out(self.around.store.clone(), out),
                    ctx,
                    |desks, written, now, orders| {
                        desks.tell_fetching(now, written, orders);
                    },
                );
            }
            fetching::Order::Show { player, pin } => self.cache_desk.show(player, pin, Instant::now()),
            fetching::Order::Ban { peer, code } => self.ban(peer, code),
            fetching::Order::DiskFull => self.act(ctx, |desks, _, orders| desks.cache_desk.full(orders)),
            fetching::Order::Tell(event) => self.bus.publish(event),
        }
    }

    /// Awaits what takes long and tells a desk what came of it.
    fn job<T: 'static>(
        &self,
        job: impl Future<Output = T> + 'static,
        ctx: &mut Context<Self>,
        tell: impl FnOnce(&mut Self, T, Now, &mut Orders) + 'static,
    ) {
        ctx.spawn(job.into_actor(self).map(|result, coordinator, ctx| {
            coordinator.act(ctx, |desks, now, orders| tell(desks, result, now, orders));
        }));
    }

    /// Sets the alarm for the desk whose time is due first. An alarm that rings early is set again then.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let desks = [
            self.contacts.deadline(),
            self.own_look.deadline(),
            self.sessions.deadline(),
            self.fetching.deadline(),
        ];
        let Some(due) = desks.into_iter().flatten().min() else { return };
        if self.alarm.as_ref().is_some_and(|(set, _)| *set <= due) {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let alarm = ctx.run_later(due.saturating_duration_since(Instant::now()), |coordinator, ctx| {
            coordinator.alarm = None;
            coordinator.act(ctx, |desks, now, orders| {
                let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now.at);
                if is_due(desks.contacts.deadline()) {
                    desks.contacts.handle(now, contacts::Input::Time, orders);
                }
                if is_due(desks.own_look.deadline()) {
                    desks.own_look.handle(now, own_look::Input::Time, orders);
                }
                if is_due(desks.sessions.deadline()) {
                    desks.sessions.time(now.at, orders);
                }
                if is_due(desks.fetching.deadline()) {
                    desks.tell_fetching(now, Input::Machine(fetch::Input::Time), orders);
                }
            });
        });
        self.alarm = Some((due, alarm));
    }

    fn post(&self, post: Post) {
        // Born a moment after the coordinator; what is not sent is sent again.
        if let Some(phone_book) = &self.phone_book {
            phone_book.do_send(post);
        }
    }

    pub(super) fn ban(&mut self, peer: PeerId, code: CloseCode) {
        if code.consequence().ban {
            tracing::warn!(peer = %peer.short(), "a peer broke the protocol ({code:?}) and is not listened to for a while");
            self.roster.ban(peer);
        }
        self.roster.send(&peer, peer::Close(code));
    }

    /// The player consents to this key no more: nothing is fetched from it, nothing of it is lent, and its links end.
    fn disconnect(&mut self, key: PeerId, ctx: &mut Context<Self>) {
        self.around.lending.forget(&key);
        // What came from them is lent no more, nor counts as theirs should they come back. The disk is waited for elsewhere.
        let store = self.around.store.clone();
        tokio::task::spawn_blocking(move || store.forget_owner(&key));
        for player in self.fetching.fetches().players_of(key) {
            let fault = match self.contacts.holds(&player) {
                false => contacts::not_a_contact(&player),
                true => {
                    Fault::new(FaultCode::KeyChanged, format!("{player} has another key now: fetch again"))
                }
            };
            self.fetch_input(fetch::Input::Failed { player, fault }, ctx);
        }
        self.fetch_input(fetch::Input::Removed(key), ctx);
        self.roster.send(&key, peer::Leave);
        self.roster.send(&key, peer::Close(CloseCode::Refused));
        self.roster.send(&key, peer::Retire);
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

    fn handle(&mut self, Carried { player, run, note }: Carried, ctx: &mut Self::Context) {
        self.fetching(Input::Noted { player, run, note }, ctx);
    }
}
