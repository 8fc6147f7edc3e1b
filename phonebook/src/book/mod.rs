//! The book: registered names, their addresses and keys, under virtual time.
//!
//! Shards with a lock each, so that lookups on several cores rarely contend and growth blocks 1/256 of the book.
//! Callers verify signatures and names.

#[cfg(test)]
mod model;
mod record;
mod shard;
#[cfg(test)]
mod tests;

use crate::clock::{Moment, millis};
use fyteclub_proto::{
    id::PeerId,
    ledger::{Count, Holdings, Item, Wide},
    limit, number,
    phonebook::Visibility,
};
use record::Record;
pub use record::{Contact, Found};
use shard::Shard;
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// 4,000 records per shard at a million: moving or sweeping one takes less than a millisecond.
const SHARDS: usize = 256;

/// Lifetimes and capacity of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Lifetime of a registration.
    pub ttl: Duration,
    /// How long a name belongs to its key after the last registration. Zero: as long as the registration lives.
    pub pin: Duration,
    /// As `pin`, for a name that was registered only once; the shorter one counts.
    pub pin_once: Duration,
    /// Most names, including those only remembered for their key.
    pub max_records: usize,
    /// Most names per customer: an IPv4 address, or an IPv6 /48.
    pub max_of_one: u64,
}

/// Why the book refused a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    #[error("this name belongs to another key")]
    NameTaken,
    #[error("the sequence must be above {newest}")]
    Stale { newest: u64 },
    #[error("the phone book is full")]
    Full,
    #[error("too many names are held from your address")]
    TooManyNames,
    #[error("this was signed before the phone book started; sign it again")]
    BeforeStart {
        /// How far the signer's clock is ahead, in milliseconds, if it signed just now.
        offset: i64,
    },
}

/// What a signature proved.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub sequence: u64,
    /// Unix milliseconds.
    pub time: u64,
    /// Former keys of the player, by authentic key changes.
    pub follows: &'a [PeerId],
}

/// Refuses signatures made before the start. A restarted phone book knows no sequences, so anybody could replay an
/// older one, a registration even from another address.
pub(crate) fn check_started(time: u64, now: Moment) -> Result<(), Refused> {
    // Counted back from now, so that a corrected wall clock moves the start along.
    let started = now.unix.saturating_sub(now.steady);
    if time >= millis(started) {
        return Ok(());
    }
    let offset = i64::try_from(now.unix_millis() - time).map_or(i64::MIN, |behind| -behind);
    Err(Refused::BeforeStart { offset })
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Ended registrations.
    pub expired: usize,
    /// Names no longer remembered.
    pub forgotten: usize,
}

/// Shared by all workers.
#[derive(Debug)]
pub struct Book {
    terms: Terms,
    hasher: RandomState,
    shards: Box<[RwLock<Shard>]>,
    current: AtomicUsize,
    held: AtomicUsize,
    /// Lock order: a shard first, then this.
    customers: Mutex<Holdings>,
}

impl Book {
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            current: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            customers: Mutex::new(Holdings::new(Item::Names, terms.max_of_one)),
        }
    }

    /// Registers `name`.
    ///
    /// # Errors
    /// The name belongs to a key that this one does not follow, the sequence is not above all that the key used for
    /// the name, or there is no room.
    pub fn register(
        &self,
        name: &str,
        contact: Contact,
        claim: Claim<'_>,
        now: Moment,
    ) -> Result<(), Refused> {
        let customer = number::low_half(self.hasher.hash_one(Wide::from(contact.address.ip())));
        let hash = self.hasher.hash_one(name);
        let mut shard = self.write(hash);
        if let Some(record) = shard.find_mut(hash, name) {
            let mut again = false;
            if self.is_remembered(record, now) {
                let heir = claim.follows.contains(&record.key);
                if !heir {
                    self.check(record, &contact.key, claim.sequence, now)?;
                }
                again = heir || record.key == contact.key;
            } else {
                check_started(claim.time, now)?;
            }
            if !record.is_current() {
                self.current.fetch_add(1, Ordering::Relaxed);
            }
            let customer = self.moved(record.customer, customer);
            record.renew(contact, customer, claim.sequence, again, now);
            return Ok(());
        }
        check_started(claim.time, now)?;
        self.held
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                (held < self.terms.max_records).then_some(held + 1)
            })
            .map_err(|_| Refused::Full)?;
        if self.customers().charge(customer).is_err() {
            self.held.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::TooManyNames);
        }
        self.current.fetch_add(1, Ordering::Relaxed);
        shard.insert(hash, Record::new(name, contact, customer, claim.sequence, now));
        Ok(())
    }

    /// The customer to charge for the name. A name moves with its player, but stays charged to the old customer if
    /// the new one holds its share: moving loses no name.
    fn moved(&self, old: u32, new: u32) -> u32 {
        if old == new {
            return old;
        }
        let mut customers = self.customers();
        match customers.charge(new) {
            Ok(()) => {
                customers.release(old);
                new
            }
            Err(_) => old,
        }
    }

    /// Ends a registration; the name still belongs to its key. Returns whether it was registered.
    ///
    /// # Errors
    /// As for [`Book::register`].
    pub fn unregister(&self, name: &str, claim: (&PeerId, u64), now: Moment) -> Result<bool, Refused> {
        let hash = self.hasher.hash_one(name);
        let mut shard = self.write(hash);
        let Some(record) = shard.find_mut(hash, name) else { return Ok(false) };
        let (key, sequence) = claim;
        if !self.is_remembered(record, now) {
            return Ok(false);
        }
        if !self.is_pinned(record, now) && record.key != *key {
            return Ok(false);
        }
        self.check(record, key, sequence, now)?;
        let live = self.is_live(record, now);
        record.sequence = sequence;
        self.end(record);
        Ok(live)
    }

    /// What strangers may know. Registrations for contacts look like unknown names, and cost one read lock. Removes
    /// other expired ones.
    pub fn lookup(&self, name: &str, now: Moment) -> Option<Found> {
        let hash = self.hasher.hash_one(name);
        {
            let shard = self.read(hash);
            let record =
                shard.find(hash, name).filter(|record| record.visibility() != Visibility::Contacts)?;
            if self.is_live(record, now) {
                return Some(record.found());
            }
        }
        let mut shard = self.write(hash);
        let record =
            shard.find_mut(hash, name).filter(|record| record.visibility() != Visibility::Contacts)?;
        if self.is_live(record, now) {
            return Some(record.found());
        }
        self.end(record);
        if !self.is_remembered(record, now) {
            self.forget(&mut shard, hash, name);
        }
        None
    }

    /// The key that registered the name, whatever its visibility. For introductions, which reveal nothing.
    pub fn key_of(&self, name: &str, now: Moment) -> Option<PeerId> {
        let hash = self.hasher.hash_one(name);
        let shard = self.read(hash);
        shard.find(hash, name).filter(|record| self.is_live(record, now)).map(|record| record.key)
    }

    /// Removes expired records, one shard at a time.
    pub fn sweep(&self, now: Moment) -> Swept {
        let mut swept = Swept::default();
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = shard.len();
            shard.retain(
                |record| {
                    if record.is_current() && !self.is_live(record, now) {
                        self.end(record);
                        swept.expired += 1;
                    }
                    let keep = record.is_current() || self.is_remembered(record, now);
                    if !keep {
                        self.customers().release(record.customer);
                    }
                    keep
                },
                |name| self.hasher.hash_one(name),
            );
            let forgotten = before - shard.len();
            self.held.fetch_sub(forgotten, Ordering::Relaxed);
            swept.forgotten += forgotten;
        }
        swept
    }

    /// Registrations, including expired ones that no lookup or sweep removed yet.
    pub fn len(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All names in memory; `max_records` bounds them.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Names charged and refused to customers since the start.
    pub fn names(&self) -> Count {
        self.customers().count()
    }

    pub fn is_full(&self) -> bool {
        self.held() >= self.terms.max_records
    }

    fn check(&self, record: &Record, key: &PeerId, sequence: u64, now: Moment) -> Result<(), Refused> {
        if record.key != *key {
            return if self.is_pinned(record, now) { Err(Refused::NameTaken) } else { Ok(()) };
        }
        if sequence <= record.sequence {
            return Err(Refused::Stale { newest: record.sequence });
        }
        Ok(())
    }

    fn is_live(&self, record: &Record, now: Moment) -> bool {
        record.is_current() && record.age(now) < millis(self.terms.ttl)
    }

    fn is_pinned(&self, record: &Record, now: Moment) -> bool {
        let pin = if record.is_renewed() { self.terms.pin } else { self.terms.pin.min(self.terms.pin_once) };
        self.is_live(record, now) || record.age(now) < millis(pin)
    }

    /// Records outlive every signature that could be replayed: one may be dated one window ahead, and is valid for a
    /// window after its date.
    fn is_remembered(&self, record: &Record, now: Moment) -> bool {
        let replayable = 2 * limit::PROOF_TIME_WINDOW;
        self.is_pinned(record, now) || record.age(now) < millis(replayable)
    }

    fn end(&self, record: &mut Record) {
        if record.is_current() {
            record.end();
            self.current.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn forget(&self, shard: &mut Shard, hash: u64, name: &str) {
        if let Some(record) = shard.remove(hash, name, |name| self.hasher.hash_one(name)) {
            self.held.fetch_sub(1, Ordering::Relaxed);
            self.customers().release(record.customer);
            if record.is_current() {
                self.current.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn customers(&self) -> MutexGuard<'_, Holdings> {
        self.customers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A panic under the lock loses at most one record.
    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard_of(hash)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard_of(hash)].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash table in the shard uses the low half.
fn shard_of(hash: u64) -> usize {
    number::usize_of(hash >> 32) % SHARDS
}
