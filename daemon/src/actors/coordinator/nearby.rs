//! Who is near, as local clients tell it; the sets are the fetching desk's.

use super::{Coordinator, verbs::Answer};
pub use crate::desks::fetching::ClientId;
use actix::{Context, Handler, Message};
use fyteclub_proto::{
    fetching::{fetch, scheduler::Distance},
    id::{PeerId, PlayerName},
    local::{
        reply::{NearContact, Nearby},
        request::SetNearby,
    },
};
use std::time::Instant;

/// A client left, and nobody is near by its word any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClientLeft(pub ClientId);

impl Coordinator {
    /// The contacts among those who are near, and how many are none.
    fn near_contacts(&self) -> (Vec<(Distance, PlayerName, PeerId)>, u64) {
        let (mut contacts, mut others) = (Vec::new(), 0);
        for (player, distance) in self.fetching.nearby.all() {
            match self.key_of(player) {
                Ok(key) => contacts.push((distance, player.clone(), key)),
                Err(_) => others += 1,
            }
        }
        contacts.sort();
        (contacts, others)
    }

    /// Tells the desk who is near; again whenever somebody becomes a contact, or is none any more.
    pub(super) fn say_nearby(&mut self, ctx: &mut Context<Self>) {
        let (contacts, _) = self.near_contacts();
        let near = contacts.into_iter().map(|(distance, player, key)| (player, key, distance));
        self.fetch_input(fetch::Input::Nearby(near.collect()), ctx);
    }

    /// Lets go of the looks that are not shown any more, for one that needs room.
    pub(super) fn let_go_of_unseen(&mut self) {
        let now = Instant::now();
        self.shown.seen(self.fetching.nearby.all().into_keys(), now);
        self.shown.let_go(now);
    }

    pub(super) fn expire_nearby(&mut self, now: Instant, ctx: &mut Context<Self>) {
        if self.fetching.nearby.is_over(now) {
            self.shown.seen(self.fetching.nearby.all().into_keys(), now);
        }
        if self.fetching.nearby.expire(now) {
            self.say_nearby(ctx);
        }
    }

    pub(super) fn set_nearby(
        &mut self,
        client: ClientId,
        change: SetNearby,
        ctx: &mut Context<Self>,
    ) -> Answer<Nearby> {
        let now = Instant::now();
        // Until now they were near; from now on it counts how long they are not.
        self.shown.seen(self.fetching.nearby.all().into_keys(), now);
        self.fetching.nearby.change(client, change, now)?;
        self.say_nearby(ctx);
        Ok(self.nearby_reply())
    }

    pub(super) fn nearby_reply(&self) -> Nearby {
        let (contacts, others) = self.near_contacts();
        let shown = |(distance, player, peer_id)| NearContact {
            online: self.peers.get(&peer_id).is_some_and(|known| known.open),
            player,
            peer_id,
            distance,
        };
        Nearby { contacts: contacts.into_iter().map(shown).collect(), others }
    }
}

impl Handler<ClientLeft> for Coordinator {
    type Result = ();

    fn handle(&mut self, left: ClientLeft, ctx: &mut Context<Self>) {
        self.shown.seen(self.fetching.nearby.all().into_keys(), Instant::now());
        if self.fetching.nearby.leave(left.0) {
            self.say_nearby(ctx);
        }
    }
}
