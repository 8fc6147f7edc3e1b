//! The verbs of the local API: one message for all of them, and which part of the coordinator carries each out.

use super::{Coordinator, fetch::Waiter, nearby::ClientId};
pub(super) use crate::desks::{
    faults::{bad_path, internal},
    orders::Answer,
};
use crate::desks::{contacts::Wish, own_look::What};
use actix::{
    Context, Handler, Message, ResponseFuture,
    dev::{MessageResponse, OneshotSender},
};
use fyteclub_proto::local::{
    Fault, FaultCode, RawJson, Request,
    reply::{Contacts, Empty, Fetched, Peers, Status},
    request::Fetch,
};
use serde::Serialize;
use std::{future::Future, path::PathBuf};
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
            Request::Fetch(fetch) => Answering::apart(self.fetch_for(fetch, left)),
            Request::Cancel(cancel) => Answering::now(self.cancel(&cancel.player)),
            Request::SetNearby(change) => Answering::now(self.set_nearby(client, change)),
            Request::Nearby => Answering::now(Ok(self.nearby_reply())),
            Request::Transfers => Answering::now(Ok(self.transfer_list())),
            Request::Limits => Answering::now(Ok(self.limits.limits())),
            Request::SetLimits(change) => {
                Answering::apart(self.act(ctx, |desks, _, orders| desks.limits.change(change, orders)))
            }
            Request::ResetLimits => {
                Answering::apart(self.act(ctx, |desks, _, orders| desks.limits.reset(orders)))
            }
            Request::Peers => {
                let peers = self.peer_list();
                Answering::apart(async { Ok(Peers { peers: peers.await }) })
            }
            Request::Trust(trust) => self.forget_contact(Wish::Trust(trust.player, trust.peer_id), ctx),
            Request::Contacts => Answering::now(Ok(Contacts { contacts: self.contacts.list() })),
            Request::AddContact(add) => self.wish_contact(Wish::Add(add), ctx),
            Request::AcceptContact(who) => self.wish_contact(Wish::Accept(who), ctx),
            Request::RemoveContact(who) => self.forget_contact(Wish::Remove(who), ctx),
            Request::BlockContact(who) => self.wish_contact(Wish::Block(who), ctx),
            Request::UnblockContact(who) => self.forget_contact(Wish::Unblock(who), ctx),
            Request::Invite => {
                Answering::apart(self.act(ctx, |desks, now, orders| desks.contacts.invite(now, orders)))
            }
            Request::Join(join) => {
                Answering::apart(self.act(ctx, |desks, now, orders| desks.contacts.join(now, join, orders)))
            }
            Request::CacheStats => Answering::apart(self.cache_stats()),
            Request::CacheVerify => Answering::apart(self.verify_cache(left)),
            Request::CacheGc(gc) => Answering::apart(self.collect_cache(gc)),
            Request::CacheMove(to) => Answering::apart(self.move_cache(PathBuf::from(to.dir), left)),
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

    /// Ends when the look is complete, verified and on disk, and written to `out` if that is wished.
    fn fetch_for(
        &mut self,
        fetch: Fetch,
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
