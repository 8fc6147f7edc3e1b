//! The coordinator: routes what happens to the desks ([`crate::desks`]), carries out what they order, and is the only
//! writer of the bus.
//!
//! Facts of peers, listener, phone books and cache rise to here; what local clients ask arrives in [`verbs`]. Orders are
//! carried out in `carry`. Who may be heard, served and dialled says `roster`.

mod carry;
mod roster;
pub mod verbs;

use super::{
    listener::Accepted,
    mod_cache::{self, CacheFact, ModCache},
    peer::{self, DialPermit, Peer, PeerFact, Surroundings},
    phone_book::{Answer as Introduction, LookupError, PhoneBook, PhonebookFact, Seen},
    unix_millis,
    upnp::Upnp,
};
use crate::{
    desks::{
        cache::CacheDesk,
        contacts::{self, ContactDesk},
        fetching::{self, Fetching},
        limits::LimitDesk,
        orders::{Now, Orders},
        own_look::{self, OwnLook},
        sessions::{ClientId, SessionDesk},
        uploads::UploadDesk,
    },
    event::Bus,
    io::{limits::LimitsFile, quic::tls},
};
use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
};
use fyteclub_proto::{
    contact,
    fetching::{fetch, scheduler::Reason},
    id::{BlobHash, PeerId},
    local::{Event, Fault, FaultCode},
    peer::CloseCode,
};
use roster::Roster;
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a contact is a fresh one, in milliseconds.
const FRESH_MS: u64 = 60_000;
/// How often running transfers are looked at: progress is told at most this often.
const TICK: Duration = Duration::from_millis(200);

/// What the coordinator is born with.
pub struct Birth {
    pub around: Surroundings,
    pub contacts: contacts::Setup,
    pub own_look: own_look::Setup,
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
    around: Surroundings,
    roster: Roster,
    contacts: ContactDesk,
    own_look: OwnLook,
    fetching: Fetching,
    cache_desk: CacheDesk,
    uploads: UploadDesk,
    limits: LimitDesk,
    sessions: SessionDesk,
    /// What desks ordered and is not carried out yet.
    orders: Orders,
    is_carrying_out: bool,
    /// When a desk is to be told the time next.
    alarm: Option<(Instant, SpawnHandle)>,
    bus: Bus,
    cache: Addr<ModCache>,
    upnp: Addr<Upnp>,
    phone_book: Option<Addr<PhoneBook>>,
    shutdown: tokio_util::sync::CancellationToken,
}

impl Coordinator {
    pub fn new(birth: Birth) -> Self {
        let Birth { around, bus, cache, upnp, shutdown, .. } = birth;
        let (mut orders, now) = (Orders::default(), Now::read());
        let shared = fetching::Shared {
            store: around.store.clone(),
            lending: around.lending.clone(),
            accounts: around.accounts.clone(),
        };
        Self {
            roster: Roster::default(),
            contacts: ContactDesk::new(birth.contacts, now, &mut orders),
            own_look: OwnLook::new(birth.own_look, now, &mut orders),
            fetching: Fetching::new(birth.prefetch_budget, shared, now.at),
            cache_desk: CacheDesk::new(around.store.clone()),
            uploads: UploadDesk::default(),
            limits: LimitDesk::new(birth.limits, around.pacer.clone()),
            sessions: SessionDesk::default(),
            orders,
            is_carrying_out: false,
            alarm: None,
            around,
            bus,
            cache,
            upnp,
            phone_book: None,
            shutdown,
        }
    }

    /// What others say about contacts.
    fn heard(&mut self, heard: contact::Input, ctx: &mut Context<Self>) {
        self.act(ctx, |desks, now, orders| desks.contacts.handle(now, contacts::Input::Heard(heard), orders));
    }

    /// A peer says what it publishes now; whether to fetch it, the fetching desk knows, or the plugin.
    fn shows(&self, peer: PeerId, look: Option<BlobHash>) {
        if let Some(player) = self.roster.get(&peer).and_then(|known| known.player.clone()) {
            self.bus.publish(Event::PeerLook { peer_id: peer, player, appearance: look });
        }
    }

    /// Whether a peer may be dialled; asked anew before every dial. Where it is, it asks the phone books itself.
    fn may_dial(&self, peer: PeerId) {
        let Some(known) = self.roster.get(&peer) else { return };
        if let Err(refusal) = self.roster.admits(&peer).check(Instant::now()) {
            known.actor.do_send(DialPermit::Refused(refusal));
            return;
        }
        let last = known.addr.or_else(|| self.contacts.last_addr(&peer));
        let since = match (last, self.contacts.since(&peer)) {
            (Some(_), _) => Seen::Once,
            // Who has just become a contact was there to become one, and is busy with that.
            (None, Some(since)) if unix_millis().abs_diff(since) < FRESH_MS => Seen::JustNow,
            (None, _) => Seen::Never,
        };
        known.actor.do_send(DialPermit::Granted {
            phone_book: self.phone_book.clone(),
            name: known.player.clone(),
            asked: self.fetching.fetches().reason(&peer) == Reason::Asked,
            since,
            last,
        });
    }

    /// Nobody can tell where a peer is.
    fn not_found(&mut self, peer: PeerId, error: &LookupError, ctx: &mut Context<Self>) {
        let code = match error {
            LookupError::NotFound | LookupError::NotBack => FaultCode::NotFound,
            LookupError::NoPhonebook => FaultCode::BadRequest,
            LookupError::Unavailable(_) => FaultCode::PhonebookUnavailable,
            LookupError::Busy => FaultCode::Busy,
            LookupError::OtherKey(offered) => {
                for player in self.fetching.fetches().players_of(peer) {
                    let checked =
                        self.act(ctx, |desks, _, orders| desks.contacts.check_key(&player, *offered, orders));
                    if let Err(fault) = checked {
                        self.fetch_input(fetch::Input::Failed { player, fault }, ctx);
                    }
                }
                return;
            }
        };
        self.fetch_input(fetch::Input::NotFound { peer, code, cause: error.to_string() }, ctx);
    }

    /// Five times a second.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        let is_open = |owner: &PeerId| self.roster.is_open(owner);
        for (owner, look) in self.around.lending.due(unix_millis(), is_open) {
            self.roster.send(&owner, peer::AskGrant { look });
        }
        self.act(ctx, |desks, now, orders| {
            desks.cache_desk.tick(desks.fetching.fetches().is_transferring(), orders);
            desks.uploads.look(now.at, desks.roster.served(), |key| desks.contacts.name_of(key), orders);
        });
        self.fetching(fetching::Input::Tick, ctx);
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Only to hand them to children.
        let source_changed = ctx.address().recipient();
        self.roster.start(roster::Birth {
            around: self.around.clone(),
            facts: ctx.address().recipient(),
            changed: Arc::new(move || source_changed.do_send(SourceChanged)),
        });
        self.cache.do_send(mod_cache::Listen(ctx.address().recipient()));
        ctx.run_interval(TICK, Self::tick);
        if let Some(period) = crate::service::watchdog_period() {
            ctx.run_interval(period / 2, |_, _| crate::service::alive());
        }
        // What desks ordered when they were made.
        self.act(ctx, |_, _, _| ());
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

/// A client left, and what it said of who is near counts no more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClientLeft(pub ClientId);

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
        self.roster.values().for_each(|known| known.actor.do_send(peer::Moved(moved.0.clone())));
    }
}

impl Handler<SourceChanged> for Coordinator {
    type Result = ();

    fn handle(&mut self, _: SourceChanged, ctx: &mut Self::Context) {
        self.act(ctx, |desks, now, orders| {
            desks.own_look.handle(now, own_look::Input::SourceChanged, orders);
        });
    }
}

impl Handler<ClientLeft> for Coordinator {
    type Result = ();

    fn handle(&mut self, left: ClientLeft, ctx: &mut Self::Context) {
        self.act(ctx, |desks, _, orders| desks.sessions.left(left.0, orders));
    }
}

impl Handler<CacheFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: CacheFact, ctx: &mut Self::Context) {
        self.act(ctx, |desks, _, orders| match fact {
            CacheFact::LowDisk(disk) => desks.cache_desk.disk(disk, true, orders),
            CacheFact::DiskOk(disk) => desks.cache_desk.disk(disk, false, orders),
            CacheFact::Damaged(damage) => {
                let published = desks.own_look.names(damage.wrong.iter().chain(&damage.missing));
                desks.cache_desk.damaged(damage, published, orders);
            }
            CacheFact::Evicted(evicted) => {
                orders.tell(Event::CacheEvicted { files: evicted.files, bytes: evicted.bytes });
            }
            CacheFact::Progress { work, files, files_total, bytes, bytes_total } => {
                orders.tell(Event::CacheProgress { work, files, files_total, bytes, bytes_total });
            }
            CacheFact::Moved { from, to } => {
                let [from, to] = [from, to].map(|path| path.to_string_lossy().into_owned());
                orders.tell(Event::CacheMoved { from, to });
            }
        });
    }
}

impl Handler<PhonebookFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: PhonebookFact, ctx: &mut Self::Context) {
        match fact {
            PhonebookFact::Changed { url, error } => {
                self.bus.publish(Event::PhonebookChanged { url, ok: error.is_none(), error });
            }
            PhonebookFact::Connected => self.heard(contact::Input::Connected, ctx),
            PhonebookFact::Listed { player, keys } => {
                self.heard(contact::Input::Listed { player, keys }, ctx);
            }
            PhonebookFact::Knocked(knock) => self.heard(contact::Input::Knocked(knock), ctx),
            PhonebookFact::Noted { from, note } => self.heard(contact::Input::Noted { from, note }, ctx),
            PhonebookFact::Introduced { introduction, from, .. } => {
                let accept = self.roster.admits(&from).check(Instant::now()).is_ok();
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
        if let Err(refusal) = self.roster.admits(&id).check(Instant::now()) {
            tracing::debug!(peer = %id.short(), "a connection was refused: {refusal}");
            accepted.0.close(quinn::VarInt::from_u32(CloseCode::Refused as u32), b"");
            return;
        }
        if let Some(known) = self.roster.peer(id) {
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
                let admitted = self.roster.admits(&peer).check(Instant::now());
                let Some(known) = self.roster.get_mut(&peer) else { return };
                if admitted.is_err() {
                    // We dialled it before it was banned, or another link of it takes the closed one's place.
                    known.actor.do_send(peer::Close(CloseCode::Refused));
                    return;
                }
                (known.open, known.addr) = (true, Some(addr));
                let (player, offers) = (known.player.clone(), greeting.published);
                tracing::info!(peer = %peer.short(), "connected");
                // At once, and in this order: what the peer says next must not be told before.
                self.bus.publish(Event::PeerConnected { peer_id: peer, player: player.clone(), path });
                self.shows(peer, offers);
                if let Some(player) = player {
                    self.fetch_input(fetch::Input::Named { peer, player }, ctx);
                }
                self.fetch_input(fetch::Input::Opened { peer, path, offers }, ctx);
                self.act(ctx, |desks, now, orders| {
                    desks.contacts.handle(now, contacts::Input::Linked { peer, addr }, orders);
                });
            }
            PeerFact::Look { peer, look } => {
                self.shows(peer, look);
                self.fetch_input(fetch::Input::Offers { peer, look }, ctx);
            }
            PeerFact::Lost { peer, cause } => {
                let Some(known) = self.roster.get_mut(&peer) else { return };
                // Who was connected while banned was never told of.
                if std::mem::take(&mut known.open) {
                    tracing::info!(peer = %peer.short(), "disconnected: {cause}");
                    let player = known.player.clone();
                    self.bus.publish(Event::PeerDisconnected { peer_id: peer, player, cause });
                    self.act(ctx, |desks, now, orders| {
                        desks.contacts.handle(now, contacts::Input::Parted(peer), orders);
                    });
                }
                self.fetch_input(fetch::Input::Lost(peer), ctx);
            }
            PeerFact::GaveUp { peer, cause } => {
                self.fetch_input(fetch::Input::Unreachable { peer, cause }, ctx);
            }
            PeerFact::Appearance { peer, run, result } => {
                self.fetching(fetching::Input::Document { peer, run, result }, ctx);
            }
            PeerFact::Holding { peer, owner, look, reply } => {
                self.fetch_input(fetch::Input::Holding { peer, owner, look, reply }, ctx);
            }
            PeerFact::Grant { grant } => {
                self.around.lending.renew(grant, &self.around.here, unix_millis());
            }
            PeerFact::Idle { peer } => {
                // Contacts are listed also when they are away; who is none any more leaves nothing.
                if !self.roster.admits(&peer).contact {
                    self.roster.send(&peer, peer::Retire);
                }
            }
            PeerFact::Retired { peer } => {
                self.roster.remove(&peer);
                // A message that was sent to the actor after it had stopped was not read.
                if self.roster.admits(&peer).contact && self.fetching.fetches().needs(&peer) {
                    self.roster.want(peer);
                }
            }
        }
    }
}

impl Handler<Stop> for Coordinator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        self.contacts.close();
        self.fetching.close(&Fault::new(FaultCode::Stopping, "the daemon is stopping"));
        let peers: Vec<Addr<Peer>> = self.roster.drain().map(|known| known.actor).collect();
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
