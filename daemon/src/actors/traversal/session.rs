//! One session: a traversal with its place in the socket, and what carries out its outputs.

use super::{
    admission::Admission,
    course::Course,
    words::{Id, Relay, Renew, Tell},
};
use crate::{
    contact_addresses::ContactAddresses,
    desks::links::Taken,
    io::{
        phonebook_http::PhonebookHttp,
        quic::{Link, lasting},
        relay_socket::{self, Event, RelaySocket},
    },
};
use actix::Recipient;
use futures::Stream;
use fyteclub_proto::reaching::{
    nat::Nat,
    traversal::{Chosen, Grant, Input, OpenerOf, Output, Path, Status, Traversal},
    wire::{
        offer::Offer,
        probe::Part,
        relay::{Leg, Token},
    },
};
use fyteclub_quic::peer_socket::{PeerSocket, VirtualPeer};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Calls from both sides within so long count as one.
const CROSSING: Duration = Duration::from_secs(5);

/// What the actor does for a session.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    FindOutside,
    OpenTcp(Leg),
    /// The path in use changed.
    Moved(Option<Chosen>),
    /// The relay does not know the leg.
    FindRelay,
    /// The peer came through the port that the router forwards.
    CameIn(IpAddr),
    /// Bring this offer to the peer over the link, too.
    Tell(Offer),
    Failed,
}

/// A leg that this end holds.
pub(super) struct Held {
    pub(super) leg: Leg,
    pub(super) token: Token,
    pub(super) http: PhonebookHttp,
}

pub(super) struct Session {
    pub(super) id: Id,
    pub(super) part: Part,
    pub(super) machine: Traversal,
    pub(super) course: Course,
    pub(super) tell: Recipient<Tell>,
    pub(super) renew: Recipient<Renew>,
    /// The last offer for the peer.
    pub(super) offer: Option<Offer>,
    /// `None` until the peer's offer or a leg is here.
    pub(super) peer: Option<Arc<VirtualPeer>>,
    pub(super) links: Vec<Link>,
    pub(super) held: Option<Held>,
    /// The WebSocket of this leg.
    pub(super) tcp: Option<(Leg, RelaySocket)>,
    pub(super) relay: Relay,
    /// The peer's kind of NAT.
    pub(super) there: Nat,
    pub(super) busy: bool,
    /// Judges offers that come over the link.
    pub(super) admission: Admission,
    /// When the actor is to look at it.
    pub(super) due: Option<Instant>,
}

impl Session {
    /// Gives the machine an input, and carries out what concerns the socket alone. Returns what is left.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        jitter: f64,
        input: Input,
        socket: &Arc<PeerSocket>,
        contact_addresses: &ContactAddresses,
    ) -> Vec<Wish> {
        self.machine.handle(now, jitter, input);
        self.carry_out(socket, contact_addresses)
    }

    /// As [`Self::handle`], for outputs that are there already.
    pub(super) fn carry_out(
        &mut self,
        socket: &Arc<PeerSocket>,
        contact_addresses: &ContactAddresses,
    ) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let mut told = None;
        while let Some(output) = self.machine.poll() {
            match output {
                Output::FindOutside => wishes.push(Wish::FindOutside),
                Output::Tell(offer) => told = Some(offer),
                Output::Listen(opener) => {
                    let OpenerOf(opener) = *opener;
                    if let Some(peer) = self.enter(socket, contact_addresses) {
                        peer.listen(opener);
                    }
                }
                Output::Send { path, ttl, datagram } => self.send(path, ttl, &datagram),
                Output::SendFrame { relay, frame } => {
                    if let Err(error) = socket.send_to(relay, None, &frame) {
                        tracing::debug!("no frame to the relay {relay}: {error}");
                    }
                }
                Output::OpenTcp(leg) => wishes.push(Wish::OpenTcp(leg)),
                Output::CloseTcp(leg) => self.close_tcp(leg),
                Output::Accept(addr) => self.peer.iter().for_each(|peer| peer.accept(addr)),
                Output::Refuse(addr) => self.peer.iter().for_each(|peer| peer.refuse(addr)),
                Output::Use(chosen) => {
                    if let Some(peer) = &self.peer {
                        peer.use_path(chosen);
                    }
                    wishes.push(Wish::Moved(chosen));
                }
                Output::CameIn(from) => wishes.push(Wish::CameIn(from)),
                Output::FindRelay => {
                    tracing::debug!(peer = %self.id.peer.short(), "the relay does not know the leg");
                    wishes.push(Wish::FindRelay);
                }
                Output::Limited { limit, retry_after } => {
                    tracing::debug!(peer = %self.id.peer.short(), "the relay drops packets for {retry_after:?}: {limit:?}");
                }
                Output::Failed => wishes.push(Wish::Failed),
            }
        }
        if let Some(offer) = told {
            self.offer = Some(offer.clone());
            self.tell.do_send(Tell { id: self.id, offer: offer.clone() });
            if self.course.is_linked() {
                wishes.push(Wish::Tell(offer));
            }
        }
        wishes
    }

    /// The peer's place in the socket; `None` when there are no more.
    pub(super) fn enter(
        &mut self,
        socket: &Arc<PeerSocket>,
        contact_addresses: &ContactAddresses,
    ) -> Option<Arc<VirtualPeer>> {
        if self.peer.is_none() {
            let peer = VirtualPeer::enter(socket)?;
            contact_addresses.enter(peer.addr().addr(), self.id.peer);
            self.peer = Some(Arc::new(peer));
        }
        self.peer.clone()
    }

    fn send(&self, path: Path, ttl: Option<u8>, probe: &[u8]) {
        let Some(peer) = &self.peer else { return };
        if let Err(error) = peer.send_probe(path, ttl, probe) {
            tracing::debug!(peer = %self.id.peer.short(), "no probe over {path:?}: {error}");
        }
    }

    /// A leg at a relay.
    pub(super) fn hold(&mut self, grant: &Grant, http: PhonebookHttp) {
        if let Some((old, _)) = &self.tcp {
            self.close_tcp(*old);
        }
        if let Some(peer) = &self.peer {
            peer.hold_leg(grant.leg, grant.udp);
        }
        self.relay = Relay::Granted;
        self.held = Some(Held { leg: grant.leg, token: grant.token.clone(), http });
    }

    /// Opens the leg's WebSocket; `None` if this end does not hold the leg. Must be called in a Tokio runtime.
    pub(super) fn open_tcp(&mut self, leg: Leg) -> Option<impl Stream<Item = Event> + use<>> {
        let held = self.held.as_ref().filter(|held| held.leg == leg)?;
        let peer = self.peer.clone()?;
        let received = move |frame: &[u8]| peer.received_tcp(frame);
        let (socket, events) = relay_socket::open(held.http.clone(), leg, held.token.clone(), received);
        self.tcp = Some((leg, socket));
        Some(events)
    }

    fn close_tcp(&mut self, leg: Leg) {
        self.tcp.take_if(|(of, _)| *of == leg);
        if let Some(peer) = &self.peer {
            peer.hold_tcp(leg, None);
        }
    }

    /// Whether the WebSocket is open now, if this changes that.
    pub(super) fn tcp_event(&mut self, leg: Leg, event: Event) -> Option<bool> {
        let peer = self.peer.clone().filter(|_| self.tcp.as_ref().is_some_and(|(of, _)| *of == leg))?;
        match event {
            Event::Open { frames, .. } => {
                peer.hold_tcp(leg, Some(frames));
                Some(true)
            }
            Event::Limited { limit, retry_after } => {
                tracing::debug!(peer = %self.id.peer.short(), "the relay drops packets for {retry_after:?}: {limit:?}");
                None
            }
            Event::Ended(ended) => {
                tracing::debug!(peer = %self.id.peer.short(), "the relay's WebSocket: {ended}");
                self.close_tcp(leg);
                Some(false)
            }
        }
    }

    /// The path in use, for people.
    pub(super) fn taken(&self) -> Option<Taken> {
        let chosen = self.machine.chosen()?;
        let why = match self.machine.status() {
            Status::Relayed(_, why) => Some(why),
            _ => None,
        };
        Some(Taken { kind: chosen.kind.into(), rtt: chosen.rtt, why, lasting: lasting(&chosen) })
    }

    /// Whether another session of the same peer, from a call of the other side at the same time, goes first: that of the
    /// call by the smaller key. Both ends judge alike.
    pub(super) fn yields_to(&self, other: &Self, is_smaller: bool) -> bool {
        let crossing = other.part != self.part
            && other.course.since().max(self.course.since())
                < other.course.since().min(self.course.since()) + CROSSING;
        crossing && other.peer.is_some() && is_smaller != (self.part == Part::Caller)
    }
}
