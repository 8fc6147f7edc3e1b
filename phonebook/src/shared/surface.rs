//! What the rest of the phone book names of [`super`], with and without the feature `redis`.

use crate::{book::Refused, limits::By};
use fyteclub_proto::id::PeerId;
use std::net::IpAddr;

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the phone book cannot reach its records now; try again in some seconds")]
pub struct Unavailable;

/// Why a write failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The owner of a budget.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payer<'a> {
    Address(IpAddr),
    Key(&'a PeerId),
}

impl Payer<'_> {
    pub(crate) fn by(self) -> By {
        match self {
            Self::Address(_) => By::Address,
            Self::Key(_) => By::Key,
        }
    }
}
