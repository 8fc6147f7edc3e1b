//! Every machine has a deadline in every state in which it waits. Each is driven at random under virtual time, and
//! after each step it must either have a deadline or a reason for none (its `idle`). The reasons are listed here, and
//! each must have occurred.

mod reaching;
mod traversal;

use crate::{
    bytes::Bytes,
    contact::{self, Contacts, Here, Policy, Saved},
    fetching::{
        fetch::Fetches,
        pace::{self, Direction, Limits, Pace},
        scheduler::{self, Scheduler},
        stage::{Stage, StageEnd},
        transfer::{self, Holds, Transfer, Wanted},
    },
    id::{BlobHash, PeerId, PlayerName},
    local::{reply::PathKind, request::Who},
    reaching::connector,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const WALKS: u64 = 60;
const STEPS: u32 = 250;

/// Pseudorandom numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn size(&mut self, most: usize) -> usize {
        usize::try_from(self.below(most as u64)).unwrap()
    }

    /// A moment, or a while, or so long that everything is due.
    fn pause(&mut self) -> Duration {
        Duration::from_millis([0, 100, 1_000, 10_000, 200_000][self.size(5)])
    }

    fn peer(&mut self) -> PeerId {
        PeerId::from_bytes([u8::try_from(self.below(4)).unwrap() + 1; 32])
    }

    fn look(&mut self) -> Option<BlobHash> {
        let look = self.below(4);
        (look > 0).then(|| BlobHash::of(&look.to_le_bytes()))
    }
}

/// Drives machines of one kind. `step` changes one, and returns its deadline or the reason for none.
fn walk<M>(
    name: &str,
    idle: &[&'static str],
    new: impl Fn(&mut Dice, Instant) -> M,
    mut step: impl FnMut(&mut M, &mut Dice, Instant) -> (bool, Option<&'static str>),
) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    let start = Instant::now();
    let (mut met, mut waited) = (BTreeSet::new(), false);
    for seed in 0..WALKS {
        let (mut dice, mut now) = (Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), start);
        let mut machine = new(&mut dice, now);
        for steps in 0..STEPS {
            now += dice.pause();
            match step(&mut machine, &mut dice, now) {
                (_, Some(reason)) => drop(met.insert(reason)),
                (true, None) => waited = true,
                (false, None) => panic!("{name}: waits without a deadline, seed {seed}, step {steps}"),
            }
        }
    }
    assert!(waited, "{name} never waited");
    assert_eq!(met, idle.iter().copied().collect(), "{name}");
}

#[test]
fn pace_waits_with_a_deadline() {
    let limited = || Limits {
        upload: (64 << 10).try_into().ok(),
        peer_download: (16 << 10).try_into().ok(),
        ..Limits::default()
    };
    walk(
        "pace",
        &["nobody asks"],
        |_, now| Pace::new(limited(), now),
        |pace, dice, now| {
            use pace::Input;
            let direction = if dice.below(2) == 0 { Direction::Up } else { Direction::Down };
            let (ticket, peer) = (dice.below(1 << 30), dice.peer());
            pace.handle(
                now,
                match dice.below(8) {
                    0..=2 => Input::Ask { ticket, peer, direction, bytes: dice.below(1 << 20) },
                    3 => Input::Withdraw(dice.below(9)),
                    4 => Input::Limits(if dice.below(3) == 0 { Limits::default() } else { limited() }),
                    _ => Input::Time,
                },
            );
            (pace.deadline().is_some(), pace.idle())
        },
    );
}

#[test]
fn scheduler_waits_with_a_deadline() {
    let idle = ["nothing flows", "what flows has stalled, and its fetch has deadlines"];
    walk(
        "scheduler",
        &idle,
        |_, now| Scheduler::new(1 << 20, now),
        |scheduler, dice, now| {
            use scheduler::{End, Input};
            let (peer, look) = (dice.peer(), dice.look());
            let ends = [End::Here(BlobHash::of(b"x")), End::Declined, End::Failed, End::Later(dice.pause())];
            scheduler.handle(
                now,
                match dice.below(14) {
                    0 => Input::Asked(peer),
                    1 => Input::Unasked(peer),
                    2 => Input::Nearby(
                        (0..dice.below(3)).map(|_| (dice.peer(), 1.0.try_into().unwrap())).collect(),
                    ),
                    3 | 4 => Input::Linked { peer, offers: look },
                    5 => Input::Offers { peer, look },
                    6 => Input::Parted(peer),
                    7 => Input::Unreachable(peer),
                    8 => Input::Planned { peer, bytes: dice.below(1 << 20) },
                    9 => Input::Moved { peer, bytes: dice.below(1 << 16) },
                    10 => Input::Ended { peer, end: ends[dice.size(4)] },
                    11 => Input::Document { peer, bytes: dice.below(1 << 16) },
                    _ => Input::Time,
                },
            );
            (scheduler.deadline().is_some(), scheduler.idle())
        },
    );
}

#[test]
fn contacts_wait_with_a_deadline() {
    let names = ["Ann A@W", "Bob B@W", "Cid C@W"].map(|name| name.parse().unwrap());
    let here = || Here { key: PeerId::from_bytes([9; 32]), player: "Own O@W".parse().ok() };
    let idle = ["nobody is to be told anything again: wishes beyond their time stay wishes"];
    let mut at = 1_000_000_000_000_u64;
    let new = |_: &mut Dice, _| Contacts::new(here(), Policy::Ask, Saved::default(), 1_000_000_000_000);
    walk("contacts", &idle, new, |contacts, dice, _| {
        use contact::Input;
        let (key, nonce) = (dice.peer(), Bytes([0; 16]));
        at += [0, 1_000, 300_000, 40 * 24 * 3_600_000][dice.size(4)];
        let player = &names[dice.size(3)];
        let who = Who { player: None, peer_id: Some(key) };
        // Refused wishes are fine, too.
        match dice.below(7) {
            0 => drop(contacts.add(player, Some(key), nonce, at)),
            1 => drop(contacts.add(player, None, nonce, at)),
            2 => drop(contacts.remove(&who)),
            3 => drop(contacts.block(&who, at)),
            4 => contacts.handle(at, Input::Linked(key)),
            5 => contacts.handle(at, Input::Connected),
            _ => contacts.handle(at, Input::Time),
        }
        (contacts.deadline().is_some(), contacts.idle(at))
    });
}

#[test]
fn transfer_waits_with_a_deadline() {
    let idle = [
        "over",
        "held: whoever runs it ends that, or the transfer",
        "starved: whoever runs it finds a source, or gives up",
    ];
    const SIZES: [u64; 6] = [100, 5_000_000, 300_000, 7, 0, 2_000_000];
    let hashes: Vec<BlobHash> = (0..6_u8).map(|n| BlobHash::of(&[n])).collect();
    let new = |_: &mut Dice, _| {
        let wanted = hashes.iter().zip(SIZES);
        let wanted = wanted.map(|(hash, size)| Wanted {
            hash: *hash,
            size,
            tree: crate::chunk_tree::chunk_count(size) == 1,
            missing: std::iter::once(0..crate::chunk_tree::chunk_count(size)).collect(),
        });
        Transfer::new(wanted.collect())
    };
    walk("transfer", &idle, new, |transfer, dice, now| {
        use transfer::{End, Input};
        let (peer, request) = (dice.peer(), dice.below(12));
        let blob = dice.size(6);
        let (hash, last) = (hashes[blob], crate::chunk_tree::chunk_count(SIZES[blob]));
        let blobs = hashes.iter().copied().filter(|_| dice.below(2) == 0).collect();
        let ends = [End::Complete, End::Busy, End::Broken, End::Refused, End::Unkept, End::Wrong(hash)];
        transfer.handle(
            now,
            match dice.below(16) {
                0 => Input::Joined(peer, Holds::All),
                1..=3 => Input::Joined(peer, Holds::These { blobs, growing: dice.below(2) == 0 }),
                4 => Input::Left(peer),
                5 => Input::Received { request },
                6 => Input::Tree { request, hash },
                7 => Input::Verified { request, hash, chunks: 0..last },
                8 => Input::Lacking { request, hash, changed: dice.below(2) == 0 },
                9 => Input::Ended { request, end: ends[dice.size(6)] },
                10 => Input::Hold(dice.below(4) == 0),
                _ => Input::Time,
            },
        );
        (transfer.deadline().is_some(), transfer.idle())
    });
}

#[test]
fn fetches_wait_with_a_deadline() {
    let idle = ["nothing is fetched", "jobs of this machine run, which end by themselves"];
    let new = |_: &mut Dice, now| (Fetches::new(1 << 20, now), 0_u64);
    walk("fetches", &idle, new, |(fetches, run), dice, now| {
        use crate::fetching::fetch::{DocumentFailure, Input, Output, Planned, Unready};
        let peer = dice.peer();
        let player: PlayerName = format!("P{} X@Y", peer.as_bytes()[0]).parse().unwrap();
        // Most often of the running attempt.
        let run_of = *run - dice.below(2).min(*run);
        let look = BlobHash::of(b"x");
        let wanted = |dice: &mut Dice| {
            let missing = std::iter::once(0..1).collect();
            let wanted = Wanted { hash: look, size: 100, tree: true, missing };
            if dice.below(3) == 0 { vec![] } else { vec![wanted] }
        };
        let input = match dice.below(18) {
            0..=2 => Input::Asked {
                player,
                key: Ok(peer),
                waiter: dice.below(1 << 40),
                folder: Some(dice.below(2)),
            },
            3..=5 => Input::Opened { peer, path: PathKind::Lan, offers: dice.look() },
            6 => Input::Lost(peer),
            7 => Input::Unreachable { peer, cause: String::new() },
            8 => Input::Offers { peer, look: dice.look() },
            9 => Input::Document { peer, run: run_of, result: Err(DocumentFailure::Broken) },
            10 | 11 => Input::Document { peer, run: run_of, result: Ok(100) },
            12 | 13 => {
                let (wanted, blobs) = (wanted(dice), vec![look]);
                let plan = Planned { look, blobs, wanted, missing_bytes: 100, files: 1, bytes: 100 };
                Input::Planned { player, run: run_of, result: Ok(plan) }
            }
            14 => Input::Written { player, run: run_of, result: Err(Unready::Vanished) },
            15 => Input::DiskSpace(if dice.below(2) == 0 { Ok(()) } else { Err(String::new()) }),
            16 => Input::Postponed { peer, run: run_of, pause: dice.pause() },
            _ => Input::Time,
        };
        fetches.handle(now, input);
        while let Some(output) = fetches.poll() {
            if let Output::AskDocument { run: asked, .. } = output {
                *run = asked;
            }
        }
        (fetches.deadline().is_some(), fetches.idle())
    });
}

#[test]
fn fetch_stages_have_a_time_or_another_end() {
    for stage in Stage::ALL {
        match stage.ends_by() {
            StageEnd::Fails(after) => {
                assert!(stage.is_overdue(after) && !stage.is_overdue(after - Duration::from_millis(1)));
            }
            StageEnd::Other(why) => assert!(!why.is_empty() && !stage.is_overdue(Duration::MAX), "{stage:?}"),
        }
    }
    // Another machine's wait fails first, with a better reason.
    let tries = connector::WORD_TIME * connector::TRIES + Duration::from_secs(10);
    assert!(!Stage::AwaitLink.is_overdue(tries), "{tries:?}");
}
