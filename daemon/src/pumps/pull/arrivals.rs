//! The queue of one request's records between the reader of the stream and the storing job.

use crate::{
    io::chunk_buffer::ChunkBuffer,
    pumps::{JOB_BYTES, JOB_RECORDS},
};
use fyteclub_proto::{fetching::transfer::TOLD_WITHIN, peer::record::Kind};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// How long the first record waits for others, to be stored with them. The rest of [`TOLD_WITHIN`] is for the disk.
const WAIT: Duration = Duration::from_millis(12);
const _: () = assert!(WAIT.as_millis() * 2 < TOLD_WITHIN.as_millis());

/// One received record, still sealed.
pub(super) struct Record {
    pub(super) target: usize,
    pub(super) kind: Kind,
    pub(super) index: u32,
    pub(super) nonce: [u8; 12],
    pub(super) sealed: ChunkBuffer,
}

/// Holds at most one job: when it is full, the reader waits until the job is taken.
#[derive(Default)]
pub(super) struct Arrivals {
    queue: Mutex<Queue>,
    /// Notified when a job begins or is full, and when the queue closes.
    came: Notify,
    taken: Notify,
}

#[derive(Default)]
struct Queue {
    records: Vec<Record>,
    bytes: usize,
    /// When the job is taken even if it is not full.
    due: Option<Instant>,
    closed: bool,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.bytes >= JOB_BYTES || self.records.len() >= JOB_RECORDS
    }
}

impl Arrivals {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record; returns when there is space for the next one.
    pub(super) async fn add(&self, record: Record) {
        {
            let mut queue = self.queue();
            queue.bytes += record.sealed.len();
            queue.records.push(record);
            let first = queue.records.len() == 1;
            if first {
                queue.due = Some(Instant::now() + WAIT);
            }
            if first || queue.is_full() {
                self.came.notify_one();
            }
        }
        while self.queue().is_full() {
            self.taken.notified().await;
        }
    }

    /// Closes the queue: no record is added any more.
    pub(super) fn close(&self) {
        self.queue().closed = true;
        self.came.notify_one();
    }

    /// The next job: when it is full, [`WAIT`] after its first record, or at the end. Empty when the queue is closed and
    /// empty.
    pub(super) async fn take(&self) -> Vec<Record> {
        loop {
            let due = {
                let mut queue = self.queue();
                let due = queue.due;
                if queue.closed || queue.is_full() || due.is_some_and(|due| due <= Instant::now()) {
                    (queue.bytes, queue.due) = (0, None);
                    let records = std::mem::take(&mut queue.records);
                    self.taken.notify_one();
                    return records;
                }
                due
            };
            match due {
                None => self.came.notified().await,
                // The next pass checks whether the job is due.
                Some(due) => timeout_at(due, self.came.notified()).await.unwrap_or_default(),
            }
        }
    }
}
