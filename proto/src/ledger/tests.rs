use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn beginning() -> Instant {
    Instant::now()
}

fn ledger(item: Item, each: Allowance, all: Option<Allowance>) -> Ledger<u8> {
    Ledger::new(&[Row { item, each, all }])
}

#[test]
fn a_rate_comes_back_with_time() {
    let start = beginning();
    let mut ledger = ledger(Item::Dials, Allowance::each_second(2, 5), None);
    for _ in 0..5 {
        assert_eq!(ledger.charge(start, &1, Item::Dials, 1), Ok(()));
    }
    let refused = ledger.charge(start, &1, Item::Dials, 1).expect_err("used up");
    assert_eq!((refused.by, refused.retry_after), (By::Counterpart, Some(SECOND / 2)));
    assert_eq!(ledger.charge(start, &2, Item::Dials, 5), Ok(()), "another's account is whole");
    assert_eq!(ledger.charge(start + SECOND / 2, &1, Item::Dials, 1), Ok(()));
    assert_eq!(ledger.left(start + SECOND * 2, &1, Item::Dials), 3);
    ledger.forget_whole(start + SECOND * 2);
    assert_eq!(ledger.accounts(), 2);
    ledger.forget_whole(start + SECOND * 3);
    assert_eq!(ledger.accounts(), 0);
}

#[test]
fn held_amounts_come_back_by_release_only() {
    let start = beginning();
    let mut ledger = ledger(Item::Connections, Allowance::Held(2), Some(Allowance::Held(3)));
    let mut open = |who| ledger.charge(start + SECOND * 900, &who, Item::Connections, 1);
    assert_eq!((open(1), open(1)), (Ok(()), Ok(())));
    assert_eq!(open(1).expect_err("two at most").by, By::Counterpart);
    assert_eq!(open(2), Ok(()));
    let refused = open(3).expect_err("three in all");
    assert_eq!((refused.by, refused.retry_after), (By::Everybody, None));
    ledger.release(&1, Item::Connections, 9);
    assert_eq!(ledger.accounts(), 1, "an account with nothing held is dropped");
    assert_eq!(ledger.charge(start, &3, Item::Connections, 2), Ok(()), "two came back, not nine");
    assert_eq!(
        ledger.charge(start, &4, Item::Connections, 1).map_err(|refused| refused.by),
        Err(By::Everybody)
    );
}

#[test]
fn amount_above_the_limit_is_refused_at_once() {
    let mut ledger = ledger(Item::Unread, Allowance::Held(10), None);
    assert!(ledger.charge(beginning(), &1, Item::Unread, 11).is_err());
    assert_eq!(ledger.accounts(), 0);
}

#[test]
fn an_amount_above_the_burst_costs_the_burst() {
    let start = beginning();
    let mut ledger = ledger(Item::Bytes, Allowance::each_second(10, 100), None);
    assert_eq!(ledger.charge(start, &1, Item::Bytes, 5_000), Ok(()));
    let refused = ledger.charge(start, &1, Item::Bytes, 5_000).expect_err("used up");
    assert_eq!(refused.retry_after, Some(SECOND * 10));
}

#[test]
fn each_item_is_counted() {
    let mut ledger = ledger(Item::Dials, Allowance::each_second(1, 1), None);
    let now = beginning();
    ledger.charge(now, &1, Item::Dials, 1).expect("the first");
    ledger.charge(now, &1, Item::Dials, 1).expect_err("the second");
    ledger.charge(now, &1, Item::Messages, 7).expect("no row, no limit");
    let counts: HashMap<Item, Count> = ledger.counts().collect();
    assert_eq!(counts[&Item::Dials], Count { charged: 1, refusals: 1 });
    assert_eq!(counts[&Item::Messages], Count { charged: 7, refusals: 0 });
}

#[test]
fn a_network_is_a_line_and_a_wide_one_is_a_customer() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let network = |text| Network::from(ip(text));
    assert_eq!(network("::ffff:203.0.113.7"), network("203.0.113.7"));
    assert_ne!(network("203.0.113.7"), network("203.0.113.8"));
    assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
    assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    assert_eq!(Wide::from(ip("2001:db8:1:2::1")), Wide::from(ip("2001:db8:1:3::1")));
    assert_ne!(Wide::from(ip("2001:db8:1::1")), Wide::from(ip("2001:db8:2::1")));
}

use std::net::IpAddr;

proptest! {
    /// At any time: never more than the burst and what came back since.
    #[test]
    fn no_account_gets_more_than_its_rate(
        burst in 1u64..50, amount in 1u64..50, asked in prop::collection::vec((0u64..400, 1u64..60), 1..80)
    ) {
        let start = beginning();
        let mut ledger = ledger(Item::Bytes, Allowance::each_second(amount, burst), None);
        let (mut now, mut got) = (Duration::ZERO, 0);
        for (pause, wanted) in asked {
            now += Duration::from_millis(pause);
            match ledger.charge(start + now, &1, Item::Bytes, wanted) {
                Ok(()) => got += wanted.min(burst),
                Err(refused) => {
                    let later = now + refused.retry_after.expect("a rate");
                    prop_assert!(ledger.left(start + later, &1, Item::Bytes) >= wanted.min(burst));
                }
            }
            let most = burst as u128 + (now.as_nanos() * u128::from(amount)).div_ceil(1_000_000_000);
            prop_assert!(u128::from(got) <= most);
        }
    }

    /// Held amounts never exceed their limits, and releasing everything leaves nothing.
    #[test]
    fn held_amounts_are_bounded(steps in prop::collection::vec((0u8..4, any::<bool>(), 1u64..4), 1..120)) {
        let now = beginning();
        let mut ledger = ledger(Item::Unread, Allowance::Held(5), Some(Allowance::Held(8)));
        let mut held = [0u64; 4];
        for (who, more, amount) in steps {
            let mine = &mut held[usize::from(who)];
            if !more {
                let back = amount.min(*mine);
                ledger.release(&who, Item::Unread, back);
                *mine -= back;
            } else if ledger.charge(now, &who, Item::Unread, amount).is_ok() {
                *mine += amount;
            }
            prop_assert!(held.iter().all(|held| *held <= 5) && held.iter().sum::<u64>() <= 8);
        }
        for (who, held) in (0u8..).zip(held) {
            ledger.release(&who, Item::Unread, held);
        }
        prop_assert_eq!(ledger.accounts(), 0);
        prop_assert_eq!(ledger.charge(now, &9, Item::Unread, 5), Ok(()));
    }
}
