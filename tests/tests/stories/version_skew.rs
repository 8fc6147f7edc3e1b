//! Programs of other versions: a clear end without a common version, and the common one where there is one.

#![cfg(unix)]

use fyteclub_client::{BlobHash, FaultCode};
use fyteclub_proto::{
    id::PeerId,
    number::{index, u32_of},
    peer::{CloseCode, Control, Hello, HelloAck},
};
use fyteclub_tests::{
    Resident, Town, fault,
    hostile::{Hostile, Line, hear, say},
    mods::{Mod, arrived, assert_same},
    within,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

async fn dial(other: &Hostile, resident: &Resident) -> (Line, PeerId) {
    let status = resident.client().status().await.expect("a status");
    (other.dial(status.listen.parse().expect("an address"), status.peer_id).await, status.peer_id)
}

#[tokio::test]
async fn a_peer_of_the_future() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    let published = alice.publish(&look.folder).await;
    let future = Hostile::new("Fu Ture@Nowhere", 1);
    alice.takes_for_a_friend(&future).await;

    let (line, _) = dial(&future, &alice).await;
    let (mut send, _recv) = line.control().await;
    say(&mut send, &Control::Hello(Hello { versions: vec![7], greeting: future.greeting(None) })).await;
    match within("the end", line.connection.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code.into_inner(), u64::from(CloseCode::Version.number()));
        }
        other => panic!("{other}"),
    }

    let (line, _) = dial(&future, &alice).await;
    let (mut send, mut recv) = line.control().await;
    say(&mut send, &Control::Hello(Hello { versions: vec![7, 1], greeting: future.greeting(None) })).await;
    let Some(Control::HelloAck(HelloAck { version, greeting })) = hear(&mut recv).await else {
        panic!("a greeting was due");
    };
    assert_eq!((version, greeting.published), (1, Some(published.appearance)));
    assert!(line.appearance().await.is_some());
}

#[tokio::test]
async fn a_peer_of_the_future_is_fetched_from() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@Balmung").await;
    let future = Hostile::new("Fu Ture@Nowhere", 1);
    bob.takes_for_a_friend(&future).await;
    future.move_in(&town.phonebook.url()).await;
    let answers = async {
        let line = future.accept().await;
        let (mut send, mut recv) = line.control().await;
        let Some(Control::Hello(hello)) = hear(&mut recv).await else { panic!("a greeting was due") };
        assert!(hello.versions.contains(&1), "{hello:?}");
        let greeting = future.greeting(Some(BlobHash::of(b"a look")));
        say(&mut send, &Control::HelloAck(HelloAck { version: 7, greeting })).await;
        line.connection.closed().await;
    };
    let (result, ()) = tokio::join!(bob.try_fetch(&future.player, None), answers);
    let fault = fault(result);
    assert_eq!(fault.code, FaultCode::PeerUnreachable);
    assert!(fault.message.contains("version") && fault.message.contains("update"), "{fault:?}");

    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    alice.publish(&look.folder).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}

/// One call to the daemon, and its answer; events are skipped.
fn call(stream: &mut UnixStream, id: u64, op: &str, params: &Value) -> Value {
    let body = json!({ "id": id, "op": op, "params": params }).to_string();
    let frame = [&(u32_of(body.len())).to_le_bytes()[..], body.as_bytes()].concat();
    stream.write_all(&frame).expect("said");
    loop {
        let mut header = [0; 4];
        stream.read_exact(&mut header).expect("an answer");
        let mut body = vec![0; index(u32::from_le_bytes(header))];
        stream.read_exact(&mut body).expect("an answer");
        let notice: Value = serde_json::from_slice(&body).expect("JSON");
        if notice["id"].as_u64() == Some(id) {
            return notice;
        }
    }
}

#[tokio::test]
async fn a_plugin_of_another_age() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut stream = UnixStream::connect(alice.ipc()).expect("the socket is open");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");

    let newer = call(&mut stream, 1, "hello", &json!({ "client": "plugin", "versions": [9, 8] }));
    assert_eq!(newer["error"]["code"], "version");
    assert!(newer["error"]["message"].as_str().expect("words").contains("upgrade the daemon"), "{newer}");
    let older = call(&mut stream, 2, "hello", &json!({ "client": "plugin", "versions": [0] }));
    assert!(older["error"]["message"].as_str().expect("words").contains("upgrade the client"), "{older}");
    let both = call(&mut stream, 3, "hello", &json!({ "client": "plugin", "versions": [9, 1], "novel": 1 }));
    assert_eq!((both["ok"].as_bool(), both["result"]["protocol"].as_u64()), (Some(true), Some(1)));
    let unknown = call(&mut stream, 4, "room.join", &json!({ "room": 1 }));
    assert_eq!(unknown["error"]["code"], "unsupported");
    // A newer client's extra field of a known call is ignored.
    let grown = call(&mut stream, 5, "status", &json!({ "verbose": true }));
    assert_eq!(grown["ok"], true, "{grown}");
}
