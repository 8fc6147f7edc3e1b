//! Handlers of the messages.

use super::{
    Traversals,
    words::{Begin, End, Forget, Granted, Id, Linked, Moved, Offered, Relay, Tell, TraversalFact},
};
use actix::{ActorFutureExt, AsyncContext, Handler, MessageResult, WrapFuture};
use fyteclub_proto::reaching::{
    families::Families,
    traversal::{Grant, Input, RelayUse},
};
use std::time::Instant;

impl Handler<Begin> for Traversals {
    type Result = MessageResult<Begin>;

    fn handle(&mut self, begin: Begin, ctx: &mut Self::Context) -> Self::Result {
        let (id, part) = (begin.id, begin.part);
        let known = self.sessions.contains_key(&id);
        if !self.means.any() || (!known && !self.begin(begin, ctx)) {
            return MessageResult(None);
        }
        // A peer that repeats the attempt of a call to it is not answered from that session.
        let session = self.sessions.get(&id).filter(|session| session.part == part);
        MessageResult(session.and_then(|session| session.offer.clone()))
    }
}

impl Handler<Offered> for Traversals {
    type Result = ();

    fn handle(&mut self, Offered { id, offer }: Offered, ctx: &mut Self::Context) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.there = offer.nat;
        session.course.offered(Instant::now());
        // What changed since the first letter.
        if let Some(own) = session.offer.clone() {
            session.tell.do_send(Tell { id, offer: own });
        }
        self.give(id, Input::Offered(offer), ctx);
    }
}

impl Handler<Granted> for Traversals {
    type Result = ();

    fn handle(&mut self, Granted { id, grant }: Granted, ctx: &mut Self::Context) {
        let Some(session) = self.sessions.get_mut(&id).filter(|_| self.means.relay != RelayUse::Off) else {
            return;
        };
        let (grant, at, http) = match grant {
            Ok(grant) => grant,
            Err(limit) => {
                session.relay = limit.map_or(session.relay, Relay::Refused);
                return;
            }
        };
        let families = Families::of(self.reachable.local());
        ctx.spawn(at.resolve().into_actor(self).map(move |addrs, traversals, ctx| {
            let Some(session) = traversals.sessions.get_mut(&id) else { return };
            let udp = addrs.into_iter().find(|addr| families.has(addr.ip())).filter(|_| grant.udp);
            let grant = Grant { leg: grant.leg, token: grant.token, udp, tcp: grant.tcp };
            if session.enter(&traversals.socket, &traversals.contact_addresses).is_none() {
                return;
            }
            session.hold(&grant, http);
            traversals.give(id, Input::Granted(grant), ctx);
        }));
    }
}

impl Handler<End> for Traversals {
    type Result = ();

    fn handle(&mut self, End(id): End, ctx: &mut Self::Context) {
        self.end(id, ctx);
    }
}

impl Handler<Forget> for Traversals {
    type Result = ();

    fn handle(&mut self, Forget(peer): Forget, ctx: &mut Self::Context) {
        // The others need their paths until their links are closed.
        let idle = self.of_peer(peer).filter(|session| !session.course.is_linked());
        let ids: Vec<Id> = idle.map(|session| session.id).collect();
        ids.into_iter().for_each(|id| self.end(id, ctx));
    }
}

impl Handler<Linked> for Traversals {
    type Result = ();

    fn handle(&mut self, Linked { addr, link }: Linked, ctx: &mut Self::Context) {
        let Some(id) = self.by_addr.get(&addr).copied() else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.links.push(link);
        session.course.linked(Instant::now(), true);
        let path = session.taken();
        self.facts.do_send(TraversalFact::Path { peer: id.peer, path });
        self.advance(id, ctx);
    }
}

impl Handler<Moved> for Traversals {
    type Result = ();

    fn handle(&mut self, _: Moved, ctx: &mut Self::Context) {
        self.give_all(&Input::Moved, ctx);
    }
}
