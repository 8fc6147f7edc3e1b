//! The group itself, and what is measured of it.

use super::{
    common::{
        Floor, Spread, Table, env_or, judge, look, rounds, scaled,
        town::{Daemon, Place, Town, binaries, clear, other_binaries, runtime},
        usage::Meter,
    },
    lines::{Line, Lines, carried},
};
use anyhow::Context;
use futures::future::try_join_all;
use fyteclub_client::{BlobHash, NearPlayer, NearbySet};
use fyteclub_proto::number::{f64_of, u64_of};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const FETCHERS: u8 = 15;
/// Links among the fifteen that a round waits for: each has that many others.
const LINKS: usize = 12;
const LINK_TIME: Duration = Duration::from_secs(60);

/// A look, and the rate of the lines that it is fetched over.
struct Case {
    name: &'static str,
    folder: PathBuf,
    bytes: u64,
    mbit: u32,
}

/// One group's fetch.
struct Run {
    /// What each fetcher's line brought, to the look.
    received: Vec<f64>,
    /// What the owner's line sent, to the look.
    owner: f64,
    /// The slowest one's time, to the look's time on one line.
    slowest: f64,
    peak: f64,
}

pub fn bench() -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let small = vec![128 << 10; scaled(64)];
    // As a real mod: many small files, most of the bytes in a few large ones; 60 MiB at full scale.
    let mut mixed = look::ramp(scaled(300), 2 << 10, 512 << 10);
    mixed.extend(vec![6 << 20; scaled(4)]);
    let case = |name, sizes: &[usize], mbit, seed| {
        let folder = look::write(&dir.path().join(name), sizes, seed)?;
        anyhow::Ok(Case { name, folder, bytes: u64_of(sizes.iter().sum()), mbit })
    };
    let cases = [case("equal files", &small, 16, 1)?, case("mixed files", &mixed, 64, 2)?];
    look::age();
    let wanted: String = env_or("FYTECLUB_BENCH_ROOM", String::new());
    let mut builds = vec![("", binaries()?)];
    builds.extend(other_binaries().map(|other| (", the other build", other)));
    for case in cases.iter().filter(|case| case.name.starts_with(&wanted)) {
        let title = format!(
            "room: {FETCHERS} fetch {:.0} MiB in {} at once, uplinks of {} Mbit/s; {} rounds",
            f64_of(case.bytes) / f64::from(1 << 20),
            case.name,
            case.mbit,
            rounds()
        );
        let mut table = Table::new(
            &title,
            &["", "received: median peer", "worst", "owner sent", "slowest", "owner's peak MiB"],
        );
        let mut medians = Vec::new();
        for (build, programs) in &builds {
            for linked in [true, false] {
                let run = |_| runtime()?.block_on(group(case, programs, linked));
                let runs = (0..rounds()).map(run).collect::<anyhow::Result<Vec<_>>>()?;
                let of = |value: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(value));
                let median = of(&|run| Spread::of(run.received.iter().copied()).median);
                table.row([
                    format!("{}{build}", if linked { "linked" } else { "no links among them" }),
                    median.to_string(),
                    of(&|run| Spread::of(run.received.iter().copied()).max).to_string(),
                    of(&|run| run.owner).to_string(),
                    of(&|run| run.slowest).to_string(),
                    of(&|run| run.peak).to_string(),
                ]);
                if build.is_empty() && linked {
                    medians.push(median);
                }
            }
        }
        drop(table);
        for median in medians {
            judge("the median peer receives, to the look", median, Floor::AtMost(1.08));
        }
    }
    Ok(())
}

/// An owner and her fifteen contacts, all of whom fetch.
async fn group(case: &Case, programs: &Path, linked: bool) -> anyhow::Result<Run> {
    let lines = Lines::open(FETCHERS + 1, case.mbit)?;
    let hub = lines.hub();
    let inside = |program: &Path| hub.command(program);
    let town = Town::at(programs.to_owned(), Place { ip: hub.ip, inside: &inside })?;
    let mut daemons = Vec::new();
    for (number, line) in lines.lines.iter().enumerate() {
        daemons.push(start(&town, number, line).await?);
    }
    let (owner, fetchers) = daemons.split_first().context("an owner")?;
    for fetcher in fetchers {
        fetcher.befriend(owner).await?;
    }
    if linked {
        link(fetchers).await?;
    }
    owner.publish(&case.folder).await?;
    let before = daemons.iter().map(|daemon| carried(daemon.pid())).collect::<Result<Vec<_>, _>>()?;
    let meter = Meter::start([owner.pid()]);
    let began = Instant::now();
    let fetched = try_join_all(fetchers.iter().map(|fetcher| fetcher.client.peer_fetch(&owner.player, None)));
    let fetched = fetched.await?;
    let took = began.elapsed().as_secs_f64();
    // What was stopped late is still on the lines.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut after = daemons.iter().map(|daemon| carried(daemon.pid())).collect::<Result<Vec<_>, _>>()?;
    for (after, before) in after.iter_mut().zip(before) {
        *after = (after.0 - before.0, after.1 - before.1);
    }
    for file in fetched.iter().flat_map(|look| &look.files) {
        let right = BlobHash::of(&fs::read(&file.path)?);
        anyhow::ensure!(right == file.hash, "{} has the bytes of {right}", file.path);
    }
    let look = f64_of(case.bytes);
    let run = Run {
        received: after.iter().skip(1).map(|(received, _)| f64_of(*received) / look).collect(),
        owner: after.first().map_or(f64::NAN, |(_, sent)| f64_of(*sent) / look),
        slowest: took / (look * 8.0 / 1e6 / f64::from(case.mbit)),
        peak: meter.peaks().first().copied().unwrap_or(f64::NAN),
    };
    drop(daemons);
    clear(&town.path(""));
    Ok(run)
}

async fn start(town: &Town, number: usize, line: &Line) -> anyhow::Result<Daemon> {
    let inside = |program: &Path| line.command(program);
    let place = Place { ip: line.ip, inside: &inside };
    let letter = char::from(b'a' + u8::try_from(number)?);
    let daemon = town.daemon_at(&format!("Player R{letter}@Gilgamesh"), place).await?;
    daemon.registered().await?;
    Ok(daemon)
}

/// Each of them is near all others: that makes links.
async fn link(fetchers: &[Daemon]) -> anyhow::Result<()> {
    for (n, fetcher) in fetchers.iter().enumerate() {
        for other in &fetchers[..n] {
            fetcher.befriend(other).await?;
        }
    }
    for fetcher in fetchers {
        let others = fetchers.iter().filter(|other| other.pid() != fetcher.pid());
        let near =
            others.map(|other| NearPlayer { player: other.player.clone(), distance: Default::default() });
        fetcher
            .client
            .nearby_set(NearbySet { players: Some(near.collect()), ..NearbySet::default() })
            .await?;
    }
    let began = Instant::now();
    for fetcher in fetchers {
        loop {
            let peers = fetcher.client.peer_list().await?;
            let linked = peers.iter().filter(|peer| peer.path.is_some()).count();
            if linked >= LINKS {
                break;
            }
            anyhow::ensure!(began.elapsed() < LINK_TIME, "{} has {linked} links", fetcher.player);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
