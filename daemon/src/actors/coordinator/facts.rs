//! Facts that other actors send to the coordinator, each passed to its desk.

use super::Coordinator;
use crate::{
    actors::{
        lan::LanFact,
        listener::Accepted,
        mod_cache::CacheFact,
        peer::{self, DialPermit, PeerFact},
        phone_book::{Answer as Introduction, LookupError, PhoneBook, PhonebookFact},
        roster::PeerParts,
        traversal::TraversalFact,
        unix_millis,
    },
    desks::{Desks, contacts, fetching::Input, links::NewLink, orders::Now, own_look, sessions::ClientId},
    io::quic::tls,
    pumps::pull::Note,
};
use actix::{Addr, AsyncContext, Context, Handler, Message};
use fyteclub_proto::{
    fetching::fetch::{self, Run},
    id::{PeerId, PlayerName},
    local::Event,
    peer::{CloseCode, Greeting},
};
use std::{net::IpAddr, sync::Arc};

/// Facts of the rest of the daemon.
#[derive(Message)]
#[rtype(result = "()")]
pub enum DaemonFact {
    /// The phone books' actor. It starts after the coordinator, because it sends facts to it.
    PhoneBook(Addr<PhoneBook>),
    /// This machine's addresses are these now.
    Moved(Arc<[IpAddr]>),
    /// A published file was found changed while it was served.
    SourceChanged,
    /// A client left: its set of near players ends.
    ClientLeft(ClientId),
    /// A report of a pump about one transfer.
    Carried { player: PlayerName, run: Run, note: Note },
}

impl Coordinator {
    /// Enables the start of peers' actors, which need this actor's address.
    pub(super) fn start_roster(&mut self, ctx: &mut Context<Self>) {
        let (context, facts) = (self.parts.context.clone(), ctx.address().recipient());
        let home = ctx.address();
        let changed = Arc::new(move || home.do_send(DaemonFact::SourceChanged));
        self.roster.start(PeerParts { context, facts, changed });
    }

    fn fetching(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.act(ctx, |desks, now, orders| desks.fetching.handle(now.at, input, orders));
    }

    fn fetch(&mut self, input: fetch::Input, ctx: &mut Context<Self>) {
        self.fetching(Input::Machine(input), ctx);
    }

    /// Permits or refuses a dial; asked before every dial. The peer's actor itself asks the phone books.
    fn may_dial(&self, peer: PeerId) {
        self.roster.send(
            &peer,
            match self.roster.admits(&peer) {
                Ok(()) => {
                    let mut hints = self.desks.dial_hints(Now::read(), &peer);
                    hints.last = hints.last.filter(|_| !self.parts.context.means.toward(&peer).relay_only());
                    DialPermit::Granted { phone_book: self.phone_book.clone(), hints }
                }
                Err(refusal) => DialPermit::Refused(refusal),
            },
        );
    }

    /// No source has an address of the peer.
    fn not_found(&mut self, peer: PeerId, error: &LookupError, ctx: &mut Context<Self>) {
        if let LookupError::OtherKey(offered) = *error {
            return self.act(ctx, |desks, now, orders| desks.other_key(now, peer, offered, orders));
        }
        self.fetch(fetch::Input::NotFound { peer, code: error.code(), cause: error.to_string() }, ctx);
    }
}

impl Handler<DaemonFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: DaemonFact, ctx: &mut Self::Context) {
        match fact {
            DaemonFact::PhoneBook(phone_book) => self.phone_book = Some(phone_book),
            DaemonFact::Moved(addrs) => self.roster.send_all(|| peer::Moved(addrs.clone())),
            DaemonFact::SourceChanged => self.act(ctx, |desks, now, orders| {
                desks.own_look.handle(now, own_look::Input::SourceChanged, orders);
            }),
            DaemonFact::ClientLeft(client) => {
                self.act(ctx, |desks, _, orders| desks.sessions.left(client, orders));
            }
            DaemonFact::Carried { player, run, note } => {
                self.fetching(Input::Noted { player, run, note }, ctx);
            }
        }
    }
}

impl Handler<CacheFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, CacheFact(input): CacheFact, ctx: &mut Self::Context) {
        self.act(ctx, |Desks { cache, own_look, .. }, _, orders| {
            cache.handle(input, |hash| own_look.names(hash), orders);
        });
    }
}

impl Handler<PhonebookFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: PhonebookFact, ctx: &mut Self::Context) {
        match fact {
            PhonebookFact::Changed { url, error } => {
                self.parts.bus.publish(Event::PhonebookChanged { url, ok: error.is_none(), error });
            }
            PhonebookFact::Received(heard) => self.act(ctx, |desks, now, orders| {
                desks.contacts.handle(now, contacts::Input::Received(heard), orders);
            }),
            PhonebookFact::Introduced { introduction, from: to } => {
                let accept = self.roster.admits(&to).is_ok();
                self.ask_phone_book(Introduction { introduction, to, accept });
            }
        }
    }
}

impl Handler<TraversalFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: TraversalFact, ctx: &mut Self::Context) {
        match fact {
            TraversalFact::Reached { peer, addr, part } => {
                if self.roster.admits(&peer).is_ok()
                    && let Some(actor) = self.roster.peer(peer)
                {
                    actor.do_send(peer::Reached { addr, part });
                }
            }
            TraversalFact::Unreached { peer, cause } => self.roster.send(&peer, peer::Unreached(cause)),
            TraversalFact::Tell { peer, addr, attempt, offer } => {
                self.roster.send(&peer, peer::TellOffer { addr, attempt, offer });
            }
            TraversalFact::Path { peer, path } => {
                self.act(ctx, |desks, now, orders| desks.moved(now, peer, path, orders));
            }
        }
    }
}

impl Handler<LanFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, LanFact { peer, addrs }: LanFact, _: &mut Self::Context) {
        if self.roster.admits(&peer).is_ok() {
            self.roster.send(&peer, peer::Near(addrs));
            // A fetch may have given it up.
            if self.desks.fetching.fetches().needs(&peer) {
                self.roster.want(peer);
            }
        }
    }
}

impl Handler<Accepted> for Coordinator {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, _: &mut Self::Context) {
        let Some(id) = tls::peer_of(&accepted.0) else { return };
        // Before any state is kept of the peer, so that there are never more peers than contacts. This daemon's own key
        // is no contact: a second daemon with the same identity is refused too.
        let context = &self.parts.context;
        let directly = context.means.toward(&id).relay_only() && !context.endpoint.is_virtual(&accepted.0);
        let refused = match self.roster.admits(&id) {
            Err(refusal) => Some(refusal.to_string()),
            Ok(()) => directly.then(|| "it came directly, and only relays are allowed".to_owned()),
        };
        if let Some(why) = refused {
            tracing::debug!(peer = %id.short(), "a connection was refused: {why}");
            accepted.0.close(quinn::VarInt::from_u32(CloseCode::Refused.number()), b"");
        } else if let Some(actor) = self.roster.peer(id) {
            actor.do_send(peer::Adopt(accepted.0));
        }
    }
}

impl Handler<PeerFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: PeerFact, ctx: &mut Self::Context) {
        match fact {
            PeerFact::MayDial { peer } => self.may_dial(peer),
            PeerFact::NotFound { peer, error } => self.not_found(peer, &error, ctx),
            PeerFact::Opened { peer, addr, path, greeting } => {
                // It was dialled before the ban, or another of its links replaced a closed one.
                if self.roster.admits(&peer).is_err() {
                    return self.roster.send(&peer, peer::Close(CloseCode::Refused));
                }
                self.act(ctx, |desks, now, orders| {
                    let Greeting { instance, published: look, .. } = greeting;
                    desks.opened(now, peer, NewLink { addr, path, instance, look }, orders);
                });
            }
            PeerFact::Look { peer, look } => {
                self.act(ctx, |desks, _, orders| desks.links.shows(peer, look, orders));
                self.fetch(fetch::Input::Offers { peer, look }, ctx);
            }
            PeerFact::Silent { peer, silent } => {
                self.act(ctx, |desks, now, orders| desks.silent(now, peer, silent, orders));
            }
            PeerFact::Lost { peer, cause } => {
                self.act(ctx, |desks, now, orders| desks.lost(now, peer, cause, orders));
            }
            PeerFact::GaveUp { peer, cause } => {
                self.fetch(fetch::Input::Unreachable { peer, cause }, ctx);
            }
            PeerFact::Appearance { peer, run, result } => {
                self.fetching(Input::Document { peer, run, result }, ctx);
            }
            PeerFact::Holding { peer, owner, look, reply } => {
                self.fetch(fetch::Input::Holding { peer, owner, look, reply }, ctx);
            }
            PeerFact::Grant { grant } => {
                self.parts.context.lending.renew(grant, &self.parts.context.here, unix_millis());
            }
            PeerFact::Idle { peer } => {
                // Contacts are also listed while they are offline; a peer that is no contact is forgotten.
                if !self.roster.is_contact(&peer) {
                    self.roster.send(&peer, peer::Retire);
                }
            }
            PeerFact::Retired { peer } => {
                self.roster.remove(&peer);
                self.desks.links.retired(&peer);
                // A message that was sent after the actor had stopped was lost.
                if self.roster.is_contact(&peer) && self.desks.fetching.fetches().needs(&peer) {
                    self.roster.want(peer);
                }
            }
        }
    }
}
