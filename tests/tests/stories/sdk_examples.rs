//! The SDK's examples, against daemons.

use fyteclub_tests::{Process, Resident, Town, mods, program};
use std::{
    fs,
    process::{Command, Output},
};

fn example(name: &str, resident: &Resident) -> Command {
    let mut command = Command::new(program(&format!("examples/{name}")));
    command.env("FYTECLUB_IPC", resident.ipc());
    command
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn examples_publish_watch_and_fetch() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));

    // No contact yet: the example asks to become one.
    let output = example("fetch", &bob).arg(alice.player.as_str()).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output).0, "asking Alice Ashe@Gilgamesh to be a contact\n");
    assert!(bob.contacts().await.iter().any(|contact| contact.player.as_ref() == Some(&alice.player)));

    // Bob has asked, so one side's consent is all that is missing.
    alice.client().contacts_add(&bob.player, Some(&bob.peer_id())).await.expect("added");
    tokio::join!(alice.is_paired_with(&bob), bob.is_paired_with(&alice));
    let mut watch = Process::spawn("watch", example("watch", &bob), town.path("watch.stderr"));
    assert!(watch.says("daemon ").await.ends_with("speaks version 1"));

    let bytes = mods::noise(1, 300_000);
    let (file, wrong) = (town.path("a.tex"), town.path("a.exe"));
    fs::write(&file, &bytes).expect("a file");
    fs::write(&wrong, b"x").expect("a file");
    let pair = |game_path: &str, path: &std::path::Path| format!("{game_path}={}", path.display());
    let pairs = [pair("chara/a.tex", &file), pair("chara/a.exe", &wrong)];
    let output = example("publish", &alice).args(pairs).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let (out, _) = said(&output);
    assert!(out.contains(": 1 files, 300000 bytes") && out.contains("left out chara/a.exe: "), "{out}");

    let output = example("fetch", &bob).arg(alice.player.as_str()).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let (out, _) = said(&output);
    let path = out.trim().strip_prefix("chara/a.tex = ").unwrap_or_else(|| panic!("{out}"));
    assert_eq!(fs::read(path).expect("it is there"), bytes);
    watch.says("Alice Ashe@Gilgamesh is ready: 1 files").await;

    // Without a daemon the example prints one sentence.
    let mut command = example("fetch", &bob);
    let output = command.env("FYTECLUB_IPC", town.path("nobody.sock")).arg(alice.player.as_str()).output();
    let (_, why) = said(&output.expect("it runs"));
    assert!(why.contains("no FyteClub daemon listens") || why.contains("not now"), "{why}");
}
