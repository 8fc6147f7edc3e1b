//! The caller's side of introductions: asks one phone book after the other until the callee accepts.
//!
//! The first connected phone book is asked at once, each next one [`HEDGE`] later or as soon as the one before has no
//! answer to give: a phone book that hangs costs less than a second. The callee may hear of one attempt from several
//! phone books; its first answer counts.

use crate::{id::PeerId, letter::Attempt, phonebook::live::ANSWER_TIME};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// How long one phone book may think before the next one is asked as well. Below a second, so that a dead first phone
/// book and a slow second one stay below two.
pub const HEDGE: Duration = Duration::from_millis(700);
/// What an answer may take on its way, on top of [`ANSWER_TIME`].
const TRAVEL_TIME: Duration = Duration::from_millis(1000);
/// How long an accepted introduction waits for its `Go`, at most.
pub const GO_TIME: Duration = Duration::from_millis(700);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Introduce this daemon to a peer, through these phone books, in this order. `attempt` is random.
    Call {
        peer: PeerId,
        attempt: Attempt,
        books: Vec<usize>,
    },
    /// The callee accepted, with a letter that opened.
    Accepted {
        peer: PeerId,
        attempt: Attempt,
    },
    Go {
        peer: PeerId,
        attempt: Attempt,
        delay: Duration,
    },
    Unavailable {
        book: usize,
        attempt: Attempt,
    },
    /// The conversation with this phone book ended.
    Down {
        book: usize,
    },
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Say `Introduce` to this phone book.
    Introduce { book: usize, peer: PeerId, attempt: Attempt },
    /// Dial now what the callee's letter named.
    Dial { attempt: Attempt },
    /// Nobody could introduce us.
    Failed { attempt: Attempt },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NextBook,
    NoAnswer,
    Go,
}

#[derive(Debug)]
struct Call {
    peer: PeerId,
    /// Not asked yet.
    books: VecDeque<usize>,
    /// Asked, and what they said is awaited until then.
    asked: Vec<(usize, Instant)>,
    next_book: Instant,
    /// Accepted: when to begin.
    go: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct Introductions {
    calls: HashMap<Attempt, Call>,
    outputs: VecDeque<Output>,
}

impl Introductions {
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Call { peer, attempt, books } => {
                let call = Call { peer, books: books.into(), asked: Vec::new(), next_book: now, go: None };
                self.calls.insert(attempt, call);
            }
            Input::Accepted { peer, attempt } => {
                if let Some(call) = self.calls.get_mut(&attempt).filter(|call| call.peer == peer) {
                    call.go.get_or_insert(now + GO_TIME);
                }
            }
            Input::Go { peer, attempt, delay } => {
                if let Some(call) = self.calls.get_mut(&attempt).filter(|call| call.peer == peer)
                    && let Some(go) = &mut call.go
                {
                    *go = (now + delay).min(*go);
                }
            }
            Input::Unavailable { book, attempt } => {
                if let Some(call) = self.calls.get_mut(&attempt) {
                    call.forget(book, now);
                }
            }
            Input::Down { book } => self.calls.values_mut().for_each(|call| call.forget(book, now)),
            Input::Time => {}
        }
        self.calls.retain(|attempt, call| match call.advance(now, *attempt, &mut self.outputs) {
            Some(end) => {
                self.outputs.push_back(end);
                false
            }
            None => true,
        });
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        self.calls.values().filter_map(Call::deadline).min_by_key(|(at, _)| *at)
    }

    /// Why nothing is waited for, where nothing is. In every other state there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        self.calls.is_empty().then_some("nobody is called")
    }
}

impl Call {
    /// Nothing more is to come from this phone book: the next one need not wait.
    fn forget(&mut self, book: usize, now: Instant) {
        let before = self.asked.len();
        self.asked.retain(|(asked, _)| *asked != book);
        self.books.retain(|waiting| *waiting != book);
        if self.asked.len() < before {
            self.next_book = now;
        }
    }

    /// How the call ended, if it did.
    fn advance(&mut self, now: Instant, attempt: Attempt, outputs: &mut VecDeque<Output>) -> Option<Output> {
        if let Some(go) = self.go {
            return (now >= go).then_some(Output::Dial { attempt });
        }
        self.asked.retain(|(_, until)| now < *until);
        if now >= self.next_book
            && let Some(book) = self.books.pop_front()
        {
            self.asked.push((book, now + ANSWER_TIME + TRAVEL_TIME));
            self.next_book = now + HEDGE;
            outputs.push_back(Output::Introduce { book, peer: self.peer, attempt });
        }
        (self.asked.is_empty() && self.books.is_empty()).then_some(Output::Failed { attempt })
    }

    fn deadline(&self) -> Option<(Instant, Why)> {
        if let Some(go) = self.go {
            return Some((go, Why::Go));
        }
        let next = (!self.books.is_empty()).then_some((self.next_book, Why::NextBook));
        let last = self.asked.iter().map(|(_, until)| *until).min().map(|until| (until, Why::NoAnswer));
        next.into_iter().chain(last).min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;

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

    fn call(books: &[usize], now: Instant) -> Introductions {
        let mut introductions = Introductions::default();
        introductions.handle(now, Input::Call { peer: PEER, attempt: ATTEMPT, books: books.to_vec() });
        introductions
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
        calls.handle(now + HEDGE, Input::Down { book: 1 });
        assert_eq!(outputs(&mut calls), [ask(2)], "one that is gone is not waited for");
        let late = now + HEDGE + ANSWER_TIME;
        calls.handle(late, Input::Unavailable { book: 2, attempt: ATTEMPT });
        assert!(outputs(&mut calls).is_empty(), "the first may still answer");
        let (until, why) = calls.deadline().expect("an end");
        assert_eq!(why, Why::NoAnswer);
        calls.handle(until, Input::Time);
        assert_eq!(outputs(&mut calls), [Output::Failed { attempt: ATTEMPT }]);
    }

    #[test]
    fn without_a_phone_book_it_fails_at_once() {
        let mut calls = call(&[], start());
        assert_eq!(outputs(&mut calls), [Output::Failed { attempt: ATTEMPT }]);
    }
}
