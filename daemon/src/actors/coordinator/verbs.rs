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
        Fault, FaultCode, RawJson, Request, Verb,
        reply::{Charged, Contact, Contacts, Empty, Fetched, Nearby, Peers, Published, Status, Transfers},
        request::{CacheGc, PeerFetch},
        verb,
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

/// How a request is answered.
pub enum Answering {
    Now(Answer<RawJson>),
    /// By a task of its own, which has what it needs.
    Apart(ResponseFuture<Answer<RawJson>>),
}

impl Answering {
    fn now<V: Verb>(answer: Answer<V::Reply>) -> Self {
        Self::Now(json(answer))
    }

    fn apart<V: Verb>(answer: impl Future<Output = Answer<V::Reply>> + 'static) -> Self {
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
            Request::Status => Answering::apart::<verb::Status>(self.status()),
            Request::AppearancePublishMod(publish) => {
                self.publish::<verb::AppearancePublishMod>(What::Mod(publish), ctx)
            }
            Request::AppearancePublish(publish) => {
                self.publish::<verb::AppearancePublish>(What::Plugin(publish), ctx)
            }
            Request::AppearanceClear => {
                let withdrawn = self.act(ctx, |desks, _, orders| desks.own_look.withdraw(orders));
                Answering::apart::<verb::AppearanceClear>(async { withdrawn.await.map(|()| Empty {}) })
            }
            Request::PeerFetch(fetch) => {
                Answering::apart::<verb::PeerFetch>(self.peer_fetch(fetch, left, ctx))
            }
            Request::PeerCancel(cancel) => {
                Answering::now::<verb::PeerCancel>(self.cancel(cancel.player, ctx))
            }
            Request::NearbySet(change) => {
                let changed = self
                    .act(ctx, |desks, now, orders| desks.sessions.set_nearby(now.at, client, change, orders));
                Answering::now::<verb::NearbySet>(changed.map(|()| self.nearby()))
            }
            Request::NearbyList => Answering::now::<verb::NearbyList>(Ok(self.nearby())),
            Request::TransferList => Answering::now::<verb::TransferList>(Ok(self.transfers())),
            Request::LimitsGet => Answering::now::<verb::LimitsGet>(Ok(self.limits.limits())),
            Request::LimitsSet(change) => Answering::apart::<verb::LimitsSet>(
                self.act(ctx, |desks, _, orders| desks.limits.change(change, orders)),
            ),
            Request::LimitsReset => Answering::apart::<verb::LimitsReset>(
                self.act(ctx, |desks, _, orders| desks.limits.reset(orders)),
            ),
            Request::PeerList => {
                let peers = self.roster.report();
                Answering::apart::<verb::PeerList>(async { Ok(Peers { peers: peers.await }) })
            }
            Request::PeerTrust(trust) => {
                self.forget_contact::<verb::PeerTrust>(Wish::Trust(trust.player, trust.peer_id), ctx)
            }
            Request::ContactsList => {
                Answering::now::<verb::ContactsList>(Ok(Contacts { contacts: self.contacts.list() }))
            }
            Request::ContactsAdd(add) => self.wish_contact::<verb::ContactsAdd>(Wish::Add(add), ctx),
            Request::ContactsAccept(who) => self.wish_contact::<verb::ContactsAccept>(Wish::Accept(who), ctx),
            Request::ContactsRemove(who) => {
                self.forget_contact::<verb::ContactsRemove>(Wish::Remove(who), ctx)
            }
            Request::ContactsBlock(who) => self.wish_contact::<verb::ContactsBlock>(Wish::Block(who), ctx),
            Request::ContactsUnblock(who) => {
                self.forget_contact::<verb::ContactsUnblock>(Wish::Unblock(who), ctx)
            }
            Request::ContactsInvite => self.contacts::<verb::ContactsInvite>(ctx, ContactDesk::invite),
            Request::ContactsJoin(join) => self
                .contacts::<verb::ContactsJoin>(ctx, |contacts, now, orders| {
                    contacts.join(now, join, orders)
                }),
            Request::CacheStats => {
                let low = self.cache_desk.is_low();
                self.ask_cache::<verb::CacheStats, _>(mod_cache::ReadStats, move |stats| {
                    Ok(replies::stats(&stats, low))
                })
            }
            Request::CacheVerify => {
                self.ask_cache::<verb::CacheVerify, _>(mod_cache::Verify(left), replies::verified)
            }
            Request::CacheGc(CacheGc { to, older_than_secs }) => {
                let wish = store::Wish { to, older_than: older_than_secs.map(Duration::from_secs) };
                self.ask_cache::<verb::CacheGc, _>(mod_cache::Collect(wish), replies::collected)
            }
            Request::CacheMove(to) => match PathBuf::from(to.dir) {
                dir if !dir.is_absolute() => {
                    Answering::now::<verb::CacheMove>(Err(bad_path("the folder to move the cache to")))
                }
                dir => self.ask_cache::<verb::CacheMove, _>(mod_cache::Move { dir, left }, replies::moved),
            },
            Request::Shutdown => {
                self.shutdown.cancel();
                Answering::now::<verb::Shutdown>(Ok(Empty {}))
            }
            // The client's own actor answers these.
            Request::Hello(_) | Request::Watch => Answering::Now(Err(internal())),
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
    fn publish<V: Verb<Reply = Published>>(&mut self, what: What, ctx: &mut Context<Self>) -> Answering {
        Answering::apart::<V>(self.act(ctx, |desks, _, orders| desks.own_look.publish(what, orders)))
    }

    fn contacts<V: Verb>(
        &mut self,
        ctx: &mut Context<Self>,
        wish: impl FnOnce(&mut ContactDesk, Now, &mut Orders) -> Later<V::Reply>,
    ) -> Answering {
        Answering::apart::<V>(self.act(ctx, |desks, now, orders| wish(&mut desks.contacts, now, orders)))
    }

    /// A wish that is answered with what the contact is then.
    fn wish_contact<V: Verb<Reply = Contact>>(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Answering {
        let wished = self.act(ctx, |desks, now, orders| desks.contacts.wish(now, wish, orders));
        Answering::apart::<V>(async { wished.await?.ok_or_else(internal) })
    }

    /// A wish after which there may be no contact to show.
    fn forget_contact<V: Verb<Reply = Empty>>(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Answering {
        let wished = self.act(ctx, |desks, now, orders| desks.contacts.wish(now, wish, orders));
        Answering::apart::<V>(async { wished.await.map(|_| Empty {}) })
    }

    fn ask_cache<V: Verb, M>(
        &self,
        ask: M,
        reply: impl FnOnce(M::Result) -> Answer<V::Reply> + 'static,
    ) -> Answering
    where
        M: Message + Send + 'static,
        M::Result: Send,
        ModCache: Handler<M>,
        <ModCache as actix::Actor>::Context: ToEnvelope<ModCache, M>,
    {
        let asked = self.cache.send(ask);
        Answering::apart::<V>(async { reply(asked.await.map_err(|_| internal())?) })
    }

    /// Ends when the look is complete, verified and on disk, and written to `out` if that is wished.
    fn peer_fetch(
        &mut self,
        fetch: PeerFetch,
        left: CancellationToken,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Answer<Fetched>> + 'static {
        let PeerFetch { player, out } = fetch;
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
