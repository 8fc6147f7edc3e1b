//! Debian's Syncthing, with everything that leaves the machine switched off. The clock runs from connected to in sync
//! on both sides.

use super::{
    Contestant, Run, Set,
    common::{
        town::{self, Town, runtime},
        usage::Meter,
    },
    https::free_port,
};
use anyhow::Context;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const KEY: &str = "bench";
const FOLDER: &str = "bench";
/// How often its state is polled.
const LOOK: Duration = Duration::from_millis(20);

struct Syncthing {
    runtime: tokio::runtime::Runtime,
    dir: PathBuf,
    sender: Side,
    bytes: u64,
}

/// One running Syncthing.
struct Side {
    child: Child,
    id: String,
    gui: u16,
    listen: u16,
    http: reqwest::Client,
}

pub(crate) fn start<'a>(_: &'a Town, dir: &Path, set: &Set) -> anyhow::Result<Box<dyn Contestant + 'a>> {
    let found = Command::new("syncthing").arg("--version").stdout(Stdio::null()).status();
    found.context("it is not installed: apt-get install syncthing")?;
    // reqwest needs a provider, though nothing here is encrypted. The first one stays.
    rustls::crypto::ring::default_provider().install_default().ok();
    let dir = dir.join("syncthing");
    let runtime = runtime()?;
    let sender = runtime.block_on(async {
        let home = Home::generate(&dir.join("sender"))?;
        let sender = home.start(&set.files(), "sendonly", None)?;
        sender
            .until("its scan", |status| {
                status["globalBytes"].as_u64() == Some(set.bytes()) && status["state"] == "idle"
            })
            .await?;
        anyhow::Ok(sender)
    })?;
    Ok(Box::new(Syncthing { runtime, dir, sender, bytes: set.bytes() }))
}

/// A folder with a key, in which a Syncthing can start.
struct Home {
    dir: PathBuf,
    id: String,
}

impl Home {
    fn generate(dir: &Path) -> anyhow::Result<Self> {
        let made = Command::new("syncthing")
            .args(["generate", "--no-default-folder", "--skip-port-probing", "--home"])
            .arg(dir)
            .output()?;
        let said = [made.stdout, made.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let id = said.lines().find_map(|line| line.split("Device ID: ").nth(1));
        let id = id.context("syncthing generate named no device")?.trim().to_owned();
        Ok(Self { dir: dir.to_owned(), id })
    }

    /// `other` is the sender; a sender learns receivers later.
    fn start(self, files: &Path, kind: &str, other: Option<&Side>) -> anyhow::Result<Side> {
        let (gui, listen) = (free_port()?, free_port()?);
        let device = other.map_or(String::new(), |other| {
            format!(
                r#"<device id="{}"><address>tcp://127.0.0.1:{}</address><paused>true</paused></device>"#,
                other.id, other.listen
            )
        });
        let member = other.map_or(String::new(), |other| format!(r#"<device id="{}"/>"#, other.id));
        let config = format!(
            r#"<configuration version="36">
<folder id="{FOLDER}" label="" path="{}" type="{kind}" rescanIntervalS="0" fsWatcherEnabled="false"><device id="{}"/>{member}</folder>
<device id="{}"><address>tcp://127.0.0.1:{listen}</address></device>{device}
<gui enabled="true" tls="false"><address>127.0.0.1:{gui}</address><apikey>{KEY}</apikey></gui>
<options><listenAddress>tcp://127.0.0.1:{listen}</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>
<localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
<startBrowser>false</startBrowser><urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
<crashReportingEnabled>false</crashReportingEnabled><stunServer></stunServer><setLowPriority>false</setLowPriority>
<reconnectionIntervalS>1</reconnectionIntervalS></options>
</configuration>"#,
            files.display(),
            self.id,
            self.id
        );
        fs::write(self.dir.join("config.xml"), config)?;
        fs::create_dir_all(files.join(".stfolder"))?;
        let child = Command::new("syncthing")
            .args(["serve", "--no-restart", "--no-browser", "--no-upgrade", "--home"])
            .arg(&self.dir)
            // One process, without a monitor process: its figures are complete, and a kill ends it.
            .env("STMONITORED", "yes")
            .env("HOME", &self.dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Side { child, id: self.id, gui, listen, http: reqwest::Client::new() })
    }
}

impl Side {
    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let url = format!("http://127.0.0.1:{}/rest/{path}", self.gui);
        let mut request = self.http.request(method, url).header("X-API-Key", KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    async fn look(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(reqwest::Method::GET, path, None).await
    }

    /// Waits for a state of the folder; a starting Syncthing has none.
    async fn until(&self, what: &str, right: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let status = self.look(&format!("db/status?folder={FOLDER}")).await;
            if status.is_ok_and(|status| right(&status)) {
                return Ok(());
            }
            anyhow::ensure!(began.elapsed() < Duration::from_secs(180), "syncthing has not ended {what}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Adds a receiver to the sender's folder.
    async fn admit(&self, id: &str, listen: u16) -> anyhow::Result<()> {
        let device =
            serde_json::json!({ "deviceID": id, "addresses": [format!("tcp://127.0.0.1:{listen}")] });
        self.ask(reqwest::Method::POST, "config/devices", Some(device)).await?;
        let path = format!("config/folders/{FOLDER}");
        let devices = serde_json::json!({ "devices": [{ "deviceID": self.id }, { "deviceID": id }] });
        self.ask(reqwest::Method::PATCH, &path, Some(devices)).await?;
        self.until("taking a receiver", |status| status["state"] == "idle").await
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Contestant for Syncthing {
    fn name(&self) -> &'static str {
        "Syncthing"
    }

    fn fetch(&mut self, round: usize) -> anyhow::Result<Run> {
        let home = Home::generate(&self.dir.join(format!("receiver-{round}")))?;
        let (dir, files) = (home.dir.clone(), home.dir.join("files"));
        let run = self.runtime.block_on(async {
            let receiver = home.start(&files, "receiveonly", Some(&self.sender))?;
            receiver.until("its start", |status| status["state"] == "idle").await?;
            self.sender.admit(&receiver.id, receiver.listen).await?;
            let meter = Meter::start([self.sender.child.id(), receiver.child.id()]);
            let path = format!("system/resume?device={}", self.sender.id);
            receiver.ask(reqwest::Method::POST, &path, None).await?;
            let asked = Instant::now();
            loop {
                let connections = receiver.look("system/connections").await?;
                if connections["connections"][&self.sender.id]["connected"] == true {
                    break;
                }
                anyhow::ensure!(asked.elapsed() < Duration::from_secs(90), "syncthing does not connect");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let began = Instant::now();
            let done = |status: &Value| {
                status["globalBytes"].as_u64() == Some(self.bytes)
                    && status["inSyncBytes"].as_u64() == Some(self.bytes)
                    && status["state"] == "idle"
            };
            receiver.until("the transfer", done).await?;
            let path = format!("db/completion?folder={FOLDER}&device={}", receiver.id);
            while self.sender.look(&path).await?["completion"].as_f64() != Some(100.0) {
                tokio::time::sleep(LOOK).await;
            }
            let wall = began.elapsed().as_secs_f64();
            let (cpu, peaks) = (meter.cpu().iter().sum(), meter.peaks());
            Ok(Run { wall, cpu, peaks: [peaks[0], peaks[1]], again: f64::NAN })
        });
        town::clear(&dir);
        run
    }
}
