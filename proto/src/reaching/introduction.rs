//! The caller's side of introductions: asks one phone book after the other until the callee accepts.
//!
//! The first connected phone book is asked at once, each next one [`HEDGE`] later or as soon as the one before has no
//! answer to give: a phone book that hangs costs less than a second. The callee may hear of one attempt from several
//! phone books; its first answer counts.
//!
//! What cannot be asked yet waits, for [`QUEUE_TIME`] at most: a call for which every place is taken
//! ([`INTRODUCTIONS_MAX`]) or that a phone book found too much, those first for whom somebody waits; and a call for which
//! no phone book is connected, as long as one is being connected to. Nobody there is said once, or, where the callee was
//! there a moment ago, only when it is still so after a while.

#[cfg(test)]
mod tests;

use crate::{
    id::PeerId, letter::Attempt, limit::INTRODUCTIONS_MAX, live::RETURN_TIME, phonebook::live::ANSWER_TIME,
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// How long one phone book may think before the next one is asked as well. Below a second, so that a dead first phone
/// book and a slow second one stay below two.
pub const HEDGE: Duration = Duration::from_millis(700);
/// What an answer may take on its way, on top of [`ANSWER_TIME`].
const TRAVEL_TIME: Duration = Duration::from_millis(1000);
/// How long an accepted introduction waits for its `Go`, at most.
pub const GO_TIME: Duration = Duration::from_millis(700);
/// How long a call may wait for a place, or for a phone book to want more of us.
pub const QUEUE_TIME: Duration = Duration::from_secs(30);
/// How long a call waits for a phone book that is being connected to.
pub const COMING_TIME: Duration = Duration::from_secs(3);
/// Before a callee who was not there is asked for again.
const AGAIN_PAUSE: Duration = Duration::from_millis(300);
/// A phone book that found us too much is asked once in [`TIGHT_PAUSE`] for so long.
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
    /// This phone book did not do it, and wants no more before that time is over.
    Limited {
        book: usize,
        attempt: Attempt,
        retry_after: Duration,
    },
    /// A conversation with this phone book began. `missed`: it was away, so that its other clients may still be coming.
    Up {
        book: usize,
        missed: bool,
    },
    /// The conversation with this phone book ended, or did not begin.
    Down {
        book: usize,
    },
    Time,
}

/// Introduce this daemon to a peer, through the phone books that are connected, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub peer: PeerId,
    /// Random.
    pub attempt: Attempt,
    /// Somebody waits for it: it goes before those for whom nobody does.
    pub asked: bool,
    pub patience: Patience,
    /// Phone books that are being connected to.
    pub coming: Vec<usize>,
}

/// What is made of a callee who is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It is said at once: something else can be tried.
    None,
    /// It is said at once, unless a phone book has only just come back.
    Usual,
    /// They were there just now: they are asked for again until this time is over.
    Until(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Say `Introduce` to this phone book.
    Introduce { book: usize, peer: PeerId, attempt: Attempt },
    /// Dial now what the callee's letter named.
    Dial { attempt: Attempt },
    /// Nobody could introduce us.
    Failed { attempt: Attempt, why: Failure },
}

/// Why nobody could introduce us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// They are not there, or not for us.
    NotThere,
    /// As far as a phone book knows that was away until just now.
    NotBack,
    /// There was no place in time.
    Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NextBook,
    NoAnswer,
    Go,
    Again,
    /// A place, or a phone book, was waited for long enough.
    WaitedLong,
}

#[derive(Debug)]
struct Running {
    call: Call,
    since: Instant,
    /// Not asked yet.
    books: VecDeque<usize>,
    /// Asked, and what they said is awaited until then.
    asked: Vec<(usize, Instant)>,
    next_book: Instant,
    /// All have said no; when they are asked again.
    again: Option<Instant>,
    /// Accepted: when to begin.
    go: Option<Instant>,
    /// It has waited for long enough; nobody is asked any more.
    late: bool,
}

#[derive(Debug, Default)]
pub struct Introductions {
    /// In the order of calling.
    calls: Vec<Running>,
    /// Connected; when each was away last, if it was.
    up: BTreeMap<usize, Option<Instant>>,
    /// Phone books that want no more of us until then.
    held: BTreeMap<usize, Instant>,
    /// When each said so last.
    tight: BTreeMap<usize, Instant>,
    outputs: VecDeque<Output>,
}

impl Introductions {
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Call(call) => {
                let books = self.up.keys().copied().collect();
                let (asked, again, go, late) = (Vec::new(), None, None, false);
                self.calls.push(Running { call, since: now, books, asked, next_book: now, again, go, late });
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
            Input::Down { book } => {
                self.up.remove(&book);
                self.held.remove(&book);
                for call in &mut self.calls {
                    call.call.coming.retain(|coming| *coming != book);
                    call.forget(book, now);
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

    /// Whether one more introduction may be under way.
    fn has_place(&self) -> bool {
        let waits = |call: &&Running| call.go.is_none() && !call.asked.is_empty();
        self.calls.iter().filter(waits).count() < INTRODUCTIONS_MAX
    }

    fn advance(&mut self, now: Instant) {
        self.held.retain(|_, until| now < *until);
        for call in &mut self.calls {
            call.asked.retain(|(_, until)| now < *until);
            if now >= call.since + COMING_TIME {
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
        // Those first for whom somebody waits.
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

    /// Asks the next phone book for a call, if it may.
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
            .then(|| if call.books.is_empty() { call.since + COMING_TIME } else { call.since + QUEUE_TIME });
        let all = [
            next.map(|at| (at, Why::NextBook)),
            last.map(|at| (at, Why::NoAnswer)),
            call.again.map(|at| (at, Why::Again)),
            long.map(|at| (at, Why::WaitedLong)),
        ];
        all.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Why nothing is waited for, where nothing is. In every other state there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        self.calls.is_empty().then_some("nobody is called")
    }
}

impl Running {
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
        let until = match self.call.patience {
            Patience::None => None,
            Patience::Usual => back.filter(|_| self.call.asked),
            Patience::Until(until) => Some(back.map_or(until, |back| back.max(until))),
        };
        if until.is_some_and(|until| now + AGAIN_PAUSE < until) {
            self.again = Some(now + AGAIN_PAUSE);
            return None;
        }
        let why = if back.is_some() { Failure::NotBack } else { Failure::NotThere };
        Some(Output::Failed { attempt, why })
    }
}
