//! Limits of speed: which pump may read or write how much now, for all peers and for each.
//!
//! Pumps ask before they write or read, and wait for a grant. Each limit has a token bucket; of the waiting peers the
//! one that was served least goes first (start-time fair queueing), so all get the same, unused shares go to the
//! others, and nobody saves up while idle. Without limits nobody needs to ask.

mod bucket;
pub mod limits;
#[cfg(test)]
mod tests;

pub use limits::{Change, Limits, RATE_MIN, Rate, RateError};

use crate::id::PeerId;
use bucket::Bucket;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// The number of one waiting request.
pub type Ticket = u64;

/// Flows without a request that are kept before empty ones are dropped.
const IDLE_FLOWS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    Up,
    Down,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Apply from now on, also to waiting requests.
    Limits(Limits),
    /// Requests so many bytes; at least one.
    Ask {
        ticket: Ticket,
        peer: PeerId,
        direction: Direction,
        bytes: u64,
    },
    /// Withdraws a request.
    Withdraw(Ticket),
    Time,
}

/// So many bytes are granted: all of the request or a part. Ask again for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub ticket: Ticket,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    TokensDue,
}

#[derive(Debug)]
pub struct Pace {
    up: Lane,
    down: Lane,
    grants: VecDeque<Grant>,
}

impl Pace {
    pub fn new(limits: Limits, now: Instant) -> Self {
        let mut pace = Self { up: Lane::default(), down: Lane::default(), grants: VecDeque::new() };
        pace.handle(now, Input::Limits(limits));
        pace
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Limits(limits) => {
                self.up.limit(limits.upload, limits.peer_upload, now);
                self.down.limit(limits.download, limits.peer_download, now);
            }
            Input::Ask { ticket, peer, direction: Direction::Up, bytes } => {
                self.up.ask(ticket, peer, bytes, now)
            }
            Input::Ask { ticket, peer, direction: Direction::Down, bytes } => {
                self.down.ask(ticket, peer, bytes, now);
            }
            Input::Withdraw(ticket) => {
                self.up.withdraw(ticket);
                self.down.withdraw(ticket);
            }
            Input::Time => {}
        }
        self.up.settle(now, &mut self.grants);
        self.down.settle(now, &mut self.grants);
    }

    pub fn poll(&mut self) -> Option<Grant> {
        self.grants.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let due = self.up.due().into_iter().chain(self.down.due()).min()?;
        Some((due, Why::TokensDue))
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        let waits = |lane: &Lane| lane.flows.values().any(|flow| !flow.asks.is_empty());
        (!waits(&self.up) && !waits(&self.down)).then_some("nobody asks")
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    whole: Option<Bucket>,
    each: Option<Rate>,
    flows: BTreeMap<PeerId, Flow>,
    /// Where the last grant began, in bytes of a flow that always waits: no flow begins before it.
    clock: u64,
}

/// One peer in one direction.
#[derive(Debug)]
struct Flow {
    own: Option<Bucket>,
    asks: VecDeque<(Ticket, u64)>,
    /// Where its last grant ended, on the lane's clock.
    served: u64,
}

impl Flow {
    /// The next grant, if its bytes are available.
    fn next(&self, whole: Option<&Bucket>) -> Option<u64> {
        let (_, bytes) = self.asks.front()?;
        let portions = [whole, self.own.as_ref()].into_iter().flatten().map(Bucket::portion);
        Some(portions.min().map_or(*bytes, |portion| portion.min(*bytes)))
    }
}

impl Lane {
    fn limit(&mut self, whole: Option<Rate>, each: Option<Rate>, now: Instant) {
        self.whole = Bucket::changed(self.whole.take(), whole, now);
        self.each = each;
        for flow in self.flows.values_mut() {
            flow.own = Bucket::changed(flow.own.take(), each, now);
        }
    }

    fn ask(&mut self, ticket: Ticket, peer: PeerId, bytes: u64, now: Instant) {
        if self.flows.len() > IDLE_FLOWS {
            let clock = self.clock;
            self.flows.retain(|_, flow| {
                let remembers = flow.served > clock || flow.own.as_mut().is_some_and(|own| !own.is_full(now));
                remembers || !flow.asks.is_empty()
            });
        }
        let each = self.each;
        let flow = self.flows.entry(peer).or_insert_with(|| Flow {
            own: Bucket::changed(None, each, now),
            asks: VecDeque::new(),
            served: 0,
        });
        flow.asks.push_back((ticket, bytes.max(1)));
    }

    fn withdraw(&mut self, ticket: Ticket) {
        for flow in self.flows.values_mut() {
            flow.asks.retain(|(waiting, _)| *waiting != ticket);
        }
    }

    /// Of the flows whose own limit allows it, the least served one; and its grant.
    fn first(&self) -> Option<(PeerId, u64)> {
        let able = self.flows.iter().filter_map(|(peer, flow)| {
            let bytes = flow.next(self.whole.as_ref())?;
            let able = flow.own.as_ref().is_none_or(|own| own.has(bytes));
            able.then_some((flow.served.max(self.clock), flow.served, *peer, bytes))
        });
        able.min().map(|(.., peer, bytes)| (peer, bytes))
    }

    /// Grants what is available.
    fn settle(&mut self, now: Instant, grants: &mut VecDeque<Grant>) {
        if self.flows.values().all(|flow| flow.asks.is_empty()) {
            return;
        }
        let own = self.flows.values_mut().filter_map(|flow| flow.own.as_mut());
        self.whole.iter_mut().chain(own).for_each(|bucket| bucket.fill(now));
        while let Some((peer, bytes)) = self.first() {
            // The first one is waited for: a smaller request behind it does not overtake.
            if self.whole.as_ref().is_some_and(|whole| !whole.has(bytes)) {
                return;
            }
            let Some(flow) = self.flows.get_mut(&peer) else { return };
            let Some((ticket, _)) = flow.asks.pop_front() else { return };
            self.whole.iter_mut().chain(&mut flow.own).for_each(|bucket| bucket.take(bytes));
            self.clock = self.clock.max(flow.served);
            flow.served = self.clock + bytes;
            grants.push_back(Grant { ticket, bytes });
        }
    }

    /// When the first grant is possible, or another flow may become first.
    fn due(&self) -> Option<Instant> {
        let first = self.first().and_then(|(_, bytes)| Some(self.whole.as_ref()?.due(bytes)));
        let held = self.flows.values().filter_map(|flow| {
            let bytes = flow.next(self.whole.as_ref())?;
            flow.own.as_ref().filter(|own| !own.has(bytes)).map(|own| own.due(bytes))
        });
        first.into_iter().chain(held).min()
    }
}
