//! The transfer machine under virtual time, against a model of sources that lose, lie, stall, lack and come back.
//!
//! The promise: every wanted chunk is reported once, or the transfer ends with a reason.

use fyteclub_proto::{
    chunk_tree::{chunk_count, chunk_len},
    id::{BlobHash, PeerId},
    limit::{CHUNK_SIZE, REQUEST_BYTES_MAX, REQUEST_ITEMS_MAX, STREAMS_PER_SOURCE},
    peer::{CloseCode, Piece},
    transfer::{End, Failure, Input, Output, Progress, RequestId, SILENCE, Transfer, Wanted, Why},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn wanted(n: usize, size: u64) -> Wanted {
    let hash = BlobHash::of(&n.to_le_bytes());
    let missing = std::iter::once(0..chunk_count(size)).collect();
    Wanted { hash, size, tree: chunk_count(size) == 1, missing }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

fn outputs(transfer: &mut Transfer) -> Vec<Output> {
    std::iter::from_fn(|| transfer.poll()).collect()
}

fn asks(outputs: &[Output]) -> Vec<(PeerId, RequestId, Vec<Piece>)> {
    let ask = |output: &Output| match output {
        Output::Ask { source, request, pieces } => Some((*source, *request, pieces.clone())),
        _ => None,
    };
    outputs.iter().filter_map(ask).collect()
}

/// Everything of a request, as an honest source would send it.
fn serve(transfer: &mut Transfer, now: Instant, request: RequestId, pieces: &[Piece]) {
    for piece in pieces {
        if piece.tree {
            transfer.handle(now, Input::Tree { request, hash: piece.hash });
        }
        let chunks = piece.first..piece.first + piece.count;
        transfer.handle(now, Input::Verified { request, hash: piece.hash, chunks });
    }
    transfer.handle(now, Input::Ended { request, end: End::Complete });
}

#[test]
fn nothing_wanted_is_done_at_once() {
    assert_eq!(outputs(&mut Transfer::new(vec![])), [Output::Done]);
}

#[test]
fn small_blobs_travel_together_and_first() {
    let mut all: Vec<Wanted> = (0..200).map(|n| wanted(n, 4096)).collect();
    all.push(wanted(999, 40 * CHUNK_SIZE as u64));
    let mut transfer = Transfer::new(all);
    transfer.handle(start(), Input::Joined(peer(1)));
    let asked = asks(&outputs(&mut transfer));
    assert!(asked.len() <= STREAMS_PER_SOURCE);
    assert_eq!(asked[0].2.len(), REQUEST_ITEMS_MAX);
    assert!(
        asked.last().expect("asked").2.last().expect("the large one").tree,
        "the list comes with the first chunks"
    );
    for (_, _, pieces) in asked {
        let bytes: u64 = pieces.iter().map(|p| u64::from(p.count) * 4096.min(CHUNK_SIZE as u64)).sum();
        assert!(bytes <= REQUEST_BYTES_MAX + CHUNK_SIZE as u64);
    }
}

#[test]
fn one_large_blob_is_shared_between_sources_once_its_list_is_proven() {
    let blob = wanted(1, 200 * CHUNK_SIZE as u64);
    let mut transfer = Transfer::new(vec![blob.clone()]);
    let now = start();
    transfer.handle(now, Input::Joined(peer(1)));
    transfer.handle(now, Input::Joined(peer(2)));
    let first = asks(&outputs(&mut transfer));
    assert_eq!(first.len(), 1, "without the list nobody else's chunks could be verified");
    transfer.handle(now, Input::Tree { request: first[0].1, hash: blob.hash });
    let more = asks(&outputs(&mut transfer));
    assert_eq!(more.iter().map(|(source, ..)| source).collect::<BTreeSet<_>>().len(), 2);
    assert_eq!(more.len(), 2 * STREAMS_PER_SOURCE - 1);
}

#[test]
fn a_partial_blob_is_continued_not_repeated() {
    let mut blob = wanted(1, 10 * CHUNK_SIZE as u64);
    blob.tree = true;
    blob.missing = vec![2..3, 7..10];
    let mut transfer = Transfer::new(vec![blob]);
    assert_eq!(transfer.progress().bytes_done, 6 * CHUNK_SIZE as u64);
    transfer.handle(start(), Input::Joined(peer(1)));
    let asked: Vec<_> = asks(&outputs(&mut transfer))
        .into_iter()
        .flat_map(|(.., pieces)| pieces)
        .map(|p| (p.tree, p.first, p.count))
        .collect();
    assert_eq!(asked, [(false, 2, 1), (false, 7, 3)]);
}

#[test]
fn a_silent_source_is_replaced_and_then_given_up() {
    let mut now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1)));
    let first = asks(&outputs(&mut transfer));
    assert_eq!(transfer.deadline(), Some((now + SILENCE, Why::RequestSilent)));
    transfer.handle(now, Input::Joined(peer(2)));
    now += SILENCE;
    transfer.handle(now, Input::Time);
    let out = outputs(&mut transfer);
    assert!(out.contains(&Output::Drop { source: peer(1), request: first[0].1 }));
    assert_eq!(asks(&out).len(), 1);
    let mut starved = None;
    for _ in 0..10 {
        now += SILENCE;
        transfer.handle(now, Input::Time);
        starved = outputs(&mut transfer).into_iter().find(|o| matches!(o, Output::Starved(_))).or(starved);
    }
    assert_eq!(starved, Some(Output::Starved(Failure::Silent)));
}

#[test]
fn a_liar_is_accused_and_asked_no_more() {
    let now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1)));
    let request = asks(&outputs(&mut transfer))[0].1;
    transfer.handle(now, Input::Ended { request, end: End::Misbehaved(CloseCode::WrongBytes) });
    assert_eq!(
        outputs(&mut transfer),
        [
            Output::Accuse { source: peer(1), code: CloseCode::WrongBytes },
            Output::Starved(Failure::Misbehaved(CloseCode::WrongBytes))
        ]
    );
    transfer.handle(now, Input::Joined(peer(2)));
    let (_, request, pieces) = asks(&outputs(&mut transfer)).remove(0);
    serve(&mut transfer, now, request, &pieces);
    assert_eq!(outputs(&mut transfer), [Output::Done]);
}

#[test]
fn an_end_that_owes_something_is_a_lie_too() {
    let now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1)));
    let request = asks(&outputs(&mut transfer))[0].1;
    transfer.handle(now, Input::Ended { request, end: End::Complete });
    assert!(outputs(&mut transfer).contains(&Output::Accuse { source: peer(1), code: CloseCode::OutOfTurn }));
}

#[test]
fn what_changed_everywhere_fails_with_that_reason_after_the_rest_came() {
    let now = start();
    let (bad, good) = (wanted(1, 10), wanted(2, 20));
    let mut transfer = Transfer::new(vec![bad.clone(), good.clone()]);
    transfer.handle(now, Input::Joined(peer(1)));
    let request = asks(&outputs(&mut transfer))[0].1;
    transfer.handle(now, Input::Lacking { request, hash: bad.hash, changed: true });
    transfer.handle(now, Input::Verified { request, hash: good.hash, chunks: 0..1 });
    transfer.handle(now, Input::Ended { request, end: End::Complete });
    assert_eq!(outputs(&mut transfer), [Output::Failed(Failure::Changed)]);
    assert_eq!(
        transfer.progress(),
        Progress { files_done: 1, files_total: 2, bytes_done: 20, bytes_total: 30 }
    );
}

#[test]
fn a_busy_source_rests_and_is_asked_again() {
    let now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1)));
    let request = asks(&outputs(&mut transfer))[0].1;
    transfer.handle(now, Input::Ended { request, end: End::Busy });
    assert_eq!(outputs(&mut transfer), []);
    let (at, why) = transfer.deadline().expect("rest ends");
    assert_eq!(why, Why::SourceRested);
    transfer.handle(at, Input::Time);
    assert_eq!(asks(&outputs(&mut transfer)).len(), 1);
}

/// What a source does with its next piece.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Serve,
    Break,
    Lack,
    Lie,
    Stall,
    Leave,
    Busy,
}

#[test]
fn while_it_is_held_nothing_is_asked_and_nothing_is_lost() {
    let (mut transfer, now) =
        (Transfer::new(vec![wanted(1, 100), wanted(2, 20 * CHUNK_SIZE as u64)]), start());
    transfer.handle(now, Input::Hold(true));
    assert_eq!(outputs(&mut transfer), [], "who is not needed is not missed");
    transfer.handle(now, Input::Joined(peer(1)));
    assert_eq!(outputs(&mut transfer), []);
    transfer.handle(now, Input::Hold(false));
    let asked = asks(&outputs(&mut transfer));
    assert!(!asked.is_empty());
    transfer.handle(now, Input::Hold(true));
    // More of them than a source may stall: it was not the source.
    for (_, request, _) in &asked {
        transfer.handle(now, Input::Ended { request: *request, end: End::Unkept });
    }
    assert_eq!(outputs(&mut transfer), []);
    transfer.handle(now, Input::Left(peer(1)));
    assert_eq!(outputs(&mut transfer), []);
    transfer.handle(now, Input::Hold(false));
    assert!(matches!(outputs(&mut transfer)[..], [Output::Starved(_)]), "it is, when it goes on");
    transfer.handle(now, Input::Joined(peer(1)));
    for _ in 0..100 {
        for (_, request, pieces) in asks(&outputs(&mut transfer)) {
            serve(&mut transfer, now, request, &pieces);
        }
    }
    assert_eq!(transfer.progress().files_done, 2);
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => Just(Deed::Serve), 2 => Just(Deed::Break), 1 => Just(Deed::Lack), 1 => Just(Deed::Lie),
        1 => Just(Deed::Stall), 1 => Just(Deed::Leave), 1 => Just(Deed::Busy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_chunk_arrives_once_or_the_reason_is_told(
        sizes in prop::collection::vec(prop_oneof![0u64..5000, 1u64..40 * CHUNK_SIZE as u64], 1..40),
        deeds in prop::collection::vec(deed(), 0..200),
        sources in 1u8..4,
    ) {
        let all: Vec<Wanted> = sizes.iter().enumerate().map(|(n, size)| wanted(n, *size)).collect();
        let sizes: BTreeMap<BlobHash, u64> = all.iter().map(|blob| (blob.hash, blob.size)).collect();
        let mut transfer = Transfer::new(all.clone());
        let mut now = start();
        let mut deeds = deeds.into_iter();
        let mut live: BTreeSet<PeerId> = (1..=sources).map(peer).collect();
        live.iter().for_each(|peer| transfer.handle(now, Input::Joined(*peer)));
        let mut inflight: VecDeque<(PeerId, RequestId, Vec<Piece>)> = VecDeque::new();
        let mut proven = BTreeSet::new();
        let mut arrived = BTreeSet::new();
        let mut ending = None;
        for _ in 0..20_000 {
            // Until it is quiet: a source that joins on the way is asked at once.
            while let Some(output) = transfer.poll() {
                match output {
                    Output::Ask { source, request, pieces } => {
                        prop_assert!(live.contains(&source));
                        prop_assert!(pieces.len() <= REQUEST_ITEMS_MAX);
                        inflight.push_back((source, request, pieces));
                    }
                    Output::Drop { request, .. } => inflight.retain(|(_, id, _)| *id != request),
                    Output::Accuse { source, .. } => {
                        live.remove(&source);
                    }
                    Output::Starved(_) => {
                        // Whoever runs it finds another source.
                        let fresh = peer(100 + live.len() as u8);
                        live.insert(fresh);
                        transfer.handle(now, Input::Joined(fresh));
                    }
                    over @ (Output::Done | Output::Failed(_)) => ending = Some(over),
                }
            }
            if ending.is_some() {
                break;
            }
            let Some((source, request, pieces)) = inflight.pop_front() else {
                now = transfer.deadline().map_or(now, |(at, _)| at);
                transfer.handle(now, Input::Time);
                continue;
            };
            now += Duration::from_millis(10);
            match deeds.next().unwrap_or(Deed::Serve) {
                Deed::Serve => {
                    for piece in &pieces {
                        if piece.tree {
                            proven.insert(piece.hash);
                            transfer.handle(now, Input::Tree { request, hash: piece.hash });
                        }
                        let size = sizes[&piece.hash];
                        prop_assert!(chunk_count(size) == 1 || proven.contains(&piece.hash), "chunks before their list");
                        for chunk in piece.first..piece.first + piece.count {
                            prop_assert!(chunk_len(size, chunk).is_some(), "a chunk behind the end");
                            prop_assert!(arrived.insert((piece.hash, chunk)), "a chunk was fetched twice");
                            transfer.handle(now, Input::Verified { request, hash: piece.hash, chunks: chunk..chunk + 1 });
                        }
                    }
                    transfer.handle(now, Input::Ended { request, end: End::Complete });
                }
                Deed::Break => transfer.handle(now, Input::Ended { request, end: End::Broken }),
                Deed::Busy => transfer.handle(now, Input::Ended { request, end: End::Busy }),
                Deed::Lie => transfer.handle(now, Input::Ended { request, end: End::Misbehaved(CloseCode::WrongBytes) }),
                Deed::Lack => {
                    for piece in &pieces {
                        transfer.handle(now, Input::Lacking { request, hash: piece.hash, changed: false });
                    }
                    transfer.handle(now, Input::Ended { request, end: End::Complete });
                }
                Deed::Stall => {
                    now += SILENCE;
                    transfer.handle(now, Input::Time);
                }
                Deed::Leave => {
                    live.remove(&source);
                    transfer.handle(now, Input::Left(source));
                }
            }
        }
        let chunks: usize = all.iter().map(|blob| chunk_count(blob.size) as usize).sum();
        match ending {
            Some(Output::Done) => prop_assert_eq!(arrived.len(), chunks),
            Some(Output::Failed(Failure::Gone)) => prop_assert!(arrived.len() < chunks),
            other => prop_assert!(false, "ended with {:?} after {} of {} chunks", other, arrived.len(), chunks),
        }
        prop_assert_eq!(transfer.deadline(), None);
    }
}
