//! Every combination of a fetch's origin, its stage, and two events; afterwards all others do their part, or nothing at
//! all. [`World`] checks the invariants after each input.

use super::world::*;
use crate::{
    fetching::{
        fetch::*,
        stage::{APPEARANCE_TIME, Stage},
        transfer,
    },
    local::FaultCode,
    peer::CloseCode,
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
enum Origin {
    Asked,
    Folder,
    Near,
    AskedAndNear,
    Prefetch,
}

const ORIGINS: [Origin; 5] =
    [Origin::Asked, Origin::Folder, Origin::Near, Origin::AskedAndNear, Origin::Prefetch];

/// The fetch's state at the first event.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Link,
    Turn,
    Document,
    Plan,
    Transfer,
    /// Some chunks arrived.
    Half,
    /// The disk is full.
    Held,
    /// The link is lost, and the transfer kept.
    Parted,
    Folder,
}

const PLACES: [Place; 9] = [
    Place::Link,
    Place::Turn,
    Place::Document,
    Place::Plan,
    Place::Transfer,
    Place::Half,
    Place::Held,
    Place::Parted,
    Place::Folder,
];

#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    Lost,
    LostAndBack,
    Unreachable,
    NotFound,
    Changed,
    AllLeave,
    Joined,
    Near,
    NearNoMore,
    Full,
    DiskSpace,
    Declined,
    Removed,
    Wrong,
    Misbehaved,
    Refused,
    Broken,
    Gone,
    Vanished,
    DiskError,
    NoDocument,
    Postponed,
    NoPlan,
    NoFreeSpace,
    HelperJoins,
    HelperLost,
    Crowd,
    Late,
    Silence,
    OtherName,
}

const EVENTS: [Event; 31] = [
    Event::Nothing,
    Event::Lost,
    Event::LostAndBack,
    Event::Unreachable,
    Event::NotFound,
    Event::Changed,
    Event::AllLeave,
    Event::Joined,
    Event::Near,
    Event::NearNoMore,
    Event::Full,
    Event::DiskSpace,
    Event::Declined,
    Event::Removed,
    Event::Wrong,
    Event::Misbehaved,
    Event::Refused,
    Event::Broken,
    Event::Gone,
    Event::Vanished,
    Event::DiskError,
    Event::NoDocument,
    Event::Postponed,
    Event::NoPlan,
    Event::NoFreeSpace,
    Event::HelperJoins,
    Event::HelperLost,
    Event::Crowd,
    Event::Late,
    Event::Silence,
    Event::OtherName,
];

/// A fetch of player 0, brought to a place; player 8 is another source, others take the turns.
fn begin(origin: Origin, place: Place) -> Option<World> {
    let mut world = World::new(1 << 30);
    if place == Place::Turn {
        (1..5).for_each(|n| {
            world.open(n);
            world.ask(n, None);
        });
    }
    if place != Place::Link {
        // A prefetch begins with the link.
        world.open(0);
    }
    match origin {
        Origin::Asked => _ = world.ask(0, None),
        Origin::Folder => _ = world.ask(0, Some(1)),
        Origin::Near => drop(world.near(&[0])),
        Origin::AskedAndNear => {
            world.near(&[0]);
            world.ask(0, Some(1));
        }
        Origin::Prefetch => {}
    }
    let arrived = |world: &World| match (place, world.stage(0)) {
        // A near player's look waits for a link or a turn without a fetch.
        (Place::Link | Place::Turn, _) => true,
        (Place::Document, stage) => stage == Some(Stage::AwaitAppearance),
        (Place::Plan, stage) => stage == Some(Stage::AwaitPlan),
        (Place::Folder, stage) => stage == Some(Stage::AwaitFolder),
        (_, stage) => stage == Some(Stage::Transferring),
    };
    while !arrived(&world) {
        if !world.step(0) {
            return None;
        }
    }
    match place {
        Place::Half => {
            let number = *world.pulls.keys().next()?;
            world.serve(number, false);
        }
        Place::Held => happen(&mut world, Event::Full),
        Place::Parted => drop(world.lose(0)),
        _ => {}
    }
    Some(world)
}

fn happen(world: &mut World, event: Event) {
    let (name, key, run) = (player(0), peer(0), world.run(0));
    let request = world.pulls.iter().find(|(_, ask)| ask.owner == key).map(|(number, _)| *number);
    let document = |world: &mut World, result| {
        let asked = world.jobs.contains(&Job::Document(key, run));
        world.jobs.retain(|job| *job != Job::Document(key, run));
        if asked {
            world.tell(Input::Document { peer: key, run, result });
        }
    };
    let planned = |world: &mut World, failure| {
        let asked = Job::Plan(player(0), key, run);
        if world.jobs.contains(&asked) {
            world.jobs.retain(|job| *job != asked);
            world.tell(Input::Planned { player: player(0), run, result: Err(failure) });
        }
    };
    let end = |world: &mut World, end: transfer::End| {
        if let Some(number) = request {
            world.end(number, |_| end);
        }
    };
    match event {
        Event::Nothing => {}
        Event::Lost => drop(world.lose(0)),
        Event::LostAndBack => {
            world.lose(0);
            world.open(0);
        }
        Event::Unreachable => {
            if !world.open.contains(&key) {
                world.jobs.retain(|job| *job != Job::Dial(key));
                world.tell(Input::Unreachable { peer: key, cause: "nobody answers".into() });
            }
        }
        Event::NotFound => {
            world.tell(Input::NotFound { peer: key, code: FaultCode::NotFound, cause: "gone".into() });
        }
        Event::Changed => {
            let version = world.published[&0] + 1;
            world.publish(0, version);
        }
        Event::AllLeave => {
            let fetch = world.fetches.fetches.get(&name);
            let waiters: Vec<_> = fetch.iter().flat_map(|fetch| fetch.waiters.keys().copied()).collect();
            waiters.into_iter().for_each(|waiter| world.leave(waiter));
        }
        Event::Joined => _ = world.ask(0, Some(2)),
        Event::Near => drop(world.near(&[0])),
        Event::NearNoMore => drop(world.near(&[])),
        Event::Full => {
            let why = Unkept::DiskFull(fault(FaultCode::DiskFull));
            world.tell(Input::Unkept { player: name, run, why });
            world.jobs.retain(|job| *job != Job::LookAtDisk);
            world.tell(Input::DiskSpace(Err("full".into())));
        }
        Event::DiskSpace => drop(world.tell(Input::DiskSpace(Ok(())))),
        Event::Declined => drop(world.tell(Input::Declined { player: name, key: Some(key) })),
        Event::Removed => {
            world.tell(Input::Removed(key));
            world.lose(0);
        }
        Event::Wrong => {
            if let Some(number) = request {
                world.end(number, |ask| transfer::End::Wrong(ask.pieces[0].hash));
            }
        }
        Event::Misbehaved => {
            document(world, Err(DocumentFailure::Misbehaved(CloseCode::WrongBytes)));
            end(world, transfer::End::Misbehaved(CloseCode::Malformed));
        }
        Event::Refused => end(world, transfer::End::Refused),
        Event::Broken => {
            document(world, Err(DocumentFailure::Broken));
            end(world, transfer::End::Broken);
        }
        Event::Gone => {
            if let Some(ask) = request.and_then(|number| world.pulls.get(&number)).cloned() {
                let lacks = |hash| transfer::Input::Lacking { request: ask.request, hash, changed: true };
                let facts = ask.pieces.iter().map(|piece| lacks(piece.hash)).collect();
                world.tell(Input::Received { player: name, run: ask.run, facts, wire: 0 });
            }
        }
        Event::Vanished => {
            world.tell(Input::Unkept { player: player(0), run, why: Unkept::Vanished });
            if world.stage(0) == Some(Stage::AwaitFolder) {
                world.jobs.retain(|job| !matches!(job, Job::HandOut(_, of, _) if *of == run));
                world.tell(Input::Written { player: name, run, result: Err(Unready::Vanished) });
            }
        }
        Event::DiskError => {
            let why = Unkept::Local(fault(FaultCode::Io));
            world.tell(Input::Unkept { player: player(0), run, why });
            if world.stage(0) == Some(Stage::AwaitFolder) {
                world.jobs.retain(|job| !matches!(job, Job::HandOut(_, of, _) if *of == run));
                let result = Err(Unready::Local(fault(FaultCode::Io)));
                world.tell(Input::Written { player: name, run, result });
            }
        }
        Event::NoDocument => document(world, Err(DocumentFailure::Nothing)),
        Event::Postponed => {
            if world.jobs.contains(&Job::Document(key, run)) {
                world.jobs.retain(|job| *job != Job::Document(key, run));
                world.tell(Input::Postponed { peer: key, run, pause: MINUTE });
            }
        }
        Event::NoPlan => planned(world, PlanFailure::Unacceptable("it lies".into())),
        Event::NoFreeSpace => planned(world, PlanFailure::NoFreeSpace),
        Event::OtherName => planned(world, PlanFailure::OtherName(player(7))),
        Event::HelperJoins => drop(world.open(8)),
        Event::HelperLost => drop(world.lose(8)),
        Event::Crowd => (1..6).for_each(|n| {
            world.open(n);
            world.ask(n, None);
        }),
        Event::Late => {
            // Of the attempt before, and of an unknown one.
            for run in [run.wrapping_sub(1), run + 1000] {
                let late = DocumentFailure::Nothing;
                world.tell(Input::Document { peer: key, run, result: Err(late) });
                world.tell(Input::Postponed { peer: key, run, pause: MINUTE });
                let failure = PlanFailure::Local(fault(FaultCode::Io));
                world.tell(Input::Planned { player: player(0), run, result: Err(failure) });
                let facts = vec![transfer::Input::Ended { request: 0, end: transfer::End::Refused }];
                world.tell(Input::Received { player: player(0), run, facts, wire: 5 });
                world.tell(Input::Unkept { player: player(0), run, why: Unkept::Vanished });
                world.tell(Input::Written { player: player(0), run, result: Err(Unready::Vanished) });
            }
            world.tell(Input::Left(999));
        }
        Event::Silence => world.wait(Duration::from_secs(20), World::end_local_jobs),
    }
}

/// All others do their part from here on.
fn end_well(world: &mut World) {
    world.tell(Input::DiskSpace(Ok(())));
    world.settle();
    world.wait(20 * MINUTE, World::settle);
    assert!(world.waiting.is_empty(), "somebody waits for ever: {:?}", world.fetches.fetches);
    assert!(world.fetches.fetches.is_empty(), "it never ends: {:?}", world.fetches.fetches);
    assert!(world.pulls.is_empty());
}

/// All others do nothing from here on.
fn end_silent(world: &mut World) {
    world.wait(APPEARANCE_TIME + 10 * MINUTE, World::end_local_jobs);
    assert!(world.waiting.is_empty(), "somebody waits for ever: {:?}", world.fetches.fetches);
    // Prefetches and near players' fetches may be retried for ever.
    for ask in world.pulls.values() {
        assert!(world.fetches.holds(ask.run));
    }
}

#[test]
fn every_combination_ends_and_answers_once() {
    let (mut met, mut failed) = (0, Vec::new());
    for origin in ORIGINS {
        for place in PLACES {
            for first in EVENTS {
                for second in EVENTS {
                    for end in [end_well, end_silent] {
                        let ran = std::panic::catch_unwind(|| {
                            let Some(mut world) = begin(origin, place) else { return false };
                            happen(&mut world, first);
                            happen(&mut world, second);
                            end(&mut world);
                            true
                        });
                        met += usize::from(ran.as_ref().is_ok_and(|met| *met));
                        if ran.is_err() {
                            failed.push(format!("{origin:?} at {place:?}, then {first:?} and {second:?}"));
                        }
                        assert!(failed.len() < 10, "{failed:#?}");
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    // Each origin reaches each place.
    assert_eq!(met, ORIGINS.len() * PLACES.len() * EVENTS.len() * EVENTS.len() * 2);
}
