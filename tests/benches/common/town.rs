//! A phone book and daemons as real processes: the binaries of the release profile, built before the first starts.

use anyhow::{Context, bail};
use fyteclub_client::{Client, PlayerName};
use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A process that ends with its handle.
pub(crate) struct Process {
    child: Child,
    /// Its line when it was ready.
    pub greeting: String,
    /// Time from the start to that line.
    pub start_time: Duration,
    _stdout: BufReader<std::process::ChildStdout>,
}

impl Process {
    /// Starts a program and waits for its first line on stdout.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        Self::start_talking(command.stdin(Stdio::null()))
    }

    /// As [`Process::start`], with the command's standard input.
    pub(crate) fn start_talking(command: &mut Command) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut stdout = BufReader::new(child.stdout.take().context("a piped stdout")?);
        let mut greeting = String::new();
        let read = stdout.read_line(&mut greeting);
        let start_time = began.elapsed();
        let process = Self { child, greeting: greeting.trim().to_owned(), start_time, _stdout: stdout };
        match read {
            Ok(1..) => Ok(process),
            Ok(0) | Err(_) => bail!("{command:?} ended before it was ready"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits for the exit.
    #[cfg(unix)]
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGKILL, and waits for the exit.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// A process and its children.
    pub(crate) fn family(pid: u32) -> Vec<u32> {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of the programs: `FYTECLUB_BENCH_BIN`, or else built here from the sources.
pub(crate) fn binaries() -> anyhow::Result<PathBuf> {
    if let Some(dir) = env::var_os("FYTECLUB_BENCH_BIN") {
        return Ok(dir.into());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "-p", "fyteclub-daemon", "-p", "fyteclub-phonebook"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .context("cannot run cargo")?;
    anyhow::ensure!(built.success(), "the programs do not build");
    // …/release/deps/bench-0123 → …/release
    let here = env::current_exe()?;
    Ok(here.ancestors().nth(2).context("the bench lies in a target folder")?.to_owned())
}

/// Programs of another build, measured in the same rounds.
pub(crate) fn other_binaries() -> Option<PathBuf> {
    env::var_os("FYTECLUB_BENCH_OTHER").map(PathBuf::from)
}

/// Where a process runs: directly on this machine, or inside something that a bench made.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub ip: IpAddr,
    /// Makes the command for a program there.
    pub inside: &'a dyn Fn(&Path) -> Command,
}

impl Place<'_> {
    pub(crate) const HERE: Place<'static> =
        Place { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), inside: &|program| Command::new(program) };
}

pub(crate) struct Town {
    dir: tempfile::TempDir,
    binaries: PathBuf,
    /// The environment of every daemon started from now on.
    pub environment: Vec<(&'static str, String)>,
    pub phonebook: Process,
    pub url: String,
}

impl Town {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::of(binaries()?)
    }

    /// With these programs.
    pub(crate) fn of(binaries: PathBuf) -> anyhow::Result<Self> {
        Self::at(binaries, Place::HERE)
    }

    /// With the phone book there.
    pub(crate) fn at(binaries: PathBuf, place: Place<'_>) -> anyhow::Result<Self> {
        // Not the system's temporary folder, which is often in memory: disks are measured.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let phonebook = phonebook_at(&binaries, place)?;
        let url = phonebook.greeting.rsplit(' ').next().unwrap_or_default().to_owned();
        // Only requested fetches are measured.
        let mut environment = vec![("FYTECLUB_PREFETCH_BUDGET", "0".to_owned())];
        // Nor is this machine's router spoken to.
        environment.extend(
            ["FYTECLUB_UPNP", "FYTECLUB_NAT_PMP", "FYTECLUB_LAN"].map(|key| (key, "false".to_owned())),
        );
        Ok(Self { dir, binaries, environment, phonebook, url })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A daemon with a temporary folder.
    pub(crate) async fn daemon(&self, player: &str) -> anyhow::Result<Daemon> {
        self.daemon_at(player, Place::HERE).await
    }

    /// The same, at a place.
    pub(crate) async fn daemon_at(&self, player: &str, place: Place<'_>) -> anyhow::Result<Daemon> {
        let dir = tempfile::tempdir_in(self.dir.path())?;
        let mut daemon = self.daemon_in(dir.path(), player, place, 0).await?;
        daemon._dir = Some(dir);
        Ok(daemon)
    }

    /// A daemon in a kept folder, new or used, at this port, or with 0 at any.
    pub(crate) async fn daemon_in(
        &self,
        dir: &Path,
        player: &str,
        place: Place<'_>,
        port: u16,
    ) -> anyhow::Result<Daemon> {
        let ipc = if cfg!(windows) {
            format!("fyteclub-bench-{}-{}", std::process::id(), player.replace([' ', '@'], "-"))
        } else {
            dir.join("s.sock").to_string_lossy().into_owned()
        };
        let listen = SocketAddr::new(place.ip, port).to_string();
        let flags: [&OsStr; 13] = [
            "run".as_ref(),
            "--data-dir".as_ref(),
            dir.as_ref(),
            "--player".as_ref(),
            player.as_ref(),
            "--phonebook".as_ref(),
            self.url.as_ref(),
            "--listen".as_ref(),
            listen.as_ref(),
            "--ipc".as_ref(),
            ipc.as_ref(),
            "--log".as_ref(),
            "error".as_ref(),
        ];
        let mut command = (place.inside)(&program(&self.binaries, "fyteclubd"));
        let process = Process::start(command.args(flags).envs(self.environment.iter().cloned()))?;
        let client = Client::connect(&ipc).await?;
        Ok(Daemon { process, client, player: player.parse()?, _dir: None })
    }
}

pub(crate) struct Daemon {
    // Dropped before its folder.
    process: Process,
    pub client: Client,
    pub player: PlayerName,
    _dir: Option<tempfile::TempDir>,
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn start_time(&self) -> Duration {
        self.process.start_time
    }

    /// Publishes a folder, and waits until its owner is registered.
    pub(crate) async fn publish(&self, look: &Path) -> anyhow::Result<()> {
        let published = self.client.appearance_publish_mod(look, Vec::new()).await?;
        anyhow::ensure!(published.left_out.is_empty(), "files were left out: {:?}", published.left_out);
        Ok(())
    }

    /// Each adds the other by key, without a message between them.
    pub(crate) async fn befriend(&self, other: &Self) -> anyhow::Result<()> {
        let (here, there) = (self.client.daemon().peer_id, other.client.daemon().peer_id);
        self.client.contacts_add(&other.player, Some(&there)).await?;
        other.client.contacts_add(&self.player, Some(&here)).await?;
        Ok(())
    }

    /// Waits until the phone book has answered.
    pub(crate) async fn registered(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.client.status().await?.phonebooks.iter().any(|book| book.ok) {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "the phone book does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// Without limits: one client sends more than a million would.
pub(crate) fn phonebook(binaries: &Path) -> anyhow::Result<Process> {
    phonebook_at(binaries, Place::HERE)
}

fn phonebook_at(binaries: &Path, place: Place<'_>) -> anyhow::Result<Process> {
    Process::start(unlimited(&mut phonebook_command(binaries, place, SocketAddr::new(place.ip, 0))))
}

pub(crate) fn phonebook_command(binaries: &Path, place: Place<'_>, listen: SocketAddr) -> Command {
    let mut command = (place.inside)(&program(binaries, "fyteclub-phonebook"));
    if !place.ip.is_loopback() {
        command.arg("--plain-http");
    }
    command.args(["--listen", &listen.to_string()]).env("RUST_LOG", "error,actix_http=off");
    command
}

/// One client, and one address, sends more than a million would.
pub(crate) fn unlimited(command: &mut Command) -> &mut Command {
    uncrowded(command);
    for class in ["REGISTER", "LOOKUP", "INTRODUCE", "SOCKET", "OTHER", "REGISTER_KEY", "INTRODUCE_KEY"] {
        command.env(format!("FYTECLUB_PHONEBOOK_LIMIT_{class}"), "off");
    }
    command
}

/// One address may hold as much as many. By variables, which an older build ignores.
pub(crate) fn uncrowded(command: &mut Command) -> &mut Command {
    for what in ["CONNECTIONS", "SOCKETS", "NAMES"] {
        command.env(format!("FYTECLUB_PHONEBOOK_MAX_{what}_PER_ADDRESS"), "10000000");
    }
    command
}

fn program(binaries: &Path, name: &str) -> PathBuf {
    binaries.join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Removes a round's files, so that the next one finds the same disk.
pub(crate) fn clear(dir: &Path) {
    fs::remove_dir_all(dir).ok();
}

/// As in the daemon: one thread for everything but disks.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
