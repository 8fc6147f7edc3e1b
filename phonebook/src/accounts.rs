//! The ledger of networks: what each one holds and sends. [`fyteclub_proto::limit::PHONE_BOOK_LEDGER`] has the
//! limits; the operator's request budgets are in `limits`.

use crate::config::Config;
use fyteclub_proto::{
    ledger::{Allowance, Count, Item, Ledger, Network, Refused, Row},
    limit::PHONE_BOOK_LEDGER,
    number,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Clones share one ledger.
#[derive(Debug, Clone)]
pub(crate) struct Accounts(Arc<Mutex<Ledger<Network>>>);

pub(crate) fn row(item: Item) -> Row {
    let row = PHONE_BOOK_LEDGER.iter().find(|row| row.item == item);
    *row.expect("what is charged here has a row")
}

/// The share of `most` that one network gets: the operator's number, or the table's but at most a quarter, so that
/// four addresses never hold everything.
pub(crate) fn share(item: Item, wanted: Option<usize>, most: usize) -> u64 {
    let Allowance::Held(usual) = row(item).each else { return u64::MAX };
    wanted.map_or_else(|| usual.min(number::u64_of((most / 4).max(1))), number::u64_of)
}

impl Accounts {
    pub(crate) fn new(config: &Config) -> Self {
        let mut ledger = Ledger::new(PHONE_BOOK_LEDGER);
        for (item, wanted, most) in [
            (Item::Connections, config.max_connections_per_address, config.max_connections),
            (Item::Sockets, config.max_sockets_per_address, config.sockets_max()),
        ] {
            ledger.set_row(Row { each: Allowance::Held(share(item, wanted, most)), ..row(item) });
        }
        Self(Arc::new(Mutex::new(ledger)))
    }

    /// Charges a rate.
    ///
    /// # Errors
    /// The time until the account can pay; it was not charged.
    pub(crate) fn charge(&self, network: Network, item: Item, amount: u64) -> Result<(), Duration> {
        let charged = self.ledger().charge(Instant::now(), &network, item, amount);
        charged.map_err(|refused| refused.retry_after.unwrap_or(Duration::from_secs(1)))
    }

    /// Charges one of a held item. Dropping the [`Charge`] releases it.
    ///
    /// # Errors
    /// The network holds its share; it was not charged.
    pub(crate) fn hold(&self, network: Network, item: Item) -> Result<Charge, Refused> {
        self.hold_many(network, item, 1)
    }

    /// As [`Accounts::hold`], for `amount` of the item.
    pub(crate) fn hold_many(&self, network: Network, item: Item, amount: u64) -> Result<Charge, Refused> {
        self.ledger().charge(Instant::now(), &network, item, amount)?;
        Ok(Charge { accounts: self.clone(), network, item, amount })
    }

    /// Charges and refusals of all accounts since the start.
    pub(crate) fn counts(&self) -> Vec<(Item, Count)> {
        self.ledger().counts().collect()
    }

    /// Drops accounts without a charge. Call it every few seconds: any stranger creates an account.
    pub(crate) fn forget_whole(&self) {
        self.ledger().forget_whole(Instant::now());
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<Network>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A charge that its drop releases.
#[derive(Debug)]
pub(crate) struct Charge {
    accounts: Accounts,
    network: Network,
    item: Item,
    amount: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.accounts.ledger().release(&self.network, self.item, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_quarter_at_most_unless_it_is_chosen() {
        assert_eq!(share(Item::Connections, None, 32_768), 256);
        assert_eq!(share(Item::Connections, None, 64), 16);
        assert_eq!(share(Item::Connections, None, 1), 1);
        assert_eq!(share(Item::Connections, Some(60), 64), 60);
    }

    #[test]
    fn dropped_holds_make_room() {
        let config = Config { max_connections: 8, ..Config::default() };
        let accounts = Accounts::new(&config);
        let one = || accounts.hold(Network::V4(1), Item::Connections);
        let held = [one(), one()];
        assert!(held.iter().all(Result::is_ok) && one().is_err());
        assert!(accounts.hold(Network::V4(2), Item::Connections).is_ok());
        drop(held);
        assert!(one().is_ok());
        let counts = accounts.counts();
        let (_, count) = counts.iter().find(|(item, _)| *item == Item::Connections).unwrap();
        assert_eq!(*count, Count { charged: 4, refusals: 1 });
    }
}
