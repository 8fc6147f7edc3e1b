//! Carries out the outputs of [`Paths`](fyteclub_proto::reaching::paths::Paths): asks for addresses, dials, gives up.

use super::{Peer, PeerFact, cause::explain};
use crate::{
    actors::{
        lan::{Seek, Unanswered},
        phone_book::{Found, LookupError, MoreCandidates, PhoneBook, Reach},
        random,
    },
    desks::links::DialHints,
    io::quic::endpoint::DialError,
    sharing::access::Refusal,
};
use actix::{ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use fyteclub_proto::{
    letter::Attempt,
    peer::CloseCode,
    reaching::{
        candidate::Candidate,
        paths::{Failure, Input, Output, Unfound, pairs::Source},
        session,
        wire::{offer::Offer, probe::Part},
    },
    seal::End,
};
use fyteclub_quic::peer_socket::VirtualAddr;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a dial in the local network may take: the entry may be of a daemon that was killed.
const NEAR_TIME: Duration = Duration::from_millis(1500);

/// Permits or refuses a dial, with what is known of the peer: the answer to [`PeerFact::MayDial`].
#[derive(Message)]
#[rtype(result = "()")]
pub enum DialPermit {
    Granted {
        /// The source of addresses, if there is one.
        phone_book: Option<Addr<PhoneBook>>,
        hints: DialHints,
    },
    Refused(Refusal),
}

impl Handler<DialPermit> for Peer {
    type Result = ();

    fn handle(&mut self, permit: DialPermit, ctx: &mut Self::Context) {
        let (phone_book, DialHints { name, asked, since, last }) = match permit {
            DialPermit::Granted { phone_book, hints } => (phone_book, hints),
            DialPermit::Refused(refusal) => {
                return self.found(Err(Unfound::Forbidden(refusal.to_string())), None, ctx);
            }
        };
        let reach = Reach { peer: self.id, name, asked, since, more: ctx.address().recipient() };
        let (lan, id) = (self.context.lan.clone(), self.id);
        let asking = async move {
            // Who is in the local network needs no phone book.
            let seek = async |is_patient| lan.send(Seek { peer: id, is_patient }).await.unwrap_or_default();
            let near = seek(false).await;
            if !near.is_empty() {
                return Told::Near(near);
            }
            let told = match phone_book {
                Some(phone_book) => phone_book.send(reach).await.unwrap_or(Err(LookupError::NoPhonebook)),
                None => Err(LookupError::NoPhonebook),
            };
            match told {
                Err(error) if !matches!(error, LookupError::OtherKey(_)) => match seek(true).await {
                    near if near.is_empty() => Told::Apart(Err(error)),
                    near => Told::Near(near),
                },
                told => Told::Apart(told),
            }
        };
        ctx.spawn(asking.into_actor(self).map(move |told, peer, ctx| {
            if let Err(refusal) = peer.access.check() {
                return peer.found(Err(Unfound::Forbidden(refusal.to_string())), None, ctx);
            }
            let told = match told {
                Told::Near(addrs) => return peer.is_near(addrs, ctx),
                Told::Apart(told) => told,
            };
            let told = told.map_err(|error| {
                let cause = error.to_string();
                let unfound = match error {
                    LookupError::OtherKey(_) => Unfound::OtherKey(cause),
                    LookupError::NotFound => Unfound::NotThere(cause),
                    _ => Unfound::Unavailable(cause),
                };
                let hopes = last.is_some() || peer.paths.is_dialling();
                if !hopes || matches!(unfound, Unfound::OtherKey(_)) {
                    peer.facts.do_send(PeerFact::NotFound { peer: peer.id, error });
                }
                unfound
            });
            match told {
                // What comes of it is [`Reached`] or [`Unreached`].
                Ok(Found::Traversing) => {}
                Ok(Found::At(candidates)) => peer.found(Ok(candidates), last, ctx),
                Err(unfound) => peer.found(Err(unfound), last, ctx),
            }
        }));
    }
}

/// Where a peer is.
enum Told {
    Near(Vec<SocketAddr>),
    Apart(Result<Found, LookupError>),
}

/// The peer was found in the local network, at these addresses.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Near(pub Vec<SocketAddr>);

impl Handler<Near> for Peer {
    type Result = ();

    fn handle(&mut self, Near(addrs): Near, ctx: &mut Self::Context) {
        self.is_near(addrs, ctx);
    }
}

/// NAT traversal has a path to the peer, which this virtual address stands for.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reached {
    pub addr: VirtualAddr,
    /// This end's part in the introduction.
    pub part: Part,
}

/// NAT traversal has found no path in time, with the cause in one sentence.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unreached(pub String);

/// Send this offer to the peer over its link at this address.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TellOffer {
    pub addr: VirtualAddr,
    pub attempt: Attempt,
    pub offer: Offer,
}

impl Handler<TellOffer> for Peer {
    type Result = ();

    fn handle(&mut self, TellOffer { addr, attempt, offer }: TellOffer, ctx: &mut Self::Context) {
        let mut links = self.links.values_mut();
        let live =
            links.find(|live| live.session.is_open() && live.link.place().virtual_addr() == Some(addr));
        if let Some(live) = live {
            live.session.handle(Instant::now(), session::Input::Tell { attempt, offer });
            self.drive(ctx);
        }
    }
}

impl Handler<Reached> for Peer {
    type Result = ();

    fn handle(&mut self, Reached { addr, part }: Reached, ctx: &mut Self::Context) {
        let has = self.links.values().any(|live| live.link.place().virtual_addr() == Some(addr));
        // A peer that called has lost its link, even if this end does not know that yet.
        let needs = self.current().is_none() || self.paths.suspect().is_some() || part == Part::Callee;
        if !has && needs {
            self.paths.handle(Instant::now(), random(), Input::Traversed(addr.addr()));
            self.drive(ctx);
        }
    }
}

impl Handler<Unreached> for Peer {
    type Result = ();

    fn handle(&mut self, Unreached(cause): Unreached, ctx: &mut Self::Context) {
        self.found(Err(Unfound::NoPath(cause)), None, ctx);
    }
}

impl Handler<MoreCandidates> for Peer {
    type Result = ();

    fn handle(&mut self, more: MoreCandidates, ctx: &mut Self::Context) {
        self.paths.handle(Instant::now(), random(), Input::Told(more.0));
        self.drive(ctx);
    }
}

impl Peer {
    fn is_near(&mut self, addrs: Vec<SocketAddr>, ctx: &mut Context<Self>) {
        self.near.clone_from(&addrs);
        self.paths.handle(Instant::now(), random(), Input::Known { source: Source::Lan, addrs });
        self.drive(ctx);
    }

    fn found(
        &mut self,
        told: Result<Vec<Candidate>, Unfound>,
        last: Option<SocketAddr>,
        ctx: &mut Context<Self>,
    ) {
        self.paths.handle(Instant::now(), random(), Input::Found { told, last });
        self.drive(ctx);
    }

    pub(super) fn path_output(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Find => self.facts.do_send(PeerFact::MayDial { peer: self.id }),
            Output::Dial { dial, addr } => self.dial(dial, addr, ctx),
            Output::Abandon { dial } => {
                if let Some(dial) = self.dials.remove(&dial) {
                    ctx.cancel_future(dial);
                }
            }
            // A link without a sign of life closes when another link is open.
            Output::Close { link } => {
                if let Some(live) = self.links.get(&link) {
                    live.link.close(CloseCode::Silent);
                }
            }
            // QUIC binds each link to its path: `LinkChoice` decides which link is used.
            Output::Primary(addr) => tracing::debug!(peer = %self.id.short(), "the best path: {addr:?}"),
            Output::State(state) => self.state = state,
            Output::GaveUp(cause) => {
                self.cause = Some(cause.clone());
                self.facts.do_send(PeerFact::GaveUp { peer: self.id, cause });
            }
        }
    }

    fn dial(&mut self, dial: u64, addr: SocketAddr, ctx: &mut Context<Self>) {
        if VirtualAddr::of(addr).is_none() && self.context.means.toward(&self.id).relay_only() {
            let result = Err(Failure::new("only relays are allowed towards them".to_owned(), false));
            return self.paths.handle(Instant::now(), random(), Input::Dialled { dial, result });
        }
        tracing::debug!(peer = %self.id.short(), "dialling {addr}");
        let (endpoint, id) = (self.context.endpoint.clone(), self.id);
        let is_near = self.near.contains(&addr);
        let dialling = async move {
            if is_near {
                let dialling = tokio::time::timeout(NEAR_TIME, endpoint.dial(addr, id)).await;
                dialling.unwrap_or(Err(DialError::Connection(quinn::ConnectionError::TimedOut)))
            } else {
                endpoint.dial(addr, id).await
            }
        };
        let running = ctx.spawn(dialling.into_actor(self).map(move |result, peer, ctx| {
            // The dial may have ended before it was abandoned.
            if peer.dials.remove(&dial).is_none() {
                return;
            }
            let (connection, result) = match result {
                Ok(connection) => {
                    let rtt = connection.rtt();
                    (Some(connection), Ok(rtt))
                }
                Err(DialError::Connection(error)) => (None, Err(explain(&error))),
                Err(error) => (None, Err(Failure::new(error.to_string(), false))),
            };
            if let Err(failure) = &result {
                peer.by_hand.failed(addr, failure);
                if is_near {
                    peer.context.lan.do_send(Unanswered { peer: peer.id, addr });
                }
            }
            peer.paths.handle(Instant::now(), random(), Input::Dialled { dial, result });
            if let Some(connection) = connection {
                peer.begin(connection, End::Dialer, ctx);
            }
            peer.drive(ctx);
        }));
        self.dials.insert(dial, running);
    }
}
