//! Contacts in the local network: announces this daemon by mDNS, and finds the contacts that are announced. [`Neighbours`]
//! has the rules, `words` the messages.
//!
//! Nothing is sent while there is no contact, and no address of this machine that a neighbour could dial. While some
//! contact must learn no address, nothing is announced, for all in the network read it, and nothing is asked: a question
//! tells that the machine which sends it runs a daemon.

mod words;

pub use words::{Contact, LanFact, Moved, Seek, Stop, Unanswered};

use crate::{
    io::{
        mdns::{Heard, Mdns},
        subnets::{self, Neighbourhood},
    },
    ledger::Accounts,
    reachable::Reachable,
    sharing::means::PeerMeans,
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, ResponseFuture, SpawnHandle,
    StreamHandler, WrapFuture,
};
use futures::stream;
use fyteclub_proto::{
    id::PeerId,
    ledger::{Counterpart, Item},
    reaching::{
        families::Families,
        lan::{Neighbours, name::Name},
    },
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long neighbours have to answer the first question.
const SETTLE: Duration = Duration::from_millis(1500);
/// New contacts of this time are looked for together.
const GATHER: Duration = Duration::from_millis(200);
/// When announcements that were too many are asked for again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long one name is announced.
const NAME_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked how much mDNS holds, and how long that may take.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_TIME: Duration = Duration::from_secs(2);
/// The first pause after a flood, and the longest.
const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// Parts of the daemon that the actor uses.
pub struct Setup {
    /// Else nothing is announced, and nobody found.
    pub is_on: bool,
    pub here: PeerId,
    pub reachable: Reachable,
    pub accounts: Accounts,
    pub means: PeerMeans,
    pub facts: Recipient<LanFact>,
}

pub struct Lan {
    setup: Setup,
    neighbours: Neighbours,
    /// `None` before the first look.
    here: Option<Vec<Neighbourhood>>,
    open: Option<Open>,
    /// Announcements that are being withdrawn. Another one begins after the last of them.
    closing: usize,
    /// When the neighbours have had their time.
    settled: Instant,
    waiting: Vec<(PeerId, oneshot::Sender<Vec<SocketAddr>>)>,
    /// The next question to the network.
    question: Option<SpawnHandle>,
    /// The end of the name, or of a pause.
    renewal: Option<SpawnHandle>,
    is_looking: bool,
    is_paused: bool,
    pause: Duration,
    is_stopped: bool,
}

struct Open {
    mdns: Mdns,
    name: Name,
    hearing: Option<SpawnHandle>,
}

impl Lan {
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            neighbours: Neighbours::default(),
            here: None,
            open: None,
            closing: 0,
            settled: Instant::now(),
            waiting: Vec::new(),
            question: None,
            renewal: None,
            is_looking: false,
            is_paused: false,
            pause: PAUSE,
            is_stopped: false,
        }
    }

    fn is_on(&self) -> bool {
        self.setup.is_on && !self.is_stopped && !self.setup.means.hides()
    }

    /// Reads this machine's networks, and announces it anew: another network may have the same addresses.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let looked = actix_rt::task::spawn_blocking(subnets::all);
        ctx.spawn(looked.into_actor(self).map(|looked, lan, ctx| match looked {
            Ok(here) => lan.looked(here, ctx),
            Err(error) => tracing::warn!("this machine's networks cannot be looked up: {error}"),
        }));
    }

    fn looked(&mut self, mut here: Vec<Neighbourhood>, ctx: &mut Context<Self>) {
        let local = self.setup.reachable.local();
        let families = Families::of(local);
        let is_anywhere = self.setup.reachable.is_anywhere();
        here.retain(|found| {
            families.has(found.subnet.ip()) && (is_anywhere || found.subnet.ip() == local.ip().to_canonical())
        });
        self.here = Some(here);
        self.renew(ctx);
    }

    /// Withdraws what is announced, and announces a new name.
    fn renew(&mut self, ctx: &mut Context<Self>) {
        self.shut(ctx);
        if self.closing == 0 {
            self.announce(ctx);
        }
    }

    fn shut(&mut self, ctx: &mut Context<Self>) {
        for timer in [self.question.take(), self.renewal.take()].into_iter().flatten() {
            ctx.cancel_future(timer);
        }
        self.is_paused = false;
        let Some(Open { mdns, hearing, .. }) = self.open.take() else { return };
        if let Some(hearing) = hearing {
            ctx.cancel_future(hearing);
        }
        self.closing += 1;
        ctx.spawn(mdns.close().into_actor(self).map(|(), lan, ctx| {
            lan.closing -= 1;
            if lan.closing == 0 && !lan.is_paused {
                lan.announce(ctx);
            }
        }));
    }

    fn announce(&mut self, ctx: &mut Context<Self>) {
        let here = self.here.as_deref().unwrap_or_default();
        self.neighbours.enter(here.iter().map(|found| found.subnet).collect());
        if !self.is_on() || self.open.is_some() || here.is_empty() || !self.neighbours.has_contacts() {
            return;
        }
        let mut nonce = [0; 8];
        if let Err(error) = getrandom::fill(&mut nonce) {
            return tracing::warn!(
                "this machine has no randomness, so the local network is not searched: {error}"
            );
        }
        let name = Name::new(&self.setup.here, nonce);
        let addrs: Vec<_> = here.iter().map(|found| found.subnet.ip()).collect();
        let interfaces = here.iter().map(|found| found.interface.clone()).collect();
        match Mdns::open(name, &addrs, self.setup.reachable.local().port(), interfaces) {
            Ok(mdns) => {
                tracing::debug!("announced in the local network as {name}, at {addrs:?}");
                self.open = Some(Open { mdns, name, hearing: None });
                self.renewal = Some(ctx.run_later(NAME_LIFE, Self::renew));
                self.give_time(SETTLE, ctx);
                self.ask(ctx);
            }
            Err(error) => tracing::warn!("players in the local network are not looked for: {error}"),
        }
    }

    /// Asks the network who is there.
    fn ask(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        if let Some(hearing) = open.hearing.take() {
            ctx.cancel_future(hearing);
        }
        match open.mdns.browse() {
            Ok(heard) => open.hearing = Some(ctx.add_stream(heard)),
            Err(error) => {
                tracing::debug!("{error}");
                self.ask_later(AGAIN, ctx);
            }
        }
    }

    fn ask_later(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        if self.question.is_none() {
            self.question = Some(ctx.run_later(wait, |lan, ctx| {
                lan.question = None;
                match lan.open {
                    Some(_) => lan.ask(ctx),
                    None if lan.closing == 0 && !lan.is_paused => lan.announce(ctx),
                    None => {}
                }
            }));
        }
    }

    /// The neighbours have so much time to answer.
    fn give_time(&mut self, time: Duration, ctx: &mut Context<Self>) {
        self.settled = self.settled.max(Instant::now() + time);
        ctx.run_later(time, |lan, _| lan.settle());
    }

    /// Answers all who wait, unless the neighbours have their time still.
    fn settle(&mut self) {
        if Instant::now() >= self.settled {
            for (peer, answer) in std::mem::take(&mut self.waiting) {
                // Who has gone needs no answer.
                answer.send(self.neighbours.of(Instant::now(), &peer)).ok();
            }
        }
    }

    /// Looks whether strangers have mDNS hold too much.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = self.open.as_ref().filter(|_| !self.is_looking) else { return };
        self.is_looking = true;
        let (name, looking) = (open.name, open.mdns.load(LOOK_TIME));
        ctx.spawn(looking.into_actor(self).map(move |is_fine, lan, ctx| {
            lan.is_looking = false;
            if !is_fine && lan.open.as_ref().is_some_and(|open| open.name == name) {
                lan.flooded(ctx);
            }
        }));
    }

    fn flooded(&mut self, ctx: &mut Context<Self>) {
        tracing::warn!(
            "somebody floods the local network with multicast DNS: players in it are not looked for during {} s",
            self.pause.as_secs()
        );
        self.shut(ctx);
        self.neighbours.enter(Vec::new());
        self.is_paused = true;
        self.renewal = Some(ctx.run_later(self.pause, Self::renew));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

impl Actor for Lan {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.setup.is_on {
            let changes = stream::unfold(self.setup.means.watch(), |mut watch| async move {
                watch.changed().await.ok().map(|()| (MeansSet, watch))
            });
            ctx.add_stream(changes);
            self.give_time(SETTLE, ctx);
            ctx.run_interval(LOOK_EVERY, Self::watch);
            self.look(ctx);
        }
    }
}

/// A person set by which means a contact is reached.
struct MeansSet;

impl StreamHandler<MeansSet> for Lan {
    fn handle(&mut self, _: MeansSet, ctx: &mut Self::Context) {
        match (self.is_on(), self.open.is_some()) {
            (false, true) => {
                tracing::info!(
                    "players in the local network are not looked for while a contact is reached over relays only"
                );
                self.shut(ctx);
                self.neighbours.enter(Vec::new());
            }
            (true, false) if !self.is_paused => self.look(ctx),
            _ => {}
        }
    }

    /// The end of this stream does not end the actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<Heard> for Lan {
    fn handle(&mut self, heard: Heard, ctx: &mut Self::Context) {
        match heard {
            Heard::Named { name, .. } if self.open.as_ref().is_some_and(|open| open.name == name) => {}
            Heard::Named { name, addrs } => {
                let by = addrs.iter().find(|addr| addr.is_ipv4()).or(addrs.first());
                let Some(by) = by.map(|addr| Counterpart::Network(addr.ip().into())) else { return };
                if self.setup.accounts.charge(&by, Item::Announcements, 1).is_err() {
                    return self.ask_later(AGAIN, ctx);
                }
                let Some((peer, addrs)) = self.neighbours.heard(name, &addrs) else { return };
                tracing::debug!(peer = %peer.short(), "found in the local network at {addrs:?}");
                let (served, waiting) =
                    std::mem::take(&mut self.waiting).into_iter().partition(|(waits, _)| *waits == peer);
                self.waiting = waiting;
                let served: Vec<(PeerId, oneshot::Sender<_>)> = served;
                served.into_iter().for_each(|(_, answer)| drop(answer.send(addrs.clone())));
                self.setup.facts.do_send(LanFact { peer, addrs });
            }
            Heard::Gone(name) => self.neighbours.gone(&name),
        }
    }

    /// mDNS ends a stream that is read too slowly. The end of this stream does not end the actor.
    fn finished(&mut self, ctx: &mut Self::Context) {
        if self.open.is_some() {
            self.flooded(ctx);
        }
    }
}

impl Handler<Contact> for Lan {
    type Result = ();

    fn handle(&mut self, Contact { key, consented }: Contact, ctx: &mut Self::Context) {
        if consented {
            self.neighbours.admit(key);
            if self.is_on() {
                // It may have been announced before.
                self.give_time(GATHER + SETTLE, ctx);
                self.ask_later(GATHER, ctx);
            }
        } else {
            self.neighbours.dismiss(&key);
            if !self.neighbours.has_contacts() {
                self.shut(ctx);
            }
        }
    }
}

impl Handler<Seek> for Lan {
    type Result = ResponseFuture<Vec<SocketAddr>>;

    fn handle(&mut self, Seek { peer, is_patient }: Seek, _: &mut Self::Context) -> Self::Result {
        let found = self.neighbours.of(Instant::now(), &peer);
        if !found.is_empty() || !is_patient || !self.is_on() || Instant::now() >= self.settled {
            return Box::pin(async { found });
        }
        let (answer, answered) = oneshot::channel();
        self.waiting.push((peer, answer));
        Box::pin(async { answered.await.unwrap_or_default() })
    }
}

impl Handler<Unanswered> for Lan {
    type Result = ();

    fn handle(&mut self, Unanswered { peer, addr }: Unanswered, _: &mut Self::Context) {
        let names = self.neighbours.unanswered(Instant::now(), &peer, addr);
        if let Some(open) = &self.open {
            names.into_iter().for_each(|name| open.mdns.verify(name));
        }
    }
}

impl Handler<Moved> for Lan {
    type Result = ();

    fn handle(&mut self, _: Moved, ctx: &mut Self::Context) {
        if self.is_on() {
            self.pause = PAUSE;
            self.look(ctx);
        }
    }
}

impl Handler<Stop> for Lan {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        self.is_stopped = true;
        let closing = self.open.take().map(|open| open.mdns.close());
        self.shut(ctx);
        Box::pin(async move {
            if let Some(closing) = closing {
                closing.await;
            }
        })
    }
}
