//! The book: who is reachable where, for how long, and whose name it is.
//!
//! A plain table under virtual time: no clock, no HTTP, no task. Names are spread over shards with a lock each, so
//! that lookups on several cores meet rarely and a growing shard stops a 256th of the book. Signatures and the
//! shape of names are judged before anything arrives here.

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
    limit,
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

/// At a million records a shard has 4,000: moving or sweeping one takes well under a millisecond.
const SHARDS: usize = 256;

/// How long the book keeps what, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a registration is answered.
    pub ttl: Duration,
    /// How long a name belongs to its key after the key's last registration. Zero: never longer than the record.
    pub pin: Duration,
    /// The same for a name that was registered only once, if that is shorter.
    pub pin_once: Duration,
    /// Most names held at once, those that are only remembered for their key included.
    pub max_records: usize,
    /// Most of them from one customer: an IPv4 address, or an IPv6 /48.
    pub max_of_one: u64,
}

/// Why the book did not take a write.
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
    #[error("this was signed before the phone book started; sign it anew")]
    BeforeStart {
        /// Milliseconds that the signer's clock is ahead, if it was signed just now.
        offset: i64,
    },
}

/// What a signed registration has to show for itself.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub sequence: u64,
    /// Unix milliseconds.
    pub time: u64,
    /// The keys that this one authentically follows.
    pub follows: &'a [PeerId],
}

/// A phone book that has just started knows no sequences. What it knows nothing of must have been signed since, or
/// whoever captured it before the restart could repeat it, and a registration from an address of their own.
pub(crate) fn check_started(time: u64, now: Moment) -> Result<(), Refused> {
    // Counted back from now, so that a clock that was set right meanwhile counts as it is.
    let started = now.unix.saturating_sub(now.steady);
    if time >= millis(started) {
        return Ok(());
    }
    let offset = i64::try_from(now.unix_millis() - time).map_or(i64::MIN, |behind| -behind);
    Err(Refused::BeforeStart { offset })
}

/// What one sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Registrations that ended.
    pub expired: usize,
    /// Names that are no longer remembered at all.
    pub forgotten: usize,
}

/// See the module. Shared by reference between any number of threads.
#[derive(Debug)]
pub struct Book {
    terms: Terms,
    hasher: RandomState,
    shards: Box<[RwLock<Shard>]>,
    current: AtomicUsize,
    held: AtomicUsize,
    /// Taken after a shard's lock, and never before it.
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

    /// Enters `name`. The contact's key must own the name, or follow the one that does, or nobody owns it, and the
    /// sequence must be above every one that the key has used for this name.
    pub fn register(
        &self,
        name: &str,
        contact: Contact,
        claim: Claim<'_>,
        now: Moment,
    ) -> Result<(), Refused> {
        let customer = self.hasher.hash_one(Wide::from(contact.address.ip())) as u32;
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

    /// Who holds the name from now on. Whoever knows a name takes it along, and where the new place has its share, the
    /// old one goes on holding it: nobody loses a name by moving.
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

    /// Ends a registration and says whether there was one. The rules of [`Book::register`] hold, and the name stays its
    /// key's.
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

    /// What a stranger is told while the registration lives. Who is there for contacts only is passed over like a name
    /// that is not in the book: one look, nothing written. Another that has ended is taken out on the way.
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

    /// Under which key a name is registered now, whoever it is there for. For introductions, which tell nobody.
    pub fn key_of(&self, name: &str, now: Moment) -> Option<PeerId> {
        let hash = self.hasher.hash_one(name);
        let shard = self.read(hash);
        shard.find(hash, name).filter(|record| self.is_live(record, now)).map(|record| record.key)
    }

    /// Takes out what has ended, one shard at a time.
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

    /// Registrations that live, or ended and were not noticed yet.
    pub fn len(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every name in memory, those that are only remembered for their key included; what `max_records` bounds.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Names that customers took and were refused since the start.
    pub fn names(&self) -> Count {
        self.customers().count()
    }

    /// Whether new names are refused.
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
        let pin = match record.is_renewed() {
            true => self.terms.pin,
            false => self.terms.pin.min(self.terms.pin_once),
        };
        self.is_live(record, now) || record.age(now) < millis(pin)
    }

    /// A record outlives every signature that could still be replayed: one may be dated a window ahead and is
    /// good for a window after its date.
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

    // A panic inside a lock leaves a shard that is at worst short of one record: serving on beats refusing for ever.
    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard_of(hash)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard_of(hash)].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table inside a shard uses the other half of the hash.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}
