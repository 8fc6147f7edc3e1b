//! The verbs of the local API: one message for all of them, and which desk carries each out.

use super::Coordinator;
use crate::{
    actors::{
        mod_cache::{self, ModCache},
        phone_book, upnp,
    },
    desks::{
        cache::replies,
        contacts::{ContactDesk, wishes::Wish},
        faults::{bad_path, internal},
        fetching::{self, Waiter},
        orders::{Answer, Later, Now, Orders},
        own_look::scan::What,
        sessions::ClientId,
    },
    io::store,
};
use actix::{
    Context, Handler, Message, ResponseFuture,
    dev::{MessageResponse, OneshotSender, ToEnvelope},
};
use fyteclub_proto::{
    fetching::fetch,
    id::PlayerName,
    ledger::Count,
    local::{
        Fault, FaultCode, RawJson, Request,
        reply::{Charged, Contacts, Empty, Fetched, Nearby, Peers, Status, Transfers},
        request::{CacheGc, Fetch},
    },
};
use serde::Serialize;
use std::{future::Future, path::PathBuf, time::Duration};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A request of a local client that has greeted. Answered with its result as JSON, or with a fault.
#[derive(Message)]
#[rtype(result = "Answer<RawJson>")]
pub struct Ask {
    pub client: ClientId,
    pub request: Request,
    /// Cancelled when the client has left: what nobody else waits for ends. What a request changes stays changed.
    pub left: CancellationToken,
}

/// The state that a watching client begins with. [`Request::Status`] is answered with the same.
#[derive(Message)]
#[rtype(result = "Answer<Status>")]
pub struct ReadState;

/// Whether a request waits for the network or reads the whole cache, so that its client may have more of it under way.
pub fn takes_long(request: &Request) -> bool {
    matches!(request, Request::Fetch(_) | Request::CacheVerify | Request::CacheMove(_))
}

/// How a request is answered.
pub enum Answering {
    Now(Answer<RawJson>),
    /// By a task of its own, which has what it needs.
    Apart(ResponseFuture<Answer<RawJson>>),
}

impl Answering {
    fn now<T: Serialize>(answer: Answer<T>) -> Self {
        Self::Now(json(answer))
    }

    fn apart<T: Serialize>(answer: impl Future<Output = Answer<T>> + 'static) -> Self {
        Self::Apart(Box::pin(async { json(answer.await) }))
    }
}

impl MessageResponse<Coordinator, Ask> for Answering {
    fn handle(self, ctx: &mut Context<Coordinator>, answer: Option<OneshotSender<Answer<RawJson>>>) {
        match self {
            Self::Now(now) => MessageResponse::<Coordinator, Ask>::handle(now, ctx, answer),
            Self::Apart(apart) => MessageResponse::<Coordinator, Ask>::handle(apart, ctx, answer),
        }
    }
}

impl Handler<Ask> for Coordinator {
    type Result = Answering;

    fn handle(&mut self, ask: Ask, ctx: &mut Context<Self>) -> Answering {
        let Ask { client, request, left } = ask;
        match request {
            Request::Status => Answering::apart(self.status()),
            Request::PublishMod(publish) => self.publish(What::Mod(publish), ctx),
            Request::Publish(publish) => self.publish(What::Plugin(publish), ctx),
            Request::Unpublish => {
                let withdrawn = self.act(ctx, |desks, _, orders| desks.own_look.withdraw(orders));
                Answering::apart(async { withdrawn.await.map(|()| Empty {}) })
            }
            Request::Fetch(fetch) => Answering::apart(self.fetch_for(fetch, left, ctx)),
            Request::Cancel(cancel) => Answering::now(self.cancel(cancel.player, ctx)),
            Request::SetNearby(change) => {
                let changed = self
                    .act(ctx, |desks, now, orders| desks.sessions.set_nearby(now.at, client, change, orders));
                Answering::now(changed.map(|()| self.nearby()))
            }
            Request::Nearby => Answering::now(Ok(self.nearby())),
            Request::Transfers => Answering::now(Ok(self.transfers())),
            Request::Limits => Answering::now(Ok(self.limits.limits())),
            Request::SetLimits(change) => {
                Answering::apart(self.act(ctx, |desks, _, orders| desks.limits.change(change, orders)))
            }
            Request::ResetLimits => {
                Answering::apart(self.act(ctx, |desks, _, orders| desks.limits.reset(orders)))
            }
            Request::Peers => {
                let peers = self.roster.report();
                Answering::apart(async { Ok(Peers { peers: peers.await }) })
            }
            Request::Trust(trust) => self.forget_contact(Wish::Trust(trust.player, trust.peer_id), ctx),
            Request::Contacts => Answering::now(Ok(Contacts { contacts: self.contacts.list() })),
            Request::AddContact(add) => self.wish_contact(Wish::Add(add), ctx),
            Request::AcceptContact(who) => self.wish_contact(Wish::Accept(who), ctx),
            Request::RemoveContact(who) => self.forget_contact(Wish::Remove(who), ctx),
            Request::BlockContact(who) => self.wish_contact(Wish::Block(who), ctx),
            Request::UnblockContact(who) => self.forget_contact(Wish::Unblock(who), ctx),
            Request::Invite => self.contacts(ctx, ContactDesk::invite),
            Request::Join(join) => {
                self.contacts(ctx, |contacts, now, orders| contacts.join(now, join, orders))
            }
            Request::CacheStats => {
                let low = self.cache_desk.is_low();
                self.ask_cache(mod_cache::ReadStats, move |stats| Ok(replies::stats(&stats, low)))
            }
            Request::CacheVerify => self.ask_cache(mod_cache::Verify(left), replies::verified),
            Request::CacheGc(CacheGc { to, older_than_secs }) => {
                let wish = store::Wish { to, older_than: older_than_secs.map(Duration::from_secs) };
                self.ask_cache(mod_cache::Collect(wish), replies::collected)
            }
            Request::CacheMove(to) => match PathBuf::from(to.dir) {
                dir if !dir.is_absolute() => {
                    Answering::now(Err::<Empty, _>(bad_path("the folder to move the cache to")))
                }
                dir => self.ask_cache(mod_cache::Move { dir, left }, replies::moved),
            },
            Request::Shutdown => {
                self.shutdown.cancel();
                Answering::now(Ok(Empty {}))
            }
            // The client's own actor answers these.
            Request::Hello(_) | Request::Watch => Answering::now(Err::<Empty, _>(internal())),
        }
    }
}

impl Handler<ReadState> for Coordinator {
    type Result = ResponseFuture<Answer<Status>>;

    fn handle(&mut self, _: ReadState, _: &mut Context<Self>) -> Self::Result {
        Box::pin(self.status())
    }
}

impl Coordinator {
    fn publish(&mut self, what: What, ctx: &mut Context<Self>) -> Answering {
        Answering::apart(self.act(ctx, |desks, _, orders| desks.own_look.publish(what, orders)))
    }

    fn contacts<T: Serialize + 'static>(
        &mut self,
        ctx: &mut Context<Self>,
        wish: impl FnOnce(&mut ContactDesk, Now, &mut Orders) -> Later<T>,
    ) -> Answering {
        Answering::apart(self.act(ctx, |desks, now, orders| wish(&mut desks.contacts, now, orders)))
    }

    /// A wish that is answered with what the contact is then.
    fn wish_contact(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Answering {
        let wished = self.act(ctx, |desks, now, orders| desks.contacts.wish(now, wish, orders));
        Answering::apart(async { wished.await?.ok_or_else(internal) })
    }

    /// A wish after which there may be no contact to show.
    fn forget_contact(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Answering {
        let wished = self.act(ctx, |desks, now, orders| desks.contacts.wish(now, wish, orders));
        Answering::apart(async { wished.await.map(|_| Empty {}) })
    }

    fn ask_cache<M, T>(&self, ask: M, reply: impl FnOnce(M::Result) -> Answer<T> + 'static) -> Answering
    where
        M: Message + Send + 'static,
        M::Result: Send,
        T: Serialize + 'static,
        ModCache: Handler<M>,
        <ModCache as actix::Actor>::Context: ToEnvelope<ModCache, M>,
    {
        let asked = self.cache.send(ask);
        Answering::apart(async { reply(asked.await.map_err(|_| internal())?) })
    }

    /// Ends when the look is complete, verified and on disk, and written to `out` if that is wished.
    fn fetch_for(
        &mut self,
        fetch: Fetch,
        left: CancellationToken,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Answer<Fetched>> + 'static {
        let Fetch { player, out } = fetch;
        let (answer, answered) = oneshot::channel();
        let out = out.map(PathBuf::from);
        if out.as_ref().is_some_and(|out| !out.is_absolute()) {
            answer.send(Err(bad_path("the folder to write to"))).ok();
        } else {
            let key = if self.around.player.as_ref() == Some(&player) {
                let says = format!("{player} is this very player: there is nothing to fetch");
                Err(Fault::new(FaultCode::BadRequest, says))
            } else {
                self.contacts.key_of(&player)
            };
            let waiter = Waiter { out, answer, left };
            self.fetching(fetching::Input::Asked { player, key, waiter }, ctx);
        }
        async { answered.await.unwrap_or_else(|_| Err(internal())) }
    }

    /// A person does not want the look that is fetched or waits for its turn.
    fn cancel(&mut self, player: PlayerName, ctx: &mut Context<Self>) -> Answer<Empty> {
        let key = self.contacts.key_of(&player).ok();
        if !self.fetching.fetches().can_decline(&player, key) {
            return Err(Fault::new(FaultCode::BadRequest, format!("nothing of {player} is being fetched")));
        }
        self.fetch_input(fetch::Input::Declined { player, key }, ctx);
        Ok(Empty {})
    }

    fn nearby(&self) -> Nearby {
        self.sessions.reply(|player| self.contacts.key_of(player), |key| self.roster.is_open(key))
    }

    fn transfers(&self) -> Transfers {
        let fetches = self.fetching.fetches();
        Transfers {
            uploads: self.uploads.list(|key| self.contacts.name_of(key)),
            downloads: fetches.transfers().collect(),
            waiting: fetches.waiting(),
        }
    }

    fn status(&self) -> impl Future<Output = Answer<Status>> + 'static {
        // First: what is told from now on may be newer than what is shown.
        let seq = self.bus.last();
        let charged = |(item, Count { charged, refusals }): (fyteclub_proto::ledger::Item, Count)| {
            (item.name().to_owned(), Charged { charged, refusals })
        };
        let ledger = self.around.accounts.counts().into_iter().map(charged).collect();
        let (cache, upnp, phone_book) = (self.cache.clone(), self.upnp.clone(), self.phone_book.clone());
        let (peers, low_disk) = (self.roster.report(), self.cache_desk.is_low());
        let (peer_id, player) = (self.around.here, self.around.player.clone());
        let listen = self.around.endpoint.local_addr().to_string();
        let appearance = self.around.offer.borrow().as_ref().map(|offer| offer.appearance);
        let transfers = self.fetching.fetches().transfers().collect();
        async move {
            let phonebooks = match phone_book {
                Some(phone_book) => phone_book.send(phone_book::Report).await.map_err(|_| internal())?,
                None => Vec::new(),
            };
            let cache = cache.send(mod_cache::ReadStats).await.map_err(|_| internal())?;
            let port_mapping = upnp.send(upnp::Report).await.map_err(|_| internal())?;
            Ok(Status {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                peer_id,
                player,
                listen,
                port_mapping: port_mapping.to_owned(),
                phonebooks,
                appearance,
                peers: peers.await,
                transfers,
                cache: replies::stats(&cache, low_disk),
                seq,
                ledger,
            })
        }
    }
}

/// The answer as it is sent.
pub fn json<T: Serialize>(answer: Answer<T>) -> Answer<RawJson> {
    RawJson::of(&answer?).map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))
}
