//! Hostile contacts name every kind of address in introduction letters: in random order, for `FYTECLUB_HOSTILE_SECONDS`
//! (8 by default), under a printed seed (`FYTECLUB_HOSTILE_SEED`).
//!
//! The kernel of the player's machine counts what it sends.

use futures::future;
use fyteclub_client::{Distance, NearPlayer, NearbySet};
use fyteclub_proto::{
    bytes::Bytes,
    letter::Topic,
    phonebook::live::{Hear, Say},
    reaching::{
        candidate::{Candidate, Candidates, Origin},
        nat::Nat,
        wire::offer::Offer,
    },
};
use fyteclub_tests::{Counters, Lan, Phonebook, Town, Voice, hostile::Hostile, mods::Dice};
use std::time::{Duration, Instant};

/// Destinations that no remote contact may make a daemon send to.
const FORBIDDEN: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "203.0.113.255",
    "::/96",
    "::ffff:0:0/96",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];
/// Addresses that hostile contacts may have.
const ALLOWED: [&str; 2] = ["203.0.113.0/28", "2001:db8::/64"];
const CONTACTS: u8 = 4;

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// A random address, in three of four cases a forbidden one.
fn some_place(dice: &mut Dice) -> Candidate {
    let mut byte = || u8::try_from(dice.below(256)).expect("a small number");
    let (a, b, c) = (byte(), byte(), byte());
    let group = byte();
    let v6 = |first: u16| -> std::net::IpAddr {
        [first, 0, 0, 0, 0, 0, u16::from(a), u16::from_be_bytes([b, c | 1])].into()
    };
    let ip: std::net::IpAddr = match group % 20 {
        0 => [10, a, b, c].into(),
        1 => [192, 168, b, c].into(),
        2 => [172, 16 | (a & 15), b, c].into(),
        3 => [127, 0, 0, c].into(),
        4 => [169, 254, b, c].into(),
        5 => [224 | (a & 31), a, b, c].into(),
        6 => [203, 0, 113, 255].into(),
        7 => [255; 4].into(),
        8 => [100, 64 | (a & 63), b, c].into(),
        9 => [0, a, b, c].into(),
        10 => v6(0xfe80),
        11 => v6(0xff02),
        12 => v6(0xfd00),
        13 => v6(0),
        14 => std::net::Ipv4Addr::new(192, 168, b, c).to_ipv6_mapped().into(),
        15..=17 => [203, 0, 113, c & 15].into(),
        _ => std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(c) | 2).into(),
    };
    let origin = [Origin::Host, Origin::Observed, Origin::Mapped, Origin::Manual][usize::from(a % 4)];
    let port = if b % 8 == 0 { u16::from(c) } else { 1024 + u16::from_be_bytes([b, c]) % 60_000 };
    Candidate { origin, addr: (ip, port).into() }
}

/// Answers every introduction with addresses, and more addresses. Counts the introductions.
async fn mislead(mut voice: Voice, mut dice: Dice, introductions: &std::cell::Cell<u64>) {
    loop {
        let Hear::Introduced { from, attempt, .. } = voice.hear().await else { continue };
        introductions.set(introductions.get() + 1);
        // With a secret the addresses are probed, else dialled.
        let secret = (dice.below(2) == 0).then_some(Bytes([7; 32]));
        let mut list = || {
            let count = 1 + dice.below(12);
            let candidates = Candidates((0..count).map(|_| some_place(&mut dice)).collect());
            let nat = Nat::from(u8::try_from(dice.below(5)).expect("a small number"));
            let round = u32::try_from(dice.below(3)).expect("a small number");
            let leaves = u32::from(dice.below(2) == 0);
            Offer { secret, nat, round, leaves, candidates }.encode()
        };
        let letter = voice.letter(&from, Topic::Accept(attempt), &list());
        voice.say(Say::Accept { to: from, attempt, letter });
        for _ in 0..6 {
            let letter = voice.letter(&from, Topic::Candidates(attempt), &list());
            voice.say(Say::Candidates { to: from, attempt, letter });
        }
    }
}

/// On a thread of its own, because it moves into a namespace.
#[test]
fn hostile_contacts_aim_at_no_forbidden_place() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let story = std::thread::spawn(move || runtime.block_on(hostile_letters()));
    if let Err(panic) = story.join() {
        std::panic::resume_unwind(panic);
    }
}

async fn hostile_letters() {
    let Some(lan) = Lan::open(3, true) else { return };
    let [alices, evans, books] = [0, 1, 2].map(|n| lan.machine(n));
    // From the phone book all are remote; all routes of Alice's machine lead somewhere.
    for (machine, host) in [(alices, 1), (evans, 2), (books, 3)] {
        machine.add(&format!("203.0.113.{host}/24"));
        machine.add(&format!("2001:db8::{host}/64"));
        machine.route("default", "203.0.113.14");
    }
    books.add("10.77.0.3/32");
    for machine in [alices, evans] {
        machine.route("10.77.0.3", "203.0.113.3");
    }
    let Some(counters) = Counters::open(alices, &[("forbidden", &FORBIDDEN), ("allowed", &ALLOWED)]) else {
        return;
    };
    let seconds = number("FYTECLUB_HOSTILE_SECONDS", 8);
    let seed = number("FYTECLUB_HOSTILE_SEED", u64::from(std::process::id()));
    println!("FYTECLUB_HOSTILE_SEED={seed} FYTECLUB_HOSTILE_SECONDS={seconds}");
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "far", "10.77.0.3:3000", Some(books)).await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").phonebooks(&[book.url()]).listen(None).on(alices);
    // The phone book's own address is among those where no contact may send her.
    alice = alice.config("stun = false").config("relay = \"off\"");
    alice.start().await;
    // From here on this thread's sockets are the hostile contacts'.
    evans.enter();
    let mut names = Vec::new();
    let mut voices = Vec::new();
    for n in 0..CONTACTS {
        let evan = Hostile::new(&format!("Evan Elm{}@E", char::from(b'a' + n)), 110 + n);
        alice.takes_for_a_friend(&evan).await;
        evan.move_in(&book.url()).await;
        voices.push(Voice::greet(&evan, &book).await);
        names.push(evan.player);
    }
    let distance: Distance = 3.0.try_into().expect("a distance");
    let players = names.iter().map(|player| NearPlayer { player: player.clone(), distance }).collect();
    let nearby = NearbySet { players: Some(players), ..NearbySet::default() };
    alice.client().nearby_set(nearby).await.expect("set");
    let introductions = std::cell::Cell::new(0);
    let dice = (0..).map(|n| Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(n)));
    let misleading = future::join_all(
        voices.into_iter().zip(dice).map(|(voice, dice)| mislead(voice, dice, &introductions)),
    );
    // A fetch waits for each of them all the time, so that the daemon keeps looking for them.
    let asking = future::join_all(names.iter().map(async |player| {
        loop {
            if alice.client().peer_fetch(player, None).await.is_ok() {
                panic!("{player} has no look");
            }
        }
    }));
    let end = tokio::time::Instant::from_std(Instant::now() + Duration::from_secs(seconds));
    tokio::select! {
        _ = misleading => unreachable!("they go on"),
        _ = asking => unreachable!("they go on"),
        () = tokio::time::sleep_until(end) => {}
    }
    let [allowed, forbidden] = ["allowed", "forbidden"].map(|group| counters.packets(group));
    println!("{} introductions; datagrams: {allowed} allowed, {forbidden} forbidden", introductions.get());
    assert!(introductions.get() >= u64::from(CONTACTS), "they were hardly asked for");
    assert!(allowed > 0, "nothing was dialled: the counters prove nothing");
    assert_eq!(forbidden, 0, "datagrams went where no contact may send them");
}
