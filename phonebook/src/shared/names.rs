//! Names in Redis: the book's rules as scripts, which Redis runs one at a time. A test compares them with `book`.

use super::{
    Shared, Unavailable, WriteError,
    connection::{Args, HOLD, HOLD_ON, REGISTER, UNREGISTER, is_full},
    keyspace,
    record::{self, Record},
};
use crate::{
    book::{Claim, Contact, Found, Refused, Terms},
    clock::{Moment, millis},
};
use fyteclub_proto::{id::PeerId, ledger::Count, limit::PROOF_TIME_WINDOW, phonebook::Visibility};
use redis::{Cmd, Pipeline, Value};
use std::{sync::PoisonError, time::Duration};

/// As `Book::is_remembered`.
pub(super) const REPLAYABLE: Duration = PROOF_TIME_WINDOW.saturating_mul(2);

impl Shared {
    /// As [`crate::book::Book::register`].
    pub(crate) async fn register(
        &self,
        name: &str,
        contact: Contact,
        claim: Claim<'_>,
        now: Moment,
    ) -> Result<(), WriteError> {
        let key = &contact.key;
        let time = self.connection.time(now);
        let tag = self.keyspace.record(name);
        let customer = self.keyspace.customer(contact.address.ip());
        let entry = Entry { contact: &contact, key, claim: &claim, tag: &tag, customer };
        let first = self.connection.ask_one(self.register_command(&entry, time, b"n")).await?;
        let answer = self.taken(Some(&first))?;
        let charged = match answer.split_first() {
            Some((b'c', _)) => {
                if !self.hold(customer, &tag, time).await? {
                    return Err(Refused::TooManyNames.into());
                }
                b"y"
            }
            // As `Book::moved`: without room, the old customer stays charged.
            Some((b'm', _)) => {
                if self.hold(customer, &tag, time).await? {
                    b"y"
                } else {
                    b"r"
                }
            }
            _ => {
                verdict(answer, claim.time, now)?;
                return self.counted(customer, &tag, time, kept_for(answer)?).await;
            }
        };
        let second = self.connection.ask_one(self.register_command(&entry, time, charged)).await?;
        let kept = self.taken(Some(&second)).and_then(|answer| {
            verdict(answer, claim.time, now)?;
            kept_for(answer)
        });
        // A customer that does not hold the name is not charged.
        let old = answer.get(1..).and_then(|old| <[u8; 4]>::try_from(old).ok());
        match (&kept, charged, old) {
            (Ok(keep), b"r", Some(old)) => self.counted(old, &tag, time, *keep).await?,
            (Ok(keep), ..) => {
                self.counted(customer, &tag, time, *keep).await?;
                if let Some(old) = old {
                    self.release(old, &tag).await?;
                }
            }
            (Err(_), b"y", _) => self.release(customer, &tag).await?,
            (Err(_), ..) => {}
        }
        kept.map(|_| ())
    }

    /// Extends the customer's hold on the name by `keep` milliseconds, and counts the name.
    async fn counted(&self, customer: [u8; 4], tag: &[u8], time: u64, keep: u64) -> Result<(), WriteError> {
        let hold_on = HOLD_ON.on(&keyspace::names_of(customer)).with(time + keep).with(tag);
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(hold_on.with(self.spans().keep));
        pipeline.add_command(self.cardinality.count(tag, time));
        self.connection.ask(&pipeline).await?;
        Ok(())
    }

    async fn release(&self, customer: [u8; 4], tag: &[u8]) -> Result<(), WriteError> {
        self.connection.ask_one(redis::cmd("ZREM").with(keyspace::names_of(customer)).with(tag)).await?;
        Ok(())
    }

    fn register_command(&self, entry: &Entry<'_>, time: u64, charged: &[u8; 1]) -> Cmd {
        let Entry { contact, key, claim, tag, customer } = entry;
        let (flags, address) = record::ends(contact);
        let Spans { ttl, pin, once, replayable, .. } = self.spans();
        let follows: Vec<u8> = claim.follows.iter().flat_map(|key| *key.as_bytes()).collect();
        REGISTER
            .on(tag)
            .with(time)
            .with(ttl)
            .with(pin)
            .with(once)
            .with(replayable)
            .with(self.connection.born())
            .with(claim.time)
            .with(&claim.sequence.to_be_bytes()[..])
            .with(&key.as_bytes()[..])
            .with(follows)
            .with(flags)
            .with(address)
            .with(&customer[..])
            .with(&charged[..])
    }

    /// The answer to a write.
    ///
    /// # Errors
    /// Redis was out of memory, or answered nonsense.
    fn taken<'a>(&self, value: Option<&'a Value>) -> Result<&'a [u8], WriteError> {
        match value {
            Some(value) if is_full(value) => {
                self.full(true);
                Err(Refused::Full.into())
            }
            Some(Value::BulkString(answer)) => {
                self.full(false);
                Ok(answer)
            }
            _ => Err(Unavailable.into()),
        }
    }

    /// Charges a name to a customer. Returns false if the customer has its share.
    async fn hold(&self, customer: [u8; 4], tag: &[u8], time: u64) -> Result<bool, WriteError> {
        let keep = self.spans().keep;
        let hold = HOLD.on(&keyspace::names_of(customer)).with(time).with(time + keep);
        let hold = hold.with(self.terms.max_of_one).with(tag).with(keep);
        let held = self.connection.ask_one(hold).await?;
        let held = match held {
            Value::Int(held) => held == 1,
            value if is_full(&value) => return Err(Refused::Full.into()),
            _ => return Err(Unavailable.into()),
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.charged += u64::from(held);
        names.refusals += u64::from(!held);
        Ok(held)
    }

    /// Names charged and refused to customers by this phone book.
    pub(crate) fn names(&self) -> Count {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`crate::book::Book::unregister`].
    pub(crate) async fn unregister(
        &self,
        name: &str,
        claim: (&PeerId, u64),
        now: Moment,
    ) -> Result<bool, WriteError> {
        let Spans { ttl, pin, once, replayable, .. } = self.spans();
        let unregister = UNREGISTER
            .on(&self.keyspace.record(name))
            .with(self.connection.time(now))
            .with(ttl)
            .with(pin)
            .with(once)
            .with(replayable)
            .with(&claim.1.to_be_bytes()[..])
            .with(&claim.0.as_bytes()[..]);
        match self.connection.ask_one(unregister).await? {
            Value::BulkString(answer) => Ok(verdict(&answer, 0, now)? == b'e'),
            value if is_full(&value) => Err(Refused::Full.into()),
            _ => Err(Unavailable.into()),
        }
    }

    /// As [`crate::book::Book::lookup`], for several names in one round trip.
    pub(crate) async fn lookup(
        &self,
        names: &[&str],
        now: Moment,
    ) -> Result<Vec<Option<Found>>, Unavailable> {
        let mut pipeline = Pipeline::with_capacity(names.len());
        for name in names {
            pipeline.add_command(self.record_of(name));
        }
        let values = self.connection.ask(&pipeline).await?;
        let told = |value| {
            let record = self.live(&value, now)?;
            (record.visibility != Visibility::Contacts).then(|| record.found())
        };
        Ok(values.into_iter().map(told).collect())
    }

    pub(super) fn record_of(&self, name: &str) -> Cmd {
        redis::cmd("GET").with(self.keyspace.record(name))
    }

    /// The record, if its registration lives.
    pub(super) fn live(&self, value: &Value, now: Moment) -> Option<Record> {
        let Value::BulkString(bytes) = value else { return None };
        let record = Record::decode(bytes)?;
        record.is_live(self.connection.time(now), millis(self.terms.ttl)).then_some(record)
    }

    fn spans(&self) -> Spans {
        let Terms { ttl, pin, pin_once, .. } = self.terms;
        let (ttl, pin, replayable) = (millis(ttl), millis(pin), millis(REPLAYABLE));
        let once = millis(pin_once).min(pin);
        Spans { ttl, pin, once, replayable, keep: ttl.max(pin).max(replayable) }
    }
}

/// The content of a registration.
struct Entry<'a> {
    contact: &'a Contact,
    key: &'a PeerId,
    claim: &'a Claim<'a>,
    tag: &'a [u8],
    customer: [u8; 4],
}

/// Milliseconds: the lifetimes of records, and the longest of them.
struct Spans {
    ttl: u64,
    pin: u64,
    /// For a name that was registered only once.
    once: u64,
    replayable: u64,
    keep: u64,
}

/// Milliseconds for which Redis keeps a new record.
fn kept_for(answer: &[u8]) -> Result<u64, WriteError> {
    match answer.split_first() {
        Some((b'k', keep)) => Ok(keep.try_into().map(u64::from_be_bytes).map_err(|_| Unavailable)?),
        _ => Err(Unavailable.into()),
    }
}

/// The answer's letter, unless it is a refusal. `time` is when the claim was signed.
pub(super) fn verdict(answer: &[u8], time: u64, now: Moment) -> Result<u8, WriteError> {
    match answer.split_first() {
        Some((b't', _)) => Err(Refused::NameTaken.into()),
        Some((b's', newest)) => {
            let newest = newest.try_into().map(u64::from_be_bytes).map_err(|_| Unavailable)?;
            Err(Refused::Stale { newest }.into())
        }
        Some((b'b', _)) => {
            let offset = i64::try_from(i128::from(time) - i128::from(now.unix_millis())).unwrap_or(i64::MIN);
            Err(Refused::BeforeStart { offset }.into())
        }
        Some((letter, _)) => Ok(*letter),
        None => Err(Unavailable.into()),
    }
}
