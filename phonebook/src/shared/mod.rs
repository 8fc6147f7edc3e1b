//! Several phone books behind one name, which share a Redis: names, sequences, budgets, and who is connected where.
//!
//! | room | what lives there |
//! |---|---|
//! | `wire` | the connection, its deadline and its circuit |
//! | `tags`, `record`, `scripts/` | how things are called, how they lie there, what Redis does at once |
//! | `names`, `budgets`, `census` | the book's rules, the limits', how many there are |
//! | `presence`, `courier` | which phone book a key is connected to; what goes there, in order |
//! | `tend` | connecting again, renewing, reading the own inbox |
//!
//! Without `redis` none of this runs. With it, a phone book whose Redis is gone refuses what it cannot know and goes on
//! with what it can: its own clients, and introductions between them.

mod budgets;
mod census;
mod courier;
mod errand;
mod names;
mod presence;
mod record;
mod tags;
mod tend;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use budgets::Payer;
pub(crate) use errand::Errand;
pub(crate) use names::Unwritten;
pub(crate) use tend::tend;
pub use wire::Away;

use crate::{book::Terms, config::Place, limits::Rates, metrics::RedisCounters, signaling::ClientId};
use census::Census;
use fyteclub_proto::{id::PeerId, ledger::Count};
use std::{
    collections::HashMap,
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tags::Tags;
use tokio::sync::mpsc;
use wire::Wire;

/// Errands that may wait for Redis. One more is not done: its sender is answered as if nobody had heard.
const ERRANDS: usize = 8192;

/// One phone book's end of what all of one name share. Used by all workers.
#[derive(Debug)]
pub(crate) struct Shared {
    wire: Wire,
    tags: Tags,
    terms: Terms,
    rates: Rates,
    census: Census,
    /// This process' number, new at every start: where others find its inbox.
    instance: u64,
    is_full: AtomicBool,
    /// Names that were charged to customers.
    names: Mutex<Count>,
    errands: mpsc::Sender<Errand>,
    waiting: Mutex<Option<mpsc::Receiver<Errand>>>,
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
        let (errands, waiting) = mpsc::channel(ERRANDS);
        Ok(Self {
            wire: Wire::new(place.client().map_err(io::Error::other)?),
            tags: Tags::new(place.secret()),
            terms,
            rates: *rates,
            census: Census::new(terms.ttl),
            instance: u64::from_be_bytes(number),
            is_full: AtomicBool::new(false),
            names: Mutex::default(),
            errands,
            waiting: Mutex::new(Some(waiting)),
            late: Mutex::default(),
            counters,
        })
    }

    /// Names that are registered, about.
    pub(crate) fn users(&self) -> usize {
        self.census.last()
    }

    /// Whether Redis had no room for the last registration.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    fn full(&self, is_so: bool) {
        self.is_full.store(is_so, Ordering::Relaxed);
    }

    /// Has the courier do something, and never waits. No if too much waits already.
    #[must_use]
    pub(crate) fn send(&self, errand: Errand) -> bool {
        let sent = self.errands.try_send(errand).is_ok();
        if !sent {
            self.counters.dropped.inc();
        }
        sent
    }
}
