//! A NAT in the terms of RFC 4787: mapping, filtering, choice of ports.

use super::{Dice, Inside, Translate};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// How much of the remote address a mapping or a filter depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    Nothing,
    Address,
    AddressAndPort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// The inside port, or a random one if another mapping has it.
    Preserve,
    Random,
    Sequential,
}

#[derive(Debug)]
struct Mapping {
    inside: SocketAddr,
    /// The destination that it is for; `None`: all.
    only: Option<(IpAddr, Option<u16>)>,
    outside: u16,
    used: Instant,
}

#[derive(Debug)]
pub struct Cone {
    maps: Sees,
    filters: Sees,
    ports: Ports,
    life: Duration,
    /// Whether inbound packets refresh a mapping.
    inbound_keeps: bool,
    next_port: u16,
    mappings: Vec<Mapping>,
    /// Random ports that were taken once: none is taken again, so that no test depends on a coincidence.
    spent: BTreeSet<u16>,
    /// When each inside socket sent to each remote address last.
    sent: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    forwarded: BTreeMap<u16, SocketAddr>,
    /// Flows that came in by a forwarded port: their packets leave by it.
    by_forwarded: BTreeMap<(SocketAddr, SocketAddr), u16>,
}

impl Cone {
    pub fn new(maps: Sees, filters: Sees, ports: Ports) -> Self {
        Self {
            maps,
            filters,
            ports,
            life: Duration::from_secs(30),
            inbound_keeps: true,
            next_port: 20_000,
            mappings: Vec::new(),
            spent: BTreeSet::new(),
            sent: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            by_forwarded: BTreeMap::new(),
        }
    }

    pub fn living(self, life: Duration, inbound_keeps: bool) -> Self {
        Self { life, inbound_keeps, ..self }
    }

    fn expire(&mut self, now: Instant) {
        let life = self.life;
        self.mappings.retain(|mapping| now < mapping.used + life);
        self.sent.retain(|_, at| now < *at + life);
    }

    fn only(&self, remote: SocketAddr) -> Option<(IpAddr, Option<u16>)> {
        match self.maps {
            Sees::Nothing => None,
            Sees::Address => Some((remote.ip(), None)),
            Sees::AddressAndPort => Some((remote.ip(), Some(remote.port()))),
        }
    }

    fn is_free(&self, port: u16) -> bool {
        !self.forwarded.contains_key(&port) && self.mappings.iter().all(|mapping| mapping.outside != port)
    }

    fn port(&mut self, inside: SocketAddr, dice: &mut Dice) -> u16 {
        match self.ports {
            Ports::Preserve if self.is_free(inside.port()) => return inside.port(),
            Ports::Sequential => {
                while !self.is_free(self.next_port) {
                    self.next_port += 1;
                }
                self.next_port += 1;
                return self.next_port - 1;
            }
            Ports::Preserve | Ports::Random => {}
        }
        loop {
            let port = dice.port();
            if self.is_free(port) && self.spent.insert(port) {
                return port;
            }
        }
    }

    /// Whether the filter lets packets from `remote` into this mapping.
    fn admits(&self, mapping: &Mapping, remote: SocketAddr) -> bool {
        let of_mapping = match mapping.only {
            Some((ip, Some(port))) => remote == SocketAddr::new(ip, port),
            Some((ip, None)) => remote.ip() == ip,
            None => true,
        };
        let sent = |to: &SocketAddr| self.sent.contains_key(&(mapping.inside, *to));
        match self.filters {
            Sees::Nothing => true,
            // This filter belongs to the inside socket, whichever mapping it sent from.
            Sees::Address => {
                self.sent.keys().any(|(inside, to)| *inside == mapping.inside && to.ip() == remote.ip())
            }
            Sees::AddressAndPort => of_mapping && sent(&remote),
        }
    }
}

impl Translate for Cone {
    fn outbound(&mut self, now: Instant, dice: &mut Dice, inside: SocketAddr, remote: SocketAddr) -> u16 {
        self.expire(now);
        self.sent.insert((inside, remote), now);
        if let Some(port) = self.by_forwarded.get(&(inside, remote)) {
            return *port;
        }
        let only = self.only(remote);
        let is_it = |mapping: &&mut Mapping| mapping.inside == inside && mapping.only == only;
        if let Some(mapping) = self.mappings.iter_mut().find(is_it) {
            mapping.used = now;
            return mapping.outside;
        }
        let of_forwarded = self.forwarded.iter().find(|(_, to)| **to == inside && only.is_none());
        let outside = match of_forwarded.map(|(port, _)| *port) {
            Some(port) => port,
            None => self.port(inside, dice),
        };
        self.mappings.push(Mapping { inside, only, outside, used: now });
        outside
    }

    fn inbound(&mut self, now: Instant, _dice: &mut Dice, remote: SocketAddr, port: u16) -> Option<Inside> {
        self.expire(now);
        if let Some(to) = self.forwarded.get(&port).copied() {
            self.by_forwarded.insert((to, remote), port);
            return Some(Inside { to, from: remote });
        }
        let at = self
            .mappings
            .iter()
            .position(|mapping| mapping.outside == port && self.admits(mapping, remote))?;
        let mapping = &mut self.mappings[at];
        if self.inbound_keeps {
            mapping.used = now;
        }
        Some(Inside { to: mapping.inside, from: remote })
    }

    fn forward(&mut self, port: u16, to: SocketAddr) {
        self.forwarded.insert(port, to);
    }

    fn forget(&mut self) {
        self.mappings.clear();
        self.sent.clear();
        self.by_forwarded.clear();
        // A restarted router starts its sequence elsewhere.
        self.next_port += 1000;
    }
}
