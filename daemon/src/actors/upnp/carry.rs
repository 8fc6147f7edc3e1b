//! Carries out the machine's orders in their order. Orders after a change of the journal wait until the journal is written
//! or the write has failed.

use super::{Upnp, words};
use crate::io::mapping_sockets::{Announcements, RouterAnswer, RouterSocket};
use actix::{ActorFutureExt, AsyncContext, Context, SpawnHandle, StreamHandler, WrapFuture};
use futures::{StreamExt, stream};
use fyteclub_igd::Router;
use fyteclub_proto::reaching::mapping::{Action, Device, Input, Journal, Output, Refusal, Standing, Uplink};
use std::{net::Ipv4Addr, sync::Arc};
use tokio::sync::mpsc;

/// Found routers that wait for the actor; more are dropped.
const QUEUE: usize = 32;

/// Input from a network.
pub(super) enum Came {
    /// From the gateway of this uplink.
    Answered(Ipv4Addr, RouterAnswer),
    Announced(Ipv4Addr, Vec<u8>),
    Found(Ipv4Addr, Router),
    Searched(Ipv4Addr),
}

impl Upnp {
    /// Receives a gateway's answers until the handle is cancelled.
    pub(super) fn hear(&self, uplink: Uplink, socket: RouterSocket, ctx: &mut Context<Self>) -> SpawnHandle {
        ctx.add_stream(stream::unfold(socket, move |socket| async move {
            let heard = socket.heard().await?;
            Some((Came::Answered(uplink.local(), heard), socket))
        }))
    }

    /// Receives announcements until the handle is cancelled.
    pub(super) fn hear_all(&self, announcements: Announcements, ctx: &mut Context<Self>) -> SpawnHandle {
        ctx.add_stream(stream::unfold(announcements, |announcements| async move {
            let (from, bytes) = announcements.heard().await?;
            Some((Came::Announced(from, bytes), announcements))
        }))
    }

    pub(super) fn carry_out(&mut self, ctx: &mut Context<Self>) {
        while !self.is_writing
            && let Some(order) = self.orders.pop_front()
        {
            match order {
                Output::Keep(journal) => self.keep(&journal, ctx),
                Output::Send { local, gateway, bytes } => self.send(local, gateway, &bytes),
                Output::Search { local } => self.search(local, ctx),
                Output::Ask { local, device, action } => self.ask(local, device, action, ctx),
                Output::Changed { local, standing } => self.changed(local, standing),
                Output::Mapped(outside) => {
                    self.setup.reachable.set_mapped(outside.into_iter().map(Into::into).collect());
                }
            }
        }
    }

    fn keep(&mut self, journal: &Journal, ctx: &mut Context<Self>) {
        self.is_writing = true;
        let written = self.setup.file.write(journal).into_actor(self);
        ctx.spawn(written.map(|written, upnp, ctx| {
            if let Err(error) = written {
                tracing::warn!("{error}: a port mapping may outlive this daemon");
            }
            upnp.is_writing = false;
            upnp.drive(ctx);
        }));
    }

    fn send(&mut self, local: Ipv4Addr, gateway: Ipv4Addr, bytes: &[u8]) {
        if let Some((uplink, socket, _)) = self.sockets.get(&local)
            && uplink.gateway() == Some(gateway)
        {
            self.counts.requests += 1;
            socket.send(bytes);
        }
    }

    fn search(&mut self, local: Ipv4Addr, ctx: &mut Context<Self>) {
        self.counts.searches += 1;
        self.routers.retain(|_, (of, _)| *of != local);
        if let Some(search) = self.searches.remove(&local) {
            ctx.cancel_future(search);
        }
        let uplink = self.uplinks.iter().flatten().find(|uplink| uplink.local() == local).copied();
        let Some(uplink) = uplink else { return };
        let (found, finds) = mpsc::channel(QUEUE);
        let searching = async move {
            let searched = fyteclub_igd::search(uplink, |router| {
                // More routers than the queue has places for do not help.
                found.try_send(Came::Found(local, router)).ok();
            });
            if let Err(error) = searched.await {
                tracing::debug!("routers cannot be searched for from {local}: {error}");
            }
        };
        let searched = stream::once(async move {
            searching.await;
            Came::Searched(local)
        });
        let finds = stream::unfold(finds, |mut finds| async move { Some((finds.recv().await?, finds)) });
        self.searches.insert(local, ctx.add_stream(stream::select(finds, searched).boxed_local()));
    }

    fn ask(&mut self, local: Ipv4Addr, device: u64, action: Action, ctx: &mut Context<Self>) {
        self.counts.requests += 1;
        if let Some(request) = self.requests.remove(&local) {
            ctx.cancel_future(request);
        }
        let router = self.routers.get(&device).map(|(_, router)| router.clone());
        let asking = async move {
            match router {
                Some(router) => router.ask(action).await,
                None => Err(Refusal::Silent),
            }
        };
        let asked = asking.into_actor(self).map(move |reply, upnp, ctx| {
            tracing::debug!("{action:?} of the router of {local}: {reply:?}");
            upnp.requests.remove(&local);
            upnp.counts.answers += u64::from(reply != Err(Refusal::Silent));
            upnp.handle(Input::Answered { local, reply }, ctx);
        });
        self.requests.insert(local, ctx.spawn(asked));
    }

    fn changed(&mut self, local: Ipv4Addr, standing: Standing) {
        let mut line = words::sentence(standing);
        match standing {
            Standing::Searching => {}
            Standing::Mapped { .. } => self.counts.granted += 1,
            Standing::Without(cause) => {
                self.counts.refused += 1;
                if let Some(hint) = words::hint(cause, Some(local), self.setup.listen.port()) {
                    line = format!("{line}. {hint}");
                }
            }
        }
        if self.logged.get(&local) != Some(&line) {
            tracing::info!("port mapping from {local}: {line}");
            self.logged.insert(local, line);
        }
    }
}

impl StreamHandler<Came> for Upnp {
    fn handle(&mut self, came: Came, ctx: &mut Self::Context) {
        match came {
            Came::Answered(local, RouterAnswer::Bytes(bytes)) => {
                self.counts.answers += 1;
                self.handle(Input::Received { local, bytes: &bytes }, ctx);
            }
            Came::Answered(local, RouterAnswer::Refused) => self.handle(Input::Refused { local }, ctx),
            Came::Announced(from, bytes) => {
                self.counts.announcements += 1;
                self.handle(Input::Announced { from, bytes: &bytes }, ctx);
            }
            Came::Found(local, router) => {
                self.found += 1;
                let device = Device { number: self.found, ip: router.ip() };
                tracing::debug!("a router that speaks UPnP answers at {}", device.ip);
                self.routers.insert(self.found, (local, Arc::new(router)));
                self.handle(Input::Found { local, device }, ctx);
            }
            Came::Searched(local) => self.handle(Input::Searched { local }, ctx),
        }
    }

    /// The end of a stream does not stop the actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}
