//! Introductions, as their caller's side knows them: who was asked, who may answer, what is still carried.
//!
//! Nothing here looks at the time: whoever holds the deadlines says when one is over.

use fyteclub_proto::{id::PeerId, letter::Attempt, limit::INTRODUCTIONS_MAX};
use std::collections::{HashMap, VecDeque};

/// Candidates that either side may send in one introduction.
const LETTERS_MAX: u8 = 8;
/// Accepted introductions that are remembered for one caller, to carry candidates.
const ACCEPTED_MAX: usize = 64;

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The name is not resolved yet, or means nobody.
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

    /// Whether the caller may begin one more.
    pub(super) fn begin(&mut self, caller: PeerId, attempt: Attempt) -> bool {
        let of_caller = self.callers.entry(caller).or_default();
        if of_caller.waiting == INTRODUCTIONS_MAX {
            return false;
        }
        of_caller.waiting += 1;
        self.all.insert((caller, attempt), Stage::Begun);
        true
    }

    /// Now it is known who is asked; no if it is too late for that.
    pub(super) fn address(&mut self, caller: PeerId, attempt: Attempt, callee: PeerId) -> bool {
        match self.all.get_mut(&(caller, attempt)) {
            Some(stage @ Stage::Begun) => {
                *stage = Stage::Asked(callee);
                true
            }
            _ => false,
        }
    }

    /// Whether `from` was asked and has not answered before.
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

    /// Nobody has accepted in time. No if somebody has.
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

    /// The time of an accepted one is over.
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

    /// Whether the caller may send one more letter to the callee.
    pub(super) fn sends(&mut self, caller: PeerId, attempt: Attempt, to: &PeerId) -> bool {
        match self.all.get_mut(&(caller, attempt)) {
            Some(Stage::Accepted { callee, sent, .. }) if callee == to => count(sent),
            _ => false,
        }
    }

    /// Whether the caller is to hear one more letter of the callee.
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
