//! The cost of an idle daemon, and its start time. The reference is a process with a bare quinn endpoint.

mod common;

use common::{
    Floor, Spread, Table, judge, measured,
    roles::Role,
    scaled,
    town::{Process, Town, runtime},
    usage,
};
use fyteclub_proto::number::u64_of;
use std::{thread, time::Duration};

struct Run {
    start_ms: f64,
    mib: f64,
    /// Percent of a core.
    cpu: f64,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let town = Town::start()?;
    let runtime = runtime()?;
    let watched = Duration::from_secs(u64_of(scaled(10)));
    let rounds = measured(|number| {
        let daemon = runtime.block_on(async {
            let daemon = town.daemon(&format!("Alice Ashe {number}@Gilgamesh")).await?;
            daemon.registered().await?;
            anyhow::Ok(daemon)
        })?;
        let bare = Process::start(&mut Role::RawServer.command()?)?;
        let before = [usage::cpu(daemon.pid()), usage::cpu(bare.pid())];
        thread::sleep(watched);
        let run = |pid, start: Duration, before| Run {
            start_ms: start.as_secs_f64() * 1e3,
            mib: usage::mib(usage::rss(pid)),
            cpu: (usage::seconds(usage::cpu(pid)) - usage::seconds(before)) / watched.as_secs_f64() * 100.0,
        };
        Ok([run(daemon.pid(), daemon.start_time(), before[0]), run(bare.pid(), bare.start_time, before[1])])
    })?;
    let title = format!("idle: {} s of nothing; {} rounds", watched.as_secs(), rounds.len());
    let mut table = Table::new(&title, &["", "RSS MiB", "% of a core", "start to ready ms"]);
    let of = |who: usize, value: fn(&Run) -> f64| Spread::of(rounds.iter().map(|round| value(&round[who])));
    for (who, name) in ["FyteClub", "a bare quinn endpoint"].into_iter().enumerate() {
        table.row([
            name.to_owned(),
            of(who, |run| run.mib).to_string(),
            of(who, |run| run.cpu).to_string(),
            of(who, |run| run.start_ms).to_string(),
        ]);
    }
    drop(table);
    judge("RSS MiB, floor", of(0, |run| run.mib), Floor::AtMost(30.0));
    judge("RSS MiB, goal", of(0, |run| run.mib), Floor::AtMost(20.0));
    judge("percent of a core, goal", of(0, |run| run.cpu), Floor::AtMost(0.5));
    judge("start to ready ms, goal", of(0, |run| run.start_ms), Floor::AtMost(100.0));
    Ok(())
}
