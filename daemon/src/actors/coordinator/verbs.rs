//! The verbs of the local API: one message for all of them, and which part of the coordinator carries each out.

use super::{Coordinator, contacts::Wish, nearby::ClientId, publish::What};
use crate::desks::fetching::Waiter;
use actix::{
    ActorFuture, ActorFutureExt, Context, Handler, Message, ResponseActFuture, ResponseFuture,
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

/// Whether a request waits for the network or reads the whole cache, so that its client may have more of it under way.
pub fn takes_long(request: &Request) -> bool {
    matches!(request, Request::Fetch(_) | Request::CacheVerify | Request::CacheMove(_))
}

/// How a request is answered.
pub enum Answering {
    Now(Answer<RawJson>),
    /// By a task of its own, which has what it needs.
    Apart(ResponseFuture<Answer<RawJson>>),
    /// By a future that goes on with the coordinator's state.
    Inside(ResponseActFuture<Coordinator, Answer<RawJson>>),
}

impl Answering {
    fn now<T: Serialize>(answer: Answer<T>) -> Self {
        Self::Now(json(answer))
    }

    fn apart<T: Serialize>(answer: impl Future<Output = Answer<T>> + 'static) -> Self {
        Self::Apart(Box::pin(async { json(answer.await) }))
    }

    fn inside<T: Serialize + 'static>(
        answer: impl ActorFuture<Coordinator, Output = Answer<T>> + 'static,
    ) -> Self {
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
            Request::Status => Answering::apart(self.status()),
            Request::PublishMod(publish) => self.publish_look(What::Mod(publish)),
            Request::Publish(publish) => self.publish_look(What::Plugin(publish)),
            Request::Unpublish => {
                Answering::inside(self.withdraw().map(|gone, _, _| gone.map(|()| Empty {})))
            }
            Request::Fetch(fetch) => Answering::apart(self.fetch_for(fetch, left, ctx)),
            Request::Cancel(cancel) => Answering::now(self.cancel(cancel.player, ctx)),
            Request::SetNearby(change) => Answering::now(self.set_nearby(client, change, ctx)),
            Request::Nearby => Answering::now(Ok(self.nearby_reply())),
            Request::Transfers => Answering::now(Ok(self.transfer_list())),
            Request::Limits => Answering::now(Ok(self.limits_reply())),
            Request::SetLimits(change) => Answering::inside(self.set_limits(change)),
            Request::ResetLimits => Answering::inside(self.reset_limits()),
            Request::Peers => {
                let peers = self.peer_list();
                Answering::apart(async { Ok(Peers { peers: peers.await }) })
            }
            Request::Trust(trust) => self.forget_contact(Wish::Trust(trust.player, trust.peer_id), ctx),
            Request::Contacts => Answering::now(Ok(Contacts { contacts: self.contact_list() })),
            Request::AddContact(add) => self.wish_contact(Wish::Add(add), ctx),
            Request::AcceptContact(who) => self.wish_contact(Wish::Accept(who), ctx),
            Request::RemoveContact(who) => self.forget_contact(Wish::Remove(who), ctx),
            Request::BlockContact(who) => self.wish_contact(Wish::Block(who), ctx),
            Request::UnblockContact(who) => self.forget_contact(Wish::Unblock(who), ctx),
            Request::Invite => {
                let phonebooks = self.phonebooks.clone();
                Answering::inside(self.invite(&phonebooks, ctx))
            }
            Request::Join(join) => Answering::inside(self.join(join, ctx)),
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
    fn publish_look(&mut self, what: What) -> Answering {
        match self.scan(what) {
            Ok(scan) => Answering::inside(scan),
            Err(fault) => Answering::now(Err::<Empty, _>(fault)),
        }
    }

    /// A wish that is answered with what the contact is then.
    fn wish_contact(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Answering {
        Answering::inside(self.wish(wish, ctx).map(|contact, _, _| contact?.ok_or_else(internal)))
    }

    /// A wish after which there may be no contact to show.
    fn forget_contact(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Answering {
        Answering::inside(self.wish(wish, ctx).map(|contact, _, _| contact.map(|_| Empty {})))
    }

    /// Ends when the look is complete, verified and on disk, and written to `out` if that is wished.
    fn fetch_for(
        &mut self,
        fetch: Fetch,
        left: CancellationToken,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Answer<Fetched>> + 'static {
        let (answer, answered) = oneshot::channel();
        let out = fetch.out.map(PathBuf::from);
        match out.as_ref().is_some_and(|out| !out.is_absolute()) {
            true => drop(answer.send(Err(bad_path("the folder to write to")))),
            false => self.fetch(fetch.player, Waiter { out, answer, left }, ctx),
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
