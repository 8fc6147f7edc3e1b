//! Names in a real Redis against the local book: the same actions give the same results.

#[path = "../../tests/integration/common/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use it as well")]
mod server;

use super::{budgets::Payer, presence::Lease, *};
use crate::{
    book::{Book, Claim, Contact, Found, Refused},
    clock::Moment,
    limits::Class,
};
use fyteclub_proto::phonebook::Visibility;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use redis::Value;
use server::Redis;
use std::{net::SocketAddr, time::Duration};

/// The start, in Unix milliseconds.
const BEGIN: u64 = 1_700_000_000_000;
const TERMS: Terms = Terms {
    ttl: Duration::from_secs(100),
    pin: Duration::from_secs(600),
    pin_once: Duration::from_secs(300),
    max_records: 1000,
    max_of_one: 2,
};

#[derive(Debug, Clone)]
enum Op {
    Register {
        name: u8,
        key: u8,
        from: u8,
        follows: Option<u8>,
        sequence: u64,
        visibility: Visibility,
        age: u64,
    },
    Unregister {
        name: u8,
        key: u8,
        sequence: u64,
    },
    Lookup {
        name: u8,
    },
    Pass {
        seconds: u64,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // Small ranges, so that values collide, and numbers that a double cannot tell apart.
    let sequence = || prop_oneof![0u64..6, (u64::MAX - 3)..=u64::MAX, (1u64 << 53)..(1 << 53) + 3];
    let visibility =
        prop_oneof![Just(Visibility::Listed), Just(Visibility::Contacts), Just(Visibility::Hidden)];
    let follows = proptest::option::weighted(0.2, 0u8..3);
    let register = (0u8..5, 0u8..3, 0u8..3, follows, sequence(), visibility, 0u64..200).prop_map(
        |(name, key, from, follows, sequence, visibility, age)| Op::Register {
            name,
            key,
            from,
            follows,
            sequence,
            visibility,
            age,
        },
    );
    let unregister =
        (0u8..5, 0u8..3, sequence()).prop_map(|(name, key, sequence)| Op::Unregister { name, key, sequence });
    let op = prop_oneof![
        4 => register,
        2 => unregister,
        3 => (0u8..5).prop_map(|name| Op::Lookup { name }),
        2 => prop_oneof![0u64..130, 230u64..320, 590u64..610].prop_map(|seconds| Op::Pass { seconds }),
    ];
    proptest::collection::vec(op, 1..50)
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn shared(redis: &Redis, rates: &Rates) -> Shared {
    Shared::new(&redis.url().parse().unwrap(), TERMS, rates, RedisCounters::default()).unwrap()
}

fn at(passed: Duration) -> Moment {
    Moment { steady: passed, unix: Duration::from_millis(BEGIN) + passed }
}

async fn connected(redis: &Redis, rates: &Rates) -> Shared {
    let shared = shared(redis, rates);
    shared.connection.connect(|| at(Duration::ZERO)).await.unwrap();
    shared.connection.pretend(BEGIN);
    shared
}

#[test]
fn redis_and_memory_give_equal_answers() {
    let Some(redis) = Redis::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shared = runtime.block_on(connected(&redis, &Rates::OFF));
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    runner
        .run(&ops(), |ops| {
            let () = redis::cmd("FLUSHDB").query(&mut redis.connection()).unwrap();
            let book = Book::new(TERMS);
            let mut now = at(Duration::ZERO);
            for op in ops {
                runtime.block_on(same(&book, &shared, &op, &mut now))?;
            }
            Ok(())
        })
        .unwrap();
}

async fn same(book: &Book, shared: &Shared, op: &Op, now: &mut Moment) -> Result<(), TestCaseError> {
    let text = |name: &u8| format!("Player {name}@World");
    match op {
        Op::Register { name, key, from, follows, sequence, visibility, age } => {
            let address = SocketAddr::new([192, 0, 2, *from].into(), 7000 + u16::from(*name));
            let contact = Contact { address, key: peer(*key), visibility: *visibility };
            let follows = follows.map(peer);
            let time = now.unix_millis() - age * 1000;
            let claim = Claim { sequence: *sequence, time, follows: follows.as_slice() };
            let there = shared.register(&text(name), contact.clone(), claim, *now).await;
            let here = book.register(&text(name), contact, claim, *now);
            prop_assert_eq!(there, here.map_err(WriteError::from), "{:?}", op);
        }
        Op::Unregister { name, key, sequence } => {
            let claim = (&peer(*key), *sequence);
            let there = shared.unregister(&text(name), claim, *now).await;
            let here = book.unregister(&text(name), claim, *now);
            prop_assert_eq!(there, here.map_err(WriteError::from), "{:?}", op);
        }
        Op::Lookup { name } => {
            let there: Option<Found> = shared.lookup(&[&text(name)], *now).await.unwrap().remove(0);
            prop_assert_eq!(there, book.lookup(&text(name), *now));
            let get = shared.connection.ask_one(shared.record_of(&text(name))).await.unwrap();
            let key = shared.live(&get, *now).map(|record| record.key);
            prop_assert_eq!(key, book.key_of(&text(name), *now));
        }
        Op::Pass { seconds } => {
            *now = at(now.steady + Duration::from_secs(*seconds));
            // Redis expires forgotten names by itself.
            book.sweep(*now);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_budget_is_a_burst_and_then_a_rate() {
    let Some(redis) = Redis::start() else { return };
    let rate = Some("2/s burst 4".parse().unwrap());
    let shared = connected(&redis, &Rates { lookup: rate, register_key: rate, ..Rates::OFF }).await;
    let payer = Payer::Address([192, 0, 2, 1].into());
    let mut now = at(Duration::ZERO);
    for _ in 0..4 {
        assert_eq!(shared.charge(Class::Lookup, payer, 1, now).await, Ok(()));
    }
    let missing = shared.charge(Class::Lookup, payer, 1, now).await.unwrap_err();
    assert_eq!(missing, Duration::from_millis(500));
    assert_eq!(shared.charge(Class::Lookup, payer, 4, now).await, Err(Duration::from_secs(2)));
    // Another address, and a class without limit.
    assert_eq!(shared.charge(Class::Lookup, Payer::Address([192, 0, 2, 2].into()), 1, now).await, Ok(()));
    assert_eq!(shared.charge(Class::Socket, payer, 1000, now).await, Ok(()));
    assert_eq!(shared.charge(Class::Registration, Payer::Key(&peer(1)), 4, now).await, Ok(()));
    assert!(shared.charge(Class::Registration, Payer::Key(&peer(1)), 1, now).await.is_err());
    now = at(missing);
    assert_eq!(shared.charge(Class::Lookup, payer, 1, now).await, Ok(()));
    // A batch above the burst costs the burst.
    now = at(Duration::from_secs(60));
    assert_eq!(shared.charge(Class::Lookup, payer, 100, now).await, Ok(()));
    assert_eq!(shared.charge(Class::Lookup, payer, 100, now).await, Err(Duration::from_secs(2)));
}

#[tokio::test]
async fn poll_sequence_counts_once_and_not_before_start() {
    let Some(redis) = Redis::start() else { return };
    let shared = connected(&redis, &Rates::OFF).await;
    let now = at(Duration::from_secs(9));
    let take = |sequence, time| {
        let shared = &shared;
        async move { shared.take_sequence(&peer(1), sequence, time, now).await }
    };
    let refused = |refused: Refused| Err(WriteError::Refused(refused));
    use crate::book::Refused::{BeforeStart, Stale};
    assert_eq!(take(5, BEGIN - 1).await, refused(BeforeStart { offset: -9001 }));
    assert_eq!(take(5, BEGIN).await, Ok(()));
    assert_eq!(take(5, BEGIN).await, refused(Stale { newest: 5 }));
    assert_eq!(take((1 << 60) + 1, BEGIN - 1).await, Ok(()), "known, so its sequence is what counts");
    assert_eq!(take(1 << 60, BEGIN).await, refused(Stale { newest: (1 << 60) + 1 }));
}

#[tokio::test]
async fn a_lease_that_comes_late_replaces_no_newer_one() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (connected(&redis, &Rates::OFF).await, connected(&redis, &Rates::OFF).await);
    let second = Duration::from_secs(1);
    let lease = |book: &Shared, client, passed| book.lease(&peer(1), ClientId(client), at(passed));
    let holder =
        async || Lease::decode(&one.connection.ask_one(one.lease_of(&peer(1))).await.unwrap()).unwrap();
    let take = async |cmd| one.connection.ask_one(cmd).await.unwrap();
    assert_eq!(take(lease(&other, 1, 60 * second)).await, Value::Nil);
    for passed in [Duration::ZERO, 58 * second] {
        assert!(Shared::came_late(Some(&take(lease(&one, 2, passed)).await)));
        assert_eq!(holder().await, Lease { instance: other.instance, client: ClientId(1) });
    }
    // As near as two clocks may be read: the later to arrive counts.
    let before = take(lease(&one, 3, 59 * second)).await;
    assert_eq!(Lease::decode(&before), Some(Lease { instance: other.instance, client: ClientId(1) }));
    assert_eq!(holder().await, Lease { instance: one.instance, client: ClientId(3) });
    // A renewal keeps since when it is, and one that was lost is old.
    assert_eq!(one.renew(&[(peer(1), ClientId(3))]).await, Ok(Vec::new()));
    assert!(Shared::came_late(Some(&take(lease(&other, 4, Duration::ZERO)).await)));
    let () = redis::cmd("FLUSHDB").query(&mut redis.connection()).unwrap();
    assert_eq!(one.renew(&[(peer(1), ClientId(3))]).await, Ok(Vec::new()));
    assert!(!Shared::came_late(Some(&take(lease(&other, 4, Duration::ZERO)).await)));
    assert_eq!(holder().await, Lease { instance: other.instance, client: ClientId(4) });
    // Redis's clock was set back: what is from its future holds nobody up.
    let years = 20 * 365 * 24 * 3600 * second;
    take(lease(&one, 5, years)).await;
    assert!(!Shared::came_late(Some(&take(lease(&other, 6, second)).await)));
}

#[tokio::test]
async fn lost_redis_is_not_waited_for() {
    let Some(mut redis) = Redis::start() else { return };
    let rate = Some("2/s burst 4".parse().unwrap());
    let shared = connected(&redis, &Rates { lookup: rate, ..Rates::OFF }).await;
    let now = at(Duration::ZERO);
    redis.kill();
    assert_eq!(shared.lookup(&["A B@W"], now).await, Err(Unavailable));
    assert!(!shared.connection.is_up());
    assert_eq!(shared.charge(Class::Lookup, Payer::Address([1; 4].into()), 1, now).await, Ok(()));
    redis.start_again();
    shared.connection.connect(|| now).await.unwrap();
    assert_eq!(shared.lookup(&["A B@W"], now).await, Ok(vec![None]));
}

#[tokio::test]
async fn without_redis_names_fail_and_budgets_are_local() {
    let rate = Some("1/h burst 1".parse().unwrap());
    let place = "redis://127.0.0.1:1".parse().unwrap();
    let rates = Rates { lookup: rate, ..Rates::OFF };
    let shared = Shared::new(&place, TERMS, &rates, RedisCounters::default()).unwrap();
    let (now, key) = (at(Duration::ZERO), peer(1));
    let payer = Payer::Address([192, 0, 2, 1].into());
    for _ in 0..3 {
        assert_eq!(shared.charge(Class::Lookup, payer, 1, now).await, Ok(()));
    }
    assert_eq!(shared.lookup(&["A"], now).await, Err(Unavailable));
    let gone = WriteError::from(Unavailable);
    let address = SocketAddr::from(([192, 0, 2, 1], 7000));
    let contact = Contact { address, key, visibility: Visibility::Listed };
    let claim = Claim { sequence: 1, time: now.unix_millis(), follows: &[] };
    assert_eq!(shared.register("A", contact, claim, now).await, Err(gone));
    assert_eq!(shared.unregister("A", (&key, 2), now).await, Err(gone));
    assert_eq!(shared.take_sequence(&key, 1, now.unix_millis(), now).await, Err(gone));
    assert_eq!((shared.users(), shared.is_full(), shared.names()), (0, false, Count::default()));
}

#[test]
fn a_full_outbox_drops_and_counts() {
    let place = "redis://127.0.0.1:1".parse().unwrap();
    let shared = Shared::new(&place, TERMS, &Rates::OFF, RedisCounters::default()).unwrap();
    let job = || Job::Arrived { key: peer(1), client: ClientId(1), at: at(Duration::ZERO) };
    assert!((0..JOBS).all(|_| shared.send(job())));
    assert_eq!(shared.counters.dropped.get(), 0);
    assert!(!shared.send(job()) && !shared.send(job()));
    assert_eq!(shared.counters.dropped.get(), 2);
}

#[test]
fn a_scripts_answer_is_a_letter_or_a_refusal() {
    let now = at(Duration::from_secs(10));
    let verdict = |answer: &[u8]| names::verdict(answer, BEGIN, now);
    let newest = [b"s".as_slice(), &7u64.to_be_bytes()].concat();
    for (answer, expected) in [
        (b"k12345678".as_slice(), Ok(b'k')),
        (b"t", Err(Refused::NameTaken.into())),
        (&newest, Err(Refused::Stale { newest: 7 }.into())),
        (b"b", Err(Refused::BeforeStart { offset: -10_000 }.into())),
        (b"s1", Err(Unavailable.into())),
        (b"", Err(Unavailable.into())),
    ] {
        assert_eq!(verdict(answer), expected, "{answer:?}");
    }
}
