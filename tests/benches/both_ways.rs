//! Two players who fetch each other's look at the same time, against one of them alone: one link, both directions.

mod common;

use common::{
    Floor, Spread, Table, judge, look, measured, scaled,
    town::{Daemon, Town, runtime},
    usage::Meter,
};
use fyteclub_client::Event;
use fyteclub_proto::number::{f64_of, u64_of};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const FILE: usize = 16 << 20;

struct Round {
    /// Bytes a second of one direction alone.
    alone: f64,
    /// Bytes a second of each while the other runs.
    both: [f64; 2],
    peaks: [f64; 2],
    torn: f64,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let files = scaled(32);
    let runtime = runtime()?;
    let town = Town::start()?;
    let looks = [1, 2].map(|seed| look::write(&town.path(&format!("look{seed}")), &vec![FILE; files], seed));
    let [first, second] = looks;
    let looks = [first?, second?];
    look::age();
    let bytes = u64_of(files * FILE);
    let rounds = measured(|number| runtime.block_on(round(&town, &looks, number, bytes)))?;
    report(&rounds, files, bytes);
    Ok(())
}

async fn pair(town: &Town, looks: &[PathBuf; 2], name: &str) -> anyhow::Result<[Daemon; 2]> {
    let alice = town.daemon(&format!("Alice {name}@Gilgamesh")).await?;
    let bob = town.daemon(&format!("Bob {name}@Balmung")).await?;
    publish(&alice, &looks[0]).await?;
    publish(&bob, &looks[1]).await?;
    bob.befriend(&alice).await?;
    Ok([alice, bob])
}

async fn publish(daemon: &Daemon, look: &Path) -> anyhow::Result<()> {
    daemon.publish(look).await?;
    daemon.registered().await
}

/// Bytes a second of one fetch of everything.
async fn fetch(by: &Daemon, of: &Daemon, bytes: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let fetched = by.client.peer_fetch(&of.player, None).await?;
    anyhow::ensure!(fetched.bytes_fetched == bytes, "{} bytes came", fetched.bytes_fetched);
    Ok(f64_of(bytes) / began.elapsed().as_secs_f64())
}

async fn round(town: &Town, looks: &[PathBuf; 2], number: usize, bytes: u64) -> anyhow::Result<Round> {
    let one_way = async {
        let [alice, bob] = pair(town, looks, &format!("one {number}")).await?;
        fetch(&bob, &alice, bytes).await
    };
    let both_ways = async {
        let [alice, bob] = pair(town, looks, &format!("both {number}")).await?;
        let mut events = bob.client.watch().await?;
        let meter = Meter::start([alice.pid(), bob.pid()]);
        let (there, back) = tokio::join!(fetch(&bob, &alice, bytes), fetch(&alice, &bob, bytes));
        let peaks = meter.peaks();
        let (mut torn, mut flowing) = (0.0, false);
        // Drains events. Before bytes flow both sides dial, and one of the two links is closed.
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(200), events.next()).await {
            match event {
                Ok(Event::AppearanceOffered { .. }) => flowing = true,
                Ok(Event::PeerDisconnected { .. }) if flowing => torn += 1.0,
                _ => {}
            }
        }
        anyhow::Ok(([there?, back?], [peaks[0], peaks[1]], torn))
    };
    let (alone, (both, peaks, torn)) = if number.is_multiple_of(2) {
        let alone = one_way.await?;
        (alone, both_ways.await?)
    } else {
        let both = both_ways.await?;
        (one_way.await?, both)
    };
    Ok(Round { alone, both, peaks, torn })
}

fn report(rounds: &[Round], files: usize, bytes: u64) {
    let mib = bytes >> 20;
    let title = format!("both_ways: {mib} MiB in {files} files each way; {} rounds", rounds.len());
    let of = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut table = Table::new(&title, &["", "MB/s", "peak MiB"]);
    table.row(["one way alone".to_owned(), of(|r| r.alone / 1e6).to_string()]);
    for (name, rate, peak) in [
        ("there", of(|r| r.both[0] / 1e6), of(|r| r.peaks[0])),
        ("back, at the same time", of(|r| r.both[1] / 1e6), of(|r| r.peaks[1])),
    ] {
        table.row([name.to_owned(), rate.to_string(), peak.to_string()]);
    }
    drop(table);
    let slower = of(|r| r.both[0].min(r.both[1]) / r.alone);
    judge("the slower direction to one way alone", slower, Floor::AtLeast(0.45));
    judge("links lost", of(|r| r.torn), Floor::AtMost(0.0));
}
