//! The store of names: the local book, or a shared Redis. The local book never waits.

use crate::{
    book::{Book, Claim, Contact, Found, Terms},
    clock::Moment,
    shared::{Shared, Unavailable, WriteError},
};
use fyteclub_proto::{id::PeerId, ledger::Count};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) enum Records {
    Own(Book),
    Shared(Arc<Shared>),
}

impl Records {
    pub(crate) fn new(terms: Terms, shared: Option<&Arc<Shared>>) -> Self {
        match shared {
            None => Self::Own(Book::new(terms)),
            Some(shared) => Self::Shared(Arc::clone(shared)),
        }
    }

    pub(crate) fn own(&self) -> Option<&Book> {
        match self {
            Self::Own(book) => Some(book),
            Self::Shared(_) => None,
        }
    }

    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        match self {
            Self::Own(_) => None,
            Self::Shared(shared) => Some(shared),
        }
    }

    pub(crate) async fn register(
        &self,
        name: &str,
        contact: Contact,
        claim: Claim<'_>,
        now: Moment,
    ) -> Result<(), WriteError> {
        match self {
            Self::Own(book) => Ok(book.register(name, contact, claim, now)?),
            Self::Shared(shared) => shared.register(name, contact, claim, now).await,
        }
    }

    pub(crate) async fn unregister(
        &self,
        name: &str,
        claim: (&PeerId, u64),
        now: Moment,
    ) -> Result<bool, WriteError> {
        match self {
            Self::Own(book) => Ok(book.unregister(name, claim, now)?),
            Self::Shared(shared) => shared.unregister(name, claim, now).await,
        }
    }

    pub(crate) async fn lookup(&self, name: &str, now: Moment) -> Result<Option<Found>, Unavailable> {
        match self {
            Self::Own(book) => Ok(book.lookup(name, now)),
            Self::Shared(shared) => Ok(shared.lookup(&[name], now).await?.pop().flatten()),
        }
    }

    /// One round trip.
    pub(crate) async fn lookup_many(
        &self,
        names: &[&str],
        now: Moment,
    ) -> Result<Vec<Option<Found>>, Unavailable> {
        match self {
            Self::Own(book) => Ok(names.iter().map(|name| book.lookup(name, now)).collect()),
            Self::Shared(shared) => shared.lookup(names, now).await,
        }
    }

    /// Registered names; approximate with a shared Redis.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Own(book) => book.len(),
            Self::Shared(shared) => shared.users(),
        }
    }

    /// Names charged and refused to customers since the start.
    pub(crate) fn names(&self) -> Count {
        match self {
            Self::Own(book) => book.names(),
            Self::Shared(shared) => shared.names(),
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.own().map_or(0, Book::held)
    }
}
