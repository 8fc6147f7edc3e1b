//! The daemon's settings: few are needed, and wrong ones are explained.

#![cfg(unix)]

use fyteclub_client::{Client, FaultCode, PeerId};
use fyteclub_tests::{Process, Town, fault, mods::Mod, program};
use std::{fs, process::Command};

#[tokio::test]
async fn nothing_but_a_data_folder_is_enough() {
    let town = Town::new().await;
    let mut command = Command::new(program("fyteclubd"));
    command.arg("run").arg("--data-dir").arg(town.path("data"));
    command.env("XDG_RUNTIME_DIR", town.folder("runtime"));
    let mut daemon = Process::spawn("a daemon", command, town.path("daemon.stderr"));
    daemon.says("ready").await;
    let socket = town.path("runtime/fyteclub/fyteclubd.sock");
    let client = Client::connect(socket.to_str().expect("Unicode")).await.expect("the default place");
    let status = client.status().await.expect("a status");
    assert_eq!((status.player, status.phonebooks.len(), status.appearance), (None, 0, None));

    let look = Mod::of_noise(town.path("mod"), 1, 1, 10).write();
    let nobody = fault(client.appearance_publish_mod(&look.folder, vec![]).await);
    assert_eq!(nobody.code, FaultCode::NoPlayer);
    assert!(nobody.message.contains("--player"), "{nobody:?}");
    let name = "Alice Ashe@Gilgamesh".parse().expect("a name");
    let nobody = fault(client.peer_fetch(&name, None).await);
    assert_eq!(nobody.code, FaultCode::NotAContact);
    assert!(
        nobody.message.contains("contacts add") && nobody.message.contains("contacts join"),
        "{nobody:?}"
    );
    let nameless = fault(client.contacts_add(&name, None).await);
    assert_eq!(nameless.code, FaultCode::NoPlayer);
    client.contacts_add(&name, Some(&PeerId::from_bytes([7; 32]))).await.expect("added");
    let nowhere = fault(client.peer_fetch(&name, None).await);
    assert_eq!(nowhere.code, FaultCode::BadRequest);
    assert!(nowhere.message.contains("--phonebook"), "{nowhere:?}");

    // A second daemon runs beside it, with another folder.
    let mut command = Command::new(program("fyteclubd"));
    command.arg("run").arg("--data-dir").arg(town.path("data2"));
    command.env("XDG_RUNTIME_DIR", town.folder("runtime"));
    let mut second = Process::spawn("a second daemon", command, town.path("second.stderr"));
    second.says("ready").await;
    let socket = town.path("data2/fyteclubd.sock");
    Client::connect(socket.to_str().expect("Unicode")).await.expect("its own place");
}

#[tokio::test]
async fn a_bad_configuration_is_explained() {
    let town = Town::new().await;
    let check = |line: &str| {
        let folder = town.folder("checked");
        fs::write(folder.join("config.toml"), line).expect("written");
        let mut command = Command::new(program("fyteclubd"));
        command.args(["check-config", "--data-dir"]).arg(&folder);
        let output = command.output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    for (line, says) in [
        ("player = \"Alice\"", "@"),
        ("cache_limit = \"lots\"", "20 GiB"),
        ("phonebooks = [\"ftp://x\"]", "http://HOST:PORT"),
        ("min_free = \"some\"", "1 GiB"),
        ("heartbeat = 0", "1 to 3600"),
        ("contact_requests = \"all\"", "ask or nobody"),
        ("plaer = \"x\"", "plaer"),
        ("= broken", "config.toml"),
    ] {
        let (code, said) = check(line);
        assert_eq!(code, Some(2), "{line}: {said}");
        assert!(said.contains(says), "{line}: {said}");
    }
    let (code, said) = check("player = \"Alice Ashe@Gilgamesh\"\ncache_limit = \"1 GiB\"\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Alice Ashe@Gilgamesh") && said.contains("1024 MiB"), "{said}");
}

#[tokio::test]
async fn two_daemons_do_not_share_a_folder() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut command = Command::new(program("fyteclubd"));
    command.arg("run").arg("--data-dir").arg(alice.data()).arg("--ipc").arg(town.path("other.sock"));
    let mut second = Process::spawn("a second daemon", command, town.path("second.stderr"));
    assert_eq!(second.ended().await.0.code(), Some(1));
    assert!(second.log().contains("another daemon uses"), "{}", second.log());
    let mut command = Command::new(program("fyteclubd"));
    command.arg("run").arg("--data-dir").arg(town.path("other")).args(["--ipc", alice.ipc()]);
    let mut third = Process::spawn("a third daemon", command, town.path("third.stderr"));
    assert_eq!(third.ended().await.0.code(), Some(1));
    assert!(third.log().contains("another daemon listens"), "{}", third.log());
    alice.client().status().await.expect("the first goes on");
}
