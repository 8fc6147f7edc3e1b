//! One held item of a great many counterparts, at some 16 bytes each.

use super::{Allowance, By, Count, Item, Refused, Row};
use std::collections::HashMap;

/// As a [`super::Ledger`] with one row of held amounts, for holders that are known by a hash only. A [`super::Ledger`]
/// takes ten times the memory for each.
#[derive(Debug)]
pub struct Holdings {
    item: Item,
    most: u64,
    held: HashMap<u32, u32>,
    count: Count,
}

impl Holdings {
    /// `most` of `item` for each.
    pub fn new(item: Item, most: u64) -> Self {
        Self { item, most, held: HashMap::new(), count: Count::default() }
    }

    /// The row's limit. A rate, which is not held, bounds nothing here.
    pub fn of(row: &Row) -> Self {
        match row.each {
            Allowance::Held(most) => Self::new(row.item, most),
            Allowance::Rate { .. } => Self::new(row.item, u64::MAX),
        }
    }

    /// Charges one to `who`, until it is released.
    ///
    /// # Errors They hold their share. Nothing is charged then.
    pub fn charge(&mut self, who: u32) -> Result<(), Refused> {
        let held = self.held.get(&who).copied().unwrap_or(0);
        if u64::from(held) >= self.most || held == u32::MAX {
            self.count.refusals += 1;
            return Err(Refused { item: self.item, by: By::Counterpart, retry_after: None });
        }
        self.held.insert(who, held + 1);
        self.count.charged += 1;
        Ok(())
    }

    /// Releases one, if any is held.
    pub fn release(&mut self, who: u32) {
        if let Some(held) = self.held.get_mut(&who) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&who);
            }
        }
        // Releases the memory of a flood.
        if self.held.capacity() > 1024 && self.held.len() < self.held.capacity() / 4 {
            self.held.shrink_to(self.held.len() * 2);
        }
    }

    /// Counterparts that hold something.
    pub fn holders(&self) -> usize {
        self.held.len()
    }

    pub fn count(&self) -> Count {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holds_no_more_than_allowed_until_released() {
        let mut holdings = Holdings::new(Item::Names, 2);
        assert_eq!((holdings.charge(1), holdings.charge(1)), (Ok(()), Ok(())));
        let refused = holdings.charge(1).expect_err("two at most");
        assert_eq!((refused.item, refused.by, refused.retry_after), (Item::Names, By::Counterpart, None));
        assert_eq!(holdings.charge(2), Ok(()), "another's are their own");
        holdings.release(1);
        assert_eq!(holdings.charge(1), Ok(()));
        assert_eq!(holdings.count(), Count { charged: 4, refusals: 1 });
        for who in [1, 1, 2, 2, 3] {
            holdings.release(who);
        }
        assert_eq!(holdings.holders(), 0);
    }
}
