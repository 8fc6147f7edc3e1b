//! The ways to one peer: which of its addresses are known and from whom, what is dialled next, and which path is best.
//!
//! [`pairs`] is the table, [`score`] compares paths that work. The [`Connector`] inside says when to try and how often;
//! here is what one try consists of. A try asks the sources ([`Output::Find`]); each answer is a round, which dials its
//! addresses in the order told, the next one 150 ms after the one before or as soon as that failed. More addresses that
//! come while a try runs are a round beside it; the try has failed when its last round has.
//!
//! A peer of which no source knows whether it is there is dialled where it was last, once: a guess. Who comes to need the
//! peer during a guess has the sources asked again, because they may know more by then.
//!
//! Bounds: [`pairs::REMOTES_PER_SOURCE_MAX`] addresses a source, [`pairs::PROBES_PER_TELLING`] dials of one pair until it
//! is told again, [`ROUNDS_MAX`] rounds at a time. A new source of addresses is a variant of [`Source`] and a caller of
//! [`Input::Found`] or [`Input::Told`].

pub mod pairs;
mod round;
pub mod score;
#[cfg(test)]
mod tests;

use super::{
    candidate::Candidate,
    connector::{self, Connector},
    families::Families,
};
use crate::local::reply::PeerState;
use pairs::{Outcome, Pairs, Source};
use round::{Round, Step};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Rounds that run at a time; the addresses of one more are noted and not dialled.
pub const ROUNDS_MAX: usize = 8;

const NO_ANSWER: &str =
    "nobody answers at their address: their daemon may be off, or their router lets nobody in";
const NOWHERE: &str = "no address of theirs can be dialled from here";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody needs the peer.
    Want,
    /// Nobody needs it any more: a link stays while it lives, and is not dialled again.
    Leave,
    /// The answer to [`Output::Find`]: the likeliest first, or why there is none. `last` is where a link led to last.
    Found {
        told: Result<Vec<Candidate>, Unfound>,
        last: Option<SocketAddr>,
    },
    /// More addresses of the peer; they are dialled if it is being tried.
    Told(Vec<Candidate>),
    /// How a dial ended. The connection of one that is not running any more is to be dropped.
    Dialled {
        dial: u64,
        result: Result<Duration, Failure>,
    },
    /// A link is in use, whoever dialled it, and leads to `addr`. `suspect`: what came over the link of
    /// [`Paths::suspect`] so far, if that is still there.
    Opened {
        link: usize,
        addr: SocketAddr,
        rtt: Duration,
        suspect: Option<u64>,
    },
    /// A link that led to this address is gone.
    Closed {
        addr: SocketAddr,
    },
    /// There is no link any more, or one that was dialled ended before its greeting.
    Lost(Failure),
    /// The link in use is silent; so many datagrams came over it.
    Suspect {
        link: usize,
        heard: u64,
    },
    /// The link in use came to an address that this machine does not have any more: the peer cannot answer there, and is
    /// dialled from here.
    Stranded {
        addr: SocketAddr,
    },
    Time,
}

/// Why no source told an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfound {
    /// All of them know that the peer is not there, or not for us.
    NotThere(String),
    /// They do not answer, or cannot say.
    Unavailable(String),
    /// Its name is known under another key: nobody else is to be dialled for it.
    OtherKey(String),
    /// It is not to be dialled now.
    Forbidden(String),
}

/// Why a dial or a link ended, for a person, and whether another try makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub cause: String,
    pub again: bool,
}

impl Failure {
    pub fn new(cause: impl Into<String>, again: bool) -> Self {
        Self { cause: cause.into(), again }
    }

    /// Nothing came back.
    pub fn no_answer() -> Self {
        Self::new(NO_ANSWER, true)
    }

    fn nowhere() -> Self {
        Self::new(NOWHERE, false)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask every source where the peer is.
    Find,
    /// Dial this address; what comes of it is [`Input::Dialled`].
    Dial {
        dial: u64,
        addr: SocketAddr,
    },
    /// End this dial: another one answered, or its time is over.
    Abandon {
        dial: u64,
    },
    /// This link is still silent while another is in use.
    Close {
        link: usize,
    },
    /// The best path that works is this one now; `None`: none works.
    Primary(Option<SocketAddr>),
    State(PeerState),
    /// All tries failed.
    GaveUp(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NextTry,
    TryDue,
    NextDial,
}

#[derive(Debug)]
pub struct Paths {
    connector: Connector,
    pairs: Pairs,
    rounds: Vec<Round>,
    next_dial: u64,
    /// Somebody came to need the peer while it was being tried, and the sources were not asked since.
    joined: bool,
    /// The link that was silent for too long, and what had come over it.
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

    /// No link, no try, and none to come.
    pub fn is_idle(&self) -> bool {
        self.connector.is_idle()
    }

    /// The link that is suspected to be dead.
    pub fn suspect(&self) -> Option<usize> {
        self.suspect.map(|(link, _)| link)
    }

    /// What is known of each way to the peer.
    pub fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// Why nothing is waited for, where nothing is. In every other state there is a deadline.
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

    /// Asks the sources again beside a guess, for whoever came after they were asked last: where nobody is any more takes
    /// seconds to be silent.
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
        match (told, last) {
            (Ok(candidates), last) => {
                let mut addrs = self.note(now, &candidates);
                // Where they were last comes last.
                if let Some(last) = last.filter(|last| candidates.iter().all(|told| told.addr != *last))
                    && self.pairs.tell(now, last, Source::Link)
                {
                    addrs.push(last);
                }
                self.begin(now, jitter, addrs, None);
            }
            (Err(Unfound::Forbidden(cause)), _) => self.failed(now, jitter, Failure { cause, again: false }),
            (Err(Unfound::OtherKey(cause)), _)
            | (Err(Unfound::NotThere(cause) | Unfound::Unavailable(cause)), None) => {
                self.failed(now, jitter, Failure { cause, again: true });
            }
            (Err(Unfound::NotThere(cause)), Some(last)) => {
                let cause = format!("{cause}, and nobody answers where they were last");
                let addrs = self.pairs.tell(now, last, Source::Link).then_some(last);
                self.begin(now, jitter, addrs.into_iter().collect(), Some(cause));
                self.find_again();
            }
            // A phone book that is gone does not part those who know each other's place.
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

    /// Does what the round says, and keeps it unless it has failed.
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
                // It was dialled often enough.
                Step::Dial(_) => step = round.step(now),
                Step::Failed(failure) => {
                    self.abandon(now, &round, Outcome::Failed);
                    let failure = match round.guess {
                        Some(cause) => {
                            self.joined = false;
                            Failure { cause, again: false }
                        }
                        None => failure,
                    };
                    // The try goes on while another round does.
                    if self.rounds.is_empty() {
                        self.failed(now, jitter, failure);
                    }
                    return;
                }
            }
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

    /// A round came to nothing, or there was none.
    fn failed(&mut self, now: Instant, jitter: f64, Failure { cause, again }: Failure) {
        if !self.connector.is_linked() {
            self.connect(now, jitter, connector::Input::Lost { cause, again });
        }
    }
}
