//! Every key of interest: its peer actor, and what it may do here. [`Roster::admits`] is the only gate for who may be
//! heard, served and dialled.

use crate::{
    actors::peer::{Peer, PeerFact, Report, Surroundings, Want},
    pumps::push::Changed,
    sharing::{
        access::{Access, Admission},
        served::Served,
    },
};
use actix::{Actor, Addr, Handler, Message, Recipient};
use fyteclub_proto::{
    id::{PeerId, PlayerName},
    local::reply::PeerStatus,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a key that broke the protocol is refused.
pub const BAN: Duration = Duration::from_secs(60);

/// One peer that is or was of interest.
pub struct Known {
    pub actor: Addr<Peer>,
    /// The contact's name; never what it says of itself.
    pub player: Option<PlayerName>,
    pub addr: Option<SocketAddr>,
    pub open: bool,
    pub served: Served,
}

/// What every peer actor is given when it starts.
#[derive(Clone)]
pub struct Birth {
    pub around: Surroundings,
    pub facts: Recipient<PeerFact>,
    /// Called when a published file turns out to have changed.
    pub changed: Changed,
}

/// Peer actors by key, and the access of each contact and of each key that is banned.
#[derive(Default)]
pub struct Roster {
    peers: HashMap<PeerId, Known>,
    access: HashMap<PeerId, (Access, Option<PlayerName>)>,
    /// None before the coordinator is started.
    birth: Option<Birth>,
}

impl Roster {
    /// What this key may do here now. A key that is no contact may do nothing.
    pub fn admits(&self, key: &PeerId) -> Admission {
        self.access.get(key).map_or_else(Admission::default, |(access, _)| access.admission())
    }

    /// The player consents to this key, which goes by this name.
    pub fn admit(&mut self, key: PeerId, player: Option<PlayerName>) {
        if let Some(known) = self.peers.get_mut(&key) {
            known.player.clone_from(&player);
        }
        let (access, name) = self.access.entry(key).or_default();
        access.set_contact(true);
        *name = player;
    }

    /// The player consents to this key no more. Its peer keeps the name for what is still told of its link.
    pub fn dismiss(&mut self, key: &PeerId) {
        if let Some((access, name)) = self.access.get_mut(key) {
            access.set_contact(false);
            *name = None;
        }
        self.forget_unneeded();
    }

    /// Refuses this key for the time of a ban.
    pub fn ban(&mut self, key: PeerId) {
        let (access, _) = self.access.entry(key).or_default();
        access.ban_until(Instant::now() + BAN);
        self.forget_unneeded();
    }

    /// What peer actors are given from now on.
    pub fn start(&mut self, birth: Birth) {
        self.birth = Some(birth);
    }

    /// The peer's actor, started when it is first of interest.
    pub fn peer(&mut self, id: PeerId) -> Option<&mut Known> {
        let place = match self.peers.entry(id) {
            Entry::Occupied(known) => return Some(known.into_mut()),
            Entry::Vacant(place) => place,
        };
        let Birth { around, facts, changed } = self.birth.clone()?;
        let (access, player) = self.access.entry(id).or_default().clone();
        let served = Served::default();
        let actor = Peer::new(id, around, facts, changed, access, served.clone()).start();
        Some(place.insert(Known { actor, player, addr: None, open: false, served }))
    }

    /// Has the peer dialled, and its link kept.
    pub fn want(&mut self, id: PeerId) {
        if let Some(known) = self.peer(id) {
            known.actor.do_send(Want);
        }
    }

    /// Sends to the peer's actor, if there is one.
    pub fn send<M>(&self, id: &PeerId, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        Peer: Handler<M>,
    {
        if let Some(known) = self.peers.get(id) {
            known.actor.do_send(message);
        }
    }

    /// The shared access of a key. One that is neither a contact nor banned is refused for ever.
    pub fn access(&self, key: &PeerId) -> Access {
        self.access.get(key).map(|(access, _)| access.clone()).unwrap_or_default()
    }

    /// Bytes that each key was served since its actor was started.
    pub fn served(&self) -> impl Iterator<Item = (PeerId, u64)> {
        self.peers.iter().map(|(peer, known)| (*peer, known.served.bytes()))
    }

    /// How each peer stands, by name.
    pub fn report(&self) -> impl Future<Output = Vec<PeerStatus>> + 'static {
        let peers: Vec<_> =
            self.peers.values().map(|known| (known.player.clone(), known.actor.clone())).collect();
        async move {
            let mut list = Vec::new();
            for (player, actor) in peers {
                if let Ok(mut status) = actor.send(Report).await {
                    status.player = player.or(status.player);
                    list.push(status);
                }
            }
            list.sort_by(|a, b| (&a.player, &a.peer_id).cmp(&(&b.player, &b.peer_id)));
            list
        }
    }

    pub fn get(&self, key: &PeerId) -> Option<&Known> {
        self.peers.get(key)
    }

    pub fn get_mut(&mut self, key: &PeerId) -> Option<&mut Known> {
        self.peers.get_mut(key)
    }

    pub fn is_open(&self, key: &PeerId) -> bool {
        self.peers.get(key).is_some_and(|known| known.open)
    }

    pub fn values(&self) -> impl Iterator<Item = &Known> {
        self.peers.values()
    }

    /// The peer's actor is gone.
    pub fn remove(&mut self, key: &PeerId) {
        self.peers.remove(key);
        self.forget_unneeded();
    }

    pub fn drain(&mut self) -> impl Iterator<Item = Known> + '_ {
        self.peers.drain().map(|(_, known)| known)
    }

    /// Drops the access of keys that are neither contacts nor banned, and have no actor that shares it.
    fn forget_unneeded(&mut self) {
        let (now, peers) = (Instant::now(), &self.peers);
        self.access.retain(|key, (access, _)| {
            let admission = access.admission();
            admission.contact || admission.is_banned(now) || peers.contains_key(key)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sharing::access::Refusal;
    use fyteclub_proto::share_rule::Asker;

    const KEY: PeerId = PeerId::from_bytes([1; 32]);
    const OTHER: PeerId = PeerId::from_bytes([2; 32]);

    #[test]
    fn admits_contacts_that_are_not_banned() {
        type Step = fn(&mut Roster);
        type Check = Result<(), Refusal>;
        let (admit, dismiss, ban): (Step, Step, Step) =
            (|roster| roster.admit(KEY, None), |roster| roster.dismiss(&KEY), |roster| roster.ban(KEY));
        let no_contact = Err(Refusal::NoContact);
        let banned = Err(Refusal::Banned);
        // What happened, whether the key is admitted then, and whether it is when a ban is over.
        let table: &[(&[Step], Check, Check)] = &[
            (&[], no_contact, no_contact),
            (&[admit], Ok(()), Ok(())),
            (&[admit, admit], Ok(()), Ok(())),
            (&[dismiss], no_contact, no_contact),
            (&[admit, dismiss], no_contact, no_contact),
            (&[admit, dismiss, admit], Ok(()), Ok(())),
            (&[ban], banned, no_contact),
            (&[admit, ban], banned, Ok(())),
            (&[ban, admit], banned, Ok(())),
            (&[admit, ban, dismiss], banned, no_contact),
            (&[admit, ban, dismiss, admit], banned, Ok(())),
        ];
        for (row, (steps, now, later)) in table.iter().enumerate() {
            let mut roster = Roster::default();
            steps.iter().for_each(|step| step(&mut roster));
            let (admission, at) = (roster.admits(&KEY), Instant::now());
            assert_eq!((admission.check(at), admission.check(at + BAN)), (*now, *later), "row {row}");
            assert_eq!(roster.admits(&OTHER).check(at), no_contact, "row {row}");
        }
    }

    #[test]
    fn access_that_was_handed_out_follows() {
        let mut roster = Roster::default();
        roster.admit(KEY, None);
        let access = roster.access(&KEY);
        let asker = |contact, banned| Asker { contact, greeted: true, banned };
        assert_eq!((access.check(), access.asker()), (Ok(()), asker(true, false)));
        roster.ban(KEY);
        assert_eq!((access.check(), access.asker()), (Err(Refusal::Banned), asker(true, true)));
        roster.dismiss(&KEY);
        assert_eq!(access.asker(), asker(false, true));
    }

    #[test]
    fn dismissed_keys_leave_nothing() {
        let mut roster = Roster::default();
        for seed in 0..100 {
            let key = PeerId::from_bytes([seed; 32]);
            roster.admit(key, None);
            roster.dismiss(&key);
        }
        assert!(roster.access.is_empty());
    }
}
