//! Inputs and orders of the fetching desk.

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
    /// An input of the machine, passed on as it is.
    Machine(fetch::Input),
    /// The answer to [`Order::AskAppearance`].
    Document { peer: PeerId, run: Run, result: Result<(Vec<u8>, Grant), AppearancePullError> },
    /// The answer to [`Order::Plan`], with its grant.
    Planned { player: PlayerName, run: Run, grant: Grant, result: Result<Plan, PlanError> },
    /// A report of the pump of [`Order::Pull`].
    Noted { player: PlayerName, run: Run, note: Note },
    /// The answer to [`Order::HandOut`].
    Written { player: PlayerName, run: Run, folders: Folders, result: Result<Fetched, Unready> },
    /// Five times a second: sends progress, and looks for clients that have left.
    Tick,
}

pub enum Order {
    /// Find a path to this peer, and keep the link.
    Want(PeerId),
    /// The link is no longer needed.
    Leave(PeerId),
    AskAppearance {
        peer: PeerId,
        run: Run,
    },
    Plan(Planning),
    /// If the grant is good, others may be asked for this look, and it may be lent.
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
    /// Ask the owner of a lent look for the next grant.
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
    /// Ask the owner for proofs of complete blobs that came from others.
    Prove(Arc<Plan>),
    HandOut(HandOut),
    Ban {
        peer: PeerId,
        code: CloseCode,
    },
}

/// A document to check and to compare with the store.
pub struct Planning {
    pub player: PlayerName,
    pub peer: PeerId,
    pub run: Run,
    pub document: Vec<u8>,
    pub grant: Grant,
    pub space: Space,
}

/// A look to hand out, once its folders are written.
pub struct HandOut {
    pub player: PlayerName,
    pub run: Run,
    pub plan: Arc<Plan>,
    pub folders: Vec<Folder>,
}
