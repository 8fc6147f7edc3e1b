//! Alternatives for a player: iroh-blobs, HTTPS by nginx and curl, Syncthing. The same files, from disk to disk of the
//! same file system, in the same rounds, next to FyteClub and raw quinn.
//!
//! An absent rival is named, with the way to install it. `FYTECLUB_BENCH_RIVALS=iroh,https` selects rivals,
//! `FYTECLUB_BENCH_SETS=large` sets of files.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]

#[path = "../common/mod.rs"]
mod common;
mod https;
mod iroh;
mod ours;
mod report;
mod syncthing;

use common::{
    look::{self, ramp},
    measured,
    raw::{PACKET, Pair},
    scaled,
    town::{Town, runtime},
    usage::Meter,
};
use fyteclub_proto::number::u64_of;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// One set of files, in a folder of its own.
pub(crate) struct Set {
    pub key: &'static str,
    pub name: String,
    /// A mod: the files are in `files` below it.
    pub folder: PathBuf,
    pub sizes: Vec<usize>,
}

impl Set {
    fn write(town: &Town, key: &'static str, sizes: Vec<usize>, seed: u64) -> anyhow::Result<Self> {
        let folder = look::write(&town.path(key), &sizes, seed)?;
        let mib = sizes.iter().sum::<usize>() >> 20;
        Ok(Self { key, name: format!("{mib} MiB in {} files", sizes.len()), folder, sizes })
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.sizes.iter().map(|size| u64_of(*size)).sum()
    }
}

/// One empty receiver that fetched everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub wall: f64,
    /// Of all processes of both sides.
    pub cpu: f64,
    /// Peak MiB of the sending and of the receiving side.
    pub peaks: [f64; 2],
    /// The same fetch once more.
    pub again: f64,
}

impl Run {
    pub(crate) const NONE: Self =
        Self { wall: f64::NAN, cpu: f64::NAN, peaks: [f64::NAN; 2], again: f64::NAN };
}

/// One set's sender, ready; every fetch is by an empty receiver.
pub(crate) trait Contestant {
    fn name(&self) -> &'static str;
    fn fetch(&mut self, round: usize) -> anyhow::Result<Run>;
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

/// Whether the variable `key` selects `name`; everything by default.
fn chosen(key: &str, name: &str) -> bool {
    std::env::var(key).map_or(true, |list| list.split(',').any(|one| one.trim() == name))
}

fn bench() -> anyhow::Result<()> {
    let runtime = runtime()?;
    let town = Town::start()?;
    let count = scaled(2000);
    let sets = [
        ("large", vec![16 << 20; scaled(64)]),
        ("mixed", ramp(count, 4 << 10, 256 << 10)),
        ("tiny", vec![4096; count]),
    ];
    let mut raw = Pair::start(PACKET)?;
    for (seed, (key, sizes)) in sets.into_iter().enumerate() {
        if !chosen("FYTECLUB_BENCH_SETS", key) {
            continue;
        }
        let set = Set::write(&town, key, sizes, u64_of(seed) + 1)?;
        look::age();
        let mut contestants = contestants(&town, &runtime, &set)?;
        let rounds = measured(|number| round(&mut contestants, &mut raw, &set, number))?;
        let names: Vec<_> = contestants.iter().map(|one| one.name()).collect();
        drop(contestants);
        report::print(&set, &names, &rounds);
        common::town::clear(&set.folder);
    }
    Ok(())
}

fn contestants<'a>(
    town: &'a Town,
    runtime: &'a tokio::runtime::Runtime,
    set: &Set,
) -> anyhow::Result<Vec<Box<dyn Contestant + 'a>>> {
    let mut all: Vec<Box<dyn Contestant + 'a>> = vec![Box::new(ours::Ours::start(town, runtime, set)?)];
    let dir = town.path(&format!("{}-rivals", set.key));
    std::fs::create_dir_all(&dir)?;
    type Start<'a> = fn(&'a Town, &Path, &Set) -> anyhow::Result<Box<dyn Contestant + 'a>>;
    let rivals: [(&str, Start<'a>); 3] =
        [("iroh", iroh::start), ("https", https::start), ("syncthing", syncthing::start)];
    for (name, start) in rivals {
        if !chosen("FYTECLUB_BENCH_RIVALS", name) {
            continue;
        }
        match start(town, &dir, set) {
            Ok(rival) => all.push(rival),
            Err(error) => println!("  absent: {name} is not compared: {error:#}"),
        }
    }
    Ok(all)
}

/// The contestants in their order, and raw quinn at the end.
fn round(
    contestants: &mut [Box<dyn Contestant + '_>],
    raw: &mut Pair,
    set: &Set,
    number: usize,
) -> anyhow::Result<Vec<Run>> {
    let count = contestants.len();
    let mut runs = vec![Run::NONE; count];
    // The order changes, so that no contestant always follows the same one.
    for index in (0..count).map(|n| (n + number) % count) {
        let one = &mut contestants[index];
        match one.fetch(number) {
            Ok(run) => runs[index] = run,
            Err(error) if index == 0 => return Err(error),
            Err(error) => println!("  {} failed in round {number}: {error:#}", one.name()),
        }
    }
    let meter = Meter::start(raw.pids());
    let began = Instant::now();
    raw.fetch(set.bytes())?;
    let wall = began.elapsed().as_secs_f64();
    runs.push(Run { wall, cpu: meter.cpu().iter().sum(), ..Run::NONE });
    Ok(runs)
}
