//! Admission of incoming handshakes.
//!
//! A handshake holds a place until it ends. A network has a few places; when they are taken, its next handshake ends
//! its own oldest one, because an honest one ends within a round trip or two. Strangers together have fewer places than
//! there are, and the rest is for callers at a contact's last address. Under load an address must be proven first (RFC
//! 9000 §8.1.2), so that forged packets spend nobody's allowance. Rates bound the CPU time, which is mostly signing and
//! checking.

use crate::{
    id::PeerId,
    ledger::{By, Counterpart, Item, Ledger, Network},
    limit::{HANDSHAKES_BEFORE_PROOF, STRANGERS_HANDSHAKES_MAX},
};
use std::{collections::VecDeque, time::Instant};

/// The caller of a handshake, by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// At this contact's last address.
    Contact(PeerId),
    Stranger(Network),
}

impl Caller {
    /// The account to charge.
    pub fn account(self) -> Counterpart {
        match self {
            Self::Contact(peer) => Counterpart::Contact(peer),
            Self::Stranger(network) => Counterpart::Network(network),
        }
    }

    fn is_stranger(self) -> bool {
        matches!(self, Self::Stranger(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Continue, under this number. `instead` ends now: its place is taken.
    Begin { number: u64, instead: Option<u64> },
    /// Require a proof of the address first (Retry).
    Prove,
    /// Send nothing. An honest caller retries after a second.
    Ignore,
}

#[derive(Debug)]
struct Handshake {
    number: u64,
    caller: Caller,
}

/// The handshakes under way, the oldest first.
#[derive(Debug, Default)]
pub struct AcceptLimit {
    under_way: VecDeque<Handshake>,
    last: u64,
}

impl AcceptLimit {
    /// A handshake begins. `proven`: the address is not forged.
    pub fn admit(
        &mut self,
        now: Instant,
        ledger: &mut Ledger<Counterpart>,
        caller: Caller,
        proven: bool,
    ) -> Verdict {
        let account = caller.account();
        if !proven
            && (self.under_way.len() >= HANDSHAKES_BEFORE_PROOF
                || ledger.charge(now, &account, Item::Unproven, 1).is_err())
        {
            return Verdict::Prove;
        }
        let rate = if caller.is_stranger() { Item::Newcomers } else { Item::Arrivals };
        if ledger.charge(now, &account, rate, 1).is_err() {
            return Verdict::Ignore;
        }
        let mut instead = None;
        let strangers = self.under_way.iter().filter(|handshake| handshake.caller.is_stranger()).count();
        if caller.is_stranger() && strangers >= STRANGERS_HANDSHAKES_MAX {
            // Its own network's oldest, if there is one: others do not pay first.
            let own = self.oldest(|other| other == caller).or_else(|| self.oldest(Caller::is_stranger));
            instead = own.map(|at| self.end_at(at, ledger));
        }
        while let Err(refused) = ledger.charge(now, &account, Item::Handshakes, 1) {
            let oldest = match refused.by {
                By::Counterpart => self.oldest(|other| other == caller),
                By::Everybody => self.oldest(Caller::is_stranger).or_else(|| self.oldest(|_| true)),
            };
            match oldest.filter(|_| instead.is_none()) {
                Some(at) => instead = Some(self.end_at(at, ledger)),
                None => return Verdict::Ignore,
            }
        }
        self.last += 1;
        self.under_way.push_back(Handshake { number: self.last, caller });
        Verdict::Begin { number: self.last, instead }
    }

    /// The handshake ended. One that was replaced has ended already.
    pub fn ended(&mut self, number: u64, ledger: &mut Ledger<Counterpart>) {
        if let Some(at) = self.under_way.iter().position(|handshake| handshake.number == number) {
            self.end_at(at, ledger);
        }
    }

    /// The number of handshakes under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    fn oldest(&self, of: impl Fn(Caller) -> bool) -> Option<usize> {
        self.under_way.iter().position(|handshake| of(handshake.caller))
    }

    fn end_at(&mut self, at: usize, ledger: &mut Ledger<Counterpart>) -> u64 {
        let Some(handshake) = self.under_way.remove(at) else { return 0 };
        ledger.release(&handshake.caller.account(), Item::Handshakes, 1);
        handshake.number
    }
}

#[cfg(test)]
mod tests;
