//! Names on Redis: the book's rules, in scripts that Redis runs one after the other. `book` is what they are held against.

use super::{
    Shared,
    record::{self, Record},
    wire::{Args, Away, REGISTER, UNREGISTER, is_full},
};
use crate::{
    book::{Claim, Contact, Found, Key, Refused},
    clock::{Moment, millis},
};
use fyteclub_proto::{id::PeerId, limit::PROOF_TIME_WINDOW, phonebook::Visibility};
use redis::{Cmd, Pipeline, Value};
use std::time::Duration;

/// As `Book::is_remembered`: nothing that was signed can be repeated after that.
pub(super) const REPLAYABLE: Duration = PROOF_TIME_WINDOW.saturating_mul(2);

/// Why a write did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Away(#[from] Away),
}

impl Shared {
    /// As [`crate::book::Book::register`], for a signed registration.
    pub(crate) async fn register(
        &self,
        name: &str,
        contact: Contact,
        claim: Claim<'_>,
        now: Moment,
    ) -> Result<(), Unwritten> {
        let Some(Key::Peer(key)) = &contact.key else { return Err(Away.into()) };
        let time = self.wire.time(now);
        let (flags, address) = record::ends(&contact);
        let tag = self.tags.record(name);
        let [ttl, pin, replayable, keep] = self.spans();
        let follows: Vec<u8> = claim.follows.iter().flat_map(|key| *key.as_bytes()).collect();
        let register = REGISTER
            .on(&tag)
            .with(time)
            .with(ttl)
            .with(pin)
            .with(replayable)
            .with(keep)
            .with(self.wire.born())
            .with(claim.time)
            .with(&claim.sequence.to_be_bytes()[..])
            .with(&key.as_bytes()[..])
            .with(follows)
            .with(&[flags][..])
            .with(address);
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(register).add_command(self.census.count(&tag, time));
        let values = self.wire.ask(&pipeline).await?;
        match values.first() {
            Some(value) if is_full(value) => {
                self.full(true);
                Err(Refused::Full.into())
            }
            Some(Value::BulkString(answer)) => {
                self.full(false);
                match verdict(answer, claim.time, now)? {
                    b'k' => Ok(()),
                    _ => Err(Away.into()),
                }
            }
            _ => Err(Away.into()),
        }
    }

    /// As [`crate::book::Book::unregister`], for a signed unregistration.
    pub(crate) async fn unregister(
        &self,
        name: &str,
        claim: (&PeerId, u64),
        now: Moment,
    ) -> Result<bool, Unwritten> {
        let [ttl, pin, replayable, _] = self.spans();
        let unregister = UNREGISTER
            .on(&self.tags.record(name))
            .with(self.wire.time(now))
            .with(ttl)
            .with(pin)
            .with(replayable)
            .with(&claim.1.to_be_bytes()[..])
            .with(&claim.0.as_bytes()[..]);
        match self.wire.ask_one(unregister).await? {
            Value::BulkString(answer) => Ok(verdict(&answer, 0, now)? == b'e'),
            value if is_full(&value) => Err(Refused::Full.into()),
            _ => Err(Away.into()),
        }
    }

    /// As [`crate::book::Book::lookup`], for any number of names at one round trip.
    pub(crate) async fn lookup(&self, names: &[&str], now: Moment) -> Result<Vec<Option<Found>>, Away> {
        let mut pipeline = Pipeline::with_capacity(names.len());
        for name in names {
            pipeline.add_command(self.record_of(name));
        }
        let values = self.wire.ask(&pipeline).await?;
        let told = |value| {
            let record = self.live(&value, now)?;
            (record.visibility != Visibility::Contacts).then(|| record.found())
        };
        Ok(values.into_iter().map(told).collect())
    }

    pub(super) fn record_of(&self, name: &str) -> Cmd {
        redis::cmd("GET").with(self.tags.record(name))
    }

    /// What [`Shared::record_of`] answered, if the registration lives.
    pub(super) fn live(&self, value: &Value, now: Moment) -> Option<Record> {
        let Value::BulkString(bytes) = value else { return None };
        let record = Record::decode(bytes)?;
        record.is_live(self.wire.time(now), millis(self.terms.ttl)).then_some(record)
    }

    /// Milliseconds: the ttl, the pin, what can be repeated, and how long Redis keeps a record for all of them.
    fn spans(&self) -> [u64; 4] {
        let (ttl, pin, replayable) = (millis(self.terms.ttl), millis(self.terms.pin), millis(REPLAYABLE));
        [ttl, pin, replayable, ttl.max(pin).max(replayable)]
    }
}

/// The letter of a script's answer, where it is no refusal. `time` is when the claim was signed.
pub(super) fn verdict(answer: &[u8], time: u64, now: Moment) -> Result<u8, Unwritten> {
    match answer.split_first() {
        Some((b't', _)) => Err(Refused::NameTaken.into()),
        Some((b's', newest)) => {
            let newest = newest.try_into().map(u64::from_be_bytes).map_err(|_| Away)?;
            Err(Refused::Stale { newest }.into())
        }
        Some((b'b', _)) => {
            let offset = i64::try_from(i128::from(time) - i128::from(now.unix_millis())).unwrap_or(i64::MIN);
            Err(Refused::BeforeStart { offset }.into())
        }
        Some((letter, _)) => Ok(*letter),
        None => Err(Away.into()),
    }
}
