//! One look of 1 GiB in 64 files, from one daemon's disk to the other's, against quinn from memory to memory.

mod common;

use common::{
    Floor, Spread, Table, judge, look, measured,
    raw::{LARGE_PACKET, PACKET, Pair},
    scaled,
    town::{Daemon, Town, other_binaries, runtime},
    usage::Meter,
};
use fyteclub_proto::number::{f64_of, u64_of};
use std::{path::Path, time::Instant};

const FILE: usize = 16 << 20;

struct Run {
    wall: f64,
    sender: f64,
    receiver: f64,
    peaks: [f64; 2],
}

impl Run {
    fn new(wall: f64, meter: &Meter) -> Self {
        let (cpu, peaks) = (meter.cpu(), meter.peaks());
        let at = |values: &[f64], n: usize| values.get(n).copied().unwrap_or(f64::NAN);
        let peaks = [at(&peaks, 0), at(&peaks, 1)];
        Self { wall, sender: at(&cpu, 0), receiver: at(&cpu, 1), peaks }
    }

    fn cpu(&self) -> f64 {
        self.sender + self.receiver
    }
}

struct Round {
    ours: Run,
    /// With packets of 1,452 bytes, as to a peer on another machine.
    far: Run,
    /// Of the build that `FYTECLUB_BENCH_OTHER` names.
    other: Option<Run>,
    raw: Run,
    large: Run,
    copy: f64,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let files = scaled(64);
    let bytes = u64_of(files * FILE);
    let runtime = runtime()?;
    let town = Town::start()?;
    let folder = look::write(&town.path("look"), &vec![FILE; files], 1)?;
    look::age();
    let ours = runtime.block_on(Ours::start(town, &folder))?;
    let mut far = Town::start()?;
    far.environment.push(("FYTECLUB_PACKET", PACKET.to_string()));
    let far = runtime.block_on(Ours::start(far, &folder))?;
    let other = match other_binaries() {
        Some(binaries) => Some(runtime.block_on(Ours::start(Town::of(binaries)?, &folder))?),
        None => None,
    };
    let mut raw = Pair::start(PACKET)?;
    let mut large = Pair::start(LARGE_PACKET)?;
    let rounds = measured(|number| {
        let ours = || runtime.block_on(ours.fetch(number, bytes));
        let far = || runtime.block_on(far.fetch(number, bytes));
        let other = || other.as_ref().map(|other| runtime.block_on(other.fetch(number, bytes))).transpose();
        // The order changes, so that no contestant always follows the same one.
        let early = if number % 2 == 0 { Some((ours()?, far()?, other()?)) } else { None };
        let raw = raw_fetch(&mut raw, bytes)?;
        let large = raw_fetch(&mut large, bytes)?;
        let copy = copy(&folder.join("files"), &folder.join("copy"))?;
        let (ours, far, other) = match early {
            Some(runs) => runs,
            None => {
                let (other, far) = (other()?, far()?);
                (ours()?, far, other)
            }
        };
        Ok(Round { ours, far, other, raw, large, copy })
    })?;
    report(&rounds, files, bytes);
    Ok(())
}

/// One build's town, with the look's owner.
struct Ours {
    // Dropped before the town's folder.
    alice: Daemon,
    town: Town,
}

impl Ours {
    async fn start(town: Town, folder: &Path) -> anyhow::Result<Self> {
        let alice = town.daemon("Alice Ashe@Gilgamesh").await?;
        alice.publish(folder).await?;
        alice.registered().await?;
        Ok(Self { alice, town })
    }

    /// A new, empty daemon fetches everything.
    async fn fetch(&self, round: usize, bytes: u64) -> anyhow::Result<Run> {
        let bob = self.town.daemon(&format!("Bob Birch {round}@Balmung")).await?;
        bob.registered().await?;
        bob.befriend(&self.alice).await?;
        let meter = Meter::start([self.alice.pid(), bob.pid()]);
        let began = Instant::now();
        let fetched = bob.client.peer_fetch(&self.alice.player, None).await?;
        let run = Run::new(began.elapsed().as_secs_f64(), &meter);
        anyhow::ensure!(fetched.bytes_fetched == bytes, "{} bytes came", fetched.bytes_fetched);
        Ok(run)
    }
}

fn raw_fetch(pair: &mut Pair, bytes: u64) -> anyhow::Result<Run> {
    let meter = Meter::start(pair.pids());
    let wall = pair.fetch(bytes)?.whole.as_secs_f64();
    Ok(Run::new(wall, &meter))
}

/// The kernel's own copy of the same files: the least cost of the disk.
fn copy(from: &Path, to: &Path) -> anyhow::Result<f64> {
    std::fs::create_dir_all(to)?;
    let began = Instant::now();
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    let wall = began.elapsed().as_secs_f64();
    common::town::clear(to);
    Ok(wall)
}

fn report(rounds: &[Round], files: usize, bytes: u64) {
    let gib = f64_of(bytes) / f64::from(1 << 30);
    let title =
        format!("bulk: {gib:.2} GiB in {files} files, disk to disk, cold receiver; {} rounds", rounds.len());
    let mut table = Table::new(
        &title,
        &["", "wall s", "MB/s", "CPU s/GiB sender", "receiver", "both", "peak MiB s", "r"],
    );
    type Pick = fn(&Round) -> &Run;
    let rows: [(&str, Pick); 5] = [
        ("FyteClub", |round| &round.ours),
        ("FyteClub, 1,452-byte packets", |round| &round.far),
        ("FyteClub, the other build", |round| round.other.as_ref().unwrap_or(&round.ours)),
        ("raw quinn, 1,452-byte packets", |round| &round.raw),
        ("raw quinn, 6,500-byte packets", |round| &round.large),
    ];
    let compared = rounds.iter().any(|round| round.other.is_some());
    for (name, run) in rows {
        if name.ends_with("other build") && !compared {
            continue;
        }
        let of = |value: fn(&Run) -> f64| Spread::of(rounds.iter().map(|round| value(run(round))));
        let per_gib = |value: fn(&Run) -> f64| Spread::of(rounds.iter().map(|round| value(run(round)) / gib));
        let rate = Spread::of(rounds.iter().map(|round| f64_of(bytes) / 1e6 / run(round).wall));
        table.row([
            name.to_owned(),
            of(|run| run.wall).to_string(),
            rate.to_string(),
            per_gib(|run| run.sender).to_string(),
            per_gib(|run| run.receiver).to_string(),
            per_gib(Run::cpu).to_string(),
            of(|run| run.peaks[0]).to_string(),
            of(|run| run.peaks[1]).to_string(),
        ]);
    }
    table.row([
        "copy of the files by the kernel".to_owned(),
        Spread::of(rounds.iter().map(|r| r.copy)).to_string(),
    ]);
    drop(table);

    let ratio = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of));
    println!("with 1,452-byte packets, to raw quinn with them in the same round:");
    judge("rate", ratio(|r| r.raw.wall / r.far.wall), Floor::AtLeast(0.65));
    judge("CPU of both sides", ratio(|r| r.far.cpu() / r.raw.cpu()), Floor::AtMost(1.75));
    println!("with large packets, as both ends are on one machine:");
    judge("rate to raw quinn of 1,452 bytes", ratio(|r| r.raw.wall / r.ours.wall), Floor::AtLeast(0.65));
    judge("CPU to raw quinn of 1,452 bytes", ratio(|r| r.ours.cpu() / r.raw.cpu()), Floor::AtMost(1.75));
    println!(
        "          large packets to small ones: wall {}, CPU {}",
        ratio(|r| r.ours.wall / r.far.wall),
        ratio(|r| r.ours.cpu() / r.far.cpu())
    );
    for (name, pick) in rows.iter().take(2) {
        for (n, side) in ["sender", "receiver"].into_iter().enumerate() {
            let peak = Spread::of(rounds.iter().map(|round| pick(round).peaks[n]));
            judge(&format!("peak MiB of the {side}, {name}"), peak, Floor::AtMost(32.0));
        }
    }
    let wall = Spread::of(rounds.iter().map(|round| round.large.wall / round.ours.wall));
    let cpu = Spread::of(rounds.iter().map(|round| round.ours.cpu() / round.large.cpu()));
    println!("          to raw quinn of 6,500-byte packets: rate {wall}, CPU {cpu}");
    if compared {
        let ratio = |value: fn(&Run) -> f64| {
            let pairs = rounds.iter().filter_map(|round| Some((round.other.as_ref()?, &round.ours)));
            Spread::of(pairs.map(|(other, ours)| value(other) / value(ours)))
        };
        println!(
            "  the other build to ours: wall {}, CPU of the sender {}, of the receiver {}, of both {}",
            ratio(|run| run.wall),
            ratio(|run| run.sender),
            ratio(|run| run.receiver),
            ratio(Run::cpu)
        );
    }
}
