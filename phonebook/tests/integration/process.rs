//! The binary: its one line, signals, exit codes, and messages about a bad configuration.

#![cfg(unix)]

use crate::common::{DEADLINE, Phonebook, Player, eventually, json, live::Client};
use fyteclub_proto::{bytes::Bytes, knock::Callee, phonebook::Register};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixDatagram,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};
use tokio_tungstenite::tungstenite::Message;

fn command(args: &[&str]) -> Command {
    // The phone book would inherit signals that the tests' launcher ignores.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_fyteclub-phonebook")]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FYTECLUB_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET").args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Process {
    child: Child,
    phonebook: Phonebook,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
        Self { phonebook: Phonebook::at(addr.trim_end().parse().unwrap()), child }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn refused(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(args).output().unwrap();
    assert!(!status.success());
    assert_eq!(stdout, b"", "nothing is promised that does not listen");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn process_prints_its_address_and_stops_on_sigterm() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::start(&mut command(&["--listen", "127.0.0.1:0", "--compat"]));
        process
            .phonebook
            .register(serde_json::json!({"playerName": "A", "port": 1}))
            .is(200, r#"{"success":true}"#);
        // One client stays connected, another is in the middle of its request.
        let mut idle = process.phonebook.connect();
        idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        idle.read_exact(&mut [0; 16]).unwrap();
        let mut busy = process.phonebook.connect();
        busy.write_all(b"POST /api/register HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").unwrap();

        let start = Instant::now();
        process.signal(signal);
        assert_eq!(process.exit().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    }
}

#[test]
fn audit_log_without_a_folder_is_told_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("audit.jsonl");
    let mut command = command(&["--listen", "127.0.0.1:0", "--operator", "off"]);
    let mut process = Process::start(command.arg("--audit").arg(&path));
    process.signal(Signal::TERM);
    process.exit();
    let mut log = String::new();
    process.child.stderr.as_mut().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains(&format!("the audit log {} cannot be written", path.display())), "{log}");
}

#[test]
fn typed_text_turns_no_reading_direction() {
    for args in [["--listen", "a\u{202e}b"], ["--limit-\u{202e}", "5"]] {
        let said = refused(&args);
        assert!(said.contains("\\u{202e}") && !said.contains('\u{202e}'), "{said}");
    }
}

#[test]
fn typed_line_break_begins_no_line() {
    let said = refused(&["--li\nsten\u{1b}[31m", "5"]);
    assert!(said.starts_with(r"error: unexpected argument '--li\nsten\u{1b}[31m' found"), "{said}");
}

#[test]
fn filter_that_would_not_be_honoured_is_refused() {
    for wrong in ["info[span]=debug", "info,TARGET=", "loud"] {
        let output = command(&["--listen", "127.0.0.1:0"]).env("RUST_LOG", wrong).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}");
        assert!(
            said.contains(&format!("`RUST_LOG` is `{wrong}`, and `")) && said.contains("TARGET=LEVEL"),
            "{said}"
        );
    }
}

#[test]
fn log_has_no_names() {
    let mut process = Process::start(&mut command(&["--listen", "127.0.0.1:0", "--compat", "--log", "json"]));
    process.phonebook.register(serde_json::json!({"playerName": "Alice Ashe@Omega", "port": 1}));
    process.phonebook.lookup("Alice%20Ashe@Omega");
    process.phonebook.register("{");
    process.signal(Signal::TERM);
    process.exit();
    let mut log = String::new();
    process.child.stderr.as_mut().unwrap().read_to_string(&mut log).unwrap();
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert!(!log.contains("Alice") && !log.contains("127.0.0.1"), "{log}");
}

#[test]
fn log_of_refusals_has_no_names() {
    const NAME: &str = "Alice Ashe@Omega";
    let directory = tempfile::tempdir().unwrap();
    let audit = directory.path().join("audit.jsonl");
    let mut command =
        command(&["--listen", "127.0.0.1:0", "--trusted-proxies", "127.0.0.0/8", "--operator", "off"]);
    command.args([
        "--limit-lookup",
        "1/h burst 3",
        "--limit-register-key",
        "1/h burst 3",
        "--max-records",
        "2",
        "--max-names-per-address",
        "2",
    ]);
    let mut process = Process::start(command.env("RUST_LOG", "info").arg("--audit").arg(&audit));
    let ask = |method: &str, path: &str, body: &str| {
        let headers = ["Content-Type: application/json", "X-Forwarded-For: 203.0.113.77"];
        process.phonebook.request(method, path, &headers, body).status
    };
    let (alice, mallory) = (Player::new(1), Player::new(2));
    let register = |body: &Register| ask("POST", "/api/register", &json(body));
    let mut forged = alice.register(NAME, 9);
    forged.port = 1;
    let statuses = [
        register(&alice.register(NAME, 1)),
        register(&alice.register(NAME, 1)),
        register(&mallory.register(NAME, 1)),
        register(&forged),
        register(&alice.register_at(NAME, 9, 1)),
        register(&mallory.register("Bob Birch@Omega", 1)),
        register(&mallory.register("Cora Cole@Omega", 1)),
        register(&mallory.register("Bob Birch@Omega", 2)),
        ask("GET", "/api/lookup/Alice%20Ashe@Omega", ""),
        ask("GET", "/api/lookup/Alice%20Ashe%0a@Omega", ""),
        ask("GET", "/api/lookup/Nobody@Omega", ""),
        ask("GET", "/api/lookup/Nobody@Omega", ""),
        ask("POST", "/api/register", "{\"playerName\":\"Alice Ashe@Omega\""),
    ];
    assert_eq!(statuses, [200, 409, 409, 401, 401, 200, 503, 429, 200, 400, 404, 429, 400]);
    let mut garbage = process.phonebook.connect();
    garbage.write_all(b"Alice Ashe@Omega\r\n\r\n").unwrap();
    garbage.read_to_end(&mut Vec::new()).ok();
    process.signal(Signal::TERM);
    process.exit();

    let mut log = String::new();
    process.child.stderr.as_mut().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("INFO"), "the log is on: {log}");
    let audit = std::fs::read_to_string(audit).unwrap();
    let key = |player: &Player| player.register(NAME, 1).public_key.to_string();
    let keys = [key(&alice), key(&mallory)];
    for secret in ["Alice", "Ashe", "Bob", "Cora", "Nobody", "Omega", "203.0.113.77", &keys[0], &keys[1]] {
        let bare = secret.trim_start_matches("ed25519:");
        assert!(!log.contains(bare), "{secret} in {log}");
        assert!(!audit.contains(bare), "{secret} in {audit}");
    }
    for event in ["replay", "hijack", "bad_signature", "clock_skew", "limited"] {
        assert!(audit.contains(&format!("\"event\":\"{event}\"")), "{event} in {audit}");
    }
    let lines: Vec<serde_json::Value> =
        audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["from"] == "203.0.113.0"), "{audit}");
    let name = |event| lines.iter().find(|line| line["event"] == event).unwrap()["name"].clone();
    assert!(name("hijack").is_string() && name("hijack") == name("replay"), "one name, one hash: {audit}");
}

#[test]
fn a_hangup_without_a_certificate_is_nothing() {
    let process = Process::start(&mut command(&["--listen", "127.0.0.1:0", "--operator", "off"]));
    process.signal(Signal::HUP);
    assert_eq!(process.phonebook.get("/health").status, 200);
    process.signal(Signal::HUP);
    assert_eq!(process.phonebook.get("/health").status, 200);
}

#[test]
fn plain_http_beyond_loopback_is_refused_with_advice() {
    let told = refused(&["--listen", "0.0.0.0:0"]);
    for words in ["`tls_cert` and `tls_key`", "behind a proxy", "`plain_http = true` (--plain-http)"] {
        assert!(told.contains(words) && told.lines().count() == 1, "{told}");
    }
}

#[test]
fn log_of_introductions_has_no_names() {
    let mut process = Process::start(&mut command(&["--listen", "127.0.0.1:0", "--log", "json"]));
    let body = Player::new(2).register("Bob Birch@Omega", 1);
    process.phonebook.register(json(&body)).is(200, r#"{"success":true}"#);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut alice = Client::greeted(&process.phonebook, 1).await;
        let mut bob = Client::greeted(&process.phonebook, 2).await;
        alice.introduce_by(Callee::Name("Bob Birch@Omega".into()), &bob.id(), Bytes([1; 16])).await;
        bob.hear().await;
        bob.accept(&alice.id(), Bytes([1; 16])).await;
        alice.hear().await;
        Client::greeted(&process.phonebook, 1).await;
        bob.send(Message::text("{")).await;
        bob.is_cut_off().await;
    });
    process.signal(Signal::TERM);
    assert_eq!(process.exit().code(), Some(0));
    let mut log = String::new();
    process.child.stderr.as_mut().unwrap().read_to_string(&mut log).unwrap();
    assert!(!log.contains("Bob") && !log.contains("127.0.0.1") && !log.contains("ed25519"), "{log}");
}

#[test]
fn a_ttl_on_the_command_line_counts() {
    let process = Process::start(&mut command(&[
        "--listen",
        "127.0.0.1:0",
        "--compat",
        "--ttl",
        "1",
        "--limit-other",
        "off",
    ]));
    process
        .phonebook
        .register(serde_json::json!({"playerName": "A", "port": 1}))
        .is(200, r#"{"success":true}"#);
    eventually("the sweep takes it out", || process.phonebook.active_users() == 0);
    assert_eq!(process.phonebook.lookup("A").status, 404);
}

#[test]
fn writes_are_signed_unless_compat_is_asked_for() {
    let process = Process::start(&mut command(&["--listen", "127.0.0.1:0"]));
    process.phonebook.register(serde_json::json!({"playerName": "A", "port": 1})).is_problem(401, "unsigned");
}

#[test]
fn file_environment_and_flags_are_read_in_this_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("phonebook.toml");
    std::fs::write(&path, "compat = true\npassword = 'file'\nlisten = '127.0.0.1:1'\n").unwrap();
    let mut command = command(&["--listen", "127.0.0.1:0", "--config", path.to_str().unwrap()]);
    let process = Process::start(command.env("FYTECLUB_PHONEBOOK_PASSWORD", "environment"));
    let status = |password: &str| process.phonebook.get(&format!("/api/status?password={password}")).status;
    assert_eq!((status("environment"), status("file")), (200, 401));
}

#[test]
fn bad_configuration_is_one_sentence() {
    let told = refused(&["--ttl", "abc"]);
    assert_eq!(
        told,
        "fyteclub-phonebook: `ttl` in the command line is `abc`; \
         write a number of seconds from 1 to 31536000, such as 3600\n"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("phonebook.toml");
    for (text, words) in [
        ("lisen = '0.0.0.0:80'", "has a key `lisen` that does not exist; the keys are listen, ttl"),
        ("listen = 'everywhere'", "is `everywhere`; write an address and a port, such as 127.0.0.1:3000"),
        ("debug_players = true", "remove it or set `compat` to true"),
        ("listen =", "is not TOML at line 1"),
    ] {
        std::fs::write(&path, text).unwrap();
        let told = refused(&["--config", path.to_str().unwrap()]);
        assert!(told.contains(words) && told.lines().count() == 1, "{told}");
    }
    let told = refused(&["--config", "/nonexistent/phonebook.toml"]);
    assert!(told.contains("/nonexistent/phonebook.toml is not there") && told.lines().count() == 1, "{told}");
    // No settings at all.
    drop(Process::start(&mut command(&["--listen", "127.0.0.1:0", "--config", "/dev/null"])));
}

#[test]
fn taken_port_is_an_error() {
    let first = Process::start(&mut command(&["--listen", "127.0.0.1:0"]));
    let listen = first.phonebook.addr.to_string();
    let told = refused(&["--listen", &listen]);
    assert!(told.contains(&format!("`listen` is {listen}")) && told.contains("choose another"), "{told}");
}

#[test]
#[cfg(target_os = "linux")]
fn systemd_is_notified_of_each_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = command(&["--listen", "127.0.0.1:0"]);
    let mut process = Process::start(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000"));
    let hears = |wanted: &str| {
        let mut buffer = [0; 256];
        loop {
            let length = socket.recv(&mut buffer).unwrap();
            if std::str::from_utf8(&buffer[..length]).unwrap().contains(wanted) {
                return;
            }
        }
    };
    hears("READY=1");
    hears("WATCHDOG=1");
    hears("WATCHDOG=1");
    process.signal(Signal::TERM);
    hears("STOPPING=1");
    assert_eq!(process.exit().code(), Some(0));
}
