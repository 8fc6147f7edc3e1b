//! The verbs of the local API: one message for all of them, each passed to its desk or actor.

use super::Coordinator;
use crate::{
    actors::{
        doctor, jobs,
        path_verbs::{self, OfPeer},
        status::{self, PeerOf},
    },
    desks::{
        Desks,
        contacts::changes::Change,
        faults::internal,
        orders::{Answer, Later, Now, Orders, json},
        own_look::scan::What,
        sessions::ClientId,
    },
};
use actix::{AsyncContext, Context, Handler, Message, Response, ResponseFuture};
use fyteclub_proto::{
    id::PlayerName,
    local::{
        RawJson, Request, Verb,
        reply::{Contact, Contacts, Diagnosis, Empty, Fetched, Peers, Status},
        request::{self, PeerConnect, PeerFetch},
        verb,
    },
};
use std::{future::Future, path::PathBuf};
use tokio_util::sync::CancellationToken;

/// A request of a local client that has greeted. Answered with its result as JSON, or with a fault.
#[derive(Message)]
#[rtype(result = "Answer<RawJson>")]
pub struct Ask {
    pub client: ClientId,
    pub request: Request,
    /// Cancelled when the client has left: work that only this client waits for ends. Changes stay.
    pub left: CancellationToken,
}

/// The state that a watching client begins with; also the reply to [`Request::Status`].
#[derive(Message)]
#[rtype(result = "Answer<Status>")]
pub struct ReadState;

type Answering = Response<Answer<RawJson>>;

/// Answers at once.
fn now<V: Verb>(answer: Answer<V::Reply>) -> Answering {
    Response::reply(json(answer))
}

/// Answers when the future resolves.
fn later<V: Verb>(answer: impl Future<Output = Answer<V::Reply>> + 'static) -> Answering {
    Response::fut(async { json(answer.await) })
}

impl Handler<Ask> for Coordinator {
    type Result = Answering;

    fn handle(&mut self, ask: Ask, ctx: &mut Context<Self>) -> Answering {
        let Ask { client, request, left } = ask;
        match request {
            Request::Status => later::<verb::Status>(self.status()),
            Request::Doctor(question) => later::<verb::Doctor>(self.doctor(question)),
            Request::DoctorBundle(request::DoctorBundle { player, peer_id }) => {
                let question = request::Doctor { player, peer_id };
                let contacts = self.desks.contacts.list();
                later::<verb::DoctorBundle>(doctor::bundle(self.asked(&question), contacts, self.status()))
            }
            Request::AppearancePublishMod(publish) => self
                .desk::<verb::AppearancePublishMod>(ctx, |desks, _, orders| {
                    desks.own_look.publish(What::Mod(publish), orders)
                }),
            Request::AppearancePublish(publish) => self
                .desk::<verb::AppearancePublish>(ctx, |desks, _, orders| {
                    desks.own_look.publish(What::Plugin(publish), orders)
                }),
            Request::AppearanceClear => {
                self.desk::<verb::AppearanceClear>(ctx, |desks, _, orders| desks.own_look.withdraw(orders))
            }
            Request::PeerFetch(fetch) => {
                later::<verb::PeerFetch>(self.checked_fetch(Fetch { fetch, left }, ctx))
            }
            Request::PeerCancel(cancel) => now::<verb::PeerCancel>(self.act(ctx, |desks, now, orders| {
                let key = desks.contacts.key_of(&cancel.player).ok();
                desks.fetching.cancel(now.at, cancel.player, key, orders)
            })),
            Request::PeerReconnect(path) => {
                later::<verb::PeerReconnect>(path_verbs::reconnect(self.of_peer(path.player)))
            }
            Request::PeerFailover(path) => {
                later::<verb::PeerFailover>(path_verbs::fail_over(self.of_peer(path.player)))
            }
            Request::NearbySet(change) => {
                let changed = self
                    .act(ctx, |desks, now, orders| desks.sessions.set_nearby(now.at, client, change, orders));
                now::<verb::NearbySet>(changed.map(|()| self.desks.nearby()))
            }
            Request::NearbyList => now::<verb::NearbyList>(Ok(self.desks.nearby())),
            Request::TransferList => now::<verb::TransferList>(Ok(self.desks.transfers())),
            Request::LimitsGet => now::<verb::LimitsGet>(Ok(self.desks.limits.limits())),
            Request::LimitsSet(change) => {
                self.desk::<verb::LimitsSet>(ctx, |desks, _, orders| desks.limits.change(change, orders))
            }
            Request::LimitsReset => {
                self.desk::<verb::LimitsReset>(ctx, |desks, _, out| desks.limits.reset(out))
            }
            Request::PeerList => {
                let peers = status::peers(self.peers(), self.parts.context.traversals.clone());
                later::<verb::PeerList>(async { Ok(Peers { peers: peers.await }) })
            }
            Request::PeerConnect(connect) => later::<verb::PeerConnect>(path_verbs::connect(
                self.dialled_by_hand(&connect),
                connect.address,
            )),
            Request::PeerTrust(trust) => {
                self.end_contact::<verb::PeerTrust>(Change::Trust(trust.player, trust.peer_id), ctx)
            }
            Request::ContactsList => {
                now::<verb::ContactsList>(Ok(Contacts { contacts: self.desks.contacts.list() }))
            }
            Request::ContactsAdd(add) => self.contact::<verb::ContactsAdd>(Change::Add(add), ctx),
            Request::ContactsAccept(who) => self.contact::<verb::ContactsAccept>(Change::Accept(who), ctx),
            Request::ContactsRemove(who) => {
                self.end_contact::<verb::ContactsRemove>(Change::Remove(who), ctx)
            }
            Request::ContactsBlock(who) => self.contact::<verb::ContactsBlock>(Change::Block(who), ctx),
            Request::ContactsUnblock(who) => {
                self.end_contact::<verb::ContactsUnblock>(Change::Unblock(who), ctx)
            }
            Request::ContactsSet(set) => self.contact::<verb::ContactsSet>(Change::Set(set), ctx),
            Request::ContactsInvite => self
                .desk::<verb::ContactsInvite>(ctx, |desks, now, orders| desks.contacts.invite(now, orders)),
            Request::ContactsJoin(join) => self
                .desk::<verb::ContactsJoin>(ctx, |desks, now, orders| desks.contacts.join(now, join, orders)),
            Request::CacheStats => later::<verb::CacheStats>(jobs::cache_stats(
                self.parts.cache.clone(),
                self.desks.cache.is_low(),
            )),
            Request::CacheVerify => {
                later::<verb::CacheVerify>(jobs::cache_verify(self.parts.cache.clone(), left))
            }
            Request::CacheGc(gc) => later::<verb::CacheGc>(jobs::cache_gc(self.parts.cache.clone(), gc)),
            Request::CacheMove(to) => {
                later::<verb::CacheMove>(jobs::cache_move(self.parts.cache.clone(), to, left))
            }
            Request::Debug(request::Debug { on }) => {
                now::<verb::Debug>(self.parts.detail.set(on).map(|()| Empty {}))
            }
            Request::Shutdown => {
                self.parts.shutdown.cancel();
                now::<verb::Shutdown>(Ok(Empty {}))
            }
            // The client's own actor answers these.
            Request::Hello(_) | Request::Watch => Response::reply(Err(internal())),
        }
    }
}

/// A fetch whose folder, if there is one, was checked.
#[derive(Message)]
#[rtype(result = "Answer<Fetched>")]
struct Fetch {
    fetch: PeerFetch,
    left: CancellationToken,
}

impl Handler<Fetch> for Coordinator {
    type Result = ResponseFuture<Answer<Fetched>>;

    fn handle(&mut self, Fetch { fetch, left }: Fetch, ctx: &mut Context<Self>) -> Self::Result {
        self.act(ctx, |desks, now, orders| {
            let key = desks.contacts.key_of(&fetch.player);
            desks.fetching.fetch(now.at, fetch, key, left, orders)
        })
    }
}

impl Handler<ReadState> for Coordinator {
    type Result = ResponseFuture<Answer<Status>>;

    fn handle(&mut self, _: ReadState, _: &mut Context<Self>) -> Self::Result {
        Box::pin(self.status())
    }
}

impl Coordinator {
    /// Checks the folder first: a look is not fetched for one in which it cannot be written.
    fn checked_fetch(&mut self, asked: Fetch, ctx: &mut Context<Self>) -> Later<Fetched> {
        let Some(out) = asked.fetch.out.clone().map(PathBuf::from).filter(|out| out.is_absolute()) else {
            return self.handle(asked, ctx);
        };
        let (coordinator, store) = (ctx.address(), self.parts.context.store.clone());
        Box::pin(async move {
            jobs::check_out(store, asked.fetch.player.clone(), out).await?;
            coordinator.send(asked).await.unwrap_or_else(|_| Err(internal()))
        })
    }

    fn desk<V: Verb>(
        &mut self,
        ctx: &mut Context<Self>,
        act: impl FnOnce(&mut Desks, Now, &mut Orders) -> Later<V::Reply>,
    ) -> Answering {
        later::<V>(self.act(ctx, act))
    }

    /// A change that is answered with the contact afterwards.
    fn contact<V: Verb<Reply = Contact>>(&mut self, change: Change, ctx: &mut Context<Self>) -> Answering {
        let changed = self.act(ctx, |desks, now, orders| desks.contacts.change(now, change, orders));
        later::<V>(async { changed.await?.ok_or_else(internal) })
    }

    /// A change after which there may be no contact.
    fn end_contact<V: Verb<Reply = Empty>>(&mut self, change: Change, ctx: &mut Context<Self>) -> Answering {
        let changed = self.act(ctx, |desks, now, orders| desks.contacts.change(now, change, orders));
        later::<V>(async { changed.await.map(|_| Empty {}) })
    }

    /// A verb about the paths to one player.
    fn of_peer(&mut self, player: PlayerName) -> Answer<OfPeer> {
        let key = self.desks.contacts.key_of(&player)?;
        let actor = self.roster.peer(key).cloned().ok_or_else(internal)?;
        Ok(OfPeer { key, player, actor, traversals: self.parts.context.traversals.clone() })
    }

    /// All peers' actors, to ask for their reports.
    fn peers(&self) -> Vec<PeerOf> {
        self.roster.iter().map(|(key, actor)| (self.desks.name_of(key).cloned(), actor.clone())).collect()
    }

    /// Who is dialled where a person says.
    fn dialled_by_hand(&mut self, connect: &PeerConnect) -> Answer<OfPeer> {
        let key = connect.peer_id;
        let relay_only = self.parts.context.means.toward(&key).relay_only();
        path_verbs::check(connect, self.roster.admits(&key), relay_only)?;
        let player = self.desks.name_of(&key).cloned().ok_or_else(internal)?;
        self.of_peer(player)
    }

    fn doctor(&self, question: request::Doctor) -> impl Future<Output = Answer<Diagnosis>> + 'static + use<> {
        doctor::read(self.asked(&question), self.status())
    }

    fn asked(&self, question: &request::Doctor) -> doctor::Known {
        let contact = doctor::contact(question, self.desks.contacts.list());
        let (setup, upnp) = (self.parts.doctor.clone(), self.parts.upnp.clone());
        doctor::Known { question: question.clone(), contact, setup, upnp }
    }

    fn status(&self) -> impl Future<Output = Answer<Status>> + 'static + use<> {
        let known = status::Known {
            // Later events may be newer than this state.
            seq: self.parts.bus.last(),
            transfers: self.desks.fetching.fetches().transfers().collect(),
            appearance_trouble: self.desks.own_look.trouble().map(str::to_owned),
            low_disk: self.desks.cache.is_low(),
            cache: self.parts.cache.clone(),
            upnp: self.parts.upnp.clone(),
            outside: self.parts.outside.clone(),
            phone_book: self.phone_book.clone(),
            peers: self.peers(),
        };
        status::read(&self.parts.context, known)
    }
}
