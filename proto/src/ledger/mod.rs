//! What each counterpart may cost: one account for a contact, a network or a phone book, charged before anything is
//! spent on it, from one table of limits ([`crate::limit::DAEMON_LEDGER`], [`crate::limit::PHONE_BOOK_LEDGER`]).
//!
//! An [`Item`] is either a rate, which comes back with time, or a number held at once, which comes back with
//! [`Ledger::release`]. Each item is counted once for all accounts ([`Ledger::counts`]): that is its metric. The caller
//! decides what a refusal means.

mod account;
mod counterpart;
mod holdings;
mod meter;
mod row;

use account::Account;
pub use counterpart::{Counterpart, Network, Wide};
pub use holdings::Holdings;
pub use meter::Meter;
pub use row::{Allowance, Item, Row};
use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// The owner of a used up allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Counterpart,
    Everybody,
}

/// The allowance is used up; nothing was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many {}", .item.name())]
pub struct Refused {
    pub item: Item,
    pub by: By,
    /// When it suffices again; `None` if something must be released first.
    pub retry_after: Option<Duration>,
}

/// Charges and refusals of an item over all accounts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub charged: u64,
    pub refusals: u64,
}

/// The accounts of one process, or of one of its parts. Items without a row are free.
#[derive(Debug)]
pub struct Ledger<K = Counterpart> {
    rows: Vec<Row>,
    accounts: HashMap<K, Account>,
    everybody: Account,
    counts: [Count; Item::ALL.len()],
}

impl<K: Eq + Hash + Clone> Ledger<K> {
    /// `rows` has each item at most once.
    pub fn new(rows: &[Row]) -> Self {
        let rows = rows.to_vec();
        Self { rows, accounts: HashMap::new(), everybody: Account::default(), counts: Default::default() }
    }

    /// Replaces an item's limits; what was charged stays charged.
    pub fn set_row(&mut self, row: Row) {
        self.rows.retain(|old| old.item != row.item);
        self.rows.push(row);
    }

    /// Charges `amount` of `item` to `who`, before it is spent.
    ///
    /// # Errors The allowance of `who`, or of all together, does not suffice. Nothing is charged then.
    pub fn charge(&mut self, now: Instant, who: &K, item: Item, amount: u64) -> Result<(), Refused> {
        let Some(row) = self.row(item) else {
            self.counts[item.index()].charged += amount;
            return Ok(());
        };
        let own =
            self.accounts.get(who).map_or(Ok(()), |account| account.admits(now, item, row.each, amount));
        let verdict = match (own, row.all) {
            (Err(retry_after), _) => Err(Refused { item, by: By::Counterpart, retry_after }),
            (Ok(()), Some(all)) => self
                .everybody
                .admits(now, item, all, amount)
                .map_err(|retry_after| Refused { item, by: By::Everybody, retry_after }),
            (Ok(()), None) => Ok(()),
        };
        // A new account is full, but may be too small for a held amount.
        let verdict = verdict.and(match row.each {
            Allowance::Held(most) if amount > most => {
                Err(Refused { item, by: By::Counterpart, retry_after: None })
            }
            Allowance::Held(_) | Allowance::Rate { .. } => Ok(()),
        });
        let count = &mut self.counts[item.index()];
        match verdict {
            Ok(()) => {
                count.charged += amount;
                self.accounts.entry(who.clone()).or_default().add(now, item, row.each, amount);
                if let Some(all) = row.all {
                    self.everybody.add(now, item, all, amount);
                }
            }
            Err(_) => count.refusals += 1,
        }
        verdict
    }

    /// Releases a held amount, at most what was charged.
    pub fn release(&mut self, who: &K, item: Item, amount: u64) {
        let Some(account) = self.accounts.get_mut(who) else { return };
        let released = account.release(item, amount);
        if account.is_empty() {
            self.accounts.remove(who);
        }
        self.everybody.release(item, released);
    }

    /// How much `who` may be charged now, by their own account.
    pub fn left(&self, now: Instant, who: &K, item: Item) -> u64 {
        let Some(row) = self.row(item) else { return u64::MAX };
        let used = self.accounts.get(who).map_or(0, |account| account.used(now, item, row.each));
        let most = match row.each {
            Allowance::Rate { burst, .. } => burst,
            Allowance::Held(most) => most,
        };
        most.saturating_sub(used)
    }

    /// Drops accounts that are full again.
    pub fn forget_whole(&mut self, now: Instant) {
        let rows = std::mem::take(&mut self.rows);
        self.accounts.retain(|_, account| !account.is_whole(now, &rows));
        self.rows = rows;
    }

    /// The number of accounts.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// One metric for each item.
    pub fn counts(&self) -> impl Iterator<Item = (Item, Count)> + '_ {
        Item::ALL.into_iter().map(|item| (item, self.counts[item.index()]))
    }

    fn row(&self, item: Item) -> Option<Row> {
        self.rows.iter().find(|row| row.item == item).copied()
    }
}

#[cfg(test)]
mod tests;
