//! Several phone books of one name share a Redis: names, sequences, budgets, and leases of connected keys.
//!
//! | module | contents |
//! |---|---|
//! | `connection`, `supervisor` | the connection, its deadlines and circuit; reconnecting, renewals, the inbox |
//! | `keyspace`, `record`, `scripts/` | names of keys, layout of records, atomic operations |
//! | `names`, `budgets`, `cardinality` | registrations, request budgets, the number of names |
//! | `presence`, `outbox`, `job` | which phone book a key is connected to; messages to it, in order |
//!
//! Built without the feature `redis`, `absent` takes its place; `surface` belongs to both.
//!
//! Without Redis, a phone book refuses what it cannot know. Its own clients stay connected, and introductions between them
//! work.

mod budgets;
mod cardinality;
mod connection;
mod job;
mod keyspace;
mod names;
mod outbox;
mod presence;
mod record;
mod supervisor;
mod surface;
#[cfg(test)]
mod tests;

pub(crate) use supervisor::supervise;
pub(crate) use surface::{Unavailable, WriteError};

use crate::{
    book::Terms,
    clock::Moment,
    config::Place,
    limits::Rates,
    metrics::RedisCounters,
    signaling::{AWAITED_MAX, ClientId, Parcel, Pending},
};
use cardinality::Cardinality;
use connection::Connection;
use fyteclub_proto::{
    id::PeerId,
    ledger::Count,
    letter::Attempt,
    phonebook::live::{ANSWER_TIME, Hear, Say},
};
use job::{Held, Job};
use keyspace::Keyspace;
use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep,
};

/// Queued jobs; further ones are dropped, as if the peer were absent.
const JOBS: usize = 8192;

/// Pause between two questions for a callee that is connected nowhere.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// The shared state of all phone books of one name. Used by all workers.
#[derive(Debug)]
pub(crate) struct Shared {
    connection: Connection,
    keyspace: Keyspace,
    terms: Terms,
    rates: Rates,
    cardinality: Cardinality,
    /// This process's id, new at each start; it names the inbox.
    instance: u64,
    is_full: AtomicBool,
    /// Names charged to customers.
    names: Mutex<Count>,
    jobs: mpsc::Sender<Job>,
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
    /// Places for introductions whose callee is connected nowhere.
    held: Arc<Semaphore>,
    /// Clients that greeted while Redis was down; they take their lease when it is back.
    late: Mutex<HashMap<PeerId, (ClientId, Moment)>>,
    pub(crate) counters: RedisCounters,
}

impl Shared {
    /// Does not connect yet.
    ///
    /// # Errors
    /// The address is invalid, or there is no randomness.
    pub(crate) fn new(
        place: &Place,
        terms: Terms,
        rates: &Rates,
        counters: RedisCounters,
    ) -> io::Result<Self> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(io::Error::other)?;
        let (jobs, waiting) = mpsc::channel(JOBS);
        Ok(Self {
            connection: Connection::new(place.client().map_err(io::Error::other)?),
            keyspace: Keyspace::new(place.secret()),
            terms,
            rates: *rates,
            cardinality: Cardinality::new(terms.ttl),
            instance: u64::from_be_bytes(number),
            is_full: AtomicBool::new(false),
            names: Mutex::default(),
            jobs,
            waiting: Mutex::new(Some(waiting)),
            held: Arc::new(Semaphore::new(AWAITED_MAX)),
            late: Mutex::default(),
            counters,
        })
    }

    /// Registered names, approximate.
    pub(crate) fn users(&self) -> usize {
        self.cardinality.last()
    }

    /// Whether Redis was out of memory at the last registration.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    fn full(&self, is_so: bool) {
        self.is_full.store(is_so, Ordering::Relaxed);
    }

    /// Takes the lease of a key that greeted here. If the outbox is full, the next renewal takes it.
    pub(crate) fn arrived(&self, key: PeerId, client: ClientId, at: Moment) {
        self.send(Job::Arrived { key, client, at });
    }

    /// Charges the sender's budgets, then forwards. Returns false if the outbox is full.
    pub(crate) fn say(
        &self,
        client: ClientId,
        key: PeerId,
        address: IpAddr,
        attempt: Option<Attempt>,
        say: Say,
    ) -> bool {
        self.send(Job::Say { client, key, address, attempt, say: Box::new(say) })
    }

    /// Looks up a name for [`crate::signaling`]. If the outbox is full, the name counts as unknown.
    pub(crate) fn resolve(&self, name: String, pending: Pending) {
        self.send(Job::Resolve { name, pending });
    }

    /// Sends to a key that is not connected here. If the outbox is full, the parcel is lost.
    pub(crate) fn deliver(&self, to: PeerId, parcel: Parcel) {
        self.send(Job::Deliver { to, parcel, held: None });
    }

    /// Asks again soon for a callee that is connected nowhere: it may be about to connect, or has connected to another
    /// phone book that has not written its lease yet. Introductions only, for as long as their callers wait.
    fn ask_later(&self, to: PeerId, parcel: Parcel, held: Option<Held>) {
        if !matches!(parcel, Parcel::Hear(Hear::Introduced { .. })) {
            return;
        }
        let began = || {
            let place = self.held.clone().try_acquire_owned().ok()?;
            Some(Held { until: Instant::now() + ANSWER_TIME, _place: place })
        };
        let Some(held) = held.or_else(began) else {
            self.counters.dropped.inc();
            return;
        };
        if Instant::now() + ASK_AGAIN >= held.until {
            return;
        }
        let jobs = self.jobs.clone();
        tokio::spawn(async move {
            sleep(ASK_AGAIN).await;
            // A full queue drops it, as any job.
            jobs.try_send(Job::Deliver { to, parcel, held: Some(held) }).ok();
        });
    }

    /// Queues a job without waiting. Returns false if the queue is full, and counts the job as dropped.
    fn send(&self, job: Job) -> bool {
        let sent = self.jobs.try_send(job).is_ok();
        if !sent {
            self.counters.dropped.inc();
        }
        sent
    }
}
