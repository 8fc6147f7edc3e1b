//! A Linux router with nftables' `masquerade`, as measured on kernel 6.18: one entry a flow. The port stays the inside port
//! while the tuple is free. After a clash the socket's new flows get its youngest flow's port. Filters by address and port.

use super::{Dice, Inside, Translate};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Life of an entry that is not a stream.
pub const UNREPLIED: Duration = Duration::from_secs(30);
/// Life of an entry with packets in both directions and one later than [`STREAM_AFTER`].
pub const STREAM: Duration = Duration::from_secs(120);
const STREAM_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Flow {
    /// `None`: the router itself.
    inside: Option<SocketAddr>,
    remote: SocketAddr,
    /// The remote address as the inside socket sees it.
    shown: SocketAddr,
    outside: u16,
    since: Instant,
    used: Instant,
    replied: bool,
    stream: bool,
    /// The first packet came from inside.
    began_inside: bool,
}

/// The remote end of a new flow, and its first packet's direction.
struct Ends {
    remote: SocketAddr,
    shown: SocketAddr,
    began_inside: bool,
}

impl Flow {
    /// A packet of this flow, from inside or from outside.
    fn touch(&mut self, now: Instant, from_inside: bool) {
        self.used = now;
        self.replied |= from_inside != self.began_inside;
        self.stream |= self.replied && now > self.since + STREAM_AFTER;
    }

    fn is_alive(&self, now: Instant) -> bool {
        now < self.used + if self.stream { STREAM } else { UNREPLIED }
    }
}

#[derive(Debug, Default)]
pub struct Conntrack {
    /// `masquerade random`: a random port for each flow.
    random: bool,
    /// The INPUT chain accepts packets to the router itself, so they create entries, which occupy tuples.
    open_input: bool,
    flows: Vec<Flow>,
    /// Random ports that were taken once: none is taken again, so that no test depends on a coincidence.
    spent: BTreeSet<u16>,
    forwarded: BTreeMap<u16, SocketAddr>,
}

impl Conntrack {
    pub fn masquerade() -> Self {
        Self::default()
    }

    pub fn random() -> Self {
        Self { random: true, ..Self::default() }
    }

    pub fn open_input(self) -> Self {
        Self { open_input: true, ..self }
    }

    fn random_port(&mut self, dice: &mut Dice) -> u16 {
        loop {
            let port = dice.port();
            if self.spent.insert(port) {
                return port;
            }
        }
    }

    fn is_free(&self, outside: u16, remote: SocketAddr) -> bool {
        self.flows.iter().all(|flow| (flow.outside, flow.remote) != (outside, remote))
    }

    fn begin(&mut self, now: Instant, inside: Option<SocketAddr>, outside: u16, ends: Ends) {
        let Ends { remote, shown, began_inside } = ends;
        let (replied, stream, since, used) = (false, false, now, now);
        self.flows.push(Flow { inside, remote, shown, outside, since, used, replied, stream, began_inside });
    }

    fn expire(&mut self, now: Instant) {
        self.flows.retain(|flow| flow.is_alive(now));
    }
}

impl Translate for Conntrack {
    fn outbound(&mut self, now: Instant, dice: &mut Dice, inside: SocketAddr, remote: SocketAddr) -> u16 {
        self.expire(now);
        let known = |flow: &&mut Flow| flow.inside == Some(inside) && flow.shown == remote;
        if let Some(flow) = self.flows.iter_mut().find(known) {
            flow.touch(now, true);
            return flow.outside;
        }
        let youngest = self.flows.iter().rev().find(|flow| flow.began_inside && flow.inside == Some(inside));
        let mut outside = match youngest {
            _ if self.random => self.random_port(dice),
            Some(flow) => flow.outside,
            None => inside.port(),
        };
        while !self.is_free(outside, remote) {
            outside = self.random_port(dice);
        }
        self.begin(now, Some(inside), outside, Ends { remote, shown: remote, began_inside: true });
        outside
    }

    fn inbound(&mut self, now: Instant, dice: &mut Dice, remote: SocketAddr, port: u16) -> Option<Inside> {
        self.expire(now);
        let known = |flow: &&mut Flow| flow.outside == port && flow.remote == remote;
        if let Some(flow) = self.flows.iter_mut().find(known) {
            flow.touch(now, false);
            return flow.inside.map(|to| Inside { to, from: flow.shown });
        }
        let to = self.forwarded.get(&port).copied();
        if to.is_none() && !self.open_input {
            return None;
        }
        // If the inside socket has a flow of its own to that address, its tuple is occupied: the kernel rewrites the source.
        let mut shown = remote;
        while self.flows.iter().any(|flow| flow.inside == to && to.is_some() && flow.shown == shown) {
            shown.set_port(dice.port());
        }
        self.begin(now, to, port, Ends { remote, shown, began_inside: false });
        to.map(|to| Inside { to, from: shown })
    }

    fn forward(&mut self, port: u16, to: SocketAddr) {
        self.forwarded.insert(port, to);
    }

    fn forget(&mut self) {
        self.flows.clear();
    }
}
