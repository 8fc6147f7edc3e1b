//! `fyteclubctl doctor`: what it finds, and the exit code for scripts.

use fyteclub_tests::{Resident, Town, eventually, program};
use serde_json::Value;
use std::process::Command;

/// The exit code and the findings.
fn doctor(resident: &Resident, who: Option<&str>) -> (Option<i32>, Vec<Value>) {
    let mut command = Command::new(program("fyteclubctl"));
    command.args(["--ipc", resident.ipc(), "--json", "doctor"]).args(who);
    let output = command.output().expect("it runs");
    let mut found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let Value::Array(findings) = found["findings"].take() else { panic!("{found}") };
    (output.status.code(), findings)
}

#[tokio::test]
async fn phone_book_that_is_down_is_found() {
    let mut town = Town::new().await;
    town.phonebook.kill();
    let mut alice = town.house("Alice Ashe@Gilgamesh");
    alice.start_unfound().await;
    let (code, found) = doctor(&alice, None);
    assert_eq!(code, Some(6), "{found:?}");
    let worst = &found[0];
    assert_eq!((&worst["code"], &worst["severity"]), (&"phone_book_silent".into(), &"blocks".into()));
    let sentence = worst["sentence"].as_str().expect("text");
    assert!(sentence.contains(&town.phonebook.url()) && sentence.contains("does not answer"), "{sentence}");
    let (code, found) = doctor(&alice, Some("Bob Birch@Balmung"));
    assert_eq!((code, &found[0]["code"]), (Some(6), &"peer_unknown".into()), "{found:?}");
    town.phonebook.start().await;
    eventually("nothing is wrong any more", async || {
        // The daemons of stories listen on loopback, as their phone book does.
        let (code, found) = doctor(&alice, None);
        (code == Some(0) && found.iter().all(|finding| finding["severity"] == "note")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn player_is_explained_by_their_link() {
    let town = Town::new().await;
    let (mut alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    tokio::join!(alice.is_introduced(), bob.is_introduced());
    alice.befriend(&bob).await;
    let look = fyteclub_tests::mods::Mod::of_noise(town.path("mod"), 1, 1, 100).write();
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;
    let name = alice.player.to_string();
    let (code, found) = doctor(&bob, Some(&name));
    assert_eq!((code, &found[0]["code"]), (Some(0), &"peer_connected".into()), "{found:?}");
    let (code, found) = doctor(&bob, Some(&alice.peer_id().to_string()));
    assert_eq!((code, &found[0]["code"]), (Some(0), &"peer_connected".into()), "{found:?}");
    alice.kill();
    eventually("the broken link is told", async || {
        let (code, found) = doctor(&bob, Some(&name));
        let is_told = ["peer_not_reached", "peer_offline"].iter().any(|told| found[0]["code"] == *told);
        (code == Some(6) && is_told).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bundle_has_no_name_key_address_or_secret() {
    let town = Town::new().await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").env("USER", "someuser");
    alice = alice.config("visibility = \"hidden\"\nhidden_secret = \"long enough to be one\"");
    let mut bob = town.house("Bob Birch@Balmung");
    tokio::join!(alice.start(), bob.start());
    alice.befriend(&bob).await;
    let look = fyteclub_tests::mods::Mod::of_noise(town.path("mod"), 1, 1, 100).write();
    bob.publish(&look.folder).await;
    alice.fetch(&bob.player).await;
    let file = town.path("bundle of someuser.txt");
    let run = || {
        let mut command = Command::new(program("fyteclubctl"));
        command.args(["--ipc", alice.ipc(), "doctor", "--bundle"]).arg(&file).output().expect("it runs")
    };
    let output = run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).expect("written");
    for part in [
        "# Configuration",
        "# Findings",
        "# State",
        "# Log",
        "visibility  = hidden",
        "player      = PLAYER1",
        "\"player\": \"PLAYER2\"",
        "\"peerId\": \"KEY1\"",
        "\"peerId\": \"KEY2\"",
        "peer=KEY2",
        "listening",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let keys = [alice.peer_id(), bob.peer_id()];
    let short = keys.map(|key| key.short());
    let names = ["Alice", "Ashe", "Gilgamesh", "Bob", "Birch", "Balmung"];
    let secrets = ["ed25519:", "long enough to be one", "someuser"];
    for secret in names.into_iter().chain(secrets).chain(short.iter().map(String::as_str)) {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(!run().status.success(), "a file that is there stays");
}
