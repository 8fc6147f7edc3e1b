//! The peers' actors by key, and each key's admission.

use crate::{
    actors::peer::{Peer, PeerContext, PeerFact, Want},
    pumps::push::Changed,
    sharing::{
        access::{Access, Gate, Refusal},
        served::Served,
    },
};
use actix::{Actor, Addr, Handler, Message, Recipient};
use fyteclub_proto::id::PeerId;
use std::{
    collections::{HashMap, hash_map::Entry},
    time::Instant,
};

/// Parts of every peer's actor.
#[derive(Clone)]
pub(super) struct PeerParts {
    pub context: PeerContext,
    pub facts: Recipient<PeerFact>,
    /// Called when a published file is found changed.
    pub changed: Changed,
}

/// Peers' actors by key, and the gate that admits keys.
#[derive(Default)]
pub(super) struct Roster {
    peers: HashMap<PeerId, (Addr<Peer>, Served)>,
    gate: Gate,
    /// `None` before the coordinator has started.
    parts: Option<PeerParts>,
}

impl Roster {
    /// Sets the parts of peers' actors.
    pub(super) fn start(&mut self, parts: PeerParts) {
        self.parts = Some(parts);
    }

    /// Whether this key is admitted now.
    ///
    /// # Errors
    /// The reason for a refusal.
    pub(super) fn admits(&self, key: &PeerId) -> Result<(), Refusal> {
        self.gate.admits(key).check(Instant::now())
    }

    /// Whether the player consents to this key, banned or not.
    pub(super) fn is_contact(&self, key: &PeerId) -> bool {
        self.gate.admits(key).contact
    }

    pub(super) fn access(&self, key: &PeerId) -> Access {
        self.gate.access(key)
    }

    /// The player consents to this key.
    pub(super) fn admit(&mut self, key: PeerId) {
        self.gate.admit(key);
    }

    /// The player no longer consents to this key.
    pub(super) fn dismiss(&mut self, key: &PeerId) {
        self.gate.dismiss(key);
        self.forget_unneeded();
    }

    /// Refuses this key for the time of a ban.
    pub(super) fn ban(&mut self, key: PeerId) {
        self.gate.ban(key);
        self.forget_unneeded();
    }

    /// The peer's actor, started at first use.
    pub(super) fn peer(&mut self, id: PeerId) -> Option<&Addr<Peer>> {
        let place = match self.peers.entry(id) {
            Entry::Occupied(known) => return Some(&known.into_mut().0),
            Entry::Vacant(place) => place,
        };
        let PeerParts { context, facts, changed } = self.parts.clone()?;
        let (access, served) = (self.gate.enter(id), Served::default());
        let actor = Peer::new(id, context, facts, changed, access, served.clone()).start();
        Some(&place.insert((actor, served)).0)
    }

    /// Has the peer dialled, and its link kept.
    pub(super) fn want(&mut self, id: PeerId) {
        if let Some(actor) = self.peer(id) {
            actor.do_send(Want);
        }
    }

    /// Sends to the peer's actor, if there is one.
    pub(super) fn send<M>(&self, id: &PeerId, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        Peer: Handler<M>,
    {
        if let Some(actor) = self.get(id) {
            actor.do_send(message);
        }
    }

    pub(super) fn send_all<M>(&self, message: impl Fn() -> M)
    where
        M: Message<Result = ()> + Send + 'static,
        Peer: Handler<M>,
    {
        self.peers.values().for_each(|(actor, _)| actor.do_send(message()));
    }

    pub(super) fn get(&self, key: &PeerId) -> Option<&Addr<Peer>> {
        self.peers.get(key).map(|(actor, _)| actor)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Addr<Peer>)> {
        self.peers.iter().map(|(key, (actor, _))| (key, actor))
    }

    /// Bytes that each key was served since its actor was started.
    pub(super) fn served(&self) -> impl Iterator<Item = (PeerId, u64)> {
        self.peers.iter().map(|(key, (_, served))| (*key, served.bytes()))
    }

    /// The peer's actor has stopped.
    pub(super) fn remove(&mut self, key: &PeerId) {
        self.peers.remove(key);
        self.forget_unneeded();
    }

    /// A peer's actor shares its key's access, which therefore stays.
    fn forget_unneeded(&mut self) {
        self.gate.forget_unneeded(|key| self.peers.contains_key(key));
    }
}
