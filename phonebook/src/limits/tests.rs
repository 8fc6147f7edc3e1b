//! Budgets under virtual time.

use super::*;
use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

fn limits(rate: &str, room: usize) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let rate = Some(rate.parse().unwrap());
    let rates = Rates { register: rate, lookup: rate, register_key: rate, ..Rates::OFF };
    (Limits::with_clock(&rates, &clock, room), clock)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn peer(seed: u8) -> PeerId {
    PeerId::from_bytes([seed; 32])
}

#[test]
fn burst_then_rate_and_retry_after_suffices() {
    let (limits, clock) = limits("2/s burst 4", 100);
    let ask = || limits.check_address(Class::Lookup, ip("192.0.2.1"), 1);
    for _ in 0..4 {
        assert_eq!(ask(), Ok(()));
    }
    let limited = ask().unwrap_err();
    assert!((1..=2).contains(&limited.retry_after), "{limited:?}");
    assert_eq!((limited.class, limited.by), (Class::Lookup, By::Address));
    clock.advance(Duration::from_secs(limited.retry_after.into()));
    assert_eq!(ask(), Ok(()));
    assert_eq!(limits.check_address(Class::Registration, ip("192.0.2.1"), 1), Ok(()), "classes are apart");
    assert_eq!(limits.check_address(Class::Socket, ip("192.0.2.1"), 1_000_000), Ok(()), "off is off");
}

#[test]
fn batch_costs_its_names_up_to_the_maximum() {
    let (limits, clock) = limits("1/s burst 100", 100);
    let ask = |names| limits.check_address(Class::Lookup, ip("192.0.2.1"), names);
    assert_eq!(ask(60), Ok(()));
    let limited = ask(60).unwrap_err();
    assert!((20..=30).contains(&limited.retry_after), "{limited:?}");
    clock.advance(Duration::from_secs(20));
    assert_eq!(ask(60), Ok(()));
    assert_eq!(ask(0), Ok(()));
    clock.advance(Duration::from_secs(100));
    assert_eq!(ask(101), Ok(()));
}

#[test]
fn ipv6_counts_by_64_and_ipv4_whole_in_any_form() {
    let (limits, _) = limits("1/h", 100);
    let ask = |address| limits.check_address(Class::Lookup, ip(address), 1).is_ok();
    assert!(ask("2001:db8:1:2::1"));
    assert!(!ask("2001:db8:1:2:ffff::7"));
    assert!(ask("2001:db8:1:3::1"));
    assert!(ask("192.0.2.1"));
    assert!(!ask("::ffff:192.0.2.1"));
    assert!(ask("192.0.2.2"));
}

#[test]
fn keys_have_budgets_of_their_own() {
    let (limits, _) = limits("1/h burst 2", 100);
    let ask = |seed| limits.check_key(Class::Registration, &peer(seed), 1);
    assert_eq!((ask(1), ask(1)), (Ok(()), Ok(())));
    assert_eq!(ask(1).unwrap_err().by, By::Key);
    assert_eq!(ask(2), Ok(()));
    assert_eq!(limits.check_key(Class::Lookup, &peer(1), 1), Ok(()));
}

#[test]
fn full_table_keeps_known_and_groups_new_addresses() {
    let (limits, clock) = limits("1/s burst 2", 3);
    let ask = |address: &str| limits.check_address(Class::Lookup, ip(address), 1).is_ok();
    assert!(ask("198.51.100.1"));
    for net in 0..1000 {
        ask(&format!("2001:db8:0:{net:x}::1"));
    }
    assert!(ask("198.51.100.1"), "known before the flood");
    assert!(!ask("2001:db8:0:ffff::1"), "a newcomer out of the flood's provider");
    let others = ["203.0.113.1", "192.0.2.1", "2a00:1:2:3::1", "2a02:1:2:3::1"];
    assert!(others.iter().filter(|address| ask(address)).count() >= 3, "newcomers from elsewhere");

    clock.advance(Duration::from_secs(5));
    limits.forget_idle();
    assert!(ask("2001:db8:0:ffff::1"), "there is room again");
    assert!(ask("2001:db8:0:ffff::1"), "and a budget of its own");
}

#[test]
fn idle_budgets_are_forgotten_and_busy_ones_kept() {
    let (limits, clock) = limits("1/s burst 10", 1000);
    for last in 0..100 {
        limits.check_address(Class::Lookup, ip(&format!("192.0.2.{last}")), 1).unwrap();
    }
    limits.check_address(Class::Lookup, ip("198.51.100.1"), 10).unwrap();
    clock.advance(Duration::from_secs(2));
    limits.forget_idle();
    let held = limits.addresses[Class::Lookup as usize].0.as_ref().unwrap().limiter.len();
    assert_eq!(held, 1);
    limits.check_address(Class::Lookup, ip("198.51.100.1"), 3).unwrap_err();
}

proptest! {
    /// No more passes than burst and rate allow, and a client that waits as told is served.
    #[test]
    fn no_more_comes_through_than_burst_and_rate(steps in prop::collection::vec((0u64..3000, 1u32..6), 1..60)) {
        let (limits, clock) = limits("2/s burst 5", 10);
        let (mut passed, mut elapsed) = (0u64, 0u64);
        for (wait, cost) in steps {
            clock.advance(Duration::from_millis(wait));
            elapsed += wait;
            match limits.check_address(Class::Lookup, ip("192.0.2.1"), cost) {
                Ok(()) => passed += u64::from(cost.min(5)),
                Err(limited) => {
                    clock.advance(Duration::from_secs(limited.retry_after.into()));
                    elapsed += u64::from(limited.retry_after) * 1000;
                    prop_assert!(limits.check_address(Class::Lookup, ip("192.0.2.1"), cost).is_ok());
                    passed += u64::from(cost.min(5));
                }
            }
            prop_assert!(passed <= 5 + elapsed * 2 / 1000 + 1, "{passed} in {elapsed} ms");
        }
    }
}
