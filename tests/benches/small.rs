//! Many small files: 2,000 of 4 KiB, and 2,000 of 4 to 256 KiB. The references are quinn with the same bytes on one
//! stream, and the same files written to the same disk from memory.

mod common;

use common::{
    Floor, Spread, Table, judge,
    look::{self, ramp},
    measured,
    raw::{PACKET, Pair},
    scaled,
    town::{self, Daemon, Town, runtime},
    usage::Meter,
};
use fyteclub_proto::number::{f64_of, u64_of};
use std::{fs, path::Path, time::Instant};

struct Set {
    name: &'static str,
    owner: Daemon,
    sizes: Vec<usize>,
    seed: u64,
}

impl Set {
    fn bytes(&self) -> u64 {
        self.sizes.iter().map(|size| u64_of(*size)).sum()
    }
}

#[derive(Clone, Copy)]
struct Round {
    wall: f64,
    cpu: [f64; 2],
    peaks: [f64; 2],
    again: f64,
    raw: f64,
    raw_cpu: f64,
    files: f64,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let town = Town::start()?;
    let runtime = runtime()?;
    let count = scaled(2000);
    let sets: [(&str, &str, Vec<usize>); 2] = [
        ("4 KiB each", "Alice Ashe@Gilgamesh", vec![4096; count]),
        ("4 to 256 KiB", "Anna Alder@Gilgamesh", ramp(count, 4 << 10, 256 << 10)),
    ];
    let mut ready = Vec::new();
    for (seed, (name, player, sizes)) in sets.into_iter().enumerate() {
        let seed = u64_of(seed) + 1;
        let folder = look::write(&town.path(&format!("look{seed}")), &sizes, seed)?;
        look::age();
        let owner = runtime.block_on(async {
            let owner = town.daemon(player).await?;
            owner.publish(&folder).await?;
            owner.registered().await?;
            anyhow::Ok(owner)
        })?;
        ready.push(Set { name, owner, sizes, seed });
    }
    let mut raw = Pair::start(PACKET)?;
    let rounds = measured(|number| {
        ready.iter().map(|set| runtime.block_on(round(&town, set, number, &mut raw))).collect()
    })?;
    for (index, set) in ready.iter().enumerate() {
        let of_set: Vec<Round> =
            rounds.iter().filter_map(|sets: &Vec<Round>| sets.get(index)).copied().collect();
        report(set, &of_set);
    }
    Ok(())
}

async fn round(town: &Town, set: &Set, number: usize, raw: &mut Pair) -> anyhow::Result<Round> {
    let bob = town.daemon(&format!("Bob Birch {number} {}@Balmung", set.seed)).await?;
    bob.registered().await?;
    bob.befriend(&set.owner).await?;
    let meter = Meter::start([set.owner.pid(), bob.pid()]);
    let began = Instant::now();
    let fetched = bob.client.peer_fetch(&set.owner.player, None).await?;
    let wall = began.elapsed().as_secs_f64();
    let (cpu, peaks) = (meter.cpu(), meter.peaks());
    anyhow::ensure!(fetched.bytes_fetched == set.bytes(), "{} bytes came", fetched.bytes_fetched);
    let began = Instant::now();
    let fetched = bob.client.peer_fetch(&set.owner.player, None).await?;
    let again = began.elapsed().as_secs_f64();
    anyhow::ensure!(fetched.bytes_transferred == 0, "the second fetch moved {}", fetched.bytes_transferred);
    drop(bob);

    let meter = Meter::start(raw.pids());
    let moved = raw.fetch(set.bytes())?.whole.as_secs_f64();
    let raw_cpu = meter.cpu().iter().sum();
    let files = make_files(&town.path("made"), set)?;
    let both = |values: &[f64]| [values.first(), values.get(1)].map(|v| v.copied().unwrap_or(f64::NAN));
    Ok(Round { wall, cpu: both(&cpu), peaks: both(&peaks), again, raw: moved, raw_cpu, files })
}

/// The same files from memory, in one folder.
fn make_files(dir: &Path, set: &Set) -> anyhow::Result<f64> {
    let mut noise = look::Noise::new(set.seed);
    let contents: Vec<Vec<u8>> = set.sizes.iter().map(|size| noise.bytes(*size)).collect();
    fs::create_dir_all(dir)?;
    let began = Instant::now();
    for (number, bytes) in contents.iter().enumerate() {
        fs::write(dir.join(format!("{number:064}.tex")), bytes)?;
    }
    let wall = began.elapsed().as_secs_f64();
    town::clear(dir);
    Ok(wall)
}

fn report(set: &Set, rounds: &[Round]) {
    let count = f64_of(u64_of(set.sizes.len()));
    let mib = f64_of(set.bytes()) / f64::from(1 << 20);
    let title =
        format!("small: {count} files, {}, {mib:.0} MiB, cold receiver; {} rounds", set.name, rounds.len());
    let of = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut table = Table::new(&title, &["", "ms", "CPU s sender", "receiver", "peak MiB s", "r"]);
    let ms = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(|round| value(round) * 1e3)).to_string();
    table.row([
        "FyteClub".to_owned(),
        ms(|r| r.wall),
        of(|r| r.cpu[0]).to_string(),
        of(|r| r.cpu[1]).to_string(),
        of(|r| r.peaks[0]).to_string(),
        of(|r| r.peaks[1]).to_string(),
    ]);
    table.row(["fetched again".to_owned(), ms(|r| r.again)]);
    table.row(["raw quinn, one stream".to_owned(), ms(|r| r.raw), of(|r| r.raw_cpu).to_string()]);
    table.row(["the files made from memory".to_owned(), ms(|r| r.files)]);
    drop(table);
    let rate = Spread::of(rounds.iter().map(|round| count / round.wall));
    judge("files a second, floor", rate, Floor::AtLeast(1000.0));
    judge("files a second, goal", rate, Floor::AtLeast(2000.0));
    let again = Spread::of(rounds.iter().map(|round| round.again * 1e3));
    judge("ms for a fetch of what is here, goal", again, Floor::AtMost(50.0));
    println!(
        "  rate to raw quinn {}, to raw quinn and making the files {}",
        of(|r| r.raw / r.wall),
        of(|r| (r.raw + r.files) / r.wall)
    );
}
