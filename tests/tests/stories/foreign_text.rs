//! Others' text forges nothing: neither a line of the log nor a row of a table.

#![cfg(unix)]

use fyteclub_proto::peer::{Control, HelloAck};
use fyteclub_tests::{
    Town, eventually,
    hostile::{Hostile, hear, say},
};
use std::fs;

const FORGED: &str = "2026-11-29T15:00:00.000000Z  INFO connected peer=FORGED";

#[tokio::test]
async fn a_close_reason_forges_no_line_of_the_log() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@Balmung").await;
    let evan = Hostile::new("Evan Eel@Exodus", 7);
    evan.move_in(&town.phonebook.url()).await;
    bob.takes_for_a_friend(&evan).await;
    let (client, player) = (bob.client().clone(), evan.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    let line = evan.accept().await;
    let (mut send, mut recv) = line.control().await;
    assert!(matches!(hear(&mut recv).await, Some(Control::Hello(_))));
    say(&mut send, &Control::HelloAck(HelloAck { version: 1, greeting: evan.greeting(None) })).await;
    let _request = line.request().await;
    let reason = format!("bye\n{FORGED}\u{202e}\r\x1b[2K");
    line.connection.close(0x70u32.into(), reason.as_bytes());
    let logs = bob.data().join("log");
    let text = eventually("the reason is in the log", async || {
        let file = fs::read_dir(&logs).expect("a folder").next()?.expect("readable");
        fs::read_to_string(file.path()).ok().filter(|text| text.contains("bye"))
    })
    .await;
    assert!(text.contains(r"bye\n2026"), "{text}");
    for line in text.lines() {
        assert!(!line.starts_with(FORGED), "{text}");
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
    fetch.abort();
}
