//! Who may say where a daemon sends packets: a contact who tries.

use fyteclub_proto::{
    candidate::{Candidate, Candidates, Origin},
    letter::Topic,
    phonebook::live::{Hear, Say},
};
use fyteclub_tests::{Town, Voice, hostile::Hostile};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tokio::net::UdpSocket;

/// A place that counts what comes and says nothing.
struct Silent {
    candidate: Candidate,
    datagrams: Arc<AtomicU32>,
}

impl Silent {
    async fn open() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let addr = socket.local_addr().expect("bound");
        let datagrams = Arc::new(AtomicU32::new(0));
        let count = datagrams.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while socket.recv_from(&mut buffer).await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { candidate: Candidate { origin: Origin::Host, addr }, datagrams }
    }
}

#[tokio::test]
async fn a_contact_cannot_aim_the_daemon() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let eve = Hostile::new("Eve Elm@Nowhere", 71);
    alice.takes_for_a_friend(&eve).await;
    let mut voice = Voice::greet(&eve, &town.phonebook, &town.folder("eve")).await;
    let mut targets = Vec::new();
    for _ in 0..72 {
        targets.push(Silent::open().await);
    }
    let list = |part: &[Silent]| Candidates(part.iter().map(|target| target.candidate).collect()).encode();
    let (client, player) = (alice.client().clone(), eve.player.clone());
    let fetch = tokio::spawn(async move { client.fetch(&player, None).await });
    // Each time she is called she names eight places, and in eight more letters sixty-four others.
    let mut calls = 0;
    while calls < 2 {
        let Hear::Introduced { from, attempt, .. } = voice.hear().await else { continue };
        calls += 1;
        if calls == 2 {
            // The first try is over.
            break;
        }
        let letter = voice.letter(&from, Topic::Accept(attempt), &list(&targets[..8]));
        voice.say(Say::Accept { to: from, attempt, letter });
        for part in targets[8..].chunks(8) {
            let letter = voice.letter(&from, Topic::Candidates(attempt), &list(part));
            voice.say(Say::Candidates { to: from, attempt, letter });
        }
    }
    fetch.abort();
    let hit: Vec<u32> = targets.iter().map(|target| target.datagrams.load(Ordering::Relaxed)).collect();
    let places = hit.iter().filter(|count| **count > 0).count();
    assert!((1..=8).contains(&places), "{places} places of 72: {hit:?}");
    assert!(hit.iter().all(|count| *count <= 16), "{hit:?}");
}
