//! Who may name addresses that a daemon dials, and whom a name means: a hostile contact and a squatter.

use fyteclub_client::{Event, Standing};
use fyteclub_proto::{
    codec,
    knock::Note,
    letter::Topic,
    phonebook::live::{Hear, Say},
    reaching::candidate::{Candidate, Candidates, Origin},
};
use fyteclub_tests::{Phonebook, Town, Voice, eventually, hostile::Hostile, within};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::net::UdpSocket;

/// A socket that counts datagrams and sends none.
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
    let mut voice = Voice::greet(&eve, &town.phonebook).await;
    let mut targets = Vec::new();
    for _ in 0..72 {
        targets.push(Silent::open().await);
    }
    let list = |part: &[Silent]| Candidates(part.iter().map(|target| target.candidate).collect()).encode();
    let (client, player) = (alice.client().clone(), eve.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    // In each introduction she names eight addresses, and in eight more letters sixty-four others.
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

#[tokio::test]
async fn squatter_at_a_second_phone_book_is_reported() {
    let town = Town::new().await;
    let second = Phonebook::another(&town, "second").await;
    let bob = town.resident("Bob Birch@Balmung").await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").phonebooks(&[town.phonebook.url(), second.url()]);
    alice.start().await;
    alice.is_introduced_by_all().await;
    // The name is Bob's at the first phone book; at the second somebody else registered it.
    let squatter = Hostile::new("Bob Birch@Balmung", 72);
    squatter.move_in(&second.url()).await;
    let mut voice = Voice::greet(&squatter, &second).await;
    let mut events = alice.client().watch().await.expect("events");
    alice.client().contacts_add(&bob.player, None).await.expect("asked");
    // Bob does not answer yet; the squatter accepts at once.
    let knock = loop {
        if let Hear::Knock { knock, .. } = voice.hear().await {
            break knock;
        }
    };
    let yes = codec::encode(&Note::Accepted { name: squatter.player.clone(), nonce: knock.nonce });
    let letter = voice.letter(&knock.from, Topic::Note, &yes);
    voice.say(Say::Note { to: knock.from, letter });
    // Then Bob accepts, too.
    eventually("Bob is asked", async || {
        let contacts = bob.contacts().await;
        contacts.iter().any(|contact| contact.standing == Standing::Asking).then_some(())
    })
    .await;
    bob.client().contacts_accept(alice.player.clone()).await.expect("accepted");
    let keys = within("a person is asked", async {
        loop {
            if let Event::ContactDisputed { keys, .. } = events.next().await.expect("events").expect("one") {
                return keys;
            }
        }
    })
    .await;
    assert_eq!(BTreeSet::from_iter(keys), BTreeSet::from([bob.peer_id(), squatter.peer_id()]));
    let contacts = alice.contacts().await;
    assert!(contacts.iter().all(|contact| contact.standing == Standing::Requested), "{contacts:?}");
    // The person says whom they mean.
    alice.client().contacts_add(&bob.player, Some(&bob.peer_id())).await.expect("that one");
    alice.is_paired_with(&bob).await;
}
