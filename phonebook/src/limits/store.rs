//! The table of budgets, bounded so that many addresses cannot use up the memory.
//!
//! If it is full, known clients keep their budgets and new ones share one per neighbourhood until the next sweep. A
//! flood from one provider's range affects new clients of that range.

use fyteclub_proto::number;
use governor::{
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};
use hashbrown::HashTable;
use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

const SHARDS: usize = 64;
/// Shared budgets for a full table.
const CROWDS: usize = 1024;

/// The client that a budget belongs to.
pub(super) trait Holder: Copy + Eq + Hash {
    /// New clients of one neighbourhood share a budget if the table is full.
    fn neighbourhood(&self) -> u64;
}

type Shard<K> = Mutex<HashTable<(K, Nanos)>>;

pub(super) struct Store<K> {
    hasher: RandomState,
    shards: Box<[Shard<K>]>,
    crowds: Box<[Mutex<Option<Nanos>>]>,
    held: AtomicUsize,
    room: usize,
}

impl<K: Holder> Store<K> {
    pub(super) fn new(room: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            crowds: (0..CROWDS).map(|_| Mutex::default()).collect(),
            held: AtomicUsize::new(0),
            room,
        }
    }

    fn takes_a_place(&self) -> bool {
        let more = |held| (held < self.room).then_some(held + 1);
        self.held.try_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Holder> StateStore for Store<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = self.hasher.hash_one(key);
        // The hash table in the shard uses the low half.
        let mut shard = lock(&self.shards[number::usize_of(hash >> 32) % SHARDS]);
        if let Some((_, state)) = shard.find_mut(hash, |(holder, _)| holder == key) {
            let (outcome, new) = decide(Some(*state))?;
            *state = new;
            return Ok(outcome);
        }
        if self.takes_a_place() {
            // A client refused at its first request has no debt to store.
            let decided = decide(None);
            match decided {
                Ok((outcome, new)) => {
                    shard.insert_unique(hash, (*key, new), |(holder, _)| self.hasher.hash_one(holder));
                    return Ok(outcome);
                }
                Err(refused) => {
                    self.held.fetch_sub(1, Ordering::Relaxed);
                    return Err(refused);
                }
            }
        }
        drop(shard);
        let crowd = self.hasher.hash_one(key.neighbourhood());
        let mut state = lock(&self.crowds[number::usize_of(crowd) % CROWDS]);
        let (outcome, new) = decide(*state)?;
        *state = Some(new);
        Ok(outcome)
    }
}

impl<K: Holder> ShrinkableKeyedStateStore<K> for Store<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.len();
            shard.retain(|(_, state)| *state > drop_below);
            self.held.fetch_sub(before - shard.len(), Ordering::Relaxed);
            // Releases the memory of a flood.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
                shard.shrink_to(0, |(holder, _)| self.hasher.hash_one(holder));
            }
        }
    }

    fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
