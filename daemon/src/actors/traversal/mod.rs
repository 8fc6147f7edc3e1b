//! NAT traversal to all peers: one [`Traversal`] for each introduction, driven over the QUIC socket.
//!
//! `session` has one of them with its place in the socket, `course` decides when the peer is dialled, given up and
//! forgotten, `words` has the messages. The phone books' actor carries offers in its letters and brings grants of relays;
//! the coordinator has the peer's actor dial a virtual address once a path works.

mod admission;
mod commands;
mod course;
mod session;
mod words;

pub use words::{
    Begin, BookBack, End, FailOver, Forget, Granted, Id, Leave, Linked, Moved, Offered, OfferedOverLink,
    Reconnect, Renew, Report, Shown, Silent, Tell, TraversalFact,
};

use super::{
    outside::{self, Outside, Watching},
    random,
    upnp::{self, Upnp},
};
use crate::{
    contact_addresses::ContactAddresses, io::relay_socket, ledger::Accounts, reachable::Reachable,
    sharing::means::PeerMeans,
};
use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Recipient, SpawnHandle, StreamHandler, WrapFuture,
};
use admission::Admission;
use course::{Course, Step};
use futures::{StreamExt, stream};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    peer::CloseCode,
    reaching::{
        families::Families,
        nat::Nat,
        stun_client,
        traversal::{Input, Introduction, RelayUse, Traversal},
        wire::{offer::Offer, relay::Leg},
    },
};
use fyteclub_quic::peer_socket::{Aside, PeerSocket, VirtualAddr};
use session::{Session, Wish};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use words::{Relay, why_unreached};

/// How often links are looked at: whether they are open, and whether they carry something.
const LOOK: Duration = Duration::from_millis(500);
/// Sessions of one peer; one more replaces the oldest without a link.
const SESSIONS_MAX: usize = 4;

/// Parts of the daemon that the actor uses.
pub struct Setup {
    pub here: PeerId,
    pub socket: Arc<PeerSocket>,
    pub asides: mpsc::Receiver<Aside>,
    pub outside: Addr<Outside>,
    pub upnp: Addr<Upnp>,
    pub reachable: Reachable,
    pub contact_addresses: ContactAddresses,
    /// Charged for addresses that peers tell over their links.
    pub accounts: Accounts,
    pub means: PeerMeans,
}

pub struct Traversals {
    here: PeerId,
    socket: Arc<PeerSocket>,
    asides: Option<mpsc::Receiver<Aside>>,
    outside: Addr<Outside>,
    upnp: Addr<Upnp>,
    reachable: Reachable,
    contact_addresses: ContactAddresses,
    accounts: Accounts,
    means: PeerMeans,
    facts: Recipient<TraversalFact>,
    sessions: BTreeMap<Id, Session>,
    by_addr: HashMap<VirtualAddr, Id>,
    due: BTreeSet<(Instant, Id)>,
    timer: Option<(Instant, SpawnHandle)>,
    /// This machine as STUN servers saw it last.
    seen: stun_client::Outside,
    /// The last outside address that was known.
    outside_ip: Option<IpAddr>,
    /// A fresh outside address is on its way.
    asked: bool,
}

impl Traversals {
    pub fn new(setup: Setup, facts: Recipient<TraversalFact>) -> Self {
        let Setup { here, socket, asides, outside, upnp, reachable, contact_addresses, accounts, means } =
            setup;
        Self {
            here,
            socket,
            asides: Some(asides),
            outside,
            upnp,
            reachable,
            contact_addresses,
            accounts,
            means,
            facts,
            sessions: BTreeMap::new(),
            by_addr: HashMap::new(),
            due: BTreeSet::new(),
            timer: None,
            seen: stun_client::Outside::default(),
            outside_ip: None,
            asked: false,
        }
    }

    /// Gives a session an input, and acts on everything that follows.
    fn give(&mut self, id: Id, input: Input, ctx: &mut Context<Self>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let wishes = session.handle(Instant::now(), random(), input, &self.socket, &self.contact_addresses);
        self.act(id, wishes, ctx);
    }

    fn give_all(&mut self, input: &Input, ctx: &mut Context<Self>) {
        let ids: Vec<Id> = self.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.give(id, input.clone(), ctx));
    }

    fn act(&mut self, id: Id, wishes: Vec<Wish>, ctx: &mut Context<Self>) {
        if let Some(peer) = self.sessions.get(&id).and_then(|session| session.peer.as_ref()) {
            self.by_addr.insert(peer.addr(), id);
        }
        for wish in wishes {
            match wish {
                Wish::FindOutside => self.find_outside(ctx),
                Wish::OpenTcp(leg) => self.open_tcp(id, leg, ctx),
                Wish::Moved(chosen) => self.moved(id, chosen.is_some()),
                Wish::CameIn(from) => self.upnp.do_send(upnp::CameIn(from)),
                Wish::FindRelay => self.unrelayed(id),
                Wish::Tell(offer) => self.tell(id, offer),
                Wish::Failed => return self.end(id, ctx),
            }
        }
        self.advance(id, ctx);
    }

    /// Takes the steps that are due, and sets the next alarm.
    fn advance(&mut self, id: Id, ctx: &mut Context<Self>) {
        let now = Instant::now();
        while let Some(step) =
            self.sessions.get_mut(&id).and_then(|session| session.course.step(now, random()))
        {
            match step {
                Step::Dial => self.dial(id),
                Step::GiveUp => self.give_up(id),
                Step::Renew => self.renew(id),
                Step::HangUp => {
                    if let Some(session) = self.sessions.get_mut(&id) {
                        tracing::info!(peer = %id.peer.short(), "no path to the peer works: closing the link");
                        session.links.drain(..).for_each(|link| link.close(CloseCode::Silent));
                    }
                }
                Step::End => return self.end(id, ctx),
            }
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let machine = session.machine.deadline().map(|(at, _)| at);
        let due = machine.into_iter().chain(session.course.deadline()).min();
        let before = std::mem::replace(&mut session.due, due);
        if before != due {
            before.into_iter().for_each(|at| {
                self.due.remove(&(at, id));
            });
            self.due.extend(due.map(|at| (at, id)));
        }
        self.set_timer(ctx);
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let Some((at, _)) = self.due.first().copied() else { return };
        if self.timer.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let timer = ctx.run_later(at.saturating_duration_since(Instant::now()), |traversals, ctx| {
            traversals.timer = None;
            let now = Instant::now();
            let due: Vec<Id> =
                traversals.due.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
            due.into_iter().for_each(|id| traversals.give(id, Input::Time, ctx));
            traversals.set_timer(ctx);
        });
        self.timer = Some((at, timer));
    }

    fn find_outside(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        ctx.spawn(self.outside.send(outside::Want).into_actor(self).map(|outside, traversals, ctx| {
            traversals.asked = false;
            traversals.seen = outside.unwrap_or_default();
            traversals.tell_outside(ctx);
        }));
    }

    fn tell_outside(&mut self, ctx: &mut Context<Self>) {
        let stun_client::Outside { addr, nat } = self.seen;
        if let Some(ip) = addr.map(|addr| addr.ip())
            && self.outside_ip.replace(ip).is_some_and(|old| old != ip)
        {
            self.sessions.values_mut().for_each(|session| session.admission.moved());
        }
        self.give_all(&Input::Outside { addr, nat }, ctx);
    }

    fn open_tcp(&mut self, id: Id, leg: Leg, ctx: &mut Context<Self>) {
        match self.sessions.get_mut(&id).and_then(|session| session.open_tcp(leg)) {
            Some(events) => drop(ctx.add_stream(events.map(move |event| OfTcp { id, leg, event }))),
            None => self.give(id, Input::Tcp { leg, open: false }, ctx),
        }
    }

    /// The path in use is another one, or none works.
    fn moved(&mut self, id: Id, works: bool) {
        let yields = self.yields(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let dials = session.machine.dials() == Some(true) && !yields;
        let now = Instant::now();
        session.course.path(now, works, dials);
        if let Some(chosen) = session.machine.chosen() {
            session.course.relayed(now, !chosen.path.is_direct());
        }
        let path = session.taken();
        tracing::debug!(peer = %id.peer.short(), "the path is {path:?}");
        if !session.links.is_empty() {
            self.facts.do_send(TraversalFact::Path { peer: id.peer, path });
        }
    }

    /// The relay does not know the leg. Another one is needed at once where no direct path works.
    fn unrelayed(&mut self, id: Id) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let is_direct = session.machine.chosen().is_some_and(|chosen| chosen.path.is_direct());
        if !is_direct {
            session.course.unrelayed(Instant::now());
        }
    }

    fn tell(&self, id: Id, offer: Offer) {
        let Some(session) = self.sessions.get(&id) else { return };
        if let Some(addr) = session.peer.as_ref().map(|peer| peer.addr()) {
            let Id { peer, attempt } = id;
            self.facts.do_send(TraversalFact::Tell { peer, addr, attempt, offer });
        }
    }

    fn renew(&self, id: Id) {
        let Some(session) = self.sessions.get(&id) else { return };
        tracing::debug!(peer = %id.peer.short(), "the relay is gone: asking for another");
        session.renew.do_send(Renew { id, part: session.part });
    }

    fn of_peer(&self, peer: PeerId) -> impl Iterator<Item = &Session> {
        let [first, last] = [[0; 16], [u8::MAX; 16]].map(|attempt| Id { peer, attempt: Bytes(attempt) });
        self.sessions.range(first..=last).map(|(_, session)| session)
    }

    fn yields(&self, id: Id) -> bool {
        let Some(session) = self.sessions.get(&id) else { return false };
        let smaller = self.here < id.peer;
        self.of_peer(id.peer).any(|other| other.id != id && session.yields_to(other, smaller))
    }

    fn dial(&self, id: Id) {
        // The other call's link may be there.
        if self.yields(id) && self.of_peer(id.peer).any(|session| session.course.is_linked()) {
            return;
        }
        if let Some(session) = self.sessions.get(&id)
            && let Some(addr) = session.peer.as_ref().map(|peer| peer.addr())
        {
            self.facts.do_send(TraversalFact::Reached { peer: id.peer, addr, part: session.part });
        }
    }

    fn give_up(&self, id: Id) {
        let Some(session) = self.sessions.get(&id) else { return };
        let means = self.means.toward(&id.peer);
        let relay = if means.relay == RelayUse::Off { Relay::Off } else { session.relay };
        let cause = why_unreached(self.seen.nat, session.there, relay, means.relay_only());
        self.facts.do_send(TraversalFact::Unreached { peer: id.peer, cause });
    }

    fn end(&mut self, id: Id, ctx: &mut Context<Self>) {
        let Some(session) = self.sessions.remove(&id) else { return };
        session.due.into_iter().for_each(|at| {
            self.due.remove(&(at, id));
        });
        if let Some(peer) = session.peer {
            self.by_addr.remove(&peer.addr());
            self.contact_addresses.leave(peer.addr().addr());
        }
        self.set_timer(ctx);
    }

    /// Looks at all links.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let mut changed = Vec::new();
        for (id, session) in self.sessions.iter_mut().filter(|(_, session)| !session.links.is_empty()) {
            session.links.retain(|link| !link.is_closed());
            let busy = session.links.iter().any(|link| link.carries());
            let idle = session.links.is_empty();
            session.course.linked(now, !idle);
            if std::mem::replace(&mut session.busy, busy) != busy || idle {
                changed.push((*id, busy));
            }
        }
        changed.into_iter().for_each(|(id, busy)| self.give(id, Input::Busy(busy), ctx));
    }

    /// A new session, unless the peer has too many.
    fn begin(&mut self, begin: Begin, ctx: &mut Context<Self>) -> bool {
        let Begin { id, part, tell, renew } = begin;
        let mut idle: Vec<(Instant, Id)> = Vec::new();
        let count = self.of_peer(id.peer).count();
        idle.extend(
            self.of_peer(id.peer)
                .filter(|one| !one.course.is_linked())
                .map(|one| (one.course.since(), one.id)),
        );
        if count >= SESSIONS_MAX {
            let Some((_, oldest)) = idle.into_iter().min() else { return false };
            self.end(oldest, ctx);
        }
        let mut secret = [0; 32];
        if getrandom::fill(&mut secret).is_err() {
            return false;
        }
        let means = self.means.toward(&id.peer);
        let introduction = Introduction {
            attempt: id.attempt,
            part,
            here: self.here,
            there: id.peer,
            secret: Bytes(secret),
            families: Families::of(self.reachable.local()),
            relay_only: means.relay_only(),
            punching: means.punching,
        };
        let now = Instant::now();
        let reachable = self.reachable.watch().borrow().clone();
        let session = Session {
            id,
            part,
            machine: Traversal::new(now, introduction, reachable, self.seen.nat),
            course: Course::new(now, part),
            tell,
            renew,
            offer: None,
            peer: None,
            links: Vec::new(),
            held: None,
            tcp: None,
            relay: Relay::None,
            there: Nat::Unknown,
            busy: false,
            admission: Admission::default(),
            due: None,
        };
        self.sessions.insert(id, session);
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let wishes = session.carry_out(&self.socket, &self.contact_addresses);
        self.act(id, wishes, ctx);
        true
    }
}

impl Actor for Traversals {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(asides) = self.asides.take() {
            ctx.add_stream(stream::unfold(asides, |mut asides| async move {
                Some((asides.recv().await?, asides))
            }));
        }
        let changes = stream::unfold(self.reachable.watch(), |mut watch| async move {
            watch.changed().await.ok().map(|()| (Reached, watch))
        });
        ctx.add_stream(changes);
        ctx.spawn(self.outside.send(outside::Watch).into_actor(self).map(|watching, _, ctx| {
            let Ok(watching) = watching else { return };
            ctx.add_stream(stream::unfold(watching, |mut watching: Watching| async move {
                watching.changed().await.ok()?;
                let seen = *watching.borrow_and_update();
                Some((seen, watching))
            }));
        }));
        ctx.run_interval(LOOK, Self::look);
    }
}

/// This machine can be reached in other ways than before.
struct Reached;

impl StreamHandler<Reached> for Traversals {
    fn handle(&mut self, _: Reached, ctx: &mut Self::Context) {
        let reachable = self.reachable.watch().borrow().clone();
        self.give_all(&Input::Reachable(reachable), ctx);
    }

    /// The actor outlives what it watches.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<stun_client::Outside> for Traversals {
    fn handle(&mut self, seen: stun_client::Outside, ctx: &mut Self::Context) {
        self.seen = seen;
        // The answer to the question comes anyway.
        if !self.asked {
            self.tell_outside(ctx);
        }
    }

    /// The actor outlives what it watches.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<Aside> for Traversals {
    fn handle(&mut self, aside: Aside, ctx: &mut Self::Context) {
        let (peer, input) = match aside {
            Aside::Stun(response) => return self.outside.do_send(outside::Received(response)),
            Aside::Probe { peer, path, probe } => (peer, Input::Probed { path, probe }),
            Aside::Relay { peer, leg, reply } => (peer, Input::Replied { leg, reply }),
        };
        if let Some(id) = self.by_addr.get(&peer) {
            self.give(*id, input, ctx);
        }
    }

    /// The actor outlives the socket.
    fn finished(&mut self, _: &mut Self::Context) {}
}

/// What became of a leg's WebSocket.
struct OfTcp {
    id: Id,
    leg: Leg,
    event: relay_socket::Event,
}

impl StreamHandler<OfTcp> for Traversals {
    fn handle(&mut self, OfTcp { id, leg, event }: OfTcp, ctx: &mut Self::Context) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some(open) = session.tcp_event(leg, event) {
            self.give(id, Input::Tcp { leg, open }, ctx);
        }
    }

    /// Of one WebSocket of many.
    fn finished(&mut self, _: &mut Self::Context) {}
}
