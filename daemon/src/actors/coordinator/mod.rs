//! The coordinator: knows what is wanted and from whom, owns the transfers, and is the only writer of the bus.
//!
//! What local clients ask arrives here ([`requests`]); facts of peers, listener and phone books rise to here. Fetching is
//! `fetch`, over its desk; publishing is `publish`; what the cache says is `cache`; what a person is shown is put
//! together in `report`.

mod cache;
pub mod contacts;
mod fetch;
pub mod limits;
pub mod nearby;
mod publish;
mod report;
pub mod requests;
mod shown;
pub mod transfers;

use super::{
    listener::Accepted,
    mod_cache::ModCache,
    peer::{self, DialAt, Peer, PeerFact, Surroundings},
    phone_book::{LookupError, PhoneBook, PhonebookFact, Reach, Seen},
    unix_millis,
    upnp::Upnp,
};
use crate::{
    consent::Consent,
    desks::fetching::{self, Fetching, Shared},
    event::Bus,
    io::{
        contacts::ContactsFile, identity::Identity, limits::LimitsFile, published::PublishedFile, quic::tls,
        store::Store,
    },
    offer::Offer,
    pumps::push::Changed,
    served::Served,
    whereabouts::Whereabouts,
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient,
    ResponseFuture, WrapFuture,
};
use fyteclub_proto::{
    contact::{Here, Input, Policy},
    fetching::fetch as fetches,
    id::{BlobHash, PeerId, PlayerName},
    local::{Event, Fault, FaultCode, reply::PathKind},
    peer::CloseCode,
    phonebook::Listing,
};
use publish::Own;
use shown::Shown;
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long a key that broke the protocol is not listened to.
const BAN: Duration = Duration::from_secs(60);
/// How long a contact is a fresh one, in milliseconds.
const FRESH_MS: u64 = 60_000;
/// Why it is not dialled either.
const BANNED: &str = "their daemon broke the protocol, and is left alone for a minute";
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

/// One peer that is or was of interest.
struct Known {
    actor: Addr<Peer>,
    /// The contact's name; never what it says of itself.
    player: Option<PlayerName>,
    addr: Option<SocketAddr>,
    /// Of the last link that was in use.
    path: Option<PathKind>,
    open: bool,
    consent: Consent,
    served: Served,
}

pub struct Coordinator {
    identity: Arc<Identity>,
    around: Surroundings,
    own: Own,
    contacts: contacts::Own,
    phonebooks: Vec<String>,
    listing: Listing,
    /// Who has linked with us since the start, and so knows our key.
    aware: HashSet<PeerId>,
    /// Whom of the others it was said to last.
    announced: Option<PeerId>,
    peers: HashMap<PeerId, Known>,
    banned: HashMap<PeerId, Instant>,
    fetching: Fetching,
    fetch_orders: fetching::Orders,
    /// The orders are being carried out.
    fetch_carrying: bool,
    fetch_alarm: Option<fetch::Alarm>,
    shown: Shown,
    room: cache::Room,
    uploads: transfers::Uploads,
    limits: LimitsFile,
    bus: Bus,
    cache: Addr<ModCache>,
    upnp: Addr<Upnp>,
    phone_book: Option<Addr<PhoneBook>>,
    shutdown: tokio_util::sync::CancellationToken,
    /// For peers; never used by the coordinator itself.
    facts: Option<Recipient<PeerFact>>,
    source_changed: Option<Recipient<publish::SourceChanged>>,
}

impl Coordinator {
    pub fn new(birth: Birth) -> Self {
        let Birth { identity, around, offer, published, bus, cache, upnp, shutdown, .. } = birth;
        let here = Here { key: identity.peer_id(), player: around.player.clone() };
        let shared = Shared {
            store: around.store.clone(),
            lending: around.lending.clone(),
            accounts: around.accounts.clone(),
        };
        Self {
            contacts: contacts::Own::new(
                here,
                birth.contact_requests,
                birth.contacts,
                birth.whereabouts,
                birth.carriers,
            ),
            phonebooks: birth.phonebooks,
            listing: birth.listing,
            aware: HashSet::new(),
            announced: None,
            identity,
            own: Own::new(offer, published),
            around,
            peers: HashMap::new(),
            banned: HashMap::new(),
            fetching: Fetching::new(birth.prefetch_budget, shared, Instant::now()),
            fetch_orders: fetching::Orders::new(),
            fetch_carrying: false,
            fetch_alarm: None,
            shown: Shown::default(),
            room: cache::Room::default(),
            uploads: transfers::Uploads::default(),
            limits: birth.limits,
            bus,
            cache,
            upnp,
            phone_book: None,
            shutdown,
            facts: None,
            source_changed: None,
        }
    }

    fn store(&self) -> &Store {
        &self.around.store
    }

    /// The peer's actor, born when it is first of interest.
    fn peer(&mut self, id: PeerId) -> Option<&mut Known> {
        let facts = self.facts.clone()?;
        let source_changed = self.source_changed.clone()?;
        let changed: Changed = Arc::new(move || source_changed.do_send(publish::SourceChanged));
        let (around, contacts) = (&self.around, &self.contacts.machine);
        Some(self.peers.entry(id).or_insert_with(|| {
            let (consent, served) = (Consent::default(), Served::default());
            consent.set_contact(contacts.consents(&id));
            let peer = Peer::new(id, around.clone(), facts, changed, consent.clone(), served.clone());
            Known {
                actor: peer.start(),
                player: contacts.name_of(&id).cloned(),
                addr: None,
                path: None,
                open: false,
                consent,
                served,
            }
        }))
    }

    fn tell(&self, peer: &PeerId) -> Option<&Addr<Peer>> {
        self.peers.get(peer).map(|known| &known.actor)
    }

    fn ban(&mut self, peer: PeerId, code: CloseCode) {
        if code.consequence().ban {
            tracing::warn!(peer = %peer.short(), "a peer broke the protocol ({code:?}) and is not listened to for a while");
            self.banned.insert(peer, Instant::now());
            if let Some(known) = self.peers.get(&peer) {
                known.consent.set_banned(true);
            }
        }
        if let Some(actor) = self.tell(&peer) {
            actor.do_send(peer::Close(code));
        }
    }

    fn is_banned(&mut self, peer: &PeerId) -> bool {
        self.banned.retain(|_, since| since.elapsed() < BAN);
        self.banned.contains_key(peer)
    }

    /// Whether this contact may go by this key; another one than the known one stops and asks.
    fn standing_of(&mut self, player: &PlayerName, key: PeerId) -> Result<(), Fault> {
        let known = self.key_of(player)?;
        if known == key {
            return Ok(());
        }
        self.bus.publish(Event::PeerKeyChanged { player: player.clone(), known, offered: key });
        Err(Fault::new(
            FaultCode::KeyChanged,
            format!(
                "{player} now comes with another key than the one known here; ask them whether they made a new identity, and if so run: fyteclubctl peers trust \"{player}\" {key}"
            ),
        ))
    }

    /// The key decides. What a greeting says of its name is shown to nobody.
    fn judge(&mut self, peer: PeerId, link: usize) {
        let banned = self.is_banned(&peer);
        let refused = banned || !self.contacts.machine.consents(&peer);
        let Some(known) = self.peers.get(&peer) else { return };
        known.consent.set_banned(banned);
        known.actor.do_send(peer::Judge { link, refuse: refused.then_some(CloseCode::Refused) });
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Only to hand them to children.
        self.facts = Some(ctx.address().recipient());
        self.source_changed = Some(ctx.address().recipient());
        ctx.run_interval(TICK, Self::tick);
        if let Some(period) = crate::service::watchdog_period() {
            ctx.run_interval(period / 2, |_, _| crate::service::alive());
        }
        self.start_cache(ctx);
        self.restore(ctx);
        self.start_contacts(ctx);
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
            fact => self.carried(fact, ctx),
        }
    }
}

impl Handler<Accepted> for Coordinator {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, _: &mut Self::Context) {
        let Some(id) = tls::peer_of(&accepted.0) else { return };
        if id == self.identity.peer_id() {
            // Somebody runs a second daemon with this identity; talking to oneself helps nobody.
            accepted.0.close(quinn::VarInt::from_u32(CloseCode::Refused as u32), b"");
            return;
        }
        // Before anything is kept of them. So there are never more peers than contacts.
        if !self.contacts.machine.consents(&id) {
            tracing::debug!(peer = %id.short(), "somebody who is no contact was turned away");
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
            PeerFact::Greeted { peer, link, .. } => self.judge(peer, link),
            PeerFact::Opened { peer, addr, path, greeting } => {
                let banned = self.is_banned(&peer);
                let Some(known) = self.peers.get_mut(&peer) else { return };
                known.consent.set_banned(banned);
                if banned {
                    // We dialled it before it was banned, or another link of it takes the closed one's place.
                    known.actor.do_send(peer::Close(CloseCode::Refused));
                    return;
                }
                known.open = true;
                (known.addr, known.path) = (Some(addr), Some(path));
                self.contacts.note_addr(peer, addr);
                self.aware.insert(peer);
                let (player, published) = (known.player.clone(), greeting.published);
                tracing::info!(peer = %peer.short(), "connected");
                // At once, and in this order: what the peer says next must not be told before.
                self.bus.publish(Event::PeerConnected { peer_id: peer, player, path });
                self.shows(peer, published);
                self.name_contact(peer, ctx);
                self.fetch_input(fetches::Input::Opened { peer, path, offers: published }, ctx);
                self.contacts_heard(Input::Linked(peer), ctx);
            }
            PeerFact::Look { peer, look } => {
                self.shows(peer, look);
                self.fetch_input(fetches::Input::Offers { peer, look }, ctx);
            }
            PeerFact::Lost { peer, cause } => {
                let Some(known) = self.peers.get_mut(&peer) else { return };
                // Who was connected while banned was never told of.
                if std::mem::take(&mut known.open) {
                    tracing::info!(peer = %peer.short(), "disconnected: {cause}");
                    let player = known.player.clone();
                    self.bus.publish(Event::PeerDisconnected { peer_id: peer, player, cause });
                }
                self.fetch_input(fetches::Input::Lost(peer), ctx);
            }
            PeerFact::GaveUp { peer, cause } => {
                self.fetch_input(fetches::Input::Unreachable { peer, cause }, ctx);
            }
            PeerFact::Appearance { peer, run, result } => {
                self.fetching(fetching::Input::Document { peer, run, result }, ctx);
            }
            PeerFact::Holding { peer, owner, look, reply } => {
                self.fetch_input(fetches::Input::Holding { peer, owner, look, reply }, ctx);
            }
            PeerFact::Grant { grant } => {
                self.around.lending.renew(grant, &self.around.here, unix_millis());
            }
            PeerFact::Idle { peer } => {
                // Contacts are listed also when they are away; who is none any more leaves nothing.
                let of_interest = self.contacts.machine.consents(&peer);
                if let Some(actor) = self.tell(&peer).filter(|_| !of_interest) {
                    actor.do_send(peer::Retire);
                }
            }
            PeerFact::Retired { peer } => {
                self.peers.remove(&peer);
                // A message that was sent to the actor after it had stopped was not read.
                if self.contacts.machine.consents(&peer)
                    && self.fetching.fetches().needs(&peer)
                    && let Some(known) = self.peer(peer)
                {
                    known.actor.do_send(peer::Want);
                }
            }
        }
    }
}

impl Coordinator {
    /// A peer says what it publishes now; whether to fetch it, the scheduler knows, or the plugin.
    fn shows(&self, peer: PeerId, look: Option<BlobHash>) {
        if let Some(player) = self.peers.get(&peer).and_then(|known| known.player.clone()) {
            self.bus.publish(Event::PeerLook { peer_id: peer, player, appearance: look });
        }
    }

    /// Where a peer is now: asked anew before every dial, because a peer that restarted is elsewhere.
    fn find(&mut self, peer: PeerId, ctx: &mut Context<Self>) {
        let banned = self.is_banned(&peer);
        let Some(known) = self.peers.get(&peer) else { return };
        if banned {
            known.actor.do_send(DialAt::Never { cause: BANNED.into() });
            return;
        }
        let last = known.addr.or_else(|| self.contacts.last_addr(&peer));
        let (actor, name) = (known.actor.clone(), known.player.clone());
        let phone_book = self.phone_book.clone();
        let asked = self.is_asked(&peer);
        let since = match (last, self.contacts.machine.since(&peer)) {
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
        ctx.spawn(reach.into_actor(self).map(move |result, coordinator, ctx| {
            let at = match (result, last) {
                _ if coordinator.is_banned(&peer) => DialAt::Never { cause: BANNED.into() },
                (Ok(mut addrs), last) => {
                    // Where they were last comes last.
                    addrs.extend(last.filter(|last| !addrs.contains(last)));
                    DialAt::Known(addrs)
                }
                (Err(error @ LookupError::OtherKey(_)), _) | (Err(error), None) => {
                    coordinator.not_found(peer, &error, ctx);
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
        let stopping = Fault::new(FaultCode::Stopping, "the daemon is stopping");
        self.contacts.close();
        self.fetching.close(&stopping);
        let peers: Vec<Addr<Peer>> = self.peers.drain().map(|(_, known)| known.actor).collect();
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
