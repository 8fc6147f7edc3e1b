//! One peer: keeps one link to it, whichever side dialled, and starts the pumps on it.
//!
//! A few links may exist for a moment (both sides dial at once, a peer restarts): `LinkChoice` decides which one is
//! used, and when the others close. New requests use that link; the peer's requests are served on all.

mod by_hand;
mod cause;
mod commands;
mod dial;
mod live;

pub use by_hand::DialAt;
pub use commands::*;
pub use dial::{DialPermit, Near, Reached, TellOffer, Unreached};

use super::{
    lan::Lan,
    phone_book::LookupError,
    random,
    traversal::{Id, Linked, OfferedOverLink, Silent, Traversals},
};
use crate::{
    io::{identity::Identity, quic::QuicEndpoint, store::Store},
    ledger::Accounts,
    pumps::{
        compression::Compression,
        pace::Pacer,
        pull::{self, AppearancePullError},
        push::{Changed, Grants, Push},
    },
    sharing::{access::Access, lending::Lending, means::PeerMeans, published::CurrentOffer, served::Served},
};
use actix::{Actor, Addr, AsyncContext, Context, Message, Recipient, SpawnHandle, StreamHandler};
use by_hand::ByHand;
use cause::{blame, explain};
use fyteclub_proto::{
    bytes::Bytes,
    foreign::Foreign,
    grant::Grant,
    id::{BlobHash, PeerId, PlayerName},
    ledger::{Counterpart, Item},
    local::reply::{PathKind, PeerState},
    peer::{CloseCode, Greeting, HoldingReply, capability},
    reaching::{
        link_choice::{self, LinkChoice},
        liveness::{self, Liveness},
        paths::{self, Failure, Paths},
        session::{Input, Output},
    },
    seal::End,
};
use live::{LinkEvent, Live};
use quinn::{Connection, ConnectionError};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The peer's time to answer what it holds.
const HOLDING_TIME: Duration = Duration::from_secs(10);
/// The peer's time to prove blobs: a few hundred reads at random places of a disk, or 128 MiB in a row.
const POSSESSION_TIME: Duration = Duration::from_secs(10);

/// A peer actor's facts for the coordinator.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum PeerFact {
    /// A dial is wanted: answer with [`DialPermit`].
    MayDial { peer: PeerId },
    /// No source has its address, or a phone book has another key for its name.
    NotFound { peer: PeerId, error: LookupError },
    Opened {
        peer: PeerId,
        /// Where the peer may be dialled later.
        addr: Option<SocketAddr>,
        path: PathKind,
        greeting: Greeting,
    },
    /// The peer publishes this look now.
    Look { peer: PeerId, look: Option<BlobHash> },
    /// It leaves requests over the link in use unanswered, or answers again.
    Silent { peer: PeerId, silent: bool },
    /// The last link is closed; all requests on it have ended.
    Lost { peer: PeerId, cause: String },
    /// The peer was not reached, and no more is tried.
    GaveUp { peer: PeerId, cause: String },
    /// The answer to [`AskAppearance`] of this `run`.
    Appearance { peer: PeerId, run: u64, result: Result<(Vec<u8>, Grant), AppearancePullError> },
    /// The peer's answer about another owner's look.
    Holding { peer: PeerId, owner: PeerId, look: BlobHash, reply: HoldingReply },
    /// The owner's next grant, not checked yet.
    Grant { grant: Grant },
    /// No link is open and none is tried: answer with [`Retire`] if the actor is not needed.
    Idle { peer: PeerId },
    /// The actor stops; another is started when it is needed again.
    Retired { peer: PeerId },
}

/// Parts of the daemon that every peer's actor uses.
#[derive(Clone)]
pub struct PeerContext {
    pub here: PeerId,
    pub player: Option<PlayerName>,
    /// Random at every start of the daemon.
    pub instance: u64,
    pub endpoint: QuicEndpoint,
    pub traversals: Addr<Traversals>,
    pub lan: Addr<Lan>,
    pub means: PeerMeans,
    pub store: Store,
    pub offer: CurrentOffer,
    pub identity: Arc<Identity>,
    pub lending: Lending,
    pub accounts: Accounts,
    pub compression: Compression,
    pub pacer: Pacer,
}

/// A request that is carried. Stopped, it still stores and tells what came whole.
struct Pulling {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

pub struct Peer {
    id: PeerId,
    context: PeerContext,
    facts: Recipient<PeerFact>,
    /// The peer's candidates, and the tries to reach it.
    paths: Paths,
    /// Where it is announced in the local network, as told last.
    near: Vec<SocketAddr>,
    by_hand: ByHand,
    /// Running dials of [`Paths`].
    dials: HashMap<u64, SpawnHandle>,
    state: PeerState,
    cause: Option<String>,
    links: HashMap<usize, Live>,
    /// Decides which open link is used, and which may close.
    choice: LinkChoice,
    pulls: HashMap<u64, Pulling>,
    /// Number of running requests other than pulls.
    asks: usize,
    liveness: Liveness,
    /// Links that the peer dialled to an address that this machine no longer has.
    stranded: Vec<usize>,
    changed: Changed,
    access: Access,
    served: Served,
    timer: Option<SpawnHandle>,
}

impl Peer {
    pub fn new(
        id: PeerId,
        context: PeerContext,
        facts: Recipient<PeerFact>,
        changed: Changed,
        access: Access,
        served: Served,
    ) -> Self {
        let choice = LinkChoice::new(context.here, id);
        Self {
            id,
            facts,
            paths: Paths::new(context.endpoint.families()),
            near: Vec::new(),
            by_hand: ByHand::default(),
            dials: HashMap::new(),
            context,
            state: PeerState::Disconnected,
            cause: None,
            links: HashMap::new(),
            choice,
            pulls: HashMap::new(),
            asks: 0,
            liveness: Liveness::new(Instant::now()),
            stranded: Vec::new(),
            changed,
            access,
            served,
            timer: None,
        }
    }

    fn greeting(&self) -> Greeting {
        Greeting {
            agent: concat!("fyteclubd ", env!("CARGO_PKG_VERSION")).into(),
            player: self.context.player.clone(),
            capabilities: capability::OWN,
            published: self.context.offer.borrow().as_ref().map(|offer| offer.appearance),
            // Earlier links lead to an address that may be gone: another instance has the other side take the new link.
            instance: self.context.instance.wrapping_add(self.context.endpoint.moves()),
        }
    }

    /// Starts a session on a new connection.
    fn begin(&mut self, connection: Connection, end: End, ctx: &mut Context<Self>) {
        let Some(link) = self.context.endpoint.link(connection, end) else { return };
        let due = match end {
            End::Dialer => None,
            End::Acceptor => {
                let held = self.context.accounts.hold(Counterpart::Contact(self.id), Item::Greetings, 1);
                let Ok(due) = held else { return link.close(CloseCode::Overloaded) };
                Some(due)
            }
        };
        let id = link.id();
        if let Some(addr) = link.place().virtual_addr() {
            self.context.traversals.do_send(Linked { addr, link: link.clone() });
        }
        let (live, heard) = Live::begin(link, self.greeting(), due);
        ctx.add_stream(heard);
        self.links.insert(id, live);
        self.drive(ctx);
    }

    /// The side that dialled a link.
    fn dialer(&self, end: End) -> PeerId {
        match end {
            End::Dialer => self.context.here,
            End::Acceptor => self.id,
        }
    }

    /// The link in use.
    fn current(&self) -> Option<&Live> {
        self.choice.current().and_then(|id| self.links.get(&id))
    }

    /// Carries out all outputs of the machines, and sets the next alarm.
    fn drive(&mut self, ctx: &mut Context<Self>) {
        let ids: Vec<usize> = self.links.keys().copied().collect();
        for id in ids {
            while let Some(output) = self.links.get_mut(&id).and_then(|live| live.session.poll()) {
                self.session_output(id, output, ctx);
            }
        }
        while let Some(output) = self.choice.poll() {
            self.chosen(output);
        }
        while let Some(output) = self.paths.poll() {
            self.path_output(output, ctx);
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let sessions = self.links.values().filter_map(|live| live.session.deadline().map(|(at, _)| at));
        let machines = [
            self.paths.deadline().map(|(at, _)| at),
            self.choice.deadline().map(|(at, _)| at),
            self.liveness.deadline().map(|(at, _)| at),
        ];
        let next = sessions.chain(machines.into_iter().flatten()).min();
        self.timer = next.map(|at| {
            ctx.run_later(at.saturating_duration_since(Instant::now()), |peer, ctx| peer.alarm(ctx))
        });
    }

    fn alarm(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.links.values_mut().for_each(|live| live.session.handle(now, Input::Time));
        self.paths.handle(now, random(), paths::Input::Time);
        for (link, _) in self.links.iter().filter(|(_, live)| live.link.carries()) {
            self.choice.handle(now, link_choice::Input::Busy { link: *link });
        }
        self.choice.handle(now, link_choice::Input::Time);
        self.listen(now);
        self.drive(ctx);
    }

    /// A request other than a pull begins; at its end `asks` is decremented.
    fn begin_ask(&mut self, ctx: &mut Context<Self>) {
        self.asks += 1;
        self.listen(Instant::now());
        self.drive(ctx);
    }

    /// Checks, while a request runs, whether the link in use still receives datagrams.
    fn listen(&mut self, now: Instant) {
        let Some(link) = self.current().map(|live| live.link.clone()) else { return };
        self.pulls.retain(|_, pull| !pull.task.is_finished());
        let asking = self.asks > 0 || !self.pulls.is_empty();
        let (datagrams, rtt) = (link.datagrams_heard(), link.rtt());
        self.liveness.handle(now, liveness::Input::Received { datagrams, rtt, asking });
        while let Some(output) = self.liveness.poll() {
            match output {
                liveness::Output::Probe => {
                    if let Some(addr) = link.place().virtual_addr() {
                        self.context.traversals.do_send(Silent { addr });
                    }
                    let link = link.clone();
                    // Any datagram is an answer; the content of this one does not matter.
                    tokio::spawn(async move {
                        tokio::time::timeout(HOLDING_TIME, pull::holding(&link, Bytes([0; 32]))).await.ok();
                    });
                }
                liveness::Output::Silent => {
                    tracing::info!(peer = %self.id.short(), "the peer does not answer: dialling it again");
                    let silent = paths::Input::Silent { link: link.id(), heard: datagrams };
                    self.paths.handle(now, random(), silent);
                    self.facts.do_send(PeerFact::Silent { peer: self.id, silent: true });
                }
                liveness::Output::Heard => {
                    tracing::info!(peer = %self.id.short(), "the peer answers again");
                    self.paths.handle(now, random(), paths::Input::Heard);
                    self.facts.do_send(PeerFact::Silent { peer: self.id, silent: false });
                }
                liveness::Output::Dead => {
                    tracing::debug!(peer = %self.id.short(), "the peer does not answer: closing the link");
                    if let Some(live) = self.links.get_mut(&link.id()) {
                        live.closed = Some(CloseCode::Silent);
                    }
                    link.close(CloseCode::Silent);
                }
            }
        }
    }

    fn session_output(&mut self, id: usize, output: Output, ctx: &mut Context<Self>) {
        let Some(live) = self.links.get_mut(&id) else { return };
        match output {
            Output::Say(control) => live.say(control),
            Output::Greeted(greeting) => {
                // The dialler does not use the link before this answer. The key decides; the greeting's name is not
                // shown to clients.
                let verdict = match self.access.check() {
                    _ if !self.choice.wants(self.id, greeting.instance) => Input::Close(CloseCode::Duplicate),
                    Ok(()) => Input::Admit,
                    Err(_) => Input::Close(CloseCode::Refused),
                };
                live.session.handle(Instant::now(), verdict);
                self.drive(ctx);
            }
            Output::Opened { greeting, .. } => self.opened(id, greeting, ctx),
            Output::TheirLook(look) => {
                live.set_look(look);
                self.facts.do_send(PeerFact::Look { peer: self.id, look });
            }
            Output::Offered { attempt, offer } => {
                let id = Id { peer: self.id, attempt };
                self.context.traversals.do_send(OfferedOverLink { id, offer });
            }
            Output::Close(code) => {
                live.closed = Some(code);
                live.link.close(code);
            }
        }
    }

    fn opened(&mut self, id: usize, greeting: Greeting, ctx: &mut Context<Self>) {
        let Some(live) = self.links.get_mut(&id) else { return };
        let (end, instance) = (live.link.end(), greeting.instance);
        live.greeted(greeting);
        live.serve(Push {
            link: live.link.clone(),
            store: self.context.store.clone(),
            offer: self.context.offer.clone(),
            identity: self.context.identity.clone(),
            lending: self.context.lending.clone(),
            accounts: self.context.accounts.clone(),
            grants: Grants::default(),
            access: self.access.clone(),
            compression: self.context.compression,
            pacer: self.context.pacer.clone(),
            served: self.served.clone(),
            changed: self.changed.clone(),
        });
        let opened = link_choice::Input::Opened { link: id, dialer: self.dialer(end), instance };
        self.choice.handle(Instant::now(), opened);
        for stranded in std::mem::take(&mut self.stranded) {
            if let Some(live) = self.links.get(&stranded).filter(|_| stranded != id) {
                live.link.close(CloseCode::Silent);
                self.choice.handle(Instant::now(), link_choice::Input::Gone { link: stranded });
            }
        }
        self.drive(ctx);
    }

    /// Carries out an output of `choice`.
    fn chosen(&mut self, output: link_choice::Output) {
        match output {
            link_choice::Output::Use { link } => {
                let Some(live) = self.links.get(&link) else { return };
                let Some(greeting) = live.greeting.clone() else { return };
                let place = live.link.place();
                let (addr, lasting, path, rtt) =
                    (place.addr(), place.lasting(), place.path(), live.link.rtt());
                self.cause = None;
                self.liveness.handle(Instant::now(), liveness::Input::Fresh);
                let suspect = self.paths.suspect().and_then(|link| self.links.get(&link));
                let suspect = suspect.map(|live| live.link.datagrams_heard());
                let opened = paths::Input::Opened { link, addr, rtt, suspect };
                self.paths.handle(Instant::now(), random(), opened);
                self.by_hand.linked(path);
                self.facts.do_send(PeerFact::Opened { peer: self.id, addr: lasting, path, greeting });
            }
            link_choice::Output::Close { link } => {
                if let Some(live) = self.links.get(&link) {
                    live.link.close(CloseCode::Duplicate);
                }
            }
            link_choice::Output::Lost => {
                self.pulls.drain().for_each(|(_, pull)| pull.stop.cancel());
                let cause = self.cause.clone().unwrap_or_default();
                self.facts.do_send(PeerFact::Lost { peer: self.id, cause });
            }
        }
    }

    /// A connection has ended.
    fn gone(&mut self, id: usize, error: &ConnectionError, ctx: &mut Context<Self>) {
        let Some(live) = self.links.remove(&id) else { return };
        let Failure { cause, again } = match (error, live.closed) {
            (ConnectionError::LocallyClosed, Some(CloseCode::Silent)) if live.greeting.is_some() => {
                Failure::new("they do not answer any more", true)
            }
            (ConnectionError::LocallyClosed, Some(code)) => blame(code),
            _ => explain(error),
        };
        tracing::debug!(peer = %self.id.short(), "a link ended: {}", Foreign::new(&error.to_string()));
        let before = self.choice.current();
        // Nor may a link take over that is already closed, but whose end is not reported yet.
        let closed = self.links.iter().filter(|(_, live)| live.link.is_closed()).map(|(link, _)| *link);
        for link in closed.chain([id]) {
            self.choice.handle(Instant::now(), link_choice::Input::Gone { link });
        }
        // The link in use may have ended with it, and its end is reported later.
        let lost = before.is_some() && self.choice.current().is_none();
        if lost || before == Some(id) {
            self.cause = Some(cause.clone());
        }
        let addr = live.link.place().addr();
        if self.links.values().all(|live| live.link.place().addr() != addr) {
            self.paths.handle(Instant::now(), random(), paths::Input::Closed { addr });
        }
        let dialled = live.link.end() == End::Dialer && live.greeting.is_none();
        if dialled {
            self.by_hand.failed(addr, &Failure::new(cause.clone(), again));
        }
        if lost || (dialled && self.choice.current().is_none()) {
            self.paths.handle(Instant::now(), random(), paths::Input::Lost(Failure { cause, again }));
        }
        self.drive(ctx);
        if self.is_idle() {
            self.facts.do_send(PeerFact::Idle { peer: self.id });
        }
    }

    fn is_idle(&self) -> bool {
        self.links.is_empty() && self.paths.is_idle()
    }
}

impl Actor for Peer {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.links.values().for_each(|live| live.link.close(CloseCode::Done));
    }
}

impl StreamHandler<LinkEvent> for Peer {
    fn handle(&mut self, heard: LinkEvent, ctx: &mut Self::Context) {
        match heard {
            LinkEvent::Control { link, control } => {
                if let Some(live) = self.links.get_mut(&link) {
                    live.session.handle(Instant::now(), Input::Received(control));
                }
            }
            LinkEvent::Wrong { link, code } => {
                if let Some(live) = self.links.get_mut(&link) {
                    live.session.handle(Instant::now(), Input::Close(code));
                }
            }
            LinkEvent::Gone { link, error } => self.gone(link, &error, ctx),
        }
        self.drive(ctx);
    }

    /// The end of one link's stream does not end the actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}
