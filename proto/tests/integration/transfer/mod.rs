//! The transfer machine under virtual time, against a model of sources that lose, lie, stall, lack and return.
//!
//! Here each rule by itself; random sources are in `model`, receivers that are each other's sources in `room`.

mod model;
mod room;

use fyteclub_proto::{
    chunk_tree::chunk_count,
    fetching::transfer::{
        CREDIT, DRIP, End, Failure, GROWTH, Holds, Input, Output, Progress, QUICK_STALLS_MAX, RequestId,
        SILENCE, STALL, Transfer, Wanted, Why,
    },
    id::{BlobHash, PeerId},
    limit::{CHUNK_SIZE, REQUEST_BYTES_MAX, REQUEST_ITEMS_MAX, STREAMS_PER_SOURCE},
    number::{index, u64_of},
    peer::{CloseCode, Piece},
};
use std::{
    collections::{BTreeSet, VecDeque},
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

/// All of a request, as an honest source sends it.
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
    let mut all: Vec<Wanted> = (0..200).map(|n| wanted(n, 1000)).collect();
    all.push(wanted(999, 40 * u64_of(CHUNK_SIZE)));
    let mut transfer = Transfer::new(all);
    transfer.handle(start(), Input::Joined(peer(1), Holds::All));
    let asked = asks(&outputs(&mut transfer));
    assert!(asked.len() <= STREAMS_PER_SOURCE);
    assert_eq!(asked[0].2.len(), REQUEST_ITEMS_MAX);
    assert!(
        asked.last().expect("asked").2.last().expect("the large one").tree,
        "the list comes with the first chunks"
    );
    for (_, _, pieces) in asked {
        let bytes =
            pieces.iter().map(|p| u64::from(p.count) * if p.tree { u64_of(CHUNK_SIZE) } else { 1000 });
        assert!(bytes.sum::<u64>() <= u64_of(CHUNK_SIZE), "little, until its rate is known");
    }
}

#[test]
fn large_blob_is_split_once_its_list_is_verified() {
    let blob = wanted(1, 200 * u64_of(CHUNK_SIZE));
    let mut transfer = Transfer::new(vec![blob.clone()]);
    let now = start();
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    transfer.handle(now, Input::Joined(peer(2), Holds::All));
    let first = asks(&outputs(&mut transfer));
    assert_eq!(first.len(), 1, "without the list nobody else's chunks could be verified");
    transfer.handle(now, Input::Tree { request: first[0].1, hash: blob.hash });
    let more = asks(&outputs(&mut transfer));
    assert_eq!(more.iter().map(|(source, ..)| source).collect::<BTreeSet<_>>().len(), 2);
    assert_eq!(more.len(), STREAMS_PER_SOURCE - 1, "two to each source whose rate is not known yet");
}

#[test]
fn a_partial_blob_is_continued_not_repeated() {
    let mut blob = wanted(1, 10 * u64_of(CHUNK_SIZE));
    blob.tree = true;
    blob.missing = vec![2..3, 7..10];
    let mut transfer = Transfer::new(vec![blob]);
    assert_eq!(transfer.progress().bytes_done, 6 * u64_of(CHUNK_SIZE));
    transfer.handle(start(), Input::Joined(peer(1), Holds::All));
    let asked: Vec<_> = asks(&outputs(&mut transfer)).into_iter().flat_map(|(.., pieces)| pieces).collect();
    assert!(asked.iter().all(|piece| !piece.tree));
    let chunks: Vec<u32> = asked.iter().flat_map(|piece| piece.first..piece.first + piece.count).collect();
    assert_eq!(chunks, [2, 7, 8, 9]);
}

#[test]
fn a_source_that_is_alone_has_its_time() {
    let mut now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let first = asks(&outputs(&mut transfer));
    assert_eq!(transfer.deadline(), Some((now + SILENCE, Why::RequestSilent)));
    // Bytes without a complete chunk are no progress in the end.
    let until = now + DRIP;
    while now + SILENCE < until {
        now += SILENCE / 2;
        transfer.handle(now, Input::Received { request: first[0].1 });
        transfer.handle(now, Input::Time);
        assert_eq!(outputs(&mut transfer), [], "slow, and alive");
    }
    now = until;
    transfer.handle(now, Input::Time);
    let out = outputs(&mut transfer);
    assert!(out.contains(&Output::Drop { source: peer(1), request: first[0].1 }));
    assert_eq!(asks(&out).len(), 1, "asked again");
    for _ in 0..2 {
        now += SILENCE;
        transfer.handle(now, Input::Time);
    }
    assert_eq!(outputs(&mut transfer).last(), Some(&Output::Starved(Failure::Silent)));
}

#[test]
fn a_stalled_source_is_replaced_within_two_seconds() {
    let mut now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let first = asks(&outputs(&mut transfer));
    let blobs = [wanted(1, 10).hash].into();
    transfer.handle(now, Input::Joined(peer(2), Holds::These { blobs, growing: false }));
    // It is slow, and keeps its request.
    now += STALL / 2;
    transfer.handle(now, Input::Received { request: first[0].1 });
    now += STALL;
    transfer.handle(now, Input::Time);
    let out = outputs(&mut transfer);
    assert!(out.contains(&Output::Drop { source: peer(1), request: first[0].1 }), "{out:?}");
    let (source, request, pieces) = asks(&out).remove(0);
    assert_eq!(source, peer(2));
    serve(&mut transfer, now, request, &pieces);
    assert_eq!(outputs(&mut transfer), [Output::Done]);
}

#[test]
fn requests_of_a_silent_source_move_at_once() {
    let now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let first = asks(&outputs(&mut transfer));
    transfer.handle(now, Input::Silent(peer(1)));
    assert_eq!(outputs(&mut transfer), [], "nobody else has it");
    let blobs = [wanted(1, 10).hash].into();
    transfer.handle(now, Input::Joined(peer(2), Holds::These { blobs, growing: false }));
    transfer.handle(now, Input::Silent(peer(2)));
    assert_eq!(outputs(&mut transfer), [], "nothing is asked of it");
    transfer.handle(now, Input::Silent(peer(1)));
    let out = outputs(&mut transfer);
    assert_eq!(out[0], Output::Drop { source: peer(1), request: first[0].1 });
    let (source, request, pieces) = asks(&out).remove(0);
    assert_eq!(source, peer(2));
    serve(&mut transfer, now, request, &pieces);
    assert_eq!(outputs(&mut transfer), [Output::Done]);
}

#[test]
fn transfer_with_silent_sources_fails_in_time() {
    let mut now = start();
    let mut transfer = Transfer::new((0..9).map(|n| wanted(n, 50 * u64_of(CHUNK_SIZE))).collect());
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    transfer.handle(now, Input::Joined(peer(2), Holds::All));
    let mut asked = 0;
    for _ in 0..200 {
        let out = outputs(&mut transfer);
        asked += asks(&out).len();
        if out.contains(&Output::Starved(Failure::Silent)) {
            let most = 2 * STREAMS_PER_SOURCE * index(QUICK_STALLS_MAX);
            assert!(asked <= most, "{asked} requests of two who never answered");
            return;
        }
        now = transfer.deadline().expect("something is waited for").0.max(now);
        transfer.handle(now, Input::Time);
    }
    panic!("still waiting");
}

#[test]
fn small_and_large_have_a_stream_each() {
    let small = (0..2000).map(|n| wanted(n, 200_000));
    let large = (2000..2003).map(|n| Wanted { tree: true, ..wanted(n, 200 * u64_of(CHUNK_SIZE)) });
    let mut transfer = Transfer::new(small.chain(large).collect());
    transfer.handle(start(), Input::Joined(peer(1), Holds::All));
    let hashes: BTreeSet<_> = (2000..2003).map(|n| wanted(n, 0).hash).collect();
    let large = |pieces: &[Piece]| pieces.iter().any(|piece| hashes.contains(&piece.hash));
    let mut open: Vec<bool> =
        asks(&outputs(&mut transfer)).iter().map(|(.., pieces)| large(pieces)).collect();
    open.sort_unstable();
    assert_eq!(open, [false, false, false, true]);
}

#[test]
fn a_wrong_chunk_costs_credit_then_the_link() {
    let now = start();
    let blobs: Vec<Wanted> = (0..4).map(|n| Wanted { tree: true, ..wanted(n, REQUEST_BYTES_MAX) }).collect();
    let mut transfer = Transfer::new(blobs);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let (mut asked, mut served) = (VecDeque::from(asks(&outputs(&mut transfer))), 0);
    while served < CREDIT {
        let (_, request, pieces) = asked.pop_front().expect("there is more");
        serve(&mut transfer, now, request, &pieces);
        served += pieces.iter().map(|piece| u64::from(piece.count) * u64_of(CHUNK_SIZE)).sum::<u64>();
        asked.extend(asks(&outputs(&mut transfer)));
    }
    let (_, request, pieces) = asked.pop_front().expect("one runs");
    let hash = pieces[0].hash;
    transfer.handle(now, Input::Ended { request, end: End::Wrong(hash) });
    let out = outputs(&mut transfer);
    assert_eq!(out[0], Output::Suspect { source: peer(1), hash });
    assert!(asks(&out).iter().all(|(.., pieces)| pieces.iter().all(|piece| piece.hash != hash)));
    assert!(!out.iter().any(|out| matches!(out, Output::Accuse { .. })), "it had credit: {out:?}");
    let (_, request, pieces) = asked.pop_front().expect("another runs");
    let hash = pieces[0].hash;
    transfer.handle(now, Input::Ended { request, end: End::Wrong(hash) });
    let out = outputs(&mut transfer);
    assert_eq!(out[0], Output::Suspect { source: peer(1), hash });
    assert_eq!(out[1], Output::Accuse { source: peer(1), code: CloseCode::WrongBytes });
}

#[test]
fn who_grows_is_waited_for_but_not_for_saying_so() {
    let mut now = start();
    let (one, two) = (wanted(1, 10), wanted(2, 20));
    let mut transfer = Transfer::new(vec![one.clone(), two]);
    let grows = || Holds::These { blobs: [one.hash].into(), growing: true };
    transfer.handle(now, Input::Joined(peer(1), grows()));
    let (_, request, pieces) = asks(&outputs(&mut transfer)).remove(0);
    serve(&mut transfer, now, request, &pieces);
    let end = now + GROWTH;
    while now < end {
        assert_eq!(outputs(&mut transfer), []);
        now += Duration::from_secs(2);
        transfer.handle(now, Input::Joined(peer(1), grows()));
        transfer.handle(now, Input::Time);
    }
    assert_eq!(outputs(&mut transfer), [Output::Starved(Failure::Unreachable)]);
    // The owner is back.
    transfer.handle(now, Input::Joined(peer(2), Holds::All));
    let (source, request, pieces) = asks(&outputs(&mut transfer)).remove(0);
    assert_eq!(source, peer(2));
    serve(&mut transfer, now, request, &pieces);
    assert_eq!(outputs(&mut transfer), [Output::Done]);
    assert_eq!(transfer.brought().collect::<Vec<_>>(), [(peer(1), 10), (peer(2), 20)]);
}

#[test]
fn a_liar_is_accused_and_asked_no_more() {
    let now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let request = asks(&outputs(&mut transfer))[0].1;
    transfer.handle(now, Input::Ended { request, end: End::Wrong(wanted(1, 10).hash) });
    assert_eq!(
        outputs(&mut transfer),
        [
            Output::Suspect { source: peer(1), hash: wanted(1, 10).hash },
            Output::Accuse { source: peer(1), code: CloseCode::WrongBytes },
            Output::Starved(Failure::Misbehaved(CloseCode::WrongBytes))
        ]
    );
    transfer.handle(now, Input::Joined(peer(2), Holds::All));
    let (_, request, pieces) = asks(&outputs(&mut transfer)).remove(0);
    serve(&mut transfer, now, request, &pieces);
    assert_eq!(outputs(&mut transfer), [Output::Done]);
}

#[test]
fn an_end_that_owes_something_is_a_lie_too() {
    let now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let request = asks(&outputs(&mut transfer))[0].1;
    transfer.handle(now, Input::Ended { request, end: End::Complete });
    assert!(outputs(&mut transfer).contains(&Output::Accuse { source: peer(1), code: CloseCode::OutOfTurn }));
}

#[test]
fn changed_blob_fails_after_the_other_blobs() {
    let now = start();
    let (bad, good) = (wanted(1, 10), wanted(2, 20));
    let mut transfer = Transfer::new(vec![bad.clone(), good.clone()]);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let request = asks(&outputs(&mut transfer))[0].1;
    transfer.handle(now, Input::Lacking { request, hash: bad.hash, changed: true });
    transfer.handle(now, Input::Verified { request, hash: good.hash, chunks: 0..1 });
    transfer.handle(now, Input::Ended { request, end: End::Complete });
    assert_eq!(outputs(&mut transfer), [Output::Failed(Failure::Changed)]);
    assert_eq!(
        transfer.progress(),
        Progress { files_done: 1, files_total: 2, bytes_done: 20, bytes_total: 30, bytes_again: 0 }
    );
}

#[test]
fn a_busy_source_rests_and_is_asked_again() {
    let now = start();
    let mut transfer = Transfer::new(vec![wanted(1, 10)]);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let request = asks(&outputs(&mut transfer))[0].1;
    transfer.handle(now, Input::Ended { request, end: End::Busy });
    assert_eq!(outputs(&mut transfer), []);
    let (at, why) = transfer.deadline().expect("rest ends");
    assert_eq!(why, Why::SourceRested);
    transfer.handle(at, Input::Time);
    assert_eq!(asks(&outputs(&mut transfer)).len(), 1);
}

#[test]
fn held_transfer_requests_and_loses_nothing() {
    let (mut transfer, now) =
        (Transfer::new(vec![wanted(1, 100), wanted(2, 20 * u64_of(CHUNK_SIZE))]), start());
    transfer.handle(now, Input::Hold(true));
    assert_eq!(outputs(&mut transfer), [], "who is not needed is not missed");
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    assert_eq!(outputs(&mut transfer), []);
    transfer.handle(now, Input::Hold(false));
    let asked = asks(&outputs(&mut transfer));
    assert!(!asked.is_empty());
    transfer.handle(now, Input::Hold(true));
    // More than a source may stall: it was not the source.
    for (_, request, _) in &asked {
        transfer.handle(now, Input::Ended { request: *request, end: End::Unkept });
    }
    assert_eq!(outputs(&mut transfer), []);
    transfer.handle(now, Input::Left(peer(1)));
    assert_eq!(outputs(&mut transfer), []);
    transfer.handle(now, Input::Hold(false));
    assert!(matches!(outputs(&mut transfer)[..], [Output::Starved(_)]), "it is, when it goes on");
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    for _ in 0..100 {
        for (_, request, pieces) in asks(&outputs(&mut transfer)) {
            serve(&mut transfer, now, request, &pieces);
        }
    }
    assert_eq!(transfer.progress().files_done, 2);
}

/// A lender with one small blob was asked for it, and the owner, who has everything, has earned credit. Returns the
/// machine, the lender's request and the blob.
fn doubted(now: Instant) -> (Transfer, RequestId, BlobHash) {
    let (blob, other) = (wanted(1, 10), Wanted { tree: true, ..wanted(2, REQUEST_BYTES_MAX) });
    let hash = blob.hash;
    let mut transfer = Transfer::new(vec![blob, other]);
    let holds = Holds::These { blobs: [hash].into(), growing: false };
    transfer.handle(now, Input::Joined(peer(2), holds));
    let (_, lenders, _) = asks(&outputs(&mut transfer)).remove(0);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    loop {
        let asked = asks(&outputs(&mut transfer));
        if asked.is_empty() {
            break;
        }
        asked.iter().for_each(|(_, request, pieces)| serve(&mut transfer, now, *request, pieces));
    }
    (transfer, lenders, hash)
}

#[test]
fn unfit_size_costs_the_owner_its_credit_only() {
    let now = start();
    let (mut transfer, request, hash) = doubted(now);
    transfer.handle(now, Input::Ended { request, end: End::Unfit(hash) });
    let out = outputs(&mut transfer);
    let blamed = |out: &Output| matches!(out, Output::Accuse { .. } | Output::Suspect { .. });
    assert!(!out.iter().any(blamed), "it may be the look that lies: {out:?}");
    let (source, request, pieces) = asks(&out).remove(0);
    assert_eq!((source, pieces[0].hash), (peer(1), hash), "it goes back to the owner");
    transfer.handle(now, Input::Ended { request, end: End::Wrong(hash) });
    let out = outputs(&mut transfer);
    assert_eq!(out[1], Output::Accuse { source: peer(1), code: CloseCode::WrongBytes }, "without credit");
    assert!(!out.iter().any(|out| matches!(out, Output::Accuse { source, .. } if *source == peer(2))));
}

#[test]
fn lender_whose_size_is_disproven_is_accused() {
    let now = start();
    let (mut transfer, request, hash) = doubted(now);
    transfer.handle(now, Input::Ended { request, end: End::Unfit(hash) });
    let (_, request, pieces) = asks(&outputs(&mut transfer)).remove(0);
    serve(&mut transfer, now, request, &pieces);
    let out = outputs(&mut transfer);
    assert_eq!(out[0], Output::Suspect { source: peer(2), hash });
    assert_eq!(out[1], Output::Accuse { source: peer(2), code: CloseCode::WrongBytes });
}

#[test]
fn owner_whose_blob_does_not_fit_is_accused() {
    let now = start();
    let blob = wanted(1, 10);
    let mut transfer = Transfer::new(vec![blob.clone()]);
    transfer.handle(now, Input::Joined(peer(1), Holds::All));
    let (_, request, _) = asks(&outputs(&mut transfer)).remove(0);
    transfer.handle(now, Input::Ended { request, end: End::Unfit(blob.hash) });
    let accused = Output::Accuse { source: peer(1), code: CloseCode::Malformed };
    assert_eq!(outputs(&mut transfer)[0], accused);
}
