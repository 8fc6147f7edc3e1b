//! Simulated networks under virtual time: what is dialled when, and the result.

mod guesses;
mod known;
mod links;
mod rounds;
mod table;

use super::*;
use crate::{local::reply::PeerState, reaching::candidate::Origin};
use std::collections::{HashMap, VecDeque};

pub(super) const HOST: &str = "192.168.1.5:7";
pub(super) const HOST6: &str = "[2001:db8::5]:7";
pub(super) const SEEN: &str = "203.0.113.9:7";
pub(super) const MAPPED: &str = "203.0.113.9:4000";
pub(super) const LAST: &str = "198.51.100.4:7";

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn candidates(all: &[&str]) -> Vec<Candidate> {
    all.iter().map(|text| Candidate { origin: Origin::Host, addr: addr(text) }).collect()
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
pub(super) fn start() -> Instant {
    Instant::now()
}

/// The host at an address.
#[derive(Debug, Clone)]
pub(super) enum Host {
    /// The handshake ends after so many milliseconds, and the greeting after as many more.
    Answers(u64),
    /// As before, and then the other side is silent.
    Shakes(u64),
    /// The dial fails after so many milliseconds.
    Fails(u64, &'static str),
    /// As before, and another try makes no sense.
    Never(u64, &'static str),
}

/// One answer of the sources, after so many milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    after: u64,
    told: Result<Vec<Candidate>, Unfound>,
    last: Option<SocketAddr>,
}

pub(super) fn at(after: u64, all: &[&str]) -> Answer {
    Answer { after, told: Ok(candidates(all)), last: None }
}

pub(super) fn unfound(after: u64, why: Unfound) -> Answer {
    Answer { after, told: Err(why), last: None }
}

impl Answer {
    pub(super) fn last(self, last: &str) -> Self {
        Self { last: Some(addr(last)), ..self }
    }
}

enum Event {
    Input(Input),
    /// The greeting over a link that leads there.
    Greeted(SocketAddr, u64),
}

/// One peer, and the network between.
pub(super) struct World {
    start: Instant,
    now: Instant,
    pub(super) paths: Paths,
    net: HashMap<SocketAddr, Host>,
    answers: VecDeque<Answer>,
    coming: Vec<(Instant, Event)>,
    dials: HashMap<u64, SocketAddr>,
    next_link: usize,
    /// Received datagrams of each link.
    pub(super) heard: HashMap<usize, u64>,
    log: Vec<String>,
    pub(super) states: Vec<PeerState>,
}

impl World {
    /// A machine whose socket is bound to `local`.
    pub(super) fn new(local: &str) -> Self {
        let start = start();
        Self {
            start,
            now: start,
            paths: Paths::new(Families::of(addr(local))),
            net: HashMap::new(),
            answers: VecDeque::new(),
            coming: Vec::new(),
            dials: HashMap::new(),
            next_link: 1,
            heard: HashMap::new(),
            log: Vec::new(),
            states: Vec::new(),
        }
    }

    pub(super) fn host(mut self, at: &str, host: Host) -> Self {
        self.net.insert(addr(at), host);
        self
    }

    pub(super) fn answer(mut self, answer: Answer) -> Self {
        self.answers.push_back(answer);
        self
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    fn ms(&self) -> u128 {
        self.now.duration_since(self.start).as_millis()
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        self.log.push(format!("{} {what}", self.ms()));
    }

    /// Events since the last call: `MILLISECONDS WHAT`.
    pub(super) fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(super) fn give(&mut self, input: Input) {
        self.paths.handle(self.now, 0.5, input);
        self.drain();
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.coming.push((self.now + Duration::from_millis(ms), event));
    }

    /// The peer opens a link from this address; returns its number.
    pub(super) fn opened_by_peer(&mut self, from: &str) -> usize {
        self.open(addr(from), 20)
    }

    fn open(&mut self, addr: SocketAddr, rtt: u64) -> usize {
        let link = self.next_link;
        self.next_link += 1;
        self.heard.insert(link, 1);
        let suspect = self.paths.suspect().and_then(|link| self.heard.get(&link).copied());
        self.note(format_args!("open {addr}"));
        self.give(Input::Opened { link, addr, rtt: Duration::from_millis(rtt), suspect });
        link
    }

    fn drain(&mut self) {
        while let Some(output) = self.paths.poll() {
            match output {
                Output::Find => {
                    self.note("find");
                    if let Some(Answer { after, told, last }) = self.answers.pop_front() {
                        self.after(after, Event::Input(Input::Found { told, last }));
                    }
                }
                Output::Dial { dial, addr } => {
                    self.note(format_args!("dial {addr}"));
                    self.dials.insert(dial, addr);
                    let failed = |cause: &str, again| {
                        Event::Input(Input::Dialled {
                            dial,
                            result: Err(Failure { cause: cause.into(), again }),
                        })
                    };
                    let shaken =
                        |ms| Event::Input(Input::Dialled { dial, result: Ok(Duration::from_millis(ms)) });
                    match self.net.get(&addr).cloned() {
                        Some(Host::Answers(ms)) => {
                            self.after(ms, shaken(ms));
                            self.after(2 * ms, Event::Greeted(addr, ms));
                        }
                        Some(Host::Shakes(ms)) => self.after(ms, shaken(ms)),
                        Some(Host::Fails(ms, cause)) => self.after(ms, failed(cause, true)),
                        Some(Host::Never(ms, cause)) => self.after(ms, failed(cause, false)),
                        None => {}
                    }
                }
                Output::Abandon { dial } => {
                    let addr = self.dials[&dial];
                    self.note(format_args!("abandon {addr}"));
                    self.coming.retain(|(_, event)| match event {
                        Event::Input(Input::Dialled { dial: other, .. }) => *other != dial,
                        Event::Greeted(other, _) => *other != addr,
                        Event::Input(_) => true,
                    });
                }
                Output::Close { link } => self.note(format_args!("close {link}")),
                Output::Primary(Some(addr)) => self.note(format_args!("use {addr}")),
                Output::Primary(None) => self.note("use none"),
                Output::State(state) => self.states.push(state),
                Output::GaveUp(cause) => self.note(format_args!("gave up: {cause}")),
            }
        }
    }

    /// Advances time, and lets everything due happen.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let coming = self.coming.iter().map(|(at, _)| *at).min();
            let due = self.paths.deadline().map(|(at, _)| at);
            let Some(next) = coming.into_iter().chain(due).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if let Some(first) = self.coming.iter().position(|(at, _)| *at <= self.now) {
                match self.coming.remove(first).1 {
                    Event::Input(input) => self.give(input),
                    Event::Greeted(addr, rtt) => drop(self.open(addr, rtt)),
                }
            } else {
                self.give(Input::Time);
            }
        }
        self.now = end;
    }
}
