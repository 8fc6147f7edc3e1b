//! Several phone books with one real Redis: they act as one, and Redis may disappear and return.

use crate::common::{
    DEADLINE, Phonebook, Player, Response, SERVER, eventually, json, live::Client, local, now,
    redis_server::Redis, serve,
};
use fyteclub_phonebook::{Config, Rates};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::Callee,
    number::millis,
    phonebook::{
        Register, Visibility,
        live::{CloseReason, Hear, Poll, Say},
    },
};
use std::time::{Duration, Instant};

const ONE: Bytes<16> = Bytes([1; 16]);
const TWO: Bytes<16> = Bytes([2; 16]);
const ALICE: &str = "Alice Ashe@Omega";
const ALICE_PATH: &str = "Alice%20Ashe@Omega";

fn config(redis: &Redis) -> Config {
    let place = redis.url().parse().unwrap();
    Config { redis: Some(place), workers: 1, ..local() }
}

/// One more phone book of the name, connected to Redis.
fn open(redis: &Redis) -> Phonebook {
    open_with(config(redis))
}

fn open_with(config: Config) -> Phonebook {
    let phonebook = serve(config);
    is(&phonebook, "ok");
    phonebook
}

fn is(phonebook: &Phonebook, status: &str) {
    eventually(status, || phonebook.get("/api/health").json()["status"] == status);
}

fn code(response: &Response) -> (u16, String) {
    let code = serde_json::from_str::<serde_json::Value>(&response.body).ok();
    (response.status, code.and_then(|body| Some(body["code"].as_str()?.to_owned())).unwrap_or_default())
}

#[test]
fn name_of_one_phone_book_is_found_at_the_other() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (open(&redis), open(&redis));
    let alice = Player::new(1);
    assert_eq!(one.register(json(&alice.register(ALICE, 1))).status, 200);
    let found = other.lookup(ALICE_PATH).json();
    assert_eq!((found["ip"].as_str(), found["port"].as_u64()), (Some("127.0.0.1"), Some(7777)));
    assert_eq!(found["publicKey"], PeerId::of(&alice.0).to_string());
    assert_eq!(one.lookup(ALICE_PATH).json(), found);
    assert!(found["lastSeen"].as_u64().unwrap().abs_diff(now()) < millis(DEADLINE));
    let many = other.send("POST", "/api/lookup", format!(r#"{{"players":["{ALICE}","Nobody@Omega"]}}"#));
    assert_eq!(many.json()["players"].as_object().unwrap().len(), 1);
    eventually("both have counted", || [&one, &other].iter().all(|book| book.active_users() == 1));

    let hidden = alice.register_for(ALICE, 2, Visibility::Contacts);
    assert_eq!(other.register(json(&hidden)).status, 200);
    let nobody = one.lookup("Nobody@Omega");
    for phonebook in [&one, &other] {
        assert_eq!(phonebook.lookup(ALICE_PATH).body, nobody.body);
    }
    assert_eq!(one.register(json(&alice.register(ALICE, 3))).status, 200);
    assert_eq!(other.unregister(json(&alice.unregister(ALICE, 4))).json()["existed"], true);
    assert_eq!(one.lookup(ALICE_PATH).status, 404);
    assert_eq!(one.unregister(json(&alice.unregister(ALICE, 5))).json()["existed"], false);
}

#[test]
fn hijack_and_replay_are_refused_by_every_phone_book() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (open(&redis), open(&redis));
    let (alice, mallory, heir) = (Player::new(1), Player::new(2), Player::new(3));
    let captured = json(&alice.register(ALICE, 7));
    assert_eq!(one.register(&captured).status, 200);
    let late = json(&alice.register(ALICE, 8));
    drop(one);
    let one = open(&redis);
    for phonebook in [&one, &other] {
        phonebook.register(&captured).is_problem(409, "stale_sequence");
        phonebook.register(json(&mallory.register(ALICE, 9))).is_problem(409, "name_taken");
        let nothing = r#"{"success":true,"existed":false}"#;
        phonebook.unregister(json(&mallory.unregister(ALICE, 9))).is(200, nothing);
        assert_eq!(phonebook.lookup(ALICE_PATH).status, 200);
    }
    // Signed before this one started, and known not to be a replay.
    assert_eq!(one.register(&late).status, 200);
    assert_eq!(other.register(json(&heir.register_after(&alice, ALICE, 1))).status, 200);
    one.register(json(&alice.register(ALICE, 10))).is_problem(409, "name_taken");
    // An unknown name needs a signature from after Redis was first filled.
    let early = alice.register_at("Bob Birch@Omega", 1, now() - 100_000);
    one.register(json(&early)).is_problem(401, "clock_skew");
}

#[test]
fn budgets_are_shared() {
    let Some(redis) = Redis::start() else { return };
    let limits = Rates {
        lookup: Some("1/h burst 6".parse().unwrap()),
        register_key: Some("1/h burst 2".parse().unwrap()),
        ..Rates::OFF
    };
    let config = Config { limits, ..config(&redis) };
    let (one, other) = (open_with(config.clone()), open_with(config));
    spend([&one, &other], 404, 6, |phonebook, _| phonebook.lookup("Nobody@Omega"));
    for phonebook in [&one, &other] {
        let refused = answered(|| phonebook.lookup("Nobody@Omega"));
        refused.is_problem(429, "rate_limited");
        assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() > 3000, "{refused:?}");
        let batch = answered(|| phonebook.send("POST", "/api/lookup", r#"{"players":["A@B"]}"#));
        batch.is_problem(429, "rate_limited");
    }
    let alice = Player::new(1);
    spend([&one, &other], 200, 2, |phonebook, turn| phonebook.register(json(&alice.register(ALICE, turn))));
}

/// Sends by turns until the budget is used up, and asserts its size. A request that Redis answered too late for the phone
/// book (503, on a busy machine) may have been charged.
fn spend(
    books: [&Phonebook; 2],
    expected: u16,
    budget: usize,
    mut send: impl FnMut(&Phonebook, u64) -> Response,
) {
    let (mut served, mut unanswered) = (0, 0);
    for (phonebook, turn) in books.into_iter().cycle().zip(1..1000) {
        let response = send(phonebook, turn);
        match response.status {
            503 => unanswered += 1,
            429 => {
                response.is_problem(429, "rate_limited");
                assert!(served <= budget && budget <= served + unanswered, "{served} and {unanswered}");
                return;
            }
            status => {
                assert_eq!(status, expected, "{response:?}");
                served += 1;
            }
        }
    }
    panic!("the budget has no end: {served} and {unanswered}");
}

/// Again while Redis answers too late for the phone book.
fn answered(send: impl Fn() -> Response) -> Response {
    let answer = (0..1000).map(|_| send()).find(|response| response.status != 503);
    answer.expect("an answer in time")
}

#[test]
fn names_of_an_address_are_limited_over_all_books() {
    let Some(redis) = Redis::start() else { return };
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let config = Config { max_names_per_address: Some(2), trusted_proxies, ..config(&redis) };
    let (one, other) = (open_with(config.clone()), open_with(config));
    let register = |book: &Phonebook, from: &str, number: u8, sequence| {
        let headers = ["Content-Type: application/json", &format!("X-Forwarded-For: {from}")];
        let body = json(&Player::new(number).register(&format!("Player {number}@Omega"), sequence));
        book.request("POST", "/api/register", &headers, body)
    };
    assert_eq!(register(&one, "192.0.2.1", 1, 1).status, 200);
    assert_eq!(register(&other, "192.0.2.1", 2, 1).status, 200);
    for book in [&one, &other] {
        register(book, "192.0.2.1", 3, 1).is_problem(429, "too_many_names");
    }
    assert_eq!(register(&other, "192.0.2.1", 1, 2).status, 200, "a name that is held is renewed");
    // A name moves to the player's new address; where that has its share, the old one stays charged.
    assert_eq!(register(&one, "192.0.2.2", 1, 3).status, 200);
    assert_eq!(register(&other, "192.0.2.1", 3, 1).status, 200);
    assert_eq!(register(&one, "192.0.2.1", 1, 4).status, 200);
    register(&one, "192.0.2.1", 4, 1).is_problem(429, "too_many_names");
    assert_eq!(register(&one, "192.0.2.2", 4, 1).status, 200);
    register(&one, "192.0.2.2", 5, 1).is_problem(429, "too_many_names");
}

#[tokio::test]
async fn two_at_two_phone_books_are_introduced() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (open(&redis), open(&redis));
    let mut alice = Client::greeted(&one, 1).await;
    let mut bob = Client::greeted(&other, 2).await;
    let (a, b) = (alice.id(), bob.id());
    introduced(&mut alice, &mut bob, Callee::Key(b), ONE).await;
    alice.candidates(&b, ONE).await;
    assert!(matches!(bob.hear().await, Hear::Candidates { from, attempt: ONE, .. } if from == a));
    bob.candidates(&a, ONE).await;
    assert!(matches!(alice.hear().await, Hear::Candidates { from, attempt: ONE, .. } if from == b));
    // By a name that a stranger cannot look up.
    let body = Register::signed("Bob Birch@Omega", 7, Visibility::Contacts, SERVER, 1, now(), &bob.key);
    assert_eq!(other.register(json(&body)).status, 200);
    introduced(&mut alice, &mut bob, Callee::Name("Bob Birch@Omega".into()), TWO).await;
    bob.note(&a).await;
    assert!(matches!(alice.hear().await, Hear::Note { from, .. } if from == b));
    // A declining and an absent callee are still one answer.
    let (three, four) = (Bytes([3; 16]), Bytes([4; 16]));
    alice.introduce(&b, three).await;
    alice.introduce(&PeerId::from_bytes([9; 32]), four).await;
    assert!(matches!(bob.hear().await, Hear::Introduced { .. }));
    bob.say(&Say::Decline { to: a, attempt: three }).await;
    assert_eq!(alice.hear().await, Hear::Unavailable { attempt: three });
    assert_eq!(alice.hear().await, Hear::Unavailable { attempt: four });
}

#[tokio::test]
async fn callee_that_greets_late_elsewhere_is_introduced() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (open(&redis), open(&redis));
    let mut alice = Client::greeted(&one, 1).await;
    let mut carol = Client::greeted(&one, 3).await;
    let bob = Client::connect(&other, 2).await;
    alice.introduce(&bob.id(), ONE).await;
    // Messages are handled in order: when this arrives, Bob has been looked for in vain.
    alice.introduce(&carol.id(), TWO).await;
    assert!(matches!(carol.hear().await, Hear::Introduced { attempt: TWO, .. }));
    let mut bob = bob.greet().await;
    assert!(matches!(bob.hear().await, Hear::Introduced { attempt: ONE, .. }));
}

async fn introduced(alice: &mut Client, bob: &mut Client, by: Callee, attempt: Bytes<16>) {
    let (a, b) = (alice.id(), bob.id());
    alice.introduce_by(by, &b, attempt).await;
    let Hear::Introduced { from, .. } = bob.hear().await else { panic!("not introduced") };
    assert_eq!(from, a);
    bob.accept(&a, attempt).await;
    assert!(matches!(alice.hear().await, Hear::Accepted { from, .. } if from == b));
    let begin = |hear| match hear {
        Hear::Go { attempt: of, delay_ms, .. } if of == attempt => delay_ms,
        other => panic!("{other:?}"),
    };
    let (at_alice, at_bob) = (begin(alice.hear().await), begin(bob.hear().await));
    assert!(at_alice.min(at_bob) == 0 && at_alice.max(at_bob) <= 500, "the nearer one waits for the other");
}

/// Where it is written which keys are connected.
fn leases(connection: &mut redis::Connection) -> Vec<Vec<u8>> {
    redis::cmd("KEYS").arg("fc2:p*").query(connection).unwrap()
}

#[tokio::test]
async fn the_newest_client_of_a_key_wins_wherever_it_is() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (open(&redis), open(&redis));
    let mut first = Client::greeted(&one, 1).await;
    // A client is welcomed before its lease is there, and of two leases at once the later one counts.
    eventually("the first has a lease", || !leases(&mut redis.connection()).is_empty());
    let mut second = Client::greeted(&other, 1).await;
    assert!(first.closes_for(CloseReason::Replaced).await.contains("elsewhere"));
    let mut third = Client::greeted(&one, 1).await;
    second.closes_for(CloseReason::Replaced).await;
    let mut bob = Client::greeted(&other, 2).await;
    bob.note(&third.id()).await;
    assert!(matches!(third.hear().await, Hear::Note { .. }), "and it is the one who hears");
    assert_eq!(third.settled().await, []);
}

#[test]
fn a_poll_counts_once_at_all_of_them() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (open(&redis), open(&redis));
    let alice = Player::new(1);
    let poll = |sequence| json(&Poll::signed("phonebook", sequence, now(), Duration::ZERO, &[], &alice.0));
    let captured = poll(5);
    assert_eq!(one.send("POST", "/api/live", &captured).status, 200);
    for phonebook in [&one, &other] {
        phonebook.send("POST", "/api/live", &captured).is_problem(409, "stale_sequence");
    }
    assert_eq!(other.send("POST", "/api/live", poll(6)).status, 200);
}

#[tokio::test]
async fn lost_redis_degrades_until_it_is_back() {
    let Some(mut redis) = Redis::start() else { return };
    let (one, other) = (open(&redis), open(&redis));
    let player = Player::new(7);
    let before = json(&player.register(ALICE, 1));
    assert_eq!(one.register(&before).status, 200);
    let mut alice = Client::greeted(&one, 1).await;
    let mut bob = Client::greeted(&one, 2).await;
    let mut carol = Client::greeted(&other, 3).await;
    let c = carol.id();
    introduced(&mut alice, &mut carol, Callee::Key(c), ONE).await;

    redis.kill();
    for phonebook in [&one, &other] {
        is(phonebook, "degraded");
        assert_eq!(phonebook.get("/api/health").status, 503);
        assert_eq!(phonebook.get("/health").status, 200, "it runs");
        let refused = phonebook.lookup(ALICE_PATH);
        assert_eq!(code(&refused), (503, "degraded".into()));
        assert_eq!(refused.header("retry-after"), Some("5"));
        let began = Instant::now();
        assert_eq!(code(&phonebook.register(json(&player.register(ALICE, 2)))), (503, "degraded".into()));
        assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for who is gone");
    }
    // Connected clients stay, and introductions between them work.
    let b = bob.id();
    introduced(&mut alice, &mut bob, Callee::Key(b), TWO).await;
    let three = Bytes([3; 16]);
    alice.introduce(&carol.id(), three).await;
    assert_eq!(alice.hear().await, Hear::Unavailable { attempt: three });
    // Also a client that greets only now.
    let mut dora = Client::greeted(&one, 4).await;
    assert_eq!(carol.settled().await, []);

    redis.start_again();
    for phonebook in [&one, &other] {
        is(phonebook, "ok");
        assert_eq!(phonebook.lookup(ALICE_PATH).status, 404, "it is empty");
    }
    one.register(&before).is_problem(401, "clock_skew");
    assert_eq!(one.register(json(&player.register(ALICE, 1))).status, 200);
    assert_eq!(other.lookup(ALICE_PATH).status, 200);
    // No client had to greet again.
    for client in [&mut alice, &mut dora] {
        reaches(client, &mut carol, &c).await;
    }
}

/// Notes are not acknowledged: the other phone book may read its inbox a moment later.
async fn reaches(from: &mut Client, to: &mut Client, key: &PeerId) {
    let began = Instant::now();
    loop {
        from.note(key).await;
        from.settled().await;
        if to
            .settled()
            .await
            .iter()
            .any(|hear| matches!(hear, Hear::Note { from: of, .. } if *of == from.id()))
        {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "nothing arrives");
        tokio::task::yield_now().await;
    }
}

#[cfg(unix)]
#[test]
fn hung_redis_costs_one_deadline_and_recovers() {
    let Some(redis) = Redis::start() else { return };
    let one = open(&redis);
    let alice = Player::new(1);
    assert_eq!(one.register(json(&alice.register(ALICE, 1))).status, 200);
    redis.pause();
    let began = Instant::now();
    assert_eq!(code(&one.lookup(ALICE_PATH)), (503, "degraded".into()));
    assert!(began.elapsed() < Duration::from_secs(5));
    is(&one, "degraded");
    redis.resume();
    is(&one, "ok");
    assert_eq!(one.lookup(ALICE_PATH).status, 200);
    one.register(json(&alice.register(ALICE, 1))).is_problem(409, "stale_sequence");
}

#[test]
fn phone_book_starts_before_its_redis() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    let one = serve(config(&redis));
    assert_eq!(code(&one.lookup(ALICE_PATH)), (503, "degraded".into()));
    is(&one, "degraded");
    redis.start_again();
    is(&one, "ok");
    assert_eq!(one.lookup(ALICE_PATH).status, 404);
}

#[test]
fn a_spoiled_key_spoils_nothing_else() {
    let Some(redis) = Redis::start() else { return };
    let one = open(&redis);
    let alice = Player::new(1);
    assert_eq!(one.register(json(&alice.register(ALICE, 1))).status, 200);
    let mut connection = redis.connection();
    let records: Vec<Vec<u8>> = redis::cmd("KEYS").arg("fc2:n*").query(&mut connection).unwrap();
    let () = redis::cmd("SET").arg(&records[0]).arg("x").query(&mut connection).unwrap();
    assert_eq!(one.lookup(ALICE_PATH).status, 404);
    assert_eq!(code(&one.register(json(&alice.register(ALICE, 2)))), (503, "degraded".into()));
    let () = redis::cmd("DEL").arg(&records[0]).query(&mut connection).unwrap();
    let () = redis::cmd("RPUSH").arg(&records[0]).arg("x").query(&mut connection).unwrap();
    assert_eq!(one.lookup(ALICE_PATH).status, 404);
    assert_eq!(code(&one.register(json(&alice.register(ALICE, 3)))), (503, "degraded".into()));
    assert_eq!(one.get("/api/health").status, 200, "nobody else notices");
    assert_eq!(one.register(json(&alice.register("Bob Birch@Omega", 4))).status, 200);
}

#[test]
fn full_redis_refuses_new_names_and_serves_others() {
    let Some(redis) = Redis::start_with(&["--maxmemory-policy", "noeviction"]) else { return };
    let one = open(&redis);
    let alice = Player::new(1);
    assert_eq!(one.register(json(&alice.register(ALICE, 1))).status, 200);
    let limit = |bytes: &str| {
        let mut connection = redis.connection();
        let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query(&mut connection).unwrap();
    };
    limit("1");
    assert_eq!(code(&one.register(json(&alice.register("Bob Birch@Omega", 2)))), (503, "full".into()));
    assert_eq!(one.lookup(ALICE_PATH).status, 200);
    is(&one, "degraded");
    limit("0");
    assert_eq!(one.register(json(&alice.register("Bob Birch@Omega", 3))).status, 200);
    is(&one, "ok");
}

#[tokio::test]
async fn redis_content_shows_no_name_or_hidden_address() {
    let Some(redis) = Redis::start() else { return };
    let place = config(&redis).redis.map(|place| place.with_secret("sixteen letters and more"));
    let limits = Rates::default();
    let one = open_with(Config { redis: place, limits, ..config(&redis) });
    let alice = Client::greeted(&one, 1).await;
    let body = Register::signed(ALICE, 4321, Visibility::Contacts, SERVER, 1, now(), &alice.key);
    assert_eq!(one.register(json(&body)).status, 200);
    assert_eq!(one.lookup(ALICE_PATH).status, 404);

    let mut connection = redis.connection();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let mut all = keys.concat();
    let mut records = 0;
    for key in keys {
        if key.starts_with(b"fc2:n") {
            let record: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
            assert_eq!(record.len(), 53, "no address");
            records += 1;
        } else {
            assert!(!key.windows(4).any(|part| part == [127, 0, 0, 1]));
            let dump: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
            assert!(!dump.windows(32).any(|part| part == alice.id().as_bytes()), "{key:?}");
            all.extend(dump);
        }
    }
    assert_eq!(records, 1);
    for secret in ["Alice", "Omega", "127.0.0.1", "ed25519"] {
        assert!(!all.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    // With another secret, phone books share nothing.
    assert_eq!(open(&redis).lookup(ALICE_PATH).status, 404);
}

#[tokio::test]
async fn inbox_drops_invalid_entries_and_is_bounded() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (open(&redis), open(&redis));
    let mut alice = Client::greeted(&one, 1).await;
    let mut bob = Client::greeted(&other, 2).await;
    let key = alice.id();
    reaches(&mut bob, &mut alice, &key).await;
    let mut connection = redis.connection();
    for seat in leases(&mut connection) {
        let seat: Vec<u8> = redis::cmd("GET").arg(seat).query(&mut connection).unwrap();
        let instance = u64::from_be_bytes(seat[..8].try_into().unwrap());
        for nonsense in [&b"{"[..], &[0xff; 100_000], br#"{"moved":{"key":"x","client":-1}}"#] {
            let inbox = format!("fc2:i:{instance:016x}");
            let () = redis::cmd("RPUSH").arg(inbox).arg(nonsense).query(&mut connection).unwrap();
        }
    }
    reaches(&mut bob, &mut alice, &key).await;

    // The inbox of a dead phone book: unread, and bounded.
    let before = leases(&mut connection);
    let dora = Client::greeted(&one, 4).await;
    let after = || leases(&mut redis.connection());
    eventually("dora has a seat", || after().len() > before.len());
    let seat = after().into_iter().find(|seat| !before.contains(seat)).unwrap();
    let mut nobody = vec![0u8; 16];
    nobody[7] = 0xff;
    let (dead, waiting) = ("fc2:i:00000000000000ff", vec!["x"; 4096]);
    let () = redis::cmd("SET").arg(seat).arg(nobody).query(&mut connection).unwrap();
    let () = redis::cmd("RPUSH").arg(dead).arg(waiting).query(&mut connection).unwrap();
    bob.note(&dora.id()).await;
    reaches(&mut bob, &mut alice, &key).await;
    let length: usize = redis::cmd("LLEN").arg(dead).query(&mut connection).unwrap();
    assert_eq!(length, 4096);
}
