//! The command line by hand, through the real binaries: what it prints with `--json` is a contract with scripts.

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
    has_keys(&status, "version peerId player listen portMapping phonebooks appearance peers transfers cache");
    has_keys(&status["phonebooks"][0], "url ok lastAnswer error");
    has_keys(&status["peers"][0], "player peerId state path rttMs");
    assert_eq!(status["peers"][0]["state"], "connected");
    assert_eq!(status["peers"][0]["path"], "loopback");
    for key in ["bytes", "files", "limit"] {
        assert!(status["cache"][key].is_u64(), "{status}");
    }
    assert_eq!(json(&bob, &["peers"])["peers"][0]["player"], alice.player.as_str());
    assert_eq!(json(&bob, &["cache", "stats"])["files"], 2);
    assert_eq!(json(&bob, &["cache", "verify"])["bad"], serde_json::json!([]));

    let unknown = ctl(&bob, &["fetch", "No Body@Nowhere"]);
    assert_eq!(unknown.status.code(), Some(4));
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(unknown.stdout.is_empty() && said.lines().count() == 1, "{said}");

    json(&bob, &["shutdown"]);
    assert_eq!(bob.process().ended().await.0.code(), Some(0));
    assert_eq!(watch.ended().await.0.code(), Some(0));
    assert_eq!(ctl(&bob, &["status"]).status.code(), Some(3));
}
