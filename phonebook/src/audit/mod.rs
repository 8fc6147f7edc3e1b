//! The audit log: one JSON line per security event. Off unless a file is configured.
//!
//! Names are short hashes under a key that exists only in memory; addresses are cut to /24 or /48. Requests never
//! wait: events go through a bounded queue to a thread, and a full queue drops and counts them.

mod event;
mod file;
mod tally;
mod writer;

use crate::config::AuditFile;
use event::{Entry, Event};
pub(crate) use event::{Kind, Subject};
use fyteclub_proto::number;
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};
use tally::Shared;

/// Events in the queue, 40 bytes each.
const QUEUE: usize = 4096;

/// The sending end, shared by all requests.
pub(crate) struct Audit {
    names: RandomState,
    full_addresses: bool,
    shared: Arc<Shared>,
    queue: SyncSender<Entry>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Audit {
    pub(crate) fn start(config: &AuditFile) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (queue, events) = sync_channel(QUEUE);
        let writer = writer::Writer::new(config, Arc::clone(&shared));
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&events))?;
        Ok(Self {
            names: RandomState::new(),
            full_addresses: config.full_addresses,
            shared,
            queue,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn subject(&self, name: &str) -> Subject {
        Subject(number::low_half(self.names.hash_one(name)))
    }

    /// Never waits.
    pub(crate) fn note(&self, kind: Kind, address: IpAddr, subject: Option<Subject>, time: u64) {
        let address = if self.full_addresses { address } else { cut(address) };
        if !self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner).deserves_a_line(kind, address) {
            return;
        }
        let entry = Entry::Event(Event { time, kind, address, subject });
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(entry) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Audit {
    /// Flushes the queue and the counts. Later events count as dropped.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // A panicked thread receives nothing.
        self.queue.send(Entry::End).ok();
        if thread.join().is_err() {
            tracing::warn!("the audit log's thread panicked");
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

/// Cuts an address to its /24 or /48.
fn cut(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & !0xff).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !((1 << 80) - 1)).into()),
    }
}

#[cfg(test)]
mod tests;
