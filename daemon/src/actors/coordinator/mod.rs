//! The coordinator: routes facts and requests to the desks ([`crate::desks`]), carries out their orders, and is the
//! only writer of the bus.
//!
//! Facts arrive in [`facts`], requests of local clients in [`verbs`]; `carry` carries orders out. The roster of peers,
//! which decides on admission, is `actors/roster`.

mod carry;
pub mod facts;
pub mod verbs;

use super::{
    doctor,
    mod_cache::{self, ModCache},
    outside::Outside,
    peer::{self, PeerContext},
    phone_book::PhoneBook,
    roster::Roster,
    upnp::Upnp,
};
use crate::{
    desks::{
        self, Desks,
        orders::{Now, Orders},
    },
    event::Bus,
    logging::Detail,
};
use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
};
use fyteclub_proto::local::{Fault, FaultCode};
use std::time::{Duration, Instant};

/// How often running transfers are checked: progress is published at most this often.
const TICK: Duration = Duration::from_millis(200);

/// The parts that the coordinator uses.
pub struct Parts {
    pub context: PeerContext,
    pub bus: Bus,
    pub cache: Addr<ModCache>,
    pub upnp: Addr<Upnp>,
    pub outside: Addr<Outside>,
    pub doctor: doctor::Setup,
    /// How much the log says.
    pub detail: Detail,
    /// Cancelled when a client requests a shutdown.
    pub shutdown: tokio_util::sync::CancellationToken,
}

pub struct Coordinator {
    parts: Parts,
    roster: Roster,
    desks: Desks,
    /// Orders that are not carried out yet.
    orders: Orders,
    /// When the next desk's deadline is.
    alarm: Option<(Instant, SpawnHandle)>,
    phone_book: Option<Addr<PhoneBook>>,
}

impl Coordinator {
    pub fn new(parts: Parts, desks: desks::Setup) -> Self {
        let mut orders = Orders::default();
        let desks = Desks::new(desks, Now::read(), &mut orders);
        Self { parts, roster: Roster::default(), desks, orders, alarm: None, phone_book: None }
    }

    /// Calls a desk, and carries out all orders. Orders that follow from an order come after those before it.
    fn act<T>(&mut self, ctx: &mut Context<Self>, act: impl FnOnce(&mut Desks, Now, &mut Orders) -> T) -> T {
        let answer = act(&mut self.desks, Now::read(), &mut self.orders);
        while let Some(order) = self.orders.pop() {
            if let Some(order) = self.desks.route(Now::read(), order, &mut self.orders) {
                self.carry_out(order, ctx);
            }
        }
        self.set_alarm(ctx);
        answer
    }

    /// Sets the alarm for the earliest deadline. An alarm that rings early is set again then.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let Some(due) = self.desks.deadline() else { return };
        if self.alarm.as_ref().is_some_and(|(set, _)| *set <= due) {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let alarm = ctx.run_later(due.saturating_duration_since(Instant::now()), |coordinator, ctx| {
            coordinator.alarm = None;
            coordinator.act(ctx, Desks::time);
        });
        self.alarm = Some((due, alarm));
    }

    /// Called five times a second.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        let served: Vec<_> = self.roster.served().collect();
        self.act(ctx, |desks, now, orders| desks.tick(now, served.into_iter(), orders));
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_roster(ctx);
        self.parts.cache.do_send(mod_cache::Listen(ctx.address().recipient()));
        ctx.run_interval(TICK, Self::tick);
        if let Some(period) = crate::service::watchdog_period() {
            ctx.run_interval(period / 2, |_, _| crate::service::alive());
        }
        // Carries out the orders of the desks' creation.
        self.act(ctx, |_, _, _| ());
    }
}

/// Fails all waiters and stops every peer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Stop> for Coordinator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        self.desks.close(&Fault::new(FaultCode::Stopping, "the daemon is stopping"));
        let peers: Vec<_> = self.roster.iter().map(|(_, actor)| actor.clone()).collect();
        ctx.stop();
        Box::pin(async move {
            for peer in peers {
                // A peer's actor that is gone needs no stop.
                peer.send(peer::Stop).await.ok();
            }
        })
    }
}

#[cfg(test)]
mod tests;
