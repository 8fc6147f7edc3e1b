//! A phone book with everything at once for `FYTECLUB_SOAK_MINUTES` (15), and the growth of its memory: lookups,
//! registrations, introductions, sockets that come and go, and attackers.
//!
//! The number of names and players is constant, so growth is a leak, or the allocator's.

mod common;

use common::{
    book::{
        Server,
        attack::Attack,
        crowd::Crowd,
        load::{self, Lines},
        players,
    },
    env_or,
    town::{binaries, runtime},
};
use fyteclub_proto::number::{f64_of, u64_of, usize_of, whole};
use std::{
    net::Ipv4Addr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const PLAYERS: usize = 5000;
const LIVE: usize = 100;
/// A second, within an address's budget.
const LOOKUPS: f64 = 500.0;
const REGISTRATIONS: f64 = 50.0;
/// In each turn.
const TURN: Duration = Duration::from_secs(10);
const INTRODUCTIONS: usize = 20;
const CHANGES: usize = 20;

fn main() -> anyhow::Result<()> {
    common::main(|| runtime()?.block_on(soak()))
}

async fn soak() -> anyhow::Result<()> {
    let minutes: f64 = env_or("FYTECLUB_SOAK_MINUTES", 15.0);
    let server = Server::ours_crowded(&binaries()?)?;
    let people = players::players(PLAYERS)?;
    let lookups: Vec<Vec<u8>> = people.iter().map(|player| players::lookup(&player.name)).collect();
    let mut noise = common::look::Noise::new(7);
    let (mut asked, mut told, mut sequence) =
        (Lines::connect(server.addr, Ipv4Addr::new(127, 0, 1, 1)).await?, 0, 1);
    load::open(&mut asked, &players::register(&people, sequence)?, 2000.0).await?;
    let mut crowd = Crowd::new(server.addr);
    crowd.join(LIVE);
    crowd.is_present(LIVE, Duration::from_secs(60)).await?;
    let attackers = [Attack::SlowHeads(100), Attack::Idle(200), Attack::HugeHeads(2), Attack::NotFound(200)];
    let _attackers =
        attackers.map(|attack| attack.start(server.addr)).into_iter().collect::<Result<Vec<_>, _>>()?;

    println!(
        "soak: {minutes} minutes with {PLAYERS} names, {LIVE} live players and {} kinds of attack",
        attackers.len()
    );
    let (began, mut samples, mut introduced, mut came, mut next) = (Instant::now(), Vec::new(), 0, LIVE, 0);
    let mut worst = f64::NAN;
    while began.elapsed().as_secs_f64() < minutes * 60.0 {
        let turn = Instant::now();
        let seconds = TURN.as_secs_f64();
        // Closed connections are replaced.
        let mut asked = Lines::connect(server.addr, Ipv4Addr::new(127, 0, 1, 1)).await?;
        let mut telling = Lines::connect(server.addr, Ipv4Addr::new(127, 0, 2, 1)).await?;
        let wanted: Vec<Vec<u8>> = (0..usize_of(whole(LOOKUPS * seconds)))
            .map(|_| lookups[usize_of(noise.number()) % PLAYERS].clone())
            .collect();
        let some = usize_of(whole(REGISTRATIONS * seconds));
        if next + some > PLAYERS {
            (next, sequence) = (0, sequence + 1);
        }
        let registrations = players::register(&people[next..next + some], sequence + 1)?;
        next += some;
        crowd.leave(CHANGES);
        crowd.join(CHANGES);
        came += CHANGES;
        for _ in 0..INTRODUCTIONS {
            let (caller, callee) = (usize_of(noise.number()), usize_of(noise.number()));
            crowd.introduce(caller % crowd.len(), callee % crowd.len(), noise.number())?;
            introduced += 1;
        }
        let (looked, registered) = tokio::join!(
            load::open(&mut asked, &wanted, LOOKUPS),
            load::open(&mut telling, &registrations, REGISTRATIONS),
        );
        (worst, told) = (f64::max(worst, looked?.p99), told + some);
        registered?;
        samples.push((began.elapsed().as_secs_f64() / 3600.0, server.rss()));
        tokio::time::sleep_until((turn + TURN).into()).await;
    }
    let asked = f64_of(u64_of(samples.len())) * LOOKUPS * TURN.as_secs_f64();
    println!(
        "  {asked} lookups (p99 of the worst turn {worst:.1} ms), {told} registrations, {came} sockets came; \
         {introduced} introductions were asked for, {} sides were told to go; {} present at the end",
        crowd.tally.going.load(Ordering::Relaxed),
        crowd.tally.present()
    );
    // Allocations at the start are no slope.
    let settled = &samples[samples.len() / 5..];
    let (slope, error) = slope(settled);
    let at = |sample: Option<&(f64, f64)>| sample.map_or(f64::NAN, |sample| sample.1);
    println!(
        "  MiB: {:.1} after the first turn, {:.1} after a fifth, {:.1} at the end; slope after the first fifth \
         {slope:+.2} MiB/h, standard error {error:.2}",
        at(samples.first()),
        at(settled.first()),
        at(samples.last()),
    );
    let each_minute = samples.iter().step_by(6).map(|sample| format!("{:.1}", sample.1));
    println!("  MiB minute by minute: {}", each_minute.collect::<Vec<_>>().join(" "));
    Ok(())
}

/// By least squares, and its standard error.
fn slope(samples: &[(f64, f64)]) -> (f64, f64) {
    let count = f64_of(u64_of(samples.len()));
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let spread: f64 = samples.iter().map(|sample| (sample.0 - x).powi(2)).sum();
    let slope = samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum::<f64>() / spread;
    let rest: f64 = samples.iter().map(|sample| (sample.1 - y - slope * (sample.0 - x)).powi(2)).sum();
    (slope, (rest / (count - 2.0) / spread).sqrt())
}
