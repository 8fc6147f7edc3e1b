//! When to register with which phone book, and when to retry.
//!
//! The daemon registers with every phone book of the list, each on its own schedule: a heartbeat while it answers,
//! backoff with jitter while it does not. A phone book that restarted knows the player again within one heartbeat.

use crate::backoff::Backoff;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How often a registration is repeated, by default.
pub const HEARTBEAT: Duration = Duration::from_secs(45);
/// How often with a live connection: three times in a record's usual life.
pub const LIVE_HEARTBEAT: Duration = Duration::from_secs(1200);
/// When a registration without an answer counts as failed. Longer than an HTTP request may take.
pub const WORD_TIME: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Phone book `book` accepted the registration.
    Registered {
        book: usize,
    },
    /// It did not answer, or refused.
    Failed {
        book: usize,
    },
    /// A live connection opened: it may have lost its memory, so register now; from then on rarely.
    Up {
        book: usize,
    },
    /// The live connection closed.
    Down {
        book: usize,
    },
    /// This machine's address changed: register everywhere now. Awaited answers are for the old address, and are not
    /// reported.
    Moved,
    Time,
}

/// Register with this phone book now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    pub book: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Heartbeat,
    AnswerDue,
}

#[derive(Debug)]
struct Book {
    /// `None` while an answer is awaited.
    due: Option<Instant>,
    /// When the last registration was sent.
    asked: Instant,
    /// Register again after the answer.
    again: bool,
    live: bool,
    backoff: Backoff,
}

#[derive(Debug)]
pub struct Presence {
    books: Vec<Book>,
    heartbeat: Duration,
    outputs: VecDeque<Register>,
}

impl Presence {
    /// Registers with all of `books` at once, then every `heartbeat`.
    pub fn new(books: usize, heartbeat: Duration, now: Instant) -> Self {
        let book = || Book {
            due: Some(now),
            asked: now,
            again: false,
            live: false,
            backoff: Backoff::new(FIRST_PAUSE, heartbeat.min(LONGEST_PAUSE)),
        };
        let mut presence =
            Self { books: (0..books).map(|_| book()).collect(), heartbeat, outputs: VecDeque::new() };
        presence.handle(now, 0.0, Input::Time);
        presence
    }

    /// `jitter` is in 0..1.
    pub fn handle(&mut self, now: Instant, jitter: f64, input: Input) {
        match input {
            Input::Registered { book } => {
                if let Some(book) = self.books.get_mut(book) {
                    book.backoff.reset();
                    let period = if book.live { LIVE_HEARTBEAT } else { self.heartbeat };
                    let pause = period.mul_f64(0.8 + jitter.clamp(0.0, 1.0) / 5.0);
                    book.due = Some(if std::mem::take(&mut book.again) { now } else { now + pause });
                }
            }
            Input::Failed { book } => {
                if let Some(book) = self.books.get_mut(book) {
                    book.due = Some(now + book.backoff.advance(jitter));
                }
            }
            Input::Up { book } => {
                if let Some(book) = self.books.get_mut(book) {
                    book.live = true;
                    // An awaited registration may be older than the phone book's restart.
                    book.again = book.due.is_none();
                    book.due = book.due.map(|_| now);
                }
            }
            Input::Down { book } => {
                if let Some(book) = self.books.get_mut(book) {
                    book.live = false;
                    let pause = self.heartbeat.mul_f64(0.8 + jitter.clamp(0.0, 1.0) / 5.0);
                    book.due = book.due.map(|due| due.min(now + pause));
                }
            }
            Input::Moved => {
                for book in &mut self.books {
                    book.backoff.reset();
                    (book.due, book.again) = (Some(now), false);
                }
            }
            Input::Time => {}
        }
        if matches!(input, Input::Time | Input::Up { .. } | Input::Registered { .. } | Input::Moved) {
            for (index, book) in self.books.iter_mut().enumerate() {
                if book.due.is_none() && now >= book.asked + WORD_TIME {
                    book.due = Some(now + book.backoff.advance(jitter));
                }
                if book.due.is_some_and(|due| now >= due) {
                    (book.due, book.asked) = (None, now);
                    self.outputs.push_back(Register { book: index });
                }
            }
        }
    }

    pub fn poll(&mut self) -> Option<Register> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let next = |book: &Book| match book.due {
            Some(due) => (due, Why::Heartbeat),
            None => (book.asked + WORD_TIME, Why::AnswerDue),
        };
        self.books.iter().map(next).min_by_key(|(at, _)| *at)
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        self.books.is_empty().then_some("no phone book: nothing is registered")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_heartbeats_and_an_outage() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let start = Instant::now();
        let (mut now, mut registrations) = (start, [0u32; 2]);
        let mut presence = Presence::new(2, HEARTBEAT, now);
        while now < start + Duration::from_secs(86_400) {
            while let Some(Register { book }) = presence.poll() {
                registrations[book] += 1;
                // The second phone book is down for the first half of the day.
                let down = book == 1 && now < start + Duration::from_secs(43_200);
                let input = if down { Input::Failed { book } } else { Input::Registered { book } };
                presence.handle(now, 0.5, input);
            }
            now = presence.deadline().expect("always a next time").0;
            presence.handle(now, 0.5, Input::Time);
        }
        assert!((1900..2400).contains(&registrations[0]), "{registrations:?}");
        assert!(
            (1900..2700).contains(&registrations[1]),
            "a dead phone book is not hammered: {registrations:?}"
        );
    }

    #[test]
    fn live_client_registers_rarely_and_after_a_loss() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let now = Instant::now();
        let mut presence = Presence::new(1, HEARTBEAT, now);
        let register = Some(Register { book: 0 });
        assert_eq!(presence.poll(), register);
        // An answer is awaited: the phone book may have restarted since the request.
        presence.handle(now, 0.5, Input::Up { book: 0 });
        assert_eq!(presence.poll(), None);
        presence.handle(now, 0.5, Input::Registered { book: 0 });
        assert_eq!(presence.poll(), register);
        presence.handle(now, 0.5, Input::Registered { book: 0 });
        assert!(presence.deadline().expect("a time").0 > now + LIVE_HEARTBEAT / 2);
        presence.handle(now, 0.5, Input::Down { book: 0 });
        assert!(presence.deadline().expect("a time").0 <= now + HEARTBEAT);
        presence.handle(now, 0.5, Input::Up { book: 0 });
        assert_eq!((presence.poll(), presence.poll()), (register, None));
    }

    #[test]
    fn one_registration_at_a_time() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let now = Instant::now();
        let mut presence = Presence::new(1, HEARTBEAT, now);
        assert_eq!(presence.poll(), Some(Register { book: 0 }));
        presence.handle(now + WORD_TIME / 2, 0.0, Input::Time);
        assert_eq!((presence.poll(), presence.deadline()), (None, Some((now + WORD_TIME, Why::AnswerDue))));
        // Its answer was lost: one more, after the pause of a failure.
        presence.handle(now + WORD_TIME, 0.0, Input::Time);
        let (at, why) = presence.deadline().expect("a time");
        assert_eq!((presence.poll(), why), (None, Why::Heartbeat));
        presence.handle(at, 0.0, Input::Time);
        assert_eq!((presence.poll(), presence.poll()), (Some(Register { book: 0 }), None));
    }

    #[test]
    fn a_moved_machine_registers_everywhere_at_once() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let now = Instant::now();
        let mut presence = Presence::new(3, HEARTBEAT, now);
        while presence.poll().is_some() {}
        presence.handle(now, 0.5, Input::Registered { book: 0 });
        presence.handle(now, 0.5, Input::Failed { book: 1 });
        let later = now + Duration::from_millis(10);
        // The third has not answered yet, and will not.
        presence.handle(later, 0.5, Input::Moved);
        let registered: Vec<usize> =
            std::iter::from_fn(|| presence.poll()).map(|register| register.book).collect();
        assert_eq!(registered, [0, 1, 2]);
        assert_eq!(presence.deadline(), Some((later + WORD_TIME, Why::AnswerDue)), "all are awaited");
    }
}
