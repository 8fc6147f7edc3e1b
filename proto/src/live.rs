//! The client's side of one phone book's live conversation: when to connect and how, when to speak, when to come back.
//!
//! | state | hears | does |
//! |---|---|---|
//! | `Away{until}` | `until` passes | connects, → `AwaitChallenge` or `AwaitWelcome` (a poll has no challenge) |
//! | `Away{until}` | somebody is looked for | connects, once in [`WANTED_PAUSE`] at most, unless told to stay away |
//! | `AwaitChallenge` | `Challenge` | greets, → `AwaitWelcome` |
//! | `AwaitWelcome` | `Welcome` | `Up`, → `Open` |
//! | `Open` | anything | says `Here` when nothing was said for a period |
//! | any but `Away` | the connection ends | → `Away`, for how long the cause tells |
//!
//! Where a WebSocket does not get through but HTTP does, the next connection polls. A phone book that knows no live
//! conversation at all is asked again rarely. Jitter is an argument.

use crate::{
    backoff::Backoff,
    bytes::Bytes,
    foreign::Foreign,
    phonebook::live::{CloseReason, GREETING_TIME, Hear, Welcome},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a daemon stays away that was replaced by another with the same key: two that fight would both lose.
pub const REPLACED_PAUSE: Duration = Duration::from_secs(60);
/// How long a phone book without live conversations is left alone.
pub const UNSUPPORTED_PAUSE: Duration = Duration::from_secs(600);
/// How long polls are used before a WebSocket is tried again.
pub const POLL_SPELL: Duration = Duration::from_secs(1800);
/// After a conversation that broke: its clients come back within this time, each at its own moment.
pub const RETURN_SPREAD: Duration = Duration::from_secs(10);
/// Between two attempts to connect while somebody is looked for.
pub const WANTED_PAUSE: Duration = Duration::from_secs(1);
/// After a phone book came back: as long as those of its clients may still be away that nobody hurries.
pub const RETURN_TIME: Duration = Duration::from_secs(12);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// As over [`RETURN_SPREAD`]: they come back within ten seconds, each at its own moment.
const LONGEST_PAUSE: Duration = RETURN_SPREAD;
/// The longest that a stopping phone book may keep its clients away.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(45);
/// WebSockets that open and break before a welcome, until polls are tried: a proxy that does not understand them.
const BREAKS_MAX: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    Poll,
}

/// How a connection ended, or did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Nobody answers.
    Unreachable,
    /// HTTP answers, but not with a WebSocket.
    NoUpgrade,
    /// This phone book has no live conversation.
    Unsupported,
    /// It closed with a reason, and a text.
    Closed(CloseReason, String),
    /// It broke off.
    Broken,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Heard(Hear),
    /// Something was said.
    Said,
    Lost(Lost),
    /// Somebody is looked for: now is the time to be connected.
    Wanted,
    /// This machine's address changed: a connection from the old one is dead, and what failed may work now.
    Moved,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Connect(Transport),
    /// Say hello, signed over this nonce.
    Greet(Bytes<32>),
    /// Say that we are here.
    SayHere,
    /// The conversation is open. `missed`: the phone book did not answer before.
    Up {
        welcome: Welcome,
        missed: bool,
    },
    /// It is not any more, or could not be opened; the sentence is for a person.
    Down(String),
    /// The clock is this many milliseconds ahead of the phone book's.
    ClockAhead(i64),
    /// End the connection; it is dead or wrong.
    HangUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Connect,
    GreetingDue,
    HereDue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Away { until: Instant },
    AwaitChallenge { since: Instant },
    AwaitWelcome { since: Instant },
    Open { said: Instant, period: Duration },
}

#[derive(Debug)]
pub struct Live {
    state: State,
    transport: Transport,
    /// When polls end and a WebSocket is tried again.
    polls_until: Option<Instant>,
    breaks: u32,
    backoff: Backoff,
    /// The longest time over which to come back.
    spread: Duration,
    /// What a stopping phone book said.
    return_after: Option<Duration>,
    /// When it was connected to last.
    tried: Instant,
    /// It did not answer since the last conversation.
    missed: bool,
    /// The phone book said why it wants to be left alone for a while.
    sent_away: bool,
    outputs: VecDeque<Output>,
}

impl Live {
    /// Connects at once. `spread`: at most [`RETURN_SPREAD`]; shorter where somebody wants it so.
    pub fn new(spread: Duration, now: Instant) -> Self {
        let mut live = Self {
            state: State::Away { until: now },
            transport: Transport::WebSocket,
            polls_until: None,
            breaks: 0,
            backoff: Backoff::new(FIRST_PAUSE.min(spread), LONGEST_PAUSE.min(spread * 4)),
            spread: spread.min(RETURN_SPREAD),
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
        matches!(self.state, State::Open { .. })
    }

    /// Whether it may be open soon: it is being connected to, or will be within [`WANTED_PAUSE`].
    pub fn is_coming(&self, now: Instant) -> bool {
        match self.state {
            State::Away { until } => until <= now + WANTED_PAUSE,
            State::AwaitChallenge { .. } | State::AwaitWelcome { .. } => true,
            State::Open { .. } => false,
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
            (State::AwaitChallenge { since }, Input::Heard(Hear::Challenge { nonce, .. })) => {
                self.outputs.push_back(Output::Greet(nonce));
                self.state = State::AwaitWelcome { since };
            }
            (State::AwaitWelcome { .. }, Input::Heard(Hear::Welcome(welcome))) => {
                // A period of nothing would be a busy loop.
                let period = Duration::from_secs(welcome.period.clamp(1, 3600));
                self.state = State::Open { said: now, period };
                self.breaks = 0;
                self.backoff.reset();
                let missed = std::mem::take(&mut self.missed);
                self.outputs.push_back(Output::Up { welcome, missed });
            }
            (State::Open { .. }, Input::Heard(Hear::Restarting { after_ms })) => {
                self.return_after = Some(Duration::from_millis(after_ms).min(RESTART_PAUSE_MAX));
            }
            (State::Open { period, .. }, Input::Said) => self.state = State::Open { said: now, period },
            (State::Open { said, period }, Input::Time) if now >= said + period => {
                self.outputs.push_back(Output::SayHere);
                self.state = State::Open { said: now, period };
            }
            (State::AwaitChallenge { since } | State::AwaitWelcome { since }, Input::Time)
                if now >= since + GREETING_TIME =>
            {
                self.outputs.push_back(Output::HangUp);
                self.lost(now, jitter, Lost::Broken);
            }
            (State::Away { .. }, Input::Moved) if self.sent_away => {}
            (State::Away { .. }, Input::Moved) => {
                self.backoff.reset();
                self.connect(now);
            }
            (_, Input::Moved) => {
                self.outputs.push_back(Output::HangUp);
                if self.is_open() {
                    self.outputs.push_back(Output::Down("this machine's address changed".to_owned()));
                }
                self.return_after = None;
                self.backoff.reset();
                self.connect(now);
            }
            (State::Away { .. }, Input::Lost(_)) => {}
            (_, Input::Lost(lost)) => self.lost(now, jitter, lost),
            (_, Input::Heard(_) | Input::Said | Input::Wanted | Input::Time) => {}
        }
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
        let was_open = self.is_open();
        let told = self.return_after.take();
        self.missed |= matches!(lost, Lost::Unreachable) || (!was_open && lost == Lost::Broken);
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
                    (self.backoff.advance(jitter), format!("this machine's clock is off by {seconds} s"))
                }
                None => (REPLACED_PAUSE, "this machine's clock is off".to_owned()),
            },
            Lost::Closed(CloseReason::Limited, text) => {
                let seconds = number(&text).and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30);
                let pause = Duration::from_secs(seconds.clamp(1, 600)).mul_f64(1.0 + jitter / 2.0);
                (pause, format!("the phone book is asked too much; it is asked again in {seconds} s"))
            }
            Lost::Closed(reason @ (CloseReason::BadHello | CloseReason::BadMessage), text) => {
                let text = Foreign::new(&text);
                (
                    UNSUPPORTED_PAUSE / 10,
                    format!("the phone book does not understand this daemon ({reason:?}: {text})"),
                )
            }
            Lost::Unsupported => {
                let pause = UNSUPPORTED_PAUSE.mul_f64(0.5 + jitter / 2.0);
                (pause, "the phone book introduces nobody: it is of the old kind".to_owned())
            }
            Lost::NoUpgrade => {
                self.poll_from(now);
                (Duration::ZERO, "a WebSocket does not get through".to_owned())
            }
            Lost::Unreachable => (self.backoff.advance(jitter), "the phone book does not answer".to_owned()),
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
                    None if was_open => self.spread.mul_f64(jitter.clamp(0.0, 1.0)),
                    None => self.backoff.advance(jitter),
                };
                (pause, "the conversation with the phone book broke off".to_owned())
            }
        };
        self.state = State::Away { until: now + pause };
        self.outputs.push_back(Output::Down(says));
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
            State::Open { said, period } => (said + period, Why::HereDue),
        })
    }

    /// Why nothing is waited for, where nothing is. In every other state there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        None
    }
}

/// The number after the colon of a close frame's text.
fn number(text: &str) -> Option<i64> {
    text.rsplit_once(':').and_then(|(_, number)| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn start() -> Instant {
        Instant::now()
    }

    fn outputs(live: &mut Live) -> Vec<Output> {
        std::iter::from_fn(|| live.poll()).collect()
    }

    fn welcome() -> Welcome {
        Welcome { version: 1, address: [127, 0, 0, 1].into(), life: 75, period: 25 }
    }

    /// A conversation that is open.
    fn open(now: Instant) -> Live {
        let mut live = Live::new(RETURN_SPREAD, now);
        assert_eq!(outputs(&mut live), [Output::Connect(Transport::WebSocket)]);
        let nonce = Bytes([7; 32]);
        live.handle(now, 0.5, Input::Heard(Hear::Challenge { versions: vec![1], nonce, time: 0 }));
        assert_eq!(outputs(&mut live), [Output::Greet(nonce)]);
        live.handle(now, 0.5, Input::Heard(Hear::Welcome(welcome())));
        assert_eq!(outputs(&mut live), [Output::Up { welcome: welcome(), missed: false }]);
        live
    }

    #[test]
    fn who_is_silent_says_that_it_is_here() {
        let now = start();
        let mut live = open(now);
        live.handle(now + Duration::from_secs(20), 0.5, Input::Said);
        assert_eq!(live.deadline(), Some((now + Duration::from_secs(45), Why::HereDue)));
        live.handle(now + Duration::from_secs(30), 0.5, Input::Time);
        assert!(outputs(&mut live).is_empty());
        live.handle(now + Duration::from_secs(45), 0.5, Input::Time);
        assert_eq!(outputs(&mut live), [Output::SayHere]);
    }

    #[test]
    fn ten_thousand_come_back_spread_over_the_time() {
        let now = start();
        let mut each_second = [0u32; 10];
        for client in 0..10_000 {
            let mut live = open(now);
            live.handle(now, f64::from(client) / 10_000.0, Input::Lost(Lost::Broken));
            let (at, why) = live.deadline().expect("a time");
            assert_eq!(why, Why::Connect);
            each_second[(at - now).as_secs() as usize] += 1;
        }
        assert!(each_second.iter().all(|&clients| (900..=1100).contains(&clients)), "{each_second:?}");
    }

    #[test]
    fn a_phone_book_that_stops_says_when_to_come_back() {
        let now = start();
        let mut live = open(now);
        live.handle(now, 0.5, Input::Heard(Hear::Restarting { after_ms: 1234 }));
        live.handle(now, 0.9, Input::Lost(Lost::Closed(CloseReason::Restart, String::new())));
        assert_eq!(live.deadline(), Some((now + Duration::from_millis(1234), Why::Connect)));
    }

    #[test]
    fn where_no_websocket_gets_through_it_polls_and_tries_again_later() {
        let now = start();
        for losses in [vec![Lost::NoUpgrade], vec![Lost::Broken; 2]] {
            let mut live = Live::new(RETURN_SPREAD, now);
            let mut at = now;
            for lost in losses {
                assert_eq!(outputs(&mut live).last(), Some(&Output::Connect(Transport::WebSocket)));
                live.handle(at, 0.5, Input::Lost(lost));
                at = live.deadline().expect("a time").0;
                live.handle(at, 0.5, Input::Time);
            }
            assert_eq!(outputs(&mut live).last(), Some(&Output::Connect(Transport::Poll)));
            live.handle(at, 0.5, Input::Heard(Hear::Welcome(welcome())));
            assert!(live.is_open());
            let later = at + POLL_SPELL;
            live.handle(later, 0.0, Input::Lost(Lost::Broken));
            live.handle(later, 0.0, Input::Time);
            assert_eq!(outputs(&mut live).last(), Some(&Output::Connect(Transport::WebSocket)));
        }
    }

    #[test]
    fn who_is_looked_for_ends_the_back_off() {
        let begin = start();
        let (mut live, mut now) = (Live::new(RETURN_SPREAD, begin), begin);
        // An outage of a minute, with nobody asking: the pauses have grown.
        while now < begin + Duration::from_secs(60) {
            assert_eq!(outputs(&mut live), [Output::Connect(Transport::WebSocket)]);
            live.handle(now, 1.0, Input::Lost(Lost::Unreachable));
            assert!(matches!(outputs(&mut live)[..], [Output::Down(_)]));
            now = live.deadline().expect("a time").0;
            live.handle(now, 1.0, Input::Time);
        }
        outputs(&mut live);
        live.handle(now, 1.0, Input::Lost(Lost::Unreachable));
        assert!(live.deadline().expect("a time").0 >= now + Duration::from_secs(5));
        outputs(&mut live);
        // A hundred who ask in ten seconds are ten attempts.
        let (asking, mut attempts) = (now + Duration::from_millis(100), 0);
        for turn in 0..100 {
            now = asking + Duration::from_millis(100) * turn;
            live.handle(now, 1.0, Input::Time);
            live.handle(now, 1.0, Input::Wanted);
            assert!(live.is_coming(now));
            if outputs(&mut live).contains(&Output::Connect(Transport::WebSocket)) {
                attempts += 1;
                live.handle(now, 1.0, Input::Lost(Lost::Unreachable));
                outputs(&mut live);
            }
        }
        assert!((9..=10).contains(&attempts), "{attempts}");
        now += WANTED_PAUSE;
        live.handle(now, 1.0, Input::Wanted);
        live.handle(
            now,
            1.0,
            Input::Heard(Hear::Challenge { versions: vec![1], nonce: Bytes([7; 32]), time: 0 }),
        );
        live.handle(now, 1.0, Input::Heard(Hear::Welcome(welcome())));
        assert_eq!(outputs(&mut live).last(), Some(&Output::Up { welcome: welcome(), missed: true }));
    }

    #[test]
    fn nobody_ends_a_pause_that_was_asked_for() {
        let now = start();
        for lost in [
            Lost::Unsupported,
            Lost::Closed(CloseReason::Replaced, String::new()),
            Lost::Closed(CloseReason::Limited, "retry_after:30".into()),
            Lost::Closed(CloseReason::BadMessage, String::new()),
        ] {
            let mut live = open(now);
            live.handle(now, 0.5, Input::Lost(lost.clone()));
            let later = now + WANTED_PAUSE * 2;
            live.handle(later, 0.5, Input::Wanted);
            assert!(!outputs(&mut live).contains(&Output::Connect(Transport::WebSocket)), "{lost:?}");
            assert!(!live.is_coming(later));
        }
    }

    #[test]
    fn two_daemons_with_one_key_do_not_fight() {
        let now = start();
        let mut live = open(now);
        live.handle(now, 0.0, Input::Lost(Lost::Closed(CloseReason::Replaced, String::new())));
        assert!(live.deadline().expect("a time").0 >= now + REPLACED_PAUSE);
        assert!(matches!(outputs(&mut live).last(), Some(Output::Down(says)) if says.contains("identity")));
    }

    #[test]
    fn a_wrong_clock_is_told_and_corrected() {
        let now = start();
        let mut live = Live::new(RETURN_SPREAD, now);
        outputs(&mut live);
        live.handle(now, 0.0, Input::Lost(Lost::Closed(CloseReason::ClockSkew, "clock_skew:-421000".into())));
        let outputs = outputs(&mut live);
        assert!(outputs.contains(&Output::ClockAhead(-421_000)), "{outputs:?}");
        assert!(live.deadline().expect("a time").0 <= now + Duration::from_secs(1));
    }

    #[test]
    fn a_day_with_every_kind_of_loss_never_stops_trying_and_never_hammers() {
        let begin = start();
        let (mut live, mut now, mut connects) = (Live::new(RETURN_SPREAD, begin), begin, 0);
        let losses = [
            Lost::Unreachable,
            Lost::Broken,
            Lost::Unsupported,
            Lost::NoUpgrade,
            Lost::Closed(CloseReason::Limited, "retry_after:0".into()),
            Lost::Closed(CloseReason::ClockSkew, "clock_skew:x".into()),
            Lost::Closed(CloseReason::BadMessage, "\u{7}what".into()),
        ];
        for round in 0.. {
            if now > begin + Duration::from_secs(86_400) {
                break;
            }
            for output in outputs(&mut live) {
                if matches!(output, Output::Connect(_)) {
                    connects += 1;
                    live.handle(now, 0.3, Input::Lost(losses[round % losses.len()].clone()));
                }
            }
            let (at, _) = live.deadline().expect("always a next time");
            now = now.max(at);
            live.handle(now, 0.7, Input::Time);
        }
        assert!((500..20_000).contains(&connects), "{connects}");
    }

    #[test]
    fn a_moved_machine_connects_anew_unless_sent_away() {
        let now = start();
        let mut live = open(now);
        live.handle(now, 0.5, Input::Moved);
        let down = Output::Down("this machine's address changed".to_owned());
        let connect = Output::Connect(Transport::WebSocket);
        assert_eq!(outputs(&mut live), [Output::HangUp, down, connect.clone()]);
        live.handle(now, 0.5, Input::Moved);
        assert_eq!(
            outputs(&mut live),
            [Output::HangUp, connect.clone()],
            "nor does a half-open one lead anywhere"
        );
        live.handle(now, 0.5, Input::Lost(Lost::Unreachable));
        outputs(&mut live);
        live.handle(now, 0.5, Input::Moved);
        assert_eq!(outputs(&mut live), [connect]);
        for lost in [Lost::Unsupported, Lost::Closed(CloseReason::Limited, "retry_after:9".into())] {
            let mut live = open(now);
            live.handle(now, 0.5, Input::Lost(lost));
            outputs(&mut live);
            live.handle(now, 0.5, Input::Moved);
            assert_eq!(outputs(&mut live), [], "another address changes nothing about that");
        }
    }
}
