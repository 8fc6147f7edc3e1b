//! The rules of a fetch one by one, those of a running transfer in [`transfers`]; all combinations are in [`model`].

mod model;
mod transfers;
mod world;

use super::{stages::*, *};
use crate::{fetching::stage::LINK_TIME, id::BlobHash, peer::CloseCode};
use std::time::Duration;
use world::*;

const SECOND: Duration = Duration::from_secs(1);
const GIB: u64 = 1 << 30;

impl World {
    /// A world with a waiter for player 0, whose link is open, up to this stage.
    fn asked(stage: Stage) -> (Self, WaiterId) {
        let mut world = Self::new(0);
        world.open(0);
        let waiter = world.ask(0, None);
        world.advance(stage);
        (world, waiter)
    }

    /// A world in which player 0's look is prefetched, up to this stage.
    fn prefetched(stage: Stage) -> Self {
        let mut world = Self::new(GIB);
        world.open(0);
        world.advance(stage);
        world
    }

    fn advance(&mut self, stage: Stage) {
        while self.stage(0) != Some(stage) {
            assert!(self.step(0), "it stands at {:?}", self.stage(0));
        }
    }

    fn code(&self, waiter: WaiterId) -> Option<FaultCode> {
        Some(self.answers.get(&waiter)?.as_ref().err()?.code)
    }

    fn count(&self, is: impl Fn(&Output) -> bool) -> usize {
        self.said.iter().filter(|output| is(output)).count()
    }

    fn pull(&self, is: impl Fn(&Ask) -> bool) -> Option<RequestNumber> {
        self.pulls.iter().find(|(_, ask)| is(ask)).map(|(number, _)| *number)
    }

    fn take(&mut self, job: impl Fn(&Job) -> bool) -> Job {
        let at = self.jobs.iter().position(job).expect("such a job");
        self.jobs.remove(at)
    }
}

fn pass(world: &mut World, time: Duration) {
    world.wait(time, |_| {});
}

#[test]
fn connected_player_is_not_looked_up() {
    let (world, _) = World::asked(Stage::AwaitAppearance);
    assert_eq!(world.count(|output| matches!(output, Output::Want(_))), 0);
    let mut world = World::new(0);
    world.ask(0, None);
    assert_eq!(world.jobs, [Job::Dial(peer(0))]);
}

#[test]
fn fetch_that_has_its_turn_is_listed() {
    for stage in [Stage::AwaitAppearance, Stage::AwaitPlan] {
        let (world, _) = World::asked(stage);
        assert_eq!(world.fetches.transfers().count(), 0, "{stage:?}");
        let waiting: Vec<_> = world.fetches.waiting().into_iter().map(|waiting| waiting.player).collect();
        assert_eq!(waiting, [player(0)], "{stage:?}");
    }
    let (world, _) = World::asked(Stage::Transferring);
    assert_eq!((world.fetches.transfers().count(), world.fetches.waiting().len()), (1, 0));
}

#[test]
fn all_waiters_share_one_fetch() {
    let (mut world, first) = World::asked(Stage::Transferring);
    let second = world.ask(0, Some(7));
    let third = world.ask(0, Some(7));
    world.settle();
    assert!([first, second, third].iter().all(|waiter| world.answers[waiter].is_ok()));
    assert_eq!(world.count(|output| matches!(output, Output::AskDocument { .. })), 1);
    let handed = world.count(|output| matches!(output, Output::HandOut { .. }));
    assert_eq!(handed, 1, "one folder is written once");
}

#[test]
fn waiter_during_a_write_gets_its_folder() {
    let (mut world, first) = World::asked(Stage::AwaitFolder);
    let job = world.take(|job| matches!(job, Job::HandOut(..)));
    let (second, third) = (world.ask(0, Some(7)), world.ask(0, None));
    world.act(job);
    assert!(world.answers[&first].is_ok() && world.answers[&third].is_ok(), "no folder to wait for");
    assert!(!world.answers.contains_key(&second));
    world.settle();
    assert!(world.answers[&second].is_ok());
}

#[test]
fn folder_that_fails_fails_its_waiters_only() {
    let mut world = World::new(0);
    world.open(0);
    let (plain, folder) = (world.ask(0, None), world.ask(0, Some(7)));
    world.advance(Stage::AwaitFolder);
    world.jobs.clear();
    let (run, mut written) = (world.run(0), world.written(0));
    written.folders = vec![(7, Err(fault(FaultCode::Io)))];
    world.tell(Input::Written { player: player(0), run, result: Ok(written) });
    assert!(world.answers[&plain].is_ok());
    assert_eq!(world.code(folder), Some(FaultCode::Io));
}

#[test]
fn fetch_of_no_contact_fails_at_once() {
    let mut world = World::new(0);
    world.waiting.insert(1);
    let key = Err(fault(FaultCode::NotAContact));
    let said = world.tell(Input::Asked { player: player(0), key, waiter: 1, folder: None });
    assert_eq!(world.code(1), Some(FaultCode::NotAContact));
    assert!(matches!(&said[0], Output::Failed { told: true, .. }));
}

#[test]
fn last_waiters_leave_frees_turn_and_requests() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    assert!(!world.pulls.is_empty());
    world.leave(waiter);
    assert!(world.pulls.is_empty() && world.stage(0).is_none());
    assert_eq!(world.count(|output| matches!(output, Output::Leave(_))), 1);
    // A person declined it: it is not prefetched.
    world.near(&[0]);
    world.settle();
    assert!(world.stage(0).is_none());
}

#[test]
fn near_player_is_fetched_on_without_waiters() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    world.near(&[0]);
    world.leave(waiter);
    assert_eq!(world.stage(0), Some(Stage::Transferring));
    world.settle();
    assert_eq!(world.events().filter(|event| matches!(event, Event::AppearanceReady { .. })).count(), 1);
}

#[test]
fn near_player_in_line_waits_without_a_fetch() {
    let mut world = World::new(0);
    (0..5).for_each(|n| drop(world.open(n)));
    (1..5).for_each(|n| _ = world.ask(n, None));
    let waiter = world.ask(0, None);
    world.near(&[0]);
    assert_eq!(world.stage(0), Some(Stage::AwaitTurn));
    world.leave(waiter);
    assert_eq!(world.stage(0), None);
    let last = world.fetches.waiting().pop().expect("the line");
    assert_eq!(last.player, player(0), "behind the four that have begun");
    world.settle();
    assert!(
        world
            .events()
            .any(|event| matches!(event, Event::AppearanceReady { player: of, .. } if *of == player(0)))
    );
}

#[test]
fn link_lost_again_and_again_ends_the_fetch() {
    let (mut world, waiter) = World::asked(Stage::AwaitAppearance);
    for _ in 0..LOSSES_MAX {
        world.lose(0);
        assert_eq!(world.stage(0), Some(Stage::AwaitLink));
        world.open(0);
    }
    world.lose(0);
    assert_eq!(world.code(waiter), Some(FaultCode::PeerUnreachable));
}

#[test]
fn unfound_peer_fails_only_before_the_first_link() {
    let not_found = Input::NotFound { peer: peer(0), code: FaultCode::NotFound, cause: "gone".into() };
    let mut world = World::new(0);
    let waiter = world.ask(0, None);
    world.tell(not_found.clone());
    assert_eq!(world.code(waiter), Some(FaultCode::NotFound));
    let (mut world, waiter) = World::asked(Stage::Transferring);
    world.lose(0);
    world.tell(not_found);
    assert_eq!(world.code(waiter), None, "the link may come back");
    world.tell(Input::Unreachable { peer: peer(0), cause: "nobody answers".into() });
    assert_eq!(world.code(waiter), Some(FaultCode::PeerUnreachable));
}

#[test]
fn dial_that_is_never_answered_has_an_end() {
    let mut world = World::new(0);
    let waiter = world.ask(0, None);
    pass(&mut world, LINK_TIME - SECOND);
    assert_eq!(world.code(waiter), None);
    pass(&mut world, SECOND);
    assert_eq!(world.code(waiter), Some(FaultCode::PeerUnreachable));
}

#[test]
fn look_that_changes_on_its_way_is_asked_for_again() {
    let (mut world, waiter) = World::asked(Stage::AwaitPlan);
    world.publish(0, 2);
    let run = world.run(0);
    world.tell(Input::Planned { player: player(0), run, result: Ok(plan(0, 1)) });
    assert_eq!((world.stage(0), world.run(0)), (Some(Stage::AwaitAppearance), run + 1));
    world.jobs.retain(|job| !matches!(job, Job::Plan(..)));
    world.settle();
    assert_eq!(world.answers[&waiter].as_ref().expect("the look").appearance, look(0, 2));
}

#[test]
fn prefetch_is_quiet_and_asks_its_owner_only() {
    let mut world = World::prefetched(Stage::AwaitPlan);
    world.open(8);
    let Job::Plan(..) = &world.jobs[0] else { panic!("{:?}", world.jobs) };
    assert_eq!(world.count(|output| matches!(output, Output::Plan { evict: false, .. })), 1);
    world.advance(Stage::Transferring);
    assert_eq!(world.count(|output| matches!(output, Output::AskHolding { .. })), 0);
    let hashes: Vec<BlobHash> = plan(0, 1).wanted.iter().map(|wanted| wanted.hash).collect();
    world.advance(Stage::AwaitFolder);
    world.settle();
    assert!(world.said.contains(&Output::Unused(hashes)), "it is the first to go");
    let told = |event: &Event| matches!(event, Event::AppearanceOffered { player: of, .. } | Event::AppearanceReady { player: of, .. } if *of == player(0));
    assert_eq!(world.events().filter(|event| told(event)).count(), 0);
    assert_eq!(world.count(|output| matches!(output, Output::Prove { .. } | Output::Show { .. })), 0);
}

#[test]
fn needed_prefetch_becomes_an_ordinary_fetch() {
    let mut world = World::prefetched(Stage::Transferring);
    world.open(8);
    world.near(&[0]);
    assert!(world.jobs.contains(&Job::Holding(peer(8), peer(0), look(0, 1))));
    world.settle();
    assert_eq!(world.count(|output| matches!(output, Output::Show { .. })), 1);
    // It did not fit as a prefetch; now space is made.
    let mut world = World::prefetched(Stage::AwaitPlan);
    let run = world.run(0);
    world.ask(0, None);
    world.jobs.clear();
    world.tell(Input::Planned { player: player(0), run, result: Err(PlanFailure::NoFreeSpace) });
    assert_eq!(world.stage(0), Some(Stage::AwaitAppearance));
    world.advance(Stage::AwaitPlan);
    assert_eq!(world.count(|output| matches!(output, Output::Plan { evict: true, .. })), 1);
}

#[test]
fn prefetch_dials_no_peer() {
    let mut world = World::prefetched(Stage::Transferring);
    world.lose(0);
    assert_eq!((world.stage(0), world.jobs.len()), (None, 0));
    let mut world = World::prefetched(Stage::AwaitPlan);
    let run = world.run(0);
    world.jobs.clear();
    world.tell(Input::Planned { player: player(0), run, result: Err(PlanFailure::NoFreeSpace) });
    let told = |output: &Output| matches!(output, Output::Failed { told, .. } if *told);
    assert_eq!((world.stage(0), world.count(told)), (None, 0), "nobody hears of it");
}

#[test]
fn waiter_gets_one_document_beyond_the_limit() {
    let (mut world, waiter) = World::asked(Stage::AwaitAppearance);
    let anyway = |output: &Output| matches!(output, Output::AskDocument { anyway: true, .. });
    assert_eq!(world.count(anyway), 1);
    world.publish(0, 2);
    world.advance(Stage::Transferring);
    world.publish(0, 3);
    assert_eq!(world.count(anyway), 1, "once");
    let run = world.run(0);
    world.jobs.clear();
    world.tell(Input::Postponed { peer: peer(0), run, pause: 60 * SECOND });
    pass(&mut world, 59 * SECOND);
    assert!(world.jobs.is_empty() && !world.answers.contains_key(&waiter));
    pass(&mut world, SECOND);
    assert_eq!(world.jobs, [Job::Document(peer(0), run + 1)]);
}

#[test]
fn postponed_document_without_waiters_frees_the_turn() {
    let mut world = World::new(0);
    world.open(0);
    world.near(&[0]);
    let run = world.run(0);
    world.jobs.clear();
    world.tell(Input::Postponed { peer: peer(0), run, pause: 60 * SECOND });
    assert_eq!(world.stage(0), None);
    pass(&mut world, 60 * SECOND);
    assert_eq!(world.stage(0), Some(Stage::AwaitAppearance));
}

#[test]
fn failures_of_documents_have_the_right_fault() {
    let late = || DocumentFailure::Late("10 s".into());
    for (failure, code, banned) in [
        (DocumentFailure::Nothing, FaultCode::PeerRefused, false),
        (DocumentFailure::Misbehaved(CloseCode::Malformed), FaultCode::PeerMisbehaved, true),
        (late(), FaultCode::PeerUnreachable, false),
    ] {
        let (mut world, waiter) = World::asked(Stage::AwaitAppearance);
        let run = world.run(0);
        world.jobs.clear();
        world.tell(Input::Document { peer: peer(0), run, result: Err(failure) });
        assert_eq!(world.code(waiter), Some(code));
        assert_eq!(world.count(|output| matches!(output, Output::Ban { .. })) > 0, banned);
    }
    for (failure, code, banned) in [
        (PlanFailure::Unacceptable("paths".into()), FaultCode::PeerMisbehaved, true),
        (PlanFailure::OtherName(player(3)), FaultCode::PeerRefused, false),
        (PlanFailure::Local(fault(FaultCode::CacheAway)), FaultCode::CacheAway, false),
    ] {
        let (mut world, waiter) = World::asked(Stage::AwaitPlan);
        let run = world.run(0);
        world.jobs.clear();
        world.tell(Input::Planned { player: player(0), run, result: Err(failure) });
        assert_eq!(world.code(waiter), Some(code));
        assert_eq!(world.count(|output| matches!(output, Output::Ban { .. })) > 0, banned);
    }
}

#[test]
fn contact_with_another_name_or_key_is_fetched_anew() {
    let (mut world, first) = World::asked(Stage::Transferring);
    let (waiter, name) = (77, player(7));
    world.waiting.insert(waiter);
    world.tell(Input::Asked { player: name.clone(), key: Ok(peer(0)), waiter, folder: None });
    assert_eq!(world.code(first), Some(FaultCode::KeyChanged));
    assert_eq!(world.fetches.players_of(peer(0)), [name]);
}

#[test]
fn declined_look_stays_declined_until_asked_for() {
    let (mut world, waiter) = World::asked(Stage::Transferring);
    world.near(&[0]);
    assert!(world.fetches.can_decline(&player(0), None));
    world.tell(Input::Declined { player: player(0), key: Some(peer(0)) });
    assert_eq!(world.code(waiter), Some(FaultCode::Cancelled));
    assert!(world.stage(0).is_none() && !world.fetches.can_decline(&player(0), Some(peer(0))));
    world.ask(0, None);
    assert_eq!(world.stage(0), Some(Stage::AwaitAppearance));
}
