//! The command line through the real binaries: its `--json` output is a contract with scripts.

use fyteclub_client::PeerId;
use fyteclub_tests::{Process, Resident, Town, mods::Mod, program};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

fn ctl(resident: &Resident, args: &[&str]) -> Output {
    let mut command = Command::new(program("fyteclubctl"));
    command.args(["--ipc", resident.ipc(), "--json"]).args(args).output().expect("it runs")
}

fn json(resident: &Resident, args: &[&str]) -> Value {
    let output = ctl(resident, args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {err}");
    assert_eq!(out.trim_end().lines().count(), 1, "{args:?}: one document: {out}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
}

/// The object has these keys and no others.
#[track_caller]
fn has_keys(value: &Value, keys: &str) {
    let mut expected: Vec<&str> = keys.split(' ').collect();
    expected.sort_unstable();
    let mut found: Vec<&String> = value.as_object().expect("an object").keys().collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{value}");
}

#[tokio::test]
async fn a_look_by_hand() {
    let town = Town::new().await;
    let (alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::new(town.path("mod"))
        .file("chara/a.tex", &fyteclub_tests::mods::noise(1, 300_000))
        .claim("chara/missing.tex", "files/nowhere.tex")
        .option("Colour", "Pink", "chara/c.tex", b"pink")
        .option("Colour", "Blue", "chara/c.tex", b"blue!")
        .write();
    let folder = look.folder.to_str().expect("Unicode");

    let mut command = Command::new(program("fyteclubctl"));
    command.args(["--ipc", bob.ipc(), "watch", "--json"]);
    let mut watch = Process::spawn("watch", command, town.path("watch.stderr"));
    let state: Value = serde_json::from_str(&watch.says("").await).expect("JSON");
    assert_eq!(state["event"], "state");

    let published = json(&alice, &["publish", folder, "--option", "Colour=Blue"]);
    has_keys(&published, "appearance files bytes leftOut");
    assert_eq!((published["files"].as_u64(), published["bytes"].as_u64()), (Some(2), Some(300_005)));
    has_keys(&published["leftOut"][0], "gamePath file reason");
    assert_eq!(published["leftOut"][0]["gamePath"], "chara/missing.tex");

    let out = town.path("out");
    let fetched = json(&bob, &["fetch", alice.player.as_str(), "--out", out.to_str().expect("Unicode")]);
    for key in
        ["player", "appearance", "files", "bytesTotal", "bytesTransferred", "seconds", "path", "bytesFetched"]
    {
        assert!(!fetched[key].is_null(), "{key}: {fetched}");
    }
    assert_eq!(fetched["appearance"], published["appearance"]);
    for file in fetched["files"].as_array().expect("a list") {
        assert!(file["gamePaths"].is_array() && file["size"].is_u64(), "{file}");
        assert!(file["hash"].as_str().is_some_and(|hash| hash.starts_with("b3:")), "{file}");
        assert!(Path::new(file["path"].as_str().expect("a path")).is_file(), "{file}");
    }
    assert!(out.join("default_mod.json").is_file() && out.join("meta.json").is_file());
    for event in ["appearance.offered", "appearance.ready"] {
        watch.says(&format!("{{\"event\":\"{event}\"")).await;
    }

    let status = json(&bob, &["status"]);
    has_keys(
        &status,
        "version peerId player listen portMapping mapping network phonebooks appearance appearanceTrouble peers transfers cache seq ledger",
    );
    has_keys(&status["phonebooks"][0], "url ok live lastAnswer error");
    has_keys(&status["peers"][0], "player peerId state path rttMs paths");
    has_keys(&status["peers"][0]["paths"][0], "path inUse rttMs");
    assert_eq!(status["peers"][0]["state"], "connected");
    assert_eq!(status["peers"][0]["path"], "loopback");
    for key in ["bytes", "files", "limit"] {
        assert!(status["cache"][key].is_u64(), "{status}");
    }
    assert_eq!(json(&bob, &["peers"])["peers"][0]["player"], alice.player.as_str());
    assert_eq!(json(&bob, &["cache", "stats"])["files"], 2);
    assert_eq!(json(&bob, &["cache", "verify"])["bad"], serde_json::json!([]));

    let complains = |args: &[&str], code: i32, words: &str| {
        let output = ctl(&bob, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{args:?}: {said}");
        assert!(said.lines().count() == 1 && said.contains(words), "{args:?}: {said}");
    };
    let nobody = "No Body@Nowhere";
    complains(&["fetch", nobody], 1, "contacts add");
    let key = PeerId::from_bytes([7; 32]).to_string();
    let asked = json(&bob, &["contacts", "add", nobody]);
    has_keys(&asked, "player standing since online");
    assert_eq!((asked["standing"].as_str(), asked["peerId"].is_null()), (Some("requested"), true));
    complains(&["fetch", nobody], 4, "not answered yet");
    complains(&["contacts", "add", nobody], 1, "already");
    complains(&["contacts", "accept", nobody], 1, "was asked");
    complains(&["contacts", "block", nobody], 1, "only a key");
    assert_eq!(json(&bob, &["contacts", "add", nobody, &key])["peerId"], key);
    complains(&["fetch", nobody], 4, "cannot be found");
    assert_eq!(json(&bob, &["contacts", "block", &key])["standing"], "blocked");
    complains(&["contacts", "add", nobody, &key], 1, "unblock");
    json(&bob, &["contacts", "unblock", &key]);
    complains(&["contacts", "remove", nobody], 1, "no contact");
    let link = json(&bob, &["contacts", "invite"])["link"].as_str().expect("a link").to_owned();
    complains(&["contacts", "join", &link], 1, "your own");
    complains(&["contacts", "join", &link[..60]], 1, "copy the whole link");
    let joined = json(&alice, &["contacts", "join", &link]);
    assert_eq!(
        (joined["player"].as_str(), joined["online"].as_bool()),
        (Some(bob.player.as_str()), Some(true))
    );
    let contacts = json(&bob, &["contacts", "list"]);
    assert_eq!(contacts["contacts"].as_array().map(Vec::len), Some(1), "{contacts}");
    assert_eq!(contacts["contacts"][0]["standing"], "paired", "a link with her was open: {contacts}");
    watch.says("{\"event\":\"contact.changed\"").await;

    json(&bob, &["shutdown"]);
    assert_eq!(bob.process().ended().await.0.code(), Some(0));
    assert_eq!(watch.ended().await.0.code(), Some(0));
    assert_eq!(ctl(&bob, &["status"]).status.code(), Some(3));
}

#[tokio::test]
async fn log_tells_details_while_that_is_on() {
    let town = Town::new().await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").env("FYTECLUB_LOG", "info");
    alice.start().await;
    let says = |args: &[&str]| {
        let mut command = Command::new(program("fyteclubctl"));
        let output = command.args(["--ipc", alice.ipc()]).args(args).output().expect("it runs");
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(says(&["debug", "on"]).contains("until `fyteclubctl debug off`"));
    let metrics = says(&["metrics"]);
    assert!(metrics.contains("\nfyteclub_phonebooks_registered 1\n"), "{metrics}");
    assert!(metrics.contains("# TYPE fyteclub_charged_total counter\n"), "{metrics}");
    says(&["debug", "off"]);
    let log = alice.process().log();
    assert!(log.contains("the log has all details") && log.contains("the configured details"), "{log}");
}
