//! One player's machine of the model: a socket, a STUN client, and the traversal to the other.

use super::book::{Book, PORT};
use crate::netsim::{Dice, NodeId};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    letter::Attempt,
    reaching::{
        candidate::{Candidate, Candidates, Origin, Teller, Vantage, may_be_dialled},
        families::Families,
        nat::Nat,
        stun_client::{Server, StunClient},
        traversal::{Chosen, Introduction, Path, Traversal},
        wire::{
            offer::Offer,
            probe::{Opener, Part},
            relay::{Body, Frame, Leg},
        },
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

#[derive(Debug)]
pub struct Peer {
    pub node: NodeId,
    /// Of the socket.
    pub port: u16,
    pub id: PeerId,
    /// Addresses of the machine.
    pub addrs: Vec<IpAddr>,
    /// A forwarded port of its router.
    pub mapped: Option<SocketAddr>,
    pub relay_only: bool,
    /// The socket ignores wishes for another TTL.
    pub plain_ttl: bool,
    pub stun: StunClient,
    pub traversal: Option<Traversal>,
    pub opener: Option<Opener>,
    /// Sources of QUIC packets that are the other's.
    pub accepted: BTreeSet<SocketAddr>,
    pub chosen: Option<Chosen>,
    pub first_path: Option<Instant>,
    pub first_direct: Option<Instant>,
    /// Changes of the path in use.
    pub switches: usize,
    pub failed: bool,
    pub tcp: Option<Leg>,
    /// The phone book sees both behind one address.
    pub together: bool,
    /// What came over QUIC, and when last.
    pub received: usize,
    pub last_received: Option<Instant>,
    /// The longest time without, since it was reset.
    pub gap: Duration,
    /// UDP payload bytes of probes and frames, and their number.
    pub sent: usize,
    pub packets: usize,
    /// When UDP went to each address.
    pub targets: BTreeMap<SocketAddr, Vec<Instant>>,
    pub dice: Dice,
}

impl Peer {
    pub fn new(node: NodeId, number: u8, addrs: Vec<IpAddr>, dice: &mut Dice) -> Self {
        let mut dice = Dice::new(dice.draw());
        let seed: [u8; 32] = std::array::from_fn(|_| dice.byte());
        Self {
            node,
            port: 10_000 + u16::try_from(dice.below(50_000)).expect("a port"),
            id: PeerId::from_bytes([number + 1; 32]),
            addrs,
            mapped: None,
            relay_only: false,
            plain_ttl: false,
            stun: StunClient::new(seed.into()),
            traversal: None,
            opener: None,
            accepted: BTreeSet::new(),
            chosen: None,
            first_path: None,
            first_direct: None,
            switches: 0,
            failed: false,
            tcp: None,
            together: false,
            received: 0,
            last_received: None,
            gap: Duration::ZERO,
            sent: 0,
            packets: 0,
            targets: BTreeMap::new(),
            dice,
        }
    }

    pub fn servers() -> Vec<Server> {
        vec![Server { kept: Book::addr(PORT), fresh: Book::addr(PORT + 1) }]
    }

    /// What it would tell without a fresh outside address.
    pub fn reachable(&self) -> Candidates {
        let host = |ip: &IpAddr| Candidate { origin: Origin::Host, addr: SocketAddr::new(*ip, self.port) };
        let mapped = self.mapped.map(|addr| Candidate { origin: Origin::Mapped, addr });
        let observed = self.stun.outside().addr.map(|addr| Candidate { origin: Origin::Observed, addr });
        let mut all: Vec<Candidate> = mapped.into_iter().chain(observed).collect();
        for host in self.addrs.iter().map(host) {
            if all.iter().all(|known| known.addr != host.addr) {
                all.push(host);
            }
        }
        Candidates(all)
    }

    /// Begins the traversal of an introduction.
    pub fn begin(&mut self, now: Instant, attempt: Attempt, part: Part, there: PeerId) {
        let local = SocketAddr::new(IpAddr::from([0_u16; 8]), self.port);
        let introduction = Introduction {
            attempt,
            part,
            here: self.id,
            there,
            secret: Bytes(std::array::from_fn(|_| self.dice.byte())),
            families: Families::of(local),
            relay_only: self.relay_only,
            punching: true,
        };
        let nat: Nat = self.stun.outside().nat;
        self.traversal = Some(Traversal::new(now, introduction, self.reachable(), nat));
    }

    /// The offer without candidates that may not be probed.
    pub fn judge(&self, mut offer: Offer) -> Offer {
        let here = self.stun.outside().addr.map(|addr| addr.ip());
        let vantage = Vantage { book: Some(super::book::IP.into()), here, together: self.together };
        offer.candidates.0.retain(|told| may_be_dialled(told.addr, Teller::Contact, &vantage));
        offer
    }

    /// A datagram as QUIC would send it over a path: the bytes, and where they go by UDP.
    pub fn frame(path: Path, payload: &[u8]) -> (Option<SocketAddr>, Vec<u8>) {
        match path {
            Path::Direct(addr) => (Some(addr), payload.to_vec()),
            Path::Relay { relay, leg } => (Some(relay), Frame { leg, body: Body::Data(payload) }.encode()),
            Path::RelayTcp { leg } => (None, Frame { leg, body: Body::Data(payload) }.encode()),
        }
    }
}
