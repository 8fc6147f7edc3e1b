//! State of each local client while it is connected: the players near it.

mod nearby;

use super::orders::{Answer, DeskOrder, Orders};
use fyteclub_proto::{
    fetching::scheduler::Distance,
    id::{PeerId, PlayerName},
    local::{
        reply::{NearContact, Nearby},
        request::NearbySet,
    },
};
use nearby::Claims;
pub use nearby::ClientId;
use std::time::Instant;

#[derive(Default)]
pub struct SessionDesk {
    claims: Claims,
}

impl SessionDesk {
    /// Changes the set of near players.
    ///
    /// # Errors
    /// Too many, or for too long; nothing changes.
    pub fn set_nearby(
        &mut self,
        now: Instant,
        client: ClientId,
        change: NearbySet,
        orders: &mut Orders,
    ) -> Answer<()> {
        let before = self.seen();
        self.claims.change(client, change, now)?;
        Self::changed(before, orders);
        Ok(())
    }

    /// The client left: its set of near players ends.
    pub fn left(&mut self, client: ClientId, orders: &mut Orders) {
        let before = self.seen();
        if self.claims.leave(client) {
            Self::changed(before, orders);
        }
    }

    /// To be called at [`Self::deadline`].
    pub fn time(&mut self, now: Instant, orders: &mut Orders) {
        let before = self.seen();
        if self.claims.expire(now) {
            Self::changed(before, orders);
        }
    }

    /// When the set that outlives its client ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.claims.until()
    }

    /// All near players.
    pub fn near(&self) -> impl Iterator<Item = &PlayerName> {
        self.claims.all().into_keys()
    }

    /// The near contacts, the nearest first, and the number of other near players.
    pub fn contacts(
        &self,
        key_of: impl Fn(&PlayerName) -> Answer<PeerId>,
    ) -> (Vec<(Distance, PlayerName, PeerId)>, u64) {
        let (mut contacts, mut others) = (Vec::new(), 0);
        for (player, distance) in self.claims.all() {
            match key_of(player) {
                Ok(key) => contacts.push((distance, player.clone(), key)),
                Err(_) => others += 1,
            }
        }
        contacts.sort_unstable();
        (contacts, others)
    }

    /// The reply to `nearby.list`.
    pub fn reply(
        &self,
        key_of: impl Fn(&PlayerName) -> Answer<PeerId>,
        is_online: impl Fn(&PeerId) -> bool,
    ) -> Nearby {
        let (contacts, others) = self.contacts(key_of);
        let shown = |(distance, player, peer_id)| NearContact {
            online: is_online(&peer_id),
            player,
            peer_id,
            distance,
        };
        Nearby { contacts: contacts.into_iter().map(shown).collect(), others }
    }

    fn seen(&self) -> Vec<PlayerName> {
        self.near().cloned().collect()
    }

    fn changed(before: Vec<PlayerName>, orders: &mut Orders) {
        // The time since a player was last near counts from now.
        orders.add(DeskOrder::Seen(before));
        orders.add(DeskOrder::NearbyChanged);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::orders::Order, *};
    use fyteclub_proto::local::{Fault, FaultCode, request::NearPlayer};
    use std::time::Duration;

    fn player(name: &str) -> PlayerName {
        format!("{name} X@Y").parse().expect("a name")
    }

    fn near(name: &str, distance: f64) -> NearPlayer {
        NearPlayer { player: player(name), distance: distance.try_into().expect("a distance") }
    }

    fn ordered(orders: &mut Orders) -> Vec<Vec<PlayerName>> {
        let mut seen = Vec::new();
        while let Some(order) = orders.pop() {
            match order {
                Order::Desk(DeskOrder::Seen(players)) => seen.push(players),
                Order::Desk(DeskOrder::NearbyChanged) => {}
                _ => panic!("another order"),
            }
        }
        seen
    }

    #[test]
    fn players_that_leave_are_reported_as_seen() {
        let (mut desk, mut orders, now) = (SessionDesk::default(), Orders::default(), Instant::now());
        let set = |players| NearbySet { players: Some(players), ..NearbySet::default() };
        desk.set_nearby(now, 1, set(vec![near("A", 5.0)]), &mut orders).expect("taken");
        desk.set_nearby(now, 1, set(vec![near("B", 5.0)]), &mut orders).expect("taken");
        desk.left(2, &mut orders);
        desk.left(1, &mut orders);
        assert_eq!(ordered(&mut orders), [vec![], vec![player("A")], vec![player("B")]]);
        assert_eq!(desk.near().count(), 0);
    }

    #[test]
    fn kept_set_ends_at_its_deadline() {
        let (mut desk, mut orders, now) = (SessionDesk::default(), Orders::default(), Instant::now());
        let kept = NearbySet { keep_secs: Some(60), add: vec![near("A", 5.0)], ..NearbySet::default() };
        desk.set_nearby(now, 1, kept, &mut orders).expect("taken");
        desk.left(1, &mut orders);
        ordered(&mut orders);
        let end = desk.deadline().expect("it ends");
        assert_eq!(end, now + Duration::from_secs(60));
        desk.time(end, &mut orders);
        assert_eq!((ordered(&mut orders), desk.deadline()), (vec![vec![player("A")]], None));
    }

    #[test]
    fn reply_names_contacts_and_counts_the_rest() {
        let (mut desk, mut orders, now) = (SessionDesk::default(), Orders::default(), Instant::now());
        let players = ["A", "B", "C"].map(|name| near(name, 5.0)).to_vec();
        let set = NearbySet { players: Some(players), ..NearbySet::default() };
        desk.set_nearby(now, 1, set, &mut orders).expect("taken");
        let key = PeerId::from_bytes([1; 32]);
        let key_of = |name: &PlayerName| {
            if *name == player("B") { Ok(key) } else { Err(Fault::new(FaultCode::NotAContact, "a stranger")) }
        };
        let reply = desk.reply(key_of, |_| true);
        assert_eq!((reply.contacts.len(), reply.others), (1, 2));
        assert!(reply.contacts[0].online && reply.contacts[0].peer_id == key);
    }
}
