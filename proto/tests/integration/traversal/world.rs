//! Two machines, a phone book and the network between, under virtual time.

mod story;

use super::{
    book::{Book, PORT, Sent},
    peer::Peer,
};
use crate::netsim::{Dice, Link, Net, NodeId, Packet, TTL};
use fyteclub_proto::{
    bytes::Bytes,
    letter::Attempt,
    reaching::{
        candidate::are_together,
        stun_client,
        traversal::{Grant, Input, Output, Path, Reply},
        wire::{
            Kind,
            offer::Offer,
            probe::Part,
            relay::{Body, Frame, Leg},
            stun::Response,
        },
    },
};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

/// A packet of QUIC, as far as the model goes.
const QUIC: &[u8] = &[0x40; 32];
/// What TCP needs to repeat a lost segment.
const TCP_REPEAT: Duration = Duration::from_millis(200);

/// What travels reliably and in order: letters through the phone book, and WebSockets to the relay.
#[derive(Debug)]
pub enum Signal {
    Introduce { attempt: Attempt, offer: Offer, grant: Grant },
    Accept { offer: Offer, grant: Grant },
    Candidates(Offer),
    Grant(Grant),
    TcpOpened(Leg, bool),
    TcpFrame(Vec<u8>),
}

#[derive(Debug)]
enum Event {
    /// To a peer.
    ToPeer(usize, Signal),
    /// To the phone book, from a peer.
    ToBook(usize, Signal),
}

#[derive(Debug)]
pub struct World {
    pub net: Net,
    pub dice: Dice,
    pub book: Book,
    pub peers: [Peer; 2],
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    bodies: std::collections::BTreeMap<u64, Event>,
    next: u64,
    /// When the last signal of each line and direction arrives: they stay in order.
    lines: [[Instant; 2]; 2],
    /// No signal arrives before.
    pub stalled_until: Instant,
    attempt: Attempt,
    grants: Option<[Grant; 2]>,
    introduced: bool,
    pub tcp: bool,
    pub relay: bool,
    /// The phone book carries offers. Later they go over the link, where that has a path at both ends.
    pub letters: bool,
    /// Offers that were told.
    pub told: usize,
    /// Peers tell the address of the kept flow instead of a fresh one.
    pub stale: bool,
    /// The pause between packets of QUIC in both directions, and when the next go.
    pub flow: Option<Duration>,
    flow_next: Instant,
}

impl World {
    pub fn new(
        mut net: Net,
        mut dice: Dice,
        nodes: [(NodeId, Vec<std::net::IpAddr>); 2],
        line: Link,
    ) -> Self {
        let start = net.now();
        let node = net.host(None, line, &[super::book::IP.into()]);
        let book = Book::new(node, &mut dice);
        let [a, b] = nodes;
        let peers = [Peer::new(a.0, 0, a.1, &mut dice), Peer::new(b.0, 1, b.1, &mut dice)];
        Self {
            net,
            book,
            peers,
            events: BinaryHeap::new(),
            bodies: std::collections::BTreeMap::new(),
            next: 0,
            lines: [[start; 2]; 2],
            stalled_until: start,
            attempt: Bytes(std::array::from_fn(|_| dice.byte())),
            dice,
            grants: None,
            introduced: false,
            tcp: true,
            relay: true,
            letters: true,
            told: 0,
            stale: false,
            flow: None,
            flow_next: start,
        }
    }

    pub fn now(&self) -> Instant {
        self.net.now()
    }

    /// Starts the daemons: their STUN clients.
    pub fn start_stun(&mut self) {
        for at in 0..2 {
            let addrs = self.peers[at].addrs.clone();
            self.stun(at, stun_client::Input::Local(addrs));
            self.stun(at, stun_client::Input::Servers(Peer::servers()));
        }
    }

    /// The first peer wants the second.
    pub fn call(&mut self) {
        let seen = [0, 1].map(|at| self.peers[at].stun.outside().addr);
        if let [Some(a), Some(b)] = seen {
            let together = are_together(a.ip(), b.ip());
            self.peers.iter_mut().for_each(|peer| peer.together = together);
        }
        let (now, there) = (self.now(), self.peers[1].id);
        let attempt = self.attempt;
        self.peers[0].begin(now, attempt, Part::Caller, there);
        self.drain(0);
    }

    pub fn give(&mut self, at: usize, input: Input) {
        let now = self.now();
        let jitter = self.dice.unit();
        if let Some(traversal) = &mut self.peers[at].traversal {
            traversal.handle(now, jitter, input);
            self.drain(at);
        }
    }

    pub fn stun(&mut self, at: usize, input: stun_client::Input) {
        let now = self.now();
        self.peers[at].stun.handle(now, input);
        while let Some(output) = self.peers[at].stun.poll() {
            use stun_client::Output;
            match output {
                Output::Send { to, request } => {
                    let (node, port) = (self.peers[at].node, self.peers[at].port);
                    self.net.send(node, port, to, TTL, request.to_vec());
                }
                Output::Fresh(outside) | Output::Changed(outside) => {
                    let (addr, nat) = (outside.addr, outside.nat);
                    self.give(at, Input::Outside { addr, nat });
                }
            }
        }
    }

    fn drain(&mut self, at: usize) {
        while let Some(output) = self.peers[at].traversal.as_mut().and_then(|traversal| traversal.poll()) {
            self.carry_out(at, output);
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        let now = self.now();
        match output {
            Output::FindOutside if self.stale => {
                let outside = self.peers[at].stun.outside();
                self.give(at, Input::Outside { addr: outside.addr, nat: outside.nat });
            }
            Output::FindOutside => self.stun(at, stun_client::Input::Want),
            Output::Tell(offer) => self.tell(at, offer),
            Output::Listen(opener) => self.peers[at].opener = Some(opener.0),
            Output::Send { path, ttl, datagram } => self.send(at, path, ttl, &datagram),
            Output::SendFrame { relay, frame } => self.udp(at, relay, TTL, frame),
            Output::OpenTcp(leg) => {
                self.signal(at, true, Signal::TcpOpened(leg, true));
            }
            Output::CloseTcp(leg) => {
                self.peers[at].tcp = None;
                self.signal(at, true, Signal::TcpOpened(leg, false));
            }
            Output::Accept(addr) => drop(self.peers[at].accepted.insert(addr)),
            Output::Refuse(addr) => drop(self.peers[at].accepted.remove(&addr)),
            Output::Use(chosen) => {
                let peer = &mut self.peers[at];
                (peer.chosen, peer.switches) = (chosen, peer.switches + 1);
                if let Some(chosen) = chosen {
                    peer.first_path.get_or_insert(now);
                    if chosen.path.is_direct() {
                        peer.first_direct.get_or_insert(now);
                    }
                }
            }
            Output::FindRelay => {
                let mut dice = self.dice.clone();
                self.dice.draw();
                let [a, b] = self.book.grant(&mut dice, self.tcp);
                self.signal_to(0, Signal::Grant(a));
                self.signal_to(1, Signal::Grant(b));
            }
            Output::Limited { .. } | Output::CameIn(_) => {}
            Output::Failed => self.peers[at].failed = true,
        }
    }

    fn tell(&mut self, at: usize, offer: Offer) {
        self.told += 1;
        if !self.letters && !self.both_have_paths() {
            return;
        }
        let signal = match (at, self.introduced) {
            (0, false) => {
                self.introduced = true;
                let mut dice = self.dice.clone();
                self.dice.draw();
                let [a, b] = self.book.grant(&mut dice, self.tcp);
                self.grants = Some([a, b.clone()]);
                Signal::Introduce { attempt: self.attempt, offer, grant: b }
            }
            (1, true) if let Some([grant, _]) = self.grants.take() => Signal::Accept { offer, grant },
            _ => Signal::Candidates(offer),
        };
        self.signal(at, false, signal);
    }

    /// Sends a signal from a peer: to the phone book itself, or through it to the other.
    fn signal(&mut self, at: usize, to_book: bool, signal: Signal) {
        let arrival = self.reliable(at, 0, self.now());
        if to_book {
            self.push(arrival, Event::ToBook(at, signal));
        } else {
            let arrival = self.reliable(1 - at, 1, arrival);
            self.push(arrival, Event::ToPeer(1 - at, signal));
        }
    }

    fn signal_to(&mut self, at: usize, signal: Signal) {
        let arrival = self.reliable(at, 1, self.now());
        self.push(arrival, Event::ToPeer(at, signal));
    }

    /// When a segment arrives that is sent then, over the lines of a peer and of the phone book.
    fn reliable(&mut self, at: usize, direction: usize, sent: Instant) -> Instant {
        let lines = [*self.net.link(self.peers[at].node), *self.net.link(self.book.node)];
        let mut arrival = sent;
        for line in lines {
            arrival += line.delay + line.jitter.mul_f64(self.dice.unit());
            while self.dice.chance(line.loss) {
                arrival += TCP_REPEAT;
            }
        }
        arrival = arrival.max(self.stalled_until).max(self.lines[at][direction]);
        self.lines[at][direction] = arrival;
        arrival
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.events.push(Reverse((at, self.next)));
        self.bodies.insert(self.next, event);
        self.next += 1;
    }

    fn udp(&mut self, at: usize, to: std::net::SocketAddr, ttl: u8, payload: Vec<u8>) {
        let peer = &mut self.peers[at];
        peer.sent += payload.len();
        peer.packets += 1;
        peer.targets.entry(to).or_default().push(self.net.now());
        self.net.send(peer.node, peer.port, to, ttl, payload);
    }

    fn send(&mut self, at: usize, path: Path, ttl: Option<u8>, payload: &[u8]) {
        let (to, bytes) = Peer::frame(path, payload);
        match to {
            Some(to) => {
                let ttl = ttl.filter(|_| !self.peers[at].plain_ttl).unwrap_or(TTL);
                self.udp(at, to, ttl, bytes);
            }
            None if self.peers[at].tcp.is_some() => self.signal(at, true, Signal::TcpFrame(bytes)),
            None => {}
        }
    }

    /// Sends a packet of QUIC over the path in use.
    pub fn send_quic(&mut self, at: usize) {
        if let Some(chosen) = self.peers[at].chosen {
            let (sent, packets) = (self.peers[at].sent, self.peers[at].packets);
            self.send(at, chosen.path, None, QUIC);
            (self.peers[at].sent, self.peers[at].packets) = (sent, packets);
        }
    }

    fn sent_by_book(&mut self, sent: Option<Sent>) {
        match sent {
            Some(Sent::Udp { port, to, payload }) => {
                self.net.send(self.book.node, port, to, Book::ttl(), payload);
            }
            Some(Sent::Tcp { leg, frame }) => {
                if let Some(at) = self.peers.iter().position(|peer| peer.tcp == Some(leg)) {
                    self.signal_to(at, Signal::TcpFrame(frame));
                }
            }
            None => {}
        }
    }

    fn happened(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::ToBook(at, Signal::TcpOpened(leg, open)) => {
                let known = self.book.open_tcp(leg, open);
                if open {
                    self.signal_to(at, Signal::TcpOpened(leg, known && self.tcp));
                }
            }
            Event::ToBook(_, Signal::TcpFrame(bytes)) => {
                let sent = self.book.frame(None, Frame::decode(&bytes).expect("a frame"));
                self.sent_by_book(sent);
            }
            Event::ToBook(_, signal) => panic!("{signal:?} is not for the phone book"),
            Event::ToPeer(at, signal) => match signal {
                Signal::Introduce { attempt, offer, grant } => {
                    let there = self.peers[1 - at].id;
                    self.peers[at].begin(now, attempt, Part::Callee, there);
                    self.drain(at);
                    if self.relay {
                        self.give(at, Input::Granted(grant));
                    }
                    let offer = self.peers[at].judge(offer);
                    self.give(at, Input::Offered(offer));
                }
                Signal::Accept { offer, grant } => {
                    if self.relay {
                        self.give(at, Input::Granted(grant));
                    }
                    let offer = self.peers[at].judge(offer);
                    self.give(at, Input::Offered(offer));
                }
                Signal::Candidates(offer) => {
                    let offer = self.peers[at].judge(offer);
                    self.give(at, Input::Offered(offer));
                }
                Signal::Grant(grant) => self.give(at, Input::Granted(grant)),
                Signal::TcpOpened(leg, open) => {
                    self.peers[at].tcp = open.then_some(leg);
                    self.give(at, Input::Tcp { leg, open });
                }
                Signal::TcpFrame(bytes) => {
                    let Frame { leg, body } = Frame::decode(&bytes).expect("a frame");
                    let Body::Data(payload) = body else { panic!("only payloads come over a WebSocket") };
                    self.payload(at, Path::RelayTcp { leg }, payload, true);
                }
            },
        }
    }

    /// A packet came to a host.
    fn arrived(&mut self, node: NodeId, packet: Packet) {
        if node == self.book.node {
            let sent = self.book.datagram(packet.dst.port(), packet.src, &packet.payload);
            return self.sent_by_book(sent);
        }
        let Some(at) = self.peers.iter().position(|peer| peer.node == node) else { return };
        if packet.dst.port() != self.peers[at].port {
            return;
        }
        match Kind::of(&packet.payload) {
            Kind::Stun => {
                let response = Response::decode(&packet.payload).expect("a server's response");
                self.stun(at, stun_client::Input::Received(response));
            }
            Kind::Relay => {
                let Frame { leg, body } = Frame::decode(&packet.payload).expect("a relay's frame");
                match (Reply::of(&body), body) {
                    (Some(reply), _) => self.give(at, Input::Replied { leg, reply }),
                    (None, Body::Data(payload)) => {
                        let relay = Book::addr(PORT);
                        self.payload(at, Path::Relay { relay, leg }, payload, packet.src == relay);
                    }
                    (None, body) => panic!("{body:?} came to a daemon"),
                }
            }
            _ => {
                let known = self.peers[at].accepted.contains(&packet.src);
                self.payload(at, Path::Direct(packet.src), &packet.payload, known);
            }
        }
    }

    /// A probe or a packet of QUIC came over a path.
    fn payload(&mut self, at: usize, path: Path, payload: &[u8], known: bool) {
        let now = self.now();
        let peer = &mut self.peers[at];
        match Kind::of(payload) {
            Kind::Probe => {
                if let Some(probe) = peer.opener.as_ref().and_then(|opener| opener.open(payload)) {
                    self.give(at, Input::Probed { path, probe });
                }
            }
            Kind::Quic if known => {
                if let Some(last) = peer.last_received {
                    peer.gap = peer.gap.max(now.duration_since(last));
                }
                (peer.received, peer.last_received) = (peer.received + 1, Some(now));
            }
            Kind::Quic => {}
            kind => panic!("{kind:?} came to a daemon"),
        }
    }

    /// Lets time pass until `end`, or until `done`.
    pub fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let machines = self.peers.iter().flat_map(|peer| {
                let traversal = peer.traversal.as_ref().and_then(|traversal| traversal.deadline());
                [peer.stun.deadline().map(|(at, _)| at), traversal.map(|(at, _)| at)]
            });
            let signal = self.events.peek().map(|Reverse((at, _))| *at);
            let flow = self.flow.map(|_| self.flow_next);
            let machine = machines.flatten().chain(signal).chain(flow).min();
            let next = machine.into_iter().chain(self.net.deadline()).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            if self.net.deadline().is_some_and(|at| at <= next) {
                if let Some((node, packet)) = self.net.step() {
                    self.arrived(node, packet);
                }
                continue;
            }
            self.net.wait_until(next);
            if signal.is_some_and(|at| at <= next) {
                let Reverse((_, number)) = self.events.pop().expect("a signal");
                let event = self.bodies.remove(&number).expect("its body");
                self.happened(event);
                continue;
            }
            if let Some(pause) = self.flow
                && self.flow_next <= next
            {
                self.flow_next = next + pause;
                (0..2).for_each(|at| self.send_quic(at));
            }
            for at in 0..2 {
                if self.peers[at].stun.deadline().is_some_and(|(due, _)| due <= next) {
                    self.stun(at, stun_client::Input::Time);
                }
                let due = self.peers[at].traversal.as_ref().and_then(|traversal| traversal.deadline());
                if due.is_some_and(|(due, _)| due <= next) {
                    self.give(at, Input::Time);
                }
            }
        }
        if !done(self) {
            while self.net.deadline().is_some_and(|at| at <= end) {
                self.net.step();
            }
            self.net.wait_until(end);
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now() + time;
        self.run_until(end, |_| false);
    }
}
