//! Stands in for `shared` in a build without the feature `redis`: a configuration that names a Redis is refused, so no
//! [`Shared`] ever exists.

mod surface;

pub(crate) use surface::{Unavailable, WriteError};

use crate::{
    app_state::AppState,
    book::{Claim, Contact, Found, Terms},
    clock::Moment,
    config::Place,
    limits::{Class, Rates},
    metrics::RedisCounters,
    signaling::{ClientId, Parcel, Pending},
};
use fyteclub_proto::{id::PeerId, ledger::Count, letter::Attempt, phonebook::live::Say};
use std::{convert::Infallible, io, net::IpAddr, sync::Arc, time::Duration};

#[derive(Debug)]
pub(crate) struct Shared {
    never: Infallible,
    pub(crate) counters: RedisCounters,
}

impl Shared {
    pub(crate) fn new(_: &Place, _: Terms, _: &Rates, _: RedisCounters) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) async fn register(
        &self,
        _: &str,
        _: Contact,
        _: Claim<'_>,
        _: Moment,
    ) -> Result<(), WriteError> {
        match self.never {}
    }

    pub(crate) async fn unregister(&self, _: &str, _: (&PeerId, u64), _: Moment) -> Result<bool, WriteError> {
        match self.never {}
    }

    pub(crate) async fn lookup(&self, _: &[&str], _: Moment) -> Result<Vec<Option<Found>>, Unavailable> {
        match self.never {}
    }

    pub(crate) async fn charge_address(
        &self,
        _: Class,
        _: IpAddr,
        _: u32,
        _: Moment,
    ) -> Result<(), Duration> {
        match self.never {}
    }

    pub(crate) async fn charge_key(&self, _: Class, _: &PeerId, _: Moment) -> Result<(), Duration> {
        match self.never {}
    }

    pub(crate) async fn take_sequence(
        &self,
        _: &PeerId,
        _: u64,
        _: u64,
        _: Moment,
    ) -> Result<(), WriteError> {
        match self.never {}
    }

    pub(crate) fn names(&self) -> Count {
        match self.never {}
    }

    pub(crate) fn users(&self) -> usize {
        match self.never {}
    }

    pub(crate) fn arrived(&self, _: PeerId, _: ClientId, _: Moment) {
        match self.never {}
    }

    pub(crate) fn say(&self, _: ClientId, _: PeerId, _: IpAddr, _: Option<Attempt>, _: Say) -> bool {
        match self.never {}
    }

    pub(crate) fn resolve(&self, _: String, _: Pending) {
        match self.never {}
    }

    pub(crate) fn deliver(&self, _: PeerId, _: Parcel) {
        match self.never {}
    }
}

/// Returns at once: there is no Redis.
pub(crate) async fn supervise(_: Arc<AppState>) {}
