//! The real binary against a scripted daemon: its requests, output and exit codes.

#[path = "../../../tests/fake/mod.rs"]
mod fake;
mod nouns;
mod watch;

use fake::{Caller, FakeDaemon, endpoint, fetched, hash, status, transfer, within};
use fyteclub_client::{NetworkStatus, PortMapping};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    join,
    process::Command,
};

fn ctl(endpoint: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fyteclubctl"));
    command.args(args).env("FYTECLUB_IPC", endpoint).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the command to its end; the script plays the daemon.
async fn run(args: &[&str], script: impl AsyncFnOnce(Caller)) -> Ended {
    let daemon = FakeDaemon::listen();
    let output = ctl(&daemon.endpoint, args).output();
    let (output, ()) = within(async { join!(output, async { script(daemon.greeted().await).await }) }).await;
    Ended::of(output.expect("runs"))
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("not killed"),
            out: String::from_utf8(output.stdout).expect("Unicode"),
            err: String::from_utf8(output.stderr).expect("Unicode"),
        }
    }

    fn json(&self) -> Value {
        assert_eq!((self.code, self.out.lines().count()), (0, 1), "{} {}", self.out, self.err);
        serde_json::from_str(&self.out).expect("one JSON document")
    }

    /// One sentence on standard error, nothing on standard output.
    fn complaint(&self, code: i32) -> &str {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        self.err.trim_end()
    }
}

#[tokio::test]
async fn help_equals_the_golden() {
    let mut help = String::new();
    for words in [
        "",
        "status",
        "doctor",
        "publish",
        "unpublish",
        "fetch",
        "transfers",
        "cancel",
        "nearby",
        "nearby set",
        "nearby list",
        "nearby clear",
        "limits",
        "limits get",
        "limits set",
        "limits reset",
        "contacts",
        "contacts list",
        "contacts add",
        "contacts accept",
        "contacts remove",
        "contacts block",
        "contacts unblock",
        "contacts set",
        "contacts set relay",
        "contacts invite",
        "contacts join",
        "peers",
        "peers trust",
        "cache",
        "cache verify",
        "cache gc",
        "cache move",
        "watch",
        "debug",
        "metrics",
        "shutdown",
    ] {
        let args: Vec<_> = words.split_whitespace().chain(["--help"]).collect();
        let ended = Ended::of(within(ctl("", &args).output()).await.expect("runs"));
        assert_eq!(ended.code, 0);
        help += &format!("$ fyteclubctl {}\n{}\n", args.join(" "), ended.out.replace(".exe", ""));
    }
    let agreed = include_str!("../help.txt").replace("\r\n", "\n");
    assert_eq!(help, agreed, "if this is meant, put it into tests/help.txt:\n{help}");
}

#[tokio::test]
async fn typed_text_turns_no_reading_direction() {
    for args in [
        &["fetch", "A\u{202e} A@B"][..],
        &["fetch", "\u{1b}[2JA A@B"],
        &["contacts", "add", "A A@B", "\u{2066}"],
        &["\u{200b}status"],
        &["--\u{202e}"],
    ] {
        let ended = Ended::of(within(ctl("", args).output()).await.expect("runs"));
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{args:?}");
        let shown: Vec<_> =
            ended.err.chars().filter(|c| !" \n".contains(*c) && !c.is_ascii_graphic()).collect();
        assert!(shown.is_empty() && ended.err.starts_with("error: "), "{args:?}: {:?}", ended.err);
    }
}

#[tokio::test]
async fn hidden_character_in_a_name_is_shown_and_named() {
    for (name, shown, named) in [
        ("Alice\nAshe@Gilgamesh", r"Alice\nAshe@Gilgamesh", r"\n"),
        ("Alice Ashe@Gilgamesh\n", r"Alice Ashe@Gilgamesh\n", r"\n"),
        ("Alice \u{1b}[31mAshe@Gilgamesh", r"Alice \u{1b}[31mAshe@Gilgamesh", r"\u{1b}"),
    ] {
        for args in [["fetch", name], ["cancel", name]] {
            let ended = Ended::of(within(ctl("", &args).output()).await.expect("runs"));
            let named = format!("and this one has `{named}`\n");
            assert!(ended.err.starts_with(&format!("error: invalid value '{shown}' for")), "{}", ended.err);
            assert!(ended.code == 2 && ended.err.contains(&named), "{}", ended.err);
        }
    }
    let near = ["nearby", "set", "Alice Ashe@Gilgamesh:1\n"];
    let ended = Ended::of(within(ctl("", &near).output()).await.expect("runs"));
    assert!(ended.err.contains(r"`1\n` is not a distance"), "{}", ended.err);
}

#[tokio::test]
async fn missing_daemon_is_reported_with_advice() {
    let dir = TempDir::new().expect("a folder");
    let place = endpoint(&dir);
    for args in [&["status"][..], &["--json", "fetch", "A B@C"], &["watch", "--json"]] {
        let ended = Ended::of(within(ctl(&place, args).output()).await.expect("runs"));
        assert!(ended.complaint(3).contains("fyteclubd run"), "{}", ended.err);
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_code_2() {
    for args in [
        &["fetch", "Alice Ashe"][..],
        &["publish", "x", "--option", "Body"],
        &["dance"],
        &[],
        &["peers", "trust", "A B@C", "k"],
        &["contacts", "accept", "Alice"],
        &["contacts", "add", "A B@C", "k"],
        &["contacts"],
        &["cache"],
        &["cache", "gc", "--to", "much"],
        &["cache", "move"],
    ] {
        let ended = Ended::of(within(ctl("nowhere", args).output()).await.expect("runs"));
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{args:?}");
    }
}

#[tokio::test]
async fn the_flag_wins_over_the_environment() {
    let daemon = FakeDaemon::listen();
    let output = ctl("nowhere", &["peers", "--json", "--ipc", &daemon.endpoint]).output();
    let script = async { daemon.greeted().await.answer("peer.list", json!({"peers": []})).await };
    let (output, _) = within(async { join!(output, script) }).await;
    assert_eq!(Ended::of(output.expect("runs")).json(), json!({"peers": []}));
}

#[tokio::test]
async fn status_is_for_people_and_for_programs() {
    let script = async |mut caller: Caller| {
        caller.answer("status", status()).await;
    };
    let shown = run(&["status", "--json"], script).await.json();
    let mut expected = status();
    // Fields that an older daemon lacks are shown as nothing.
    (expected["portMapping"], expected["seq"], expected["ledger"]) = (json!(""), json!(0), json!({}));
    expected["appearanceTrouble"] = json!(null);
    (expected["mapping"], expected["network"]) =
        (json!(PortMapping::default()), json!(NetworkStatus::default()));
    for (key, nothing) in
        [("dir", json!("")), ("minFree", json!(0)), ("lowDisk", json!(false)), ("away", json!(false))]
    {
        expected["cache"][key] = nothing;
    }
    expected["phonebooks"]
        .as_array_mut()
        .expect("a list")
        .iter_mut()
        .for_each(|book| book["live"] = json!(false));
    expected["peers"][0].as_object_mut().expect("an object").remove("cause");
    assert_eq!(shown, expected);

    let mut troubled = status();
    troubled["phonebooks"][0]["error"] = json!("the conversation broke off");
    let script_of_trouble = async |mut caller: Caller| {
        caller.answer("status", troubled.clone()).await;
    };
    let text = run(&["status"], script_of_trouble).await.out;
    assert!(text.contains(" days ago, but introductions fail: the conversation broke off\n"), "{text}");

    let text = run(&["status"], script).await.out;
    for words in [
        "Player        Alice Ashe@Gilgamesh\n",
        "Cache         950 files, 210.3 MB of at most 10.0 GB\n",
        "  http://127.0.0.1:8080  answered ",
        " days ago\n",
        "  http://other.example   not registered: connection refused; last answer: never\n",
        "  Bob Birch@Balmung   connected      local network  1.5 ms\n",
        "  光の 戦士@トンベリ  not connected                         no path worked\n",
        "  from Bob Birch@Balmung  600 of 950 files, 120.0 of 210.3 MB, 35.0 MB/s, 2 s left\n",
    ] {
        assert!(text.contains(words), "{words:?} is missing:\n{text}");
    }
}

#[tokio::test]
async fn publish_sends_the_path_and_lists_left_out_files() {
    let published = json!({
        "appearance": hash('a'), "files": 949, "bytes": 210_300_000,
        "leftOut": [{"gamePath": "chara/x.tex", "file": "files/x.tex", "reason": "missing: there is no such file"}],
    });
    let answer = published.clone();
    let args = ["publish", "a mod", "--option", "Body=Large=r", "--option", "Eyes=Blue"];
    let ended = run(&args, async |mut caller| {
        let sent = caller.answer("appearance.publishMod", answer).await;
        let path = std::path::PathBuf::from(sent["path"].as_str().expect("a path"));
        assert!(path.is_absolute() && path.ends_with("a mod"), "{path:?}");
        assert_eq!(
            sent["options"],
            json!([{"group": "Body", "option": "Large=r"}, {"group": "Eyes", "option": "Blue"}])
        );
    })
    .await;
    assert_eq!(
        ended.out,
        format!(
            "Published   949 files\nSize        210.3 MB\nAppearance  {}\n\n1 file left out\n  chara/x.tex\n    from files/x.tex\n    missing: there is no such file\n",
            hash('a')
        )
    );
    let answer = published.clone();
    let ended = run(&["--json", "publish", "/m"], async |mut caller| {
        caller.answer("appearance.publishMod", answer).await;
    })
    .await;
    assert_eq!(ended.json(), published);
}

/// Answers `watch`, sends progress, then answers the fetch, in either order of the requests.
async fn serve_fetch(mut caller: Caller, steps: u64) {
    caller.answer("watch", json!({})).await;
    let call = caller.expect("peer.fetch").await;
    assert_eq!(call.params["player"], "Bob Birch@Balmung");
    caller.event("state", status()).await;
    for step in 0..steps {
        caller.event("transfer.progress", transfer(step, step * 1000)).await;
    }
    caller.reply(call.id, fetched()).await;
}

#[tokio::test]
async fn fetch_gives_one_document_and_keeps_progress_apart() {
    let ended =
        run(&["fetch", "Bob Birch@Balmung", "--json"], async |caller| serve_fetch(caller, 50).await).await;
    assert_eq!(ended.err, "");
    assert_eq!(ended.json(), fetched());

    let ended = run(&["fetch", "Bob Birch@Balmung"], async |caller| serve_fetch(caller, 50).await).await;
    assert_eq!(ended.code, 0);
    assert!(
        ended.out.contains("Fetched     4.1 kB (compressed to 1.0 kB) in 0.5 s, 8.2 kB/s, this machine\n"),
        "{}",
        ended.out
    );
    // Fifty steps in much less than a second: one line for the look-up, one or two for progress.
    assert!((1..=4).contains(&ended.err.lines().count()), "{}", ended.err);
}

#[tokio::test]
async fn fetch_of_a_cached_look_reports_no_transfer() {
    let mut here = fetched();
    (here["bytesFetched"], here["bytesTransferred"], here["path"]) = (json!(0), json!(0), Value::Null);
    here["out"] = json!("/mods/bob");
    let ended = run(&["fetch", "Bob Birch@Balmung", "--out", "bob"], async |mut caller| {
        caller.answer("watch", json!({})).await;
        let sent = caller.answer("peer.fetch", here).await;
        assert!(std::path::Path::new(sent["out"].as_str().expect("a path")).is_absolute());
    })
    .await;
    assert!(ended.out.contains("nothing was transferred"), "{}", ended.out);
    assert!(ended.out.contains("Mod folder  /mods/bob\n"), "{}", ended.out);
}

#[tokio::test]
async fn failures_are_one_sentence_with_a_code() {
    for (code, retryable, exit) in [("not_found", true, 4), ("peer_refused", false, 1)] {
        let ended = run(&["fetch", "Bob Birch@Balmung", "--json"], async |mut caller| {
            caller.answer("watch", json!({})).await;
            let call = caller.expect("peer.fetch").await;
            caller.refuse(call.id, code, "no such player;\x1b[31m ask them", retryable).await;
        })
        .await;
        assert_eq!(ended.complaint(exit), "fyteclubctl: no such player;\\u{1b}[31m ask them");
    }
    let ended = run(&["status"], async |mut caller| {
        caller.expect("status").await;
    })
    .await;
    assert!(ended.complaint(3).contains("stopped before"), "{}", ended.err);
}

#[tokio::test]
async fn watch_prints_events_and_ends_with_the_daemon() {
    let daemon = FakeDaemon::listen();
    let mut child = ctl(&daemon.endpoint, &["watch", "--json"]).spawn().expect("starts");
    let mut caller = daemon.greeted().await;
    caller.answer("watch", json!({})).await;
    caller.event("state", status()).await;
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = within(lines.next_line()).await.expect("reads").expect("a line");
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["event"], "state");
    caller.event("transfer.progress", transfer(1, 2)).await;
    let line = within(lines.next_line()).await.expect("reads").expect("a line");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event, json!({"event": "transfer.progress", "data": transfer(1, 2)}));
    drop(caller);
    assert_eq!(within(child.wait()).await.expect("ends").code(), Some(0));
}

#[tokio::test]
async fn closed_output_ends_ctl_quietly() {
    let daemon = FakeDaemon::listen();
    let mut child = ctl(&daemon.endpoint, &["watch"]).spawn().expect("starts");
    let mut caller = daemon.greeted().await;
    caller.answer("watch", json!({})).await;
    drop(child.stdout.take());
    // Repeated: a child that another test is starting holds our pipe's end until it has executed its program.
    caller.repeat_until_gone(json!({"event": "cache.evicted", "data": {"files": 1, "bytes": 1}})).await;
    let output = within(child.wait_with_output()).await.expect("ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[tokio::test]
async fn shutdown_waits_until_the_daemon_let_go() {
    for answers in [true, false] {
        let ended = run(&["shutdown"], async |mut caller| {
            let call = caller.expect("shutdown").await;
            if answers {
                caller.reply(call.id, json!({})).await;
            }
        })
        .await;
        assert_eq!((ended.code, ended.out.as_str()), (0, "The daemon has stopped.\n"), "{}", ended.err);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_leaves_at_once_and_leaves_the_daemon_alone() {
    for (args, code) in [(&["fetch", "Bob Birch@Balmung"][..], 130), (&["watch"], 0)] {
        let daemon = FakeDaemon::listen();
        let child = ctl(&daemon.endpoint, args).spawn().expect("starts");
        let mut caller = daemon.greeted().await;
        // It listens for Ctrl-C before it sends its second request.
        caller.answer("watch", json!({})).await;
        let id = child.id().expect("runs").to_string();
        let killed = within(Command::new("kill").args(["-INT", &id]).status()).await.expect("kill runs");
        assert!(killed.success());
        let output = within(child.wait_with_output()).await.expect("ends");
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        while let Some(call) = caller.call().await {
            assert_eq!(call.op, "peer.fetch", "nothing else is said");
        }
    }
}
