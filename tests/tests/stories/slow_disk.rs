//! A disk that does not answer when a small file is to be written: who asked waits, and nobody else.

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

/// In the place of the file that is written beside another: who opens it to write waits until somebody reads.
fn clog(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
}

/// Lets the writer go on, who then finds that this is no file.
fn unclog(path: &Path) {
    drop(fs::File::open(path).expect("a writer waits"));
    fs::remove_file(path).expect("removed");
}

/// What was asked is answered when the disk answers: with its error, since a pipe cannot be flushed.
async fn answer<T: std::fmt::Debug + Send + 'static>(asked: JoinHandle<Result<T, Error>>, clogged: &Path) {
    assert!(!asked.is_finished(), "nothing is promised before it is safe");
    unclog(clogged);
    let fault = fault(within("the answer", asked).await.expect("it ends"));
    assert_eq!(fault.code, FaultCode::Io, "{fault:?}");
    assert!(fault.message.contains("until the daemon stops"), "{fault:?}");
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_nobody_else() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 20, 100_000).write();

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
    // It is offered already, and travels.
    let fetched = eventually("her look", async || bob.try_fetch(&alice.player, None).await.ok()).await;
    assert_same(&arrived(&fetched), &look.content);
    answer(asked, &clogged).await;

    // And the next time it is kept.
    alice.client().contacts_invite().await.expect("kept");
    alice.publish(&look.folder).await;
    assert!(alice.data().join("published.bin").exists());
}
