//! A contact who uses all that the protocol allows: unread answers, ever new looks, links without a greeting. The
//! ledger bounds and shows it.

use fyteclub_client::{
    AppearancePublish, BlobHash, FaultCode, LocalObject, NearPlayer, NearbySet, ObjectKind,
};
use fyteclub_proto::{
    limit::APPEARANCE_BYTES_MAX,
    number::usize_of,
    peer::{Control, Request},
};
use fyteclub_tests::{
    Resident, Town, eventually, fault,
    hostile::{Hostile, Line, hear, look, say, shout},
    within,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

const MIB: u64 = 1 << 20;
/// Unread requests on one link: one fewer than the allowed streams.
const UNREAD: usize = 15;

async fn dial(hostile: &Hostile, resident: &Resident) -> Line {
    let status = resident.client().status().await.expect("a status");
    let addr: SocketAddr = status.listen.parse().expect("an address");
    hostile.dial(addr, status.peer_id).await
}

/// A look whose document has nearly seven MiB, and no file.
fn long_look() -> AppearancePublish {
    let text = |n: u8| Some(char::from(b'a' + n).to_string().repeat(usize_of(MIB) - 1024));
    let object = |(n, kind)| LocalObject {
        kind,
        files: vec![],
        swaps: vec![],
        glamourer: text(n),
        customize_plus: text(n + 10),
    };
    let kinds = [ObjectKind::Player, ObjectKind::Pet, ObjectKind::Companion];
    AppearancePublish { objects: (0..).zip(kinds).map(object).collect(), ..AppearancePublish::default() }
}

#[tokio::test]
async fn unread_documents_hold_little_memory() {
    let town = Town::new().await;
    let mut alice = town.resident("Alice Ashe@Gilgamesh").await;
    let greedy = Hostile::new("Gree Dy@Nowhere", 201);
    alice.takes_for_a_friend(&greedy).await;
    alice.client().appearance_publish(long_look()).await.expect("published");
    // Once in full, so that the cost of one is not growth.
    let line = dial(&greedy, &alice).await;
    let _control = line.greet(greedy.greeting(None)).await;
    let document = within("her look", line.appearance()).await.expect("a document");
    assert!((5 * usize_of(MIB)..APPEARANCE_BYTES_MAX).contains(&document.len()), "{}", document.len());

    let before = alice.process().memory();
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let asked = within("a stream is free", line.ask(&Request::Appearance)).await;
        unread.push(asked.expect("a stream"));
    }
    let highest = async {
        let mut highest = 0;
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            alice.client().status().await.expect("she answers");
            highest = highest.max(alice.process().memory().unwrap_or_default());
        }
        highest
    }
    .await;
    match before {
        Some(before) => {
            println!(
                "{UNREAD} unread documents of {} bytes hold {} KiB",
                document.len(),
                (highest.saturating_sub(before)) >> 10
            );
            assert!(highest < before + 16 * MIB, "grew from {before} to {highest} bytes");
        }
        None => fyteclub_tests::skipped("this system does not tell how much memory a process has"),
    }
    // A peer that reads all of them gets all, one after the other.
    let reads = unread.iter_mut().map(|recv| recv.read_to_end(APPEARANCE_BYTES_MAX + 1024));
    for read in within("all are answered", futures::future::join_all(reads)).await {
        assert!(read.is_ok_and(|bytes| bytes.len() > document.len()));
    }
}

/// Answers every request for a document with a new one of about so many bytes, and publishes another at once; returns
/// the number of requests within this time.
async fn renames(
    line: &Line,
    control: &mut quinn::SendStream,
    hostile: &Hostile,
    len: usize,
    time: Duration,
) -> u32 {
    let (mut asked, mut turn) = (0, 0_u64);
    let serving = async {
        while let Some((mut send, request)) = line.request().await {
            if request != Request::Appearance {
                continue;
            }
            asked += 1;
            turn += 1;
            let mut wearing = look(&BTreeMap::new());
            wearing.meta = Some(format!("{turn} {}", "x".repeat(len)));
            line.send_appearance(&mut send, &hostile.signed_as(hostile.player.clone(), wearing)).await;
            say(control, &Control::Published(Some(BlobHash::of(&turn.to_le_bytes())))).await;
        }
        panic!("she hung up");
    };
    // The count is of a period, so it has to pass.
    tokio::time::timeout(time, serving).await.ok();
    asked
}

#[tokio::test]
async fn documents_spend_the_prefetch_budget() {
    let town = Town::new().await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").config("prefetch_budget = \"3 MiB\"");
    alice.start().await;
    let greedy = Hostile::new("Gree Dy@Nowhere", 202);
    alice.takes_for_a_friend(&greedy).await;
    let line = dial(&greedy, &alice).await;
    let (mut send, _recv) = line.greet(greedy.greeting(Some(BlobHash::of(b"first")))).await;
    let time = Duration::from_secs(8);
    let asked = renames(&line, &mut send, &greedy, 900_000, time).await;
    println!("a renamed look of 900 kB was fetched {asked} times within {time:?}");
    assert!((1..=4).contains(&asked), "{asked} documents, and nobody asked for one");
}

#[tokio::test]
async fn new_looks_are_fetched_every_few_seconds() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let greedy = Hostile::new("Gree Dy@Nowhere", 203);
    alice.takes_for_a_friend(&greedy).await;
    let near = NearPlayer { player: greedy.player.clone(), distance: 1.0.try_into().expect("a distance") };
    let change = NearbySet { add: vec![near], ..NearbySet::default() };
    alice.client().nearby_set(change).await.expect("set");
    let line = dial(&greedy, &alice).await;
    let (mut send, _recv) = line.greet(greedy.greeting(Some(BlobHash::of(b"first")))).await;
    let time = Duration::from_secs(15);
    let asked = renames(&line, &mut send, &greedy, 1000, time).await;
    println!("the look of who is near was fetched {asked} times within {time:?}");
    // Eight at once, and one in five seconds.
    assert!((2..=12).contains(&asked), "{asked} documents");
}

#[tokio::test]
async fn banned_peer_is_not_dialled() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let liar = Hostile::new("Li Ar@Nowhere", 204);
    alice.takes_for_a_friend(&liar).await;
    liar.move_in(&town.phonebook.url()).await;
    let (client, player) = (alice.client().clone(), liar.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    let line = liar.accept().await;
    let (_send, _recv) = line.greet(liar.greeting(None)).await;
    let (mut send, _) = within("a request", line.request()).await.expect("for the look");
    // No correct program writes this.
    shout(&mut send, &[0xff; 64]).await;
    let fault_of = |result| fault::<fyteclub_client::Fetched>(result).code;
    assert_eq!(fault_of(within("it is over", fetch).await.expect("no panic")), FaultCode::PeerMisbehaved);
    // Fetched again at once: he is not dialled, whatever the phone book says.
    let again = alice.try_fetch(&liar.player, None);
    let dialled = async {
        liar.accept().await;
        panic!("a banned peer was dialled");
    };
    let refused = tokio::select! { refused = again => refused, () = dialled => unreachable!() };
    assert_eq!(fault_of(refused), FaultCode::PeerUnreachable);
}

#[tokio::test]
async fn links_without_a_greeting_are_few() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mute = Hostile::new("Mu Te@Nowhere", 205);
    alice.takes_for_a_friend(&mute).await;
    let mut lines = Vec::new();
    for _ in 0..12 {
        lines.push(dial(&mute, &alice).await);
    }
    // Too many links is code 9, a missing greeting is 8.
    let codes = eventually("the others are closed upon", async || {
        let codes = lines.iter().map(|line| match line.connection.close_reason() {
            Some(quinn::ConnectionError::ApplicationClosed(close)) => Some(close.error_code.into_inner()),
            _ => None,
        });
        let codes: Vec<_> = codes.flatten().collect();
        (codes.len() >= 8).then_some(codes)
    })
    .await;
    let refused = codes.iter().filter(|code| **code == 9).count();
    assert!(refused >= 8 || lines.len() - refused <= 8, "{codes:?}");
    assert!(codes.contains(&9), "{codes:?}");
    // A greeted link is accepted once there is a place.
    drop(lines);
    within("a greeting is answered", async {
        loop {
            let line = dial(&mute, &alice).await;
            let (mut send, mut recv) = line.control().await;
            let hello = fyteclub_proto::peer::Hello { versions: vec![1], greeting: mute.greeting(None) };
            say(&mut send, &Control::Hello(hello)).await;
            if hear::<Control>(&mut recv).await.is_some() {
                return;
            }
        }
    })
    .await;
}
