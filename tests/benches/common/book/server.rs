//! Three servers: ours, the first plan's, and the framework's hello. Each prints its address on its first line.

use crate::common::{
    roles::Role,
    town::{self, Place, Process},
    usage,
};
use anyhow::Context;
use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

pub(crate) struct Server {
    pub name: &'static str,
    pub process: Process,
    pub addr: SocketAddr,
}

impl Server {
    /// Its number of players, of `count`. Node gets a tenth, or filling it would take longer than all the rest; that
    /// favours Node, if any.
    pub(crate) fn share(&self, count: usize) -> usize {
        if self.name == Self::EXPRESS { count.div_ceil(10) } else { count }
    }

    const EXPRESS: &str = "Express, unsigned";

    fn new(name: &'static str, process: Process) -> anyhow::Result<Self> {
        let addr = process.greeting.rsplit('/').next().unwrap_or_default();
        let addr = addr.parse().with_context(|| format!("no address in {:?}", process.greeting))?;
        Ok(Self { name, process, addr })
    }

    /// Without limits: one client sends more than a million would.
    pub(crate) fn ours(binaries: &Path) -> anyhow::Result<Self> {
        Self::new("FyteClub", town::phonebook(binaries)?)
    }

    /// At a former address, without limits.
    pub(crate) fn ours_again(binaries: &Path, addr: SocketAddr) -> anyhow::Result<Self> {
        Self::new(
            "FyteClub",
            Process::start(town::unlimited(&mut town::phonebook_command(binaries, Place::HERE, addr)))?,
        )
    }

    /// With an operator's limits.
    pub(crate) fn ours_limited(binaries: &Path) -> anyhow::Result<Self> {
        let addr = ([127, 0, 0, 1], 0).into();
        Self::new("FyteClub", Process::start(&mut town::phonebook_command(binaries, Place::HERE, addr))?)
    }

    /// The same, where all clients come from one address.
    pub(crate) fn ours_crowded(binaries: &Path) -> anyhow::Result<Self> {
        let mut command = town::phonebook_command(binaries, Place::HERE, ([127, 0, 0, 1], 0).into());
        Self::new("FyteClub", Process::start(town::uncrowded(&mut command))?)
    }

    /// Our framework with as many threads, and an empty handler.
    pub(crate) fn hello() -> anyhow::Result<Self> {
        Self::new("actix-web's hello", Process::start(&mut Role::Hello.command()?)?)
    }

    /// The Express server, if there is node; its packages are downloaded once.
    pub(crate) fn express() -> anyhow::Result<Option<Self>> {
        let Ok(version) = Command::new("node").arg("--version").stdout(Stdio::null()).status() else {
            return Ok(None);
        };
        let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/node"));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
        fs::create_dir_all(&dir)?;
        for file in ["package.json", "server.js"] {
            fs::copy(source.join(file), dir.join(file))?;
        }
        let npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
            .args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"])
            .current_dir(&dir)
            .stdout(Stdio::null())
            .status();
        if !version.success() || !npm.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let mut command = Command::new("node");
        let process =
            Process::start(command.arg("server.js").current_dir(&dir).env("NODE_ENV", "production"))?;
        Self::new(Self::EXPRESS, process).map(Some)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// MiB in memory now.
    pub(crate) fn rss(&self) -> f64 {
        usage::mib(usage::rss(self.pid()))
    }
}
