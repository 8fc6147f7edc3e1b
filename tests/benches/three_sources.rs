//! One look from three sources with a limit each: the rate against three times the limit, and the cost when one of them
//! is killed in the middle.
//!
//! The reference is the limit itself. A blob has at most 300 MiB, so the GiB is a look of four blobs, after one of 300
//! MiB alone. The clock runs from the request to the last synced file; a bucket may have saved a fifth of a second,
//! which counts for us. The receiver counts bytes that came twice, and so does the kernel's loopback counter: with one
//! killed, to the round without.

mod common;

use anyhow::Context;
use common::{
    Floor, Spread, Table, judge, look, rounds, scaled,
    town::{Daemon, Place, Town, clear, runtime},
};
use fyteclub_client::{BlobHash, Client, Fetched, LimitsSet, PlayerName, Rate};
use fyteclub_proto::number::{f64_of, u64_of};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

const MIB: usize = 1 << 20;
/// Each source's limit: three of them are far below what the machine can do, and the GiB takes some twenty seconds.
const LIMIT: u64 = 16 << 20;
/// How often the receiver is polled.
const LOOK: Duration = Duration::from_millis(20);
const NAMES: [&str; 3] = ["Alice Ashe", "Bob Birch", "Carol Cole"];

/// One fetch by an empty receiver.
#[derive(Clone, Copy, Default)]
struct Run {
    /// Bytes a second, to the sum of the limits.
    rate: f64,
    /// Bytes on the wire to wanted bytes, beyond 1: by the receiver's count.
    again: f64,
    /// All bytes of the loopback.
    carried: f64,
    /// From the kill to the end, beyond the time of the two others for the rest.
    late: f64,
    /// The longest time after the kill without a byte.
    silent: f64,
}

#[derive(Clone, Copy)]
struct Round {
    blob: Run,
    whole: Run,
    killed: Run,
}

fn main() -> anyhow::Result<()> {
    common::main(|| runtime()?.block_on(bench()))
}

async fn bench() -> anyhow::Result<()> {
    let town = Town::start()?;
    let blob = look::write(&town.path("blob"), &[scaled(300 * MIB)], 1)?;
    let whole = look::write(&town.path("whole"), &[scaled(256 * MIB); 4], 2)?;
    look::age();
    // Without a warm-up: the limits are far below what a cold machine does.
    let mut all = Vec::new();
    for number in 0..rounds() {
        let blob = three(&town, &blob, &format!("{number}a"), None).await?;
        let one = three(&town, &whole, &format!("{number}b"), None).await?;
        // In turn the owner, and a lender.
        let killed = three(&town, &whole, &format!("{number}c"), Some(number % 2)).await?;
        all.push(Round { blob, whole: one, killed });
    }
    report(&all);
    Ok(())
}

/// An owner, two lenders, and a receiver; one of the three is killed when half of it is there.
async fn three(town: &Town, look: &Path, round: &str, victim: Option<usize>) -> anyhow::Result<Run> {
    let dir = town.path(round);
    let mut sources = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        // A name is its key's for a week, so names are not reused.
        let player = format!("{name} {round}@Gilgamesh");
        let source = town.daemon_in(&dir.join(number.to_string()), &player, Place::HERE, 0).await?;
        source.registered().await?;
        sources.push(source);
    }
    let dave = town.daemon_in(&dir.join("dave"), &format!("Dave {round}@Diabolos"), Place::HERE, 0).await?;
    dave.registered().await?;
    sources[0].publish(look).await?;
    for holder in &sources[1..] {
        holder.befriend(&sources[0]).await?;
        holder.client.peer_fetch(&sources[0].player, None).await?;
        holder.befriend(&dave).await?;
        // A link, made by the only thing that makes one: a fetch.
        let trifle = look::write(&dir.join(holder.player.as_str()), &[100], holder.pid().into())?;
        holder.publish(&trifle).await?;
        dave.client.peer_fetch(&holder.player, None).await?;
    }
    dave.befriend(&sources[0]).await?;
    for source in &sources {
        let upload: Option<Option<Rate>> = Some(Some(LIMIT.try_into()?));
        source.client.limits_set(LimitsSet { upload, ..LimitsSet::default() }).await?;
    }
    let before = carried()?;
    let began = Instant::now();
    let fetch = fetch(&dave.client, &sources[0].player);
    let kill = match victim {
        Some(victim) => Some(kill(&dave, &mut sources, victim, &fetch).await?),
        None => None,
    };
    let fetched = fetch.await?.context("the look did not come")?;
    let took = began.elapsed().as_secs_f64();
    let carried = carried()? - before;
    check(&fetched, sources.len())?;
    let wanted = f64_of(fetched.bytes_fetched);
    let mut run = Run {
        rate: wanted / took / (f64_of(LIMIT) * f64_of(u64_of(sources.len()))),
        again: f64_of(fetched.bytes_transferred) / wanted - 1.0,
        carried,
        ..Run::default()
    };
    if let Some(Kill { at, left, silent }) = kill {
        let others = f64_of(LIMIT) * f64_of(u64_of(sources.len() - 1));
        (run.late, run.silent) = (at.elapsed().as_secs_f64() - f64_of(left) / others, silent);
    }
    drop((sources, dave));
    clear(&dir);
    Ok(run)
}

fn fetch(client: &Client, player: &PlayerName) -> JoinHandle<Result<Fetched, fyteclub_client::Error>> {
    let (client, player) = (client.clone(), player.clone());
    tokio::spawn(async move { client.peer_fetch(&player, None).await })
}

struct Kill {
    at: Instant,
    /// Missing bytes.
    left: u64,
    silent: f64,
}

/// Waits until half is there, kills one, and watches the others until the fetch ends.
async fn kill<T>(
    dave: &Daemon,
    sources: &mut [Daemon],
    victim: usize,
    fetch: &JoinHandle<T>,
) -> anyhow::Result<Kill> {
    let dead = sources[victim].client.daemon().peer_id;
    let status = async || anyhow::Ok(dave.client.transfer_list().await?.downloads.into_iter().next());
    let left = loop {
        anyhow::ensure!(!fetch.is_finished(), "it was over before anybody was killed");
        if let Some(now) =
            status().await?.filter(|now| now.bytes_total > 0 && now.bytes_done * 2 > now.bytes_total)
        {
            break now.bytes_total - now.bytes_done;
        }
        tokio::time::sleep(LOOK).await;
    };
    let at = Instant::now();
    sources[victim].kill();
    let (mut brought, mut since, mut silent) = (0, at, 0.0f64);
    while !fetch.is_finished() {
        if let Some(now) = status().await? {
            let others = now.sources.iter().filter(|source| source.peer_id != dead);
            let sum: u64 = others.map(|source| source.bytes).sum();
            if sum > brought {
                (brought, since) = (sum, Instant::now());
            }
            silent = silent.max(since.elapsed().as_secs_f64());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Kill { at, left, silent })
}

/// All sources sent something, and every file has the bytes of its name.
fn check(fetched: &Fetched, sources: usize) -> anyhow::Result<()> {
    let brought = fetched.sources.iter().filter(|source| source.bytes > 0).count();
    anyhow::ensure!(brought == sources, "{brought} brought something: {:?}", fetched.sources);
    for file in &fetched.files {
        let right = BlobHash::of(&fs::read(&file.path)?);
        anyhow::ensure!(right == file.hash, "{} has the bytes of {right}", file.path);
    }
    Ok(())
}

/// Bytes of the loopback since the machine started; 0 where the kernel does not tell.
fn carried() -> anyhow::Result<f64> {
    let Ok(devices) = fs::read_to_string("/proc/net/dev") else { return Ok(f64::NAN) };
    let line = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let bytes =
        line.and_then(|line| line.split_whitespace().next()).context("no loopback in /proc/net/dev")?;
    Ok(bytes.parse()?)
}

fn report(rounds: &[Round]) {
    let of = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let sizes = (scaled(300 * MIB) / MIB, scaled(256 * MIB) * 4 / MIB);
    let title = format!(
        "three sources of {} MiB/s each; one blob of {} MiB, a look of {} MiB in 4; {} rounds",
        LIMIT >> 20,
        sizes.0,
        sizes.1,
        rounds.len()
    );
    let mut table = Table::new(&title, &["", "rate / 3r", "came twice", "carried / wanted"]);
    type Pick = fn(&Round) -> &Run;
    let cases: [(&str, Pick, usize); 3] = [
        ("one blob", |round| &round.blob, sizes.0),
        ("four blobs", |round| &round.whole, sizes.1),
        ("four blobs, one source killed at half", |round| &round.killed, sizes.1),
    ];
    for (name, pick, mib) in cases {
        table.row([
            name.to_owned(),
            of(&|round| pick(round).rate).to_string(),
            of(&|round| pick(round).again).to_string(),
            of(&|round| pick(round).carried / f64_of(u64_of(mib * MIB))).to_string(),
        ]);
    }
    drop(table);
    judge("one blob: of 3r", of(&|round| round.blob.rate), Floor::AtLeast(0.9));
    judge("four blobs: of 3r", of(&|round| round.whole.rate), Floor::AtLeast(0.9));
    judge("one killed: came twice", of(&|round| round.killed.again), Floor::AtMost(0.05));
    let more = of(&|round| round.killed.carried / round.whole.carried - 1.0);
    judge("one killed: the loopback carried more", more, Floor::AtMost(0.05));
    judge(
        "one killed: seconds later than the two others could",
        of(&|round| round.killed.late),
        Floor::AtMost(2.0),
    );
    judge(
        "one killed: seconds in which the others brought nothing",
        of(&|round| round.killed.silent),
        Floor::AtMost(2.0),
    );
}
