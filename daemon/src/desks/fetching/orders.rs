//! What the fetching desk is told and what it orders.

use crate::pumps::{
    plan::{Folder, Folders, Plan, PlanError, Space, Unready},
    pull::{self, AppearancePullError, Note},
};
use fyteclub_proto::{
    fetching::fetch::{self, RequestNumber, Run},
    grant::Grant,
    id::{BlobHash, PeerId, PlayerName},
    local::reply::Fetched,
    peer::CloseCode,
};
use std::sync::Arc;

pub enum Input {
    /// What the machine is told as it is.
    Machine(fetch::Input),
    /// The answer to [`Order::AskAppearance`].
    Document { peer: PeerId, run: Run, result: Result<(Vec<u8>, Grant), AppearancePullError> },
    /// The answer to [`Order::Plan`], with its grant.
    Planned { player: PlayerName, run: Run, grant: Grant, result: Result<Plan, PlanError> },
    /// What a pump notes of [`Order::Pull`].
    Noted { player: PlayerName, run: Run, note: Note },
    /// The answer to [`Order::HandOut`].
    Written { player: PlayerName, run: Run, folders: Folders, result: Result<Fetched, Unready> },
    /// Progress is told, and who left is looked for; five times a second.
    Tick,
}

pub enum Order {
    /// Find a way to this peer, and keep the link.
    Want(PeerId),
    /// The link is not needed any more.
    Leave(PeerId),
    AskAppearance {
        peer: PeerId,
        run: Run,
    },
    Plan(Planning),
    /// Others may be asked for this look, and it may be passed on, if the grant is good.
    Borrow {
        owner: PeerId,
        grant: Grant,
        plan: Arc<Plan>,
    },
    AskHolding {
        peer: PeerId,
        owner: PeerId,
        look: BlobHash,
    },
    /// Has the owner of a look that is lent give the next grant.
    AskGrant {
        owner: PeerId,
        look: BlobHash,
    },
    Pull {
        source: PeerId,
        number: RequestNumber,
        player: PlayerName,
        run: Run,
        ask: pull::Ask,
    },
    StopPull {
        source: PeerId,
        number: RequestNumber,
    },
    /// Have the owner prove what of a look that is here whole did not come from it.
    Prove(Arc<Plan>),
    HandOut(HandOut),
    Ban {
        peer: PeerId,
        code: CloseCode,
    },
}

/// A document to be checked and compared with the store.
pub struct Planning {
    pub player: PlayerName,
    pub peer: PeerId,
    pub run: Run,
    pub document: Vec<u8>,
    pub grant: Grant,
    pub space: Space,
}

/// A look to be described, after its folders are written.
pub struct HandOut {
    pub player: PlayerName,
    pub run: Run,
    pub plan: Arc<Plan>,
    pub folders: Vec<Folder>,
}
