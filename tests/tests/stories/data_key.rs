//! The data key is replaced in the middle of a transfer, without an effect on it.

use fyteclub_client::Event;
use fyteclub_proto::number::u64_of;
use fyteclub_tests::{
    Town,
    mods::{Mod, arrived, assert_same},
};
use std::time::Duration;

#[tokio::test]
async fn keys_change_while_bytes_flow_and_nothing_stops() {
    const KEY: u64 = 32 << 20;
    const FILES: usize = 10;
    let town = Town::alone().await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").env("FYTECLUB_DATA_KEY_BYTES", KEY);
    let (bob, ()) = tokio::join!(town.resident("Bob Birch@Balmung"), alice.start());
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, FILES, 16 << 20).write();
    alice.publish(&look.folder).await;
    let mut events = bob.client().watch().await.expect("events");
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);

    let changes = u64_of(alice.process().log().matches("the data key changes").count());
    // Streams count the bytes that they announce, a little more than they carry.
    let due = (u64_of(FILES)) * (16 << 20) / KEY;
    assert!((due - 1..=due + 1).contains(&changes), "{changes} of {due}");
    let mut parted = 0;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(300), events.next()).await {
        parted += usize::from(matches!(event, Ok(Event::PeerDisconnected { .. })));
    }
    assert_eq!(parted, 0, "the link stays");
}
