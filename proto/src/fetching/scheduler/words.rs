//! Inputs and outputs of the scheduler.

use crate::id::{BlobHash, PeerId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// A player's distance, in the client's own unit: only the order counts. Finite and not negative.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Distance(f64);

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a distance: it must be a number, 0 or more")]
pub struct DistanceError(f64);

impl Distance {
    /// Whether this one is near enough to stop one at `other`.
    pub(super) fn is_much_nearer_than(self, other: Self) -> bool {
        self.0 * 2.0 < other.0
    }
}

impl TryFrom<f64> for Distance {
    type Error = DistanceError;

    fn try_from(distance: f64) -> Result<Self, DistanceError> {
        // Turns -0.0 into 0.0.
        if distance.is_finite() && distance >= 0.0 {
            Ok(Self(distance + 0.0))
        } else {
            Err(DistanceError(distance))
        }
    }
}

impl From<Distance> for f64 {
    fn from(distance: Distance) -> Self {
        distance.0
    }
}

impl Ord for Distance {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Distance {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Distance {}

/// Why a look is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// A client waits for it.
    #[default]
    Asked,
    /// The player is near.
    Near,
    /// A prefetch, while there was nothing else to do.
    Prefetch,
    /// A reason that this client does not know.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A client waits for this player's look.
    Asked(PeerId),
    /// No client waits for it any more.
    Unasked(PeerId),
    /// All near players and their distances; the others are not near.
    Nearby(BTreeMap<PeerId, Distance>),
    /// A link is open; the contact's published look.
    Linked {
        peer: PeerId,
        offers: Option<BlobHash>,
    },
    /// It published another look.
    Offers {
        peer: PeerId,
        look: Option<BlobHash>,
    },
    /// Its link is gone.
    Parted(PeerId),
    /// No path to it worked.
    Unreachable(PeerId),
    /// The document of a flow arrived, with so many bytes, whatever it says.
    Document {
        peer: PeerId,
        bytes: u64,
    },
    /// So many bytes of a flow are missing.
    Planned {
        peer: PeerId,
        bytes: u64,
    },
    /// So many of them arrived.
    Moved {
        peer: PeerId,
        bytes: u64,
    },
    /// A fetch ended, with or without a turn. Not after [`Output::Stop`].
    Ended {
        peer: PeerId,
        end: End,
    },
    /// Some blob of the look is no longer here.
    Damaged(PeerId),
    /// It is no longer a contact.
    Gone(PeerId),
    /// Whether there is space for prefetches.
    DiskSpace(bool),
    Time,
}

/// How a fetch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// This look is complete.
    Here(BlobHash),
    /// A person does not want the published look.
    Declined,
    Failed,
    /// It was not begun: the contact's allowance of documents is used up for so long.
    Later(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Connect to a near player.
    Reach(PeerId),
    /// Fetch the look; there is a link.
    Begin(PeerId),
    /// Stop fetching it for now; keep its chunks. There are no waiters.
    Stop(PeerId),
}

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A failed one is tried again.
    PauseOver,
    /// A lookup failed by its deadline.
    ReachDue,
    /// A stalled flow gives up its turn.
    FlowStalled,
    /// Prefetched bytes expire.
    BudgetDue,
}
