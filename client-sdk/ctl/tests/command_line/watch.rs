//! `watch`, which has a text for every event.

use crate::run;
use serde_json::{Value, json};
use std::{fs, path::Path};

/// The local API's examples, by name.
fn events() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/golden/local_v1");
    let names = fs::read_dir(&folder).expect("the goldens").map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with("event_"));
    names.sort();
    let read = |name: &String| fs::read_to_string(folder.join(name)).expect("text");
    names.iter().map(|name| serde_json::from_str(&read(name)).expect("JSON")).collect()
}

#[tokio::test]
async fn every_event_has_words() {
    let events = events();
    let ended = run(&["watch"], async |mut caller| {
        caller.answer("watch", json!({})).await;
        for event in &events {
            caller.say(event.clone()).await;
        }
        // An unknown event is skipped.
        caller.event("room.joined", json!({"room": 1})).await;
    })
    .await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out.lines().count(), events.len(), "a line each: {}", ended.out);
    let agreed = include_str!("../watch.txt").replace("\r\n", "\n");
    assert_eq!(ended.out, agreed, "if this is meant, put it into tests/watch.txt:\n{}", ended.out);
}

/// A command in a line exists.
#[tokio::test]
async fn advice_names_real_commands() {
    let advice = include_str!("../watch.txt").lines().filter_map(|line| line.split_once("fyteclubctl "));
    let mut tried = 0;
    for (_, words) in advice {
        // Up to a name or a key, which are placeholders.
        let command =
            words.split(' ').take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
        let args: Vec<_> = command.chain(["--help"]).collect();
        let ended = crate::Ended::of(crate::ctl("", &args).output().await.expect("runs"));
        assert_eq!(ended.code, 0, "{words}: {}", ended.err);
        assert!(!words.contains(" --") || ended.out.contains("--"), "{words}");
        tried += 1;
    }
    assert!(tried >= 3, "{tried}");
}
