//! Ten thousand live clients when the phone book restarts, stopped and killed: how soon they are back, and how many
//! come in the same second. The client's own machine drives each.

mod common;

use common::{
    Floor, Spread,
    book::{self, Server, crowd::Crowd},
    judge, scaled,
    town::{binaries, runtime},
};
use fyteclub_proto::number::{f64_of, u64_of, usize_of, whole};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const LIVE: usize = 10_000;
/// A daemon's heartbeat, see `docs/decisions/0010`.
const HEARTBEAT: f64 = 45.0;
/// A tenth of all is an even spread over ten seconds; half as much again is chance and a busy machine.
const IN_A_SECOND: f64 = 1500.0;

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    #[cfg(unix)]
    Stopped,
    Killed,
}

fn bench() -> anyhow::Result<()> {
    let (runtime, binaries) = (runtime()?, binaries()?);
    let count = book::connections(scaled(LIVE));
    runtime.block_on(async {
        #[cfg(unix)]
        restart(&binaries, count, End::Stopped).await?;
        restart(&binaries, count, End::Killed).await
    })
}

async fn restart(binaries: &Path, count: usize, end: End) -> anyhow::Result<()> {
    let server = Server::ours(binaries)?;
    let addr = server.addr;
    let mut crowd = Crowd::new(addr);
    crowd.join(count);
    crowd.is_present(count, Duration::from_secs(120)).await?;
    crowd.tally.take_opened();
    let (gone, how) = (Instant::now(), end.name());
    match end {
        #[cfg(unix)]
        End::Stopped => tokio::task::spawn_blocking(move || server.process.stop()).await??,
        End::Killed => drop(server),
    }
    let (ended, again) = (gone.elapsed(), Server::ours_again(binaries, addr)?);
    while crowd.tally.present() > 0 && gone.elapsed() < Duration::from_secs(5) {
        tokio::task::yield_now().await;
    }
    crowd.is_present(count, Duration::from_secs(180)).await?;
    let mut each_second = Vec::new();
    let mut last = 0.0;
    for back in crowd.tally.take_opened() {
        let after = (back - gone).as_secs_f64();
        let second = usize_of(whole(after));
        if each_second.len() <= second {
            each_second.resize(second + 1, 0);
        }
        each_second[second] += 1;
        last = f64::max(last, after);
    }
    println!(
        "\nphonebook: {count} live players, the phone book {how}; it ended after {:.1} s, answered again after {:.1} s",
        ended.as_secs_f64(),
        (ended + again.process.start_time).as_secs_f64()
    );
    let most = each_second.iter().copied().max().unwrap_or(0);
    for (second, back) in each_second.iter().enumerate() {
        println!("  {second:3} s  {back:5}  {}", "#".repeat(back * 60 / most.max(1)));
    }
    let polls = crowd.tally.polls.load(std::sync::atomic::Ordering::Relaxed);
    println!("          {polls} times somebody would have polled instead");
    judge("seconds until everybody is back", Spread::of([last]), Floor::AtMost(HEARTBEAT));
    judge("of them in the fullest second", Spread::of([f64_of(u64_of(most))]), Floor::AtMost(IN_A_SECOND));
    Ok(())
}

impl End {
    fn name(self) -> &'static str {
        match self {
            #[cfg(unix)]
            Self::Stopped => "stopped",
            Self::Killed => "killed",
        }
    }
}
