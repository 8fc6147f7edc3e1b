//! Routers of every kind: what is mapped, when it is renewed, and what is said where nothing is.

use super::*;

#[test]
fn each_kind_of_router_maps_the_local_port() {
    for (pcp, pmp, upnp, by) in [
        (true, true, true, By::Pcp),
        (true, false, false, By::Pcp),
        (false, true, true, By::NatPmp),
        (false, true, false, By::NatPmp),
        (false, false, true, By::Upnp),
    ] {
        for says_closed in [true, false] {
            let mut home = Home::new(Router { says_closed, ..Router::new(pcp, pmp, upnp) });
            assert_eq!(home.machine.standing(), Standing::Searching);
            home.run_to(2 * SECOND);
            assert_eq!(home.mapped(), Some((outside(PORT), by)), "{pcp} {pmp} {upnp}");
            assert_eq!(home.router.forwards(home.now), [(PORT, PORT)]);
            assert_noted_before_asked(&home);
            // For a day, and never a second without.
            for hour in 1..=24 {
                home.run_to(hour * HOUR);
                assert_eq!(home.router.forwards(home.now), [(PORT, PORT)], "{by} {hour}");
            }
            assert_eq!(home.mapped(), Some((outside(PORT), by)));
        }
    }
}

#[test]
fn grant_is_renewed_at_half_and_forever_daily() {
    for (by, most, half) in [
        (By::Pcp, 3600, 1800),
        (By::NatPmp, 120, 60),
        (By::Upnp, 3600, 1800),
        (By::Upnp, 600, 300),
        (By::Upnp, 0, 86_400),
        (By::NatPmp, 1, 4),
    ] {
        let kinds = (by == By::Pcp, by == By::NatPmp, by == By::Upnp);
        let mut home = Home::new(Router { most, ..Router::new(kinds.0, kinds.1, kinds.2) });
        home.run_to(3 * SECOND);
        let asked: Vec<Instant> = {
            home.run_to(Duration::from_secs(half + 60));
            let asks = |output: &Output| match output {
                Output::Send { bytes, .. } => bytes.len() >= 12 && bytes.len() != 24,
                Output::Ask { action: Action::Add { seconds, .. }, .. } => (*seconds == 0) == (most == 0),
                _ => false,
            };
            home.sent.iter().filter(|(_, output)| asks(output)).map(|(at, _)| *at).collect()
        };
        let first = asked.first().expect("asked");
        let renewed = asked.iter().find(|at| **at > *first + SECOND).expect("renewed");
        let after = (*renewed - *first).as_secs_f64();
        assert!((after - half as f64).abs() < 2.0, "{by} {most}: renewed after {after} s");
    }
}

#[test]
fn behind_another_router_is_one_cause_for_all() {
    let private = |ip: [u8; 4]| Some(Ipv4Addr::from(ip));
    for (pcp, pmp, upnp) in
        [(true, false, false), (false, true, false), (false, false, true), (true, true, true)]
    {
        for wan in [None, private([192, 168, 0, 2]), private([10, 1, 2, 3]), private([100, 64, 5, 6])] {
            // A router that knows says so; another one maps happily.
            for knows in [true, false] {
                let mut home = Home::new(Router { wan, knows, ..Router::new(pcp, pmp, upnp) });
                home.run_to(20 * SECOND);
                assert_eq!(home.cause(), Some(Cause::AnotherRouter), "{pcp} {pmp} {upnp} {wan:?} {knows}");
                assert_eq!(home.router.forwards(home.now), [], "what leads nowhere is removed");
                assert_eq!(home.journal, Journal::default());
                let then = home.now;
                home.run_to(HOUR);
                assert_eq!(home.packets_since(then), 0, "asked again and again");
                // The provider gives a public address.
                home.router.wan = Some(WAN.into());
                home.run(HOUR);
                assert_eq!(home.mapped().map(|(addr, _)| addr), Some(outside(PORT)));
            }
        }
    }
}

#[test]
fn refusals_are_told_by_their_cause() {
    for (code, cause) in [(606, Cause::Forbidden), (501, Cause::AnotherRouter), (401, Cause::Failed)] {
        let mut home = Home::new(Router { upnp_code: Some(code), ..Router::new(false, false, true) });
        home.run_to(20 * SECOND);
        assert_eq!(home.cause(), Some(cause), "{code}");
    }
    let mut home = Home::new(Router::new(false, false, false));
    home.run_to(20 * SECOND);
    assert_eq!(home.cause(), Some(Cause::NoRouter));
    // Searched for rarely, and found when it is switched on.
    let then = home.now;
    home.run_to(24 * HOUR);
    assert!(home.packets_since(then) < 40 * 6, "{}", home.packets_since(then));
    home.router.upnp = true;
    home.run(HOUR + MINUTE);
    assert_eq!(home.mapped(), Some((outside(PORT), By::Upnp)));
}

#[test]
fn lost_packets_are_sent_again() {
    for loses in 1..=4 {
        let mut home = Home::new(Router { loses, ..Router::new(true, true, false) });
        home.run_to(2 * SECOND);
        assert!(home.mapped().is_some(), "{loses} lost");
    }
}

#[test]
fn restarted_router_is_asked_at_once_by_its_word() {
    for (pcp, pmp) in [(true, true), (false, true)] {
        let mut home = Home::new(Router::new(pcp, pmp, true));
        // Between two checks.
        home.run_to(9 * MINUTE);
        let before = home.mapped();
        home.router.restart(home.now);
        home.run(SECOND);
        assert_eq!(home.router.forwards(home.now), []);
        let word = home.router.announcement(home.now);
        home.say(Input::Announced { from: GATEWAY.into(), bytes: &word });
        home.run(SECOND);
        assert_eq!(home.router.forwards(home.now), [(PORT, PORT)]);
        assert_eq!(home.mapped(), before);
    }
}

#[test]
fn restarted_router_is_noticed_without_a_word() {
    for (pcp, pmp, upnp) in [(true, true, false), (false, true, false), (false, false, true)] {
        let mut home = Home::new(Router::new(pcp, pmp, upnp));
        home.run_to(10 * MINUTE);
        home.router.restart(home.now);
        home.run(2 * MINUTE + 10 * SECOND);
        assert_eq!(home.router.forwards(home.now), [(PORT, PORT)], "{pcp} {pmp} {upnp}");
        // Off for a while: what it granted is told until then.
        home.router.off = true;
        home.run(5 * MINUTE);
        assert!(home.mapped().is_some());
        home.router.off = false;
        home.router.restart(home.now);
        home.run(3 * MINUTE);
        assert_eq!(home.router.forwards(home.now), [(PORT, PORT)], "{pcp} {pmp} {upnp}");
    }
}

#[test]
fn silent_router_keeps_its_lease_until_it_ends() {
    for (pcp, pmp, upnp) in [(true, true, false), (false, true, false), (false, false, true)] {
        let mut home = Home::new(Router::new(pcp, pmp, upnp));
        home.run_to(10 * SECOND);
        home.router.off = true;
        home.run_to(59 * MINUTE);
        assert!(home.mapped().is_some(), "{pcp} {pmp} {upnp}");
        home.run_to(61 * MINUTE);
        assert_eq!(home.mapped(), None, "{pcp} {pmp} {upnp}");
    }
}

#[test]
fn new_outside_address_is_told() {
    for (pcp, pmp, upnp) in [(false, true, false), (false, false, true)] {
        let mut home = Home::new(Router::new(pcp, pmp, upnp));
        home.run_to(10 * SECOND);
        home.router.wan = Some([11, 22, 33, 55].into());
        home.run(3 * MINUTE);
        assert_eq!(home.told, [SocketAddrV4::new([11, 22, 33, 55].into(), PORT)]);
    }
    // Of PCP only its router can say so.
    let mut home = Home::new(Router::new(true, true, false));
    home.run_to(10 * SECOND);
    home.router.wan = Some([11, 22, 33, 55].into());
    let word = Router { pcp: false, wan: home.router.wan, ..Router::new(false, true, false) };
    let mut word = word.announcement(home.now);
    word[4..8].copy_from_slice(&home.router.epoch(home.now).to_be_bytes());
    home.say(Input::Announced { from: GATEWAY.into(), bytes: &word });
    home.run(SECOND);
    assert_eq!(home.told, [SocketAddrV4::new([11, 22, 33, 55].into(), PORT)]);
}

#[test]
fn forged_announcements_cost_little() {
    let mut home = Home::new(Router::new(true, true, true));
    home.run_to(MINUTE);
    let mut forged = home.router.announcement(home.now);
    forged[8..12].fill(0xff);
    let then = home.now;
    for n in 0..6000_u16 {
        let from = if n % 2 == 0 { GATEWAY } else { [192, 168, 1, 66] };
        home.say(Input::Announced { from: from.into(), bytes: &forged });
        home.run(Duration::from_millis(10));
    }
    assert!(home.packets_since(then) < 20, "{}", home.packets_since(then));
    assert_eq!(home.mapped(), Some((outside(PORT), By::Pcp)));
}

#[test]
fn anothers_port_is_not_taken_over() {
    // A second daemon of this machine, and another machine.
    for client in [HOST, [192, 168, 1, 9]] {
        let theirs =
            router::Forward { outside: PORT, client: client.into(), inside: 5000, nonce: None, ends: None };
        let mut home = Home::new(Router { table: vec![theirs], ..Router::new(false, false, true) });
        home.run_to(10 * SECOND);
        assert_eq!(home.mapped(), Some((outside(PORT + 1), By::Upnp)));
        assert!(home.router.table.contains(&theirs));
        home.run_to(3 * HOUR);
        assert_eq!(home.mapped(), Some((outside(PORT + 1), By::Upnp)));
        // All around are taken: the router chooses.
        let taken = (PORT..PORT + 3).map(|outside| router::Forward { outside, ..theirs }).collect();
        let mut home = Home::new(Router { table: taken, ..Router::new(false, false, true) });
        home.run_to(10 * SECOND);
        assert_eq!(home.mapped(), Some((outside(50_000), By::Upnp)));
        // One of version 1 does not know how.
        let table = home.router.table.iter().filter(|forward| forward.outside < 50_000).copied().collect();
        let mut home = Home::new(Router { table, chooses: false, ..Router::new(false, false, true) });
        home.run_to(10 * SECOND);
        assert_eq!((home.mapped(), home.cause()), (None, Some(Cause::Full)));
    }
}

#[test]
fn router_off_the_gateway_is_asked_last() {
    let mut home = Home::new(Router { ip: [192, 168, 1, 77].into(), ..Router::new(false, false, true) });
    home.run_to(2 * SECOND);
    assert_eq!(home.mapped(), None);
    home.run_to(5 * SECOND);
    assert_eq!(home.mapped(), Some((outside(PORT), By::Upnp)));
    // One of another network is never asked.
    let mut home = Home::new(Router { ip: [192, 168, 2, 1].into(), ..Router::new(false, false, true) });
    home.run_to(MINUTE);
    assert_eq!(home.cause(), Some(Cause::NoRouter));
    assert!(!home.sent.iter().any(|(_, output)| matches!(output, Output::Ask { .. })));
}

#[test]
fn what_is_switched_off_is_not_spoken() {
    let run = |upnp, nat_pmp| {
        let switches = Switches { upnp, nat_pmp };
        let mut home = Home::with(Router::new(true, true, true), switches, Journal::default());
        home.run_to(HOUR);
        let sent = |is: fn(&Output) -> bool| home.sent.iter().any(|(_, output)| is(output));
        let pmp = sent(|output| matches!(output, Output::Send { .. }));
        let upnp = sent(|output| matches!(output, Output::Search { .. } | Output::Ask { .. }));
        (upnp, pmp, home.mapped().map(|(_, by)| by))
    };
    assert_eq!(run(false, false), (false, false, None));
    assert_eq!(run(false, true), (false, true, Some(By::Pcp)));
    assert_eq!(run(true, false), (true, false, Some(By::Upnp)));
    let mut low = Mappings::new(BOTH, 1023, Journal::default());
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    low.handle(Instant::now(), 0.5, Input::Uplinks(vec![(uplink(), NONCE)]));
    assert_eq!((low.poll(), low.standing()), (None, Standing::Without(Cause::LowPort)));
}

#[test]
fn answers_to_others_are_not_ours() {
    let mut home = Home::new(Router { off: true, ..Router::new(true, true, false) });
    let granted = |nonce: u8, inside: u16| {
        let mut bytes = vec![2, 129, 0, 0, 0, 0, 0x0e, 0x10, 0, 0, 0, 5];
        bytes.resize(24, 0);
        bytes.extend([nonce; 12]);
        bytes.extend([17, 0, 0, 0]);
        bytes.extend([inside.to_be_bytes(), inside.to_be_bytes()].concat());
        bytes.extend(Ipv4Addr::from(WAN).to_ipv6_mapped().octets());
        bytes
    };
    let local = HOST.into();
    for bytes in [granted(9, PORT), granted(7, PORT + 1), vec![], vec![0; 64]] {
        home.say(Input::Received { local, bytes: &bytes });
        assert_eq!(home.mapped(), None);
    }
    home.say(Input::Received { local, bytes: &granted(7, PORT) });
    assert_eq!(home.mapped(), Some((outside(PORT), By::Pcp)));
}

#[test]
fn mapping_is_proven_by_who_comes_from_outside() {
    let mut home = Home::new(Router::new(true, true, true));
    home.run_to(SECOND);
    let proven = |home: &Home| matches!(home.machine.standing(), Standing::Mapped { proven: true, .. });
    // The router itself, for a neighbour that dials the outside address.
    home.say(Input::CameIn(WAN.into()));
    assert!(!proven(&home));
    home.say(Input::CameIn([192, 168, 1, 9].into()));
    assert!(!proven(&home), "a neighbour in the same network");
    home.say(Input::CameIn([11, 22, 33, 99].into()));
    assert!(proven(&home));
    home.run_to(3 * HOUR);
    assert!(proven(&home), "a renewal changes nothing");
    home.router.wan = Some([11, 22, 33, 55].into());
    home.run(3 * HOUR);
    assert!(!proven(&home), "another address has to be proven again");
}

#[test]
fn network_that_is_left_is_asked_no_more() {
    let mut home = Home::new(Router::new(true, true, true));
    home.run_to(MINUTE);
    home.say(Input::Uplinks(Vec::new()));
    let then = home.now;
    home.run_to(3 * HOUR);
    assert_eq!((home.mapped(), home.packets_since(then)), (None, 0));
    assert_eq!(home.machine.standing(), Standing::Without(Cause::NoNetwork));
    // Back there it is renewed, with its own nonce.
    home.say(Input::Uplinks(vec![(uplink(), [9; 12])]));
    home.run(SECOND);
    assert_eq!(home.mapped(), Some((outside(PORT), By::Pcp)));
    assert_eq!(home.router.table.iter().map(|forward| forward.nonce).collect::<Vec<_>>(), [Some(NONCE)]);
}
