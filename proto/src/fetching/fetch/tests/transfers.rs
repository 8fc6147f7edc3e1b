//! The rules of a running transfer one by one.

use super::*;
use crate::{
    fetching::{
        fetch::{ending::VANISHED_MAX, running::*, state::ROOM_TIME},
        transfer::{self, End},
    },
    peer::HoldingReply,
};

#[test]
fn progress_forgives_lost_links() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    for _ in 0..=LOSSES_MAX {
        world.lose(0);
        world.open(0);
        let number = *world.pulls.keys().next().expect("asked");
        world.serve(number, false);
    }
    assert!(!world.answers.contains_key(&waiter));
    world.settle();
    assert!(world.answers[&waiter].is_ok());
}

#[test]
fn lost_link_keeps_the_transfer() {
    let (mut world, _) = World::asked(Stage::Transferring);
    let run = world.run(0);
    world.lose(0);
    assert_eq!((world.stage(0), world.pulls.len()), (Some(Stage::AwaitLink), 0));
    world.open(0);
    assert_eq!((world.stage(0), world.run(0)), (Some(Stage::Transferring), run));
}

#[test]
fn link_that_holds_after_all_is_used_again() {
    let (mut world, _) = World::asked(Stage::AwaitAppearance);
    // The stream broke; the link is still there, and used at once.
    let run = world.run(0);
    world.tell(Input::Document { peer: peer(0), run, result: Err(DocumentFailure::Broken) });
    assert_eq!((world.stage(0), world.run(0)), (Some(Stage::AwaitAppearance), run + 1));
    // All streams of a transfer broke: the link has a moment to break too.
    world.jobs.retain(|job| *job != Job::Document(peer(0), run));
    world.advance(Stage::Transferring);
    for _ in 0..transfer::STALLS_MAX {
        while let Some(number) = world.pulls.keys().next().copied() {
            world.end(number, |_| End::Broken);
        }
        pass(&mut world, SECOND / 2);
    }
    assert_eq!(world.stage(0), Some(Stage::AwaitLink));
    pass(&mut world, LOSS_PAUSE);
    assert_eq!(world.stage(0), Some(Stage::Transferring));
}

#[test]
fn newer_look_replaces_the_older_transfer() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    let number = *world.pulls.keys().next().expect("asked");
    world.serve(number, false);
    let said = world.publish(0, 2);
    assert!(said.contains(&Output::Settle { owner: peer(0), look: look(0, 1) }));
    assert_eq!((world.stage(0), world.pulls.len()), (Some(Stage::AwaitAppearance), 0));
    world.settle();
    let fetched = world.answers[&waiter].as_ref().expect("the look");
    assert_eq!(fetched.appearance, look(0, 2));
    let brought: u64 = fetched.sources.iter().map(|source| source.bytes).sum();
    assert!(brought > plan(0, 2).bytes, "what came of the older look counts");
}

/// Request numbers begin anew in each run.
#[test]
fn facts_of_an_older_run_change_nothing() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    let old = world.pulls.values().next().expect("asked").clone();
    world.publish(0, 2);
    world.advance(Stage::Transferring);
    assert!(world.pulls.values().any(|ask| ask.request == old.request && ask.run != old.run));
    let facts = vec![transfer::Input::Ended { request: old.request, end: End::Complete }];
    let why = Unkept::Local(fault(FaultCode::Io));
    for late in [
        Input::Received { player: player(0), run: old.run, facts, wire: 1 },
        Input::Unkept { player: player(0), run: old.run, why },
    ] {
        assert_eq!(world.tell(late), []);
    }
    world.settle();
    assert!(world.answers[&waiter].is_ok());
}

#[test]
fn files_that_keep_changing_end_the_fetch() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    for _ in 0..=CHANGES_MAX {
        world.advance(Stage::Transferring);
        while let Some((number, ask)) = world.pulls.first_key_value().map(|(n, ask)| (*n, ask.clone())) {
            let lacks = |hash| transfer::Input::Lacking { request: ask.request, hash, changed: true };
            let mut facts: Vec<_> = ask.pieces.iter().map(|piece| lacks(piece.hash)).collect();
            facts.push(transfer::Input::Ended { request: ask.request, end: End::Complete });
            world.pulls.remove(&number);
            world.tell(Input::Received { player: player(0), run: ask.run, facts, wire: 0 });
        }
        if world.stage(0).is_some() {
            assert!(world.jobs.is_empty(), "the owner gets a moment to publish anew");
            pass(&mut world, CHANGE_PAUSE);
        }
    }
    assert_eq!(world.code(waiter), Some(FaultCode::Changed));
}

#[test]
fn vanished_files_are_fetched_again_a_few_times() {
    let (mut world, waiter) = World::asked(Stage::AwaitFolder);
    for _ in 0..=VANISHED_MAX {
        world.advance(Stage::AwaitFolder);
        world.jobs.clear();
        let run = world.run(0);
        world.tell(Input::Written { player: player(0), run, result: Err(Unready::Vanished) });
    }
    assert_eq!(world.code(waiter), Some(FaultCode::Io));
}

#[test]
fn full_disk_is_waited_for_but_not_for_ever() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    let full = |world: &World| Input::Unkept {
        player: player(0),
        run: world.run(0),
        why: Unkept::DiskFull(fault(FaultCode::DiskFull)),
    };
    assert_eq!(world.tell(full(&world)), [Output::DiskFull]);
    let look_at_disk = world.take(|job| *job == Job::LookAtDisk);
    world.act(look_at_disk);
    while let Some(number) = world.pulls.keys().next().copied() {
        world.end(number, |_| End::Unkept);
    }
    assert!(world.pulls.is_empty() && !world.answers.contains_key(&waiter), "nothing is asked");
    world.tell(Input::DiskSpace(Ok(())));
    assert!(!world.pulls.is_empty());
    world.tell(Input::DiskSpace(Err("no space in /cache".into())));
    pass(&mut world, ROOM_TIME);
    let fault = world.answers[&waiter].as_ref().expect_err("it waited long enough");
    assert_eq!((fault.code, fault.message.as_str()), (FaultCode::DiskFull, "no space in /cache"));
}

#[test]
fn quota_that_no_disk_shows_ends_the_fetch() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    for _ in 0..=FULL_MAX {
        let why = Unkept::DiskFull(fault(FaultCode::DiskFull));
        world.tell(Input::Unkept { player: player(0), run: world.run(0), why });
        world.jobs.clear();
        world.tell(Input::DiskSpace(Err(String::new())));
        world.tell(Input::DiskSpace(Ok(())));
    }
    assert_eq!(world.code(waiter), Some(FaultCode::DiskFull));
}

#[test]
fn banned_owner_is_not_dialled_while_others_send() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    world.open(8);
    let holding = world.take(|job| matches!(job, Job::Holding(..)));
    world.act(holding);
    let number = world.pulls.iter().find(|(_, ask)| ask.source == peer(0)).map(|(number, _)| *number);
    world.end(number.expect("asked"), |_| End::Misbehaved(CloseCode::Malformed));
    world.said.clear();
    world.lose(0);
    assert_eq!(world.count(|output| matches!(output, Output::Want(_))), 0);
    world.settle();
    assert!(world.answers[&waiter].is_ok(), "the helper brought it");
}

#[test]
fn second_wrong_chunk_of_any_look_bans_its_sender() {
    let (mut world, _) = World::asked(Stage::Transferring);
    for wrongs in 1..=WRONGS_MAX {
        let version = world.published[&0];
        let large = BlobHash::of(&[0, version, 0]);
        // Its right chunks make this transfer forgive it.
        while let Some(number) = world.pull(|ask| ask.pieces.iter().any(|piece| piece.hash == large)) {
            world.serve(number, true);
        }
        assert_eq!(world.count(|output| matches!(output, Output::Ban { .. })), 0, "once is a bad disk");
        let number = world.pull(|_| true).expect("the small ones");
        world.end(number, |ask| End::Wrong(ask.pieces[0].hash));
        let suspects = world.events().filter(|event| matches!(event, Event::TransferSuspect { .. })).count();
        assert_eq!(suspects, wrongs as usize);
        if wrongs < WRONGS_MAX {
            world.publish(0, version + 1);
            world.advance(Stage::Transferring);
        }
    }
    assert_eq!(world.count(|output| matches!(output, Output::Ban { .. })), 1);
}

#[test]
fn helper_that_fetches_itself_is_asked_again() {
    let (mut world, _) = World::asked(Stage::Transferring);
    world.open(8);
    world.jobs.clear();
    let reply = HoldingReply::of([true, false, false, false], true);
    world.tell(Input::Holding { peer: peer(8), owner: peer(0), look: look(0, 1), reply });
    world.wait(ASK_AGAIN, |_| {});
    assert!(world.jobs.contains(&Job::Holding(peer(8), peer(0), look(0, 1))));
    // A reply about another look.
    let reply = HoldingReply::of([true; 4], true);
    let said = world.tell(Input::Holding { peer: peer(8), owner: peer(0), look: look(0, 5), reply });
    assert_eq!(said, []);
}

#[test]
fn progress_is_sent_with_its_rate_at_each_tick() {
    let (mut world, _) = World::asked(Stage::Transferring);
    world.tell(Input::Tick);
    let number = *world.pulls.keys().next().expect("asked");
    world.serve(number, true);
    world.now += SECOND;
    let said = world.tell(Input::Tick);
    let Output::Tell(Event::TransferProgress(status)) = &said[0] else { panic!("{said:?}") };
    assert!(status.bytes_done > 0 && status.rate == status.bytes_done, "{status:?}");
    assert_eq!(status.reason, Reason::Asked);
}
