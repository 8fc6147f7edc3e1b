//! The verbs of the local API: one message for all of them, and which part of the coordinator carries each out.

use super::{Coordinator, contacts::Wish, fetch::Waiter, nearby::ClientId, publish::What};
use actix::{
    ActorFuture, ActorFutureExt, Context, Handler, Message, ResponseActFuture, ResponseFuture,
    dev::{MessageResponse, OneshotSender},
};
use fyteclub_proto::local::{
    Fault, FaultCode, RawJson, Request, Verb,
    reply::{Contact, Contacts, Empty, Fetched, Peers, Published, Status},
    request::PeerFetch,
    verb,
};
use serde::Serialize;
use std::{future::Future, path::PathBuf};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(super) type Answer<T> = Result<T, Fault>;

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
    /// By a future that goes on with the coordinator's state.
    Inside(ResponseActFuture<Coordinator, Answer<RawJson>>),
}

impl Answering {
    fn now<V: Verb>(answer: Answer<V::Reply>) -> Self {
        Self::Now(json(answer))
    }

    fn apart<V: Verb>(answer: impl Future<Output = Answer<V::Reply>> + 'static) -> Self {
        Self::Apart(Box::pin(async { json(answer.await) }))
    }

    fn inside<V: Verb>(answer: impl ActorFuture<Coordinator, Output = Answer<V::Reply>> + 'static) -> Self {
        Self::Inside(Box::pin(answer.map(|answer, _, _| json(answer))))
    }
}

impl MessageResponse<Coordinator, Ask> for Answering {
    fn handle(self, ctx: &mut Context<Coordinator>, answer: Option<OneshotSender<Answer<RawJson>>>) {
        match self {
            Self::Now(now) => MessageResponse::<Coordinator, Ask>::handle(now, ctx, answer),
            Self::Apart(apart) => MessageResponse::<Coordinator, Ask>::handle(apart, ctx, answer),
            Self::Inside(inside) => MessageResponse::<Coordinator, Ask>::handle(inside, ctx, answer),
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
                self.publish_look::<verb::AppearancePublishMod>(What::Mod(publish))
            }
            Request::AppearancePublish(publish) => {
                self.publish_look::<verb::AppearancePublish>(What::Plugin(publish))
            }
            Request::AppearanceClear => Answering::inside::<verb::AppearanceClear>(
                self.withdraw().map(|gone, _, _| gone.map(|()| Empty {})),
            ),
            Request::PeerFetch(fetch) => Answering::apart::<verb::PeerFetch>(self.peer_fetch(fetch, left)),
            Request::PeerCancel(cancel) => {
                Answering::now::<verb::PeerCancel>(self.peer_cancel(&cancel.player))
            }
            Request::NearbySet(change) => Answering::now::<verb::NearbySet>(self.nearby_set(client, change)),
            Request::NearbyList => Answering::now::<verb::NearbyList>(Ok(self.nearby_list())),
            Request::TransferList => Answering::now::<verb::TransferList>(Ok(self.transfer_list())),
            Request::LimitsGet => Answering::now::<verb::LimitsGet>(Ok(self.limits_get())),
            Request::LimitsSet(change) => Answering::inside::<verb::LimitsSet>(self.limits_set(change)),
            Request::LimitsReset => Answering::inside::<verb::LimitsReset>(self.limits_reset()),
            Request::PeerList => {
                let peers = self.peer_list();
                Answering::apart::<verb::PeerList>(async { Ok(Peers { peers: peers.await }) })
            }
            Request::PeerTrust(trust) => {
                self.forget_contact::<verb::PeerTrust>(Wish::Trust(trust.player, trust.peer_id), ctx)
            }
            Request::ContactsList => {
                Answering::now::<verb::ContactsList>(Ok(Contacts { contacts: self.contact_list() }))
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
            Request::ContactsInvite => {
                let phonebooks = self.phonebooks.clone();
                Answering::inside::<verb::ContactsInvite>(self.invite(&phonebooks, ctx))
            }
            Request::ContactsJoin(join) => Answering::inside::<verb::ContactsJoin>(self.join(join, ctx)),
            Request::CacheStats => Answering::apart::<verb::CacheStats>(self.cache_stats()),
            Request::CacheVerify => Answering::apart::<verb::CacheVerify>(self.cache_verify(left)),
            Request::CacheGc(gc) => Answering::apart::<verb::CacheGc>(self.cache_gc(gc)),
            Request::CacheMove(to) => {
                Answering::apart::<verb::CacheMove>(self.cache_move(PathBuf::from(to.dir), left))
            }
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
    fn publish_look<V: Verb<Reply = Published>>(&mut self, what: What) -> Answering {
        match self.scan(what) {
            Ok(scan) => Answering::inside::<V>(scan),
            Err(fault) => Answering::now::<V>(Err(fault)),
        }
    }

    /// A wish that is answered with what the contact is then.
    fn wish_contact<V: Verb<Reply = Contact>>(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Answering {
        Answering::inside::<V>(self.wish(wish, ctx).map(|contact, _, _| contact?.ok_or_else(internal)))
    }

    /// A wish after which there may be no contact to show.
    fn forget_contact<V: Verb<Reply = Empty>>(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Answering {
        Answering::inside::<V>(self.wish(wish, ctx).map(|contact, _, _| contact.map(|_| Empty {})))
    }

    /// Ends when the look is complete, verified and on disk, and written to `out` if that is wished.
    fn peer_fetch(
        &mut self,
        fetch: PeerFetch,
        left: CancellationToken,
    ) -> impl Future<Output = Answer<Fetched>> + 'static {
        let (answer, answered) = oneshot::channel();
        let out = fetch.out.map(PathBuf::from);
        match out.as_ref().is_some_and(|out| !out.is_absolute()) {
            true => drop(answer.send(Err(bad_path("the folder to write to")))),
            false => self.fetch(fetch.player, Waiter { out, answer, left }),
        }
        async { answered.await.unwrap_or_else(|_| Err(internal())) }
    }
}

/// The answer as it is sent.
pub fn json<T: Serialize>(answer: Answer<T>) -> Answer<RawJson> {
    RawJson::of(&answer?).map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))
}

pub(super) fn internal() -> Fault {
    Fault::new(FaultCode::Internal, "a part of the daemon does not answer; its log says more")
}

pub(super) fn bad_path(what: &str) -> Fault {
    Fault::new(FaultCode::BadRequest, format!("{what} must be an absolute path"))
}
