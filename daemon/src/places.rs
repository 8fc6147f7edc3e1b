//! Which clients may connect to the local socket: the rule of [`fyteclub_proto::local::places`], shared by the acceptor
//! and the clients' actors.

use fyteclub_proto::local::places::{Full, Places};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Clones share one table.
#[derive(Debug, Clone, Default)]
pub struct Clients(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    places: Places,
    /// Cancelled when a client loses its place.
    displaced: HashMap<u64, CancellationToken>,
}

impl Clients {
    /// Adds a client. Ids rise and are never reused.
    pub fn arrive(&self, id: u64) -> Entry {
        let mut table = self.table();
        let goes = table.places.arrive(id);
        if let Some(displaced) = goes.and_then(|goes| table.displaced.remove(&goes)) {
            displaced.cancel();
        }
        let displaced = CancellationToken::new();
        table.displaced.insert(id, displaced.clone());
        Entry { clients: self.clone(), id, displaced }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's place; dropping it frees the place.
#[derive(Debug)]
pub struct Entry {
    clients: Clients,
    id: u64,
    displaced: CancellationToken,
}

impl Entry {
    /// The client has greeted, as this program.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn greet(&self, program: &str) -> Result<(), Full> {
        self.clients.table().places.greet(self.id, program)
    }

    /// Cancelled when another client takes the place of this one, which had not greeted.
    pub fn displaced(&self) -> CancellationToken {
        self.displaced.clone()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = self.clients.table();
        table.places.leave(self.id);
        table.displaced.remove(&self.id);
    }
}
