//! One daemon of the demo: a process that ends with this one.

use anyhow::{Context, bail};
use fyteclub_client::Client;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

const START_TIME: Duration = Duration::from_secs(20);
const STOP_TIME: Duration = Duration::from_secs(6);

pub(crate) struct DaemonProcess {
    pub client: Client,
    /// Its standard input closes with this process, and then it stops.
    child: Child,
}

impl Drop for DaemonProcess {
    /// Kills the process if it still runs and waits for its end.
    fn drop(&mut self) {
        self.child.start_kill().ok();
        let deadline = Instant::now() + STOP_TIME;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl DaemonProcess {
    /// Starts the running program as a daemon with its own data folder.
    ///
    /// # Errors The daemon did not become ready; with its output.
    pub(crate) async fn start(player: &str, dir: &Path, phonebook: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let said: PathBuf = dir.join("said.txt");
        let program = std::env::current_exe().context("this program does not know its own path")?;
        let endpoint = fyteclub_daemon::config::paths::fallback_endpoint(dir);
        let mut child = Command::new(program)
            .args(["run", "--until-stdin-closes", "--listen", "127.0.0.1:0", "--log", "info"])
            // As over the internet; between two processes of one machine it would save nothing.
            .args(["--compression", "always"])
            .args(["--player", player, "--phonebook", phonebook, "--ipc", &endpoint])
            .arg("--data-dir")
            .arg(dir)
            .env_remove("FYTECLUB_CONFIG")
            // Only requested looks are transferred here.
            .env("FYTECLUB_PREFETCH_BUDGET", "0")
            // And nobody outside of this machine is spoken to.
            .env("FYTECLUB_UPNP", "false")
            .env("FYTECLUB_NAT_PMP", "false")
            .env("FYTECLUB_LAN", "false")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&said)?)
            .kill_on_drop(true)
            .spawn()
            .context("a daemon cannot be started")?;
        let stdout = child.stdout.take().context("a daemon has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "ready" {
                    return true;
                }
            }
            false
        };
        if !matches!(tokio::time::timeout(START_TIME, ready).await, Ok(true)) {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            bail!("the daemon of {player} did not become ready; its output:\n{said}");
        }
        let client = Client::connect(&endpoint).await?;
        Ok(Self { client, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// # Errors The daemon did not stop in time, or not cleanly.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.client.shutdown().await?;
        let status = tokio::time::timeout(STOP_TIME, self.child.wait()).await;
        let status = status.context("a daemon did not stop in time")??;
        if status.success() { Ok(()) } else { bail!("a daemon ended with {status}") }
    }
}
