//! What the rest of the phone book names of [`super`], with and without the feature `redis`.

use crate::book::Refused;

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the phone book cannot reach its records now; try again in some seconds")]
pub(crate) struct Unavailable;

/// Why a write failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
