//! Leases: which phone book a key is connected to, and as which client. The newest greeting wins: Redis returns the lease
//! that it replaces, and refuses one that comes late from a phone book that could not write for a while.
//!
//! A lease outlives any silence of a client. A stale one leads to an inbox whose owner does not know the client,
//! which equals no lease. So renewals are rare, and nothing is revoked.

use super::{
    Shared, Unavailable,
    connection::{Args, DEADLINE, LEASE, PUSH, RENEW},
    keyspace::plain,
};
use crate::{
    clock::{Moment, millis},
    signaling::ClientId,
};
use fyteclub_proto::{id::PeerId, number, phonebook::between::Dispatch};
use redis::{Cmd, Pipeline, Value};
use std::time::Duration;

pub(super) const LIFE: Duration = Duration::from_secs(600);
/// How often all leases are renewed.
pub(super) const RENEWAL: Duration = Duration::from_secs(200);
/// Leases per round trip.
pub(super) const AT_ONCE: usize = 256;
/// How far two phone books' readings of Redis's clock differ at most: a reading is late by its deadline, and by what a
/// busy machine adds. Of two leases that are closer to each other the later to arrive counts.
const CLOCK_ERROR: Duration = DEADLINE.saturating_mul(2);
/// Dispatches per inbox, 1.5 KB each, so that a dead phone book leaves little behind.
const INBOX_MAX: usize = 4096;
/// Lifetime of an unread inbox.
const INBOX_LIFE: Duration = Duration::from_secs(15);

/// Where a key is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) instance: u64,
    pub(super) client: ClientId,
}

impl Lease {
    fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.instance.to_be_bytes());
        bytes[8..].copy_from_slice(&self.client.0.to_be_bytes());
        bytes
    }

    pub(super) fn decode(value: &Value) -> Option<Self> {
        let Value::BulkString(bytes) = value else { return None };
        // Since when follows; only Redis compares it.
        let (instance, rest) = bytes.split_first_chunk()?;
        let client = rest.first_chunk()?;
        Some(Self { instance: u64::from_be_bytes(*instance), client: ClientId(u64::from_be_bytes(*client)) })
    }
}

impl Shared {
    fn here(&self, client: ClientId) -> Lease {
        Lease { instance: self.instance, client }
    }

    /// Takes the key's lease for a client that greeted at `at`. Redis returns the former lease, or says that it is newer.
    pub(super) fn lease(&self, key: &PeerId, client: ClientId, at: Moment) -> Cmd {
        LEASE
            .on(&self.keyspace.presence(key))
            .with(&self.here(client).encode()[..])
            .with(self.connection.time(at))
            .with(millis(CLOCK_ERROR))
            .with(millis(LIFE))
    }

    pub(super) fn lease_of(&self, key: &PeerId) -> Cmd {
        redis::cmd("GET").with(self.keyspace.presence(key))
    }

    /// Puts a dispatch into an instance's inbox.
    pub(super) fn push(&self, instance: u64, dispatch: &Dispatch) -> Cmd {
        PUSH.on(&inbox(instance)).with(dispatch.encode()).with(INBOX_MAX).with(millis(INBOX_LIFE))
    }

    pub(super) fn own_inbox(&self) -> Vec<u8> {
        inbox(self.instance)
    }

    /// Renews our leases. Returns the clients whose key is connected elsewhere.
    pub(super) async fn renew(
        &self,
        clients: &[(PeerId, ClientId)],
    ) -> Result<Vec<(PeerId, ClientId)>, Unavailable> {
        let mut pipeline = Pipeline::with_capacity(clients.len());
        for (key, client) in clients {
            let lease = self.here(*client).encode();
            pipeline.add_command(RENEW.on(&self.keyspace.presence(key)).with(&lease[..]).with(millis(LIFE)));
        }
        let values = self.connection.ask(&pipeline).await?;
        let elsewhere = values.iter().zip(clients).filter(|(value, _)| **value == Value::Int(0));
        Ok(elsewhere.map(|(_, client)| *client).collect())
    }

    /// Whether the answer to [`Shared::lease`] says that the key greeted elsewhere later.
    pub(super) fn came_late(answer: Option<&Value>) -> bool {
        matches!(answer, Some(Value::Int(0)))
    }

    /// Notifies the phone book that lost the lease.
    pub(super) fn replaced(&self, key: PeerId, before: Option<&Value>, dispatches: &mut Pipeline) {
        if let Some(lease) = before.and_then(Lease::decode).filter(|lease| lease.instance != self.instance) {
            let moved = Dispatch::Moved { key, client: lease.client.0 };
            dispatches.add_command(self.push(lease.instance, &moved));
        }
    }

    /// Sends dispatches to other phone books, and counts the undelivered ones.
    pub(super) async fn dispatch(&self, dispatches: &Pipeline) {
        let count = number::u64_of(dispatches.len());
        let taken = match self.connection.ask(dispatches).await {
            Ok(values) => number::u64_of(values.iter().filter(|value| **value == Value::Int(1)).count()),
            Err(Unavailable) => 0,
        };
        self.counters.sent.inc_by(taken);
        self.counters.dropped.inc_by(count - taken);
    }
}

fn inbox(instance: u64) -> Vec<u8> {
    plain(&format!("i:{instance:016x}"))
}
