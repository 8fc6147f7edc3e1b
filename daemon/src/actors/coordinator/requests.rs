//! What local clients ask of the coordinator, as messages. Each is answered with its reply or with a fault.

use super::{Coordinator, contacts::Later};
pub use super::{
    contacts::Wish,
    limits::{AskLimits, ResetLimits, SetLimits},
    nearby::{AskNearby, ChangeNearby, ClientId, ClientLeft},
    publish::What,
    transfers::{AskTransfers, Cancel},
};
use crate::desks::fetching::Waiter;
use actix::{ActorFutureExt, Context, Handler, Message, ResponseActFuture, ResponseFuture, fut};
use fyteclub_proto::{
    id::PlayerName,
    local::{
        Fault, FaultCode,
        reply::{
            CacheCollected, CacheMoved, CacheStats, CacheVerified, Contact, Contacts, Empty, Fetched,
            Invited, PeerStatus, Published, Status,
        },
        request::{CacheGc, PublishMod},
    },
};
use std::path::PathBuf;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(super) type Answer<T> = Result<T, Fault>;

#[derive(Message)]
#[rtype(result = "Answer<Status>")]
pub struct AskStatus;

#[derive(Message)]
#[rtype(result = "Vec<PeerStatus>")]
pub struct AskPeers;

/// Publishes a mod or what a plugin found.
#[derive(Message)]
#[rtype(result = "Answer<Published>")]
pub struct Publish(pub What);

#[derive(Message)]
#[rtype(result = "Answer<Empty>")]
pub struct Unpublish;

/// Answered when the look is complete, verified and on disk, and written to `out` if that is wished.
#[derive(Message)]
#[rtype(result = "Answer<Fetched>")]
pub struct AskFetch {
    pub player: PlayerName,
    pub out: Option<PathBuf>,
    /// Cancelled when who asked has left: the fetch goes on only for others.
    pub left: CancellationToken,
}

#[derive(Message)]
#[rtype(result = "Answer<Contacts>")]
pub struct AskContacts;

/// A wish that is answered with what the contact is then.
#[derive(Message)]
#[rtype(result = "Answer<Contact>")]
pub struct WishContact(pub Wish);

/// A wish after which there may be no contact to show.
#[derive(Message)]
#[rtype(result = "Answer<Empty>")]
pub struct ForgetContact(pub Wish);

#[derive(Message)]
#[rtype(result = "Answer<Invited>")]
pub struct Invite;

#[derive(Message)]
#[rtype(result = "Answer<CacheStats>")]
pub struct AskCache;

/// Broken off when the token says that who asked has left.
#[derive(Message)]
#[rtype(result = "Answer<CacheVerified>")]
pub struct VerifyCache(pub CancellationToken);

#[derive(Message)]
#[rtype(result = "Answer<CacheCollected>")]
pub struct CollectCache(pub CacheGc);

#[derive(Message)]
#[rtype(result = "Answer<CacheMoved>")]
pub struct MoveCache {
    pub dir: PathBuf,
    pub left: CancellationToken,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct Shutdown;

pub(super) fn internal() -> Fault {
    Fault::new(FaultCode::Internal, "a part of the daemon does not answer; its log says more")
}

pub(super) fn bad_path(what: &str) -> Fault {
    Fault::new(FaultCode::BadRequest, format!("{what} must be an absolute path"))
}

impl Handler<AskStatus> for Coordinator {
    type Result = ResponseFuture<Answer<Status>>;

    fn handle(&mut self, _: AskStatus, _: &mut Context<Self>) -> Self::Result {
        Box::pin(self.status())
    }
}

impl Handler<AskPeers> for Coordinator {
    type Result = ResponseFuture<Vec<PeerStatus>>;

    fn handle(&mut self, _: AskPeers, _: &mut Context<Self>) -> Self::Result {
        Box::pin(self.peer_list())
    }
}

impl Handler<Publish> for Coordinator {
    type Result = ResponseActFuture<Self, Answer<Published>>;

    fn handle(&mut self, publish: Publish, _: &mut Context<Self>) -> Self::Result {
        match self.scan(publish.0) {
            Ok(scan) => Box::pin(scan),
            Err(fault) => Box::pin(fut::ready(Err(fault))),
        }
    }
}

impl Handler<Unpublish> for Coordinator {
    type Result = Later<Empty>;

    fn handle(&mut self, _: Unpublish, _: &mut Context<Self>) -> Self::Result {
        Box::pin(self.withdraw().map(|gone, _, _| gone.map(|()| Empty {})))
    }
}

impl Handler<AskFetch> for Coordinator {
    type Result = ResponseFuture<Answer<Fetched>>;

    fn handle(&mut self, ask: AskFetch, ctx: &mut Context<Self>) -> Self::Result {
        if ask.out.as_ref().is_some_and(|out| !out.is_absolute()) {
            return Box::pin(async { Err(bad_path("the folder to write to")) });
        }
        let (answer, answered) = oneshot::channel();
        self.fetch(ask.player, Waiter { out: ask.out, answer, left: ask.left }, ctx);
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(internal())) })
    }
}

impl Handler<AskContacts> for Coordinator {
    type Result = Answer<Contacts>;

    fn handle(&mut self, _: AskContacts, _: &mut Context<Self>) -> Self::Result {
        Ok(Contacts { contacts: self.contact_list() })
    }
}

impl Handler<WishContact> for Coordinator {
    type Result = Later<Contact>;

    fn handle(&mut self, wish: WishContact, ctx: &mut Context<Self>) -> Self::Result {
        match wish.0 {
            Wish::Join(join) => self.join(join, ctx),
            wish => Box::pin(self.wish(wish, ctx).map(|contact, _, _| contact?.ok_or_else(internal))),
        }
    }
}

impl Handler<ForgetContact> for Coordinator {
    type Result = Later<Empty>;

    fn handle(&mut self, wish: ForgetContact, ctx: &mut Context<Self>) -> Self::Result {
        Box::pin(self.wish(wish.0, ctx).map(|contact, _, _| contact.map(|_| Empty {})))
    }
}

impl Handler<Invite> for Coordinator {
    type Result = Later<Invited>;

    fn handle(&mut self, _: Invite, ctx: &mut Context<Self>) -> Self::Result {
        let phonebooks = self.phonebooks.clone();
        self.invite(&phonebooks, ctx)
    }
}

impl Handler<Shutdown> for Coordinator {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.shutdown.cancel();
    }
}

impl From<PublishMod> for What {
    fn from(publish: PublishMod) -> Self {
        Self::Mod(publish)
    }
}
