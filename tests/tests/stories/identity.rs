//! The key: private, never replaced, and confirmed by a person when a known name comes with another.

use fyteclub_client::{Event, FaultCode};
use fyteclub_tests::{
    Process, Town, fault,
    mods::{Mod, arrived, assert_same},
    within,
};
use std::fs;

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let town = Town::new().await;
    let mut alice = town.resident("Alice Ashe@Gilgamesh").await;
    let key = alice.data().join("identity.key");
    let before = alice.client().status().await.expect("a status").peer_id;
    assert_eq!(fs::metadata(&key).expect("a key").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(alice.ipc()).expect("a socket").permissions().mode() & 0o777, 0o600);
    alice.client().shutdown().await.expect("it stops");
    alice.process().ended().await;

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
    let mut refused = Process::spawn("alice", alice.command(), town.path("refused.stderr"));
    assert_eq!(refused.ended().await.0.code(), Some(1));
    assert!(refused.log().contains("chmod 600"), "{}", refused.log());

    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
    alice.start().await;
    assert_eq!(alice.client().status().await.expect("a status").peer_id, before);
}

#[tokio::test]
async fn a_known_name_with_another_key_stops_and_asks() {
    let mut town = Town::new().await;
    // The phone book reveals no key of unlisted names.
    let mut alice = town.house("Alice Ashe@Gilgamesh").config("visibility = \"listed\"");
    let (bob, ()) = tokio::join!(town.resident("Bob Birch@Balmung"), alice.start());
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;

    // She lost her key, and the phone book forgot the name's owner.
    alice.client().shutdown().await.expect("it stops");
    alice.process().ended().await;
    fs::remove_file(alice.data().join("identity.key")).expect("removed");
    fs::remove_file(alice.data().join("published.bin")).expect("removed");
    town.phonebook.kill();
    town.phonebook.start().await;
    let mut events = bob.client().watch().await.expect("events");
    let mut refused = Process::spawn("alice", alice.command(), town.path("refused.stderr"));
    assert_eq!(refused.ended().await.0.code(), Some(1), "her contacts need the key");
    let mut with_new_key = alice.command();
    with_new_key.arg("--new-identity");
    let mut anew = Process::spawn("alice", with_new_key, town.path("anew.stderr"));
    anew.says("ready").await;
    drop(anew);
    alice.start().await;
    alice.publish(&look.folder).await;
    let new_key = alice.client().status().await.expect("a status").peer_id;

    let fault = fault(bob.try_fetch(&alice.player, None).await);
    assert_eq!((fault.code, fault.retryable), (FaultCode::KeyChanged, false), "{fault:?}");
    assert!(fault.message.contains("peers trust") && fault.message.contains(&new_key.to_string()));
    let changed = async {
        loop {
            if let Event::PeerKeyChanged { player, offered, .. } =
                events.next().await.expect("events").expect("an event")
            {
                return (player, offered);
            }
        }
    };
    assert_eq!(within("the event", changed).await, (alice.player.clone(), new_key));

    bob.client().peer_trust(&alice.player, &new_key).await.expect("trusted");
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}
