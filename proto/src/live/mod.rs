//! The client's side of one phone book's live connection: when to connect and how, when to send, when to reconnect.
//!
//! | state | input | action |
//! |---|---|---|
//! | `Away{until}` | `until` passes | connects, → `AwaitChallenge` or `AwaitWelcome` (a poll has no challenge) |
//! | `Away{until}` | a peer is wanted | connects, once in [`WANTED_PAUSE`] at most, unless told to stay away |
//! | `AwaitChallenge` | `Challenge` | greets, → `AwaitWelcome` |
//! | `AwaitWelcome` | `Welcome` | `Up`, → `Open` |
//! | `Open` | anything | sends `Here` after a period without a message |
//! | `Open` | silence, or a peer is wanted after [`FRESH_TIME`] of it | probes |
//! | `Open` | [`PROBE_TIME`] without an answer | `Down`, connects |
//! | any but `Away` | the connection closes | → `Away`, for a time that depends on the cause |
//!
//! The pause before an attempt is short at first and grows with the outage ([`Outage`]), because a peer that is looked
//! up does not know it: it is found when its own daemon reconnects. A refused connection costs nobody anything and is
//! repeated sooner than an attempt that times out.
//!
//! If a WebSocket fails but HTTP works, the next connection polls. A phone book without live connections is tried
//! rarely. Jitter is an argument.

#[cfg(test)]
mod tests;

use crate::{
    backoff::{Backoff, Outage},
    bytes::Bytes,
    foreign::Foreign,
    phonebook::live::{CloseReason, GREETING_TIME, Hear, Welcome},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a daemon stays away after another with the same key replaced it, so that the two do not replace each other
/// in turn.
pub const REPLACED_PAUSE: Duration = Duration::from_secs(60);
/// The pause at a phone book without live connections.
pub const UNSUPPORTED_PAUSE: Duration = Duration::from_secs(600);
/// How long polls are used before a WebSocket is tried again.
pub const POLL_SPELL: Duration = Duration::from_secs(1800);
/// After a broken connection clients reconnect within this time, each at its own moment, where the phone book has not
/// said a shorter one.
pub const RETURN_SPREAD: Duration = Duration::from_secs(10);
/// Between two attempts to connect while a peer is wanted.
pub const WANTED_PAUSE: Duration = Duration::from_secs(1);
/// After a phone book's restart: its last clients may reconnect this late.
pub const RETURN_TIME: Duration = Duration::from_secs(12);
/// The first pause after a refused connection. 10,000 clients are 27,000 attempts a second at a port without a
/// listener: a packet and its answer each, 3 MB/s in all, and nothing for the phone book to do.
pub const REFUSED_PAUSE: Duration = Duration::from_millis(500);
/// The first pause where an attempt costs the phone book something, or waits for an answer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A phone book pings every 20 s: a socket that is silent for longer is probed.
pub const SILENCE_TIME: Duration = Duration::from_secs(25);
/// A socket that was heard within this time is not probed when a peer is wanted.
pub const FRESH_TIME: Duration = Duration::from_secs(1);
/// A probe's answer may take this long, which is less than an introduction waits: the path may be gone without a word.
pub const PROBE_TIME: Duration = Duration::from_secs(2);
/// As [`RETURN_SPREAD`]: clients reconnect within ten seconds, each at its own moment.
const LONGEST_PAUSE: Duration = RETURN_SPREAD;
/// The longest that a stopping phone book may keep its clients away.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(45);
/// WebSockets that open and break before a welcome, until polls are tried: a proxy blocks them.
const BREAKS_MAX: u32 = 2;
/// A connection that was open for less does not end an outage.
const LASTING: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    Poll,
}

/// How a connection closed, or failed to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Nothing listens there, or no route leads there: known at once.
    Refused,
    /// No answer.
    Unreachable,
    /// HTTP answers, but not with a WebSocket.
    NoUpgrade,
    /// This phone book has no live connections.
    Unsupported,
    /// It closed with a reason, and a text.
    Closed(CloseReason, String),
    /// It broke off.
    Broken,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Received(Hear),
    /// A frame arrived that is no message.
    Alive,
    /// A message was sent.
    Said,
    Lost(Lost),
    /// A peer is wanted: connect now.
    Wanted,
    /// This machine's address changed: the old connection is dead, and a failed one may work now.
    Moved,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Connect(Transport),
    /// Send the greeting, signed over this nonce.
    Greet(Bytes<32>),
    /// Send `Here`.
    SayHere,
    /// Send a frame that the phone book answers.
    Probe,
    /// The connection is open. `missed`: the phone book did not answer before.
    Up {
        welcome: Welcome,
        missed: bool,
    },
    /// The connection closed, or could not be opened; the sentence is for a person.
    Down(String),
    /// The clock is this many milliseconds ahead of the phone book's.
    ClockAhead(i64),
    /// Close the connection; it is dead or invalid.
    HangUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Connect,
    GreetingDue,
    HereDue,
    /// Silence is probed.
    ProbeDue,
    /// A probe's answer.
    AnswerDue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Away { until: Instant },
    AwaitChallenge { since: Instant },
    AwaitWelcome { since: Instant },
    Open(Opened),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opened {
    since: Instant,
    said: Instant,
    heard: Instant,
    /// When a probe was sent that is not answered yet.
    probed: Option<Instant>,
    period: Duration,
}

#[derive(Debug)]
pub struct Live {
    state: State,
    transport: Transport,
    /// When polls end and a WebSocket is tried again.
    polls_until: Option<Instant>,
    breaks: u32,
    outage: Outage,
    /// Of greetings with a wrong clock, each of which the phone book checks.
    skewed: Backoff,
    /// The longest delay before it reconnects, where the phone book has not said one.
    spread: Duration,
    /// The delay that the phone book said.
    told: Option<Duration>,
    /// The delay that a stopping phone book asked for.
    return_after: Option<Duration>,
    /// When it last connected.
    tried: Instant,
    /// It did not answer since the last connection.
    missed: bool,
    /// The phone book asked to stay away for a while.
    sent_away: bool,
    outputs: VecDeque<Output>,
}

impl Live {
    /// Connects at once. `spread`: at most [`RETURN_SPREAD`]; shorter by configuration.
    pub fn new(spread: Duration, now: Instant) -> Self {
        let mut live = Self {
            state: State::Away { until: now },
            transport: Transport::WebSocket,
            polls_until: None,
            breaks: 0,
            outage: Outage::new(LONGEST_PAUSE.min(spread * 4)),
            skewed: Backoff::new(FIRST_PAUSE.min(spread), LONGEST_PAUSE.min(spread * 4)),
            spread: spread.min(RETURN_SPREAD),
            told: None,
            return_after: None,
            tried: now,
            missed: false,
            sent_away: false,
            outputs: VecDeque::new(),
        };
        live.handle(now, 0.0, Input::Time);
        live
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether it may open soon: it is connecting, or will be within [`WANTED_PAUSE`].
    pub fn is_coming(&self, now: Instant) -> bool {
        match self.state {
            State::Away { until } => until <= now + WANTED_PAUSE,
            State::AwaitChallenge { .. } | State::AwaitWelcome { .. } => true,
            State::Open(_) => false,
        }
    }

    /// `jitter` is in 0..1.
    pub fn handle(&mut self, now: Instant, jitter: f64, input: Input) {
        match (self.state, input) {
            (State::Away { until }, Input::Time) if now >= until => self.connect(now),
            (State::Away { until }, Input::Wanted) if !self.sent_away => {
                let until = until.min(self.tried + WANTED_PAUSE);
                self.state = State::Away { until };
                if now >= until {
                    self.connect(now);
                }
            }
            (State::AwaitChallenge { since }, Input::Received(Hear::Challenge { nonce, .. })) => {
                self.outputs.push_back(Output::Greet(nonce));
                self.state = State::AwaitWelcome { since };
            }
            (State::AwaitWelcome { .. }, Input::Received(Hear::Welcome(welcome))) => {
                self.welcomed(now, welcome)
            }
            (State::Open(open), input @ (Input::Received(_) | Input::Alive)) => {
                if let Input::Received(Hear::Restarting { after_ms }) = input {
                    self.return_after = Some(Duration::from_millis(after_ms).min(RESTART_PAUSE_MAX));
                }
                self.state = State::Open(Opened { heard: now, probed: None, ..open });
            }
            (State::Open(open), Input::Said) => self.state = State::Open(Opened { said: now, ..open }),
            (State::Open(open), Input::Wanted) if now >= open.heard + FRESH_TIME => self.probe(now, open),
            (State::Open(open), Input::Time) => self.watch(now, open),
            (State::AwaitChallenge { since } | State::AwaitWelcome { since }, Input::Time)
                if now >= since + GREETING_TIME =>
            {
                self.outputs.push_back(Output::HangUp);
                self.lost(now, jitter, Lost::Broken);
            }
            (State::Away { .. }, Input::Moved) if self.sent_away => {}
            (State::Away { .. }, Input::Moved) => {
                self.outage.end();
                self.connect(now);
            }
            (_, Input::Moved) => self.leave(now, "this machine's address changed"),
            (State::Away { .. }, Input::Lost(_)) => {}
            (_, Input::Lost(lost)) => self.lost(now, jitter, lost),
            (_, Input::Received(_) | Input::Alive | Input::Said | Input::Wanted | Input::Time) => {}
        }
    }

    fn welcomed(&mut self, now: Instant, welcome: Welcome) {
        // A period of zero would be a busy loop.
        let period = Duration::from_secs(welcome.period.clamp(1, 3600));
        self.state = State::Open(Opened { since: now, said: now, heard: now, probed: None, period });
        self.breaks = 0;
        self.skewed.reset();
        // Half of the last one at least: a phone book that came back has not counted all of its clients yet.
        let least = self.told.map_or(Duration::ZERO, |told| told / 2);
        let told = welcome.return_ms.map(Duration::from_millis);
        self.told = told.map(|told| told.max(least).min(self.spread));
        let missed = std::mem::take(&mut self.missed);
        self.outputs.push_back(Output::Up { welcome, missed });
    }

    /// Time passes in an open connection.
    fn watch(&mut self, now: Instant, open: Opened) {
        if open.probed.is_some_and(|probed| now >= probed + PROBE_TIME) {
            return self.leave(now, "the connection to the phone book is silent");
        }
        if now >= open.said + open.period {
            self.outputs.push_back(Output::SayHere);
            self.state = State::Open(Opened { said: now, ..open });
        }
        if let State::Open(open) = self.state
            && now >= open.heard + SILENCE_TIME
        {
            self.probe(now, open);
        }
    }

    /// Polls are answered or fail by themselves.
    fn probe(&mut self, now: Instant, open: Opened) {
        if self.transport == Transport::WebSocket && open.probed.is_none() {
            self.outputs.push_back(Output::Probe);
            self.state = State::Open(Opened { probed: Some(now), ..open });
        }
    }

    /// Connects anew: the connection leads nowhere, another one may.
    fn leave(&mut self, now: Instant, says: &str) {
        self.outputs.push_back(Output::HangUp);
        if self.is_open() {
            self.outputs.push_back(Output::Down(says.to_owned()));
        }
        self.return_after = None;
        self.outage.end();
        self.connect(now);
    }

    fn connect(&mut self, now: Instant) {
        self.tried = now;
        if self.polls_until.is_some_and(|until| now >= until) {
            self.polls_until = None;
            self.transport = Transport::WebSocket;
        }
        self.state = match self.transport {
            Transport::WebSocket => State::AwaitChallenge { since: now },
            Transport::Poll => State::AwaitWelcome { since: now },
        };
        self.outputs.push_back(Output::Connect(self.transport));
    }

    fn lost(&mut self, now: Instant, jitter: f64, lost: Lost) {
        let opened = match self.state {
            State::Open(open) => Some(open.since),
            _ => None,
        };
        let was_open = opened.is_some();
        if opened.is_some_and(|since| now >= since + LASTING) {
            self.outage.end();
        }
        let told = self.return_after.take();
        self.missed |=
            matches!(lost, Lost::Refused | Lost::Unreachable) || (!was_open && lost == Lost::Broken);
        self.sent_away = told.is_some()
            || matches!(
                lost,
                Lost::Unsupported
                    | Lost::Closed(
                        CloseReason::Replaced
                            | CloseReason::Limited
                            | CloseReason::BadHello
                            | CloseReason::BadMessage,
                        _
                    )
            );
        let (pause, says) = match lost {
            Lost::Closed(CloseReason::Replaced, _) => (
                REPLACED_PAUSE.mul_f64(1.0 + jitter / 2.0),
                "another daemon with this identity is connected; stop one of the two".to_owned(),
            ),
            Lost::Closed(CloseReason::ClockSkew, text) => match number(&text).filter(|ms| *ms != 0) {
                Some(ahead) => {
                    self.outputs.push_back(Output::ClockAhead(ahead));
                    let seconds = ahead.unsigned_abs() / 1000;
                    (self.skewed.advance(jitter), format!("this machine's clock is off by {seconds} s"))
                }
                None => (REPLACED_PAUSE, "this machine's clock is off".to_owned()),
            },
            Lost::Closed(CloseReason::Limited, text) => {
                let seconds = number(&text).and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30);
                let pause = Duration::from_secs(seconds.clamp(1, 600)).mul_f64(1.0 + jitter / 2.0);
                (pause, format!("the phone book refuses more requests; retry in {seconds} s"))
            }
            Lost::Closed(reason @ (CloseReason::BadHello | CloseReason::BadMessage), text) => {
                let what = if reason == CloseReason::BadHello { "greeting" } else { "message" };
                let text = Foreign::new(&text);
                (
                    UNSUPPORTED_PAUSE / 10,
                    format!("the phone book does not understand this daemon's {what} ({text})"),
                )
            }
            Lost::Unsupported => {
                let pause = UNSUPPORTED_PAUSE.mul_f64(0.5 + jitter / 2.0);
                (pause, "the phone book has no live connections: it is of the original's kind".to_owned())
            }
            Lost::NoUpgrade => {
                self.poll_from(now);
                (Duration::ZERO, "WebSockets are blocked on the way".to_owned())
            }
            Lost::Refused => {
                (self.pause(now, REFUSED_PAUSE, jitter), "the phone book does not answer".to_owned())
            }
            Lost::Unreachable => {
                (self.pause(now, FIRST_PAUSE, jitter), "the phone book does not answer".to_owned())
            }
            Lost::Closed(CloseReason::Restart | CloseReason::Silent | CloseReason::TooSlow, _)
            | Lost::Broken => {
                if !was_open && self.transport == Transport::WebSocket {
                    self.breaks += 1;
                    if self.breaks >= BREAKS_MAX {
                        self.poll_from(now);
                    }
                }
                let pause = match told {
                    Some(told) => told,
                    None if was_open => {
                        let again = self.outage.is_on();
                        let pause = self.pause(now, FIRST_PAUSE, jitter);
                        let spread = self.told.unwrap_or(self.spread).mul_f64(jitter.clamp(0.0, 1.0));
                        // A connection that breaks again and again is no reason to hurry.
                        if again { spread.max(pause) } else { spread }
                    }
                    None => self.pause(now, FIRST_PAUSE, jitter),
                };
                (pause, "the connection to the phone book broke".to_owned())
            }
        };
        self.state = State::Away { until: now + pause };
        self.outputs.push_back(Output::Down(says));
    }

    fn pause(&mut self, now: Instant, shortest: Duration, jitter: f64) -> Duration {
        let shortest = shortest.min(self.spread).max(self.told.unwrap_or_default());
        self.outage.pause(now, shortest, jitter)
    }

    fn poll_from(&mut self, now: Instant) {
        self.transport = Transport::Poll;
        self.polls_until = Some(now + POLL_SPELL);
        self.breaks = 0;
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        Some(match self.state {
            State::Away { until } => (until, Why::Connect),
            State::AwaitChallenge { since } | State::AwaitWelcome { since } => {
                (since + GREETING_TIME, Why::GreetingDue)
            }
            State::Open(open) => {
                let here = (open.said + open.period, Why::HereDue);
                let answer = match (self.transport, open.probed) {
                    (Transport::Poll, _) => return Some(here),
                    (Transport::WebSocket, Some(probed)) => (probed + PROBE_TIME, Why::AnswerDue),
                    (Transport::WebSocket, None) => (open.heard + SILENCE_TIME, Why::ProbeDue),
                };
                if answer.0 < here.0 { answer } else { here }
            }
        })
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        None
    }
}

/// The number after the colon of a close frame's text.
fn number(text: &str) -> Option<i64> {
    text.rsplit_once(':').and_then(|(_, number)| number.trim().parse().ok())
}
