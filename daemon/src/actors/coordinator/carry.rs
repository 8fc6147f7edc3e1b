//! Carries out the orders of desks.

use super::{Coordinator, facts::DaemonFact};
use crate::{
    actors::{
        jobs, lan,
        mod_cache::{Full, LookAtDisk},
        peer::{self, PeerContext},
        phone_book::{List, PhoneBook},
        traversal::{Forget, Leave},
        unix_millis,
    },
    desks::{
        Desks,
        fetching::{self, Input},
        orders::{Now, Order, Orders},
        own_look,
    },
};
use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use fyteclub_proto::{id::PeerId, peer::CloseCode};
use std::{future::Future, sync::Arc};

impl Coordinator {
    pub(super) fn carry_out(&mut self, order: Order, ctx: &mut Context<Self>) {
        match order {
            Order::Tell(event) => self.parts.bus.publish(event),
            Order::Admit { key, .. } => {
                self.roster.admit(key);
                self.parts.context.lan.do_send(lan::Contact { key, consented: true });
            }
            Order::Dismiss(key) => {
                self.roster.dismiss(&key);
                self.parts.context.lan.do_send(lan::Contact { key, consented: false });
            }
            Order::Disconnect(key) => {
                // The key's blobs are no longer lent, nor count as its own if it becomes a contact again.
                let store = self.parts.context.store.clone();
                tokio::task::spawn_blocking(move || store.forget_owner(&key));
                self.roster.send(&key, peer::Leave);
                self.roster.send(&key, peer::Close(CloseCode::Refused));
                self.roster.send(&key, peer::Retire);
                self.parts.context.traversals.do_send(Forget(key));
            }
            Order::Reroute(key) => {
                self.roster.send(&key, peer::Close(CloseCode::Done));
                self.parts.context.traversals.do_send(Leave(key));
            }
            Order::FollowOwner { from, to } => {
                if self.parts.context.store.follow_owner(&from, &to) {
                    let store = self.parts.context.store.clone();
                    // If a crash loses this record, the owner sends its small files again.
                    tokio::task::spawn_blocking(move || store.save_origins());
                }
            }
            Order::Post(post) => self.ask_phone_book(post),
            Order::List(player) => self.ask_phone_book(List(player)),
            Order::Scan { id, what, after } => {
                let scanning = jobs::scan(self.parts.cache.clone(), what, after);
                self.job(scanning, ctx, move |desks, scanned, now, orders| {
                    desks.own_look.handle(now, own_look::Input::Scanned(id, scanned), orders);
                });
            }
            Order::LookAtOffer(offer) => {
                let looking = jobs::look_at(self.parts.context.store.clone(), offer);
                self.job(looking, ctx, |desks, (look, missing), now, orders| {
                    desks.own_look.handle(now, own_look::Input::LookedAt(look, missing), orders);
                });
            }
            Order::AnnounceLook => self.roster.send_all(|| peer::OurLook),
            Order::DiskFull => self.parts.cache.do_send(Full),
            Order::LookAtDisk { evict } => self.parts.cache.do_send(LookAtDisk { evict }),
            Order::Await(keeping, write) => {
                self.job(keeping, ctx, move |desks, kept, now, orders| {
                    desks.written(now, write, kept, orders)
                });
            }
            Order::Fetching(order) => self.carry_out_fetching(order, ctx),
            // Carried out by `Desks`.
            Order::Desk(_) => {}
        }
    }

    fn carry_out_fetching(&mut self, order: fetching::Order, ctx: &mut Context<Self>) {
        use fetching::Order;
        match order {
            Order::Want(peer) => self.roster.want(peer),
            Order::Leave(peer) => self.roster.send(&peer, peer::Leave),
            Order::AskAppearance { peer, run } => self.roster.send(&peer, peer::AskAppearance { run }),
            Order::Plan(planning) => {
                let actor = self.roster.get(&planning.peer).cloned();
                self.fetch_job(jobs::plan(self.parts.context.store.clone(), actor, planning), ctx);
            }
            Order::Borrow { owner, grant, plan } => {
                let owner = (owner, self.roster.access(&owner));
                let look = (plan.appearance, plan.blobs.clone());
                let PeerContext { lending, here, .. } = &self.parts.context;
                lending.borrow(grant, here, owner, look, unix_millis());
            }
            Order::AskHolding { peer, owner, look } => {
                // Only once the look is borrowed.
                if self.parts.context.lending.grant(&owner, &look, unix_millis()).is_some() {
                    self.roster.send(&peer, peer::AskHolding { owner, look });
                }
            }
            Order::AskGrant { owner, look } => self.roster.send(&owner, peer::AskGrant { look }),
            Order::Pull { source, number, player, run, ask } => {
                let home = ctx.address();
                let notes = Arc::new(move |note| {
                    home.do_send(DaemonFact::Carried { player: player.clone(), run, note });
                });
                self.roster.send(&source, peer::Pull { request: number, ask, notes });
            }
            Order::StopPull { source, number } => self.roster.send(&source, peer::StopPull(number)),
            Order::Prove(plan) => {
                if let Some(owner) = self.roster.get(&plan.owner) {
                    let proving = jobs::prove(self.parts.context.store.clone(), owner.clone(), plan);
                    ctx.spawn(proving.into_actor(self));
                }
            }
            Order::HandOut(out) => self.fetch_job(jobs::hand_out(self.parts.context.store.clone(), out), ctx),
            Order::Ban { peer, code } => self.ban(peer, code),
        }
    }

    /// Awaits long work, and gives its result to a desk.
    fn job<T: 'static>(
        &self,
        job: impl Future<Output = T> + 'static,
        ctx: &mut Context<Self>,
        tell: impl FnOnce(&mut Desks, T, Now, &mut Orders) + 'static,
    ) {
        ctx.spawn(job.into_actor(self).map(|result, coordinator, ctx| {
            coordinator.act(ctx, |desks, now, orders| tell(desks, result, now, orders));
        }));
    }

    fn fetch_job(&self, job: impl Future<Output = Input> + 'static, ctx: &mut Context<Self>) {
        self.job(job, ctx, |desks, input, now, orders| desks.fetching.handle(now.at, input, orders));
    }

    pub(super) fn ask_phone_book<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        PhoneBook: Handler<M>,
    {
        // Started just after the coordinator; the contacts' machine repeats what is not sent.
        if let Some(phone_book) = &self.phone_book {
            phone_book.do_send(message);
        }
    }

    pub(super) fn ban(&mut self, peer: PeerId, code: CloseCode) {
        if code.consequence().ban {
            tracing::warn!(peer = %peer.short(), "a peer {} and is banned for a minute", code.accuse());
            self.roster.ban(peer);
            self.parts.context.traversals.do_send(Forget(peer));
        }
        self.roster.send(&peer, peer::Close(code));
    }
}
