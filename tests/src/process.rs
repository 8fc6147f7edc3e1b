//! One program under test: its output, its log, its exit. It ends with the story.

use crate::{eventually, within};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// How much of a log is printed.
const TAIL: usize = 16 * 1024;

pub struct Process {
    name: String,
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    log: PathBuf,
}

/// Undoes ignored signals of the tests' launcher: a shell ignores SIGINT for background processes, and a daemon keeps
/// ignoring it.
fn with_default_signals(command: Command) -> Command {
    if cfg!(windows) {
        return command;
    }
    let mut through = Command::new("env");
    through.arg("--default-signal=HUP,INT,TERM").arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => through.env(key, value),
            None => through.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        through.current_dir(folder);
    }
    through
}

impl Process {
    /// Starts it, with the arguments, environment and folder of `command`; another user or an emptied environment is
    /// not carried over (the standard library tells neither): use `setpriv` and `env`. Standard error is appended to
    /// `log`, which is printed when the story fails.
    ///
    /// # Panics It cannot be started.
    pub fn spawn(name: &str, mut command: Command, log: PathBuf) -> Self {
        let stderr = File::options().create(true).append(true).open(&log).expect("a log");
        // The developer's own settings do not apply.
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("FYTECLUB_") {
                command.env_remove(key);
            }
        }
        // Only stories of port mapping send packets to routers, and only those of the local network send to neighbours.
        for key in ["FYTECLUB_UPNP", "FYTECLUB_NAT_PMP", "FYTECLUB_LAN"] {
            if !command.get_envs().any(|(known, value)| known == key && value.is_some()) {
                command.env(key, "false");
            }
        }
        let mut command = with_default_signals(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (say, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Nobody may be listening.
                say.send(line).ok();
            }
        });
        Self { name: name.to_owned(), child, lines, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the first line on standard output with this beginning.
    ///
    /// # Panics The process ends before, or takes too long.
    pub async fn says(&mut self, beginning: &str) -> String {
        let name = self.name.clone();
        let said = async {
            while let Some(line) = self.lines.recv().await {
                if let Some(rest) = line.strip_prefix(beginning) {
                    return rest.to_owned();
                }
            }
            panic!("{name} ended without saying `{beginning}`");
        };
        within(&format!("{name} says `{beginning}`"), said).await
    }

    /// Waits for its exit; returns the status and the time.
    ///
    /// # Panics It does not exit.
    pub async fn ended(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let child = &mut self.child;
        let status = eventually("a process ends", async || child.try_wait().expect("a child of ours")).await;
        (status, began.elapsed())
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have exited.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("an id"), signal).expect("it runs");
    }

    /// Resident bytes. Linux.
    pub fn memory(&self) -> Option<u64> {
        self.status("VmRSS:")
    }

    /// The peak, ever or since [`Self::forget_peak`]. Linux.
    pub fn peak(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    /// # Panics The system cannot reset it.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.id()), "5").expect("its peak is forgotten");
    }

    fn status(&self, key: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
    }

    /// CPU seconds. Linux.
    pub fn cpu(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        // The name in parentheses may contain anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / 100.0)
    }

    /// Standard error so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().take(TAIL).last().map_or(0, |(at, _)| at);
            eprintln!("--- what {} said (of {} bytes)\n{}", self.name, log.len(), &log[from..]);
        }
    }
}
