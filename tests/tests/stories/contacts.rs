//! Contacts with real daemons: what a stranger gets, what a removed contact loses, and what survives a restart.

use fyteclub_client::{Contact, Error, Event, Events, FaultCode, PeerState, Standing, Who};
use fyteclub_proto::{
    id::BlobHash,
    number::usize_of,
    peer::{CloseCode, Greeting, Piece, Request},
};
use fyteclub_tests::{
    Resident, Town, eventually, fault,
    hostile::{Hostile, Line},
    mods::{Mod, arrived, assert_same},
    within,
};
use quinn::ConnectionError;
use std::net::SocketAddr;

async fn dial(hostile: &Hostile, resident: &Resident) -> Line {
    let status = resident.client().status().await.expect("a status");
    let addr: SocketAddr = status.listen.parse().expect("an address");
    hostile.dial(addr, status.peer_id).await
}

async fn refused(line: &Line) {
    match within("the end", line.connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code.into_inner(), u64::from(CloseCode::Refused.number()));
        }
        other => panic!("{other}"),
    }
}

async fn event<T>(events: &mut Events, what: &str, mut is_it: impl FnMut(Event) -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = is_it(events.next().await.expect("events").expect("an event")) {
                return found;
            }
        }
    })
    .await
}

async fn standing(resident: &Resident, who: &Resident) -> Option<Standing> {
    let contacts = resident.client().contacts_list().await.expect("contacts");
    contacts.iter().find(|contact| contact.peer_id == Some(who.peer_id())).map(|contact| contact.standing)
}

#[tokio::test]
async fn greeting_stranger_gets_nothing() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    alice.publish(&look.folder).await;
    let hash = BlobHash::of(look.content.values().next().expect("a file"));
    let pieces = Request::Pieces(vec![Piece { hash, tree: true, first: 0, count: 1 }]);

    // Sends everything at once, without waiting for an answer.
    let stranger = Hostile::new("Stran Ger@Nowhere", 77);
    let line = dial(&stranger, &alice).await;
    let (appearance, pieces) = tokio::join!(line.appearance(), line.ask(&pieces));
    assert!(appearance.is_none());
    if let Ok(mut pieces) = pieces {
        assert!(pieces.read_to_end(1000).await.is_err());
    }
    refused(&line).await;

    // Neither a friend's name nor having been a contact helps.
    let friend = Hostile::new("Fri End@Nowhere", 78);
    alice.takes_for_a_friend(&friend).await;
    let line = dial(&friend, &alice).await;
    let _control = line.greet(friend.greeting(None)).await;
    assert!(line.appearance().await.is_some());
    refused(&dial(&Hostile::new("Fri End@Nowhere", 79), &alice).await).await;
    let blocked = alice.client().contacts_block(friend.player.clone()).await.expect("blocked");
    assert_eq!((blocked.standing, blocked.peer_id), (Standing::Blocked, Some(friend.peer_id())));
    refused(&line).await;
    refused(&dial(&friend, &alice).await).await;
    assert_eq!(alice.client().peer_list().await.expect("peers").len(), 0);
}

#[tokio::test]
async fn greeting_renames_no_contact() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let bob = town.resident("Bob Birch@Balmung").await;
    alice.befriend(&bob).await;
    let friend = Hostile::new("Fri End@Nowhere", 78);
    alice.takes_for_a_friend(&friend).await;
    let mut events = alice.client().watch().await.expect("events");
    let line = dial(&friend, &alice).await;
    let greeting = Greeting { player: Some(bob.player.clone()), ..friend.greeting(None) };
    let _control = line.greet(greeting).await;
    let connected = |event| match event {
        Event::PeerConnected { player, .. } => Some(player),
        _ => None,
    };
    assert_eq!(event(&mut events, "a link", connected).await.as_ref(), Some(&friend.player));
    let peers = alice.client().peer_list().await.expect("peers");
    let names: Vec<_> = peers.iter().map(|peer| peer.player.as_ref()).collect();
    assert_eq!(names, [Some(&friend.player)]);
}

#[tokio::test]
async fn one_sided_contact_is_not_admitted() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    alice.publish(&look.folder).await;
    assert_eq!(fault(bob.try_fetch(&alice.player, None).await).code, FaultCode::NotAContact);
    let added = bob.client().contacts_add(&alice.player, Some(&alice.peer_id())).await.expect("added");
    assert_eq!((added.standing, added.online), (Standing::Requested, false));
    // The phone book asks her daemon, which declines: as if she were absent.
    let fault = fault(bob.try_fetch(&alice.player, None).await);
    assert_eq!(fault.code, FaultCode::NotFound, "{fault:?}");
    assert_eq!(standing(&alice, &bob).await, Some(Standing::Asking));

    let mut events = bob.client().watch().await.expect("events");
    alice.client().contacts_add(&bob.player, Some(&bob.peer_id())).await.expect("added");
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    let paired = |event| match event {
        Event::ContactChanged { contact, removed: false } => Some(contact.standing),
        _ => None,
    };
    assert_eq!(event(&mut events, "a link pairs", paired).await, Standing::Paired);
    eventually("she knows as well", async || {
        (standing(&alice, &bob).await == Some(Standing::Paired)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_removed_contacts_transfer_stops_at_once() {
    const TOTAL: u64 = 400_000_000;
    let town = Town::new().await;
    let (mut alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 8, usize_of(TOTAL) / 8).write();
    alice.publish(&look.folder).await;
    let mut events = bob.client().watch().await.expect("events");
    let (client, player) = (bob.client().clone(), alice.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    let under_way = |event| match event {
        Event::TransferProgress(now) if now.bytes_done > 0 => Some(now.bytes_done),
        _ => None,
    };
    event(&mut events, "the first bytes", under_way).await;
    alice.client().contacts_remove(bob.player.clone()).await.expect("removed");
    let result = within("the fetch ends", fetch).await.expect("no panic");
    let Err(Error::Fault(fault)) = result else { panic!("it must not become complete: {result:?}") };
    assert!(fault.message.contains("no contact of theirs"), "{fault:?}");
    let stats = bob.client().cache_stats().await.expect("stats");
    assert!(stats.bytes < TOTAL, "{stats:?}");
    // The peer is gone at her side, and does not return.
    eventually("the peer is gone", async || {
        alice.client().peer_list().await.expect("peers").is_empty().then_some(())
    })
    .await;
    assert_eq!(standing(&alice, &bob).await, None);
    assert_eq!(self::fault(bob.try_fetch(&alice.player, None).await).code, FaultCode::PeerUnreachable);

    // A player who removes a contact is not served either, and is told at once.
    let gone = self::fault(alice.try_fetch(&bob.player, None).await);
    assert_eq!(gone.code, FaultCode::NotAContact);
    alice.client().shutdown().await.expect("it stops");
    alice.process().ended().await;
    alice.start().await;
    assert_eq!(standing(&alice, &bob).await, None, "also after a restart");
}

#[tokio::test]
async fn contacts_survive_a_restart_and_damage_is_refused() {
    let town = Town::new().await;
    let (mut alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    // Otherwise Bob's answer may arrive while she is down, or just after.
    alice.is_paired_with(&bob).await;
    // This answer means that the file is on the disk, with all changes before; a list shows memory.
    let blocked = Hostile::new("Mal Lory@Nowhere", 9).peer_id();
    alice.client().contacts_block(blocked).await.expect("blocked");
    let all = async |alice: &Resident| {
        let contacts = alice.client().contacts_list().await.expect("contacts");
        // `online` differs.
        contacts.into_iter().map(|contact| Contact { online: false, ..contact }).collect::<Vec<_>>()
    };
    let before = all(&alice).await;
    // SIGKILL: what was answered is on the disk.
    alice.kill();
    alice.start().await;
    assert_eq!(all(&alice).await, before);
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    alice.publish(&look.folder).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    let peers = alice.client().peer_list().await.expect("peers");
    assert_eq!((peers[0].player.as_ref(), peers[0].state), (Some(&bob.player), PeerState::Connected));

    alice.client().shutdown().await.expect("it stops");
    alice.process().ended().await;
    let file = alice.data().join("contacts.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    std::fs::write(&file, b"{}").expect("written");
    let mut daemon = fyteclub_tests::Process::spawn("alice", alice.command(), town.path("damaged.stderr"));
    assert_eq!(daemon.ended().await.0.code(), Some(1));
    assert!(daemon.log().contains("is damaged"), "{}", daemon.log());
    assert_eq!(std::fs::read(&file).expect("there"), b"{}");
}

/// With a phone book between them, both learn each other's key.
#[tokio::test]
async fn a_request_is_accepted() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    let mut hers = alice.client().watch().await.expect("events");
    let mut his = bob.client().watch().await.expect("events");
    let asked = bob.client().contacts_add(&alice.player, None).await.expect("asked");
    assert_eq!((asked.standing, asked.peer_id), (Standing::Requested, None));
    let fault = fault(bob.try_fetch(&alice.player, None).await);
    assert!(fault.code == FaultCode::NotAContact && fault.message.contains("not answered yet"), "{fault:?}");
    assert!(fault.retryable, "{fault:?}");

    let asks = |event| match event {
        Event::ContactRequest { contact } => Some(contact),
        _ => None,
    };
    let asking = event(&mut hers, "he asks", asks).await;
    assert_eq!((asking.player.as_ref(), asking.peer_id), (Some(&bob.player), Some(bob.peer_id())));
    assert_eq!(asking.standing, Standing::Asking);
    let accepted = alice.client().contacts_accept(bob.player.clone()).await.expect("accepted");
    assert_eq!(accepted.standing, Standing::Paired);
    let paired = |event| match event {
        Event::ContactChanged { contact, .. } if contact.standing == Standing::Paired => Some(contact),
        _ => None,
    };
    assert_eq!(event(&mut his, "she answers", paired).await.peer_id, Some(alice.peer_id()));
    look_both_ways(&town, &alice, &bob).await;
}

#[tokio::test]
async fn requests_cross() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    let (hers, his) = tokio::join!(
        alice.client().contacts_add(&bob.player, None),
        bob.client().contacts_add(&alice.player, None)
    );
    hers.and(his).expect("both asked");
    eventually("both are paired", async || {
        let both = (standing(&alice, &bob).await, standing(&bob, &alice).await);
        (both == (Some(Standing::Paired), Some(Standing::Paired))).then_some(())
    })
    .await;
    look_both_ways(&town, &alice, &bob).await;
}

#[tokio::test]
async fn an_invitation_is_followed_once() {
    let town = Town::new().await;
    let (alice, bob, carol) = tokio::join!(
        town.resident("Alice Ashe@Gilgamesh"),
        town.resident("Bob Birch@Balmung"),
        town.resident("Carol Cole@Gilgamesh")
    );
    let mut his = bob.client().watch().await.expect("events");
    let invited = alice.client().contacts_invite().await.expect("a link");
    assert!(invited.link.starts_with("fyteclub://join/"));
    let joined = bob.client().contacts_join(&invited.link).await.expect("joined");
    assert_eq!((joined.player.as_ref(), joined.peer_id), (Some(&alice.player), Some(alice.peer_id())));
    let paired = |event| match event {
        Event::ContactChanged { contact, .. } if contact.standing == Standing::Paired => Some(()),
        _ => None,
    };
    event(&mut his, "she answers", paired).await;
    look_both_ways(&town, &alice, &bob).await;
    // A late user of an invitation is told, and so is the inviter.
    let mut hers = alice.client().watch().await.expect("events");
    let refused = fault(carol.client().contacts_join(&invited.link).await);
    assert_eq!((refused.code, refused.retryable), (FaultCode::InvitationOver, false), "{refused:?}");
    let late = |event| match event {
        Event::InvitationTooLate { player, peer_id } => Some((player, peer_id)),
        _ => None,
    };
    let who = event(&mut hers, "she is told", late).await;
    assert_eq!(who, (carol.player.clone(), carol.peer_id()));
    assert_eq!((standing(&alice, &carol).await, standing(&carol, &alice).await), (None, None));
}

#[tokio::test]
async fn blocked_player_cannot_knock() {
    let town = Town::new().await;
    let (alice, bob, carol) = tokio::join!(
        town.resident("Alice Ashe@Gilgamesh"),
        town.resident("Bob Birch@Balmung"),
        town.resident("Carol Cole@Gilgamesh")
    );
    let mut hers = alice.client().watch().await.expect("events");
    alice.client().contacts_block(bob.peer_id()).await.expect("blocked");
    bob.client().contacts_add(&alice.player, None).await.expect("asked");
    carol.client().contacts_add(&alice.player, None).await.expect("asked");
    let asks = |event| match event {
        Event::ContactRequest { contact } => Some(contact.peer_id),
        _ => None,
    };
    assert_eq!(event(&mut hers, "the first who asks", asks).await, Some(carol.peer_id()));
    let declined: Who = carol.peer_id().into();
    alice.client().contacts_remove(declined).await.expect("declined");
    assert_eq!(standing(&alice, &carol).await, None);
    assert_eq!(standing(&alice, &bob).await, Some(Standing::Blocked));
}

async fn look_both_ways(town: &Town, alice: &Resident, bob: &Resident) {
    for (from, to, seed) in [(alice, bob, 1), (bob, alice, 2)] {
        let look = Mod::of_noise(town.path(&format!("look{seed}")), seed, 3, 100_000).write();
        from.publish(&look.folder).await;
        assert_same(&arrived(&to.fetch(&from.player).await), &look.content);
    }
}
