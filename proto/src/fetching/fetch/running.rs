//! The running transfer of a fetch: its orders, their results, and its sources.

use super::{
    Fetches,
    stages::misbehaved,
    state::{Fetch, ROOM_TIME, Running},
    words::{Ask, Output, Planned, Run, Unkept, Why},
};
use crate::{
    fetching::{
        scheduler,
        speed::Speed,
        stage::Stage,
        transfer::{self, Failure, Holds, RequestId, Transfer},
    },
    id::{BlobHash, PeerId, PlayerName},
    local::{Event, Fault, FaultCode},
    number,
    peer::{CloseCode, HoldingReply, Piece},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How often a look is requested again because a file of it changed meanwhile.
pub(super) const CHANGES_MAX: u32 = 5;
/// The owner's time to publish the change.
pub(super) const CHANGE_PAUSE: Duration = Duration::from_millis(1500);
/// How often a fetch may meet a full disk that then has space again: a quota does not show in a disk's free space.
pub(super) const FULL_MAX: u32 = 8;
/// How often a peer that fetches the same look is asked what it holds.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Wrong chunks of one peer, over all looks, before it is banned.
pub(super) const WRONGS_MAX: u32 = 2;

impl Fetches {
    pub(super) fn start_transfer(&mut self, now: Instant, player: &PlayerName, plan: Planned) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        let (peer, run) = (fetch.peer, fetch.run);
        let open = self.links.get(&peer).is_some_and(|link| !link.banned);
        // The owner published another look meanwhile.
        if open && fetch.announced.take().is_some_and(|newest| newest != plan.look) {
            return self.ask_document(now, player);
        }
        self.schedule(now, scheduler::Input::Planned { peer, bytes: plan.missing_bytes });
        let waits = |fetch: &&mut Fetch| fetch.is_at(Stage::AwaitPlan, run);
        let Some(fetch) = self.fetches.get_mut(player).filter(waits) else { return };
        self.outputs.push_back(Output::Begin { player: player.clone(), peer, run });
        if !fetch.prefetch {
            self.outputs.push_back(Output::Tell(Event::AppearanceOffered {
                player: player.clone(),
                appearance: plan.look,
                files: plan.files,
                bytes: plan.bytes,
                missing_files: number::u64_of(plan.wanted.len()),
                missing_bytes: plan.missing_bytes,
            }));
        }
        fetch.fetched = plan.missing_bytes + fetch.brought.values().sum::<u64>();
        let wanted = plan.wanted.iter().map(|wanted| wanted.hash).collect();
        let mut transfer = Transfer::new(plan.wanted);
        if self.full.is_some() {
            transfer.handle(now, transfer::Input::Hold(true));
            fetch.held = Some(now);
        }
        // Without a link it reports that it has no source.
        let joined = transfer::Input::Joined(peer, Holds::All);
        transfer.handle(now, if open { joined } else { transfer::Input::Time });
        fetch.enter(now, Stage::Transferring);
        let mut speed = Speed::default();
        speed.look(now, transfer.progress().bytes_done);
        fetch.running = Some(Running {
            transfer,
            look: plan.look,
            blobs: plan.blobs,
            wanted,
            requests: BTreeMap::new(),
            growing: BTreeMap::new(),
            due: None,
            speed,
        });
        self.drive(now, player);
        self.ask_holdings(player);
    }

    /// Carries out all outputs of the transfer.
    pub(super) fn drive(&mut self, now: Instant, player: &PlayerName) {
        while let Some(fetch) = self.fetches.get_mut(player) {
            let Some(output) = fetch.running.as_mut().and_then(|running| running.transfer.poll()) else {
                break;
            };
            match output {
                transfer::Output::Ask { source, request, pieces } => {
                    self.ask(now, player, source, request, pieces);
                }
                transfer::Output::Drop { source, request } => {
                    let asked = fetch.running.as_mut().and_then(|running| running.requests.remove(&request));
                    if let Some((_, number)) = asked {
                        self.say(Output::Drop { source, number });
                    }
                }
                transfer::Output::Suspect { source, hash } => self.suspected(player, source, hash),
                transfer::Output::Accuse { source, code } => self.ban(source, code),
                transfer::Output::Starved(failure) => self.starved(now, player, failure),
                transfer::Output::Done => self.complete(now, player),
                transfer::Output::Failed(failure) => self.transfer_failed(now, player, failure),
            }
        }
        if let Some(running) = self.fetches.get_mut(player).and_then(|fetch| fetch.running.as_mut()) {
            running.due = running.transfer.deadline().map(|(at, why)| (at, Why::Transfer(why)));
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        player: &PlayerName,
        source: PeerId,
        request: RequestId,
        pieces: Vec<Piece>,
    ) {
        let number = self.request;
        self.request += 1;
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        // With a source, the lost link is not awaited.
        fetch.enter(now, Stage::Transferring);
        let (run, owner) = (fetch.run, fetch.peer);
        let Some(running) = fetch.running.as_mut() else { return };
        running.requests.insert(request, (source, number));
        let (player, look) = (player.clone(), running.look);
        self.say(Output::Ask(Ask { player, run, source, owner, look, request, number, pieces }));
    }

    pub(super) fn heard(
        &mut self,
        now: Instant,
        player: &PlayerName,
        run: Run,
        facts: Vec<transfer::Input>,
        wire: u64,
    ) {
        let Some(fetch) = self.fetches.get_mut(player).filter(|fetch| fetch.run == run) else { return };
        let Some(running) = fetch.running.as_mut() else { return };
        fetch.wire += wire;
        let before = running.transfer.progress().bytes_done;
        for fact in facts {
            match &fact {
                transfer::Input::Ended { request, .. } => drop(running.requests.remove(request)),
                transfer::Input::Verified { .. } => fetch.losses = 0,
                _ => {}
            }
            running.transfer.handle(now, fact);
        }
        let bytes = running.transfer.progress().bytes_done.saturating_sub(before);
        if bytes > 0 {
            // Called for every few chunks: the scheduler's deadline is not recomputed.
            self.scheduler.handle(now, scheduler::Input::Moved { peer: fetch.peer, bytes });
        }
        self.drive(now, player);
    }

    pub(super) fn unkept(&mut self, now: Instant, player: &PlayerName, run: Run, why: Unkept) {
        let Some(fetch) = self.fetches.get_mut(player).filter(|fetch| fetch.run == run) else { return };
        if fetch.running.is_none() {
            return;
        }
        match why {
            Unkept::DiskFull(_) if fetch.full < FULL_MAX => {
                // Several requests meet the same full disk.
                fetch.full += u32::from(fetch.held.is_none());
                self.say(Output::DiskFull);
            }
            Unkept::Vanished => {
                self.stop_transfer(player);
                self.fetch_anew(now, player);
            }
            Unkept::DiskFull(fault) | Unkept::Local(fault) => self.fail(now, player, fault),
        }
    }

    fn starved(&mut self, now: Instant, player: &PlayerName, failure: Failure) {
        let (code, says) = match failure {
            Failure::Unreachable => return self.await_link(now, player),
            Failure::Silent => {
                let says =
                    format!("{player}'s daemon stopped sending; verified chunks are kept, so try again");
                (FaultCode::PeerUnreachable, says)
            }
            Failure::Misbehaved(CloseCode::WrongBytes) => {
                let says =
                    format!("{player} sent bytes that do not match their hashes; nothing of it was kept");
                (FaultCode::HashMismatch, says)
            }
            Failure::Misbehaved(_) => return self.fail(now, player, misbehaved(player)),
            Failure::Refused | Failure::Gone | Failure::Changed => {
                (FaultCode::PeerRefused, format!("{player} no longer shares this with you"))
            }
        };
        self.fail(now, player, Fault::new(code, says));
    }

    /// The rest cannot be had: the owner's files are not the published ones. The newest look may have them.
    fn transfer_failed(&mut self, now: Instant, player: &PlayerName, failure: Failure) {
        if matches!(failure, Failure::Misbehaved(_)) {
            return self.starved(now, player, failure);
        }
        // Its missing chunks will not come: others wait for a growing look.
        self.stop_transfer(player);
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        fetch.changes += 1;
        if fetch.changes > CHANGES_MAX {
            let says = match failure {
                Failure::Changed => "some of their files keep changing while they are sent",
                _ => "some of their files were removed since they published",
            };
            let says = format!("{player}'s look did not arrive completely: {says}; try again later");
            return self.fail(now, player, Fault::new(FaultCode::Changed, says));
        }
        fetch.enter(now, Stage::AwaitAppearance);
        fetch.ask_at = Some(now + CHANGE_PAUSE);
    }

    /// Stops the transfer of a fetch that goes on. Its chunks stay, and count.
    pub(super) fn stop_transfer(&mut self, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        let Some(running) = fetch.running.take() else { return };
        fetch.keep_brought(running.transfer.brought());
        let owner = fetch.peer;
        self.stop_requests(owner, &running);
    }

    pub(super) fn stop_requests(&mut self, owner: PeerId, running: &Running) {
        let asked = running.requests.values();
        self.outputs.extend(asked.map(|(source, number)| Output::Drop { source: *source, number: *number }));
        self.say(Output::Settle { owner, look: running.look });
    }

    /// A source sent wrong bytes. Once is a bad disk; a source that goes on is banned, whatever else it sent.
    fn suspected(&mut self, player: &PlayerName, source: PeerId, hash: BlobHash) {
        self.say(Output::Tell(Event::TransferSuspect { player: player.clone(), source, hash }));
        let wrongs = self.wrongs.entry(source).or_default();
        *wrongs += 1;
        if *wrongs >= WRONGS_MAX {
            *wrongs = 0;
            self.ban(source, CloseCode::WrongBytes);
        }
    }

    /// Asks every linked peer what it holds of the look.
    pub(super) fn ask_holdings(&mut self, player: &PlayerName) {
        let Some(fetch) = self.fetches.get(player) else { return };
        let Some(running) = &fetch.running else { return };
        // A prefetch asks only the owner.
        if fetch.prefetch {
            return;
        }
        let (owner, look) = (fetch.peer, running.look);
        let others = self.links.keys().copied().filter(|peer| *peer != owner);
        self.outputs.extend(others.map(|peer| Output::AskHolding { peer, owner, look }));
    }

    /// Asks one newly linked peer about all looks that are being fetched.
    pub(super) fn ask_holdings_of(&mut self, peer: PeerId) {
        for fetch in self.fetches.values().filter(|fetch| fetch.peer != peer && !fetch.prefetch) {
            if let Some(running) = &fetch.running {
                let (owner, look) = (fetch.peer, running.look);
                self.outputs.push_back(Output::AskHolding { peer, owner, look });
            }
        }
    }

    pub(super) fn holding(
        &mut self,
        now: Instant,
        peer: PeerId,
        owner: PeerId,
        look: BlobHash,
        reply: HoldingReply,
    ) {
        let HoldingReply::Holds { bits, growing } = reply else { return };
        if self.links.get(&peer).is_none_or(|link| link.banned) {
            return;
        }
        for player in self.players_of(owner) {
            let running = self.fetches.get_mut(&player).and_then(Fetch::open_transfer);
            let Some(running) = running.filter(|running| running.look == look) else { continue };
            let held = running.blobs.iter().enumerate().filter(|(at, _)| HoldingReply::has(&bits, *at));
            let blobs = held.map(|(_, blob)| *blob).collect();
            if growing {
                running.growing.insert(peer, now + ASK_AGAIN);
            }
            running.transfer.handle(now, transfer::Input::Joined(peer, Holds::These { blobs, growing }));
            self.drive(now, &player);
        }
    }

    /// A source's link is gone.
    pub(super) fn source_lost(&mut self, now: Instant, peer: PeerId) {
        self.tell_transfers(now, &transfer::Input::Left(peer));
    }

    pub(super) fn source_silent(&mut self, now: Instant, peer: PeerId) {
        self.tell_transfers(now, &transfer::Input::Silent(peer));
    }

    fn tell_transfers(&mut self, now: Instant, input: &transfer::Input) {
        for player in self.fetches.keys().cloned().collect::<Vec<_>>() {
            if let Some(running) = self.fetches.get_mut(&player).and_then(Fetch::open_transfer) {
                running.transfer.handle(now, input.clone());
                self.drive(now, &player);
            }
        }
    }

    /// Holds all transfers, or releases them.
    pub(super) fn disk_space(&mut self, now: Instant, full: Option<String>) {
        let (held, before) = (full.is_some(), self.full.is_some());
        self.full = full;
        if held == before {
            return;
        }
        self.schedule(now, scheduler::Input::DiskSpace(!held));
        for player in self.fetches.keys().cloned().collect::<Vec<_>>() {
            let Some(fetch) = self.fetches.get_mut(&player) else { continue };
            let Some(running) = &mut fetch.running else {
                fetch.held = None;
                continue;
            };
            running.transfer.handle(now, transfer::Input::Hold(held));
            fetch.held = held.then_some(now);
            self.drive(now, &player);
        }
    }

    /// Handles a transfer's deadlines.
    pub(super) fn transfer_time(&mut self, now: Instant, player: &PlayerName) {
        let Some(fetch) = self.fetches.get_mut(player) else { return };
        if fetch.held.is_some_and(|since| now >= since + ROOM_TIME) {
            let says = self.full.clone().unwrap_or_default();
            return self.fail(now, player, Fault::new(FaultCode::DiskFull, says));
        }
        let owner = fetch.peer;
        if let Some(running) = &mut fetch.running {
            let due: Vec<_> = running.growing.extract_if(.., |_, at| now >= *at).collect();
            let look = running.look;
            if fetch.open_transfer().is_some() {
                let asks = due.into_iter().map(|(peer, _)| Output::AskHolding { peer, owner, look });
                self.outputs.extend(asks);
            }
        }
        let running = self.fetches.get_mut(player).and_then(|fetch| fetch.running.as_mut());
        if let Some(running) = running.filter(|running| running.due.is_some_and(|(at, _)| now >= at)) {
            running.transfer.handle(now, transfer::Input::Time);
            self.drive(now, player);
        }
    }
}
