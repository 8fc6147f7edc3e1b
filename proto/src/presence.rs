//! Being findable: when to register with which phone book, and when to try again.
//!
//! Every phone book of the list is registered with, each on its own clock: a heartbeat while it answers, backoff with
//! jitter while it does not. A phone book that lost its memory knows the player again within one heartbeat.

use crate::backoff::Backoff;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How often a registration is repeated unless the configuration says otherwise.
pub const HEARTBEAT: Duration = Duration::from_secs(45);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Phone book `book` took the registration.
    Registered {
        book: usize,
    },
    /// It did not answer, or not well.
    Failed {
        book: usize,
    },
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
}

#[derive(Debug)]
struct Book {
    /// `None` while an answer is awaited.
    due: Option<Instant>,
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
        let book =
            || Book { due: Some(now), backoff: Backoff::new(FIRST_PAUSE, heartbeat.min(LONGEST_PAUSE)) };
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
                    book.due = Some(now + self.heartbeat.mul_f64(0.8 + jitter.clamp(0.0, 1.0) / 5.0));
                }
            }
            Input::Failed { book } => {
                if let Some(book) = self.books.get_mut(book) {
                    book.due = Some(now + book.backoff.advance(jitter));
                }
            }
            Input::Time => {
                for (index, book) in self.books.iter_mut().enumerate() {
                    if book.due.is_some_and(|due| now >= due) {
                        book.due = None;
                        self.outputs.push_back(Register { book: index });
                    }
                }
            }
        }
    }

    pub fn poll(&mut self) -> Option<Register> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        self.books.iter().filter_map(|book| book.due).min().map(|due| (due, Why::Heartbeat))
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
    fn one_registration_at_a_time() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let now = Instant::now();
        let mut presence = Presence::new(1, HEARTBEAT, now);
        assert_eq!(presence.poll(), Some(Register { book: 0 }));
        presence.handle(now + HEARTBEAT * 9, 0.0, Input::Time);
        assert_eq!((presence.poll(), presence.deadline()), (None, None));
    }
}
