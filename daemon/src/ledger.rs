//! The daemon's one ledger: the charges of each contact, network and phone book. Every actor and pump that uses
//! resources for others has a clone; the limits are [`fyteclub_proto::limit::DAEMON_LEDGER`].

use fyteclub_proto::{
    ledger::{Count, Counterpart, Item, Ledger, Refused},
    limit::{DAEMON_LEDGER, DIAL_DATAGRAMS},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::Notify;

/// Clones share one ledger.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger<Counterpart>>,
    /// Notified when a held charge is released.
    released: Notify,
}

impl Default for Accounts {
    fn default() -> Self {
        Self(Arc::new(Shared { ledger: Mutex::new(Ledger::new(DAEMON_LEDGER)), released: Notify::new() }))
    }
}

impl Accounts {
    /// Charges `amount` of a rated item, before it is used.
    ///
    /// # Errors
    /// The limit is reached; nothing is charged.
    pub fn charge(&self, who: &Counterpart, item: Item, amount: u64) -> Result<(), Refused> {
        self.ledger().charge(Instant::now(), who, item, amount)
    }

    /// Charges `amount` of a held item; dropping the [`Hold`] releases it.
    ///
    /// # Errors
    /// The limit is reached; nothing is charged.
    pub fn hold(&self, who: Counterpart, item: Item, amount: u64) -> Result<Hold, Refused> {
        self.charge(&who, item, amount)?;
        Ok(Hold { accounts: self.clone(), who, item, amount })
    }

    /// Like [`Self::hold`], but waits until enough is released; for ever, if `amount` is over the limit. Every try
    /// counts as a refusal. Once dropped, it holds nothing.
    pub async fn hold_when_free(&self, who: Counterpart, item: Item, amount: u64) -> Hold {
        loop {
            let released = self.0.released.notified();
            tokio::pin!(released);
            // Before the try, so that no release after it is missed.
            released.as_mut().enable();
            if let Ok(hold) = self.hold(who.clone(), item, amount) {
                return hold;
            }
            released.await;
        }
    }

    /// For a machine that charges and releases by its own rules, in one step.
    pub fn with<T>(&self, act: impl FnOnce(Instant, &mut Ledger<Counterpart>) -> T) -> T {
        let done = act(Instant::now(), &mut self.ledger());
        self.0.released.notify_waiters();
        done
    }

    /// Charges and refusals of all accounts since the start, for `status` and metrics.
    pub fn counts(&self) -> Vec<(Item, Count)> {
        self.ledger().counts().collect()
    }

    /// Drops full accounts; called regularly, because strangers cause accounts.
    pub fn forget_whole(&self) {
        self.ledger().forget_whole(Instant::now());
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<Counterpart>> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Charges one dial, with all datagrams that it sends to a silent address.
pub fn affords(accounts: &Accounts, who: &Counterpart) -> bool {
    accounts.charge(who, Item::Dials, 1).is_ok() && accounts.charge(who, Item::Probes, DIAL_DATAGRAMS).is_ok()
}

/// A charge that lasts until this is dropped.
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
        self.accounts.0.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
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

    #[tokio::test]
    async fn waiting_charge_succeeds_after_a_release() {
        let accounts = Accounts::default();
        let who = || Counterpart::Network(Network::V4(1));
        let held = accounts.hold(who(), Item::Handshakes, 32).expect("all of it");
        let mut waiting = Box::pin(accounts.hold_when_free(who(), Item::Handshakes, 1));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(held);
        assert_eq!(waiting.await.amount, 1);
    }
}
