//! Near players, as local clients list them. Each client has a set that ends with it, and all share one that outlives
//! its client for a while (decision 0023). The shortest distance counts.

use fyteclub_proto::{
    fetching::scheduler::Distance,
    id::PlayerName,
    limit::{NEARBY_KEEP_MAX, NEARBY_MAX},
    local::{Fault, FaultCode, request::NearbySet},
};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// Numbers a local client while it is connected.
pub type ClientId = u64;

type Set = BTreeMap<PlayerName, Distance>;

/// All sets.
#[derive(Default)]
pub(super) struct Claims {
    own: HashMap<ClientId, Set>,
    kept: Set,
    /// When the kept set ends.
    until: Option<Instant>,
}

impl Claims {
    /// Changes nothing if it refuses.
    pub(super) fn change(&mut self, client: ClientId, change: NearbySet, now: Instant) -> Result<(), Fault> {
        let refused = |says: String| Err(Fault::new(FaultCode::BadRequest, says));
        let keep = change.keep_secs.map(|secs| Duration::from_secs(secs.into()));
        if keep.is_some_and(|keep| keep > NEARBY_KEEP_MAX) {
            let most = NEARBY_KEEP_MAX.as_secs();
            return refused(format!(
                "near players can be kept for {most} seconds at most: repeat nearby.set before then"
            ));
        }
        let before = match keep {
            Some(_) => Some(&self.kept),
            None => self.own.get(&client),
        };
        let mut set = match change.players {
            Some(players) => players.into_iter().map(|near| (near.player, near.distance)).collect(),
            None => before.cloned().unwrap_or_default(),
        };
        for player in &change.remove {
            set.remove(player);
        }
        set.extend(change.add.into_iter().map(|near| (near.player, near.distance)));
        if set.len() > NEARBY_MAX {
            return refused(format!("{} players are too many: name the {NEARBY_MAX} nearest", set.len()));
        }
        match keep {
            Some(keep) => (self.kept, self.until) = (set, Some(now + keep)),
            None if set.is_empty() => drop(self.own.remove(&client)),
            None => drop(self.own.insert(client, set)),
        }
        Ok(())
    }

    /// When the kept set ends; it is dropped by [`Self::expire`].
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether the kept set has ended by this call.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let ended = self.until.take_if(|until| now >= *until).is_some();
        if ended {
            self.kept.clear();
        }
        ended
    }

    /// All near players, each with its shortest distance.
    pub(super) fn all(&self) -> BTreeMap<&PlayerName, Distance> {
        let mut all = BTreeMap::new();
        for (player, distance) in self.own.values().chain([&self.kept]).flatten() {
            let least = all.entry(player).or_insert(*distance);
            *least = (*least).min(*distance);
        }
        all
    }

    /// A client left: its set ends. Returns whether it had one.
    pub(super) fn leave(&mut self, client: ClientId) -> bool {
        self.own.remove(&client).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::local::request::NearPlayer;

    fn near(name: &str, distance: f64) -> NearPlayer {
        NearPlayer {
            player: format!("{name} X@Y").parse().expect("a name"),
            distance: distance.try_into().expect("a distance"),
        }
    }

    fn told(claims: &Claims) -> Vec<(String, f64)> {
        claims.all().into_iter().map(|(player, distance)| (player.to_string(), distance.into())).collect()
    }

    #[test]
    fn shortest_distance_of_all_clients_sets_counts() {
        let (mut claims, now) = (Claims::default(), Instant::now());
        let whole = NearbySet { players: Some(vec![near("A", 5.0), near("B", 6.0)]), ..NearbySet::default() };
        claims.change(1, whole, now).expect("taken");
        let change = NearbySet {
            add: vec![near("B", 2.0), near("C", 1.0)],
            remove: vec!["C X@Y".parse().expect("a name"), "A X@Y".parse().expect("a name")],
            ..NearbySet::default()
        };
        claims.change(2, change.clone(), now).expect("taken");
        assert_eq!(told(&claims), [("A X@Y".into(), 5.0), ("B X@Y".into(), 2.0), ("C X@Y".into(), 1.0)]);
        claims.change(1, change, now).expect("taken");
        assert_eq!(told(&claims), [("B X@Y".into(), 2.0), ("C X@Y".into(), 1.0)]);
        claims.own.remove(&2);
        claims.change(1, NearbySet { players: Some(vec![]), ..NearbySet::default() }, now).expect("taken");
        assert!(claims.own.is_empty());
    }

    #[test]
    fn kept_set_outlives_its_clients_but_not_its_time() {
        let (mut claims, now) = (Claims::default(), Instant::now());
        let keep = |secs| NearbySet { keep_secs: Some(secs), ..NearbySet::default() };
        claims.change(1, NearbySet { add: vec![near("A", 5.0)], ..keep(60) }, now).expect("taken");
        claims.change(2, NearbySet { add: vec![near("B", 5.0)], ..keep(60) }, now).expect("taken");
        assert_eq!((told(&claims).len(), claims.own.len()), (2, 0));
        assert!(
            !claims.expire(now + Duration::from_secs(59)) && claims.expire(now + Duration::from_secs(60))
        );
        assert_eq!(told(&claims), []);
        let refused = claims.change(1, keep(3601), now).expect_err("too long");
        assert!(refused.message.contains("3600"), "{refused}");
    }

    #[test]
    fn one_player_too_many_is_refused_without_a_change() {
        let (mut claims, now) = (Claims::default(), Instant::now());
        let many = |count| (0..count).map(|n| near(&format!("P{n}"), 1.0)).collect::<Vec<_>>();
        let set = |count| NearbySet { players: Some(many(count)), ..NearbySet::default() };
        claims.change(1, set(NEARBY_MAX), now).expect("taken");
        let one = NearbySet { add: vec![near("One", 1.0)], ..NearbySet::default() };
        assert!(claims.change(1, one, now).is_err() && claims.change(2, set(NEARBY_MAX + 1), now).is_err());
        assert_eq!(told(&claims).len(), NEARBY_MAX);
    }
}
