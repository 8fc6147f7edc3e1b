//! What others notice of an attack on the phone book: lookups at a modest rate, over open and over new connections,
//! calm and under each attack. The limits are an operator's.
//!
//! Attackers, clients and the phone book share one machine: the attackers' own work is part of the ratio.

mod common;

use common::{
    Floor, Spread, Table,
    book::{
        self, Server,
        attack::Attack,
        load::{self, Latency, Line, Lines},
        players,
    },
    judge, measured, scaled,
    town::{binaries, runtime},
};
use fyteclub_proto::number::{usize_of, whole};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};
use tokio::time::sleep_until;

const PLAYERS: usize = 5000;
const SECONDS: f64 = 3.0;
/// Lookups a second over open connections, and over new ones.
const STEADY: f64 = 1000.0;
const FRESH: f64 = 100.0;
/// An address of its own.
const HOME: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

#[derive(Clone, Copy)]
struct Felt {
    steady: Latency,
    fresh: Latency,
}

fn bench() -> anyhow::Result<()> {
    let runtime = runtime()?;
    let server = Server::ours_limited(&binaries()?)?;
    let many = book::connections(scaled(10_000) + 500) - 500;
    let attacks = [
        Attack::SlowHeads(scaled(2000).min(many)),
        Attack::HugeHeads(50),
        Attack::Idle(many),
        Attack::NotFound(5000),
        Attack::NotFound(0),
    ];
    let people = players::players(PLAYERS)?;
    let lookups: Vec<Vec<u8>> = people
        .iter()
        .cycle()
        .take(usize_of(whole(STEADY * SECONDS)))
        .map(|player| players::lookup(&player.name))
        .collect();
    runtime.block_on(async {
        let mut lines = Lines::connect(server.addr, HOME).await?;
        load::open(&mut lines, &players::register(&people, 1)?, 5000.0).await
    })?;
    let rounds = measured(|_| {
        let felt = || {
            runtime.block_on(async {
                let mut lines = Lines::connect(server.addr, HOME).await?;
                let (steady, fresh) =
                    tokio::join!(load::open(&mut lines, &lookups, STEADY), fresh(&server, &lookups));
                anyhow::Ok(Felt { steady: steady?, fresh: fresh? })
            })
        };
        let mut pairs = Vec::new();
        for attack in attacks {
            let calm = felt()?;
            let process = attack.start(server.addr)?;
            let attacked = felt()?;
            drop(process);
            pairs.push((calm, attacked));
        }
        Ok(pairs)
    })?;

    let title = format!(
        "phonebook: {STEADY} lookups/s over open connections and {FRESH}/s over new ones, p99 ms; {} rounds",
        common::rounds()
    );
    let columns = ["", "open, calm", "attacked", "ratio", "new, calm", "attacked", "ratio"];
    let mut table = Table::new(&title, &columns);
    let mut verdicts = Vec::new();
    for (number, attack) in attacks.iter().enumerate() {
        let of =
            |value: fn(&(Felt, Felt)) -> f64| Spread::of(rounds.iter().map(|round| value(&round[number])));
        let open = of(|(calm, attacked)| attacked.steady.p99 / calm.steady.p99);
        let new = of(|(calm, attacked)| attacked.fresh.p99 / calm.fresh.p99);
        table.row([
            attack.name(),
            of(|(calm, _)| calm.steady.p99).to_string(),
            of(|(_, attacked)| attacked.steady.p99).to_string(),
            open.to_string(),
            of(|(calm, _)| calm.fresh.p99).to_string(),
            of(|(_, attacked)| attacked.fresh.p99).to_string(),
            new.to_string(),
        ]);
        verdicts.push((attack.name(), open));
    }
    drop(table);
    for (name, open) in verdicts {
        judge(&format!("p99 of the others under {name} to calm"), open, Floor::AtMost(1.5));
    }
    Ok(())
}

/// A connection for each lookup.
async fn fresh(server: &Server, lookups: &[Vec<u8>]) -> anyhow::Result<Latency> {
    let start = Instant::now();
    let work =
        lookups.iter().take(usize_of(whole(FRESH * SECONDS))).zip(0u32..).map(async |(lookup, number)| {
            let due = start + Duration::from_secs_f64(f64::from(number) / FRESH);
            sleep_until(due.into()).await;
            let from = Ipv4Addr::from(u32::from(HOME) + 100 + number % 100);
            Line::connect(server.addr, from.into()).await?.ask(lookup, "200").await?;
            anyhow::Ok(due.elapsed().as_secs_f64() * 1e3)
        });
    Ok(Latency::of(futures::future::try_join_all(work).await?))
}
