//! The coordinator: knows what is wanted and from whom, owns the transfers, and is the only writer of the bus.
//!
//! What local clients ask arrives here ([`verbs`]); facts of peers, listener and phone books rise to here. Fetching is
//! `fetch`, over its desk; publishing is `publish`; what the cache says is `cache`; what a person is shown is put
//! together in `report`.

mod cache;
pub mod contacts;
mod fetch;
pub mod limits;
pub mod nearby;
mod publish;
mod report;
mod roster;
mod shown;
pub mod transfers;
pub mod verbs;

use super::{
    listener::Accepted,
    mod_cache::ModCache,
    peer::{self, DialPermit, Peer, PeerFact, Surroundings},
    phone_book::{PhoneBook, PhonebookFact, Seen},
    unix_millis,
    upnp::Upnp,
};
use crate::{
    desks::fetching::{self, Fetching, Shared},
    event::Bus,
    io::{
        contacts::ContactsFile, identity::Identity, limits::LimitsFile, published::PublishedFile, quic::tls,
        store::Store,
    },
    sharing::published::Offer,
    whereabouts::Whereabouts,
};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, ResponseFuture};
use fyteclub_proto::{
    contact::{Here, Input, Policy},
    fetching::fetch as fetches,
    id::{BlobHash, PeerId, PlayerName},
    local::{Event, Fault, FaultCode},
    peer::CloseCode,
    phonebook::Listing,
};
use publish::Own;
use roster::{Known, Roster};
use shown::Shown;
use std::{
    collections::HashSet,
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
    own: Own,
    contacts: contacts::Own,
    phonebooks: Vec<String>,
    listing: Listing,
    /// Who has linked with us since the start, and so knows our key.
    aware: HashSet<PeerId>,
    /// Whom of the others it was said to last.
    announced: Option<PeerId>,
    peers: Roster,
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
    peer_birth: Option<roster::Birth>,
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
        let contacts = contacts::Own::new(
            here,
            birth.contact_requests,
            birth.contacts,
            birth.whereabouts,
            birth.carriers,
        );
        let mut peers = Roster::default();
        for contact in contacts.machine.iter() {
            if let Some(key) = contact.peer_id.filter(|key| contacts.machine.consents(key)) {
                peers.admit(key, contact.player.clone());
            }
        }
        Self {
            contacts,
            phonebooks: birth.phonebooks,
            listing: birth.listing,
            aware: HashSet::new(),
            announced: None,
            identity,
            own: Own::new(offer, published),
            around,
            peers,
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
            peer_birth: None,
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
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Only to hand them to children.
        let source_changed = ctx.address().recipient();
        self.peer_birth = Some(roster::Birth {
            around: self.around.clone(),
            facts: ctx.address().recipient(),
            changed: Arc::new(move || source_changed.do_send(publish::SourceChanged)),
        });
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
            fact => self.carried(fact, ctx),
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
            PeerFact::MayDial { peer } => self.may_dial(peer),
            PeerFact::NotFound { peer, error } => self.not_found(peer, &error, ctx),
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
                let of_interest = self.peers.admits(&peer).contact;
                if let Some(actor) = self.tell(&peer).filter(|_| !of_interest) {
                    actor.do_send(peer::Retire);
                }
            }
            PeerFact::Retired { peer } => {
                self.peers.remove(&peer);
                // A message that was sent to the actor after it had stopped was not read.
                if self.peers.admits(&peer).contact
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

    /// Whether a peer may be dialled; asked anew before every dial. Where it is, it asks the phone books itself.
    fn may_dial(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get(&peer) else { return };
        if let Err(refusal) = self.peers.admits(&peer).check(Instant::now()) {
            known.actor.do_send(DialPermit::Refused(refusal));
            return;
        }
        let last = known.addr.or_else(|| self.contacts.last_addr(&peer));
        let since = match (last, self.contacts.machine.since(&peer)) {
            (Some(_), _) => Seen::Once,
            // Who has just become a contact was there to become one, and is busy with that.
            (None, Some(since)) if unix_millis().abs_diff(since) < FRESH_MS => Seen::JustNow,
            (None, _) => Seen::Never,
        };
        known.actor.do_send(DialPermit::Granted {
            phone_book: self.phone_book.clone(),
            name: known.player.clone(),
            asked: self.is_asked(&peer),
            since,
            last,
        });
    }
}

impl Handler<Stop> for Coordinator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        let stopping = Fault::new(FaultCode::Stopping, "the daemon is stopping");
        self.contacts.close();
        self.fetching.close(&stopping);
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
