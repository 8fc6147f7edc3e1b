//! The client against servers that respond as a table says.

use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

const ONE: &str = "198.51.100.1:3478";
const TWO: &str = "198.51.100.1:3479";
const SEEN: &str = "203.0.113.7:4000";
const OTHER: &str = "203.0.113.7:4001";

struct World {
    start: Instant,
    now: Instant,
    client: StunClient,
    /// What each server sees; a server that is missing is silent.
    sees: Vec<(SocketAddr, SocketAddr)>,
    /// Requests: milliseconds and server.
    sent: Vec<(u64, SocketAddr)>,
    told: Vec<(u64, Output)>,
    coming: Vec<(Instant, Response)>,
}

impl World {
    fn new(sees: &[(&str, &str)]) -> Self {
        let start = start();
        let client = StunClient::new([7; 32].into());
        let (sent, told, coming) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = Self { start, now: start, client, sees: Vec::new(), sent, told, coming };
        world.see(sees);
        world
    }

    fn see(&mut self, sees: &[(&str, &str)]) {
        self.sees = sees.iter().map(|(server, seen)| (addr(server), addr(seen))).collect();
    }

    fn servers() -> Input {
        Input::Servers(vec![Server { kept: addr(ONE), fresh: addr(TWO) }])
    }

    fn ms(&self) -> u64 {
        crate::number::millis(self.now.duration_since(self.start))
    }

    fn give(&mut self, input: Input) {
        self.client.handle(self.now, input);
        while let Some(output) = self.client.poll() {
            match output {
                Output::Send { to, request } => {
                    self.sent.push((self.ms(), to));
                    let Request { transaction } = Request::decode(&request).expect("a request");
                    if let Some((_, mapped)) = self.sees.iter().find(|(server, _)| *server == to) {
                        let response = Response { transaction, mapped: *mapped };
                        self.coming.push((self.now + Duration::from_millis(100), response));
                    }
                }
                told => self.told.push((self.ms(), told)),
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let coming = self.coming.iter().map(|(at, _)| *at).min();
            let due = self.client.deadline().map(|(at, _)| at);
            let Some(next) = coming.into_iter().chain(due).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            match self.coming.iter().position(|(at, _)| *at <= self.now) {
                Some(at) => {
                    let response = self.coming.remove(at).1;
                    self.give(Input::Received(response));
                }
                None => self.give(Input::Time),
            }
        }
        self.now = end;
    }

    fn told(&mut self) -> Vec<(u64, Output)> {
        std::mem::take(&mut self.told)
    }
}

fn outside(addr_: &str, nat: Nat) -> Outside {
    Outside { addr: Some(addr(addr_)), nat }
}

#[test]
fn two_ports_classify_the_nat() {
    for (sees, local, expected) in [
        (&[(ONE, SEEN), (TWO, SEEN)][..], "10.0.0.5", outside(SEEN, Nat::Same)),
        (&[(ONE, SEEN), (TWO, OTHER)], "10.0.0.5", outside(OTHER, Nat::PerDestination)),
        (&[(ONE, SEEN), (TWO, SEEN)], "203.0.113.7", outside(SEEN, Nat::Open)),
        (&[(TWO, SEEN)], "10.0.0.5", outside(SEEN, Nat::Unknown)),
        (&[(ONE, SEEN)], "10.0.0.5", outside(SEEN, Nat::Unknown)),
        (&[], "10.0.0.5", Outside { addr: None, nat: Nat::Blocked }),
    ] {
        let mut world = World::new(sees);
        world.give(Input::Local(vec![local.parse().expect("an address")]));
        world.give(World::servers());
        world.run(5000);
        let last = world.told().pop().map(|(_, told)| told);
        assert_eq!(last, Some(Output::Changed(expected)), "{sees:?}");
        assert_eq!(world.client.outside(), expected);
    }
}

#[test]
fn second_server_shows_mapping_by_address() {
    let (three, four) = ("192.0.2.1:3478", "192.0.2.1:3479");
    let mut world = World::new(&[(ONE, SEEN), (TWO, SEEN), (three, OTHER), (four, OTHER)]);
    let pair = |kept, fresh| Server { kept: addr(kept), fresh: addr(fresh) };
    world.give(Input::Servers(vec![pair(ONE, TWO), pair(three, four)]));
    world.run(1000);
    assert_eq!(world.client.outside().nat, Nat::PerDestination);
}

#[test]
fn kept_flow_is_not_the_fresh_one() {
    let three = "192.0.2.1:3478";
    let pair = |kept, fresh| Server { kept: addr(kept), fresh: addr(fresh) };
    for (servers, fresh) in [
        (vec![pair(three, three), pair(ONE, TWO)], TWO),
        (vec![pair(ONE, TWO), pair(three, three)], TWO),
        (vec![pair(three, three), pair(ONE, ONE)], ONE),
    ] {
        let mut world = World::new(&[(ONE, SEEN), (TWO, OTHER), (three, SEEN)]);
        world.give(Input::Servers(servers));
        world.run(40_000);
        world.told();
        world.sent.clear();
        world.give(Input::Want);
        assert_eq!(world.sent.first().map(|(_, to)| *to), Some(addr(fresh)));
        world.run(1000);
        assert!(matches!(world.told()[..], [(_, Output::Fresh(_))]), "each wish is answered once");
    }
}

#[test]
fn fresh_flow_gives_the_address() {
    let mut world = World::new(&[(ONE, SEEN), (TWO, SEEN)]);
    world.give(World::servers());
    world.run(40_000);
    world.told();
    world.see(&[(ONE, SEEN), (TWO, OTHER)]);
    world.give(Input::Want);
    world.give(Input::Want);
    world.run(1000);
    let fresh = outside(OTHER, Nat::PerDestination);
    assert_eq!(world.told(), [(40_100, Output::Fresh(fresh)), (40_100, Output::Changed(fresh))]);
}

#[test]
fn kept_port_is_asked_every_24_s_and_fresh_is_not() {
    let mut world = World::new(&[(ONE, SEEN), (TWO, SEEN)]);
    world.give(World::servers());
    world.run(100_000);
    let to = |port: &str| -> Vec<u64> {
        world.sent.iter().filter(|(_, to)| *to == addr(port)).map(|(ms, _)| *ms).collect()
    };
    assert_eq!(to(ONE), [0, 24_000, 48_000, 72_000, 96_000]);
    assert_eq!(to(TWO), [0]);
}

#[test]
fn request_is_sent_four_times() {
    let mut world = World::new(&[]);
    world.give(World::servers());
    world.give(Input::Want);
    world.run(3000);
    let times: Vec<u64> = world.sent.iter().filter(|(_, to)| *to == addr(TWO)).map(|(ms, _)| *ms).collect();
    assert_eq!(times, [0, 150, 450, 1050]);
    let blocked = Outside { addr: None, nat: Nat::Blocked };
    assert_eq!(world.told(), [(2250, Output::Fresh(blocked)), (2250, Output::Changed(blocked))]);
}

#[test]
fn late_kept_response_delays_by_200_ms() {
    let mut world = World::new(&[(TWO, SEEN)]);
    world.give(World::servers());
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.told()[0], (300, Output::Fresh(outside(SEEN, Nat::Unknown))));
}

#[test]
fn new_mapping_of_kept_flow_is_told() {
    let mut world = World::new(&[(ONE, SEEN), (TWO, SEEN)]);
    world.give(World::servers());
    world.run(20_000);
    world.told();
    world.see(&[(ONE, OTHER), (TWO, OTHER)]);
    world.run(10_000);
    assert_eq!(world.told(), [(24_200, Output::Changed(outside(OTHER, Nat::Same)))]);
    world.see(&[]);
    world.run(40_000);
    let blocked = Outside { addr: None, nat: Nat::Blocked };
    assert_eq!(world.told().pop().map(|(_, told)| told), Some(Output::Changed(blocked)));
    world.see(&[(ONE, SEEN), (TWO, SEEN)]);
    world.run(40_000);
    assert_eq!(world.client.outside(), outside(SEEN, Nat::Same), "UDP is back");
}

#[test]
fn forged_and_late_responses_are_ignored() {
    let mut world = World::new(&[(ONE, SEEN), (TWO, SEEN)]);
    world.give(World::servers());
    world.give(Input::Received(Response { transaction: Bytes([1; 12]), mapped: addr(OTHER) }));
    world.run(1000);
    assert_eq!(world.client.outside(), outside(SEEN, Nat::Same));
    // A response to a request of the former network.
    world.give(Input::Moved);
    let late = world.coming.clone();
    world.give(Input::Moved);
    world.coming.retain(|response| !late.contains(response));
    for (_, late) in late {
        world.give(Input::Received(Response { mapped: addr(OTHER), ..late }));
    }
    world.run(1000);
    assert_eq!(world.client.outside(), outside(SEEN, Nat::Same));
}

#[test]
fn wish_without_servers_is_answered() {
    let mut world = World::new(&[]);
    world.give(Input::Want);
    assert_eq!(world.told(), [(0, Output::Fresh(Outside::default()))]);
    assert_eq!(world.client.deadline(), None);
}
