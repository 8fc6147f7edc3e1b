//! The STUN client of one socket: keeps the socket's mapping alive, finds its outside address, classifies its NAT.
//!
//! Each server has two ports. The first gets a request every [`KEEP`], which keeps the mapping. The second gets one only
//! before an introduction: Linux's masquerade gives a new flow the port of the socket's youngest flow, so the address for a
//! peer is that of a fresh flow, not that of the old one.
//!
//! One run asks the first port of each server and one second port. Two servers' addresses or ports that see different
//! mappings show a NAT that maps per destination.

#[cfg(test)]
mod tests;

use super::{
    nat::Nat,
    wire::stun::{REQUEST, Request, Response, Transaction},
};
use crate::bytes::Bytes;
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Pause between requests on the flow that is kept: NATs drop mappings after 30 s.
pub const KEEP: Duration = Duration::from_secs(24);
/// First pause before a request is repeated; doubles each time.
const RETRY: Duration = Duration::from_millis(150);
/// Requests of one transaction.
const TRIES: u32 = 4;
/// A run ends so long after the fresh flow's response, even if other responses are missing.
const SETTLE: Duration = Duration::from_millis(200);
/// Servers that are asked; more are ignored.
pub const SERVERS_MAX: usize = 4;

/// One server's two ports, on one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Gets the requests that keep the mapping.
    pub kept: SocketAddr,
    /// Gets a request only before an introduction. The same as `kept` where the server has one port.
    pub fresh: SocketAddr,
}

/// What servers show of this socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outside {
    /// As the last fresh flow saw it, or the kept one before the first run.
    pub addr: Option<SocketAddr>,
    pub nat: Nat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Replaces the servers, the first family first: only servers of its family are asked. Starts a run.
    Servers(Vec<Server>),
    /// Replaces the addresses of this machine.
    Local(Vec<IpAddr>),
    /// Somebody needs a fresh outside address. One run serves all who want it meanwhile.
    Want,
    Received(Response),
    /// The machine's network changed: what was known is void.
    Moved,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Send {
        to: SocketAddr,
        request: [u8; REQUEST],
    },
    /// The answer to [`Input::Want`], also if no server responded.
    Fresh(Outside),
    /// The outside address or the kind of NAT changed without a wish for it.
    Changed(Outside),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Keep,
    Retry,
    /// The fresh flow's response is here, and others are late.
    Settle,
}

#[derive(Debug)]
struct Asked {
    transaction: Transaction,
    to: SocketAddr,
    tries: u32,
    next: Instant,
}

/// A run that waits for responses.
#[derive(Debug)]
struct Run {
    wanted: bool,
    fresh: SocketAddr,
    /// What the fresh flow's response said, and when it came.
    answered: Option<(SocketAddr, Instant)>,
    seen: Vec<SocketAddr>,
}

#[derive(Debug)]
pub struct StunClient {
    seed: Zeroizing<[u8; 32]>,
    transactions: u64,
    local: Vec<IpAddr>,
    /// With the time of the last request to the fresh port.
    servers: Vec<(Server, Option<Instant>)>,
    keep: Option<Instant>,
    asked: Vec<Asked>,
    run: Option<Run>,
    outside: Outside,
    outputs: VecDeque<Output>,
}

impl StunClient {
    /// `seed` is random; transactions come from it.
    pub fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self {
            seed,
            transactions: 0,
            local: Vec::new(),
            servers: Vec::new(),
            keep: None,
            asked: Vec::new(),
            run: None,
            outside: Outside::default(),
            outputs: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Servers(servers) => {
                let v4 = servers.first().is_some_and(|server| server.kept.is_ipv4());
                let of_family = servers.into_iter().filter(|server| server.kept.is_ipv4() == v4);
                self.servers = of_family.take(SERVERS_MAX).map(|server| (server, None)).collect();
                self.begin_anew(now);
            }
            Input::Local(addrs) => self.local = addrs,
            Input::Want => self.want(now),
            Input::Received(response) => self.heard(now, response),
            Input::Moved => self.begin_anew(now),
            Input::Time => self.time(now),
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let retries = self.asked.iter().map(|asked| (asked.next, Why::Retry));
        let keep = self.keep.map(|at| (at, Why::Keep));
        let settle = self.run.as_ref().and_then(|run| run.answered).map(|(_, at)| (at + SETTLE, Why::Settle));
        retries.chain(keep).chain(settle).min_by_key(|(at, _)| *at)
    }

    /// What is known at the moment, perhaps not fresh.
    pub fn outside(&self) -> Outside {
        self.outside
    }

    /// Why nothing is waited for, where nothing is. In every other state there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        self.servers.is_empty().then_some("no server is known")
    }

    fn begin_anew(&mut self, now: Instant) {
        let wanted = self.run.take().is_some_and(|run| run.wanted);
        self.asked.clear();
        self.outside = Outside::default();
        self.begin(now, wanted);
    }

    fn want(&mut self, now: Instant) {
        match &mut self.run {
            Some(run) => run.wanted = true,
            None => self.begin(now, true),
        }
    }

    fn begin(&mut self, now: Instant, wanted: bool) {
        // The port that had no request for longest has the freshest flow, unless its flow is the one that is kept.
        let least = |(server, asked): &&mut (Server, Option<Instant>)| (server.fresh == server.kept, *asked);
        let Some((server, asked)) = self.servers.iter_mut().min_by_key(least) else {
            self.keep = None;
            if wanted {
                self.outputs.push_back(Output::Fresh(self.outside));
            }
            return;
        };
        *asked = Some(now);
        let fresh = server.fresh;
        self.run = Some(Run { wanted, fresh, answered: None, seen: Vec::new() });
        self.ask(now, fresh);
        self.ask_kept(now);
    }

    fn ask_kept(&mut self, now: Instant) {
        self.keep = Some(now + KEEP);
        for at in 0..self.servers.len() {
            let kept = self.servers[at].0.kept;
            if !self.asked.iter().any(|asked| asked.to == kept) {
                self.ask(now, kept);
            }
        }
    }

    fn ask(&mut self, now: Instant, to: SocketAddr) {
        let mut transaction = [0; 12];
        let hash = blake3::keyed_hash(&self.seed, &self.transactions.to_be_bytes());
        transaction.copy_from_slice(&hash.as_bytes()[..12]);
        self.transactions += 1;
        let transaction = Bytes(transaction);
        self.asked.push(Asked { transaction, to, tries: 1, next: now + RETRY });
        self.outputs.push_back(Output::Send { to, request: Request { transaction }.encode() });
    }

    fn heard(&mut self, now: Instant, Response { transaction, mapped }: Response) {
        let Some(at) = self.asked.iter().position(|asked| asked.transaction == transaction) else { return };
        let to = self.asked.remove(at).to;
        match &mut self.run {
            Some(run) => {
                run.seen.push(mapped);
                if to == run.fresh {
                    run.answered = Some((mapped, now));
                }
                self.settle(now);
            }
            // The kept flow alone: another mapping than before, or the first sign of a server.
            None => {
                let known = self.outside.addr.is_some_and(|addr| addr == mapped);
                if self.outside.nat == Nat::Blocked || (!known && self.outside.nat != Nat::PerDestination) {
                    self.begin(now, false);
                }
            }
        }
    }

    fn time(&mut self, now: Instant) {
        for asked in self.asked.iter_mut().filter(|asked| now >= asked.next && asked.tries < TRIES) {
            asked.next = now + RETRY * 2_u32.pow(asked.tries);
            asked.tries += 1;
            let request = Request { transaction: asked.transaction }.encode();
            self.outputs.push_back(Output::Send { to: asked.to, request });
        }
        let before = self.asked.len();
        self.asked.retain(|asked| now < asked.next);
        if self.asked.len() < before && self.asked.is_empty() && self.run.is_none() {
            // No server responded on the kept flow: the network may have lost UDP.
            self.begin(now, false);
        }
        self.settle(now);
        if self.keep.is_some_and(|at| now >= at) {
            self.ask_kept(now);
        }
    }

    /// Ends a run that has its responses, or waits for them no longer.
    fn settle(&mut self, now: Instant) {
        let is_over = |run: &mut Run| {
            let late = run.answered.is_some_and(|(_, at)| now >= at + SETTLE);
            self.asked.is_empty() || late
        };
        let Some(run) = self.run.take_if(is_over) else { return };
        let before = self.outside;
        let addr = run.answered.map(|(addr, _)| addr).or(run.seen.first().copied());
        self.outside = Outside { addr, nat: self.classify(&run.seen) };
        if run.wanted {
            self.outputs.push_back(Output::Fresh(self.outside));
        }
        if self.outside != before || before.nat == Nat::Unknown {
            self.outputs.push_back(Output::Changed(self.outside));
        }
    }

    fn classify(&self, seen: &[SocketAddr]) -> Nat {
        let own = |addr: &SocketAddr| self.local.contains(&addr.ip());
        match seen {
            [] => Nat::Blocked,
            _ if seen.iter().all(own) => Nat::Open,
            [first, rest @ ..] if rest.iter().any(|addr| addr != first) => Nat::PerDestination,
            // One response shows no difference, and contradicts only what it cannot follow.
            [_] if matches!(self.outside.nat, Nat::Same | Nat::PerDestination) => self.outside.nat,
            [_] => Nat::Unknown,
            _ => Nat::Same,
        }
    }
}
