//! A launcher cannot stop a daemon or a phone book by neglect: standard streams that nobody reads, or that are gone or
//! closed; ignored signals; a limit on file sizes.

#![cfg(unix)]

use fyteclub_client::Client;
use fyteclub_tests::{Town, eventually, program, within};
use rustix::{
    pipe::fcntl_setpipe_size,
    process::{Pid, Signal, kill_process},
};
use std::{
    fs,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

const PIPE: usize = 4096;

/// A full pipe, and its reading end, which nobody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    fcntl_setpipe_size(&writer, PIPE).expect("a small pipe");
    writer.write_all(&[b'.'; PIPE]).expect("room");
    (reader, writer)
}

/// A program that is killed when the story ends.
struct Started(Child);

impl Started {
    fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("it starts"))
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("an id");
        kill_process(id, signal).expect("it runs");
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("a program ends", async || self.0.try_wait().expect("a child of ours")).await
    }

    /// Exits at once and cleanly on request.
    async fn stops(&mut self) {
        self.signal(Signal::TERM);
        let ended =
            tokio::time::timeout(Duration::from_secs(10), self.ended()).await.expect("in ten seconds");
        assert_eq!(ended.code(), Some(0));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have exited.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn client(ipc: &str) -> Client {
    eventually("a daemon answers", async || Client::connect(ipc).await.ok()).await
}

/// A command behind a line of shell.
fn shell(line: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{line} exec \"$@\"")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

#[tokio::test]
async fn unread_streams_do_not_stop_a_daemon() {
    let town = Town::new().await;
    let alice = town.house("Alice Ashe@Gilgamesh");
    let (_unread, stderr) = full_pipe();
    let (_unread_too, stdout) = full_pipe();
    let mut command = alice.command();
    command.stdout(stdout).stderr(stderr);
    let mut daemon = Started::start(command);
    let client = client(alice.ipc()).await;
    for _ in 0..50 {
        within("a status", client.status()).await.expect("answered");
    }
    let log =
        fs::read_dir(alice.data().join("log")).expect("a log").next().expect("a file").expect("readable");
    eventually("the file's log goes on", async || {
        fs::read_to_string(log.path()).expect("text").contains("listening for clients").then_some(())
    })
    .await;
    daemon.stops().await;
}

#[tokio::test]
async fn streams_that_are_gone_do_not_stop_a_daemon() {
    let town = Town::new().await;
    let alice = town.house("Alice Ashe@Gilgamesh");
    let (unread, stderr) = full_pipe();
    drop(unread);
    let mut command = alice.command();
    command.stdout(stderr.try_clone().expect("a handle")).stderr(stderr);
    let mut daemon = Started::start(command);
    client(alice.ipc()).await.status().await.expect("answered");
    daemon.stops().await;

    let bob = town.house("Bob Birch@Balmung");
    let mut daemon = Started::start(shell("exec 0<&- 1>&- 2>&-;", &bob.command()));
    client(bob.ipc()).await.status().await.expect("answered");
    daemon.stops().await;
}

#[tokio::test]
async fn unread_stderr_does_not_stop_a_phone_book() {
    let (_unread, stderr) = full_pipe();
    let mut command = Command::new(program("fyteclub-phonebook"));
    command.args(["--listen", "127.0.0.1:0", "--operator", "off"]).env("RUST_LOG", "trace");
    let mut book = Started::start({
        command.stdout(Stdio::piped()).stderr(stderr);
        command
    });
    let stdout = book.0.stdout.take().expect("piped");
    let read = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
    let line = within("the phone book listens", read).await.expect("read").expect("a line").expect("text");
    let url = line.strip_prefix("listening on ").expect("an address");
    rustls::crypto::ring::default_provider().install_default().ok();
    for _ in 0..50 {
        let answer = within("an answer", reqwest::get(format!("{url}/health"))).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
    }
    book.stops().await;
}

/// Whether a running process ignores these signals.
#[cfg(target_os = "linux")]
fn ignores(process: &Started, signals: &[Signal]) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.0.id())).expect("it runs");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("a number");
    signals.iter().all(|signal| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn signals_ignored_by_the_launcher_stay_so() {
    let town = Town::new().await;
    let alice = town.house("Alice Ashe@Gilgamesh");
    let mut daemon = Started::start(shell("trap '' HUP INT;", &alice.command()));
    let client = client(alice.ipc()).await;
    client.status().await.expect("answered");
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::INT);
    assert!(ignores(&daemon, &[Signal::HUP, Signal::INT]));
    client.status().await.expect("still answered");
    daemon.stops().await;

    let mut book = Command::new(program("fyteclub-phonebook"));
    book.args(["--listen", "127.0.0.1:0", "--operator", "off"]);
    let mut book = Started::start(shell("trap '' INT; exec 1>&2;", &book));
    // It handles SIGTERM only once it serves.
    eventually("the phone book listens for signals", async || {
        let status = fs::read_to_string(format!("/proc/{}/status", book.0.id())).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        (mask >> (Signal::TERM.as_raw() - 1) & 1 == 1).then_some(())
    })
    .await;
    assert!(ignores(&book, &[Signal::INT]));
    book.stops().await;
}

#[tokio::test]
async fn counted_warning_precedes_the_last_line() {
    let town = Town::new().await;
    let alice = town.house("Alice Ashe@Gilgamesh");
    let mut daemon = Started::start(alice.command());
    // Each removal is one warning; the second one is counted.
    for _ in 0..2 {
        client(alice.ipc()).await.status().await.expect("answered");
        fs::remove_file(alice.ipc()).expect("a socket");
        client(alice.ipc()).await.status().await.expect("answered");
    }
    daemon.stops().await;
    let log = fs::read_dir(alice.data().join("log")).expect("a log").next().expect("a file");
    let log = fs::read_to_string(log.expect("readable").path()).expect("text");
    assert!(log.contains("is created again: ") && log.contains("(1 more within a minute)"), "{log}");
    assert!(log.trim_end().ends_with(" stopped"), "{log}");
}

#[tokio::test]
async fn a_limit_of_file_sizes_is_no_death_by_signal() {
    let town = Town::new().await;
    let alice = town.house("Alice Ashe@Gilgamesh");
    let mut daemon = Started::start(shell("ulimit -f 1;", &alice.command()));
    let ended = eventually("it serves or says why not", async || {
        let ended = daemon.0.try_wait().expect("a child of ours");
        if ended.is_none() && Client::connect(alice.ipc()).await.is_ok() {
            daemon.signal(Signal::TERM);
        }
        ended
    })
    .await;
    assert_eq!(ended.signal(), None, "{ended}");
}
