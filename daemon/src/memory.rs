//! Bytes of frames that this daemon holds for local clients: the rule of [`fyteclub_proto::local::memory`], shared by
//! all clients' actors.

use crate::ledger::Accounts;
use fyteclub_proto::local::memory::{Full, Memory};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The memory of all clients. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalMemory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    accounts: Accounts,
    table: Mutex<Table>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Table {
    memory: Memory,
    /// Cancelled when a client has to release its memory.
    displaced: HashMap<u64, CancellationToken>,
}

impl LocalMemory {
    /// Charges held bytes to `accounts`.
    pub(crate) fn new(accounts: Accounts) -> Self {
        Self(Arc::new(Shared { accounts, ..Shared::default() }))
    }

    /// One client's part. Its number is never used again.
    pub(crate) fn of(&self, client: u64) -> ClientMemory {
        let displaced = CancellationToken::new();
        self.table().displaced.insert(client, displaced.clone());
        ClientMemory(Arc::new(Part { all: self.clone(), client, displaced }))
    }

    /// Bytes held for all clients.
    #[cfg(test)]
    pub(crate) fn held(&self) -> u64 {
        self.table().memory.held()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's part of the memory. Clones are the same part.
#[derive(Debug, Clone)]
pub struct ClientMemory(Arc<Part>);

#[derive(Debug)]
struct Part {
    all: LocalMemory,
    client: u64,
    displaced: CancellationToken,
}

impl ClientMemory {
    /// An empty holding.
    pub fn begin(&self) -> Held {
        let number = self.0.all.table().memory.begin(Instant::now(), self.0.client);
        Held { part: self.clone(), number }
    }

    /// Cancelled when this client's bytes make way for another's.
    pub fn displaced(&self) -> CancellationToken {
        self.0.displaced.clone()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.all.table().displaced.remove(&self.client);
    }
}

/// Space for one frame, released when this is dropped.
#[derive(Debug)]
pub struct Held {
    part: ClientMemory,
    number: u64,
}

impl Held {
    /// Waits until there is space for `bytes` in total.
    pub async fn grow(&self, bytes: usize) {
        let all = &self.part.0.all;
        loop {
            let released = all.0.released.notified();
            tokio::pin!(released);
            // Before the try, so that no release after it is missed.
            released.as_mut().enable();
            let Err(Full { again, .. }) = self.try_grow(bytes) else { return };
            match again {
                Some(again) => drop(tokio::time::timeout_at(again.into(), released).await),
                None => released.await,
            }
        }
    }

    fn try_grow(&self, bytes: usize) -> Result<(), Full> {
        let all = &self.part.0.all;
        let mut table = all.table();
        let grown = all.0.accounts.with(|now, ledger| table.memory.grow(now, ledger, self.number, bytes));
        if let Err(Full { goes: Some(goes), .. }) = grown
            && let Some(displaced) = table.displaced.get(&goes)
        {
            displaced.cancel();
        }
        grown
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let all = &self.part.0.all;
        let mut table = all.table();
        all.0.accounts.with(|_, ledger| table.memory.end(ledger, self.number));
        drop(table);
        all.0.released.notify_waiters();
    }
}
