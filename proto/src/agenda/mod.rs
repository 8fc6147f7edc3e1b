//! Whose look is fetched first: a few at once, the nearest first, and what nobody asked for when nothing else is to do.
//!
//! - [`AT_ONCE`] wanted looks travel at the same time; the others wait in line.
//! - Who was asked for by hand comes first, then who stands near, nearest first, then the others as they came.
//! - A nearer player takes the place of a farther one, but not at every step: it must be of a better kind, or less than
//!   half as far, and the other must have had its [`TURN`].
//! - A look that a contact shows and nobody asked for is fetched alone, when nothing that is wanted is under way, inside
//!   a budget for an hour. It gives way at once.

#[cfg(test)]
mod tests;

use crate::id::{BlobHash, PlayerName};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Wanted looks that travel at once. A look is of use when it is whole: of eight players around, the first is whole in
/// half the time that all eight at once would take. And one slow owner leaves the line to three others.
pub const AT_ONCE: usize = 4;
/// How long a place is kept at least.
pub const TURN: Duration = Duration::from_secs(3);
/// The time that the budget is for.
pub const BUDGET_TIME: Duration = Duration::from_secs(3600);
/// How long a background look is left alone that failed, or for which there was no room.
pub const LEFT_ALONE: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Who is near now: the whole set each time, with the distance where it is known.
    Nearby(Vec<(PlayerName, Option<f64>)>),
    /// Somebody waits for this look. By hand it counts as nearest.
    Wanted {
        player: PlayerName,
        by_hand: bool,
    },
    /// So many bytes of it are missing. It waits for its turn, or goes on with the one that it has.
    Ready {
        player: PlayerName,
        bytes: u64,
    },
    /// Its place is free.
    Over {
        player: PlayerName,
        complete: bool,
    },
    /// A connected contact shows a look that is not here.
    Offered {
        player: PlayerName,
        look: BlobHash,
    },
    /// It shows it no more, or is gone.
    Withdrawn {
        player: PlayerName,
    },
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Its bytes may travel.
    Start(PlayerName),
    /// Its bytes must stop; what came is kept. It says `Ready` again, and waits.
    Hold(PlayerName),
    /// Begin to fetch this look although nobody waits for it.
    Prefetch(PlayerName),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    TurnOver,
    BudgetBack,
    OfferRested,
}

/// How much somebody is wanted; the lesser comes first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rank {
    ByHand,
    Near(f64),
    Asked,
    Background,
}

impl Rank {
    fn class(self) -> u8 {
        match self {
            Self::ByHand => 0,
            Self::Near(_) => 1,
            Self::Asked => 2,
            Self::Background => 3,
        }
    }

    fn order(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Near(one), Self::Near(other)) => one.total_cmp(&other),
            _ => self.class().cmp(&other.class()),
        }
    }

    /// So much more that it may take the other's place.
    fn displaces(self, other: Self) -> bool {
        match (self, other) {
            (Self::Near(one), Self::Near(other)) => one < other / 2.0,
            _ => self.class() < other.class(),
        }
    }
}

#[derive(Debug)]
struct Fetch {
    asked: u64,
    by_hand: bool,
    background: bool,
    /// Missing bytes, once they are known.
    ready: Option<u64>,
    running: Option<Instant>,
    /// Of the budget.
    charged: u64,
}

#[derive(Debug)]
struct Offer {
    look: BlobHash,
    rests: Option<Instant>,
}

#[derive(Debug)]
pub struct Agenda {
    nearby: BTreeMap<PlayerName, f64>,
    fetches: BTreeMap<PlayerName, Fetch>,
    offers: BTreeMap<PlayerName, Offer>,
    budget: u64,
    spent: VecDeque<(Instant, u64)>,
    next: u64,
    outputs: VecDeque<Output>,
}

impl Agenda {
    /// `budget`: bytes that may be fetched unasked in an hour; 0 for nothing.
    pub fn new(budget: u64) -> Self {
        Self {
            nearby: BTreeMap::new(),
            fetches: BTreeMap::new(),
            offers: BTreeMap::new(),
            budget,
            spent: VecDeque::new(),
            next: 0,
            outputs: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Nearby(players) => {
                let near = |(player, distance): (PlayerName, Option<f64>)| {
                    (player, distance.filter(|distance| distance.is_finite()).unwrap_or(f64::INFINITY))
                };
                self.nearby = players.into_iter().map(near).collect();
            }
            Input::Wanted { player, by_hand } => {
                let fetch = self.fetch(player);
                fetch.background = false;
                fetch.by_hand |= by_hand;
            }
            Input::Ready { player, bytes } => {
                self.fetch(player).ready = Some(bytes);
            }
            Input::Over { player, complete } => self.over(now, &player, complete),
            Input::Offered { player, look } => {
                let known = self.offers.get(&player).is_some_and(|offer| offer.look == look);
                if !known {
                    self.offers.insert(player, Offer { look, rests: None });
                }
            }
            Input::Withdrawn { player } => drop(self.offers.remove(&player)),
            Input::Time => {}
        }
        while self.spent.front().is_some_and(|(at, _)| now >= *at + BUDGET_TIME) {
            self.spent.pop_front();
        }
        for offer in self.offers.values_mut() {
            offer.rests = offer.rests.filter(|until| now < *until);
        }
        self.give_places(now);
        self.prefetch(now);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn runs(&self, player: &PlayerName) -> bool {
        self.fetches.get(player).is_some_and(|fetch| fetch.running.is_some())
    }

    /// Whether this look waits for others.
    pub fn waits(&self, player: &PlayerName) -> bool {
        self.fetches.get(player).is_some_and(|fetch| fetch.ready.is_some() && fetch.running.is_none())
    }

    /// What may still be fetched unasked.
    pub fn budget_left(&self) -> u64 {
        self.budget.saturating_sub(self.spent.iter().map(|(_, bytes)| bytes).sum())
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let turn = self.displaced().map(|(_, since)| (since + TURN, Why::TurnOver));
        let idle = self.fetches.is_empty();
        let rests = self.offers.values().filter_map(|offer| Some((offer.rests?, Why::OfferRested)));
        let rests = rests.filter(|_| idle && self.budget_left() > 0);
        let poor = !self.offers.is_empty() && idle && self.budget_left() == 0;
        let back = self.spent.front().filter(|_| poor).map(|(at, _)| (*at + BUDGET_TIME, Why::BudgetBack));
        turn.into_iter().chain(rests).chain(back).min_by_key(|(at, _)| *at)
    }

    fn fetch(&mut self, player: PlayerName) -> &mut Fetch {
        let asked = self.next;
        self.next += 1;
        self.fetches.entry(player).or_insert(Fetch {
            asked,
            by_hand: false,
            background: false,
            ready: None,
            running: None,
            charged: 0,
        })
    }

    fn over(&mut self, now: Instant, player: &PlayerName, complete: bool) {
        let background = self.fetches.remove(player).is_some_and(|fetch| fetch.background);
        if complete {
            self.offers.remove(player);
        } else if let Some(offer) = self.offers.get_mut(player).filter(|_| background) {
            offer.rests = Some(now + LEFT_ALONE);
        }
    }

    fn rank(&self, player: &PlayerName, fetch: &Fetch) -> Rank {
        match self.nearby.get(player) {
            _ if fetch.background => Rank::Background,
            _ if fetch.by_hand => Rank::ByHand,
            Some(distance) => Rank::Near(*distance),
            None => Rank::Asked,
        }
    }

    /// Wanted looks that wait or travel, who comes first at the front.
    fn line(&self, running: bool) -> Vec<(Rank, &PlayerName, &Fetch)> {
        let mut line: Vec<_> = (self.fetches.iter())
            .filter(|(_, fetch)| {
                !fetch.background && fetch.ready.is_some() && fetch.running.is_some() == running
            })
            .map(|(player, fetch)| (self.rank(player, fetch), player, fetch))
            .collect();
        line.sort_by(|(a, _, first), (b, _, second)| a.order(*b).then(first.asked.cmp(&second.asked)));
        line
    }

    /// Who must make room for the first in line once its turn is over, and since when it has it.
    fn displaced(&self) -> Option<(&PlayerName, Instant)> {
        let (waiting, running) = (self.line(false), self.line(true));
        let (first, ..) = waiting.first()?;
        let full = running.len() >= AT_ONCE;
        let last = running.into_iter().rev().find(|(rank, ..)| full && first.displaces(*rank));
        let (_, player, fetch) = last?;
        Some((player, fetch.running?))
    }

    fn give_places(&mut self, now: Instant) {
        if self.fetches.values().any(|fetch| !fetch.background) {
            let background = self.fetches.iter_mut().filter(|(_, fetch)| fetch.background);
            for (player, fetch) in background.filter(|(_, fetch)| fetch.running.is_some()) {
                (fetch.running, fetch.ready) = (None, None);
                self.outputs.push_back(Output::Hold(player.clone()));
            }
        }
        loop {
            if let Some((player, since)) = self.displaced() {
                if now < since + TURN {
                    return;
                }
                let player = player.clone();
                if let Some(fetch) = self.fetches.get_mut(&player) {
                    (fetch.running, fetch.ready) = (None, None);
                }
                self.outputs.push_back(Output::Hold(player));
            }
            if self.line(true).len() >= AT_ONCE {
                return;
            }
            let Some(player) = self.line(false).first().map(|(_, player, _)| (*player).clone()) else {
                return;
            };
            self.start(now, player);
        }
    }

    fn start(&mut self, now: Instant, player: PlayerName) {
        if let Some(fetch) = self.fetches.get_mut(&player) {
            fetch.running = Some(now);
            self.outputs.push_back(Output::Start(player));
        }
    }

    /// What nobody asked for, one at a time, while nothing else is under way.
    fn prefetch(&mut self, now: Instant) {
        if self.fetches.values().any(|fetch| !fetch.background || fetch.running.is_some()) {
            return;
        }
        let left = self.budget_left();
        if let Some((player, fetch)) = self.fetches.iter_mut().next() {
            // One is under way already: it goes on if what it lacks is within the budget.
            let Some(bytes) = fetch.ready else { return };
            let more = bytes.saturating_sub(fetch.charged);
            if more <= left {
                fetch.charged += more;
                self.spent.push_back((now, more));
                let player = player.clone();
                self.start(now, player);
            }
            return;
        }
        if left == 0 {
            return;
        }
        let offers = self.offers.iter().filter(|(_, offer)| offer.rests.is_none());
        let distance = |player: &PlayerName| self.nearby.get(player).copied().unwrap_or(f64::INFINITY);
        let nearest = offers.min_by(|(a, _), (b, _)| distance(a).total_cmp(&distance(b)).then(a.cmp(b)));
        if let Some(player) = nearest.map(|(player, _)| player.clone()) {
            self.fetch(player.clone()).background = true;
            self.outputs.push_back(Output::Prefetch(player));
        }
    }
}
