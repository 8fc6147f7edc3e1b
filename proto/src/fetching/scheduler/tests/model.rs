//! The scheduler against a reference: for random events the bounds hold, priorities are kept, prefetches run alone and
//! within the budget, and in the end everybody has had a turn.

use crate::{
    fetching::scheduler::*,
    limit::{FLOWS_ALL_MAX, FLOWS_MAX, PREFETCH_AGE},
};
use proptest::{prelude::*, test_runner::RngSeed};
use std::collections::{BTreeSet, HashMap};

const PEERS: u8 = 9;
const BUDGET: u64 = 1000;

fn id(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u8),
    Leave(u8),
    Near(BTreeMap<u8, u8>),
    Link(u8),
    Offer(u8, Option<u8>),
    Part(u8),
    /// The missing bytes of a flow, if not reported yet.
    Plan(u8, u64),
    Move(u8, u64),
    End(u8, u8),
    DiskSpace(bool),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0..PEERS;
    let step = prop_oneof![
        3 => who().prop_map(Step::Ask),
        1 => who().prop_map(Step::Leave),
        3 => proptest::collection::btree_map(who(), any::<u8>(), 0..8).prop_map(Step::Near),
        4 => who().prop_map(Step::Link),
        2 => (who(), proptest::option::weighted(0.8, 0..4_u8)).prop_map(|(who, look)| Step::Offer(who, look)),
        1 => who().prop_map(Step::Part),
        3 => (who(), 0..1500_u64).prop_map(|(who, bytes)| Step::Plan(who, bytes)),
        6 => (who(), 1..600_u64).prop_map(|(who, bytes)| Step::Move(who, bytes)),
        4 => (who(), 0..4_u8).prop_map(|(who, end)| Step::End(who, end)),
        1 => any::<bool>().prop_map(Step::DiskSpace),
        2 => prop_oneof![8 => 1..30_u32, 3 => Just(400), 1 => Just(90_000)].prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..120)
}

/// The reference's state.
struct World {
    now: Instant,
    scheduler: Scheduler,
    has_space: bool,
    asked: Vec<u8>,
    near: BTreeMap<u8, u8>,
    links: BTreeSet<u8>,
    offers: HashMap<u8, Option<u8>>,
    held: HashMap<u8, u8>,
    declined: HashMap<u8, u8>,
    /// Number of failures, and the pause's end.
    rests: HashMap<u8, (u32, Instant)>,
    /// The time of the last progress.
    flows: BTreeMap<u8, Instant>,
    /// Missing bytes of a running flow.
    missing: HashMap<u8, u64>,
    reaching: HashMap<u8, Instant>,
    /// Prefetched and unused.
    unused: Vec<(Instant, u8, u64)>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            scheduler: Scheduler::new(BUDGET, now),
            has_space: true,
            asked: Vec::new(),
            near: BTreeMap::new(),
            links: BTreeSet::new(),
            offers: HashMap::new(),
            held: HashMap::new(),
            declined: HashMap::new(),
            rests: HashMap::new(),
            flows: BTreeMap::new(),
            missing: HashMap::new(),
            reaching: HashMap::new(),
            unused: Vec::new(),
        }
    }

    fn needed(&self, who: u8) -> bool {
        self.asked.contains(&who) || self.near.contains_key(&who)
    }

    fn rests(&self, who: u8) -> bool {
        self.rests.get(&who).is_some_and(|(_, until)| self.now < *until)
    }

    fn offered(&self, who: u8) -> Option<u8> {
        self.offers.get(&who).copied().flatten()
    }

    fn waits(&self, who: u8) -> bool {
        if !self.links.contains(&who) || self.flows.contains_key(&who) {
            return false;
        }
        let news = self
            .offered(who)
            .is_some_and(|look| self.held.get(&who) != Some(&look) && self.declined.get(&who) != Some(&look));
        self.asked.contains(&who) || (news && !self.rests(who))
    }

    fn moving(&self, who: u8) -> bool {
        self.flows.get(&who).is_some_and(|at| self.now < *at + STALLED_AFTER)
    }

    fn unused(&self) -> u64 {
        let young = self.unused.iter().filter(|(at, ..)| self.now < *at + PREFETCH_AGE);
        young.map(|(.., bytes)| bytes).sum()
    }

    fn failed(&mut self, who: u8) {
        let failures = self.rests.get(&who).map_or(0, |(failures, _)| *failures);
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
        self.rests.insert(who, (failures + 1, self.now + pause));
    }

    fn tell(&mut self, input: Input) -> Result<(), TestCaseError> {
        self.scheduler.handle(self.now, input);
        let mut places = FLOWS_MAX;
        while let Some(output) = self.scheduler.poll() {
            let number = |peer: PeerId| peer.as_bytes()[0];
            match output {
                Output::Begin(peer) => {
                    let who = number(peer);
                    prop_assert!(self.waits(who), "{who} was not waiting");
                    prop_assert!((0..PEERS).filter(|who| self.moving(*who)).count() < places);
                    prop_assert!(self.needed(who) || (self.has_space && self.unused() < BUDGET));
                    self.flows.insert(who, self.now);
                }
                Output::Stop(peer) => {
                    let who = number(peer);
                    prop_assert!(!self.asked.contains(&who), "{who} is waited for");
                    prop_assert!(self.flows.remove(&who).is_some(), "{who} did not flow");
                    self.missing.remove(&who);
                    // One for one, also where stalled ones move again.
                    places = places.max(PEERS.into());
                }
                Output::Reach(peer) => {
                    let who = number(peer);
                    prop_assert!(self.near.contains_key(&who) && !self.links.contains(&who));
                    prop_assert!(!self.rests(who) && self.reaching.insert(who, self.now).is_none());
                }
            }
        }
        self.holds()
    }

    /// The invariants between inputs.
    fn holds(&self) -> Result<(), TestCaseError> {
        let moving = (0..PEERS).filter(|who| self.moving(*who)).count();
        prop_assert!(self.flows.len() <= FLOWS_ALL_MAX, "{:?}", self.flows);
        prop_assert!(self.reaching.len() <= REACHES_MAX);
        prop_assert!(self.unused() <= BUDGET, "{} were brought unasked", self.unused());
        let waiting: Vec<u8> = (0..PEERS).filter(|who| self.waits(*who)).collect();
        let unneeded: BTreeSet<u8> = self.flows.keys().copied().filter(|who| !self.needed(*who)).collect();
        if !unneeded.is_empty() {
            prop_assert_eq!(self.flows.len(), 1, "what nobody needs flows beside others");
            prop_assert!(!waiting.iter().any(|who| self.needed(*who)), "somebody waits behind a prefetch");
            prop_assert!(self.has_space);
        }
        for who in waiting.iter().filter(|who| self.needed(**who)) {
            prop_assert!(moving >= FLOWS_MAX, "{} waits and there is a place", who);
            let asked = self.asked.contains(who);
            for flowing in self.flows.keys().filter(|flowing| self.moving(**flowing)) {
                if self.asked.contains(flowing) {
                    continue;
                }
                prop_assert!(!asked, "{} is waited for and stands behind {}", who, flowing);
                let (here, there) = (u32::from(self.near[who]), u32::from(self.near[flowing]));
                prop_assert!(here * 2 >= there, "{} is much nearer than {}", who, flowing);
            }
        }
        // The queue's order: asked ones in the order of asking, then near ones by distance, then the rest.
        let line: Vec<u8> = self.scheduler.line().iter().map(|peer| peer.as_bytes()[0]).collect();
        let rank = |who: &u8| match self.asked.iter().position(|asked| asked == who) {
            Some(place) => (0, place),
            None => self.near.get(who).map_or((2, 0), |distance| (1, usize::from(*distance))),
        };
        prop_assert!(line.iter().map(rank).is_sorted(), "{:?}", line);
        prop_assert!(waiting.iter().filter(|who| self.needed(**who)).all(|who| line.contains(who)));
        Ok(())
    }

    fn used(&mut self, who: u8) {
        self.unused.retain(|(_, of, _)| *of != who);
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Ask(who) => {
                if !self.asked.contains(&who) {
                    self.asked.push(who);
                }
                self.used(who);
                self.declined.remove(&who);
                self.tell(Input::Asked(id(who)))
            }
            Step::Leave(who) => {
                let waited = self.asked.len();
                self.asked.retain(|asked| *asked != who);
                if waited > self.asked.len() && !self.needed(who) && self.flows.contains_key(&who) {
                    self.decline(who);
                }
                self.tell(Input::Unasked(id(who)))
            }
            Step::Near(near) => {
                near.keys().for_each(|who| self.used(*who));
                self.near = near;
                let near = self.near.iter();
                let near = near.map(|(who, far)| (id(*who), f64::from(*far).try_into().expect("a distance")));
                self.tell(Input::Nearby(near.collect()))
            }
            Step::Link(who) => {
                self.reaching.remove(&who);
                self.links.insert(who);
                let offers = *self.offers.entry(who).or_insert(Some(0));
                self.tell(Input::Linked { peer: id(who), offers: offers.map(hash) })
            }
            Step::Offer(who, look) if self.links.contains(&who) => {
                // The missing bytes of another look are unknown.
                if self.offers.insert(who, look) != Some(look) {
                    self.missing.remove(&who);
                }
                self.tell(Input::Offers { peer: id(who), look: look.map(hash) })
            }
            Step::Part(who) if self.links.remove(&who) => self.tell(Input::Parted(id(who))),
            Step::Plan(who, bytes) if self.flows.contains_key(&who) && !self.missing.contains_key(&who) => {
                self.missing.insert(who, bytes);
                self.flows.insert(who, self.now);
                self.tell(Input::Planned { peer: id(who), bytes })
            }
            Step::Move(who, bytes) => {
                let Some(missing) = self.missing.get_mut(&who) else { return Ok(()) };
                let bytes = bytes.min(*missing);
                *missing -= bytes;
                self.flows.insert(who, self.now);
                if !self.needed(who) {
                    self.unused.push((self.now, who, bytes));
                }
                self.tell(Input::Moved { peer: id(who), bytes })
            }
            Step::End(who, end) => self.end(who, end),
            Step::DiskSpace(has_space) => {
                self.has_space = has_space;
                self.tell(Input::DiskSpace(has_space))
            }
            Step::Wait(seconds) => self.wait(Duration::from_secs(seconds.into())),
            Step::Offer(..) | Step::Part(_) | Step::Plan(..) => Ok(()),
        }
    }

    fn end(&mut self, who: u8, end: u8) -> Result<(), TestCaseError> {
        if self.flows.remove(&who).is_none() {
            return Ok(());
        }
        self.missing.remove(&who);
        self.asked.retain(|asked| *asked != who);
        let offered = self.offered(who);
        let end = match (end, offered) {
            (0, _) => {
                self.failed(who);
                End::Failed
            }
            (1, _) => {
                self.decline(who);
                End::Declined
            }
            _ => {
                let look = offered.unwrap_or(9);
                self.rests.remove(&who);
                self.held.insert(who, look);
                End::Here(hash(look))
            }
        };
        self.tell(Input::Ended { peer: id(who), end })
    }

    fn decline(&mut self, who: u8) {
        match self.offered(who) {
            Some(look) => self.declined.insert(who, look),
            None => self.declined.remove(&who),
        };
    }

    /// Advances time, from one deadline to the next.
    fn wait(&mut self, time: Duration) -> Result<(), TestCaseError> {
        let until = self.now + time;
        while let Some((at, _)) = self.scheduler.deadline().filter(|(at, _)| *at <= until) {
            prop_assert!(at > self.now, "a deadline that does not pass");
            self.now = at;
            self.late();
            self.tell(Input::Time)?;
        }
        self.now = until;
        self.late();
        self.tell(Input::Time)
    }

    /// Lookups that took too long failed.
    fn late(&mut self) {
        let late: Vec<u8> = self
            .reaching
            .iter()
            .filter(|(_, at)| self.now >= **at + REACH_TIME)
            .map(|(who, _)| *who)
            .collect();
        for who in late {
            self.reaching.remove(&who);
            self.failed(who);
        }
    }
}

fn hash(look: u8) -> BlobHash {
    BlobHash::of(&[look])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(23), ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_every_look_gets_a_turn(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step)?;
        }
        // From now on all goes well: old prefetched bytes expire, everybody links, everything arrives.
        world.step(Step::Wait(90_000))?;
        world.step(Step::DiskSpace(true))?;
        for who in 0..PEERS {
            world.step(Step::Link(who))?;
            world.step(Step::Offer(who, Some(7)))?;
        }
        for _ in 0..4 * usize::from(PEERS) {
            for who in world.flows.keys().copied().collect::<Vec<_>>() {
                world.step(Step::End(who, 3))?;
            }
            world.wait(LONGEST_PAUSE)?;
        }
        prop_assert!(world.flows.is_empty() && world.asked.is_empty());
        for who in 0..PEERS {
            prop_assert_eq!(world.held.get(&who), Some(&7), "{} never came", who);
        }
    }
}
