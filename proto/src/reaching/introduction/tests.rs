use super::*;
use crate::bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeSet;

const ATTEMPT: Attempt = Bytes([1; 16]);
const PEER: PeerId = PeerId::from_bytes([9; 32]);

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

fn outputs(introductions: &mut Introductions) -> Vec<Output> {
    std::iter::from_fn(|| introductions.poll()).collect()
}

fn ask(book: usize) -> Output {
    Output::Introduce { book, peer: PEER, attempt: ATTEMPT }
}

fn failed(why: Failure) -> Output {
    Output::Failed { attempt: ATTEMPT, why }
}

fn request(asked: bool, when_absent: WhenAbsent, coming: &[usize]) -> Call {
    Call { peer: PEER, attempt: ATTEMPT, asked, when_absent, coming: coming.to_vec() }
}

fn numbered(number: u8, asked: bool) -> Call {
    Call { attempt: Bytes([number; 16]), ..request(asked, WhenAbsent::Usual, &[]) }
}

fn connected(books: &[usize], now: Instant) -> Introductions {
    let mut introductions = Introductions::default();
    books.iter().for_each(|book| introductions.handle(now, Input::Up { book: *book, missed: false }));
    introductions
}

fn call(books: &[usize], now: Instant) -> Introductions {
    let mut introductions = connected(books, now);
    introductions.handle(now, Input::Call(request(true, WhenAbsent::Usual, &[])));
    introductions
}

/// Advances time to the next deadline; returns it.
fn pass(calls: &mut Introductions) -> (Instant, Why) {
    let (at, why) = calls.deadline().expect("something to wait for");
    calls.handle(at, Input::Time);
    (at, why)
}

#[test]
fn the_first_that_answers_is_enough() {
    let now = start();
    let mut calls = call(&[0, 1], now);
    assert_eq!(outputs(&mut calls), [ask(0)]);
    let other = PeerId::from_bytes([8; 32]);
    calls.handle(now, Input::Accepted { peer: other, attempt: ATTEMPT });
    calls.handle(now, Input::Accepted { peer: PEER, attempt: ATTEMPT });
    let delay = Duration::from_millis(40);
    calls.handle(now, Input::Go { peer: PEER, attempt: ATTEMPT, delay });
    assert_eq!(calls.deadline(), Some((now + delay, Why::Go)));
    calls.handle(now + delay, Input::Time);
    assert_eq!(outputs(&mut calls), [Output::Dial { attempt: ATTEMPT }]);
    assert_eq!(calls.deadline(), None);
}

#[test]
fn a_go_that_is_lost_is_not_waited_for_long() {
    let now = start();
    let mut calls = call(&[0], now);
    outputs(&mut calls);
    calls.handle(now, Input::Go { peer: PEER, attempt: ATTEMPT, delay: Duration::ZERO });
    assert!(outputs(&mut calls).is_empty(), "a go before the addresses is none");
    calls.handle(now, Input::Accepted { peer: PEER, attempt: ATTEMPT });
    calls.handle(now + GO_TIME, Input::Time);
    assert_eq!(outputs(&mut calls), [Output::Dial { attempt: ATTEMPT }]);
}

#[test]
fn a_phone_book_that_hangs_costs_less_than_a_second() {
    let now = start();
    let mut calls = call(&[0, 1, 2], now);
    assert_eq!(outputs(&mut calls), [ask(0)]);
    calls.handle(now + HEDGE, Input::Time);
    assert_eq!(outputs(&mut calls), [ask(1)]);
    calls.handle(now + HEDGE, Input::Down { book: 1, coming: false });
    assert_eq!(outputs(&mut calls), [ask(2)], "one that is gone is not waited for");
    let late = now + HEDGE + ANSWER_TIME;
    calls.handle(late, Input::Unavailable { book: 2, attempt: ATTEMPT });
    assert!(outputs(&mut calls).is_empty(), "the first may still answer");
    assert_eq!(pass(&mut calls).1, Why::NoAnswer);
    assert_eq!(outputs(&mut calls), [failed(Failure::NotThere)]);
}

#[test]
fn without_a_phone_book_it_fails_at_once() {
    let mut calls = call(&[], start());
    assert_eq!(outputs(&mut calls), [failed(Failure::NotThere)]);
}

#[test]
fn a_phone_book_that_is_coming_is_waited_for() {
    let now = start();
    let mut calls = Introductions::default();
    calls.handle(now, Input::Call(request(true, WhenAbsent::Usual, &[0, 1])));
    calls.handle(now, Input::Down { book: 1, coming: false });
    assert_eq!(outputs(&mut calls), []);
    calls.handle(now, Input::Up { book: 0, missed: false });
    assert_eq!(outputs(&mut calls), [ask(0)]);
    // A hanging one is waited for, a closed one is not.
    for gone in [false, true] {
        let mut calls = Introductions::default();
        calls.handle(now, Input::Call(request(true, WhenAbsent::Usual, &[0])));
        if gone {
            calls.handle(now, Input::Down { book: 0, coming: false })
        } else {
            assert_eq!(pass(&mut calls), (now + COMING_TIME, Why::WaitedLong))
        }
        assert_eq!(outputs(&mut calls), [failed(Failure::NotThere)]);
    }
}

#[test]
fn who_was_there_just_now_is_asked_for_again() {
    let now = start();
    let mut calls = connected(&[0], now);
    let until = now + Duration::from_secs(5);
    calls.handle(now, Input::Call(request(true, WhenAbsent::Until(until), &[])));
    let mut asked = 0;
    let end = loop {
        match outputs(&mut calls)[..] {
            [Output::Introduce { .. }] => {
                asked += 1;
                let (at, _) = calls.deadline().expect("an answer is awaited");
                calls.handle(at - TRAVEL_TIME, Input::Unavailable { book: 0, attempt: ATTEMPT });
            }
            [Output::Failed { why, .. }] => break why,
            [] => drop(pass(&mut calls)),
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!((end, asked), (Failure::NotThere, 3), "1.5 s each, and a pause");
    // The callee was slow: its answer to the first attempt counts after the second.
    calls.handle(now, Input::Call(request(true, WhenAbsent::Until(until), &[])));
    calls.handle(now, Input::Unavailable { book: 0, attempt: ATTEMPT });
    calls.handle(now, Input::Accepted { peer: PEER, attempt: ATTEMPT });
    pass(&mut calls);
    assert_eq!(outputs(&mut calls).last(), Some(&Output::Dial { attempt: ATTEMPT }));
}

#[test]
fn a_book_that_just_came_back_is_believed_later() {
    let now = start();
    let mut calls = Introductions::default();
    calls.handle(now, Input::Up { book: 0, missed: true });
    let nobody = |calls: &mut Introductions, at| {
        calls.handle(at, Input::Unavailable { book: 0, attempt: ATTEMPT });
    };
    // Another way can be tried, or no client waits.
    for (asked, when_absent) in [(true, WhenAbsent::None), (false, WhenAbsent::Usual)] {
        calls.handle(now, Input::Call(request(asked, when_absent, &[])));
        nobody(&mut calls, now);
        assert_eq!(outputs(&mut calls), [ask(0), failed(Failure::NotBack)]);
    }
    calls.handle(now, Input::Call(request(true, WhenAbsent::Usual, &[])));
    nobody(&mut calls, now);
    assert_eq!(outputs(&mut calls), [ask(0)]);
    assert_eq!(pass(&mut calls), (now + AGAIN_PAUSE, Why::Again));
    assert_eq!(outputs(&mut calls), [ask(0)]);
    nobody(&mut calls, now + RETURN_TIME);
    assert_eq!(outputs(&mut calls), [failed(Failure::NotThere)]);
}

#[test]
fn call_outlives_the_connection_that_carried_it() {
    let now = start();
    let mut calls = call(&[0], now);
    assert_eq!(outputs(&mut calls), [ask(0)]);
    let broke = now + Duration::from_secs(2);
    calls.handle(broke, Input::Down { book: 0, coming: true });
    assert_eq!(outputs(&mut calls), []);
    let back = broke + COMING_TIME / 2;
    calls.handle(back, Input::Up { book: 0, missed: false });
    assert_eq!(outputs(&mut calls), [ask(0)]);
    // Not for ever.
    calls.handle(back, Input::Down { book: 0, coming: true });
    assert_eq!(pass(&mut calls).0, back + COMING_TIME);
    assert_eq!(outputs(&mut calls), [failed(Failure::NotThere)]);
    // A connection that does not open again is not waited for.
    let mut calls = call(&[0], now);
    calls.handle(now, Input::Down { book: 0, coming: false });
    assert_eq!(outputs(&mut calls).last(), Some(&failed(Failure::NotThere)));
}

#[test]
fn a_call_without_a_place_waits_first_in_line() {
    let now = start();
    let mut calls = connected(&[0], now);
    let places = INTRODUCTIONS_MAX as u8;
    (0..places).for_each(|number| calls.handle(now, Input::Call(numbered(number, false))));
    assert_eq!(outputs(&mut calls).len(), INTRODUCTIONS_MAX);
    calls.handle(now, Input::Call(numbered(100, false)));
    calls.handle(now, Input::Call(numbered(101, true)));
    assert_eq!(outputs(&mut calls), []);
    calls.handle(now, Input::Unavailable { book: 0, attempt: Bytes([3; 16]) });
    let begun = |number| Output::Introduce { book: 0, peer: PEER, attempt: Bytes([number; 16]) };
    let over = Output::Failed { attempt: Bytes([3; 16]), why: Failure::NotThere };
    assert_eq!(outputs(&mut calls), [begun(101), over]);
    // Also an accepted one frees its place.
    calls.handle(now, Input::Accepted { peer: PEER, attempt: Bytes([4; 16]) });
    assert_eq!(outputs(&mut calls), [begun(100)]);
}

#[test]
fn what_a_phone_book_finds_too_much_waits() {
    let now = start();
    let mut calls = connected(&[0], now);
    calls.handle(now, Input::Call(numbered(1, false)));
    calls.handle(now, Input::Call(numbered(2, true)));
    outputs(&mut calls);
    for number in [1, 2] {
        let retry_after = Duration::from_secs(2);
        calls.handle(now, Input::Limited { book: 0, attempt: Bytes([number; 16]), retry_after });
    }
    assert_eq!(outputs(&mut calls), []);
    let begun = |number| Output::Introduce { book: 0, peer: PEER, attempt: Bytes([number; 16]) };
    assert_eq!(pass(&mut calls).0, now + Duration::from_secs(2));
    assert_eq!(outputs(&mut calls), [begun(2)], "first for whom somebody waits, and one at a time");
    assert_eq!(pass(&mut calls).0, now + Duration::from_secs(3));
    assert_eq!(outputs(&mut calls), [begun(1)]);
    // Another phone book is asked meanwhile.
    let mut calls = call(&[0, 1], now);
    calls.handle(now, Input::Limited { book: 0, attempt: ATTEMPT, retry_after: QUEUE_TIME * 9 });
    assert_eq!(outputs(&mut calls), [ask(0), ask(1)]);
    calls.handle(now, Input::Unavailable { book: 1, attempt: ATTEMPT });
    assert_eq!(pass(&mut calls).0, now + QUEUE_TIME, "and not for ever");
}

#[derive(Debug, Clone)]
enum Step {
    Call { asked: bool, when_absent: u8, coming: Vec<usize> },
    Accepted(usize),
    Unavailable(usize, usize),
    Limited(usize, usize, u64),
    Up(usize, bool),
    Down(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (book, number) = (0..3usize, 0..64usize);
    prop_oneof![
        4 => (any::<bool>(), 0..3u8, vec(book.clone(), 0..2))
            .prop_map(|(asked, when_absent, coming)| Step::Call { asked, when_absent, coming }),
        1 => number.clone().prop_map(Step::Accepted),
        2 => (book.clone(), number.clone()).prop_map(|(book, number)| Step::Unavailable(book, number)),
        1 => (book.clone(), number, 0..9000u64).prop_map(|(book, number, ms)| Step::Limited(book, number, ms)),
        1 => (book.clone(), any::<bool>()).prop_map(|(book, missed)| Step::Up(book, missed)),
        1 => book.prop_map(Step::Down),
        2 => (0..4000u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Every call ends once, in bounded time; a phone book's limit is kept, and none is asked that is not connected or
    /// refuses.
    #[test]
    fn every_call_ends_once_and_in_time(steps in vec(step(), 0..120)) {
        let begin = start();
        let (mut now, mut calls) = (begin, Introductions::default());
        let (mut up, mut held) = (BTreeSet::new(), BTreeMap::new());
        let (mut made, mut ended, mut began) = (0u8, BTreeSet::new(), BTreeMap::new());
        for step in steps.into_iter().chain([Step::Wait(600_000)]) {
            let attempt = |number: usize| Bytes([number as u8; 16]);
            let input = match step {
                Step::Call { asked, when_absent, coming } if made < 64 => {
                    let when_absent = match when_absent {
                        0 => WhenAbsent::None,
                        1 => WhenAbsent::Usual,
                        _ => WhenAbsent::Until(now + Duration::from_secs(6)),
                    };
                    made += 1;
                    began.insert(attempt(usize::from(made) - 1).0, now);
                    Input::Call(Call { attempt: attempt(usize::from(made) - 1), ..request(asked, when_absent, &coming) })
                }
                Step::Call { .. } => Input::Time,
                Step::Accepted(number) => Input::Accepted { peer: PEER, attempt: attempt(number) },
                Step::Unavailable(book, number) => Input::Unavailable { book, attempt: attempt(number) },
                Step::Limited(book, number, ms) => {
                    let retry_after = Duration::from_millis(ms);
                    held.insert(book, now + retry_after);
                    Input::Limited { book, attempt: attempt(number), retry_after }
                }
                Step::Up(book, missed) => {
                    up.insert(book);
                    Input::Up { book, missed }
                }
                Step::Down(book) => {
                    up.remove(&book);
                    held.remove(&book);
                    Input::Down { book, coming: false }
                }
                Step::Wait(ms) => {
                    let end = now + Duration::from_millis(ms);
                    let mut turns = 0;
                    while let Some((at, _)) = calls.deadline().filter(|(at, _)| *at <= end) {
                        turns += 1;
                        prop_assert!(turns < 5000, "it spins");
                        now = now.max(at);
                        calls.handle(now, Input::Time);
                        for output in outputs(&mut calls) {
                            match output {
                                Output::Introduce { book, .. } => {
                                    prop_assert!(up.contains(&book));
                                    prop_assert!(held.get(&book).is_none_or(|until| now >= *until));
                                }
                                Output::Dial { attempt } | Output::Failed { attempt, .. } => {
                                    prop_assert!(ended.insert(attempt.0));
                                    let took = now - began[&attempt.0];
                                    prop_assert!(took < QUEUE_TIME * 3, "{took:?}");
                                }
                            }
                        }
                    }
                    now = end;
                    Input::Time
                }
            };
            calls.handle(now, input);
            for output in outputs(&mut calls) {
                match output {
                    Output::Introduce { book, .. } => prop_assert!(up.contains(&book)),
                    Output::Dial { attempt } | Output::Failed { attempt, .. } => {
                        prop_assert!(ended.insert(attempt.0));
                    }
                }
            }
            let under_way = calls.calls.iter().filter(|call| call.go.is_none() && !call.asked.is_empty());
            prop_assert!(under_way.count() <= INTRODUCTIONS_MAX);
        }
        prop_assert_eq!(ended.len(), usize::from(made));
    }
}
