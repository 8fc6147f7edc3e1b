//! Handlers of the messages.

use super::{
    Traversals,
    session::Session,
    words::{
        Begin, BookBack, End, FailOver, Forget, Granted, Id, Leave, Linked, Moved, Offered, OfferedOverLink,
        Reconnect, Relay, Report, Shown, Silent, Tell, TraversalFact,
    },
};
use crate::ledger::affords;
use actix::{ActorFutureExt, AsyncContext, Handler, MessageResult, WrapFuture};
use fyteclub_proto::{
    id::PeerId,
    ledger::Counterpart,
    local::reply::PathStatus,
    peer::CloseCode,
    reaching::{
        families::Families,
        traversal::{Grant, Input, Measured, RelayUse},
    },
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a path stays for the last packets of links that were closed.
const FAREWELL: Duration = Duration::from_millis(200);

impl Handler<Begin> for Traversals {
    type Result = MessageResult<Begin>;

    fn handle(&mut self, begin: Begin, ctx: &mut Self::Context) -> Self::Result {
        let (id, part) = (begin.id, begin.part);
        let known = self.sessions.contains_key(&id);
        if !self.means.toward(&id.peer).any() || (!known && !self.begin(begin, ctx)) {
            return MessageResult(None);
        }
        // A peer that repeats the attempt of a call to it is not answered from that session.
        let session = self.sessions.get(&id).filter(|session| session.part == part);
        MessageResult(session.and_then(|session| session.offer.clone()))
    }
}

impl Handler<Offered> for Traversals {
    type Result = ();

    fn handle(&mut self, Offered { id, offer, vantage }: Offered, ctx: &mut Self::Context) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !session.machine.is_theirs(&offer) {
            // Their daemon restarted, and knows neither the link nor its paths.
            tracing::info!(peer = %id.peer.short(), "their daemon has begun anew: closing the link");
            session.links.drain(..).for_each(|link| link.close(CloseCode::Silent));
            return self.end(id, ctx);
        }
        session.admission.introduced(vantage, &offer);
        session.there = offer.nat;
        session.course.offered(Instant::now());
        // What changed since the first letter.
        if let Some(own) = session.offer.clone() {
            session.tell.do_send(Tell { id, offer: own });
        }
        self.give(id, Input::Offered(offer), ctx);
    }
}

impl Handler<OfferedOverLink> for Traversals {
    type Result = ();

    fn handle(&mut self, OfferedOverLink { id, mut offer }: OfferedOverLink, ctx: &mut Self::Context) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.course.is_linked()) else {
            return;
        };
        if !session.machine.is_theirs(&offer) {
            return;
        }
        session.there = offer.nat;
        let who = Counterpart::Contact(id.peer);
        session.admission.judge(&mut offer, || affords(&self.accounts, &who));
        self.give(id, Input::Offered(offer), ctx);
    }
}

impl Traversals {
    /// The sessions over which links to this peer run.
    fn linked(&self, peer: PeerId) -> Vec<Id> {
        self.of_peer(peer).filter(|session| session.course.is_linked()).map(|session| session.id).collect()
    }
}

impl Handler<Reconnect> for Traversals {
    type Result = bool;

    fn handle(&mut self, Reconnect(peer): Reconnect, ctx: &mut Self::Context) -> bool {
        let linked = self.linked(peer);
        linked.iter().for_each(|id| self.give(*id, Input::Reconnect, ctx));
        !linked.is_empty()
    }
}

impl Handler<FailOver> for Traversals {
    type Result = bool;

    fn handle(&mut self, FailOver(peer): FailOver, ctx: &mut Self::Context) -> bool {
        let path = |traversals: &Self, id: &Id| {
            traversals.sessions.get(id).and_then(|session| session.machine.chosen()).map(|chosen| chosen.path)
        };
        let mut moved = false;
        for id in self.linked(peer) {
            let before = path(self, &id);
            self.give(id, Input::FailOver, ctx);
            moved |= path(self, &id) != before;
        }
        moved
    }
}

impl Handler<Report> for Traversals {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        let mut all: BTreeMap<PeerId, Shown> = BTreeMap::new();
        for session in self.sessions.values().filter(|session| session.course.is_linked()) {
            let shown = all.entry(session.id.peer).or_default();
            shown.why = session.taken().and_then(|path| path.why).or(shown.why);
            shown.reconnects |= session.machine.reconnects();
            shown.paths.extend(session.machine.measured(now).into_iter().map(status));
        }
        MessageResult(all)
    }
}

fn status(path: Measured) -> PathStatus {
    let Measured { kind, rtt, loss, in_use } = path;
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    PathStatus {
        path: kind.into(),
        in_use,
        rtt_ms: rounded(rtt.as_secs_f64() * 1000.0),
        loss_percent: loss.map(|loss| rounded(loss * 100.0)),
    }
}

impl Handler<BookBack> for Traversals {
    type Result = ();

    fn handle(&mut self, BookBack(url): BookBack, ctx: &mut Self::Context) {
        let of_it = |session: &&Session| session.held.as_ref().is_some_and(|held| held.http.url() == url);
        let ids: Vec<Id> = self.sessions.values().filter(of_it).map(|session| session.id).collect();
        ids.into_iter().for_each(|id| self.give(id, Input::RelayBack, ctx));
    }
}

impl Handler<Granted> for Traversals {
    type Result = ();

    fn handle(&mut self, Granted { id, grant }: Granted, ctx: &mut Self::Context) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if self.means.toward(&id.peer).relay == RelayUse::Off {
            return;
        }
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
            session.course.granted(Instant::now());
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

impl Handler<Leave> for Traversals {
    type Result = ();

    fn handle(&mut self, Leave(peer): Leave, ctx: &mut Self::Context) {
        let sessions = self.of_peer(peer).map(|session| (session.id, session.course.is_linked()));
        for (id, linked) in sessions.collect::<Vec<_>>() {
            // The closing of a link goes over its path.
            if linked {
                ctx.run_later(FAREWELL, move |traversals, ctx| traversals.end(id, ctx));
            } else {
                self.end(id, ctx);
            }
        }
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

impl Handler<Silent> for Traversals {
    type Result = ();

    fn handle(&mut self, Silent { addr }: Silent, ctx: &mut Self::Context) {
        let Some(id) = self.by_addr.get(&addr).copied() else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.busy = true;
        self.give(id, Input::Silent, ctx);
    }
}

impl Handler<Moved> for Traversals {
    type Result = ();

    fn handle(&mut self, _: Moved, ctx: &mut Self::Context) {
        self.sessions.values_mut().for_each(|session| session.admission.moved());
        self.give_all(&Input::Moved, ctx);
    }
}
