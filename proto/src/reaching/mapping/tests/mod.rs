//! The machine against routers as `miniupnpd` and others were seen to behave, under virtual time.

mod leftovers;
mod router;
mod routers;

use super::*;
use router::Router;
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

const BOTH: Switches = Switches { upnp: true, nat_pmp: true };
const HOST: [u8; 4] = [192, 168, 1, 5];
const GATEWAY: [u8; 4] = [192, 168, 1, 1];
const WAN: [u8; 4] = [11, 22, 33, 44];
const PORT: u16 = 41_234;
const NONCE: pcp::Nonce = [7; 12];
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn uplink() -> Uplink {
    Uplink::new(HOST.into(), 24, Some(GATEWAY.into())).expect("a network")
}

/// What comes to the machine later.
enum Event {
    Received(Vec<u8>),
    Refused,
    Found(Device),
    Searched,
    Answered(Result<Reply, Refusal>),
}

/// One machine of the home, and its router.
struct Home {
    start: Instant,
    now: Instant,
    machine: Mappings,
    router: Router,
    coming: VecDeque<(Instant, Event)>,
    journal: Journal,
    /// Everything that left, and when.
    sent: Vec<(Instant, Output)>,
    told: Vec<SocketAddrV4>,
}

impl Home {
    fn new(router: Router) -> Self {
        Self::with(router, BOTH, Journal::default())
    }

    fn with(router: Router, switches: Switches, journal: Journal) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let start = Instant::now();
        let machine = Mappings::new(switches, PORT, journal.clone());
        let (coming, sent, told) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut home = Self { start, now: start, machine, router, coming, journal, sent, told };
        home.router.start(start);
        home.say(Input::Uplinks(vec![(uplink(), NONCE)]));
        home
    }

    fn say(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, 0.5, input);
        while let Some(output) = self.machine.poll() {
            let later = |event| (self.now + Duration::from_millis(2), event);
            match &output {
                Output::Keep(journal) => self.journal = journal.clone(),
                Output::Send { local, gateway, bytes } => {
                    assert_eq!((local.octets(), gateway.octets()), (HOST, GATEWAY));
                    match self.router.hear(self.now, bytes) {
                        router::Reaction::Answers(answers) => {
                            self.coming.extend(answers.into_iter().map(Event::Received).map(later));
                        }
                        router::Reaction::NobodyListens => self.coming.push_back(later(Event::Refused)),
                    }
                }
                Output::Search { .. } => {
                    self.coming.retain(|(_, event)| !matches!(event, Event::Found(_) | Event::Searched));
                    let found = self.router.devices();
                    self.coming.extend(found.into_iter().map(Event::Found).map(later));
                    self.coming.push_back((self.now + SEARCH_TIME, Event::Searched));
                }
                Output::Ask { device, action, .. } => {
                    self.coming.retain(|(_, event)| !matches!(event, Event::Answered(_)));
                    if let Some(reply) = self.router.ask(self.now, *device, *action) {
                        self.coming.push_back(later(Event::Answered(reply)));
                    }
                }
                Output::Changed { .. } => {}
                Output::Mapped(told) => self.told = told.clone(),
            }
            self.sent.push((self.now, output));
        }
    }

    /// Until so long after the beginning.
    fn run_to(&mut self, after: Duration) {
        let end = self.start + after;
        loop {
            let next = self.coming.iter().map(|(at, _)| *at).min();
            let deadline = self.machine.deadline().map(|(at, _)| at);
            let Some(at) = next.into_iter().chain(deadline).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            let local = HOST.into();
            match self.coming.iter().position(|(due, _)| *due <= self.now) {
                Some(place) => match self.coming.remove(place).expect("found").1 {
                    Event::Received(bytes) => self.say(Input::Received { local, bytes: &bytes }),
                    Event::Refused => self.say(Input::Refused { local }),
                    Event::Found(device) => self.say(Input::Found { local, device }),
                    Event::Searched => self.say(Input::Searched { local }),
                    Event::Answered(reply) => self.say(Input::Answered { local, reply }),
                },
                None => self.say(Input::Time),
            }
        }
        self.now = end;
    }

    fn run(&mut self, more: Duration) {
        let after = self.now - self.start + more;
        self.run_to(after);
    }

    fn mapped(&self) -> Option<(SocketAddr, By)> {
        match self.machine.standing() {
            Standing::Mapped { outside, by, .. } => {
                assert_eq!(self.told, [outside]);
                Some((outside.into(), by))
            }
            Standing::Searching | Standing::Without(_) => {
                assert!(self.told.is_empty());
                None
            }
        }
    }

    fn cause(&self) -> Option<Cause> {
        match self.machine.standing() {
            Standing::Without(cause) => Some(cause),
            Standing::Mapped { .. } | Standing::Searching => None,
        }
    }

    /// What went to routers since then.
    fn packets_since(&self, then: Instant) -> usize {
        let leaves = |output: &Output| {
            matches!(output, Output::Send { .. } | Output::Search { .. } | Output::Ask { .. })
        };
        self.sent.iter().filter(|(at, output)| *at > then && leaves(output)).count()
    }

    /// The process ends and starts again, without a word to the router.
    fn killed(self, inside: u16) -> Self {
        let Self { start, now, router, journal, .. } = self;
        // As it is on the disk.
        let text = serde_json::to_vec(&journal).expect("JSON");
        let journal: Journal = serde_json::from_slice(&text).expect("a journal");
        let machine = Mappings::new(BOTH, inside, journal.clone());
        let (coming, sent, told) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut home = Self { start, now, machine, router, coming, journal, sent, told };
        home.say(Input::Uplinks(vec![(uplink(), [8; 12])]));
        home
    }
}

/// Every mapping that a router is asked for is on the disk before.
fn assert_noted_before_asked(home: &Home) {
    let mut noted = Journal::default();
    let mut asked = 0;
    for (_, output) in &home.sent {
        let wish = match output {
            Output::Keep(journal) => {
                noted = journal.clone();
                continue;
            }
            Output::Send { bytes, .. } if bytes.len() == 60 && bytes[4..8] != [0; 4] => (By::Pcp, PORT),
            Output::Send { bytes, .. } if bytes.len() == 12 && bytes[8..12] != [0; 4] => (By::NatPmp, PORT),
            Output::Ask { action: Action::Add { outside, .. }, .. } => (By::Upnp, *outside),
            _ => continue,
        };
        asked += 1;
        assert!(noted.mappings.iter().any(|entry| (entry.by, entry.outside) == wish), "{wish:?} {noted:?}");
    }
    assert!(asked > 0, "nothing was asked for");
}

fn outside(port: u16) -> SocketAddr {
    (IpAddr::from(WAN), port).into()
}
