//! A scripted daemon on a real socket, for the tests of the SDK and of fyteclubctl. It sends what a test tells it to,
//! valid or not, and knows only frames and the greeting.

#![allow(dead_code)] // Each test binary uses its own part.

use fyteclub_client::pipe;
use fyteclub_proto::{
    frame::{self, Frame},
    limit::LOCAL_FRAME_MAX,
};
use interprocess::local_socket::{
    ListenerOptions,
    tokio::{Listener, Stream, prelude::*},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) const PEER_ID: &str = "ed25519:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

pub(crate) struct FakeDaemon {
    pub endpoint: String,
    listener: Listener,
    pub dir: TempDir,
}

/// An endpoint without a listener: a path in the folder, or on Windows a pipe named after it.
pub(crate) fn endpoint(dir: &TempDir) -> String {
    if cfg!(windows) {
        format!("fyteclub-test-{}", dir.path().file_name().expect("named").to_string_lossy())
    } else {
        dir.path().join("d.sock").to_str().expect("Unicode").to_owned()
    }
}

impl FakeDaemon {
    pub(crate) fn listen() -> Self {
        let dir = TempDir::new().expect("a folder");
        let endpoint = endpoint(&dir);
        let name = pipe::Endpoint::at(&endpoint).name().expect("a name");
        let listener = ListenerOptions::new().name(name).create_tokio().expect("listens");
        Self { endpoint, listener, dir }
    }

    /// The next client, before its greeting.
    pub(crate) async fn accept(&self) -> Caller {
        Caller { stream: within(self.listener.accept()).await.expect("accepts"), bytes: Vec::new() }
    }

    /// The next client, greeted.
    pub(crate) async fn greeted(&self) -> Caller {
        let mut caller = self.accept().await;
        let call = caller.expect("hello").await;
        caller.reply(call.id, json!({"version": "0.1.0", "protocol": 1, "peerId": PEER_ID})).await;
        caller
    }
}

/// A client's request.
#[derive(Debug, Deserialize)]
pub(crate) struct Call {
    pub id: u64,
    pub op: String,
    #[serde(default)]
    pub params: Value,
}

/// The daemon's end of one connection.
pub(crate) struct Caller {
    stream: Stream,
    bytes: Vec<u8>,
}

impl Caller {
    /// The next call, or `None` when the client closed the connection.
    pub(crate) async fn call(&mut self) -> Option<Call> {
        loop {
            if let Frame::Whole { body, used } = frame::split(&self.bytes, LOCAL_FRAME_MAX).expect("a frame")
            {
                let call = serde_json::from_slice(body).expect("a call");
                self.bytes.drain(..used);
                return Some(call);
            }
            match within(self.stream.read_buf(&mut self.bytes)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn expect(&mut self, op: &str) -> Call {
        let call = self.call().await.expect("a call, not the end");
        assert_eq!(call.op, op);
        call
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.expect("written");
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        let body = frame.to_string();
        self.bytes(&frame::join(body.as_bytes(), LOCAL_FRAME_MAX).expect("short enough")).await;
    }

    pub(crate) async fn reply(&mut self, id: u64, result: Value) {
        self.say(json!({"id": id, "ok": true, "result": result})).await;
    }

    pub(crate) async fn refuse(&mut self, id: u64, code: &str, message: &str, retryable: bool) {
        let error = json!({"code": code, "message": message, "retryable": retryable});
        self.say(json!({"id": id, "ok": false, "error": error})).await;
    }

    pub(crate) async fn event(&mut self, event: &str, data: Value) {
        self.say(json!({"event": event, "data": data})).await;
    }

    /// Sends the same frame until the client closes the connection.
    pub(crate) async fn repeat_until_gone(&mut self, frame: Value) {
        let frame = frame::join(frame.to_string().as_bytes(), LOCAL_FRAME_MAX).expect("short enough");
        within(async { while self.stream.write_all(&frame).await.is_ok() {} }).await;
    }

    /// Answers the expected call.
    pub(crate) async fn answer(&mut self, op: &str, result: Value) -> Value {
        let call = self.expect(op).await;
        self.reply(call.id, result).await;
        call.params
    }
}

/// No test waits for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

pub(crate) fn hash(digit: char) -> String {
    format!("b3:{}", digit.to_string().repeat(64))
}

pub(crate) fn status() -> Value {
    json!({
        "version": "0.1.0",
        "peerId": PEER_ID,
        "player": "Alice Ashe@Gilgamesh",
        "listen": "127.0.0.1:4444",
        "phonebooks": [
            {"url": "http://127.0.0.1:8080", "ok": true, "lastAnswer": 1_700_000_000_000_u64, "error": null},
            {"url": "http://other.example", "ok": false, "lastAnswer": null, "error": "connection refused"},
        ],
        "appearance": hash('a'),
        "peers": [
            {"player": "Bob Birch@Balmung", "peerId": PEER_ID, "state": "connected", "path": "lan", "rttMs": 1.5},
            {"player": "光の 戦士@トンベリ", "peerId": PEER_ID, "state": "disconnected", "path": null, "rttMs": null,
             "cause": "no path worked"},
        ],
        "transfers": [transfer(600, 120_000_000)],
        "cache": {"bytes": 210_300_000, "files": 950, "limit": 10_000_000_000_u64, "pinned": 0},
    })
}

pub(crate) fn transfer(files: u64, bytes: u64) -> Value {
    json!({
        "player": "Bob Birch@Balmung", "peerId": PEER_ID, "appearance": hash('b'),
        "filesDone": files, "filesTotal": 950, "bytesDone": bytes, "bytesTotal": 210_300_000, "rate": 35_000_000,
        "remainingSeconds": 2, "reason": "asked",
        "sources": [],
    })
}

pub(crate) fn fetched() -> Value {
    json!({
        "player": "Bob Birch@Balmung",
        "appearance": hash('b'),
        "files": [
            {"gamePaths": ["chara/a.tex", "chara/b.tex"], "hash": hash('c'), "size": 4096,
             "path": "/data/blobs/c.tex", "object": 0},
        ],
        "bytesTotal": 4096, "bytesTransferred": 1000, "bytesFetched": 4096, "seconds": 0.5, "path": "loopback",
        "sources": [],
        "objects": [{"kind": "player"}],
    })
}
