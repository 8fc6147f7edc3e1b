//! Simple peers, disk and clients around the machine. Each input is followed by the invariants.

use crate::{
    chunk_tree::chunk_count,
    fetching::{
        fetch::*,
        stage::Stage,
        transfer::{self, Wanted},
    },
    id::{BlobHash, PeerId, PlayerName},
    limit::CHUNK_SIZE,
    local::{
        Event, Fault, FaultCode,
        reply::{Fetched, PathKind},
        request::Strings,
    },
    peer::HoldingReply,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

pub(super) fn player(n: u8) -> PlayerName {
    format!("P{n} X@Y").parse().unwrap()
}

pub(super) fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n + 1; 32])
}

pub(super) fn number(peer: PeerId) -> u8 {
    peer.as_bytes()[0] - 1
}

pub(super) fn fault(code: FaultCode) -> Fault {
    Fault::new(code, "a fault")
}

/// A player's look: some small blobs and a large one.
pub(super) fn look(n: u8, version: u8) -> BlobHash {
    BlobHash::of(&[n, version])
}

pub(super) const LARGE: u64 = 4 * CHUNK_SIZE as u64;

pub(super) fn plan(n: u8, version: u8) -> Planned {
    let wanted = (0..4_u8).map(|at| {
        let size = if at == 0 { LARGE } else { 1000 };
        Wanted {
            hash: BlobHash::of(&[n, version, at]),
            size,
            tree: chunk_count(size) == 1,
            missing: std::iter::once(0..chunk_count(size)).collect(),
        }
    });
    let wanted: Vec<Wanted> = wanted.collect();
    let mut blobs: Vec<_> = wanted.iter().map(|wanted| wanted.hash).collect();
    blobs.sort_unstable();
    let bytes = wanted.iter().map(|wanted| wanted.size).sum();
    Planned { look: look(n, version), blobs, wanted, missing_bytes: bytes, files: 4, bytes }
}

fn fetched(n: u8, version: u8) -> Box<Fetched> {
    Box::new(Fetched {
        player: player(n),
        appearance: look(n, version),
        files: Vec::new(),
        bytes_total: 0,
        bytes_transferred: 0,
        bytes_fetched: 0,
        seconds: 0.0,
        path: None,
        sources: Vec::new(),
        objects: Vec::new(),
        strings: Strings::default(),
        out: None,
    })
}

/// A pending action of the others.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Job {
    Dial(PeerId),
    /// A banned peer's link closes.
    Close(PeerId),
    Document(PeerId, Run),
    Plan(PlayerName, PeerId, Run),
    Holding(PeerId, PeerId, BlobHash),
    HandOut(PlayerName, Run, BTreeMap<FolderId, Vec<WaiterId>>),
    LookAtDisk,
}

pub(super) struct World {
    pub now: Instant,
    pub fetches: Fetches,
    /// The published version of each player.
    pub published: BTreeMap<u8, u8>,
    /// The version that the machine knows of each player.
    told: BTreeMap<u8, u8>,
    pub open: BTreeSet<PeerId>,
    pub jobs: Vec<Job>,
    /// The version of each run's document.
    documents: BTreeMap<Run, u8>,
    /// Runs with a complete look.
    handed_out: BTreeSet<Run>,
    /// Running requests.
    pub pulls: BTreeMap<RequestNumber, Ask>,
    pub waiting: BTreeSet<WaiterId>,
    pub answers: BTreeMap<WaiterId, Result<Box<Fetched>, Fault>>,
    /// All outputs.
    pub said: Vec<Output>,
    next: WaiterId,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    pub(super) fn new(prefetch: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            fetches: Fetches::new(prefetch, now),
            published: (0..9).map(|n| (n, 1)).collect(),
            told: BTreeMap::new(),
            open: BTreeSet::new(),
            jobs: Vec::new(),
            documents: BTreeMap::new(),
            handed_out: BTreeSet::new(),
            pulls: BTreeMap::new(),
            waiting: BTreeSet::new(),
            answers: BTreeMap::new(),
            said: Vec::new(),
            next: 0,
        }
    }

    /// Passes an input to the machine; returns its outputs.
    pub(super) fn tell(&mut self, input: Input) -> Vec<Output> {
        self.fetches.handle(self.now, input);
        let mut said = Vec::new();
        while let Some(output) = self.fetches.poll() {
            self.acts(&output);
            said.push(output);
        }
        self.said.extend(said.iter().cloned());
        self.holds();
        said
    }

    fn acts(&mut self, output: &Output) {
        let job = match output.clone() {
            Output::Want(peer) if !self.open.contains(&peer) => Job::Dial(peer),
            Output::Leave(peer) => return self.jobs.retain(|job| *job != Job::Dial(peer)),
            Output::AskDocument { peer, run, .. } => {
                assert!(self.open.contains(&peer), "nobody can be asked without a link");
                Job::Document(peer, run)
            }
            Output::Plan { player, peer, run, .. } => Job::Plan(player, peer, run),
            Output::AskHolding { peer, owner, look } => Job::Holding(peer, owner, look),
            Output::Ask(ask) => {
                let mut others = self.pulls.values().filter(|other| other.player == ask.player);
                assert!(others.all(|other| other.run == ask.run), "two transfers of one player");
                assert!(self.pulls.insert(ask.number, ask).is_none());
                return;
            }
            Output::Drop { source, number } => {
                let dropped = self.pulls.remove(&number).expect("under way");
                assert_eq!(dropped.source, source);
                return;
            }
            Output::HandOut { player, run, folders } => {
                let n = number(self.fetches.fetches[&player].peer);
                if self.handed_out.insert(run) && self.open.contains(&peer(n)) {
                    assert_eq!(self.documents.get(&run), self.told.get(&n), "not the newest look");
                }
                Job::HandOut(player, run, folders)
            }
            Output::Answer { waiter, result } => {
                assert!(self.waiting.remove(&waiter), "answered twice, or left");
                assert!(self.answers.insert(waiter, result).is_none());
                return;
            }
            Output::Ban { peer, .. } => Job::Close(peer),
            Output::DiskFull => Job::LookAtDisk,
            _ => return,
        };
        if !self.jobs.contains(&job) {
            self.jobs.push(job);
        }
    }

    /// The invariants between inputs.
    fn holds(&self) {
        let fetches = &self.fetches.fetches;
        let waiters: Vec<_> = fetches.values().flat_map(|fetch| fetch.waiters.keys().copied()).collect();
        assert_eq!(waiters.iter().copied().collect::<BTreeSet<_>>(), self.waiting, "who waits");
        assert_eq!(waiters.len(), self.waiting.len(), "waits for two");
        for ask in self.pulls.values() {
            assert!(self.fetches.holds(ask.run), "a request that belongs to nobody: {ask:?}");
        }
        for fetch in fetches.values() {
            let flows = self.fetches.scheduler.flows(&fetch.peer);
            let ends = fetch.stage == Stage::AwaitFolder;
            assert!(flows || !fetch.begun || ends, "a fetch without a turn goes on: {fetch:?}");
            assert!(fetch.begun || ends || !fetch.waiters.is_empty(), "nobody wants it: {fetch:?}");
            assert_eq!(fetch.running.is_some() || fetch.whole.is_some(), self.fetches.holds(fetch.run));
            assert!(!ends || fetch.whole.is_some(), "{fetch:?}");
            assert!(fetch.stage != Stage::Transferring || fetch.running.is_some(), "{fetch:?}");
            let open = self.open.contains(&fetch.peer);
            assert!(open || !matches!(fetch.stage, Stage::AwaitTurn), "a turn without a link: {fetch:?}");
        }
        for n in self.published.keys() {
            let held = fetches.values().filter(|fetch| fetch.peer == peer(*n)).count();
            assert!(held <= 1, "two fetches of one key");
            let flows = self.fetches.scheduler.flows(&peer(*n));
            assert!(!flows || held == 1, "a turn is held by nobody: {n}");
        }
    }

    pub(super) fn stage(&self, n: u8) -> Option<Stage> {
        self.fetches.fetches.get(&player(n)).map(|fetch| fetch.stage)
    }

    pub(super) fn run(&self, n: u8) -> Run {
        self.fetches.fetches.get(&player(n)).map_or(0, |fetch| fetch.run)
    }

    pub(super) fn ask(&mut self, n: u8, folder: Option<FolderId>) -> WaiterId {
        self.next += 1;
        let waiter = self.next;
        self.waiting.insert(waiter);
        self.tell(Input::Asked { player: player(n), key: Ok(peer(n)), waiter, folder });
        waiter
    }

    pub(super) fn leave(&mut self, waiter: WaiterId) {
        if self.waiting.remove(&waiter) {
            self.tell(Input::Left(waiter));
        }
    }

    pub(super) fn open(&mut self, n: u8) -> Vec<Output> {
        self.jobs.retain(|job| *job != Job::Dial(peer(n)));
        self.open.insert(peer(n));
        self.told.insert(n, self.published[&n]);
        self.tell(Input::Named { peer: peer(n), player: player(n) });
        let offers = Some(look(n, self.published[&n]));
        self.tell(Input::Opened { peer: peer(n), path: PathKind::Direct, offers })
    }

    pub(super) fn lose(&mut self, n: u8) -> Vec<Output> {
        if !self.open.remove(&peer(n)) {
            return Vec::new();
        }
        // Requests over the link break; their facts come after the link's.
        let of_peer = |job: &Job| !matches!(job, Job::Document(of, _) | Job::Close(of) if *of == peer(n));
        self.jobs.retain(of_peer);
        self.tell(Input::Lost(peer(n)))
    }

    pub(super) fn publish(&mut self, n: u8, version: u8) -> Vec<Output> {
        self.published.insert(n, version);
        if !self.open.contains(&peer(n)) {
            return Vec::new();
        }
        self.told.insert(n, version);
        self.tell(Input::Offers { peer: peer(n), look: Some(look(n, version)) })
    }

    pub(super) fn near(&mut self, near: &[u8]) -> Vec<Output> {
        let near = near.iter().map(|n| (player(*n), peer(*n), f64::from(*n).try_into().unwrap()));
        self.tell(Input::Nearby(near.collect()))
    }

    /// Lets the others do one thing properly.
    pub(super) fn act(&mut self, job: Job) {
        match job {
            Job::Dial(peer) => drop(self.open(number(peer))),
            Job::Close(peer) => drop(self.lose(number(peer))),
            Job::Document(peer, run) => {
                self.documents.insert(run, self.published[&number(peer)]);
                self.tell(Input::Document { peer, run, result: Ok(100) });
            }
            Job::Plan(player, peer, run) => {
                let n = number(peer);
                let result = Ok(plan(n, self.documents[&run]));
                self.tell(Input::Planned { player, run, result });
            }
            Job::Holding(peer, owner, look) => {
                let reply = HoldingReply::of([true; 4], false);
                self.tell(Input::Holding { peer, owner, look, reply });
            }
            Job::HandOut(player, run, folders) => {
                // A folder only for waiters who left is not written.
                let written = |waiters: &Vec<WaiterId>| waiters.iter().any(|id| self.waiting.contains(id));
                let written = folders.iter().filter(|(_, waiters)| written(waiters));
                let folders = written.map(|(folder, _)| (*folder, Ok(()))).collect();
                let n = player.as_str()[1..2].parse().unwrap();
                let result = Ok(Written { folders, fetched: fetched(n, self.documents[&run]) });
                self.tell(Input::Written { player, run, result });
            }
            Job::LookAtDisk => drop(self.tell(Input::DiskSpace(Err("the disk is full".into())))),
        }
    }

    /// The disk's answer when all is well.
    pub(super) fn written(&self, n: u8) -> Written {
        Written { folders: Vec::new(), fetched: fetched(n, self.documents[&self.run(n)]) }
    }

    /// Serves one request: all of it, or its next chunk.
    pub(super) fn serve(&mut self, number: RequestNumber, whole: bool) {
        let Some(ask) = self.pulls.get_mut(&number) else { return };
        let (player, run, request) = (ask.player.clone(), ask.run, ask.request);
        let mut facts = Vec::new();
        while let Some(piece) = ask.pieces.first_mut() {
            if std::mem::take(&mut piece.tree) {
                facts.push(transfer::Input::Tree { request, hash: piece.hash });
            }
            let count = if whole { piece.count } else { 1 };
            let chunks = piece.first..piece.first + count;
            facts.push(transfer::Input::Verified { request, hash: piece.hash, chunks });
            (piece.first, piece.count) = (piece.first + count, piece.count - count);
            if piece.count == 0 {
                ask.pieces.remove(0);
            }
            if !whole {
                break;
            }
        }
        if ask.pieces.is_empty() {
            facts.push(transfer::Input::Ended { request, end: transfer::End::Complete });
            self.pulls.remove(&number);
        }
        self.tell(Input::Received { player, run, facts, wire: 1000 });
    }

    /// Ends one request like this.
    pub(super) fn end(&mut self, number: RequestNumber, end: impl FnOnce(&Ask) -> transfer::End) {
        let Some(ask) = self.pulls.remove(&number) else { return };
        let facts = vec![transfer::Input::Ended { request: ask.request, end: end(&ask) }];
        self.tell(Input::Received { player: ask.player, run: ask.run, facts, wire: 0 });
    }

    /// Does the first pending action for this player's fetch; returns whether there was one.
    pub(super) fn step(&mut self, n: u8) -> bool {
        let of_player = |job: &Job| match job {
            Job::Dial(of) | Job::Document(of, _) | Job::Plan(_, of, _) => *of == peer(n),
            Job::HandOut(of, ..) => *of == player(n),
            Job::Close(_) | Job::Holding(..) | Job::LookAtDisk => false,
        };
        if let Some(at) = self.jobs.iter().position(of_player) {
            let job = self.jobs.remove(at);
            self.act(job);
            return true;
        }
        let pull = self.pulls.iter().find(|(_, ask)| ask.owner == peer(n)).map(|(number, _)| *number);
        pull.map(|number| self.serve(number, true)).is_some()
    }

    /// Does everything that can be done without time passing.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.jobs.is_empty() {
                let job = self.jobs.remove(0);
                self.act(job);
            } else if let Some(number) = self.pulls.keys().next().copied() {
                self.serve(number, true);
            } else {
                return;
            }
        }
        panic!("it never settles: {:?}", self.said.iter().rev().take(20).collect::<Vec<_>>());
    }

    /// Advances time from deadline to deadline. `between` runs after each.
    pub(super) fn wait(&mut self, time: Duration, mut between: impl FnMut(&mut Self)) {
        let until = self.now + time;
        while let Some((at, why)) = self.fetches.deadline().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.tell(Input::Time);
            let next = self.fetches.deadline();
            assert!(
                next.is_none_or(|(at, _)| at > self.now),
                "a deadline that does not pass: {why:?} {next:?}"
            );
            between(self);
        }
        self.now = until;
        self.tell(Input::Time);
        between(self);
    }

    /// Finishes the jobs of this machine, whoever else is silent.
    pub(super) fn end_local_jobs(&mut self) {
        while let Some(at) =
            self.jobs.iter().position(|job| matches!(job, Job::Plan(..) | Job::HandOut(..) | Job::Close(_)))
        {
            let job = self.jobs.remove(at);
            self.act(job);
        }
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.said.iter().filter_map(|output| match output {
            Output::Tell(event) => Some(event),
            _ => None,
        })
    }
}
