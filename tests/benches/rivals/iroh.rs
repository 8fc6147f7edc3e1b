//! iroh-blobs: the program in `benches/iroh`, a workspace of its own, built here. Direct connection, no relay, a store
//! of files on both sides, imported by reference. Its fetch ends when its own store has everything; nothing is
//! exported.

use super::{
    Contestant, Run, Set,
    common::{
        town::{self, Process, Town},
        usage::Meter,
    },
};
use anyhow::Context;
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

struct Iroh {
    binary: PathBuf,
    dir: PathBuf,
    /// Serves until it is dropped.
    sender: Process,
    bytes: u64,
}

pub(crate) fn start<'a>(_: &'a Town, dir: &Path, set: &Set) -> anyhow::Result<Box<dyn Contestant + 'a>> {
    let binary = built()?;
    let dir = dir.join("iroh");
    std::fs::create_dir_all(&dir)?;
    let mut command = Command::new(&binary);
    command.arg("serve").arg(dir.join("sender")).arg(set.files()).stdin(Stdio::piped());
    let sender = Process::start_talking(&mut command)?;
    Ok(Box::new(Iroh { binary, dir, sender, bytes: set.bytes() }))
}

fn built() -> anyhow::Result<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/iroh");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("iroh");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet"])
        .current_dir(source)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .context("cannot run cargo")?;
    anyhow::ensure!(built.success(), "{source} does not build; it needs crates.io the first time");
    Ok(target.join("release").join(format!("fyteclub-bench-iroh{}", std::env::consts::EXE_SUFFIX)))
}

impl Contestant for Iroh {
    fn name(&self) -> &'static str {
        "iroh-blobs"
    }

    fn fetch(&mut self, round: usize) -> anyhow::Result<Run> {
        let store = self.dir.join(format!("receiver-{round}"));
        let mut child = Command::new(&self.binary)
            .arg("fetch")
            .arg(&store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut say = child.stdin.take().context("a piped stdin")?;
        let mut hear = BufReader::new(child.stdout.take().context("a piped stdout")?).lines();
        let mut line = || hear.next().context("iroh ended")?.context("iroh's answer");
        let mut run = || {
            line()?;
            let meter = Meter::start([self.sender.pid(), child.id()]);
            let began = Instant::now();
            writeln!(say, "{}", self.sender.greeting)?;
            let payload: u64 = line()?.parse()?;
            let wall = began.elapsed().as_secs_f64();
            let (cpu, peaks) = (meter.cpu().iter().sum(), meter.peaks());
            anyhow::ensure!(payload >= self.bytes, "only {payload} bytes came");
            let began = Instant::now();
            writeln!(say, "{}", self.sender.greeting)?;
            line()?;
            let again = began.elapsed().as_secs_f64();
            Ok(Run { wall, cpu, peaks: [peaks[0], peaks[1]], again })
        };
        let result = run();
        child.kill().ok();
        child.wait().ok();
        town::clear(&store);
        result
    }
}
