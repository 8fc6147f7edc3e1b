//! Carries out what desks order, and wakes them when their time has come.

use super::Coordinator;
use crate::{
    actors::{
        mod_cache::Scan,
        peer,
        phone_book::{List, Post},
        unix_millis,
    },
    desks::{
        contacts,
        faults::internal,
        orders::{Now, Order, Orders, Write},
        own_look::{self, ScanId, What},
    },
    io::keeper::Keeping,
    penumbra::Choice,
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use fyteclub_proto::{
    agenda,
    id::PeerId,
    local::{Fault, FaultCode},
    peer::CloseCode,
};
use std::time::Instant;

fn now() -> Now {
    Now { at: Instant::now(), unix_ms: unix_millis() }
}

impl Coordinator {
    /// Has a desk act, and carries out what it orders.
    pub(super) fn act<T>(
        &mut self,
        ctx: &mut Context<Self>,
        act: impl FnOnce(&mut Self, Now, &mut Orders) -> T,
    ) -> T {
        let mut orders = Orders::default();
        let answer = act(self, now(), &mut orders);
        while let Some(order) = orders.next() {
            self.carry_out(order, ctx);
        }
        self.set_alarm(ctx);
        answer
    }

    fn carry_out(&mut self, order: Order, ctx: &mut Context<Self>) {
        match order {
            Order::Tell(event) => self.bus.publish(event),
            Order::Admit { key, player } => self.peers.admit(key, player),
            Order::Dismiss(key) => self.peers.dismiss(&key),
            Order::Disconnect(key) => self.disconnect(key),
            Order::ContactsChanged => self.say_nearby(),
            Order::FollowOwner { from, to } => {
                if self.store().follow_owner(&from, &to) {
                    let store = self.store().clone();
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
            Order::Scan { id, what, after } => self.scan(id, what, after, ctx),
            Order::AnnounceLook => {
                self.peers.values().for_each(|known| known.actor.do_send(peer::OurLook));
            }
            Order::Await(keeping, write) => {
                ctx.spawn(keeping.into_actor(self).map(move |kept, coordinator, ctx| {
                    coordinator.act(ctx, |coordinator, now, orders| match write {
                        Write::Contacts(write) => {
                            let written = contacts::Input::Written(write, kept);
                            coordinator.contacts.handle(now, written, orders);
                        }
                        Write::Limits(write) => coordinator.limits.written(write, kept),
                        Write::OwnLook(id) => {
                            coordinator.own_look.handle(now, own_look::Input::Written(id, kept), orders);
                        }
                    });
                }));
            }
        }
    }

    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let due = self.contacts.deadline().into_iter().chain(self.own_look.deadline()).min();
        if self.alarm.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        self.alarm = due.map(|at| {
            let wait = at.saturating_duration_since(Instant::now());
            let alarm = ctx.run_later(wait, |coordinator, ctx| {
                coordinator.alarm = None;
                coordinator.act(ctx, |desks, now, orders| {
                    let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now.at);
                    if is_due(desks.contacts.deadline()) {
                        desks.contacts.handle(now, contacts::Input::Time, orders);
                    }
                    if is_due(desks.own_look.deadline()) {
                        desks.own_look.handle(now, own_look::Input::Time, orders);
                    }
                });
            });
            (at, alarm)
        });
    }

    /// Has a look scanned, once `after` has ended, well or not.
    fn scan(&mut self, id: ScanId, what: What, after: Option<Keeping>, ctx: &mut Context<Self>) {
        let cache = self.cache.clone();
        let scan = match what {
            What::Mod(publish) => Scan::Mod {
                path: publish.path.into(),
                choices: (publish.options.into_iter())
                    .map(|choice| Choice { group: choice.group, option: choice.option })
                    .collect(),
            },
            What::Plugin(publish) => Scan::Plugin(publish),
        };
        let scanning = async move {
            if let Some(after) = after {
                after.await.ok();
            }
            let scanned = cache.send(scan).await.map_err(|_| internal())?;
            scanned.map_err(|error| own_look::scan_fault(&error))
        };
        ctx.spawn(scanning.into_actor(self).map(move |scanned, coordinator, ctx| {
            coordinator.act(ctx, |desks, now, orders| {
                desks.own_look.handle(now, own_look::Input::Scanned(id, scanned), orders);
            });
        }));
    }

    fn post(&self, post: Post) {
        // Born a moment after the coordinator; what is not sent is sent again.
        if let Some(phone_book) = &self.phone_book {
            phone_book.do_send(post);
        }
    }

    /// The player consents to this key no more: nothing is fetched from it, nothing of it is lent, and its links end.
    fn disconnect(&mut self, key: PeerId) {
        self.around.lending.forget(&key);
        // What came from them is lent no more, nor counts as theirs should they come back. The disk is waited for elsewhere.
        let store = self.store().clone();
        tokio::task::spawn_blocking(move || store.forget_owner(&key));
        for player in self.players_of(key) {
            let fault = match self.contacts.holds(&player) {
                false => contacts::not_a_contact(&player),
                true => {
                    Fault::new(FaultCode::KeyChanged, format!("{player} has another key now: fetch again"))
                }
            };
            self.fail(&player, fault);
        }
        self.agenda(agenda::Input::Gone(key));
        if let Some(actor) = self.tell(&key) {
            actor.do_send(peer::Leave);
            actor.do_send(peer::Close(CloseCode::Refused));
            actor.do_send(peer::Retire);
        }
    }
}
