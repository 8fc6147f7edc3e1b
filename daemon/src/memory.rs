//! Bytes of frames that this daemon holds for local clients: the rule of [`fyteclub_proto::local::memory`], shared by
//! all clients' actors.

use crate::ledger::Accounts;
use fyteclub_proto::{
    limit::{LOCAL_ANSWERS_MAX, LOCAL_FRAME_MAX, LOCAL_FREE, LOCAL_SPACELESS_MAX},
    local::memory::{Full, Memory},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The unit of held bytes.
pub(crate) const STEP: usize = 256 * 1024;
/// What a reply adds to its answer, at most.
const ENVELOPE: usize = 128;

/// The memory of all clients. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalMemory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    accounts: Accounts,
    table: Mutex<Table>,
    released: Notify,
    /// For answers that wait for space without being charged.
    spaceless: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Self {
        let spaceless = Arc::new(Semaphore::new(LOCAL_SPACELESS_MAX));
        Self { accounts: Accounts::default(), table: Mutex::default(), released: Notify::new(), spaceless }
    }
}

#[derive(Debug, Default)]
struct Table {
    memory: Memory,
    /// Cancelled when a client has to release its memory.
    displaced: HashMap<u64, CancellationToken>,
    /// Bytes of each client's answers that are made and not encoded yet.
    answers: HashMap<u64, usize>,
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

    /// Space for an answer of `bytes` that is made already: the first ones of a client are free, up to [`LOCAL_FREE`]. A
    /// client's only one waits for space that others have.
    ///
    /// # Errors
    /// [`Unheld`]: the answer is to be dropped at once.
    pub async fn answer(&self, bytes: usize) -> Result<Answered, Unheld> {
        if bytes > LOCAL_FRAME_MAX {
            return Err(Unheld::TooLong);
        }
        let (mut answered, others) = self.enter(bytes)?;
        if others + bytes <= LOCAL_FREE {
            return Ok(answered);
        }
        // As much as its frame will need.
        let wanted = if bytes < LOCAL_FREE { bytes } else { (bytes + ENVELOPE).next_multiple_of(STEP) };
        let held = self.begin();
        if held.try_grow(wanted).is_err() {
            let _spaceless = self.spaceless(others)?;
            held.grow(wanted).await;
        }
        answered.held = Some(held);
        Ok(answered)
    }

    /// Counts an answer, and returns the bytes of those before it.
    fn enter(&self, bytes: usize) -> Result<(Answered, usize), Unheld> {
        let mut table = self.0.all.table();
        let all = table.answers.entry(self.0.client).or_default();
        let others = *all;
        if others > 0 && others + bytes > LOCAL_ANSWERS_MAX {
            return Err(Unheld::Unread);
        }
        *all += bytes;
        Ok((Answered { part: self.clone(), bytes, held: None }, others))
    }

    fn spaceless(&self, others: usize) -> Result<OwnedSemaphorePermit, Unheld> {
        if others > 0 {
            return Err(Unheld::Unread);
        }
        self.0.all.0.spaceless.clone().try_acquire_owned().map_err(|_| Unheld::Full)
    }

    /// Cancelled when this client's bytes make way for another's.
    pub fn displaced(&self) -> CancellationToken {
        self.0.displaced.clone()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut table = self.all.table();
        table.displaced.remove(&self.client);
        table.answers.remove(&self.client);
    }
}

/// Why there is no space for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheld {
    #[error("the answer is too long for the local socket")]
    TooLong,
    #[error(
        "earlier answers to this client are not read yet, and no more are kept: read them, then ask again"
    )]
    Unread,
    #[error("long answers to the local clients take all the memory that they may have: ask again")]
    Full,
}

/// An answer's space, from when it is made until it is encoded. Dropping it releases it.
#[derive(Debug)]
pub struct Answered {
    part: ClientMemory,
    bytes: usize,
    held: Option<Held>,
}

impl Answered {
    /// The space, for the frame.
    pub fn take(&mut self) -> Option<Held> {
        self.held.take()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(all) = self.part.0.all.table().answers.get_mut(&self.part.0.client) {
            *all -= self.bytes;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use fyteclub_proto::number::u64_of;

    const LONG: usize = LOCAL_FRAME_MAX - 4 * STEP;

    #[tokio::test]
    async fn answers_in_flight_are_charged_and_bounded() {
        let all = LocalMemory::default();
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|client| all.of(client));
        let answered = first.answer(LONG).await.expect("space");
        assert!(all.held() >= u64_of(LONG), "{}", all.held());
        assert_eq!(first.answer(LONG).await.expect_err("unread ones"), Unheld::Unread);
        assert_eq!(first.answer(LOCAL_FRAME_MAX + 1).await.expect_err("no frame"), Unheld::TooLong);
        let _other = second.answer(LONG).await.expect("space");
        // Who has none waits for space; few do, each with one.
        let mut waits = [&third, &fourth].map(|client| Box::pin(client.answer(LONG)));
        assert!(waits.iter_mut().all(|wait| wait.now_or_never().is_none()));
        assert_eq!(all.of(4).answer(LONG).await.expect_err("too many wait"), Unheld::Full);
        drop(answered);
        let [wait, _] = waits;
        let _waited = wait.await.expect("the first one's space");
        assert_eq!(all.held(), 2 * u64_of((LONG + ENVELOPE).next_multiple_of(STEP)));
    }

    #[tokio::test]
    async fn many_short_answers_are_charged_too() {
        let all = LocalMemory::default();
        let client = all.of(0);
        let mut kept = Vec::new();
        while let Ok(answered) = client.answer(100_000).await {
            kept.push(answered);
            assert!(kept.len() * 100_000 <= LOCAL_ANSWERS_MAX, "no end");
        }
        assert_eq!(all.held(), u64_of((kept.len() - 1) * 100_000), "only the first is free");
        drop(kept);
        assert_eq!(all.held(), 0);
        client.answer(LONG).await.expect("all are encoded");
    }
}
