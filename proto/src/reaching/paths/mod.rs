//! The paths to one peer: which of its addresses are known, what is dialled next, and which working path is best.
//!
//! [`pairs`] is the table, [`score`] compares paths that work. The [`Connector`] inside decides when to try and how often;
//! this machine decides what one try does. A try asks the sources ([`Output::Find`]). Each answer starts a round, which
//! dials its addresses in the given order: the next one 150 ms after the one before, or when that fails. Further addresses
//! that arrive during a try start a round beside it. A try fails when its last round fails.
//!
//! When every source says that the peer is not there, the address of its last link is dialled once: a guess. A wish during
//! a guess asks the sources again.
//!
//! Bounds: [`pairs::REMOTES_PER_SOURCE_MAX`] addresses for each source, [`pairs::PROBES_PER_TELLING`] dials of a pair until
//! a source tells it again, [`ROUNDS_MAX`] rounds at a time. A new source of addresses is a variant of [`Source`] and a
//! caller of [`Input::Found`], [`Input::Told`] or [`Input::Known`].

pub mod pairs;
mod round;
pub mod score;
#[cfg(test)]
mod tests;
mod words;

pub use words::{Failure, Input, Output, Unfound, Why};

use super::{
    candidate::Candidate,
    connector::{self, Connector},
    families::Families,
};
use pairs::{Outcome, Pairs, Source};
use round::{Round, Step};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Rounds that run at a time. The addresses of one more are recorded and not dialled.
pub const ROUNDS_MAX: usize = 8;

#[derive(Debug)]
pub struct Paths {
    connector: Connector,
    pairs: Pairs,
    rounds: Vec<Round>,
    next_dial: u64,
    /// A wish arrived during a try, and the sources were not asked since.
    joined: bool,
    /// Why the sources could not say where the peer is, if they could not in their last answer.
    unsaid: Option<String>,
    /// The link that was silent for too long, and its received datagrams then.
    suspect: Option<(usize, u64)>,
    outputs: VecDeque<Output>,
}

impl Paths {
    /// `families`: those of the socket that dials.
    pub fn new(families: Families) -> Self {
        Self {
            connector: Connector::default(),
            pairs: Pairs::new(families),
            rounds: Vec::new(),
            next_dial: 0,
            joined: false,
            unsaid: None,
            suspect: None,
            outputs: VecDeque::new(),
        }
    }

    /// `jitter` is in 0..1.
    pub fn handle(&mut self, now: Instant, jitter: f64, input: Input) {
        self.pairs.expire(now);
        match input {
            Input::Want => {
                self.joined |= self.connector.is_trying();
                self.connect(now, jitter, connector::Input::Want);
                self.find_again();
            }
            Input::Leave => self.connect(now, jitter, connector::Input::Leave),
            Input::Found { told, last } => self.found(now, jitter, told, last),
            Input::Told(candidates) => {
                let addrs = self.note(now, &candidates);
                if self.connector.is_trying() {
                    self.begin(now, jitter, addrs, None);
                }
            }
            Input::Known { source, addrs } => {
                let addrs: Vec<_> =
                    addrs.into_iter().filter(|addr| self.pairs.tell(now, *addr, source)).collect();
                if !addrs.is_empty() && !self.connector.is_idle() && !self.connector.is_linked() {
                    self.begin(now, jitter, addrs, None);
                }
            }
            Input::Traversed(addr) => {
                self.pairs.tell(now, addr, Source::Traversal);
                self.begin(now, jitter, vec![addr], None);
            }
            Input::Dialled { dial, result } => self.dialled(now, jitter, dial, result),
            Input::Opened { link, addr, rtt, suspect } => {
                if let Some((old, heard)) = self.suspect.take()
                    && old != link
                    && suspect == Some(heard)
                {
                    self.outputs.push_back(Output::Close { link: old });
                }
                self.connect(now, jitter, connector::Input::Opened);
                if self.pairs.prove(now, addr, rtt) {
                    self.outputs.push_back(Output::Primary(self.pairs.primary()));
                }
            }
            Input::Closed { addr } => {
                if self.pairs.disprove(addr) {
                    self.outputs.push_back(Output::Primary(self.pairs.primary()));
                }
            }
            Input::Lost(Failure { cause, again }) => {
                self.connect(now, jitter, connector::Input::Lost { cause, again });
            }
            Input::Suspect { link, heard } => {
                self.suspect = Some((link, heard));
                self.connect(now, jitter, connector::Input::Suspect);
            }
            Input::Silent { link, heard } => {
                self.suspect = Some((link, heard));
                self.connect(now, jitter, connector::Input::Silent);
            }
            Input::Heard => {
                self.suspect = None;
                self.connect(now, jitter, connector::Input::Heard);
            }
            Input::Stranded { addr } => {
                self.pairs.tell(now, addr, Source::Link);
                self.begin(now, jitter, vec![addr], None);
                self.connect(now, jitter, connector::Input::Suspect);
            }
            Input::Time => {
                self.connect(now, jitter, connector::Input::Time);
                self.time(now, jitter);
            }
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let connector = self.connector.deadline().map(|(at, why)| match why {
            connector::Why::NextTry => (at, Why::NextTry),
            connector::Why::TryDue => (at, Why::TryDue),
        });
        let rounds = self.rounds.iter().map(|round| (round.deadline(), Why::NextDial));
        connector.into_iter().chain(rounds).min_by_key(|(at, _)| *at)
    }

    /// No link, no try, and none planned.
    pub fn is_idle(&self) -> bool {
        self.connector.is_idle()
    }

    /// Whether an address is dialled, or about to be.
    pub fn is_dialling(&self) -> bool {
        !self.rounds.is_empty()
    }

    /// The link that is suspected to be dead.
    pub fn suspect(&self) -> Option<usize> {
        self.suspect.map(|(link, _)| link)
    }

    /// The known paths to the peer.
    pub fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        if self.rounds.is_empty() { self.connector.idle() } else { None }
    }

    fn connect(&mut self, now: Instant, jitter: f64, input: connector::Input) {
        self.connector.handle(now, jitter, input);
        while let Some(output) = self.connector.poll() {
            self.outputs.push_back(match output {
                connector::Output::Dial => Output::Find,
                connector::Output::State(state) => Output::State(state),
                connector::Output::GaveUp(cause) => Output::GaveUp(cause),
            });
        }
    }

    fn is_guessing(&self) -> bool {
        self.rounds.iter().any(|round| round.guess.is_some())
    }

    /// Asks the sources again during a guess, if a wish arrived after the last question: a dead address takes seconds
    /// to fail, and the sources may know more by now.
    fn find_again(&mut self) {
        if self.connector.is_trying() && self.is_guessing() && std::mem::take(&mut self.joined) {
            self.outputs.push_back(Output::Find);
        }
    }

    fn note(&mut self, now: Instant, candidates: &[Candidate]) -> Vec<SocketAddr> {
        let pairs = candidates.iter().filter(|told| self.pairs.tell(now, told.addr, told.origin.into()));
        pairs.map(|told| told.addr).collect()
    }

    fn found(
        &mut self,
        now: Instant,
        jitter: f64,
        told: Result<Vec<Candidate>, Unfound>,
        last: Option<SocketAddr>,
    ) {
        self.unsaid = match &told {
            Err(Unfound::Unavailable(cause)) => Some(cause.clone()),
            _ => None,
        };
        match (told, last) {
            (Ok(candidates), last) => {
                let mut addrs = self.note(now, &candidates);
                // The last address comes last.
                if let Some(last) = last.filter(|last| candidates.iter().all(|told| told.addr != *last))
                    && self.pairs.tell(now, last, Source::Link)
                {
                    addrs.push(last);
                }
                self.begin(now, jitter, addrs, None);
            }
            // The try goes on while an address is dialled that no source told.
            (Err(Unfound::NotThere(_) | Unfound::Unavailable(_) | Unfound::NoPath(_)), None)
                if self.is_dialling() => {}
            (Err(Unfound::Forbidden(cause) | Unfound::NoPath(cause)), _) => {
                self.failed(now, jitter, Failure { cause, again: false });
            }
            (Err(Unfound::OtherKey(cause)), _)
            | (Err(Unfound::NotThere(cause) | Unfound::Unavailable(cause)), None) => {
                self.failed(now, jitter, Failure { cause, again: true });
            }
            (Err(Unfound::NotThere(cause)), Some(last)) => {
                let addrs = self.pairs.tell(now, last, Source::Link).then_some(last);
                self.begin(now, jitter, addrs.into_iter().collect(), Some(cause));
                self.find_again();
            }
            // Without a phone book the last address is dialled.
            (Err(Unfound::Unavailable(_)), Some(last)) => {
                let addrs = self.pairs.tell(now, last, Source::Link).then_some(last);
                self.begin(now, jitter, addrs.into_iter().collect(), None);
            }
        }
    }

    fn begin(&mut self, now: Instant, jitter: f64, addrs: Vec<SocketAddr>, guess: Option<String>) {
        if self.rounds.len() < ROUNDS_MAX {
            let mut round = Round::new(now, addrs, guess);
            let step = round.step(now);
            self.carry_on(now, jitter, round, step);
        }
    }

    fn time(&mut self, now: Instant, jitter: f64) {
        for _ in 0..self.rounds.len() {
            let mut round = self.rounds.remove(0);
            let step = round.time(now);
            self.carry_on(now, jitter, round, step);
        }
    }

    /// Carries out the round's step, and keeps the round unless it has failed.
    fn carry_on(&mut self, now: Instant, jitter: f64, mut round: Round, mut step: Step) {
        loop {
            match step {
                Step::Wait => return self.rounds.push(round),
                Step::Dial(addr) if self.pairs.spend(addr) => {
                    let dial = self.next_dial;
                    self.next_dial += 1;
                    round.dialled(dial, addr);
                    self.outputs.push_back(Output::Dial { dial, addr });
                    return self.rounds.push(round);
                }
                // Its budget is used up.
                Step::Dial(_) => step = round.step(now),
                Step::Failed(failure) => {
                    self.abandon(now, &round, Outcome::Failed);
                    let failure = self.explain(failure, round.guess);
                    // The try goes on while another round runs.
                    if self.rounds.is_empty() {
                        self.failed(now, jitter, failure);
                    }
                    return;
                }
            }
        }
    }

    /// What a person reads of a round that failed. Addresses that did not answer say little, unless the sources told
    /// them just now.
    fn explain(&mut self, failure: Failure, guess: Option<String>) -> Failure {
        let Failure { cause, again } = &failure;
        match (guess, &self.unsaid) {
            (Some(absent), _) => {
                self.joined = false;
                let there = if failure.is_answer() {
                    format!("at their last address: {cause}")
                } else {
                    "nothing answers at their last address".to_owned()
                };
                Failure::new(format!("{absent}, and {there}"), false)
            }
            (None, Some(unsaid)) if !failure.is_answer() => Failure::new(
                format!("{cause}; whether they have another address now is not known: {unsaid}"),
                *again,
            ),
            (None, _) => failure,
        }
    }

    fn dialled(&mut self, now: Instant, jitter: f64, dial: u64, result: Result<Duration, Failure>) {
        let found = self.rounds.iter().position(|round| round.addr_of(dial).is_some());
        let Some(mut round) = found.map(|at| self.rounds.remove(at)) else { return };
        let Some(addr) = round.addr_of(dial) else { return };
        match result {
            Ok(rtt) => {
                self.pairs.ended(now, addr, Outcome::Answered);
                let others: Vec<u64> = round.rest().filter(|other| *other != dial).collect();
                self.outputs.extend(others.into_iter().map(|dial| Output::Abandon { dial }));
                self.connect(now, jitter, connector::Input::Greeting);
                if self.pairs.prove(now, addr, rtt) {
                    self.outputs.push_back(Output::Primary(self.pairs.primary()));
                }
            }
            Err(failure) => {
                self.pairs.ended(now, addr, Outcome::Failed);
                let step = round.failed(now, dial, failure);
                self.carry_on(now, jitter, round, step);
            }
        }
    }

    fn abandon(&mut self, now: Instant, round: &Round, outcome: Outcome) {
        for dial in round.rest() {
            if let Some(addr) = round.addr_of(dial) {
                self.pairs.ended(now, addr, outcome);
            }
            self.outputs.push_back(Output::Abandon { dial });
        }
    }

    /// A round failed, or there was none.
    fn failed(&mut self, now: Instant, jitter: f64, Failure { cause, again }: Failure) {
        if !self.connector.is_linked() {
            self.connect(now, jitter, connector::Input::Lost { cause, again });
        }
    }
}
