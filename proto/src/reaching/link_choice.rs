//! Which of several links to one peer is used, and when another may close.
//!
//! Both sides may dial at once, and a restarted peer dials anew. Both sides choose the same link: a peer's newer
//! instance wins over its former one; of two links of the same instances the one that the smaller key dialled, and of
//! two by the same dialler the newer. They do not choose at the same moment: until the other side knows of the chosen
//! link it uses the other one. So that one is served for a while, and closes when nothing runs on it.

use crate::id::PeerId;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long an unused link stays: longer than a greeting takes.
pub const LINGER: Duration = Duration::from_secs(3);
/// Of two links by the same dialler the sides may see different orders: the dialler's choice counts.
pub const LINGER_THEIRS: Duration = Duration::from_secs(10);
/// A running request keeps a link, but not for ever.
pub const LINGER_MAX: Duration = Duration::from_secs(60);
/// How often running requests are checked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Unused links that stay: one more closes the oldest.
const SPARE_MAX: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A link has greeted. `instance` distinguishes the peer's processes.
    Opened {
        link: usize,
        dialer: PeerId,
        instance: u64,
    },
    /// A request runs on this link now.
    Busy {
        link: usize,
    },
    /// A link has closed.
    Gone {
        link: usize,
    },
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// New requests use this link.
    Use { link: usize },
    /// Close this link.
    Close { link: usize },
    /// The link in use has closed, and there is no other.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    SpareDue,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    link: usize,
    dialer: PeerId,
    instance: u64,
}

#[derive(Debug)]
struct Spare {
    known: Known,
    since: Instant,
    due: Instant,
}

#[derive(Debug)]
pub struct LinkChoice {
    here: PeerId,
    peer: PeerId,
    current: Option<Known>,
    spare: Vec<Spare>,
    outputs: VecDeque<Output>,
}

impl LinkChoice {
    pub fn new(here: PeerId, peer: PeerId) -> Self {
        Self { here, peer, current: None, spare: Vec::new(), outputs: VecDeque::new() }
    }

    /// The link in use.
    pub fn current(&self) -> Option<usize> {
        self.current.map(|known| known.link)
    }

    /// Whether a link that greets now would be used.
    pub fn wants(&self, dialer: PeerId, instance: u64) -> bool {
        self.current.is_none_or(|old| {
            old.instance != instance || old.dialer == dialer || dialer == self.here.min(self.peer)
        })
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened { link, dialer, instance } => self.opened(now, Known { link, dialer, instance }),
            Input::Busy { link } => {
                if let Some(spare) = self.spare.iter_mut().find(|spare| spare.known.link == link) {
                    spare.due = spare.due.max(now + LOOK_EVERY).min(spare.since + LINGER_MAX);
                }
            }
            Input::Gone { link } => {
                self.spare.retain(|spare| spare.known.link != link);
                if self.current() == Some(link) {
                    self.current = self.spare.pop().map(|spare| spare.known);
                    self.outputs.push_back(match self.current() {
                        Some(link) => Output::Use { link },
                        None => Output::Lost,
                    });
                }
            }
            Input::Time => {
                for spare in self.spare.extract_if(.., |spare| now >= spare.due) {
                    self.outputs.push_back(Output::Close { link: spare.known.link });
                }
            }
        }
    }

    fn opened(&mut self, now: Instant, fresh: Known) {
        // A former instance has no links left.
        let former = |known: &Known| known.instance != fresh.instance;
        for spare in self.spare.extract_if(.., |spare| former(&spare.known)) {
            self.outputs.push_back(Output::Close { link: spare.known.link });
        }
        if let Some(old) = self.current.take_if(|old| former(old)) {
            self.outputs.push_back(Output::Close { link: old.link });
        }
        let spare = if self.wants(fresh.dialer, fresh.instance) {
            self.outputs.push_back(Output::Use { link: fresh.link });
            self.current.replace(fresh)
        } else {
            Some(fresh)
        };
        if let Some(known) = spare {
            let linger = if known.dialer == self.here { LINGER } else { LINGER_THEIRS };
            self.spare.push(Spare { known, since: now, due: now + linger });
        }
        if self.spare.len() > SPARE_MAX {
            let oldest = self.spare.remove(0);
            self.outputs.push_back(Output::Close { link: oldest.known.link });
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        self.spare.iter().map(|spare| (spare.due, Why::SpareDue)).min_by_key(|(at, _)| *at)
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        self.spare.is_empty().then_some("no link is to go")
    }
}

#[cfg(test)]
mod tests;
