//! Introductions, stored on the caller's side: the callee, the state, and the letters left.
//!
//! The owner of the deadlines calls `give_up` and `forget`.

use fyteclub_proto::{id::PeerId, letter::Attempt, limit::INTRODUCTIONS_MAX};
use std::collections::{HashMap, VecDeque};

/// Candidate letters per side and introduction.
const LETTERS_MAX: u8 = 8;
/// Accepted introductions per caller, kept for their candidates.
const ACCEPTED_MAX: usize = 64;

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The name is unresolved or unknown.
    Begun,
    Asked(PeerId),
    Declined,
    Accepted {
        callee: PeerId,
        sent: u8,
        received: u8,
    },
}

#[derive(Debug, Default)]
struct Caller {
    waiting: usize,
    accepted: VecDeque<Attempt>,
}

#[derive(Debug, Default)]
pub(super) struct Attempts {
    all: HashMap<(PeerId, Attempt), Stage>,
    callers: HashMap<PeerId, Caller>,
}

impl Attempts {
    pub(super) fn is_callers(&self, caller: PeerId, attempt: Attempt) -> bool {
        self.all.contains_key(&(caller, attempt))
    }

    /// Returns whether the caller may start one more.
    pub(super) fn begin(&mut self, caller: PeerId, attempt: Attempt) -> bool {
        let of_caller = self.callers.entry(caller).or_default();
        if of_caller.waiting == INTRODUCTIONS_MAX {
            return false;
        }
        of_caller.waiting += 1;
        self.all.insert((caller, attempt), Stage::Begun);
        true
    }

    /// Sets the callee. Returns false if the attempt is over.
    pub(super) fn address(&mut self, caller: PeerId, attempt: Attempt, callee: PeerId) -> bool {
        match self.all.get_mut(&(caller, attempt)) {
            Some(stage @ Stage::Begun) => {
                *stage = Stage::Asked(callee);
                true
            }
            _ => false,
        }
    }

    /// Returns whether `from` was asked and answers first.
    pub(super) fn answer(&mut self, caller: PeerId, attempt: Attempt, from: &PeerId, accepts: bool) -> bool {
        let Some(stage) = self.all.get_mut(&(caller, attempt)).filter(|stage| **stage == Stage::Asked(*from))
        else {
            return false;
        };
        if !accepts {
            *stage = Stage::Declined;
            return true;
        }
        *stage = Stage::Accepted { callee: *from, sent: 0, received: 0 };
        let of_caller = self.callers.entry(caller).or_default();
        of_caller.waiting -= 1;
        of_caller.accepted.push_back(attempt);
        if of_caller.accepted.len() > ACCEPTED_MAX
            && let Some(oldest) = of_caller.accepted.pop_front()
        {
            self.all.remove(&(caller, oldest));
        }
        true
    }

    pub(super) fn is_declined(&self, caller: PeerId, attempt: Attempt) -> bool {
        self.all.get(&(caller, attempt)) == Some(&Stage::Declined)
    }

    /// Ends an unanswered attempt. Returns false if it was accepted.
    pub(super) fn give_up(&mut self, caller: PeerId, attempt: Attempt) -> bool {
        match self.all.get(&(caller, attempt)) {
            None | Some(Stage::Accepted { .. }) => false,
            Some(_) => {
                self.all.remove(&(caller, attempt));
                if let Some(of_caller) = self.callers.get_mut(&caller) {
                    of_caller.waiting -= 1;
                }
                self.tidy(caller);
                true
            }
        }
    }

    /// Ends an accepted attempt.
    pub(super) fn forget(&mut self, caller: PeerId, attempt: Attempt) {
        if let Some(of_caller) = self.callers.get_mut(&caller) {
            let before = of_caller.accepted.len();
            of_caller.accepted.retain(|accepted| *accepted != attempt);
            if of_caller.accepted.len() < before {
                self.all.remove(&(caller, attempt));
            }
        }
        self.tidy(caller);
    }

    /// Returns whether the caller may send one more letter to the callee.
    pub(super) fn sends(&mut self, caller: PeerId, attempt: Attempt, to: &PeerId) -> bool {
        match self.all.get_mut(&(caller, attempt)) {
            Some(Stage::Accepted { callee, sent, .. }) if callee == to => count(sent),
            _ => false,
        }
    }

    /// Returns whether the callee may send one more letter to the caller.
    pub(super) fn receives(&mut self, caller: PeerId, attempt: Attempt, from: &PeerId) -> bool {
        match self.all.get_mut(&(caller, attempt)) {
            Some(Stage::Accepted { callee, received, .. }) if callee == from => count(received),
            _ => false,
        }
    }

    fn tidy(&mut self, caller: PeerId) {
        if self.callers.get(&caller).is_some_and(|of| of.waiting == 0 && of.accepted.is_empty()) {
            self.callers.remove(&caller);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.callers.is_empty()
    }
}

fn count(letters: &mut u8) -> bool {
    let more = *letters < LETTERS_MAX;
    *letters += u8::from(more);
    more
}
