//! Eight players on one machine, each of whom fetches the look of every other at the same time: 96 MiB a look.

mod common;

use common::{
    Floor, Spread, Table, judge, look, rounds, scaled,
    town::{Daemon, Town, runtime},
    usage::{self, Meter, mib},
};
use futures::future::try_join_all;
use fyteclub_client::BlobHash;
use fyteclub_proto::number::{f64_of, u64_of};
use std::{path::PathBuf, time::Instant};

const PLAYERS: usize = 8;

struct Round {
    wall: f64,
    idle: Vec<f64>,
    peaks: Vec<f64>,
    cpu: f64,
    moved: u64,
    failed: f64,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let runtime = runtime()?;
    let town = Town::start()?;
    // 12 of 6 MiB, 384 of 64 KiB.
    let mut sizes = vec![6 << 20; scaled(12)];
    sizes.extend(vec![64 << 10; scaled(384)]);
    let looks: Vec<PathBuf> = (0..PLAYERS)
        .map(|n| look::write(&town.path(&format!("look{n}")), &sizes, u64_of(n) + 1))
        .collect::<Result<_, _>>()?;
    look::age();
    // Without a warm-up round: memory and failures are measured.
    let all: Vec<Round> = (0..rounds().min(3))
        .map(|number| runtime.block_on(round(&town, &looks, number)))
        .collect::<Result<_, _>>()?;
    report(&all, u64_of(sizes.iter().sum::<usize>()));
    Ok(())
}

async fn round(town: &Town, looks: &[PathBuf], number: usize) -> anyhow::Result<Round> {
    let mut daemons = Vec::new();
    for (n, look) in looks.iter().enumerate() {
        let daemon = town.daemon(&format!("Player {number} {n}@Gilgamesh")).await?;
        daemon.publish(look).await?;
        daemon.registered().await?;
        daemons.push(daemon);
    }
    for (n, daemon) in daemons.iter().enumerate() {
        for other in &daemons[..n] {
            daemon.befriend(other).await?;
        }
    }
    let idle = daemons.iter().map(|daemon| mib(usage::rss(daemon.pid()))).collect();
    let meter = Meter::start(daemons.iter().map(Daemon::pid));
    let began = Instant::now();
    let pairs = daemons.iter().flat_map(|by| daemons.iter().map(move |of| (by, of)));
    let fetches = pairs.filter(|(by, of)| by.pid() != of.pid()).map(|(by, of)| async move {
        match by.client.peer_fetch(&of.player, None).await {
            Ok(fetched) => Some(fetched),
            Err(error) => {
                println!("  {} did not get {}: {error}", by.player, of.player);
                None
            }
        }
    });
    let fetched = futures::future::join_all(fetches).await;
    let wall = began.elapsed().as_secs_f64();
    let (cpu, peaks) = (meter.cpu().iter().sum(), meter.peaks());
    let failed = f64_of(u64_of(fetched.iter().filter(|one| one.is_none()).count()));
    let mut moved = 0;
    for look in fetched.into_iter().flatten() {
        moved += look.bytes_fetched;
        try_join_all(look.files.iter().map(|file| async move {
            let bytes = tokio::fs::read(&file.path).await?;
            anyhow::ensure!(BlobHash::of(&bytes) == file.hash, "{} has wrong bytes", file.path);
            anyhow::Ok(())
        }))
        .await?;
    }
    Ok(Round { wall, idle, peaks, cpu, moved, failed })
}

fn report(rounds: &[Round], bytes: u64) {
    let title = format!(
        "all_to_all: {PLAYERS} players, looks of {} MiB, all at once; {} rounds",
        bytes >> 20,
        rounds.len()
    );
    let of = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let every = |value: fn(&Round) -> &Vec<f64>| Spread::of(rounds.iter().flat_map(value).copied());
    let mut table = Table::new(&title, &["", "wall s", "MB/s, all", "CPU s", "MiB idle", "peak MiB"]);
    table.row([
        "FyteClub".to_owned(),
        of(|r| r.wall).to_string(),
        of(|r| f64_of(r.moved) / 1e6 / r.wall).to_string(),
        of(|r| r.cpu).to_string(),
        every(|r| &r.idle).to_string(),
        every(|r| &r.peaks).to_string(),
    ]);
    drop(table);
    let worst = |round: &Round| round.peaks.iter().copied().fold(f64::NAN, f64::max);
    judge("most MiB of any daemon", of(worst), Floor::AtMost(96.0));
    judge("fetches that failed", of(|r| r.failed), Floor::AtMost(0.0));
    println!("          every file was read again and has its hash's bytes");
}
