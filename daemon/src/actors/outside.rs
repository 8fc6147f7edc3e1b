//! This machine's outside address and its kind of NAT: runs the STUN client over the QUIC socket, with the phone books as
//! servers.

use crate::{io::host_address, reachable::Reachable};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, SpawnHandle,
    StreamHandler, WrapFuture,
};
use futures::stream;
use fyteclub_proto::{
    local::reply::NetworkStatus,
    reaching::{
        candidate::{Teller, Vantage, is_public, may_be_dialled},
        families::Families,
        nat::Nat,
        stun_client::{self, Input, Output, Server, StunClient},
    },
};
use fyteclub_quic::peer_socket::{Aside, PeerSocket};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// How long a server's name may take to resolve.
const RESOLVE_TIME: Duration = Duration::from_secs(5);

pub struct Outside {
    socket: Arc<PeerSocket>,
    asides: Option<mpsc::Receiver<Aside>>,
    client: StunClient,
    /// By phone book.
    servers: BTreeMap<usize, Vec<Server>>,
    reachable: Reachable,
    families: Families,
    /// The phone books that answer. Without one, a server that is silent shows nothing of the network.
    live: BTreeSet<usize>,
    /// As the servers last showed it.
    shown: stun_client::Outside,
    is_on: bool,
    timer: Option<SpawnHandle>,
}

impl Outside {
    /// `seed` is random. `is_on`: else no server is asked.
    pub fn new(
        socket: Arc<PeerSocket>,
        asides: mpsc::Receiver<Aside>,
        reachable: Reachable,
        seed: Zeroizing<[u8; 32]>,
        is_on: bool,
    ) -> Self {
        let families = Families::of(reachable.local());
        let client = StunClient::new(seed);
        Self {
            socket,
            asides: Some(asides),
            client,
            servers: BTreeMap::new(),
            reachable,
            families,
            live: BTreeSet::new(),
            shown: stun_client::Outside::default(),
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
                Output::Fresh(outside) | Output::Changed(outside) => self.show(outside),
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
        if self.shown == outside || (outside.nat == Nat::Blocked && self.live.is_empty()) {
            return;
        }
        self.shown = outside;
        match outside.addr {
            Some(addr) => tracing::info!("seen from outside as {addr}: {}", meaning(&outside)),
            None => tracing::info!("{}", meaning(&outside)),
        }
        self.reachable.set_outside(outside.addr);
    }

    /// Addresses of this phone book's ports, or none.
    fn learn(&mut self, book: usize, addrs: Vec<SocketAddr>, ports: u8, ctx: &mut Context<Self>) {
        let addrs = addrs.into_iter().filter(|addr| self.families.has(addr.ip()));
        let servers: Vec<Server> = addrs
            .map(|kept| {
                let next = kept.port().checked_add(1).filter(|_| ports > 1).unwrap_or(kept.port());
                Server { kept, fresh: SocketAddr::new(kept.ip(), next) }
            })
            .collect();
        let known = match servers.is_empty() {
            true => self.servers.remove(&book),
            false => self.servers.insert(book, servers.clone()),
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
            "the phone book is in this network, and does not show how the Internet sees this machine"
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
        if let Some(asides) = self.asides.take() {
            ctx.add_stream(stream::unfold(asides, |mut asides| async move {
                Some((asides.recv().await?, asides))
            }));
        }
        self.handle_input(Input::Local(local()), ctx);
    }
}

impl StreamHandler<Aside> for Outside {
    fn handle(&mut self, aside: Aside, ctx: &mut Self::Context) {
        // Probes and relays have nobody yet.
        if let Aside::Stun(response) = aside {
            self.handle_input(Input::Heard(response), ctx);
        }
    }

    /// The actor outlives the socket.
    fn finished(&mut self, _: &mut Self::Context) {}
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
    /// A name or an address.
    pub host: String,
    pub port: u16,
    /// How many ports answer, `port` first; 0: none.
    pub ports: u8,
    /// Whose word the host is.
    pub teller: Teller,
    pub vantage: Vantage,
}

impl StunAt {
    /// Whether requests may be sent there: no phone book aims them at others' networks or services.
    fn allows(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip().to_canonical();
        self.vantage.book == Some(ip) || may_be_dialled(addr, self.teller, &self.vantage)
    }
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
            return self.learn(book, Vec::new(), 0, ctx);
        }
        let resolving = async move {
            let lookup = tokio::net::lookup_host((at.host.as_str(), at.port));
            match tokio::time::timeout(RESOLVE_TIME, lookup).await {
                Ok(Ok(addrs)) => addrs.filter(|addr| at.allows(*addr)).collect(),
                _ => Vec::new(),
            }
        };
        ctx.spawn(
            resolving
                .into_actor(self)
                .map(move |addrs: Vec<SocketAddr>, outside, ctx| outside.learn(book, addrs, ports, ctx)),
        );
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
    }
}

#[derive(Message)]
#[rtype(result = "NetworkStatus")]
pub struct Report;

impl Handler<Report> for Outside {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        MessageResult(NetworkStatus {
            nat: self.shown.nat.into(),
            address: self.shown.addr,
            meaning: if self.is_on { meaning(&self.shown) } else { "STUN is switched off" }.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_book_aims_stun_at_no_other_network() {
        let book: IpAddr = [203, 0, 113, 3].into();
        let vantage = Vantage { book: Some(book), here: Some([203, 0, 113, 9].into()), together: false };
        let at = |teller| StunAt { book: 0, host: String::new(), port: 0, ports: 2, teller, vantage };
        for (addr, told, configured) in [
            ("203.0.113.3:80", true, true),
            ("[::ffff:203.0.113.3]:80", true, true),
            ("198.51.100.7:3000", true, true),
            ("198.51.100.7:53", false, true),
            ("192.168.1.1:3000", false, true),
            ("127.0.0.1:3000", false, true),
            ("224.0.0.1:3000", false, false),
        ] {
            let addr = addr.parse().expect("an address");
            assert_eq!(at(Teller::PhoneBook).allows(addr), told, "{addr}");
            assert_eq!(at(Teller::Person).allows(addr), configured, "{addr}");
        }
    }
}
