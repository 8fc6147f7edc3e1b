//! One counterpart's use of each item.

use super::row::{Allowance, Item, Row};
use std::time::{Duration, Instant};

/// Only items that were charged, so that most accounts are short.
#[derive(Debug, Default)]
pub(super) struct Account(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    item: Item,
    used: u64,
    /// The time of `used`. It moves by whole units, so fractions of a unit that have come back are not lost.
    at: Instant,
}

impl Account {
    /// `Err`: the time until the amount is available, `None` if it must be released.
    pub(super) fn admits(
        &self,
        now: Instant,
        item: Item,
        allowance: Allowance,
        amount: u64,
    ) -> Result<(), Option<Duration>> {
        let used = self.used(now, item, allowance);
        match allowance {
            Allowance::Held(most) if amount <= most.saturating_sub(used) => Ok(()),
            Allowance::Held(_) => Err(None),
            Allowance::Rate { burst, amount: refill, period } => {
                let missing = amount.min(burst).saturating_sub(burst.saturating_sub(used));
                let wait = scale(period.as_nanos(), missing, refill.max(1));
                if missing == 0 { Ok(()) } else { Err(Some(wait)) }
            }
        }
    }

    pub(super) fn add(&mut self, now: Instant, item: Item, allowance: Allowance, amount: u64) {
        let entry = match self.0.iter().position(|entry| entry.item == item) {
            Some(at) => &mut self.0[at],
            None => {
                self.0.push(Entry { item, used: 0, at: now });
                self.0.last_mut().expect("just pushed")
            }
        };
        match allowance {
            Allowance::Held(_) => entry.used = entry.used.saturating_add(amount),
            Allowance::Rate { burst, .. } => {
                (entry.used, entry.at) = entry.settled(now, allowance);
                entry.used = entry.used.saturating_add(amount.min(burst)).min(burst);
            }
        }
    }

    /// Returns how much was released.
    pub(super) fn release(&mut self, item: Item, amount: u64) -> u64 {
        let Some(at) = self.0.iter().position(|entry| entry.item == item) else { return 0 };
        let released = amount.min(self.0[at].used);
        self.0[at].used -= released;
        if self.0[at].used == 0 {
            self.0.swap_remove(at);
        }
        released
    }

    pub(super) fn used(&self, now: Instant, item: Item, allowance: Allowance) -> u64 {
        let entry = self.0.iter().find(|entry| entry.item == item);
        entry.map_or(0, |entry| entry.settled(now, allowance).0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_whole(&self, now: Instant, rows: &[Row]) -> bool {
        self.0.iter().all(|entry| {
            let row = rows.iter().find(|row| row.item == entry.item);
            row.is_none_or(|row| entry.settled(now, row.each).0 == 0)
        })
    }
}

impl Entry {
    fn settled(&self, now: Instant, allowance: Allowance) -> (u64, Instant) {
        let Allowance::Rate { amount, period, .. } = allowance else { return (self.used, self.at) };
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        let back = elapsed.saturating_mul(u128::from(amount)) / period.as_nanos().max(1);
        let back = u64::try_from(back).unwrap_or(u64::MAX);
        if back >= self.used {
            return (0, now);
        }
        // Rounded up, so that nothing comes back twice.
        (self.used - back, self.at + scale(period.as_nanos(), back, amount.max(1)))
    }
}

/// `nanos * times / by`, rounded up.
fn scale(nanos: u128, times: u64, by: u64) -> Duration {
    let nanos = nanos.saturating_mul(u128::from(times)).div_ceil(u128::from(by));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
