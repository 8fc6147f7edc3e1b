//! The client against a daemon that is late, out of order, invalid or gone.

mod fake;

use fake::{FakeDaemon, endpoint, hash, status, transfer, within};
use fyteclub_client::{Client, Error, Event, FaultCode, PeerState, Side};
use fyteclub_proto::{frame, limit::LOCAL_FRAME_MAX};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tokio::join;

/// A greeted client and the daemon's end of it.
async fn pair(daemon: &FakeDaemon) -> (Client, fake::Caller) {
    let (client, caller) = join!(within(Client::connect(&daemon.endpoint)), daemon.greeted());
    (client.expect("connects"), caller)
}

#[tokio::test]
async fn missing_daemon_is_an_error_with_its_endpoint() {
    let dir = TempDir::new().expect("a folder");
    let place = endpoint(&dir);
    let error = Client::connect(&place).await.err().expect("nobody listens");
    assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
    assert!(error.to_string().contains(&place) && error.to_string().contains("fyteclubd run"), "{error}");
    assert!(matches!(Client::connect("").await, Err(Error::Endpoint { .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn socket_of_a_dead_daemon_is_a_missing_daemon() {
    let dir = TempDir::new().expect("a folder");
    let place = endpoint(&dir);
    drop(std::os::unix::net::UnixListener::bind(&place).expect("binds"));
    assert!(matches!(Client::connect(&place).await, Err(Error::NotRunning { .. })));
}

#[tokio::test]
async fn requests_reach_the_daemon_and_replies_come_typed() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    assert_eq!(client.daemon().version, "0.1.0");
    let player = "Bob Birch@Balmung".parse().expect("a name");

    let (status, _) = join!(client.status(), caller.answer("status", status()));
    let status = status.expect("answered");
    assert_eq!(status.peers[0].state, PeerState::Connected);
    assert_eq!(status.transfers[0].files_done, 600);

    let (fetched, params) =
        join!(client.peer_fetch(&player, None), caller.answer("peer.fetch", fake::fetched()));
    assert_eq!(fetched.expect("answered").files[0].size, 4096);
    assert_eq!(params, json!({"player": "Bob Birch@Balmung"}));

    let published = json!({"appearance": hash('a'), "files": 1, "bytes": 2, "leftOut": []});
    let (_, params) = join!(
        client.appearance_publish_mod("a mod", vec![]),
        caller.answer("appearance.publishMod", published)
    );
    let sent = std::path::PathBuf::from(params["path"].as_str().expect("a path"));
    assert!(sent.is_absolute() && sent.ends_with("a mod"), "{sent:?}");

    let (unpublished, _) = join!(client.appearance_clear(), caller.answer("appearance.clear", json!({})));
    unpublished.expect("answered");
}

#[tokio::test]
async fn a_fault_keeps_its_code_and_the_connection() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let refuse = async {
        let call = caller.expect("cache.verify").await;
        caller.refuse(call.id, "busy", "the cache is being verified already; wait for it", true).await;
    };
    let (verified, ()) = join!(client.cache_verify(), refuse);
    let Err(Error::Fault(fault)) = verified else { panic!("{verified:?}") };
    assert_eq!((fault.code, fault.retryable), (FaultCode::Busy, true));

    // An answer to another request is the daemon's fault, too.
    let (stats, _) = join!(client.cache_stats(), caller.answer("cache.stats", json!({"peers": []})));
    assert!(matches!(stats, Err(Error::Fault(fault)) if fault.code == FaultCode::BadReply));
    let (stats, _) = join!(
        client.cache_stats(),
        caller.answer("cache.stats", json!({"bytes": 1, "files": 2, "limit": 3}))
    );
    assert_eq!(stats.expect("still there").files, 2);
}

#[tokio::test]
async fn replies_reach_their_callers_in_any_order() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let requests: Vec<_> = (0..200)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.cache_stats().await })
        })
        .collect();
    let mut ids = Vec::new();
    for _ in &requests {
        ids.push(caller.expect("cache.stats").await.id);
    }
    for id in ids.iter().rev() {
        caller.event("room.joined", json!({"of": "the future"})).await;
        caller.event("cache.evicted", json!({"files": 1, "bytes": 1})).await;
        caller.reply(*id, json!({"bytes": id, "files": 0, "limit": 0})).await;
    }
    let mut answered = Vec::new();
    for request in requests {
        answered.push(within(request).await.expect("no panic").expect("answered").bytes);
    }
    answered.sort_unstable();
    ids.sort_unstable();
    assert_eq!(answered, ids);
}

#[tokio::test]
async fn dropped_call_does_not_affect_others() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let silent = tokio::time::timeout(Duration::from_millis(20), client.status()).await;
    assert!(silent.is_err(), "the caller's own deadline");
    let late = caller.expect("status").await;
    let reply = async {
        let call = caller.expect("peer.list").await;
        caller.reply(late.id, status()).await;
        caller.reply(call.id, json!({"peers": []})).await;
    };
    let (peers, ()) = join!(client.peer_list(), reply);
    assert!(peers.expect("answered").is_empty());
}

#[tokio::test]
async fn events_come_in_order_until_the_daemon_stops() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let (events, _) = join!(client.watch(), caller.answer("watch", json!({})));
    let mut events = events.expect("answered");
    // The stream alone keeps the connection open.
    drop(client);
    caller.event("state", status()).await;
    caller.event("room.joined", json!({})).await;
    caller.event("transfer.progress", transfer(601, 1)).await;
    drop(caller);
    assert!(matches!(within(events.next()).await, Some(Ok(Event::State(_)))));
    assert!(
        matches!(within(events.next()).await, Some(Ok(Event::TransferProgress(now))) if now.files_done == 601)
    );
    assert!(within(events.next()).await.is_none());
    assert!(within(events.next()).await.is_none());
}

#[tokio::test]
async fn a_burst_of_events_is_no_reason_to_lose_one() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let (events, _) = join!(client.watch(), caller.answer("watch", json!({})));
    let mut events = events.expect("answered");
    let frames = (0..5000).map(|files| {
        let event = json!({"event": "cache.evicted", "data": {"files": files, "bytes": 0}});
        frame::join(event.to_string().as_bytes(), LOCAL_FRAME_MAX).expect("short")
    });
    let frames = frames.collect::<Vec<_>>().concat();
    let burst = tokio::spawn(async move { caller.bytes(&frames).await });
    for expected in 0..5000 {
        let event = within(events.next()).await;
        assert!(
            matches!(event, Some(Ok(Event::CacheEvicted { files, .. })) if files == expected),
            "{event:?}"
        );
    }
    within(burst).await.expect("no panic");
}

#[tokio::test]
async fn slow_watcher_gets_the_state_after_lost_events() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let (events, _) = join!(client.watch(), caller.answer("watch", json!({})));
    let mut events = events.expect("answered");
    for files in 0..1000 {
        caller.event("cache.evicted", json!({"files": files, "bytes": 0})).await;
    }
    // An answered request proves that the events before it were routed.
    let (peers, _) = join!(client.peer_list(), caller.answer("peer.list", json!({"peers": []})));
    peers.expect("answered");
    let next = async {
        let state = events.next().await;
        (state, events.next().await)
    };
    let script = async {
        caller.answer("status", status()).await;
        caller.event("cache.evicted", json!({"files": 7, "bytes": 7})).await;
    };
    let ((state, after), ()) = within(async { join!(next, script) }).await;
    assert!(matches!(state, Some(Ok(Event::State(_)))), "{state:?}");
    assert!(matches!(after, Some(Ok(Event::CacheEvicted { files: 7, .. }))), "{after:?}");
}

#[tokio::test]
async fn event_older_than_the_state_is_skipped() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let (events, _) = join!(client.watch(), caller.answer("watch", json!({})));
    let mut events = events.expect("answered");
    let numbered = |seq: u64, event: &str, data: Value| {
        let event = json!({"seq": seq, "event": event, "data": data});
        frame::join(event.to_string().as_bytes(), LOCAL_FRAME_MAX).expect("short")
    };
    let evicted = |seq: u64| numbered(seq, "cache.evicted", json!({"files": seq, "bytes": 0}));
    let mut shown = status();
    shown["seq"] = json!(5);
    // Two events that the state includes follow it, and one that it does not.
    caller.bytes(&[numbered(5, "state", shown), evicted(4), evicted(5), evicted(6)].concat()).await;
    let state = within(events.next()).await;
    assert!(matches!(&state, Some(Ok(Event::State(status))) if status.seq == 5), "{state:?}");
    let after = within(events.next()).await;
    assert!(matches!(after, Some(Ok(Event::CacheEvicted { files: 6, .. }))), "{after:?}");
}

#[tokio::test]
async fn dropping_the_client_hangs_up() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.status().await }
    });
    caller.expect("status").await;
    drop(client);
    asking.abort();
    assert!(caller.call().await.is_none());
}

#[tokio::test]
async fn a_daemon_that_goes_away_ends_every_request() {
    for half_a_frame in [&b""[..], &[200, 0, 0, 0, b'{'], &[1, 0]] {
        let daemon = FakeDaemon::listen();
        let (client, mut caller) = pair(&daemon).await;
        let go = async {
            caller.expect("status").await;
            caller.expect("peer.list").await;
            caller.bytes(half_a_frame).await;
            drop(caller);
        };
        let (status, peers, ()) = join!(client.status(), client.peer_list(), go);
        assert!(matches!(status, Err(Error::Lost)), "{status:?}");
        assert!(matches!(peers, Err(Error::Lost)), "{peers:?}");
        within(client.closed()).await;
        assert!(matches!(client.watch().await, Err(Error::Lost)));
    }
}

#[tokio::test]
async fn garbage_and_boundless_claims_are_malformed() {
    let mut not_json = 4_u32.to_le_bytes().to_vec();
    not_json.extend_from_slice(b"HTTP");
    let too_long = u32::try_from(LOCAL_FRAME_MAX + 1).expect("small").to_le_bytes();
    let no_notice = [&[2_u8, 0, 0, 0][..], b"{}"].concat();
    for garbage in [&not_json[..], &too_long, &no_notice, &[0; 4], b"SSH-2.0-OpenSSH_9.2\r\n"] {
        let daemon = FakeDaemon::listen();
        let (client, mut caller) = pair(&daemon).await;
        let (events, _) = join!(client.watch(), caller.answer("watch", json!({})));
        let mut events = events.expect("answered");
        let reply = async {
            caller.expect("status").await;
            caller.bytes(garbage).await;
        };
        let (status, ()) = join!(client.status(), reply);
        assert!(matches!(status, Err(Error::Malformed(_))), "{status:?}");
        assert!(matches!(within(events.next()).await, Some(Err(Error::Malformed(_)))));
        assert!(within(events.next()).await.is_none());
        // The socket is closed, although the client is still held.
        assert!(caller.call().await.is_none());
    }
}

#[tokio::test]
async fn a_fault_about_no_request_ends_them_all() {
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let reply = async {
        caller.expect("status").await;
        caller.refuse(0, "bad_request", "a frame was not JSON", false).await;
    };
    let (status, ()) = join!(client.status(), reply);
    assert!(matches!(status, Err(Error::Fault(fault)) if fault.code == FaultCode::BadRequest));
}

#[tokio::test]
async fn versions_without_overlap_name_the_older_program() {
    for (theirs, side) in [(2, Side::Client), (0, Side::Daemon)] {
        let daemon = FakeDaemon::listen();
        let greet = async {
            let mut caller = daemon.accept().await;
            let call = caller.expect("hello").await;
            assert_eq!(call.params["versions"], json!([1]));
            let hello = json!({"version": "9.0.0", "protocol": theirs, "peerId": fake::PEER_ID});
            caller.reply(call.id, hello).await;
        };
        let (client, ()) = join!(Client::connect(&daemon.endpoint), greet);
        assert!(matches!(client, Err(Error::Version { upgrade: Some(who), .. }) if who == side));
    }
    let daemon = FakeDaemon::listen();
    let refuse = async {
        let mut caller = daemon.accept().await;
        let call = caller.expect("hello").await;
        caller.refuse(call.id, "version", "this client is too old: upgrade it", false).await;
    };
    let (client, ()) = join!(Client::connect(&daemon.endpoint), refuse);
    assert!(matches!(client, Err(Error::Version { upgrade: None, message }) if message.contains("upgrade")));
}

#[tokio::test]
async fn unanswered_greeting_times_out() {
    let daemon = FakeDaemon::listen();
    let connecting = tokio::spawn({
        let endpoint = daemon.endpoint.clone();
        async move { Client::connect(&endpoint).await }
    });
    let mut caller = daemon.accept().await;
    caller.expect("hello").await;
    // Takes the greeting's five seconds: a paused clock is a feature of tokio that would rebuild it.
    let refused = connecting.await.expect("no panic").err().expect("nobody answers");
    assert!(matches!(refused, Error::Unresponsive { .. }), "{refused:?}");
}

#[cfg(unix)]
fn golden(name: &str) -> Value {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/golden/local_v1");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect(name);
    serde_json::from_str(&text).expect("JSON")
}

/// The call matches the local API's example, and its example answer parses.
#[cfg(unix)]
async fn says<T>(
    caller: &mut fake::Caller,
    call: &str,
    reply: &str,
    ask: impl Future<Output = Result<T, Error>>,
) -> T {
    let (call, reply) = (golden(&format!("call_{call}")), golden(&format!("reply_{reply}")));
    let op = call["op"].as_str().expect("an operation");
    let (answer, sent) = join!(ask, caller.answer(op, reply["result"].clone()));
    assert_eq!(sent, call["params"], "{op}");
    answer.unwrap_or_else(|error| panic!("{op}: {error}"))
}

#[cfg(unix)]
fn params<T: serde::de::DeserializeOwned>(call: &str) -> T {
    serde_json::from_value(golden(&format!("call_{call}"))["params"].clone()).expect(call)
}

#[cfg(unix)]
#[tokio::test]
async fn every_function_sends_its_operation() {
    use fyteclub_client::{PeerId, PlayerName};
    use std::path::Path;
    let daemon = FakeDaemon::listen();
    let (client, mut caller) = pair(&daemon).await;
    let d = &mut caller;
    let alice: PlayerName = "Alice Ashe@Gilgamesh".parse().expect("a name");
    let key: PeerId = fake::PEER_ID.parse().expect("a key");

    says(d, "status", "status", client.status()).await;
    let options = params::<Value>("publish_mod")["options"].clone();
    let options = serde_json::from_value(options).expect("options");
    says(d, "publish_mod", "published", client.appearance_publish_mod("/home/alice/mods/Dress", options))
        .await;
    says(d, "publish", "published", client.appearance_publish(params("publish"))).await;
    says(d, "unpublish", "empty", client.appearance_clear()).await;
    let fetched = says(d, "fetch", "fetched", client.peer_fetch(&alice, Some(Path::new("/tmp/out")))).await;
    assert_eq!(fetched.files.len(), 1);
    says(d, "cancel", "empty", client.peer_cancel(&alice)).await;
    says(d, "peers", "peers", client.peer_list()).await;
    says(d, "trust", "empty", client.peer_trust(&alice, &key)).await;
    let near = says(d, "nearby_set_change", "nearby", client.nearby_set(params("nearby_set_change"))).await;
    assert_eq!((near.contacts.len(), near.others), (1, 2));
    says(d, "nearby", "nearby", client.nearby_list()).await;
    says(d, "transfers", "transfers", client.transfer_list()).await;
    says(d, "limits", "limits", client.limits_get()).await;
    says(d, "limits_set", "limits", client.limits_set(params("limits_set"))).await;
    says(d, "limits_reset", "limits", client.limits_reset()).await;
    says(d, "contacts", "contacts", client.contacts_list()).await;
    says(d, "contacts_add_key", "contact", client.contacts_add(&alice, Some(&key))).await;
    says(d, "contacts_accept", "contact", client.contacts_accept(alice.clone())).await;
    says(d, "contacts_remove", "empty", client.contacts_remove(alice.clone())).await;
    says(d, "contacts_block", "contact", client.contacts_block(key)).await;
    says(d, "contacts_unblock", "empty", client.contacts_unblock(key)).await;
    let invited = says(d, "contacts_invite", "invited", client.contacts_invite()).await;
    assert_eq!(invited.link, "fyteclub://join/x");
    says(d, "contacts_join", "contact", client.contacts_join("fyteclub://join/x")).await;
    says(d, "cache_stats", "cache_stats", client.cache_stats()).await;
    says(d, "cache_verify", "cache_verified", client.cache_verify()).await;
    says(d, "cache_gc_more", "cache_collected", client.cache_gc(params("cache_gc_more"))).await;
    says(d, "cache_move", "cache_moved", client.cache_move(Path::new("/mnt/large/fyteclub"))).await;
    says(d, "watch", "empty", client.watch()).await;
    says(d, "shutdown", "empty", client.shutdown()).await;
}
