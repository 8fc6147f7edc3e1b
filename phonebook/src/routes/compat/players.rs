//! Compatibility mode's table of players. Names have no owner, and ended registrations leave nothing.

use crate::{
    book::{Refused, Swept, Terms},
    clock::{Moment, millis},
    routes::answer::Answer,
};
use fyteclub_proto::{
    ledger::{Count, Holdings, Item, Wide},
    number,
};
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Players {
    /// Milliseconds.
    ttl: u64,
    most: usize,
    /// Serve the list of all players.
    are_listed: bool,
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    players: HashMap<Box<str>, Player>,
    customers: Holdings,
}

#[derive(Debug)]
pub(super) struct Player {
    pub(super) address: SocketAddr,
    /// Any JSON.
    key: Option<Box<RawValue>>,
    /// [`Moment::steady`] of the last registration, in milliseconds.
    registered: u64,
    /// Unix milliseconds of the last registration.
    pub(super) last_seen: u64,
    /// Hash of the customer.
    customer: u32,
}

impl Players {
    pub(crate) fn new(terms: &Terms, are_listed: bool) -> Self {
        let customers = Holdings::new(Item::Names, terms.max_of_one);
        Self {
            ttl: millis(terms.ttl),
            most: terms.max_records,
            are_listed,
            hasher: RandomState::new(),
            table: Mutex::new(Table { players: HashMap::new(), customers }),
        }
    }

    pub(super) fn are_listed(&self) -> bool {
        self.are_listed
    }

    /// Registers or overwrites a name.
    ///
    /// # Errors
    /// The table is full, or the name is new and its customer holds its share.
    pub(super) fn register(
        &self,
        name: &str,
        address: SocketAddr,
        key: Option<Box<RawValue>>,
        now: Moment,
    ) -> Result<(), Refused> {
        let customer = number::low_half(self.hasher.hash_one(Wide::from(address.ip())));
        let mut player =
            Player { address, key, registered: now.steady_millis(), last_seen: now.unix_millis(), customer };
        let mut table = self.table();
        let Table { players, customers } = &mut *table;
        let held = players.len();
        match players.entry(name.into()) {
            Entry::Occupied(mut old) => {
                let before = old.get().customer;
                // As `Book::moved`.
                if before != customer {
                    match customers.charge(customer) {
                        Ok(()) => customers.release(before),
                        Err(_) => player.customer = before,
                    }
                }
                old.insert(player);
            }
            Entry::Vacant(_) if held >= self.most => return Err(Refused::Full),
            Entry::Vacant(new) => {
                customers.charge(customer).map_err(|_| Refused::TooManyNames)?;
                new.insert(player);
            }
        }
        Ok(())
    }

    /// Returns whether the name was registered.
    pub(super) fn unregister(&self, name: &str) -> bool {
        self.table().remove(name)
    }

    /// Removes an expired registration.
    pub(super) fn lookup(&self, name: &str, now: Moment) -> Option<Answer<Box<RawValue>>> {
        let mut table = self.table();
        let player = table.players.get(name)?;
        if !self.is_live(player, now) {
            table.remove(name);
            return None;
        }
        Some(Answer::new(Some(player.address), player.key.clone(), player.last_seen))
    }

    /// Removes expired registrations.
    pub(crate) fn sweep(&self, now: Moment) -> Swept {
        let mut table = self.table();
        let Table { players, customers } = &mut *table;
        let before = players.len();
        players.retain(|_, player| {
            let keep = self.is_live(player, now);
            if !keep {
                customers.release(player.customer);
            }
            keep
        });
        if players.capacity() > 64 && players.len() < players.capacity() / 4 {
            players.shrink_to(players.len() * 2);
        }
        let ended = before - players.len();
        Swept { expired: ended, forgotten: ended }
    }

    /// At most `limit` players in any order.
    pub(super) fn list<T>(&self, limit: usize, now: Moment, of: impl Fn(&str, &Player) -> T) -> Vec<T> {
        let table = self.table();
        let live = table.players.iter().filter(|(_, player)| self.is_live(player, now));
        live.take(limit).map(|(name, player)| of(name, player)).collect()
    }

    /// Registrations, including expired ones that no lookup or sweep removed yet.
    pub(crate) fn len(&self) -> usize {
        self.table().players.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.most
    }

    /// Names charged and refused to customers since the start.
    pub(crate) fn names(&self) -> Count {
        self.table().customers.count()
    }

    fn is_live(&self, player: &Player, now: Moment) -> bool {
        now.steady_millis().saturating_sub(player.registered) < self.ttl
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, name: &str) -> bool {
        let removed = self.players.remove(name);
        if let Some(player) = &removed {
            self.customers.release(player.customer);
        }
        removed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TTL: u64 = 3600;

    fn players(max_records: usize, max_of_one: u64) -> Players {
        let [ttl, pin] = [TTL, 7 * 86_400].map(Duration::from_secs);
        Players::new(&Terms { ttl, pin, pin_once: pin, max_records, max_of_one }, true)
    }

    fn at(seconds: u64) -> Moment {
        Moment { steady: Duration::from_secs(seconds), unix: Duration::from_secs(1_700_000_000 + seconds) }
    }

    fn from(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 7777))
    }

    fn found(players: &Players, name: &str, seconds: u64) -> Option<serde_json::Value> {
        players.lookup(name, at(seconds)).map(|answer| serde_json::to_value(answer).unwrap())
    }

    #[test]
    fn anyone_overwrites_and_ends() {
        let players = players(10, 10);
        let key = RawValue::from_string(r#"{"any":"json"}"#.to_owned()).unwrap();
        players.register("Alice", from(1), Some(key), at(0)).unwrap();
        assert_eq!(found(&players, "Alice", 0).unwrap()["publicKey"]["any"], "json");
        players.register("Alice", from(2), None, at(1)).unwrap();
        let expected = serde_json::json!(
            {"ip": "10.0.0.2", "port": 7777, "publicKey": null, "lastSeen": 1_700_000_001_000_u64}
        );
        assert_eq!(found(&players, "Alice", 1), Some(expected));
        for other in ["alice", "Alice ", ""] {
            assert_eq!(found(&players, other, 1), None, "{other:?}");
        }
        assert_eq!((players.unregister("Alice"), players.unregister("Alice")), (true, false));
        assert_eq!(players.len(), 0);
    }

    #[test]
    fn an_expired_player_is_gone_at_the_lookup() {
        let players = players(10, 10);
        players.register("Alice", from(1), None, at(0)).unwrap();
        assert!(found(&players, "Alice", TTL - 1).is_some());
        assert_eq!(players.list(9, at(TTL - 1), |name, _| name.to_owned()), ["Alice"]);
        assert!(players.list(9, at(TTL), |_, _| ()).is_empty());
        assert_eq!(found(&players, "Alice", TTL), None);
        assert_eq!(players.len(), 0);
    }

    #[test]
    fn a_full_table_refuses_new_names_and_renews_old_ones() {
        let players = players(2, 10);
        players.register("A", from(1), None, at(0)).unwrap();
        players.register("B", from(2), None, at(0)).unwrap();
        assert!(players.is_full());
        assert_eq!(players.register("C", from(3), None, at(0)), Err(Refused::Full));
        players.register("A", from(1), None, at(1)).unwrap();
        assert_eq!(players.sweep(at(TTL)), Swept { expired: 1, forgotten: 1 });
        players.register("C", from(3), None, at(TTL)).unwrap();
        assert_eq!(players.sweep(at(9 * TTL)), Swept { expired: 2, forgotten: 2 });
        assert_eq!(players.len(), 0);
    }

    #[test]
    fn an_address_holds_its_share_of_names() {
        let players = players(10, 1);
        players.register("A", from(1), None, at(0)).unwrap();
        assert_eq!(players.register("B", from(1), None, at(0)), Err(Refused::TooManyNames));
        // The name moves with its player, if the new customer's share allows it.
        players.register("A", from(2), None, at(0)).unwrap();
        players.register("B", from(1), None, at(0)).unwrap();
        players.register("B", from(2), None, at(0)).unwrap();
        assert_eq!(players.register("C", from(1), None, at(0)), Err(Refused::TooManyNames));
        assert!(players.unregister("B"));
        players.register("C", from(1), None, at(0)).unwrap();
        assert_eq!(players.names(), Count { charged: 4, refusals: 3 });
    }
}
