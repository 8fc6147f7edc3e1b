//! What each key, or each network, holds and sends.

use super::bucket::{Bucket, Rate};
use slab::Slab;
use std::{collections::HashMap, hash::Hash, time::Instant};

#[derive(Debug)]
pub(super) struct Holders<K> {
    index: HashMap<K, usize>,
    held: Slab<Holder<K>>,
    /// Those that hold nothing, until they have paid: what is dropped at once would be new, and owe nothing.
    leaving: Vec<usize>,
}

#[derive(Debug)]
struct Holder<K> {
    who: K,
    count: usize,
    bucket: Bucket,
}

impl<K: Copy + Eq + Hash> Holders<K> {
    pub(super) fn new() -> Self {
        Self { index: HashMap::new(), held: Slab::new(), leaving: Vec::new() }
    }

    /// Counts one more for `who`. `None`: it has `most`.
    pub(super) fn enter(&mut self, who: K, most: usize) -> Option<usize> {
        let known = self.index.get(&who).copied();
        if known.map_or(0, |at| self.held[at].count) >= most {
            return None;
        }
        let at = known.unwrap_or_else(|| {
            let at = self.held.insert(Holder { who, count: 0, bucket: Bucket::default() });
            self.index.insert(who, at);
            at
        });
        self.held[at].count += 1;
        Some(at)
    }

    pub(super) fn is(&self, at: usize, who: K) -> bool {
        self.held[at].who == who
    }

    pub(super) fn leave(&mut self, at: usize) {
        let holder = &mut self.held[at];
        holder.count -= 1;
        if holder.count == 0 {
            self.leaving.push(at);
        }
    }

    pub(super) fn admits(
        &self,
        at: usize,
        rate: Rate,
        now: Instant,
        bytes: u64,
    ) -> Result<(), std::time::Duration> {
        rate.admits(self.held[at].bucket, now, bytes)
    }

    pub(super) fn charge(&mut self, at: usize, rate: Rate, now: Instant, bytes: u64) {
        rate.charge(&mut self.held[at].bucket, now, bytes);
    }

    /// Drops those that hold and owe nothing.
    pub(super) fn sweep(&mut self, now: Instant) {
        let Self { index, held, leaving } = self;
        leaving.retain(|at| {
            let Some(holder) = held.get(*at).filter(|holder| holder.count == 0) else { return false };
            if holder.bucket.is_whole(now) {
                index.remove(&held.remove(*at).who);
                return false;
            }
            true
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn debt_outlives_the_last_session() {
        let (mut holders, now, rate) = (Holders::new(), Instant::now(), Rate::new(Some(1024)));
        let at = holders.enter('a', 1).unwrap();
        assert_eq!(holders.enter('a', 1), None);
        holders.charge(at, rate, now, 64 * 1024);
        holders.leave(at);
        holders.sweep(now);
        let again = holders.enter('a', 1).unwrap();
        assert!(holders.admits(again, rate, now, 1024).is_err(), "it owes as before");
        holders.leave(again);
        holders.sweep(now + Duration::from_secs(64));
        assert!(holders.is_empty());
    }
}
