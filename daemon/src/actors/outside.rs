//! This machine's outside address and its kind of NAT: runs the STUN client over the QUIC socket, with the phone books and
//! the person's other servers.

use super::server::ServerAt;
use crate::{config::Stun, io::host_address, reachable::Reachable};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use fyteclub_proto::{
    local::reply::NetworkStatus,
    reaching::{
        candidate::{Teller, Vantage, is_public},
        families::Families,
        nat::Nat,
        stun_client::{self, Input, Output, Server, StunClient},
        wire::stun,
    },
};
use fyteclub_quic::peer_socket::PeerSocket;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

/// When a server's name is looked up again that did not resolve.
const RESOLVE_AGAIN: Duration = Duration::from_secs(30);

/// Whose server it is; phone books are asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Book(usize),
    Person(usize),
}

pub struct Outside {
    socket: Arc<PeerSocket>,
    client: StunClient,
    servers: BTreeMap<Of, Vec<Server>>,
    /// Servers beside the phone books'.
    others: Vec<ServerAt>,
    /// The look-up of each one's name, or the wait for the next.
    finding: BTreeMap<usize, SpawnHandle>,
    reachable: Reachable,
    families: Families,
    /// The phone books that answer. Without one, a server that is silent shows nothing of the network.
    live: BTreeSet<usize>,
    /// As the servers last showed it.
    shown: watch::Sender<stun_client::Outside>,
    /// Those who want a fresh address.
    waiting: Vec<oneshot::Sender<stun_client::Outside>>,
    is_on: bool,
    timer: Option<SpawnHandle>,
}

impl Outside {
    /// `seed` is random.
    pub fn new(
        socket: Arc<PeerSocket>,
        reachable: Reachable,
        seed: Zeroizing<[u8; 32]>,
        stun: &Stun,
    ) -> Self {
        let Stun { is_on, others } = stun.clone();
        let others = others.into_iter().map(|(host, port)| {
            let vantage = Vantage { book: None, here: None, together: false };
            ServerAt { host, port, teller: Teller::Person, vantage }
        });
        let families = Families::of(reachable.local());
        let client = StunClient::new(seed);
        Self {
            socket,
            client,
            servers: BTreeMap::new(),
            others: others.collect(),
            finding: BTreeMap::new(),
            reachable,
            families,
            live: BTreeSet::new(),
            shown: watch::Sender::default(),
            waiting: Vec::new(),
            is_on,
            timer: None,
        }
    }

    fn handle_input(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.client.handle(Instant::now(), input);
        while let Some(output) = self.client.poll() {
            match output {
                Output::Send { to, request } => {
                    if let Err(error) = self.socket.send_to(to, None, &request) {
                        tracing::debug!("no STUN request to {to}: {error}");
                    }
                }
                Output::Fresh(outside) => {
                    self.show(outside);
                    let shown = *self.shown.borrow();
                    // Who has gone needs no answer.
                    for waits in self.waiting.drain(..) {
                        waits.send(shown).ok();
                    }
                }
                Output::Changed(outside) => self.show(outside),
            }
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some((at, _)) = self.client.deadline() {
            let wait = at.saturating_duration_since(Instant::now());
            self.timer = Some(ctx.run_later(wait, |outside, ctx| outside.handle_input(Input::Time, ctx)));
        }
    }

    fn show(&mut self, outside: stun_client::Outside) {
        let shows_nothing = outside.nat == Nat::Blocked && self.live.is_empty();
        if *self.shown.borrow() == outside || shows_nothing {
            return;
        }
        self.shown.send_replace(outside);
        match outside.addr {
            Some(addr) => tracing::info!("seen from outside as {addr}: {}", meaning(&outside)),
            None => tracing::info!("{}", meaning(&outside)),
        }
        self.reachable.set_outside(outside.addr);
    }

    fn find_others(&mut self, ctx: &mut Context<Self>) {
        (0..self.others.len()).for_each(|number| self.find_other(number, ctx));
    }

    fn find_other(&mut self, number: usize, ctx: &mut Context<Self>) {
        let Some(at) = self.others.get(number).filter(|_| self.is_on).cloned() else { return };
        let name = at.host.clone();
        let finding =
            ctx.spawn(at.resolve().into_actor(self).map(move |addrs: Vec<SocketAddr>, outside, ctx| {
                if addrs.is_empty() {
                    tracing::debug!("the STUN server {name} has no address");
                    let again =
                        ctx.run_later(RESOLVE_AGAIN, move |outside, ctx| outside.find_other(number, ctx));
                    outside.finding.insert(number, again);
                }
                outside.learn(Of::Person(number), addrs, 1, ctx);
            }));
        if let Some(former) = self.finding.insert(number, finding) {
            ctx.cancel_future(former);
        }
    }

    /// Addresses of this server's ports, or none.
    fn learn(&mut self, of: Of, addrs: Vec<SocketAddr>, ports: u8, ctx: &mut Context<Self>) {
        let addrs = addrs.into_iter().filter(|addr| self.families.has(addr.ip()));
        let servers: Vec<Server> = addrs
            .map(|kept| {
                let next = kept.port().checked_add(1).filter(|_| ports > 1).unwrap_or(kept.port());
                Server { kept, fresh: SocketAddr::new(kept.ip(), next) }
            })
            .collect();
        let known = if servers.is_empty() {
            self.servers.remove(&of)
        } else {
            self.servers.insert(of, servers.clone())
        };
        if known.unwrap_or_default() == servers {
            return;
        }
        let mut all: Vec<Server> = self.servers.values().flatten().copied().collect();
        // NATs are of IPv4.
        all.sort_by_key(|server| !server.kept.is_ipv4());
        self.handle_input(Input::Servers(all), ctx);
    }
}

/// One sentence for a person.
fn meaning(outside: &stun_client::Outside) -> &'static str {
    match outside.addr {
        Some(addr) if !is_public(addr.ip()) => {
            "the STUN server is in this network, and does not show how the Internet sees this machine"
        }
        _ => outside.nat.words(),
    }
}

/// Addresses of this machine, also those at which a phone book on it sees it.
fn local() -> Vec<IpAddr> {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    host_address::all().into_iter().chain(loopback).collect()
}

impl Actor for Outside {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.handle_input(Input::Local(local()), ctx);
        self.find_others(ctx);
    }
}

/// A STUN server answered.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Received(pub stun::Response);

impl Handler<Received> for Outside {
    type Result = ();

    fn handle(&mut self, Received(response): Received, ctx: &mut Self::Context) {
        self.handle_input(Input::Received(response), ctx);
    }
}

/// Answered with a fresh outside address, within about two seconds; with none if no server answers or is known.
#[derive(Message)]
#[rtype(result = "stun_client::Outside")]
pub struct Want;

impl Handler<Want> for Outside {
    type Result = ResponseFuture<stun_client::Outside>;

    fn handle(&mut self, _: Want, ctx: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.waiting.push(answer);
        self.handle_input(Input::Want, ctx);
        Box::pin(async { answered.await.unwrap_or_default() })
    }
}

/// Answered with a receiver of every change.
#[derive(Message)]
#[rtype(result = "Watching")]
pub struct Watch;

/// What the servers show, at any time.
pub type Watching = watch::Receiver<stun_client::Outside>;

impl Handler<Watch> for Outside {
    type Result = MessageResult<Watch>;

    fn handle(&mut self, _: Watch, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.shown.subscribe())
    }
}

/// What the phone books tell of a STUN server.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum StunServer {
    At(StunAt),
    /// The phone book of this number does not answer.
    Away(usize),
}

/// Where a phone book answers STUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunAt {
    pub book: usize,
    pub at: ServerAt,
    /// How many ports answer, the named one first; 0: none.
    pub ports: u8,
}

impl Handler<StunServer> for Outside {
    type Result = ();

    fn handle(&mut self, server: StunServer, ctx: &mut Self::Context) {
        if !self.is_on {
            return;
        }
        let at = match server {
            StunServer::At(at) => at,
            StunServer::Away(book) => {
                self.live.remove(&book);
                return;
            }
        };
        let (book, ports) = (at.book, at.ports);
        self.live.insert(book);
        if ports == 0 {
            return self.learn(Of::Book(book), Vec::new(), 0, ctx);
        }
        let resolving = at.at.resolve();
        ctx.spawn(resolving.into_actor(self).map(move |addrs: Vec<SocketAddr>, outside, ctx| {
            outside.learn(Of::Book(book), addrs, ports, ctx)
        }));
    }
}

/// This machine's addresses changed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Moved;

impl Handler<Moved> for Outside {
    type Result = ();

    fn handle(&mut self, _: Moved, ctx: &mut Self::Context) {
        self.handle_input(Input::Local(local()), ctx);
        self.handle_input(Input::Moved, ctx);
        self.find_others(ctx);
    }
}

#[derive(Message)]
#[rtype(result = "NetworkStatus")]
pub struct Report;

impl Handler<Report> for Outside {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        let shown = *self.shown.borrow();
        MessageResult(NetworkStatus {
            nat: shown.nat.into(),
            address: shown.addr,
            meaning: if self.is_on { meaning(&shown) } else { "STUN is switched off" }.to_owned(),
        })
    }
}
