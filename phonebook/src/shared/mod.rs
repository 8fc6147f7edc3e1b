//! Several phone books behind one name, which share a Redis: names, sequences, budgets, and who is connected where.
//!
//! | room | what lives there |
//! |---|---|
//! | `connection` | the connection, its deadline and its circuit |
//! | `keyspace`, `record`, `scripts/` | how things are called, how they lie there, what Redis does at once |
//! | `names`, `budgets`, `cardinality` | the book's rules, the limits', how many there are |
//! | `presence`, `outbox` | which phone book a key is connected to; what goes there, in order |
//! | `tend` | connecting again, renewing, reading the own inbox |
//!
//! Without `redis` none of this runs. With it, a phone book whose Redis is gone refuses what it cannot know and goes on
//! with what it can: its own clients, and introductions between them.

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
#[cfg(test)]
mod tests;

pub(crate) use budgets::Payer;
pub use connection::Unavailable;
pub(crate) use job::Job;
pub(crate) use names::WriteError;
pub(crate) use supervisor::supervise;

use crate::{book::Terms, config::Place, limits::Rates, metrics::RedisCounters, signaling::ClientId};
use cardinality::Cardinality;
use connection::Connection;
use fyteclub_proto::{id::PeerId, ledger::Count};
use keyspace::Keyspace;
use std::{
    collections::HashMap,
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;

/// Errands that may wait for Redis. One more is not done: its sender is answered as if nobody had heard.
const JOBS: usize = 8192;

/// One phone book's end of what all of one name share. Used by all workers.
#[derive(Debug)]
pub(crate) struct Shared {
    connection: Connection,
    keyspace: Keyspace,
    terms: Terms,
    rates: Rates,
    cardinality: Cardinality,
    /// This process' number, new at every start: where others find its inbox.
    instance: u64,
    is_full: AtomicBool,
    /// Names that were charged to customers.
    names: Mutex<Count>,
    jobs: mpsc::Sender<Job>,
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
    /// Who greeted while Redis was gone, and wins when it is back.
    late: Mutex<HashMap<PeerId, ClientId>>,
    pub(crate) counters: RedisCounters,
}

impl Shared {
    /// Connects to nothing yet.
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
            late: Mutex::default(),
            counters,
        })
    }

    /// Names that are registered, about.
    pub(crate) fn users(&self) -> usize {
        self.cardinality.last()
    }

    /// Whether Redis had no room for the last registration.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    fn full(&self, is_so: bool) {
        self.is_full.store(is_so, Ordering::Relaxed);
    }

    /// Has the outbox do something, and never waits. No if too much waits already.
    #[must_use]
    pub(crate) fn send(&self, job: Job) -> bool {
        let sent = self.jobs.try_send(job).is_ok();
        if !sent {
            self.counters.dropped.inc();
        }
        sent
    }
}
