//! The simulated network behaves as measured networks do.

use super::*;
use fyteclub_proto::number::{f64_of, u64_of};

const A: &str = "192.168.1.2:4000";
const ONE: &str = "198.51.100.1:3478";
const TWO: &str = "198.51.100.1:3479";
const THREE: &str = "198.51.100.9:5000";

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

/// One NAT without a network.
struct Bench {
    nat: Box<dyn Translate>,
    dice: Dice,
    now: Instant,
}

impl Bench {
    fn of(nat: impl Translate + 'static) -> Self {
        Self { nat: Box::new(nat), dice: Dice::new(1), now: start() }
    }

    fn out(&mut self, inside: &str, remote: &str) -> u16 {
        self.nat.outbound(self.now, &mut self.dice, addr(inside), addr(remote))
    }

    fn comes(&mut self, remote: &str, port: u16) -> Option<Inside> {
        self.nat.inbound(self.now, &mut self.dice, addr(remote), port)
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }
}

#[test]
fn cones_map_and_filter_as_configured() {
    let all = [Sees::Nothing, Sees::Address, Sees::AddressAndPort];
    for (m, maps) in all.into_iter().enumerate() {
        for (f, filters) in all.into_iter().enumerate() {
            let mut bench = Bench::of(Cone::new(maps, filters, Ports::Random));
            let port = bench.out(A, ONE);
            assert_eq!(bench.out(A, ONE), port, "a flow keeps its port");
            assert_eq!(bench.out(A, TWO) == port, m < 2, "{maps:?} another port of that address");
            assert_eq!(bench.out(A, THREE) == port, m < 1, "{maps:?} another address");
            let mut bench = Bench::of(Cone::new(maps, filters, Ports::Random));
            let port = bench.out(A, ONE);
            let inside = Some(Inside { to: addr(A), from: addr(ONE) });
            assert_eq!(bench.comes(ONE, port), inside);
            assert_eq!(bench.comes(TWO, port).is_some(), f < 2, "{maps:?} {filters:?} another port");
            assert_eq!(bench.comes(THREE, port).is_some(), f < 1, "{maps:?} {filters:?} another address");
            assert_eq!(bench.comes(ONE, port ^ 1), None, "a port that nobody has");
            // After a packet to that address, a filter by address lets it in.
            let called = bench.out(A, THREE);
            let comes = bench.comes(THREE, port).is_some();
            assert_eq!(comes, f < 2 || called == port, "{maps:?} {filters:?} after a call");
        }
    }
}

#[test]
fn cones_choose_and_expire_ports() {
    let cone = |ports| Cone::new(Sees::AddressAndPort, Sees::AddressAndPort, ports);
    let mut preserves = Bench::of(Cone::new(Sees::Nothing, Sees::Nothing, Ports::Preserve));
    assert_eq!(preserves.out(A, ONE), 4000);
    assert_ne!(preserves.out("192.168.1.3:4000", ONE), 4000, "the neighbour has it");
    let mut counts = Bench::of(cone(Ports::Sequential));
    let ports = [ONE, TWO, THREE].map(|remote| counts.out(A, remote));
    assert_eq!(ports, [20_000, 20_001, 20_002]);
    let long = Cone::new(Sees::Nothing, Sees::Nothing, Ports::Random).living(Duration::from_secs(60), false);
    let mut bench = Bench::of(long);
    let port = bench.out(A, ONE);
    assert_eq!(bench.wait(50).out(A, ONE), port);
    assert!(bench.wait(50).comes(ONE, port).is_some());
    assert_eq!(bench.wait(20).comes(ONE, port), None, "inbound packets did not refresh it");
    bench.nat.forward(7000, addr(A));
    bench.nat.forget();
    assert!(bench.comes(THREE, 7000).is_some(), "a forwarded port outlives a restart");
}

#[test]
fn masquerade_keeps_port_until_clash() {
    let neighbour = "192.168.1.3:4000";
    let mut bench = Bench::of(Conntrack::masquerade());
    assert_eq!(bench.out(neighbour, ONE), 4000);
    let clashed = bench.out(A, ONE);
    assert_ne!(clashed, 4000);
    assert_eq!((bench.out(A, TWO), bench.out(A, THREE)), (clashed, clashed));
    let mut bench = Bench::of(Conntrack::masquerade());
    assert_eq!(bench.out(neighbour, ONE), 4000);
    assert_eq!(bench.out(A, TWO), 4000);
    let clashed = bench.out(A, ONE);
    assert_eq!((bench.out(A, THREE), bench.out(A, TWO)), (clashed, 4000), "old flows keep theirs");
    let mut random = Bench::of(Conntrack::random());
    let ports = [ONE, TWO, THREE].map(|remote| random.out(A, remote));
    assert!(ports[0] != ports[1] && ports[1] != ports[2] && random.out(A, ONE) == ports[0]);
}

#[test]
fn masquerade_expires_streams_later() {
    let mut bench = Bench::of(Conntrack::masquerade());
    bench.out(A, ONE);
    assert!(bench.comes(ONE, 4000).is_some() && bench.comes(THREE, 4000).is_none());
    assert_eq!(bench.wait(31).comes(ONE, 4000), None);
    bench.out(A, ONE);
    bench.comes(ONE, 4000);
    bench.wait(3).out(A, ONE);
    assert!(bench.wait(100).comes(ONE, 4000).is_some(), "inbound packets refresh it");
    assert!(bench.wait(100).comes(ONE, 4000).is_some());
    assert_eq!(bench.wait(121).comes(ONE, 4000), None);
}

#[test]
fn forwarded_port_beside_own_flow_is_rewritten() {
    let mut bench = Bench::of(Conntrack::masquerade());
    bench.nat.forward(40_000, addr(A));
    let inside = bench.comes(THREE, 40_000).expect("forwarded");
    assert_eq!((inside.from, bench.out(A, THREE)), (addr(THREE), 40_000), "answers leave from it");
    let mut bench = Bench::of(Conntrack::masquerade());
    bench.nat.forward(40_000, addr(A));
    assert_eq!(bench.out(A, THREE), 4000, "own packets do not");
    let inside = bench.comes(THREE, 40_000).expect("forwarded");
    assert_ne!(inside.from, addr(THREE));
    assert_eq!(bench.out(A, &inside.from.to_string()), 40_000, "the answer arrives all the same");
    // Outside port = inside port: nothing is rewritten.
    let mut bench = Bench::of(Conntrack::masquerade());
    bench.nat.forward(4000, addr(A));
    assert_eq!(bench.out(A, THREE), 4000);
    assert_eq!(bench.comes(THREE, 4000), Some(Inside { to: addr(A), from: addr(THREE) }));
}

/// Two hosts, each behind a Linux router.
fn homes(open: [bool; 2]) -> (Net, [NodeId; 2]) {
    let mut net = Net::new(start(), 7);
    let home = |net: &mut Net, n: u8, open: bool| {
        let nat = if open { Conntrack::masquerade().open_input() } else { Conntrack::masquerade() };
        let router = net.router(None, Link::of_ms(5), [203, 0, 113, n].into(), nat, true);
        net.host(Some(router), Link::of_ms(1), &[[192, 168, n, 2].into()])
    };
    let hosts = [1, 2].map(|n| home(&mut net, n, open[usize::from(n) - 1]));
    (net, hosts)
}

/// Both hosts send six packets to each other's outside address, 100 ms apart and the second host 50 ms later, the first two
/// with TTL `first`. How many arrive at each.
fn punched(net: &mut Net, hosts: [NodeId; 2], first: u8) -> [usize; 2] {
    let mut got = [0; 2];
    let mut run = |net: &mut Net, until: Instant| {
        while net.deadline().is_some_and(|at| at <= until) {
            if let Some((host, _)) = net.step() {
                got[usize::from(host == hosts[1])] += 1;
            }
        }
        net.wait_until(until);
    };
    for n in 0..6 {
        let ttl = if n < 2 { first } else { TTL };
        for (side, host) in hosts.into_iter().enumerate() {
            let other =
                SocketAddr::new([203, 0, 113, 2 - u8::try_from(side).expect("a small number")].into(), 4000);
            net.send(host, 4000, other, ttl, vec![n]);
            let next = net.now() + Duration::from_millis(50);
            run(net, next);
        }
    }
    let end = net.now() + Duration::from_secs(1);
    run(net, end);
    got
}

#[test]
fn low_ttl_cures_open_input() {
    let (mut net, hosts) = homes([false, false]);
    assert_eq!(punched(&mut net, hosts, TTL), [6, 5], "the first packet is early");
    for open in [[true, true], [false, true]] {
        let (mut net, hosts) = homes(open);
        assert_eq!(punched(&mut net, hosts, TTL), [0, 0], "{open:?}");
        let later = net.now() + Duration::from_secs(10);
        net.wait_until(later);
        assert_eq!(punched(&mut net, hosts, 2), [0, 0], "{open:?}: for ever");
        let later = net.now() + Duration::from_secs(33);
        net.wait_until(later);
        assert_eq!(punched(&mut net, hosts, 2), [4, 4], "{open:?}: after silence, with a low TTL");
    }
    for open in [[true, true], [false, true], [true, false], [false, false]] {
        let (mut net, hosts) = homes(open);
        assert_eq!(punched(&mut net, hosts, 2), [4, 4], "{open:?}");
        assert_eq!(net.counts.expired, 4);
    }
}

/// What arrives of one packet.
fn arrives(net: &mut Net, host: NodeId, port: u16, to: SocketAddr, ttl: u8) -> Option<(NodeId, Packet)> {
    net.send(host, port, to, ttl, b"x".to_vec());
    let mut all = Vec::new();
    while net.deadline().is_some() {
        all.extend(net.step());
    }
    assert!(all.len() <= 1);
    all.pop()
}

#[test]
fn carrier_translates_a_second_time() {
    let mut net = Net::new(start(), 3);
    let cone = || Cone::new(Sees::Nothing, Sees::AddressAndPort, Ports::Random);
    let server = net.host(None, Link::of_ms(5), &[ip("198.51.100.1")]);
    let carrier = net.router(None, Link::of_ms(5), ip("203.0.113.5"), cone(), false);
    let homes = [1, 2].map(|n| {
        let outside = [100, 64, 0, n].into();
        let router = net.router(Some(carrier), Link::of_ms(1), outside, Conntrack::masquerade(), true);
        net.host(Some(router), Link::of_ms(1), &[[192, 168, 1, 2].into()])
    });
    let (at, packet) = arrives(&mut net, homes[0], 4000, addr("198.51.100.1:9"), TTL).expect("arrives");
    assert_eq!((at, packet.src.ip(), packet.ttl), (server, ip("203.0.113.5"), TTL - 3));
    let (at, back) = arrives(&mut net, server, 9, packet.src, TTL).expect("comes back");
    assert_eq!((at, back.dst, back.src), (homes[0], addr("192.168.1.2:4000"), addr("198.51.100.1:9")));
    assert_eq!(arrives(&mut net, server, 10, packet.src, TTL), None, "another port is not let in");
    // Without hairpin.
    assert_eq!(arrives(&mut net, homes[1], 4000, packet.src, TTL), None);
}

#[test]
fn hairpin_and_switch_reach_neighbours() {
    for hairpin in [true, false] {
        let mut net = Net::new(start(), 3);
        let cone = Cone::new(Sees::Nothing, Sees::Nothing, Ports::Preserve);
        let router = net.router(None, Link::of_ms(5), ip("203.0.113.5"), cone, hairpin);
        let hosts = [2, 3].map(|n| net.host(Some(router), Link::of_ms(1), &[[192, 168, 1, n].into()]));
        net.send(hosts[0], 4000, addr(ONE), TTL, Vec::new());
        while net.step().is_some() || net.deadline().is_some() {}
        let back = arrives(&mut net, hosts[1], 5000, addr("203.0.113.5:4000"), TTL);
        assert_eq!(
            back.map(|(at, packet)| (at, packet.src)),
            hairpin.then(|| (hosts[0], addr("203.0.113.5:5000")))
        );
        let near = arrives(&mut net, hosts[1], 5000, addr("192.168.1.2:4000"), 1);
        assert_eq!(near.map(|(_, packet)| packet.src), Some(addr("192.168.1.3:5000")));
    }
}

#[test]
fn low_ttl_opens_own_nat_only() {
    let (mut net, hosts) = homes([false, false]);
    net.hops = 3;
    let [a, b] = [addr("203.0.113.1:4000"), addr("203.0.113.2:4000")];
    assert_eq!(arrives(&mut net, hosts[0], 4000, b, 4), None);
    assert_eq!(net.counts.expired, 1);
    assert!(arrives(&mut net, hosts[1], 4000, a, TTL).is_some(), "let in by the first one's entry");
    assert_eq!(arrives(&mut net, hosts[0], 4000, b, 5), None, "dies in the last router");
    assert!(arrives(&mut net, hosts[0], 4000, b, 6).is_some());
    let router = net.nodes[hosts[1].0].behind.expect("a router");
    net.forward(router, 5000, addr("192.168.2.2:4000"));
    let mapped = arrives(&mut net, hosts[0], 4001, addr("203.0.113.2:5000"), TTL);
    assert_eq!(mapped.map(|(host, packet)| (host, packet.dst)), Some((hosts[1], addr("192.168.2.2:4000"))));
}

#[test]
fn ipv6_is_filtered_without_nat() {
    let mut net = Net::new(start(), 3);
    let home = |net: &mut Net, n: u16| {
        let router = net.router(
            None,
            Link::of_ms(5),
            [203, 0, 113, u8::try_from(n).expect("a small number")].into(),
            Conntrack::random(),
            true,
        );
        net.protect(router, Firewall::default());
        let v6 = IpAddr::from([0x2001, 0xdb8, n, 0, 0, 0, 0, 2]);
        (
            router,
            net.host(
                Some(router),
                Link::of_ms(1),
                &[[192, 168, u8::try_from(n).expect("a small number"), 2].into(), v6],
            ),
        )
    };
    let ((_, a), (router, b)) = (home(&mut net, 1), home(&mut net, 2));
    let [at_a, at_b] = [addr("[2001:db8:1::2]:4000"), addr("[2001:db8:2::2]:4000")];
    assert_eq!(arrives(&mut net, a, 4000, at_b, TTL), None, "nobody called");
    let (to, packet) = arrives(&mut net, b, 4000, at_a, TTL).expect("was called");
    assert_eq!((to, packet.src), (a, at_b));
    assert!(arrives(&mut net, a, 4000, at_b, TTL).is_some());
    net.restart(router);
    assert_eq!(arrives(&mut net, a, 4000, at_b, TTL), None, "forgotten");
    net.take(b, at_b.ip());
    assert_eq!(arrives(&mut net, a, 4000, at_b, TTL), None, "no such address");
    let moved = addr("[2001:db8:2::3]:4000");
    net.give(b, moved.ip());
    assert_eq!(arrives(&mut net, b, 4000, at_a, TTL), None, "from an address that was not called");
    assert!(arrives(&mut net, a, 4000, moved, TTL).is_some());
}

#[test]
fn blocked_udp_and_cut_lines_lose_all() {
    let mut net = Net::new(start(), 3);
    let [a, b] = [1, 2].map(|n| net.host(None, Link::of_ms(5), &[[198, 51, 100, n].into()]));
    let [at_a, at_b] = [1, 2].map(|n| SocketAddr::new([198, 51, 100, n].into(), 9));
    assert!(arrives(&mut net, a, 9, at_b, TTL).is_some());
    net.protect(b, Firewall::default());
    assert_eq!(arrives(&mut net, a, 9, at_b, TTL), None);
    assert!(arrives(&mut net, b, 9, at_a, TTL).is_some() && arrives(&mut net, a, 9, at_b, TTL).is_some());
    for stop in [0, 1, 2] {
        match stop {
            0 => net.set_udp(b, false),
            1 => net.set_udp(a, false),
            _ => net.link(b).cut = true,
        }
        assert_eq!((arrives(&mut net, a, 9, at_b, TTL), arrives(&mut net, b, 9, at_a, TTL)), (None, None));
        net.set_udp(a, true);
        net.set_udp(b, true);
    }
}

#[test]
fn lines_follow_their_probabilities() {
    let ms = Duration::from_millis;
    let (now, mut dice) = (start(), Dice::new(9));
    let link = Link { jitter: ms(4), loss: 0.1, duplicate: 0.1, reorder: 0.1, ..Link::of_ms(20) };
    let all: Vec<Vec<Instant>> = (0..10_000).map(|_| link.arrivals(now, &mut dice)).collect();
    let share = |count: usize| f64_of(u64_of(count)) / 10_000.0;
    assert!((share(all.iter().filter(|copies| copies.is_empty()).count()) - 0.1).abs() < 0.02);
    assert!((share(all.iter().filter(|copies| copies.len() == 2).count()) - 0.09).abs() < 0.02);
    let late = |at: &&Instant| **at > now + ms(24);
    assert!((share(all.iter().flatten().filter(late).count()) - 0.1).abs() < 0.03);
    assert!(all.iter().flatten().all(|at| (now + ms(20)..=now + ms(64)).contains(at)));
    let mut again = Dice::new(9);
    assert!(
        all.iter().all(|copies| *copies == link.arrivals(now, &mut again)),
        "the same seed, the same line"
    );
}
