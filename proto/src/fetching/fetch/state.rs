//! The state of one fetch.

use super::words::{FolderId, RequestNumber, Run, WaiterId, Why, sooner};
use crate::{
    fetching::{
        scheduler::Reason,
        speed::{Speed, remaining},
        stage::{Stage, StageEnd},
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

/// How long a fetch waits for disk space before it fails.
pub(super) const ROOM_TIME: Duration = Duration::from_secs(30);

/// A peer with an open link.
#[derive(Debug)]
pub(super) struct Link {
    pub path: PathKind,
    /// The peer is banned: the link is being closed.
    pub banned: bool,
}

#[derive(Debug)]
pub(super) struct Fetch {
    pub player: PlayerName,
    pub peer: PeerId,
    /// The waiters, and their folders.
    pub waiters: BTreeMap<WaiterId, Option<FolderId>>,
    pub began: Instant,
    pub stage: Stage,
    /// The number of the attempt; 0 before the first.
    pub run: Run,
    /// Since when this attempt is in this stage.
    pub since: Instant,
    /// When to ask the owner for its document, if that is postponed.
    pub ask_at: Option<Instant>,
    /// When a link that was thought lost is used again if it holds.
    pub link_at: Option<Instant>,
    /// The scheduler gave it a turn; a lost link does not take it away.
    pub begun: bool,
    /// A prefetch: it evicts nothing, asks only its owner, and few events tell of it.
    pub prefetch: bool,
    /// Kept while a lost link is awaited.
    pub running: Option<Running>,
    /// The complete look that is being handed out.
    pub whole: Option<Whole>,
    /// How often the look was requested again because a file of it had changed.
    pub changes: u32,
    /// How often files of the cache disappeared under it.
    pub vanished: u32,
    /// The look that the owner published while its document was under way.
    pub announced: Option<BlobHash>,
    /// Links lost since the last progress.
    pub losses: u32,
    /// Bytes on the wire.
    pub wire: u64,
    /// Missing bytes, before compression.
    pub fetched: u64,
    /// Since when it is held because the disk is full.
    pub held: Option<Instant>,
    /// How often it met a full disk.
    pub full: u32,
    /// Bytes by source of older looks' transfers.
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
    /// The source and the number of each of the transfer's requests.
    pub requests: BTreeMap<RequestId, (PeerId, RequestNumber)>,
    /// Peers that fetch the same look, and when to ask each again what it holds.
    pub growing: BTreeMap<PeerId, Instant>,
    /// The transfer's deadline.
    pub due: Option<(Instant, Why)>,
    pub speed: Speed,
}

/// A complete look, on its way to its waiters.
#[derive(Debug)]
pub(super) struct Whole {
    pub wanted: Vec<BlobHash>,
    pub path: Option<PathKind>,
    pub sources: Vec<SourceStatus>,
    /// Bytes by source.
    pub brought: Vec<(PeerId, u64)>,
    /// The result of each written folder.
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

    /// Whether it is in this stage of this attempt.
    pub(super) fn is_at(&self, stage: Stage, run: Run) -> bool {
        self.stage == stage && self.run == run
    }

    /// The running transfer, if it can use sources.
    pub(super) fn open_transfer(&mut self) -> Option<&mut Running> {
        let open = matches!(self.stage, Stage::Transferring | Stage::AwaitLink);
        self.running.as_mut().filter(|_| open)
    }

    /// Adds the bytes by source of a transfer that ended.
    pub(super) fn keep_brought(&mut self, brought: impl IntoIterator<Item = (PeerId, u64)>) {
        for (peer, bytes) in brought {
            *self.brought.entry(peer).or_default() += bytes;
        }
    }

    /// Bytes by source.
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
        let overdue = match self.stage.ends_by() {
            StageEnd::Fails(after) => Some((self.since + after, Why::Overdue(self.stage))),
            StageEnd::Other(_) => None,
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
