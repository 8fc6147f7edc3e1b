//! Contacts, limits, transfers, near players and the cache.

use crate::{
    Ended, ctl,
    fake::{Caller, PEER_ID, hash, transfer, within},
    run,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_key_is_trusted_by_name() {
    let ended = run(&["peers", "trust", "Bob Birch@Balmung", PEER_ID], async |mut caller| {
        let sent = caller.answer("peer.trust", json!({})).await;
        assert_eq!(sent, json!({"player": "Bob Birch@Balmung", "peerId": PEER_ID}));
    })
    .await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[tokio::test]
async fn limits_are_set_in_words_and_shown_as_a_table() {
    let limits = json!({
        "upload": 2 << 20, "download": null, "peerUpload": 1 << 20, "peerDownload": null, "lan": false, "setHere": true,
    });
    let answer = limits.clone();
    let args = ["limits", "set", "--up", "2MiB", "--peer-up", "1 MiB", "--down", "off", "--lan", "no"];
    let ended = run(&args, async |mut caller| {
        let sent = caller.answer("limits.set", answer.clone()).await;
        let change = json!({"upload": 2 << 20, "download": null, "peerUpload": 1 << 20, "lan": false});
        assert_eq!(sent, change);
    })
    .await;
    let says = "          all players  each player\n\
                Upload    2 MiB/s      1 MiB/s\n\
                Download  off          off\n\
                The local network is not limited.\n";
    assert!(ended.code == 0 && ended.out.starts_with(says), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("fyteclubctl limits reset"), "{}", ended.out);
    for (args, op) in
        [(["limits", "get", "--json"], "limits.get"), (["limits", "reset", "--json"], "limits.reset")]
    {
        let answer = limits.clone();
        let ended = run(&args, async |mut caller| {
            caller.answer(op, answer.clone()).await;
        })
        .await;
        assert_eq!(ended.json(), limits);
    }
    let ended = Ended::of(within(ctl("", &["limits", "set", "--up", "1KiB"]).output()).await.expect("runs"));
    assert!(ended.code == 2 && ended.err.contains("at least 16 KiB a second, or off"), "{}", ended.err);
}

#[tokio::test]
async fn near_players_are_set_for_a_while_and_listed() {
    let near = json!({"player": "Alice Ashe@Gilgamesh", "peerId": PEER_ID, "distance": 12.5, "online": true});
    let reply = json!({"contacts": [near], "others": 2});
    let args = ["nearby", "set", "Alice Ashe@Gilgamesh:12.5", "Bob Birch@Balmung", "--minutes", "2"];
    let answer = reply.clone();
    let ended = run(&args, async |mut caller| {
        let sent = caller.answer("nearby.set", answer.clone()).await;
        let players = json!([
            {"player": "Alice Ashe@Gilgamesh", "distance": 12.5}, {"player": "Bob Birch@Balmung", "distance": 0.0},
        ]);
        assert_eq!(sent, json!({"players": players, "keepSecs": 120}));
    })
    .await;
    let says = "Alice Ashe@Gilgamesh  12.5  connected\n2 of the named players are no contacts of yours.\n";
    assert_eq!((ended.code, ended.out.as_str()), (0, says));
    let answer = reply.clone();
    let ended = run(&["nearby", "list", "--json"], async |mut caller| {
        caller.answer("nearby.list", answer.clone()).await;
    })
    .await;
    assert_eq!(ended.json(), reply);
    let ended = run(&["nearby", "clear"], async |mut caller| {
        let sent = caller.answer("nearby.set", json!({"contacts": [], "others": 0})).await;
        assert_eq!(sent, json!({"players": [], "keepSecs": 0}));
    })
    .await;
    assert_eq!(ended.out, "No contact is near.\n");
}

#[tokio::test]
async fn transfers_are_a_table_of_both_ways() {
    let bob = "Bob Birch@Balmung";
    let mut down = transfer(600, 132_800_000);
    down["bytesTotal"] = json!(210_300_000);
    down["remainingSeconds"] = json!(75);
    let up = json!({"player": bob, "peerId": PEER_ID, "bytes": 5_000_000, "rate": 0});
    let mut other = down.clone();
    (other["player"], other["reason"]) = (json!("Cleo Cedar@Balmung"), json!("prefetch"));
    let next = json!({"player": "Dan Dale@Balmung", "peerId": PEER_ID, "reason": "near", "distance": 12.25});
    let all = json!({"downloads": [down, other], "uploads": [up], "waiting": [next]});
    let answer = all.clone();
    let ended = run(&["transfers"], async |mut caller| {
        caller.answer("transfer.list", answer.clone()).await;
    })
    .await;
    for says in [
        "from  ",
        "63 %  132.8 of 210.3 MB  ",
        "600 of ",
        "1 min left",
        "in advance\n",
        "next  Dan Dale@Balmung",
        "near, 12.2\n",
        "to    Bob Birch@Balmung  ",
        "5.0 MB",
    ] {
        assert!(ended.out.contains(says), "{says:?} is missing:\n{}", ended.out);
    }
    let answer = all.clone();
    let ended = run(&["transfers", "--json"], async |mut caller| {
        caller.answer("transfer.list", answer.clone()).await;
    })
    .await;
    assert_eq!(ended.json(), all);
    let ended = run(&["transfers"], async |mut caller| {
        caller.answer("transfer.list", json!({"downloads": [], "uploads": []})).await;
    })
    .await;
    assert_eq!(ended.out, "No transfers at the moment.\n");
    let ended = run(&["cancel", bob], async |mut caller| {
        assert_eq!(caller.answer("peer.cancel", json!({})).await, json!({"player": bob}));
    })
    .await;
    assert!(
        ended.code == 0 && ended.out.contains("has ended; its verified chunks are kept"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn contacts_are_for_people_and_for_programs() {
    let bob = json!({
        "player": "Bob Birch@Balmung", "peerId": PEER_ID, "standing": "paired", "since": 5, "online": true,
    });
    let asking = json!({
        "player": "光の 戦士@トンベリ", "peerId": PEER_ID, "standing": "asking", "since": 5, "online": false,
        "knownKey": PEER_ID,
    });
    let all = json!({ "contacts": [bob, asking] });
    let answer = all.clone();
    let script = async |mut caller: Caller| {
        caller.answer("contacts.list", answer.clone()).await;
    };
    assert_eq!(run(&["contacts", "list", "--json"], script).await.json(), all);
    let answer = all.clone();
    let script = async |mut caller: Caller| {
        caller.answer("contacts.list", answer.clone()).await;
    };
    let text = run(&["contacts", "list"], script).await.out;
    for words in
        ["Bob Birch@Balmung   contact   online  ed25519:", "asks you ", "confirm it with them another way"]
    {
        assert!(text.contains(words), "{words:?} is missing:\n{text}");
    }
    let name = "Bob Birch@Balmung";
    let by_name = json!({ "player": name });
    let by_key = json!({ "peerId": PEER_ID });
    for (args, op, params, answer, says) in [
        (&["add", name][..], "contacts.add", &by_name, &bob, "is a contact"),
        (&["accept", PEER_ID], "contacts.accept", &by_key, &bob, "is a contact"),
        (&["remove", name], "contacts.remove", &by_name, &json!({}), "no longer a contact"),
        (&["block", name], "contacts.block", &by_name, &bob, "is a contact"),
        (&["unblock", PEER_ID], "contacts.unblock", &by_key, &json!({}), "no longer blocked"),
        (
            &["join", "fyteclub://join/x"],
            "contacts.join",
            &json!({ "link": "fyteclub://join/x" }),
            &bob,
            "is a",
        ),
    ] {
        let ended = run(&[&["contacts"], args].concat(), async |mut caller| {
            assert_eq!(&caller.answer(op, answer.clone()).await, params);
        })
        .await;
        assert!(ended.code == 0 && ended.out.contains(says), "{args:?}: {} {}", ended.out, ended.err);
    }
    let alike = json!({
        "player": "Bоb Birch@Balmung", "peerId": PEER_ID, "standing": "requested", "since": 6, "online": false,
        "looksLike": name, "mixedScripts": true,
    });
    let ended = run(&["contacts", "add", "Bоb Birch@Balmung", PEER_ID], async |mut caller| {
        caller.answer("contacts.add", alike).await;
    })
    .await;
    assert!(
        ended.out.contains("Warning: not Bob Birch@Balmung, though the names look alike"),
        "{}",
        ended.out
    );
    let expires = u64::MAX / 2;
    let ended = run(&["contacts", "invite"], async |mut caller| {
        caller.answer("contacts.invite", json!({ "link": "fyteclub://join/x", "expires": expires })).await;
    })
    .await;
    assert_eq!(ended.out.lines().next(), Some("fyteclub://join/x"));
    let ended = run(&["fetch", name], async |mut caller| {
        caller.answer("watch", json!({})).await;
        let call = caller.expect("peer.fetch").await;
        caller.refuse(call.id, "not_a_contact", "no contact of yours", false).await;
    })
    .await;
    assert_eq!(ended.code, 1, "{}", ended.err);
}

#[tokio::test]
async fn verify_tells_by_its_code_that_files_were_damaged() {
    let verified = |bad: Value| json!({"files": 3, "bytes": 3000, "bad": bad});
    let good = verified(json!([]));
    let ended = run(&["cache", "verify"], async |mut caller| {
        caller.answer("watch", json!({})).await;
        let call = caller.expect("cache.verify").await;
        let progress =
            json!({"work": "verify", "files": 1, "filesTotal": 3, "bytes": 1000, "bytesTotal": 3000});
        caller.event("cache.progress", progress).await;
        caller.reply(call.id, good).await;
    })
    .await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "3 files read, 3.0 kB: all are right.\n"));
    assert_eq!(ended.err, "1 of 3 files, 1.0 of 3.0 kB\n");
    let bad = verified(json!([hash('d')]));
    let ended = run(&["cache", "verify", "--json"], async |mut caller| {
        caller.answer("watch", json!({})).await;
        caller.answer("cache.verify", bad).await;
    })
    .await;
    assert_eq!((ended.code, ended.err.as_str()), (5, ""));
    assert_eq!(serde_json::from_str::<Value>(&ended.out).expect("JSON")["bad"], json!([hash('d')]));
}

#[tokio::test]
async fn gc_and_move_send_options_and_print_results() {
    let collected = json!({"files": 3, "bytes": 3000, "unfinished": 1, "bytesLeft": 9000, "inUse": 9000});
    let ended = run(&["cache", "gc", "--to", "5kB", "--older-than", "2"], async |mut caller| {
        let params = caller.answer("cache.gc", collected).await;
        assert_eq!(params, json!({"to": 5000, "olderThanSecs": 172_800}));
    })
    .await;
    assert!(ended.out.contains("9.0 kB are in use and stay"), "{}", ended.out);
    let wrong = within(ctl("", &["cache", "gc", "--older-than", "soon"]).output()).await.expect("runs");
    assert!(Ended::of(wrong).err.contains("a whole number of days"));
    let dir = std::env::temp_dir().join("fyteclub-there");
    let place = dir.to_str().expect("Unicode");
    let moved = json!({"from": "/a", "to": "/b", "files": 3, "bytes": 3000, "kept": 1});
    let ended = run(&["cache", "move", place], async |mut caller| {
        caller.answer("watch", json!({})).await;
        assert_eq!(caller.answer("cache.move", moved).await, json!({"dir": place}));
    })
    .await;
    assert!(ended.code == 0 && ended.out.contains("in /b now"), "{}", ended.out);
    assert!(
        ended.out.contains("Also still in /a, until the daemon restarts: 1 file in use."),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn findings_are_sentences_and_an_exit_code() {
    let found = |severity: &str, help: Option<&str>| {
        let mut finding =
            json!({"code": "vpn", "severity": severity, "sure": "likely", "sentence": "a\nb\u{202e}"});
        if let Some(help) = help {
            finding["help"] = json!(help);
        }
        finding
    };
    let all = json!({"findings": [found("blocks", Some("Do it.")), found("note", None)]});
    let ended = run(&["doctor"], async |mut caller| {
        assert_eq!(caller.answer("doctor", all.clone()).await, json!({}));
    })
    .await;
    let says = "blocks  likely: a\\nb\\u{202e}.\n        Do it.\nnote    likely: a\\nb\\u{202e}.\n";
    assert_eq!((ended.code, ended.out.as_str()), (6, says));
    // A newer daemon's words are no failure.
    let notes = json!({"findings": [found("note", None), found("novel", None)]});
    let ended = run(&["doctor", "Bob Birch@Balmung", "--json"], async |mut caller| {
        let sent = caller.answer("doctor", notes.clone()).await;
        assert_eq!(sent, json!({"player": "Bob Birch@Balmung"}));
    })
    .await;
    assert_eq!(ended.json()["findings"][0], notes["findings"][0]);
    let ended = run(&["doctor", PEER_ID], async |mut caller| {
        assert_eq!(caller.answer("doctor", notes.clone()).await, json!({"peerId": PEER_ID}));
    })
    .await;
    assert_eq!(ended.code, 0);
}
