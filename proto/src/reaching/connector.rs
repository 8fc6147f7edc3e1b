//! Connecting to one peer: when to dial, how often, and the state that a person sees.
//!
//! Three tries with growing, jittered pauses, then a plain-English cause.

use crate::{backoff::Backoff, local::reply::PeerState};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Tries before giving up.
pub const TRIES: u32 = 3;
/// How long one try may take, handshake and greeting.
pub const TRY_TIME: Duration = Duration::from_secs(5);
/// When a try without a result counts as failed: lookup, handshake and greeting have shorter deadlines together, so a
/// message was lost.
pub const WORD_TIME: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The peer is wanted.
    Want,
    /// A link is open, dialled by either side.
    Opened,
    /// The handshake is done, the greeting is not.
    Greeting,
    /// The try failed, or the open link ended. `again`: whether another try makes sense.
    Lost {
        cause: String,
        again: bool,
    },
    /// The open link is silent: the peer is dialled beside it. The result is [`Input::Opened`], or none.
    Suspect,
    /// The open link is silent while something is asked: as [`Input::Suspect`], and told.
    Silent,
    /// The open link is not silent any more.
    Heard,
    /// The peer is no longer wanted.
    Leave,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Dial,
    State(PeerState),
    /// All tries failed.
    GaveUp(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NextTry,
    TryDue,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Idle,
    AwaitLink { since: Instant },
    AwaitNextTry { at: Instant },
    Linked,
}

#[derive(Debug)]
pub struct Connector {
    state: State,
    /// The link is wanted, so its loss means dialling again.
    wanted: bool,
    /// There was a link before.
    again: bool,
    backoff: Backoff,
    outputs: VecDeque<Output>,
}

impl Default for Connector {
    fn default() -> Self {
        Self {
            state: State::Idle,
            wanted: false,
            again: false,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            outputs: VecDeque::new(),
        }
    }
}

impl Connector {
    /// `jitter` is in 0..1.
    pub fn handle(&mut self, now: Instant, jitter: f64, input: Input) {
        match (&self.state, input) {
            (_, Input::Leave) => {
                self.wanted = false;
                if self.state != State::Linked {
                    self.state = State::Idle;
                    self.outputs.push_back(Output::State(PeerState::Disconnected));
                }
            }
            (State::Idle, Input::Want) => {
                self.wanted = true;
                self.backoff.reset();
                self.dial(now);
            }
            (_, Input::Want) => self.wanted = true,
            // Beside an open link.
            (State::Linked, Input::Greeting) => {}
            (_, Input::Greeting) => self.outputs.push_back(Output::State(PeerState::Authenticating)),
            (_, Input::Opened) => {
                self.state = State::Linked;
                self.again = true;
                self.backoff.reset();
                self.outputs.push_back(Output::State(PeerState::Connected));
            }
            (State::Linked, Input::Suspect) => self.outputs.push_back(Output::Dial),
            (State::Linked, Input::Silent) => {
                self.outputs.extend([Output::State(PeerState::Reconnecting), Output::Dial]);
            }
            (State::Linked, Input::Heard) => self.outputs.push_back(Output::State(PeerState::Connected)),
            // Without a link it is dialled anyway, or not wanted.
            (_, Input::Suspect | Input::Silent | Input::Heard) | (State::Idle, Input::Lost { .. }) => {}
            (_, Input::Lost { cause, again }) => self.lost(now, jitter, cause, again),
            (State::AwaitNextTry { at }, Input::Time) if now >= *at => self.dial(now),
            (State::AwaitLink { since }, Input::Time) if now >= *since + WORD_TIME => {
                self.lost(now, jitter, NO_WORD.into(), true);
            }
            (_, Input::Time) => {}
        }
    }

    fn lost(&mut self, now: Instant, jitter: f64, cause: String, again: bool) {
        if again && self.wanted && self.backoff.attempts() + 1 < TRIES {
            let pause = self.backoff.advance(jitter);
            self.state = State::AwaitNextTry { at: now + pause };
            self.outputs.push_back(Output::State(PeerState::Reconnecting));
        } else {
            self.state = State::Idle;
            self.outputs.push_back(Output::State(PeerState::Disconnected));
            if std::mem::take(&mut self.wanted) {
                self.outputs.push_back(Output::GaveUp(cause));
            }
        }
    }

    fn dial(&mut self, now: Instant) {
        self.state = State::AwaitLink { since: now };
        let state = if self.again { PeerState::Reconnecting } else { PeerState::Connecting };
        self.outputs.extend([Output::State(state), Output::Dial]);
    }

    /// No link, no try, and none planned.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// A link is open.
    pub fn is_linked(&self) -> bool {
        self.state == State::Linked
    }

    /// Whether a try is running.
    pub fn is_trying(&self) -> bool {
        matches!(self.state, State::AwaitLink { .. })
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        match self.state {
            State::AwaitNextTry { at } => Some((at, Why::NextTry)),
            State::AwaitLink { since } => Some((since + WORD_TIME, Why::TryDue)),
            State::Idle | State::Linked => None,
        }
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        match self.state {
            State::AwaitLink { .. } | State::AwaitNextTry { .. } => None,
            State::Idle => Some("idle: nobody needs the peer, or it was given up"),
            State::Linked => Some("linked: `Liveness` watches the link while something is asked"),
        }
    }
}

const NO_WORD: &str = "nothing came of dialling them";

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(connector: &mut Connector) -> Vec<Output> {
        std::iter::from_fn(|| connector.poll()).collect()
    }

    fn lost(again: bool) -> Input {
        Input::Lost { cause: "no answer".into(), again }
    }

    #[test]
    fn three_tries_and_then_a_cause() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let mut now = Instant::now();
        let mut connector = Connector::default();
        connector.handle(now, 0.5, Input::Want);
        let mut dials = 0;
        loop {
            let out = outputs(&mut connector);
            dials += out.iter().filter(|output| **output == Output::Dial).count();
            if out.contains(&Output::GaveUp("no answer".into())) {
                break;
            }
            if out.contains(&Output::Dial) {
                connector.handle(now, 0.5, lost(true));
            } else {
                now = connector.deadline().expect("the next try").0;
                connector.handle(now, 0.5, Input::Time);
            }
        }
        assert_eq!(dials, TRIES as usize);
        assert_eq!(connector.deadline(), None);
    }

    #[test]
    fn try_without_a_word_counts_as_failed() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let mut now = Instant::now();
        let mut connector = Connector::default();
        connector.handle(now, 0.5, Input::Want);
        // The results of all tries are lost.
        let mut dials = 0;
        while let Some((at, _)) = connector.deadline() {
            dials += outputs(&mut connector).iter().filter(|output| **output == Output::Dial).count();
            now = at;
            connector.handle(now, 0.5, Input::Time);
        }
        assert_eq!(dials, TRIES as usize);
        assert!(outputs(&mut connector).contains(&Output::GaveUp(NO_WORD.into())) && connector.is_idle());
    }

    #[test]
    fn what_cannot_get_better_is_not_tried_again() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let now = Instant::now();
        let mut connector = Connector::default();
        connector.handle(now, 0.5, Input::Want);
        outputs(&mut connector);
        connector.handle(now, 0.5, lost(false));
        assert_eq!(
            outputs(&mut connector),
            [Output::State(PeerState::Disconnected), Output::GaveUp("no answer".into())]
        );
    }

    #[test]
    fn silent_link_stays_while_another_is_dialled() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let now = Instant::now();
        let mut connector = Connector::default();
        connector.handle(now, 0.5, Input::Suspect);
        assert_eq!(outputs(&mut connector), [], "there is nothing to doubt");
        connector.handle(now, 0.5, Input::Opened);
        outputs(&mut connector);
        connector.handle(now, 0.5, Input::Suspect);
        assert_eq!(outputs(&mut connector), [Output::Dial]);
        // Nothing comes of a second link.
        connector.handle(now, 0.5, Input::Greeting);
        assert_eq!(outputs(&mut connector), [], "it is connected all the time");
        connector.handle(now, 0.5, Input::Silent);
        assert_eq!(outputs(&mut connector), [Output::State(PeerState::Reconnecting), Output::Dial]);
        connector.handle(now, 0.5, Input::Heard);
        assert_eq!(outputs(&mut connector), [Output::State(PeerState::Connected)]);
        assert!(!connector.is_idle() && !connector.is_trying() && connector.deadline().is_none());
    }

    #[test]
    fn only_a_wanted_link_is_dialled_again() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let now = Instant::now();
        let mut connector = Connector::default();
        connector.handle(now, 0.5, Input::Opened);
        connector.handle(now, 0.5, lost(true));
        assert_eq!(
            outputs(&mut connector),
            [Output::State(PeerState::Connected), Output::State(PeerState::Disconnected)]
        );
        connector.handle(now, 0.5, Input::Want);
        connector.handle(now, 0.5, Input::Opened);
        outputs(&mut connector);
        connector.handle(now, 0.5, lost(true));
        assert_eq!(outputs(&mut connector), [Output::State(PeerState::Reconnecting)]);
        assert!(connector.deadline().is_some());
    }
}
