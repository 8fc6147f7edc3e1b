//! The session of a link, on the control stream: greeting, versions, and what each side publishes.
//!
//! | state | input | action |
//! |---|---|---|
//! | `AwaitHello` (acceptor) | `Hello` with a common version | `Greeted`, → `AwaitVerdict` |
//! | `AwaitVerdict` (acceptor) | `Admit` | sends `HelloAck`, `Opened`, → `Open` |
//! | `AwaitHelloAck` (dialler) | `HelloAck` | `Opened`, → `Open` |
//! | `Open` | `Published` | `TheirLook`, at most one each [`LOOK_PERIOD`]: the newest |
//! | `Open` | `Offer` | `Offered`, at most one each [`OFFER_PERIOD`]: the newest |
//! | any | anything else | closes: `OutOfTurn`; no common version: `Version` |
//! | before `Open` | [`GREETING_TIME`] passes | closes: `Silent` |
//!
//! TLS has proven the key before a session begins. A dialler is connected before the acceptor has judged its
//! certificate, so nothing counts as connected before `Opened`.

use crate::{
    id::BlobHash,
    letter::Attempt,
    peer::{CloseCode, Control, Greeting, Hello, HelloAck, capability},
    reaching::wire::offer::Offer,
    seal::End,
    version::PEER_VERSIONS,
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long the whole greeting may take.
pub const GREETING_TIME: Duration = Duration::from_secs(5);
/// How often a change of the other side's look is reported. The newest one replaces those in between.
pub const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// The same for the other side's offers. Both ends punch holes within less than this.
pub const OFFER_PERIOD: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A frame of the control stream.
    Received(Control),
    /// The greeting is accepted.
    Admit,
    /// It is not, or the link must end for another reason.
    Close(CloseCode),
    /// This player's own look changed.
    Publish(Option<BlobHash>),
    /// This end's newest offer for an introduction. Nothing is sent to a peer that takes none.
    Tell { attempt: Attempt, offer: Offer },
    /// The deadline has passed.
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Say(Control),
    /// The other side has greeted; answer with `Admit` or `Close`. Acceptor only.
    Greeted(Greeting),
    /// The link is connected.
    Opened {
        version: u16,
        greeting: Greeting,
    },
    TheirLook(Option<BlobHash>),
    /// The other side's newest offer for an introduction. Nothing of it has been judged.
    Offered {
        attempt: Attempt,
        offer: Offer,
    },
    /// Close the connection with this code. The last output.
    Close(CloseCode),
}

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    GreetingDue,
    /// Report the other side's newest look.
    LookDue,
    /// Report the other side's newest offer.
    OfferDue,
}

#[derive(Debug)]
enum State {
    AwaitHello,
    AwaitVerdict { version: u16, greeting: Greeting },
    AwaitHelloAck,
    Open,
    Closed,
}

#[derive(Debug)]
pub struct Session {
    state: State,
    /// This end's greeting; `published` is kept up to date.
    greeting: Greeting,
    /// The look that was last sent to the other side.
    said: Option<BlobHash>,
    began: Instant,
    /// The other side's look as last reported here, and when. `None` before a first `Published`.
    told: Option<BlobHash>,
    told_at: Option<Instant>,
    /// A newer one that is not reported yet.
    untold: Option<Option<BlobHash>>,
    /// What the other side can do.
    capabilities: u64,
    /// When an offer was reported last, and one that is not reported yet.
    offered_at: Option<Instant>,
    unoffered: Option<(Attempt, Offer)>,
    outputs: VecDeque<Output>,
}

impl Session {
    pub fn new(end: End, greeting: Greeting, now: Instant) -> Self {
        let mut outputs = VecDeque::new();
        let state = match end {
            End::Acceptor => State::AwaitHello,
            End::Dialer => {
                let hello = Hello { versions: PEER_VERSIONS.to_vec(), greeting: greeting.clone() };
                outputs.push_back(Output::Say(Control::Hello(hello)));
                State::AwaitHelloAck
            }
        };
        let said = greeting.published;
        Self {
            state,
            greeting,
            said,
            began: now,
            told: None,
            told_at: None,
            untold: None,
            capabilities: 0,
            offered_at: None,
            unoffered: None,
            outputs,
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.state = match (state, input) {
            (State::Closed, _) => State::Closed,
            (_, Input::Close(code)) => self.close(code),
            (State::AwaitHello, Input::Received(Control::Hello(hello))) => {
                match PEER_VERSIONS.iter().find(|version| hello.versions.contains(version)) {
                    Some(&version) => {
                        self.outputs.push_back(Output::Greeted(hello.greeting.clone()));
                        State::AwaitVerdict { version, greeting: hello.greeting }
                    }
                    None => self.close(CloseCode::Version),
                }
            }
            (State::AwaitVerdict { version, greeting }, Input::Admit) => {
                self.said = self.greeting.published;
                let ack = HelloAck { version, greeting: self.greeting.clone() };
                self.outputs.push_back(Output::Say(Control::HelloAck(ack)));
                self.opened(version, greeting);
                State::Open
            }
            (State::AwaitHelloAck, Input::Received(Control::HelloAck(ack))) => {
                if PEER_VERSIONS.contains(&ack.version) {
                    let HelloAck { version, greeting } = ack;
                    self.opened(version, greeting);
                    // The hello may be older than the published look.
                    self.say_look();
                    State::Open
                } else {
                    self.close(CloseCode::Version)
                }
            }
            (State::Open, Input::Received(Control::Published(look))) => {
                self.untold = Some(look).filter(|look| *look != self.told);
                self.tell_look(now);
                State::Open
            }
            (State::Open, Input::Received(Control::Offer { attempt, offer })) => {
                match Offer::decode(&offer) {
                    Ok(offer) => {
                        self.unoffered = Some((attempt, offer));
                        self.tell_offer(now);
                        State::Open
                    }
                    Err(_) => self.close(CloseCode::Malformed),
                }
            }
            (state, Input::Tell { attempt, offer }) => {
                if matches!(state, State::Open) && self.capabilities & capability::OFFERS != 0 {
                    let offer = offer.encode();
                    self.outputs.push_back(Output::Say(Control::Offer { attempt, offer }));
                }
                state
            }
            (state, Input::Publish(look)) => {
                self.greeting.published = look;
                if matches!(state, State::Open) {
                    self.say_look();
                }
                state
            }
            (
                state @ (State::AwaitHello | State::AwaitVerdict { .. } | State::AwaitHelloAck),
                Input::Time,
            ) => {
                if now >= self.began + GREETING_TIME {
                    self.close(CloseCode::Silent)
                } else {
                    state
                }
            }
            (State::Open, Input::Time) => {
                self.tell_look(now);
                self.tell_offer(now);
                State::Open
            }
            (_, Input::Received(_) | Input::Admit) => self.close(CloseCode::OutOfTurn),
        };
    }

    fn opened(&mut self, version: u16, greeting: Greeting) {
        self.told = greeting.published;
        self.capabilities = greeting.capabilities;
        self.outputs.push_back(Output::Opened { version, greeting });
    }

    /// When the other side's newest look may be reported.
    fn look_due(&self) -> Option<Instant> {
        self.untold.and(self.told_at).map(|at| at + LOOK_PERIOD)
    }

    fn tell_look(&mut self, now: Instant) {
        if self.look_due().is_none_or(|due| now >= due)
            && let Some(look) = self.untold.take()
        {
            (self.told, self.told_at) = (look, Some(now));
            self.outputs.push_back(Output::TheirLook(look));
        }
    }

    fn offer_due(&self) -> Option<Instant> {
        self.unoffered.as_ref().and(self.offered_at).map(|at| at + OFFER_PERIOD)
    }

    fn tell_offer(&mut self, now: Instant) {
        if self.offer_due().is_none_or(|due| now >= due)
            && let Some((attempt, offer)) = self.unoffered.take()
        {
            self.offered_at = Some(now);
            self.outputs.push_back(Output::Offered { attempt, offer });
        }
    }

    fn say_look(&mut self) {
        if self.said != self.greeting.published {
            self.said = self.greeting.published;
            self.outputs.push_back(Output::Say(Control::Published(self.said)));
        }
    }

    fn close(&mut self, code: CloseCode) -> State {
        self.outputs.push_back(Output::Close(code));
        State::Closed
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        match self.state {
            State::AwaitHello | State::AwaitVerdict { .. } | State::AwaitHelloAck => {
                Some((self.began + GREETING_TIME, Why::GreetingDue))
            }
            State::Open => {
                let look = self.look_due().map(|due| (due, Why::LookDue));
                let offer = self.offer_due().map(|due| (due, Why::OfferDue));
                look.into_iter().chain(offer).min_by_key(|(due, _)| *due)
            }
            State::Closed => None,
        }
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        match self.state {
            State::AwaitHello | State::AwaitVerdict { .. } | State::AwaitHelloAck => None,
            State::Open if self.untold.is_some() || self.unoffered.is_some() => None,
            State::Open => Some("open: QUIC's idle timeout ends a dead link"),
            State::Closed => Some("closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;

    fn greeting(agent: &str) -> Greeting {
        Greeting { agent: agent.into(), player: None, capabilities: 0, published: None, instance: 1 }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn start() -> Instant {
        Instant::now()
    }

    fn outputs(session: &mut Session) -> Vec<Output> {
        std::iter::from_fn(|| session.poll()).collect()
    }

    /// Passes messages between both until there are none; returns all other outputs.
    fn converse(dialer: &mut Session, acceptor: &mut Session, now: Instant) -> [Vec<Output>; 2] {
        let mut heard = [vec![], vec![]];
        loop {
            let (from_dialer, from_acceptor) = (outputs(dialer), outputs(acceptor));
            if from_dialer.is_empty() && from_acceptor.is_empty() {
                return heard;
            }
            for output in from_dialer {
                match output {
                    Output::Say(control) => acceptor.handle(now, Input::Received(control)),
                    other => heard[0].push(other),
                }
            }
            for output in from_acceptor {
                match output {
                    Output::Say(control) => dialer.handle(now, Input::Received(control)),
                    Output::Greeted(greeting) => {
                        heard[1].push(Output::Greeted(greeting));
                        acceptor.handle(now, Input::Admit);
                    }
                    other => heard[1].push(other),
                }
            }
        }
    }

    #[test]
    fn both_ends_greet_and_send_their_published_look() {
        let now = start();
        let mut dialer = Session::new(End::Dialer, greeting("d"), now);
        let mut acceptor = Session::new(End::Acceptor, greeting("a"), now);
        let [at_dialer, at_acceptor] = converse(&mut dialer, &mut acceptor, now);
        assert_eq!(at_dialer, [Output::Opened { version: 1, greeting: greeting("a") }]);
        assert_eq!(
            at_acceptor,
            [Output::Greeted(greeting("d")), Output::Opened { version: 1, greeting: greeting("d") }]
        );
        assert!(dialer.is_open() && acceptor.is_open() && dialer.deadline().is_none());
        let look = Some(BlobHash::of(b"look"));
        acceptor.handle(now, Input::Publish(look));
        acceptor.handle(now, Input::Publish(look));
        assert_eq!(converse(&mut dialer, &mut acceptor, now)[0], [Output::TheirLook(look)], "once");
    }

    #[test]
    fn flood_of_published_looks_is_sent_once_a_second() {
        let now = start();
        let mut dialer = Session::new(End::Dialer, greeting("d"), now);
        let mut acceptor = Session::new(End::Acceptor, greeting("a"), now);
        converse(&mut dialer, &mut acceptor, now);
        let look = |n: u32| Some(BlobHash::of(&n.to_le_bytes()));
        let mut told = Vec::new();
        // A thousand a second, for ten seconds; the last one is reported although nothing follows it.
        let at = |ms: u32| now + Duration::from_millis(ms.into());
        for ms in 0..10_000 {
            dialer.handle(at(ms), Input::Received(Control::Published(look(ms))));
            told.extend(outputs(&mut dialer));
        }
        while let Some((due, Why::LookDue)) = dialer.deadline() {
            dialer.handle(due, Input::Time);
            told.extend(outputs(&mut dialer));
        }
        assert_eq!(told.len(), 11, "{told:?}");
        assert_eq!(told.last(), Some(&Output::TheirLook(look(9_999))));
        // Back to the look that was reported last: no change.
        dialer.handle(at(20_000), Input::Received(Control::Published(look(1))));
        dialer.handle(at(20_001), Input::Received(Control::Published(look(2))));
        dialer.handle(at(20_002), Input::Received(Control::Published(look(1))));
        assert_eq!((outputs(&mut dialer), dialer.deadline()), (vec![Output::TheirLook(look(1))], None));
    }

    fn able(capabilities: u64) -> Greeting {
        Greeting { capabilities, ..greeting("x") }
    }

    fn offer(round: u32) -> Offer {
        Offer { secret: Some(Bytes([9; 32])), round, ..Offer::default() }
    }

    #[test]
    fn offer_goes_only_to_one_who_takes_it() {
        let now = start();
        for (theirs, expected) in [(0, 0), (2, 0), (capability::OWN, 1), (u64::MAX, 1)] {
            let mut dialer = Session::new(End::Dialer, able(capability::OWN), now);
            let mut acceptor = Session::new(End::Acceptor, able(theirs), now);
            let attempt = Bytes([5; 16]);
            dialer.handle(now, Input::Tell { attempt, offer: offer(1) });
            converse(&mut dialer, &mut acceptor, now);
            dialer.handle(now, Input::Tell { attempt, offer: offer(2) });
            let [_, heard] = converse(&mut dialer, &mut acceptor, now);
            assert_eq!(heard, vec![Output::Offered { attempt, offer: offer(2) }; expected], "{theirs}");
        }
    }

    #[test]
    fn flood_of_offers_is_reported_slowly() {
        let now = start();
        let mut session = Session::new(End::Acceptor, able(capability::OWN), now);
        converse(&mut Session::new(End::Dialer, able(capability::OWN), now), &mut session, now);
        let control = |n: u32| Control::Offer { attempt: Bytes([5; 16]), offer: offer(n).encode() };
        let at = |ms: u32| now + Duration::from_millis(ms.into());
        for ms in 0..1000 {
            session.handle(at(ms), Input::Received(control(ms)));
        }
        let (due, why) = session.deadline().expect("the last one is not reported");
        assert_eq!((due, why), (at(1000), Why::OfferDue));
        session.handle(due, Input::Time);
        let told = outputs(&mut session);
        let last = Output::Offered { attempt: Bytes([5; 16]), offer: offer(999) };
        assert_eq!((told.len(), told.last()), (6, Some(&last)), "{told:?}");
        session.handle(at(2000), Input::Received(Control::Offer { attempt: Bytes([5; 16]), offer: vec![9] }));
        assert_eq!(outputs(&mut session), [Output::Close(CloseCode::Malformed)]);
    }

    #[test]
    fn silence_ends_it_in_time() {
        let now = start();
        for end in [End::Dialer, End::Acceptor] {
            let mut session = Session::new(end, greeting("x"), now);
            outputs(&mut session);
            assert_eq!(session.deadline(), Some((now + GREETING_TIME, Why::GreetingDue)));
            session.handle(now + GREETING_TIME / 2, Input::Time);
            assert_eq!(session.poll(), None);
            session.handle(now + GREETING_TIME, Input::Time);
            assert_eq!(session.poll(), Some(Output::Close(CloseCode::Silent)));
        }
    }

    #[test]
    fn versions_without_overlap_are_refused() {
        let now = start();
        let mut acceptor = Session::new(End::Acceptor, greeting("a"), now);
        let hello = Hello { versions: vec![7], greeting: greeting("future") };
        acceptor.handle(now, Input::Received(Control::Hello(hello)));
        assert_eq!(outputs(&mut acceptor), [Output::Close(CloseCode::Version)]);

        let mut newer = Session::new(End::Acceptor, greeting("a"), now);
        let hello = Hello { versions: vec![7, 1], greeting: greeting("future") };
        newer.handle(now, Input::Received(Control::Hello(hello)));
        assert_eq!(outputs(&mut newer), [Output::Greeted(greeting("future"))]);
    }

    #[test]
    fn words_out_of_turn_close() {
        let now = start();
        let ack = || Control::HelloAck(HelloAck { version: 1, greeting: greeting("x") });
        let hello = || Control::Hello(Hello { versions: vec![1], greeting: greeting("x") });
        for (end, words) in [
            (End::Acceptor, vec![ack()]),
            (End::Acceptor, vec![Control::Published(None)]),
            (End::Acceptor, vec![Control::Offer { attempt: Bytes([1; 16]), offer: Vec::new() }]),
            (End::Acceptor, vec![hello(), hello()]),
            (End::Dialer, vec![hello()]),
            (End::Dialer, vec![ack(), ack()]),
        ] {
            let mut session = Session::new(end, greeting("x"), now);
            for word in words.clone() {
                session.handle(now, Input::Received(word));
            }
            assert_eq!(
                outputs(&mut session).last(),
                Some(&Output::Close(CloseCode::OutOfTurn)),
                "{end:?} {words:?}"
            );
            session.handle(now, Input::Received(hello()));
            assert_eq!(session.poll(), None, "closed is closed");
        }
    }
}
