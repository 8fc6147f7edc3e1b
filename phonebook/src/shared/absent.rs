//! In the place of `shared` where Redis is not built in: a setting that names one is refused, so a [`Shared`] never is.

mod surface;

pub(crate) use surface::{Away, Counters, Errand, Payer, Unwritten};

use crate::{
    book::{Claim, Contact, Found, Terms},
    clock::Moment,
    desk::Desk,
    limits::{Class, Rates},
};
use fyteclub_proto::{id::PeerId, ledger::Count};
use std::{convert::Infallible, io, str::FromStr, sync::Arc, time::Duration};

/// The text names a Redis, and there can be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this program was built without Redis")]
pub struct NotAPlace;

/// See the module: nothing is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Infallible);

impl Place {
    #[must_use]
    pub fn with_secret(self, _: &str) -> Self {
        match self.0 {}
    }
}

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(_: &str) -> Result<Self, NotAPlace> {
        Err(NotAPlace)
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    never: Infallible,
    pub(crate) counters: Counters,
}

impl Shared {
    pub(crate) fn new(place: &Place, _: Terms, _: &Rates, _: Counters) -> io::Result<Self> {
        match place.0 {}
    }

    pub(crate) async fn register(
        &self,
        _: &str,
        _: Contact,
        _: Claim<'_>,
        _: Moment,
    ) -> Result<(), Unwritten> {
        match self.never {}
    }

    pub(crate) async fn unregister(&self, _: &str, _: (&PeerId, u64), _: Moment) -> Result<bool, Unwritten> {
        match self.never {}
    }

    pub(crate) async fn lookup(&self, _: &[&str], _: Moment) -> Result<Vec<Option<Found>>, Away> {
        match self.never {}
    }

    pub(crate) async fn charge(&self, _: Class, _: Payer<'_>, _: u32, _: Moment) -> Result<(), Duration> {
        match self.never {}
    }

    pub(crate) async fn take_sequence(&self, _: &PeerId, _: u64, _: u64, _: Moment) -> Result<(), Unwritten> {
        match self.never {}
    }

    pub(crate) fn names(&self) -> Count {
        match self.never {}
    }

    pub(crate) fn users(&self) -> usize {
        match self.never {}
    }

    pub(crate) fn is_full(&self) -> bool {
        match self.never {}
    }

    pub(crate) fn send(&self, _: Errand) -> bool {
        match self.never {}
    }
}

/// Nothing is to be tended.
pub(crate) async fn tend(_: Arc<Desk>) {}
