//! The local socket: what it replaces, who owns it, which clients get a place, and what happens when it is removed.

#![cfg(unix)]

use fyteclub_client::{Client, Error};
use fyteclub_proto::{
    frame,
    limit::{LOCAL_CLIENTS_MAX, LOCAL_FRAME_MAX},
};
use fyteclub_tests::{Process, Town, eventually, program, skipped, within};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Command,
    time::Duration,
};

/// Growth that an honest client may cause too.
const GROWTH_MAX: u64 = 12 << 20;

#[tokio::test]
async fn file_that_is_no_socket_is_not_replaced() {
    let town = Town::new().await;
    let notes = town.path("alice.sock");
    fs::write(&notes, "my notes\n").expect("a file");
    let alice = town.house("Alice Ashe@Gilgamesh");
    let mut daemon = Process::spawn("a daemon", alice.command(), town.path("alice.stderr"));
    let (status, _) = daemon.ended().await;
    assert_eq!(status.code(), Some(2));
    let said = daemon.log();
    assert!(said.contains("that is a file, not a socket: choose another place"), "{said}");
    assert_eq!(fs::read_to_string(&notes).expect("kept"), "my notes\n");
}

#[tokio::test]
async fn a_removed_socket_is_made_again() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    fs::remove_file(alice.ipc()).expect("removed");
    eventually("a client finds the daemon again", async || Client::connect(alice.ipc()).await.ok()).await;
    let mode = fs::metadata(alice.ipc()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn silent_clients_do_not_block_others() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut silent: Vec<UnixStream> =
        (0..LOCAL_CLIENTS_MAX + 8).map(|_| UnixStream::connect(alice.ipc()).expect("connected")).collect();
    let client = within("a client beside the silent", Client::connect(alice.ipc())).await.expect("greeted");
    client.status().await.expect("answered");
    // The first is closed, the last is refused.
    let heard = |mut stream: UnixStream| {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
    };
    let first = silent.remove(0);
    let last = silent.pop().expect("many");
    let (first, last) = tokio::task::spawn_blocking(move || (heard(first), heard(last))).await.expect("read");
    assert!(first.as_ref().is_ok_and(|text| text.contains("too many local clients")), "{first:?}");
    assert!(last.as_ref().is_ok_and(|text| text.contains("hello_first")), "{last:?}");
}

#[tokio::test]
async fn excess_clients_are_refused_and_ctl_connects() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut clients = Vec::new();
    let refused = loop {
        match Client::connect_as(alice.ipc(), "leaky plugin").await {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
        assert!(clients.len() <= LOCAL_CLIENTS_MAX, "there is a bound");
    };
    assert!(refused.to_string().contains("too many local clients"), "{refused}");
    let ctl =
        Command::new(program("fyteclubctl")).args(["--ipc", alice.ipc(), "status"]).output().expect("runs");
    assert!(ctl.status.success(), "{}", String::from_utf8_lossy(&ctl.stderr));
    // A freed place is available.
    clients.pop();
    eventually("a place is free", async || Client::connect_as(alice.ipc(), "plugin").await.ok()).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_on() {
    let town = Town::new().await;
    let mut alice = town.resident("Alice Ashe@Gilgamesh").await;
    let framed = |text: String| frame::join(text.as_bytes(), LOCAL_FRAME_MAX).expect("short");
    let mut deaf = UnixStream::connect(alice.ipc()).expect("connected");
    let hello = json!({ "id": 1, "op": "hello", "params": { "client": "deaf", "versions": [1] } });
    deaf.write_all(&framed(hello.to_string())).expect("sent");
    let before = alice.process().memory();
    let asking = tokio::task::spawn_blocking(move || {
        deaf.set_write_timeout(Some(Duration::from_secs(3))).expect("set");
        let status: Vec<u8> =
            (0..100).flat_map(|id| framed(json!({ "id": id + 2, "op": "status" }).to_string())).collect();
        let mut sent = 0;
        while sent < 16 << 20 {
            match deaf.write(&status) {
                Ok(bytes) => sent += bytes,
                Err(_) => break,
            }
        }
        (deaf, sent)
    });
    let (deaf, sent) = within("a client is not read on", asking).await.expect("asked");
    assert!(sent < 4 << 20, "{sent} bytes of requests were read though nothing was heard");
    alice.client().status().await.expect("others are answered");
    if let Some(before) = before {
        let grown = alice.process().memory().unwrap_or(0).saturating_sub(before);
        assert!(grown < GROWTH_MAX, "{grown} bytes");
    }
    drop(deaf);
    Client::connect(alice.ipc()).await.expect("greeted").status().await.expect("answered");
}

/// Two unused user ids.
const VICTIM: u32 = 65534;
const STRANGER: u32 = 65533;

/// No `XDG_RUNTIME_DIR`, and another user made `/tmp/fyteclub-USER` before.
/// A state is as long as there are contacts; each would wait in memory until it is read.
#[tokio::test]
async fn states_that_wait_have_a_bound() {
    const CALLS: usize = 64;
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut stream = UnixStream::connect(alice.ipc()).expect("connected");
    let framed =
        |call: serde_json::Value| frame::join(call.to_string().as_bytes(), LOCAL_FRAME_MAX).expect("short");
    let hello = json!({ "id": 0, "op": "hello", "params": { "client": "eager", "versions": [1] } });
    let mut bytes = framed(hello);
    (1..=CALLS).for_each(|id| bytes.extend(framed(json!({ "id": id, "op": "watch" }))));
    stream.write_all(&bytes).expect("sent");
    let (busy, states) = tokio::task::spawn_blocking(move || {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        let (mut answers, mut busy, mut states) = (0, 0, 0);
        while answers <= CALLS || states < CALLS - busy {
            let mut length = [0; 4];
            stream.read_exact(&mut length).expect("a frame");
            let mut body = vec![0; usize::try_from(u32::from_le_bytes(length)).expect("short")];
            stream.read_exact(&mut body).expect("its body");
            let text = String::from_utf8(body).expect("text");
            let is_event = text.contains(r#""event":"#);
            answers += usize::from(!is_event);
            busy += usize::from(!is_event && text.contains("states are not sent yet"));
            states += usize::from(is_event && text.contains(r#""event":"state""#));
        }
        (busy, states)
    })
    .await
    .expect("read");
    assert!(busy > 0 && states == CALLS - busy, "{busy} refused, {states} states");
}

#[tokio::test]
async fn strangers_folder_and_socket_are_refused() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI runs this story as root");
        return skipped("only root can be two users");
    }
    let town = tempfile::TempDir::with_prefix_in("fyteclub-", "/tmp").expect("a folder");
    fs::set_permissions(town.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let [home, bin] = ["home", "bin"].map(|name| town.path().join(name));
    fs::create_dir(&home).expect("a folder");
    chown(&home, Some(VICTIM), Some(VICTIM)).expect("given");
    fs::create_dir(&bin).expect("a folder");
    for name in ["fyteclubd", "fyteclubctl"] {
        fs::copy(program(name), bin.join(name)).expect("copied");
    }
    let user = format!("test{}", std::process::id());
    let squat = Path::new("/tmp").join(format!("fyteclub-{user}"));
    fs::create_dir(&squat).expect("a folder");
    let _gone = Gone(squat.clone());
    fs::set_permissions(&squat, fs::Permissions::from_mode(0o777)).expect("set");
    chown(&squat, Some(STRANGER), Some(STRANGER)).expect("given");

    let as_victim = |name: &str| {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={VICTIM}"), format!("--regid={VICTIM}"), "--clear-groups".into()]);
        command.args(["env", "-u", "XDG_RUNTIME_DIR", "-u", "XDG_DATA_HOME", "-u", "XDG_CONFIG_HOME"]);
        command.arg(bin.join(name)).current_dir("/").env("HOME", &home).env("USER", &user);
        command
    };
    let mut command = as_victim("fyteclubd");
    command.args(["run", "--listen", "127.0.0.1:0"]);
    let mut daemon = Process::spawn("a daemon", command, town.path().join("stderr"));
    daemon.says("ready").await;
    assert_eq!(fs::read_dir(&squat).expect("readable").count(), 0, "nothing lies in the stranger's folder");
    let own = home.join(".local/share/fyteclub/fyteclubd.sock");
    eventually("it says where it listens", async || {
        let log = daemon.log();
        (log.contains("belongs to") && log.contains(own.to_str().expect("text"))).then_some(())
    })
    .await;
    let ctl = as_victim("fyteclubctl").arg("status").env("FYTECLUB_IPC", &own).output().expect("runs");
    assert!(ctl.status.success(), "{}", String::from_utf8_lossy(&ctl.stderr));

    // The stranger's socket, at the client's default.
    let socket = squat.join("fyteclubd.sock");
    let listener = UnixListener::bind(&socket).expect("bound");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("set");
    let ctl =
        as_victim("fyteclubctl").args(["contacts", "join", "fyteclub://join/secret"]).output().expect("runs");
    let said = String::from_utf8_lossy(&ctl.stderr).into_owned();
    assert_eq!(ctl.status.code(), Some(3), "{said}");
    assert!(said.contains("belongs to another user"), "{said}");
    listener.set_nonblocking(true).expect("set");
    let (mut stream, _) = listener.accept().expect("it connected");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).expect("closed");
    assert!(heard.is_empty(), "the stranger heard {heard:?}");
}

/// A folder that is removed with the story.
struct Gone(std::path::PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test]
async fn too_long_socket_path_is_reported_once() {
    let town = Town::new().await;
    let long = town.path(&"x".repeat(120));
    let mut command = Command::new(program("fyteclubd"));
    command.arg("run").arg("--data-dir").arg(town.path("data")).arg("--ipc").arg(&long);
    let mut daemon = Process::spawn("a daemon", command, town.path("stderr"));
    assert_eq!(daemon.ended().await.0.code(), Some(2));
    let said = daemon.log();
    assert_eq!(said.matches("a socket's path has at most").count(), 1, "{said}");
    assert!(said.contains("`ipc`") && !said.contains("sun_path"), "{said}");
    let error = Client::connect(long.to_str().expect("text")).await.err().expect("no client");
    assert!(matches!(error, Error::Endpoint { .. }), "{error:?}");
}
