//! This player's private files: the data folder, the log, the contacts.

#![cfg(unix)]

use fyteclub_tests::Town;
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[tokio::test]
async fn folder_open_to_others_is_closed_at_start() {
    let town = Town::new().await;
    let mut alice = town.resident("Alice Ashe@Gilgamesh").await;
    let bob = town.resident("Bob Birch@Balmung").await;
    alice.befriend(&bob).await;
    let (folder, log) = (alice.data().to_owned(), alice.data().join("log"));
    let contacts = folder.join("contacts.json");
    assert_eq!(mode(&log), 0o700, "made for nobody else");
    alice.kill();
    for (path, open) in [(&folder, 0o755), (&log, 0o777), (&contacts, 0o644)] {
        fs::set_permissions(path, Permissions::from_mode(open)).expect("set");
    }
    alice.start().await;
    assert_eq!((mode(&folder), mode(&log), mode(&contacts)), (0o700, 0o700, 0o600));
    let said = alice.process().log();
    assert!(said.contains("other users could read") && said.contains("0755"), "{said}");
}
