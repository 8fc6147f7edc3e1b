//! The caller's side of introductions: asks one phone book after the other until the callee accepts.
//!
//! The first connected phone book is asked at once, each next one [`HEDGE`] later or as soon as the one before has
//! failed: a phone book that hangs costs less than a second. The callee may get one attempt from several phone books;
//! its first answer counts.
//!
//! A call that cannot be sent waits, for [`QUEUE_TIME`] at most: while all places are taken ([`INTRODUCTIONS_MAX`]) or
//! after a phone book's `Limited`, calls with a waiter first; and while no phone book is connected but one is
//! connecting; also where the connection broke over which it was sent. An absent callee is reported once, or, if it was present a moment ago, only after further attempts.

#[cfg(test)]
mod tests;

use crate::{
    id::PeerId, letter::Attempt, limit::INTRODUCTIONS_MAX, live::RETURN_TIME, phonebook::live::ANSWER_TIME,
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// How long one phone book has before the next one is asked as well. Below a second, so that a dead first phone book
/// and a slow second one stay below two.
pub const HEDGE: Duration = Duration::from_millis(700);
/// An answer's travel time, on top of [`ANSWER_TIME`].
const TRAVEL_TIME: Duration = Duration::from_millis(1000);
/// How long an accepted introduction waits for its `Go`, at most.
pub const GO_TIME: Duration = Duration::from_millis(700);
/// How long a call may wait for a place, or after a `Limited`.
pub const QUEUE_TIME: Duration = Duration::from_secs(30);
/// How long a call waits for a connecting phone book.
pub const COMING_TIME: Duration = Duration::from_secs(3);
/// Before an absent callee is asked again.
const AGAIN_PAUSE: Duration = Duration::from_millis(300);
/// For so long after a `Limited`, a phone book is asked once in [`TIGHT_PAUSE`].
const TIGHT_TIME: Duration = Duration::from_secs(30);
const TIGHT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Call(Call),
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
    /// This phone book dropped the message, and accepts none before that time is over.
    Limited {
        book: usize,
        attempt: Attempt,
        retry_after: Duration,
    },
    /// The live connection to this phone book opened. `missed`: it was down, so its other clients may still be
    /// reconnecting.
    Up {
        book: usize,
        missed: bool,
    },
    /// The live connection to this phone book closed, or failed to open. `coming`: it connects again now.
    Down {
        book: usize,
        coming: bool,
    },
    Time,
}

/// Introduce this daemon to a peer, through the connected phone books, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub peer: PeerId,
    /// Random.
    pub attempt: Attempt,
    /// A client waits for it: it goes before the others.
    pub asked: bool,
    pub when_absent: WhenAbsent,
    /// Phone books that are connecting.
    pub coming: Vec<usize>,
}

/// What to do about an absent callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenAbsent {
    /// Report at once: another way can be tried.
    None,
    /// Report at once, unless a phone book has only just restarted.
    Usual,
    /// It was present just now: ask again until this time.
    Until(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send `Introduce` to this phone book.
    Introduce { book: usize, peer: PeerId, attempt: Attempt },
    /// Dial the addresses of the callee's letter now.
    Dial { attempt: Attempt },
    /// The introduction failed.
    Failed { attempt: Attempt, why: Failure },
}

/// Why an introduction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The callee is absent, or not for us.
    NotThere,
    /// Absent by a phone book that was down until just now.
    NotBack,
    /// No place in time.
    Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NextBook,
    NoAnswer,
    Go,
    Again,
    /// The wait for a place or a phone book took too long.
    WaitedLong,
}

#[derive(Debug)]
struct Running {
    call: Call,
    since: Instant,
    /// How long it waits for a connecting phone book.
    coming_until: Instant,
    /// Not asked yet.
    books: VecDeque<usize>,
    /// Asked; the answer is awaited until then.
    asked: Vec<(usize, Instant)>,
    next_book: Instant,
    /// All have declined; when to ask them again.
    again: Option<Instant>,
    /// Accepted: when to dial.
    go: Option<Instant>,
    /// It waited too long; no further phone book is asked.
    late: bool,
}

#[derive(Debug, Default)]
pub struct Introductions {
    /// In the order of calls.
    calls: Vec<Running>,
    /// Connected phone books; when each was down last, if it was.
    up: BTreeMap<usize, Option<Instant>>,
    /// Phone books that accept nothing before then.
    held: BTreeMap<usize, Instant>,
    /// The time of each one's last `Limited`.
    tight: BTreeMap<usize, Instant>,
    outputs: VecDeque<Output>,
}

impl Introductions {
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Call(call) => {
                let books = self.up.keys().copied().collect();
                let (asked, again, go, late) = (Vec::new(), None, None, false);
                self.calls.push(Running {
                    call,
                    since: now,
                    coming_until: now + COMING_TIME,
                    books,
                    asked,
                    next_book: now,
                    again,
                    go,
                    late,
                });
            }
            Input::Accepted { peer, attempt } => {
                if let Some(call) = self.call(attempt, Some(peer)) {
                    call.go.get_or_insert(now + GO_TIME);
                }
            }
            Input::Go { peer, attempt, delay } => {
                if let Some(go) = self.call(attempt, Some(peer)).and_then(|call| call.go.as_mut()) {
                    *go = (now + delay).min(*go);
                }
            }
            Input::Unavailable { book, attempt } => {
                if let Some(call) = self.call(attempt, None) {
                    call.forget(book, now);
                }
            }
            Input::Limited { book, attempt, retry_after } => {
                self.held.insert(book, now + retry_after.min(QUEUE_TIME));
                if retry_after >= TIGHT_PAUSE {
                    self.tight.insert(book, now);
                }
                if let Some(call) = self.call(attempt, None)
                    && call.asked.iter().any(|(asked, _)| *asked == book)
                {
                    call.forget(book, now);
                    call.books.push_back(book);
                }
            }
            Input::Up { book, missed } => {
                self.up.insert(book, missed.then_some(now));
                for call in self.calls.iter_mut().filter(|call| call.go.is_none()) {
                    call.call.coming.retain(|coming| *coming != book);
                    if !call.books.contains(&book) && call.again.is_none() {
                        call.books.push_back(book);
                    }
                }
            }
            Input::Down { book, coming } => {
                self.up.remove(&book);
                self.held.remove(&book);
                for call in &mut self.calls {
                    call.call.coming.retain(|coming| *coming != book);
                    if call.forget(book, now) && coming {
                        call.call.coming.push(book);
                        call.coming_until = now + COMING_TIME;
                    }
                }
            }
            Input::Time => {}
        }
        self.advance(now);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let places = self.has_place();
        self.calls.iter().filter_map(|call| self.deadline_of(call, places)).min_by_key(|(at, _)| *at)
    }

    fn call(&mut self, attempt: Attempt, peer: Option<PeerId>) -> Option<&mut Running> {
        let is_it = |call: &&mut Running| {
            call.call.attempt == attempt && peer.is_none_or(|peer| call.call.peer == peer)
        };
        self.calls.iter_mut().find(is_it)
    }

    /// Whether one more introduction may be sent.
    fn has_place(&self) -> bool {
        let waits = |call: &&Running| call.go.is_none() && !call.asked.is_empty();
        self.calls.iter().filter(waits).count() < INTRODUCTIONS_MAX
    }

    fn advance(&mut self, now: Instant) {
        self.held.retain(|_, until| now < *until);
        for call in &mut self.calls {
            call.asked.retain(|(_, until)| now < *until);
            if now >= call.coming_until {
                call.call.coming.clear();
            }
            if call.again.is_some_and(|again| now >= again) {
                call.again = None;
                call.books = self.up.keys().copied().collect();
            }
            if now >= call.since + QUEUE_TIME && (call.late || !call.books.is_empty()) {
                (call.late, call.again) = (true, None);
                call.books.clear();
            }
        }
        // Calls with a waiter first.
        for asked in [true, false] {
            for at in 0..self.calls.len() {
                if self.calls[at].call.asked == asked {
                    self.ask(now, at);
                }
            }
        }
        let (up, outputs) = (&self.up, &mut self.outputs);
        self.calls.retain_mut(|call| match call.end(now, up) {
            Some(end) => {
                outputs.push_back(end);
                false
            }
            None => true,
        });
    }

    /// Asks the next phone book, if allowed.
    fn ask(&mut self, now: Instant, at: usize) {
        let call = &self.calls[at];
        if call.go.is_some() || now < call.next_book || (call.asked.is_empty() && !self.has_place()) {
            return;
        }
        let Some(position) = call.books.iter().position(|book| !self.held.contains_key(book)) else { return };
        let call = &mut self.calls[at];
        let Some(book) = call.books.remove(position) else { return };
        call.asked.push((book, now + ANSWER_TIME + TRAVEL_TIME));
        call.next_book = now + HEDGE;
        let (peer, attempt) = (call.call.peer, call.call.attempt);
        self.outputs.push_back(Output::Introduce { book, peer, attempt });
        if self.tight.get(&book).is_some_and(|said| now < *said + TIGHT_TIME) {
            self.held.insert(book, now + TIGHT_PAUSE);
        }
    }

    fn deadline_of(&self, call: &Running, places: bool) -> Option<(Instant, Why)> {
        if let Some(go) = call.go {
            return Some((go, Why::Go));
        }
        let free = |book: &usize| self.held.get(book).copied().unwrap_or(call.next_book).max(call.next_book);
        let next = call.books.iter().map(free).min().filter(|_| places || !call.asked.is_empty());
        let last = call.asked.iter().map(|(_, until)| *until).min();
        let long = (call.asked.is_empty() && call.again.is_none())
            .then(|| if call.books.is_empty() { call.coming_until } else { call.since + QUEUE_TIME });
        let all = [
            next.map(|at| (at, Why::NextBook)),
            last.map(|at| (at, Why::NoAnswer)),
            call.again.map(|at| (at, Why::Again)),
            long.map(|at| (at, Why::WaitedLong)),
        ];
        all.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        self.calls.is_empty().then_some("nobody is called")
    }
}

impl Running {
    /// No answer will come from this phone book: the next one need not wait. Whether it was asked.
    fn forget(&mut self, book: usize, now: Instant) -> bool {
        let before = self.asked.len();
        self.asked.retain(|(asked, _)| *asked != book);
        self.books.retain(|waiting| *waiting != book);
        let was_asked = self.asked.len() < before;
        if was_asked {
            self.next_book = now;
        }
        was_asked
    }

    /// The call's result, if it has ended.
    fn end(&mut self, now: Instant, up: &BTreeMap<usize, Option<Instant>>) -> Option<Output> {
        let attempt = self.call.attempt;
        if let Some(go) = self.go {
            return (now >= go).then_some(Output::Dial { attempt });
        }
        if !self.asked.is_empty() || self.again.is_some() {
            return None;
        }
        if self.late {
            return Some(Output::Failed { attempt, why: Failure::Busy });
        }
        if !self.books.is_empty() || !self.call.coming.is_empty() {
            return None;
        }
        let back = up.values().flatten().map(|since| *since + RETURN_TIME).max().filter(|until| now < *until);
        let until = match self.call.when_absent {
            WhenAbsent::None => None,
            WhenAbsent::Usual => back.filter(|_| self.call.asked),
            WhenAbsent::Until(until) => Some(back.map_or(until, |back| back.max(until))),
        };
        if until.is_some_and(|until| now + AGAIN_PAUSE < until) {
            self.again = Some(now + AGAIN_PAUSE);
            return None;
        }
        let why = if back.is_some() { Failure::NotBack } else { Failure::NotThere };
        Some(Output::Failed { attempt, why })
    }
}
