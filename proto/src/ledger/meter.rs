//! One rate of one holder.

use super::{Allowance, Item, account::Account};
use std::time::{Duration, Instant};

/// A rate of one thing, such as a connection: no account to find, no lock.
#[derive(Debug)]
pub struct Meter {
    each: Allowance,
    account: Account,
}

impl Meter {
    pub fn new(each: Allowance) -> Self {
        Self { each, account: Account::default() }
    }

    /// Charges `amount`.
    ///
    /// # Errors The time until there is enough; nothing is charged then. An hour for held items, which never come back
    /// by themselves.
    pub fn charge(&mut self, now: Instant, amount: u64) -> Result<(), Duration> {
        // Any item: the account has no other.
        let item = Item::Messages;
        let admitted = self.account.admits(now, item, self.each, amount);
        admitted.map_err(|retry_after| retry_after.unwrap_or(Duration::from_secs(3600)))?;
        self.account.add(now, item, self.each, amount);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn a_meter_gives_its_burst_and_then_its_rate() {
        let (mut meter, start) = (Meter::new(Allowance::each_second(10, 3)), Instant::now());
        for _ in 0..3 {
            assert_eq!(meter.charge(start, 1), Ok(()));
        }
        let wait = meter.charge(start, 1).expect_err("the burst is used up");
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(meter.charge(start + wait, 1), Ok(()));
    }
}
