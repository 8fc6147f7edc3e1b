//! What is known of one fetch.

use super::words::{FolderId, RequestNumber, Run, WaiterId, Why, sooner};
use crate::{
    fetching::{
        scheduler::Reason,
        speed::{Speed, remaining},
        stage::{Patience, Stage},
        transfer::{RequestId, Transfer},
    },
    id::{BlobHash, PeerId, PlayerName},
    local::{
        Fault,
        reply::{PathKind, SourceStatus, TransferStatus},
    },
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a fetch waits for room on the disk before it says that somebody must make some.
pub(super) const ROOM_TIME: Duration = Duration::from_secs(30);

/// A peer with an open link.
#[derive(Debug)]
pub(super) struct Link {
    pub path: PathKind,
    /// It broke the protocol: the link is being closed.
    pub banned: bool,
}

#[derive(Debug)]
pub(super) struct Fetch {
    pub player: PlayerName,
    pub peer: PeerId,
    /// Who waits, and for which folder.
    pub waiters: BTreeMap<WaiterId, Option<FolderId>>,
    pub began: Instant,
    pub stage: Stage,
    /// The attempt; 0 before the first.
    pub run: Run,
    /// Since when it is in this stage of this attempt.
    pub since: Instant,
    /// When the owner is asked for its document, where that has to wait.
    pub ask_at: Option<Instant>,
    /// When a lost link is used again if it holds after all.
    pub link_at: Option<Instant>,
    /// The scheduler gave it a turn; a link that is lost after that does not take it away.
    pub begun: bool,
    /// Nobody has needed the look so far: it makes no room, only its owner is asked, and local clients hear little of it.
    pub prefetch: bool,
    /// Kept while a lost link is awaited.
    pub running: Option<Running>,
    /// The look that is being handed out.
    pub whole: Option<Whole>,
    /// How often the look was asked for anew because a file of it had changed.
    pub changes: u32,
    /// How often files of the cache vanished under it.
    pub vanished: u32,
    /// What the owner published while its document was on its way.
    pub announced: Option<BlobHash>,
    /// Links lost since something came.
    pub losses: u32,
    /// Bytes that crossed the wire.
    pub wire: u64,
    /// Bytes that were missing, before compression.
    pub fetched: u64,
    /// Since when nothing is asked for it because the disk has no room.
    pub held: Option<Instant>,
    /// How often it met a full disk.
    pub full: u32,
    /// Who brought what for looks that were given up for a newer one.
    pub brought: BTreeMap<PeerId, u64>,
}

/// The transfer of what is missing.
#[derive(Debug)]
pub(super) struct Running {
    pub transfer: Transfer,
    pub look: BlobHash,
    /// The look's distinct blobs, ascending.
    pub blobs: Vec<BlobHash>,
    /// Those that were missing when it was planned.
    pub wanted: Vec<BlobHash>,
    /// Whom each of the transfer's requests went to, and its number.
    pub requests: BTreeMap<RequestId, (PeerId, RequestNumber)>,
    /// Peers that fetch the look themselves, and when each is asked again what it holds.
    pub growing: BTreeMap<PeerId, Instant>,
    /// The transfer's deadline.
    pub due: Option<(Instant, Why)>,
    pub speed: Speed,
}

/// A look that is here, on its way to those who wait for it.
#[derive(Debug)]
pub(super) struct Whole {
    pub wanted: Vec<BlobHash>,
    pub path: Option<PathKind>,
    pub sources: Vec<SourceStatus>,
    /// Who brought how much of it.
    pub brought: Vec<(PeerId, u64)>,
    /// What came of each folder that is written.
    pub folders: BTreeMap<FolderId, Result<(), Fault>>,
}

impl Fetch {
    pub(super) fn new(player: PlayerName, peer: PeerId, stage: Stage, now: Instant) -> Self {
        Self {
            player,
            peer,
            waiters: BTreeMap::new(),
            began: now,
            stage,
            run: 0,
            since: now,
            ask_at: None,
            link_at: None,
            begun: false,
            prefetch: false,
            running: None,
            whole: None,
            changes: 0,
            vanished: 0,
            announced: None,
            losses: 0,
            wire: 0,
            fetched: 0,
            held: None,
            full: 0,
            brought: BTreeMap::new(),
        }
    }

    pub(super) fn enter(&mut self, now: Instant, stage: Stage) {
        if self.stage != stage {
            (self.stage, self.since) = (stage, now);
        }
    }

    /// Whether it is at this stage of this attempt.
    pub(super) fn is_at(&self, stage: Stage, run: Run) -> bool {
        self.stage == stage && self.run == run
    }

    /// The running transfer, while it can use sources.
    pub(super) fn open_transfer(&mut self) -> Option<&mut Running> {
        let open = matches!(self.stage, Stage::Transferring | Stage::AwaitLink);
        self.running.as_mut().filter(|_| open)
    }

    /// Adds what others brought of a look that is not fetched further.
    pub(super) fn keep_brought(&mut self, brought: impl IntoIterator<Item = (PeerId, u64)>) {
        for (peer, bytes) in brought {
            *self.brought.entry(peer).or_default() += bytes;
        }
    }

    /// Who brought how much.
    pub(super) fn sources(&self, names: &BTreeMap<PeerId, PlayerName>) -> Vec<SourceStatus> {
        let mut bytes = self.brought.clone();
        for (peer, more) in self.running.iter().flat_map(|running| running.transfer.brought()) {
            *bytes.entry(peer).or_default() += more;
        }
        let source = |(peer_id, bytes)| SourceStatus { player: names.get(&peer_id).cloned(), peer_id, bytes };
        bytes.into_iter().map(source).collect()
    }

    pub(super) fn status(
        &self,
        reason: Reason,
        names: &BTreeMap<PeerId, PlayerName>,
    ) -> Option<TransferStatus> {
        let running = self.running.as_ref()?;
        let (progress, rate) = (running.transfer.progress(), running.speed.rate());
        Some(TransferStatus {
            player: self.player.clone(),
            peer_id: self.peer,
            appearance: running.look,
            files_done: progress.files_done,
            files_total: progress.files_total,
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            rate,
            sources: self.sources(names),
            remaining_seconds: remaining(progress.bytes_total.saturating_sub(progress.bytes_done), rate),
            reason,
        })
    }

    pub(super) fn deadline(&self) -> Option<(Instant, Why)> {
        let overdue = match self.stage.patience() {
            Patience::Fails(after) => Some((self.since + after, Why::Overdue(self.stage))),
            Patience::Other(_) => None,
        };
        let ask = self.ask_at.filter(|_| self.stage == Stage::AwaitAppearance);
        let link = self.link_at.filter(|_| self.stage == Stage::AwaitLink);
        let held = self.held.map(|since| since + ROOM_TIME);
        let growing = self.running.iter().flat_map(|running| running.growing.values()).min();
        let own = [
            ask.map(|at| (at, Why::DocumentDue)),
            link.map(|at| (at, Why::LinkDue)),
            held.map(|at| (at, Why::RoomDue)),
            growing.map(|at| (*at, Why::HoldingDue)),
            self.running.as_ref().and_then(|running| running.due),
        ];
        own.into_iter().fold(overdue, sooner)
    }
}
