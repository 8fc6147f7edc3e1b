//! Commands of the coordinator to a peer's actor, with their handlers.

use super::{HOLDING_TIME, Live, POSSESSION_TIME, Peer, PeerFact, Pulling, by_hand::DialAt, random};
use crate::io::quic::Place;
use crate::pumps::{
    possession::Answers,
    pull::{self, Ask, Notes},
};
use actix::{
    ActorContext, ActorFutureExt, AsyncContext, Handler, Message, MessageResult, ResponseActFuture,
    ResponseFuture, WrapFuture,
};
use fyteclub_proto::{
    blob::Content,
    bytes::Bytes,
    grant::holding_tag,
    id::{BlobHash, PeerId},
    local::reply::{PathKind, PeerState, PeerStatus},
    peer::CloseCode,
    possession::{Challenge, Span},
    reaching::{connector, paths, session::Input},
    seal::End,
};
use quinn::Connection;
use std::{net::IpAddr, sync::Arc, time::Instant};
use tokio_util::sync::CancellationToken;

/// A link to this peer is needed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Want;

/// A connection that the peer dialled.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Adopt(pub Connection);

#[derive(Message)]
#[rtype(result = "()")]
pub struct AskAppearance {
    /// Repeated in the answer, which belongs to this request only.
    pub run: u64,
}

/// Asks this peer what it holds of another owner's look.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskHolding {
    pub owner: PeerId,
    pub look: BlobHash,
}

/// Asks this peer, as a look's owner, for the next grant. The answer is [`PeerFact::Grant`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskGrant {
    pub look: BlobHash,
}

/// Asks this peer to prove that it has these blobs of its own look; `None` without an answer in time.
#[derive(Message)]
#[rtype(result = "Option<Answers>")]
pub struct AskPossession {
    pub span: Span,
    /// At most [`fyteclub_proto::limit::PROOFS_MAX`].
    pub blobs: Vec<Content>,
}

/// Runs one request of a transfer; reports go to `notes`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Pull {
    /// Unique in this daemon.
    pub request: u64,
    pub ask: Ask,
    pub notes: Notes,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct StopPull(pub u64);

/// This player's published look changed; the offer has the new one.
#[derive(Message)]
#[rtype(result = "()")]
pub struct OurLook;

/// No link to this peer is needed: an open link stays open, and is not dialled again when it is lost.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

/// This machine's addresses are these now.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Moved(pub Arc<[IpAddr]>);

/// Ends every link with this code.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close(pub CloseCode);

#[derive(Message)]
#[rtype(result = "PeerStatus")]
pub struct Report;

/// A person wants another try: the peer is dialled, beside the link if there is one.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reconnect;

/// Stops the actor if it still has nothing to do.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retire;

/// Closes all links and stops the actor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Want> for Peer {
    type Result = ();

    fn handle(&mut self, _: Want, ctx: &mut Self::Context) {
        self.paths.handle(Instant::now(), random(), paths::Input::Want);
        self.drive(ctx);
    }
}

impl Handler<DialAt> for Peer {
    type Result = ResponseFuture<Result<PathKind, String>>;

    fn handle(&mut self, DialAt(addr): DialAt, ctx: &mut Self::Context) -> Self::Result {
        if let Some(live) = self.current() {
            let path = live.link.place().path();
            return Box::pin(async move { Ok(path) });
        }
        if !self.context.endpoint.families().has(addr.ip()) {
            let cause = format!("this daemon listens on {} only", self.context.endpoint.local_addr());
            return Box::pin(async { Err(cause) });
        }
        let answered = self.by_hand.wait(addr);
        self.paths.handle(Instant::now(), random(), paths::Input::Want);
        let known = paths::Input::Known { source: paths::pairs::Source::Manual, addrs: vec![addr] };
        self.paths.handle(Instant::now(), random(), known);
        self.drive(ctx);
        Box::pin(async move {
            match tokio::time::timeout(connector::TRY_TIME, answered).await {
                Ok(Ok(result)) => result,
                _ => Err(paths::Failure::no_answer().cause),
            }
        })
    }
}

impl Handler<Adopt> for Peer {
    type Result = ();

    fn handle(&mut self, adopt: Adopt, ctx: &mut Self::Context) {
        self.begin(adopt.0, End::Acceptor, ctx);
    }
}

impl Handler<AskAppearance> for Peer {
    type Result = ();

    fn handle(&mut self, AskAppearance { run }: AskAppearance, ctx: &mut Self::Context) {
        // Without a link: the fetch learns that from [`PeerFact::Lost`].
        let Some(live) = self.current() else { return };
        let (link, pacer) = (live.link.clone(), self.context.pacer.clone());
        let ask = async move { pull::appearance(&link, &pacer).await };
        self.begin_ask(ctx);
        ctx.spawn(ask.into_actor(self).map(move |result, peer, _| {
            peer.asks -= 1;
            peer.facts.do_send(PeerFact::Appearance { peer: peer.id, run, result });
        }));
    }
}

impl Handler<AskHolding> for Peer {
    type Result = ();

    fn handle(&mut self, ask: AskHolding, ctx: &mut Self::Context) {
        let Some(live) = self.current() else { return };
        let (link, AskHolding { owner, look }) = (live.link.clone(), ask);
        let tag = holding_tag(&owner, &look, &self.context.here);
        let asking = async move { tokio::time::timeout(HOLDING_TIME, pull::holding(&link, tag)).await };
        self.begin_ask(ctx);
        ctx.spawn(asking.into_actor(self).map(move |reply, peer, _| {
            peer.asks -= 1;
            // A peer that does not answer holds nothing.
            let Ok(Ok(reply)) = reply else { return };
            peer.facts.do_send(PeerFact::Holding { peer: peer.id, owner, look, reply });
        }));
    }
}

impl Handler<AskGrant> for Peer {
    type Result = ();

    fn handle(&mut self, ask: AskGrant, ctx: &mut Self::Context) {
        let Some(link) = self.current().map(|live| live.link.clone()) else { return };
        let asking = async move { tokio::time::timeout(HOLDING_TIME, pull::grant(&link, ask.look)).await };
        self.begin_ask(ctx);
        ctx.spawn(asking.into_actor(self).map(|reply, peer, _| {
            peer.asks -= 1;
            // An owner that gives none is asked again later, as long as the loan lasts.
            let Ok(Ok(Some(grant))) = reply else { return };
            peer.facts.do_send(PeerFact::Grant { grant });
        }));
    }
}

impl Handler<AskPossession> for Peer {
    type Result = ResponseActFuture<Self, Option<Answers>>;

    fn handle(&mut self, ask: AskPossession, ctx: &mut Self::Context) -> Self::Result {
        let AskPossession { span, blobs } = ask;
        let mut nonce = Bytes([0; 32]);
        let link = self.current().map(|live| live.link.clone());
        let Some(link) = link.filter(|_| getrandom::fill(&mut nonce.0).is_ok()) else {
            return Box::pin(actix::fut::ready(None));
        };
        let challenge = Challenge::new(&nonce, &self.context.here, &self.id, span);
        let asking = async move {
            let asked = pull::possession(&link, nonce, span, &blobs);
            let proofs = tokio::time::timeout(POSSESSION_TIME, asked).await.ok()?.ok()?;
            (!proofs.is_empty()).then_some(Answers { challenge, blobs, proofs })
        };
        self.begin_ask(ctx);
        Box::pin(asking.into_actor(self).map(|answers, peer, _| {
            peer.asks -= 1;
            answers
        }))
    }
}

impl Handler<Pull> for Peer {
    type Result = ();

    fn handle(&mut self, pull: Pull, ctx: &mut Self::Context) {
        // Without a link: the transfer learns that from [`PeerFact::Lost`].
        let Some(link) = self.current().map(|live| live.link.clone()) else { return };
        let Pull { request, ask, notes } = pull;
        let (store, pacer) = (self.context.store.clone(), self.context.pacer.clone());
        let stop = CancellationToken::new();
        let task = tokio::spawn(pull::pieces(link, pacer, ask, store, notes, stop.clone()));
        self.pulls.insert(request, Pulling { task, stop });
        self.listen(Instant::now());
        self.drive(ctx);
    }
}

impl Handler<StopPull> for Peer {
    type Result = ();

    fn handle(&mut self, stop: StopPull, _: &mut Self::Context) {
        if let Some(pull) = self.pulls.remove(&stop.0) {
            pull.stop.cancel();
        }
    }
}

impl Handler<OurLook> for Peer {
    type Result = ();

    fn handle(&mut self, _: OurLook, ctx: &mut Self::Context) {
        let look = self.context.offer.borrow().as_ref().map(|offer| offer.appearance);
        self.links.values_mut().for_each(|live| live.session.handle(Instant::now(), Input::Publish(look)));
        self.drive(ctx);
    }
}

impl Handler<Leave> for Peer {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        self.paths.handle(Instant::now(), random(), paths::Input::Leave);
        self.drive(ctx);
    }
}

impl Handler<Moved> for Peer {
    type Result = ();

    fn handle(&mut self, moved: Moved, ctx: &mut Self::Context) {
        let lost = self.links.iter().filter(|(_, live)| live.link.has_lost(&moved.0));
        self.stranded = lost.map(|(id, _)| *id).collect();
        // The peer dialled an address that this machine no longer has, and will notice late. So this side dials it, at
        // its address on that link and at those that a phone book has.
        let Some(link) = self.current().map(|live| live.link.clone()) else { return };
        if self.stranded.contains(&link.id()) {
            let stranded = paths::Input::Stranded { addr: link.place().addr() };
            self.paths.handle(Instant::now(), random(), stranded);
            self.drive(ctx);
        }
    }
}

impl Handler<Close> for Peer {
    type Result = ();

    fn handle(&mut self, close: Close, _: &mut Self::Context) {
        self.links.values().for_each(|live| live.link.close(close.0));
    }
}

impl Handler<Report> for Peer {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        let live = self.current();
        let place = live.map(|live| live.link.place());
        let lost = place.is_some_and(Place::is_lost);
        MessageResult(PeerStatus {
            player: live.and_then(Live::player),
            peer_id: self.id,
            state: match self.state {
                PeerState::Connected if lost => PeerState::FailingOver,
                state => state,
            },
            path: place.filter(|_| !lost).map(Place::path),
            rtt_ms: live.map(|live| (live.link.rtt().as_secs_f64() * 1e6).round() / 1e3),
            cause: if live.is_some() { None } else { self.cause.clone() },
            // Of NAT traversal.
            why_relayed: None,
            paths: Vec::new(),
        })
    }
}

impl Handler<Reconnect> for Peer {
    type Result = ();

    fn handle(&mut self, _: Reconnect, ctx: &mut Self::Context) {
        let input = match self.current() {
            Some(live) => paths::Input::Suspect { link: live.link.id(), heard: live.link.datagrams_heard() },
            None => paths::Input::Want,
        };
        self.paths.handle(Instant::now(), random(), input);
        self.drive(ctx);
    }
}

impl Handler<Retire> for Peer {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        if self.is_idle() {
            self.facts.do_send(PeerFact::Retired { peer: self.id });
            ctx.stop();
        }
    }
}

impl Handler<Stop> for Peer {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
