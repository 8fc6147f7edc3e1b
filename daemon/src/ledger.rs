//! The daemon's one ledger: what each contact, network and phone book was charged. Cloned into every actor and pump that
//! spends something on somebody else's behalf; the limits are [`fyteclub_proto::limit::DAEMON_LEDGER`].

use fyteclub_proto::{
    ledger::{Count, Counterpart, Item, Ledger, Refused},
    limit::DAEMON_LEDGER,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Clones share one ledger.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Mutex<Ledger<Counterpart>>>);

impl Default for Accounts {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Ledger::new(DAEMON_LEDGER))))
    }
}

impl Accounts {
    /// Charges `amount` of a rated item, before it is spent.
    ///
    /// # Errors
    /// The allowance is used up; nothing is charged then.
    pub fn charge(&self, who: &Counterpart, item: Item, amount: u64) -> Result<(), Refused> {
        self.ledger().charge(Instant::now(), who, item, amount)
    }

    /// Charges `amount` of a held item; dropping the [`Hold`] releases it.
    ///
    /// # Errors
    /// The allowance is used up; nothing is charged then.
    pub fn hold(&self, who: Counterpart, item: Item, amount: u64) -> Result<Hold, Refused> {
        self.charge(&who, item, amount)?;
        Ok(Hold { accounts: self.clone(), who, item, amount })
    }

    /// For a machine that charges and releases by its own rules, in one step.
    pub fn with<T>(&self, act: impl FnOnce(Instant, &mut Ledger<Counterpart>) -> T) -> T {
        act(Instant::now(), &mut self.ledger())
    }

    /// What all accounts together were charged and refused since the start, for `status` and metrics.
    pub fn counts(&self) -> Vec<(Item, Count)> {
        self.ledger().counts().collect()
    }

    /// Drops the accounts that are whole again; called from time to time, because accounts are made for strangers.
    pub fn forget_whole(&self) {
        self.ledger().forget_whole(Instant::now());
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<Counterpart>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A charge that lasts as long as this is kept.
#[derive(Debug)]
pub struct Hold {
    accounts: Accounts,
    who: Counterpart,
    item: Item,
    amount: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.accounts.ledger().release(&self.who, self.item, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::ledger::Network;

    #[test]
    fn dropped_hold_releases() {
        let accounts = Accounts::default();
        let who = || Counterpart::Network(Network::V4(1));
        let held: Vec<Hold> = std::iter::from_fn(|| accounts.hold(who(), Item::Handshakes, 1).ok()).collect();
        assert_eq!(held.len(), 32);
        drop(held);
        assert!(accounts.hold(who(), Item::Handshakes, 32).is_ok());
    }
}
