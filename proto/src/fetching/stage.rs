//! The stages of a fetch, and how long each may last.
//!
//! Facts move a fetch from stage to stage, and a fact can be lost: an actor ends with an unread message. So each stage
//! either has a time after which the fetch fails, or names what ends it.

use std::time::Duration;

/// Longer than three tries of [`crate::reaching::connector`] with their pauses, and each try at its longest.
pub const LINK_TIME: Duration = Duration::from_secs(120);
/// Longer than [`crate::limit::document_time`] of the longest document, so that only a lost answer reaches it.
pub const APPEARANCE_TIME: Duration =
    crate::limit::document_time(crate::number::u64_of(crate::limit::APPEARANCE_BYTES_MAX))
        .saturating_add(Duration::from_secs(60));

/// Where a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The owner is being dialled.
    AwaitLink,
    /// There is a link, and other fetches go first.
    AwaitTurn,
    /// The owner was asked for the document, or will be in a moment.
    AwaitAppearance,
    /// The document is checked and compared with the store.
    AwaitPlan,
    Transferring,
    /// The last files are synced and the mod folder is written.
    AwaitFolder,
}

/// What ends a stage without a fact from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageEnd {
    /// The fetch fails after this time in the stage.
    Fails(Duration),
    /// Something else ends it, with deadlines of its own or on this machine.
    Other(&'static str),
}

impl Stage {
    pub const ALL: [Self; 6] = [
        Self::AwaitLink,
        Self::AwaitTurn,
        Self::AwaitAppearance,
        Self::AwaitPlan,
        Self::Transferring,
        Self::AwaitFolder,
    ];

    pub fn ends_by(self) -> StageEnd {
        match self {
            Self::AwaitLink => StageEnd::Fails(LINK_TIME),
            Self::AwaitTurn => StageEnd::Other("the scheduler: a stalled fetch gives up its turn"),
            Self::AwaitAppearance => StageEnd::Fails(APPEARANCE_TIME),
            Self::AwaitPlan => {
                StageEnd::Other("blocking jobs, which end by themselves, and a question that has its time")
            }
            Self::Transferring => StageEnd::Other("the transfer's deadlines; on a full disk, the cache's"),
            Self::AwaitFolder => StageEnd::Other("a blocking job, which ends by itself"),
        }
    }

    /// Whether a fetch that has been in this stage for `lasted` has to fail.
    pub fn is_overdue(self, lasted: Duration) -> bool {
        match self.ends_by() {
            StageEnd::Fails(after) => lasted >= after,
            StageEnd::Other(_) => false,
        }
    }
}
