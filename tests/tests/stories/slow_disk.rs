//! A disk that hangs when a small file is written: only the caller waits.

#![cfg(unix)]

use fyteclub_client::{Error, FaultCode};
use fyteclub_tests::{
    Town, eventually, fault,
    mods::{Mod, arrived, assert_same},
    within,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{fs, path::Path};
use tokio::task::JoinHandle;

/// A pipe in the place of the temporary file: the writer's open blocks until somebody reads.
fn clog(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
}

/// Unblocks the writer, which then fails because this is no file.
fn unclog(path: &Path) {
    drop(fs::File::open(path).expect("a writer waits"));
    fs::remove_file(path).expect("removed");
}

/// The request is answered when the disk answers: with an error, since a pipe cannot be synced.
async fn answer<T: std::fmt::Debug + Send + 'static>(asked: JoinHandle<Result<T, Error>>, clogged: &Path) {
    assert!(!asked.is_finished(), "nothing is promised before it is safe");
    unclog(clogged);
    let fault = fault(within("the answer", asked).await.expect("it ends"));
    assert_eq!(fault.code, FaultCode::Io, "{fault:?}");
    assert!(fault.message.contains("until the daemon stops"), "{fault:?}");
}

#[tokio::test]
async fn hung_disk_delays_no_other_request() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 20, 100_000).write();

    tokio::join!(alice.is_paired_with(&bob), bob.is_paired_with(&alice));
    // Answered when it is on the disk, and so is what the pairing still had to write.
    alice.client().contacts_invite().await.expect("an invitation");
    let clogged = alice.data().join("contacts.new");
    clog(&clogged);
    let client = alice.client().clone();
    let asked = tokio::spawn(async move { client.contacts_invite().await });
    for _ in 0..20 {
        within("an answer of who writes nothing", alice.client().status()).await.expect("a status");
    }
    answer(asked, &clogged).await;

    let clogged = alice.data().join("published.new");
    clog(&clogged);
    let (client, folder) = (alice.client().clone(), look.folder.clone());
    let asked = tokio::spawn(async move { client.appearance_publish_mod(&folder, vec![]).await });
    // It is published already, and can be fetched.
    let fetched = eventually("her look", async || bob.try_fetch(&alice.player, None).await.ok()).await;
    assert_same(&arrived(&fetched), &look.content);
    answer(asked, &clogged).await;

    // The next write succeeds.
    alice.client().contacts_invite().await.expect("kept");
    alice.publish(&look.folder).await;
    assert!(alice.data().join("published.bin").exists());
}
