//! The coordinator: knows what is wanted and from whom, owns the transfers, and is the only writer of the bus.
//!
//! What local clients ask arrives here ([`verbs`]); facts of peers, listener and phone books rise to here. A fetch is
//! a row of stages in `fetch`; publishing is `publish`; what the cache says is `cache`; what a person is shown is put
//! together in `report`.

mod cache;
mod carry;
mod fetch;
pub mod nearby;
mod order;
mod report;
mod roster;
mod shown;
mod speed;
pub mod transfers;
pub mod verbs;

use super::{
    listener::Accepted,
    mod_cache::ModCache,
    peer::{self, DialAt, Peer, PeerFact, Surroundings},
    phone_book::{Answer as Introduction, LookupError, PhoneBook, PhonebookFact, Reach, Seen},
    unix_millis,
    upnp::Upnp,
};
use crate::{
    desks::{
        contacts::{self, ContactDesk},
        limits::LimitDesk,
        orders::{Now, Orders},
        own_look::{self, OwnLook},
    },
    event::Bus,
    io::{
        contacts::ContactsFile, identity::Identity, limits::LimitsFile, published::PublishedFile, quic::tls,
        store::Store,
    },
    sharing::published::Offer,
    whereabouts::Whereabouts,
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use fetch::Fetch;
use fyteclub_proto::{
    agenda::{self, Agenda},
    contact::{self, Here, Policy},
    id::{BlobHash, PeerId, PlayerName},
    local::{Event, Fault, FaultCode},
    peer::CloseCode,
    phonebook::Listing,
};
use roster::{Known, Roster};
use shown::Shown;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long a contact is a fresh one, in milliseconds.
const FRESH_MS: u64 = 60_000;
/// How often running transfers are looked at: progress is told at most this often.
const TICK: Duration = Duration::from_millis(200);

/// What the coordinator is born with.
pub struct Birth {
    pub identity: Arc<Identity>,
    pub around: Surroundings,
    pub offer: watch::Sender<Option<Arc<Offer>>>,
    pub contacts: ContactsFile,
    pub whereabouts: Whereabouts,
    pub contact_requests: Policy,
    /// As configured: invitations name them.
    pub phonebooks: Vec<String>,
    /// As their clients name them: each carries knocks with a number of its own.
    pub carriers: Vec<String>,
    /// How names are entered in them.
    pub listing: Listing,
    pub published: PublishedFile,
    pub limits: LimitsFile,
    /// Bytes of looks that may be brought before anybody needs them.
    pub prefetch_budget: u64,
    pub bus: Bus,
    pub cache: Addr<ModCache>,
    pub upnp: Addr<Upnp>,
    /// Fires when a client asks the daemon to stop.
    pub shutdown: tokio_util::sync::CancellationToken,
}

pub struct Coordinator {
    identity: Arc<Identity>,
    around: Surroundings,
    own_look: OwnLook,
    contacts: ContactDesk,
    /// When a desk is to be woken next.
    alarm: Option<(Instant, SpawnHandle)>,
    /// What desks ordered before there was an actor.
    first: Orders,
    peers: Roster,
    fetches: HashMap<PlayerName, Fetch>,
    /// Whose look is fetched now.
    agenda: Agenda,
    nearby: nearby::Claims,
    shown: Shown,
    room: cache::Room,
    uploads: transfers::Uploads,
    limits: LimitDesk,
    bus: Bus,
    cache: Addr<ModCache>,
    upnp: Addr<Upnp>,
    phone_book: Option<Addr<PhoneBook>>,
    shutdown: tokio_util::sync::CancellationToken,
    /// For peers; never used by the coordinator itself.
    peer_birth: Option<roster::Birth>,
    next_request: u64,
    /// The number of the last attempt to fetch a look, of anybody.
    next_run: u64,
}

impl Coordinator {
    pub fn new(birth: Birth) -> Self {
        let Birth { identity, around, offer, published, bus, cache, upnp, shutdown, .. } = birth;
        let setup = contacts::Setup {
            here: Here { key: identity.peer_id(), player: around.player.clone() },
            policy: birth.contact_requests,
            file: birth.contacts,
            whereabouts: birth.whereabouts,
            carriers: birth.carriers,
            phonebooks: birth.phonebooks,
            listing: birth.listing,
            changes: identity.changes().to_vec(),
        };
        let mut first = Orders::default();
        let now = Now { at: Instant::now(), unix_ms: unix_millis() };
        let contacts = ContactDesk::new(setup, now, &mut first);
        let setup = own_look::Setup {
            player: around.player.clone(),
            identity: identity.clone(),
            store: around.store.clone(),
            offer,
            file: published,
        };
        let own_look = OwnLook::new(setup, now, &mut first);
        Self {
            contacts,
            alarm: None,
            first,
            identity,
            own_look,
            around,
            peers: Roster::default(),
            fetches: HashMap::new(),
            agenda: Agenda::new(birth.prefetch_budget, Instant::now()),
            nearby: nearby::Claims::default(),
            shown: Shown::default(),
            room: cache::Room::default(),
            uploads: transfers::Uploads::default(),
            limits: LimitDesk::new(birth.limits, around.pacer.clone()),
            bus,
            cache,
            upnp,
            phone_book: None,
            shutdown,
            peer_birth: None,
            next_request: 0,
            next_run: 0,
        }
    }

    fn store(&self) -> &Store {
        &self.around.store
    }

    /// The peer's actor, born when it is first of interest.
    fn peer(&mut self, id: PeerId) -> Option<&mut Known> {
        let birth = self.peer_birth.as_ref()?;
        Some(self.peers.peer(id, birth))
    }

    fn tell(&self, peer: &PeerId) -> Option<&Addr<Peer>> {
        self.peers.get(peer).map(|known| &known.actor)
    }

    fn ban(&mut self, peer: PeerId, code: CloseCode) {
        if code.consequence().ban {
            tracing::warn!(peer = %peer.short(), "a peer broke the protocol ({code:?}) and is not listened to for a while");
            self.peers.ban(peer);
        }
        if let Some(actor) = self.tell(&peer) {
            actor.do_send(peer::Close(code));
        }
    }

    fn is_banned(&self, peer: &PeerId) -> bool {
        self.peers.admits(peer).is_banned(Instant::now())
    }

    /// Whether this contact may go by this key; another one than the known one stops and asks.
    fn standing_of(&mut self, player: &PlayerName, key: PeerId) -> Result<(), Fault> {
        let checked = self.contacts.check_key(player, key);
        checked.map_err(|(fault, event)| {
            event.into_iter().for_each(|event| self.bus.publish(event));
            fault
        })
    }

    /// The key to fetch a player's look from.
    fn key_of(&self, player: &PlayerName) -> Result<PeerId, Fault> {
        self.contacts.key_of(player)
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Only to hand them to children.
        let source_changed = ctx.address().recipient();
        self.peer_birth = Some(roster::Birth {
            around: self.around.clone(),
            facts: ctx.address().recipient(),
            changed: Arc::new(move || source_changed.do_send(SourceChanged)),
        });
        ctx.run_interval(TICK, Self::tick);
        if let Some(period) = crate::service::watchdog_period() {
            ctx.run_interval(period / 2, |_, _| crate::service::alive());
        }
        self.start_cache(ctx);
        let first = std::mem::take(&mut self.first);
        self.act(ctx, |_, _, orders| *orders = first);
    }
}

/// The phone book's actor, which is born after the coordinator because its facts rise to it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Introduce(pub Addr<PhoneBook>);

/// This machine's addresses are these now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Moved(pub Arc<[IpAddr]>);

/// A file that is published was found changed while it was served.
#[derive(Message)]
#[rtype(result = "()")]
struct SourceChanged;

/// Fails what is waited for and stops every peer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Introduce> for Coordinator {
    type Result = ();

    fn handle(&mut self, introduce: Introduce, _: &mut Self::Context) {
        self.phone_book = Some(introduce.0);
    }
}

impl Handler<Moved> for Coordinator {
    type Result = ();

    fn handle(&mut self, moved: Moved, _: &mut Self::Context) {
        for known in self.peers.values() {
            known.actor.do_send(peer::Moved(moved.0.clone()));
        }
    }
}

impl Handler<SourceChanged> for Coordinator {
    type Result = ();

    fn handle(&mut self, _: SourceChanged, ctx: &mut Self::Context) {
        self.act(ctx, |desks, now, orders| desks.own_look.handle(now, own_look::Input::SourceChanged, orders));
    }
}

impl Handler<PhonebookFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: PhonebookFact, ctx: &mut Self::Context) {
        match fact {
            PhonebookFact::Changed { url, error } => {
                self.bus.publish(Event::PhonebookChanged { url, ok: error.is_none(), error });
            }
            PhonebookFact::MoreAddresses { peer, addrs } => {
                if let Some(actor) = self.tell(&peer) {
                    actor.do_send(peer::DialMore(addrs));
                }
            }
            PhonebookFact::Connected => self.heard(contact::Input::Connected, ctx),
            PhonebookFact::Listed { player, keys } => {
                self.heard(contact::Input::Listed { player, keys }, ctx);
            }
            PhonebookFact::Knocked(knock) => self.heard(contact::Input::Knocked(knock), ctx),
            PhonebookFact::Noted { from, note } => self.heard(contact::Input::Noted { from, note }, ctx),
            PhonebookFact::Introduced { introduction, from, .. } => {
                let accept = self.peers.admits(&from).check(Instant::now()).is_ok();
                if let Some(phone_book) = &self.phone_book {
                    phone_book.do_send(Introduction { introduction, to: from, accept });
                }
            }
        }
    }
}

impl Handler<Accepted> for Coordinator {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, _: &mut Self::Context) {
        let Some(id) = tls::peer_of(&accepted.0) else { return };
        // Before anything is kept of them. So there are never more peers than contacts; and nobody is their own, so that a
        // second daemon with this identity is refused too.
        if let Err(refusal) = self.peers.admits(&id).check(Instant::now()) {
            tracing::debug!(peer = %id.short(), "a connection was refused: {refusal}");
            accepted.0.close(quinn::VarInt::from_u32(CloseCode::Refused as u32), b"");
            return;
        }
        if let Some(known) = self.peer(id) {
            known.actor.do_send(peer::Adopt(accepted.0));
        }
    }
}

impl Handler<PeerFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: PeerFact, ctx: &mut Self::Context) {
        match fact {
            PeerFact::AddressNeeded { peer } => self.find(peer, ctx),
            PeerFact::Opened { peer, addr, path, greeting } => {
                let admitted = self.peers.admits(&peer).check(Instant::now());
                let Some(known) = self.peers.get_mut(&peer) else { return };
                if admitted.is_err() {
                    // We dialled it before it was banned, or another link of it takes the closed one's place.
                    known.actor.do_send(peer::Close(CloseCode::Refused));
                    return;
                }
                known.open = true;
                (known.addr, known.path) = (Some(addr), Some(path));
                let (player, published) = (known.player.clone(), greeting.published);
                tracing::info!(peer = %peer.short(), "connected");
                // At once, and in this order: what the peer says next must not be told before.
                self.bus.publish(Event::PeerConnected { peer_id: peer, player, path });
                self.shows(peer, published);
                self.newest_look(peer, published);
                self.link_open(peer, ctx);
                self.agenda(agenda::Input::Linked { peer, offers: published });
                self.act(ctx, |coordinator, now, orders| {
                    coordinator.contacts.handle(now, contacts::Input::Linked { peer, addr }, orders);
                });
            }
            PeerFact::Look { peer, look } => {
                self.shows(peer, look);
                self.newest_look(peer, look);
                self.agenda(agenda::Input::Offers { peer, look });
            }
            PeerFact::Lost { peer, cause } => {
                let Some(known) = self.peers.get_mut(&peer) else { return };
                // Who was connected while banned was never told of.
                if std::mem::take(&mut known.open) {
                    tracing::info!(peer = %peer.short(), "disconnected: {cause}");
                    let player = known.player.clone();
                    self.bus.publish(Event::PeerDisconnected { peer_id: peer, player, cause });
                    self.act(ctx, |coordinator, now, orders| {
                        coordinator.contacts.handle(now, contacts::Input::Parted(peer), orders);
                    });
                }
                // Before anybody is dialled for what nobody needs.
                self.agenda(agenda::Input::Parted(peer));
                self.link_lost(peer, ctx);
            }
            PeerFact::GaveUp { peer, cause } => self.unreachable(peer, &cause, ctx),
            PeerFact::Appearance { peer, run, result } => self.appearance_came(peer, run, result, ctx),
            PeerFact::Holding { peer, owner, look, reply } => {
                self.holding_came(peer, owner, look, reply, ctx);
            }
            PeerFact::Grant { grant } => {
                self.around.lending.renew(grant, &self.around.here, unix_millis());
            }
            PeerFact::Idle { peer } => {
                // Contacts are listed also when they are away; who is none any more leaves nothing.
                let of_interest = self.peers.admits(&peer).contact;
                if let Some(actor) = self.tell(&peer).filter(|_| !of_interest) {
                    actor.do_send(peer::Retire);
                }
            }
            PeerFact::Retired { peer } => {
                self.peers.remove(&peer);
                // A message that was sent to the actor after it had stopped was not read.
                if self.peers.admits(&peer).contact
                    && self.is_needed(&peer)
                    && let Some(known) = self.peer(peer)
                {
                    known.actor.do_send(peer::Want);
                }
            }
        }
    }
}

impl Coordinator {
    fn heard(&mut self, heard: contact::Input, ctx: &mut Context<Self>) {
        self.act(ctx, |coordinator, now, orders| {
            coordinator.contacts.handle(now, contacts::Input::Heard(heard), orders);
        });
    }

    /// A peer says what it publishes now; whether to fetch it, the agenda knows, or the plugin.
    fn shows(&self, peer: PeerId, look: Option<BlobHash>) {
        if let Some(player) = self.peers.get(&peer).and_then(|known| known.player.clone()) {
            self.bus.publish(Event::PeerLook { peer_id: peer, player, appearance: look });
        }
    }

    /// Whether a fetch or somebody who is near needs a link to this peer.
    fn is_needed(&self, peer: &PeerId) -> bool {
        self.agenda.distance(peer).is_some() || self.fetches.values().any(|fetch| fetch.is_of(peer))
    }

    /// Where a peer is now: asked anew before every dial, because a peer that restarted is elsewhere.
    fn find(&mut self, peer: PeerId, ctx: &mut Context<Self>) {
        let Some(known) = self.peers.get(&peer) else { return };
        if let Err(refusal) = self.peers.admits(&peer).check(Instant::now()) {
            known.actor.do_send(DialAt::Never { cause: refusal.to_string() });
            return;
        }
        let last = known.addr.or_else(|| self.contacts.last_addr(&peer));
        let (actor, name) = (known.actor.clone(), known.player.clone());
        let phone_book = self.phone_book.clone();
        let asked = self.agenda.reason(&peer) == agenda::Reason::Asked;
        let since = match (last, self.contacts.since(&peer)) {
            (Some(_), _) => Seen::Once,
            // Who has just become a contact was there to become one, and is busy with that.
            (None, Some(since)) if unix_millis().abs_diff(since) < FRESH_MS => Seen::JustNow,
            (None, _) => Seen::Never,
        };
        let reach = Reach { peer, name, asked, since };
        let reach = async move {
            let Some(phone_book) = phone_book else { return Err(LookupError::NoPhonebook) };
            phone_book.send(reach).await.unwrap_or(Err(LookupError::NoPhonebook))
        };
        ctx.spawn(reach.into_actor(self).map(move |result, coordinator, _| {
            if let Err(refusal) = coordinator.peers.admits(&peer).check(Instant::now()) {
                actor.do_send(DialAt::Never { cause: refusal.to_string() });
                return;
            }
            let at = match (result, last) {
                (Ok(mut addrs), last) => {
                    // Where they were last comes last.
                    addrs.extend(last.filter(|last| !addrs.contains(last)));
                    DialAt::Known(addrs)
                }
                (Err(error @ LookupError::OtherKey(_)), _) | (Err(error), None) => {
                    coordinator.not_found(peer, &error);
                    DialAt::Unknown { cause: error.to_string() }
                }
                (Err(error @ LookupError::NotFound), Some(addr)) => {
                    DialAt::Guess { addr, cause: format!("{error}, and nobody answers where they were last") }
                }
                // A phone book that is gone does not part those who know each other's place.
                (Err(_), Some(last)) => DialAt::Known(vec![last]),
            };
            actor.do_send(at);
        }));
    }
}

impl Handler<Stop> for Coordinator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        let stopping = || Fault::new(FaultCode::Stopping, "the daemon is stopping");
        self.contacts.close();
        for (_, fetch) in self.fetches.drain() {
            fetch.answer(Err(stopping()));
        }
        let peers: Vec<Addr<Peer>> = self.peers.drain().map(|known| known.actor).collect();
        ctx.stop();
        Box::pin(async move {
            for peer in peers {
                // A peer that is gone needs no stopping.
                peer.send(peer::Stop).await.ok();
            }
        })
    }
}

#[cfg(test)]
mod tests;
