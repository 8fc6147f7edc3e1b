//! What the scheduler is told and what it says. What follows from it is decided in the machine.

use crate::id::{BlobHash, PeerId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// How far away somebody stands, in whatever the client measures with: only the order counts. Finite and not negative.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Distance(f64);

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a distance: it must be a number, 0 or more")]
pub struct DistanceError(f64);

impl Distance {
    /// Whether going first would be worth stopping somebody at `other` for.
    pub(super) fn is_much_nearer_than(self, other: Self) -> bool {
        self.0 * 2.0 < other.0
    }
}

impl TryFrom<f64> for Distance {
    type Error = DistanceError;

    fn try_from(distance: f64) -> Result<Self, DistanceError> {
        // Adding makes a negative nothing nothing.
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
    /// Somebody waits for it.
    #[default]
    Asked,
    /// The player is near.
    Near,
    /// Nobody needs it yet, and there was nothing else to do.
    Prefetch,
    /// A reason that this client is too old for.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody waits for this player's look.
    Asked(PeerId),
    /// Nobody does any more.
    Unasked(PeerId),
    /// Everybody who is near, and how far; the others are not.
    Nearby(BTreeMap<PeerId, Distance>),
    /// A link is open; what this contact publishes.
    Linked {
        peer: PeerId,
        offers: Option<BlobHash>,
    },
    /// It publishes something else now.
    Offers {
        peer: PeerId,
        look: Option<BlobHash>,
    },
    /// Its link is gone.
    Parted(PeerId),
    /// No way to it worked.
    Unreachable(PeerId),
    /// The signed document of a look that flows came, with so many bytes, whatever it says.
    Document {
        peer: PeerId,
        bytes: u64,
    },
    /// So many bytes of a look that flows are missing.
    Planned {
        peer: PeerId,
        bytes: u64,
    },
    /// So many of them came.
    Moved {
        peer: PeerId,
        bytes: u64,
    },
    /// A fetch is over, whether it flowed or not. Not said after [`Output::Stop`].
    Ended {
        peer: PeerId,
        end: End,
    },
    /// Something of the look that was here is not any more.
    Damaged(PeerId),
    /// It is no contact any more.
    Gone(PeerId),
    /// Whether there is room for what nobody needs yet.
    Room(bool),
    Time,
}

/// How a fetch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// This look is here.
    Here(BlobHash),
    /// A person does not want what is offered now.
    Declined,
    Failed,
    /// It was not begun: the contact's allowance of documents is used up for so long.
    Later(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Find a way to who is near.
    Reach(PeerId),
    /// Fetch the look; there is a link.
    Begin(PeerId),
    /// Fetch it no further for now; what came is kept. Nobody waits for it.
    Stop(PeerId),
}

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// What failed is tried again.
    PauseOver,
    /// Who is being looked for was not found.
    ReachDue,
    /// A look that does not move keeps nobody waiting.
    FlowStalled,
    /// What was brought a day ago counts no more.
    BudgetDue,
}
