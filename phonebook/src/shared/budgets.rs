//! Budgets shared by all phone books of one name. Each charges its local budget first, so that a refusal costs Redis
//! nothing; without Redis only the local ones count.

use super::{
    Shared, Unavailable, WriteError,
    connection::{Args, CHARGE, SEQUENCE, is_full},
    names::{self, REPLAYABLE},
};
use crate::{
    book::Refused,
    clock::{Moment, millis},
    limits::{Class, Rate},
};
use fyteclub_proto::id::PeerId;
use redis::{Cmd, Value};
use std::{net::IpAddr, time::Duration};

/// The owner of a budget.
#[derive(Debug, Clone, Copy)]
pub(super) enum Payer<'a> {
    Address(IpAddr),
    Key(&'a PeerId),
}

impl Shared {
    /// Returns the missing time; none without Redis.
    pub(crate) async fn charge_address(
        &self,
        class: Class,
        address: IpAddr,
        cost: u32,
        now: Moment,
    ) -> Result<(), Duration> {
        self.charge(class, Payer::Address(address), cost, now).await
    }

    /// Likewise, once.
    pub(crate) async fn charge_key(&self, class: Class, key: &PeerId, now: Moment) -> Result<(), Duration> {
        self.charge(class, Payer::Key(key), 1, now).await
    }

    pub(super) async fn charge(
        &self,
        class: Class,
        payer: Payer<'_>,
        cost: u32,
        now: Moment,
    ) -> Result<(), Duration> {
        let Some(cmd) = self.charge_command(class, payer, cost, now) else { return Ok(()) };
        missing(self.connection.ask_one(cmd).await.ok().as_ref())
    }

    /// `None` if unlimited.
    pub(super) fn charge_command(
        &self,
        class: Class,
        payer: Payer<'_>,
        cost: u32,
        now: Moment,
    ) -> Option<Cmd> {
        let (rate, tag) = match payer {
            Payer::Address(address) => {
                (self.rates.by_address(class)?, self.keyspace.address_budget(class.name(), address))
            }
            Payer::Key(key) => (self.rates.by_key(class)?, self.keyspace.key_budget(class.name(), key)),
        };
        let (one, burst) = spans(rate);
        // As `Budgets::charge`.
        let asked = (one * u64::from(cost)).min(burst);
        Some(CHARGE.on(&tag).with(self.connection.time(now) * 1000).with(one).with(burst).with(asked))
    }

    /// As `Sequences::take`, for all phone books of the name.
    pub(crate) async fn take_sequence(
        &self,
        key: &PeerId,
        sequence: u64,
        time: u64,
        now: Moment,
    ) -> Result<(), WriteError> {
        let take = SEQUENCE
            .on(&self.keyspace.sequence(key))
            .with(&sequence.to_be_bytes()[..])
            .with(self.connection.born())
            .with(time)
            .with(millis(REPLAYABLE));
        match self.connection.ask_one(take).await? {
            Value::BulkString(answer) => names::verdict(&answer, time, now).map(|_| ()),
            value if is_full(&value) => Err(Refused::Full.into()),
            _ => Err(Unavailable.into()),
        }
    }
}

pub(super) fn missing(value: Option<&Value>) -> Result<(), Duration> {
    match value {
        Some(Value::Int(missing @ 1..)) => Err(Duration::from_micros(missing.cast_unsigned())),
        _ => Ok(()),
    }
}

/// Microseconds for one, and for the whole burst.
fn spans(rate: Rate) -> (u64, u64) {
    let one = u64::try_from(rate.each().as_micros()).unwrap_or(u64::MAX);
    (one, one.saturating_mul(rate.burst().get().into()))
}
