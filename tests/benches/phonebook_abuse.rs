//! What others notice of one greedy address: two thousand connections, slow and fast ones, and twenty thousand messages
//! a second. Measured: the others' lookups and greetings, calm and under attack, and the phone book's memory. The
//! limits are an operator's.
//!
//! Attackers, clients and the phone book share one machine: the attackers' own work is part of the ratio.

mod common;

use common::{
    Floor, Spread, Table,
    book::{
        self, Server,
        attack::Attack,
        crowd,
        load::{self, Latency, Lines},
        players,
    },
    judge, measured, scaled,
    town::{binaries, runtime},
    usage,
};
use ed25519_dalek::SigningKey;
use fyteclub_proto::number::{u32_of, u64_of, usize_of, whole};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpSocket,
    time::{sleep_until, timeout},
};

const PLAYERS: usize = 1000;
const SECONDS: f64 = 5.0;
const LOOKUPS: f64 = 500.0;
/// Each is a connection, an upgrade and a signature on either side.
const GREETINGS: f64 = 20.0;
/// A longer greeting counts as this.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// An address of its own.
const HOME: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

struct Felt {
    lookups: Latency,
    greetings: Latency,
    /// MiB at most.
    memory: f64,
}

fn bench() -> anyhow::Result<()> {
    let runtime = runtime()?;
    let server = Server::ours_limited(&binaries()?)?;
    let attack = Attack::OneAddress(book::connections(scaled(2000) + 500) - 500);
    let people = players::players(PLAYERS)?;
    let names = people.iter().cycle().take(usize_of(whole(LOOKUPS * SECONDS)));
    let lookups: Vec<Vec<u8>> = names.map(|player| players::lookup(&player.name)).collect();
    runtime.block_on(async {
        let mut lines = Lines::connect(server.addr, HOME).await?;
        load::open(&mut lines, &players::register(&people, 1)?, 2000.0).await
    })?;
    let rounds = measured(|round| {
        let felt = |half: usize| {
            usage::reset_peak(server.pid());
            runtime.block_on(async {
                let mut lines = Lines::connect(server.addr, HOME).await?;
                let (lookups, greetings) = tokio::join!(
                    load::open(&mut lines, &lookups, LOOKUPS),
                    greetings(&server, 2 * round + half)
                );
                let memory = usage::mib(usage::peak_rss(server.pid()));
                anyhow::Ok(Felt { lookups: lookups?, greetings: greetings?, memory })
            })
        };
        let calm = felt(0)?;
        let process = attack.start(server.addr)?;
        let attacked = felt(1)?;
        drop(process);
        Ok((calm, attacked))
    })?;

    let title = format!(
        "phonebook: {LOOKUPS} lookups/s and {GREETINGS}/s greetings under {}, p99 ms; {} rounds",
        attack.name(),
        common::rounds()
    );
    let mut table = Table::new(&title, &["", "calm", "attacked", "ratio or difference"]);
    let of = |value: fn(&(Felt, Felt)) -> f64| Spread::of(rounds.iter().map(value));
    let lookups = of(|(calm, attacked)| attacked.lookups.p99 / calm.lookups.p99);
    let greetings = of(|(calm, attacked)| attacked.greetings.p99 / calm.greetings.p99);
    let memory = of(|(calm, attacked)| attacked.memory - calm.memory);
    let (calm, attacked) = (of(|(calm, _)| calm.lookups.p99), of(|(_, attacked)| attacked.lookups.p99));
    table.row(["lookups".to_owned(), calm.to_string(), attacked.to_string(), lookups.to_string()]);
    let (calm, attacked) = (of(|(calm, _)| calm.greetings.p99), of(|(_, attacked)| attacked.greetings.p99));
    table.row(["greetings".to_owned(), calm.to_string(), attacked.to_string(), greetings.to_string()]);
    let (calm, attacked) = (of(|(calm, _)| calm.memory), of(|(_, attacked)| attacked.memory));
    table.row(["memory, MiB".to_owned(), calm.to_string(), attacked.to_string(), memory.to_string()]);
    drop(table);
    judge("p99 of the others' lookups to calm", lookups, Floor::AtMost(1.5));
    judge("p99 of the others' greetings to calm", greetings, Floor::AtMost(1.5));
    judge("MiB above calm", memory, Floor::AtMost(32.0));
    Ok(())
}

/// A live connection each, which ends with its welcome. `run` keeps the keys apart.
async fn greetings(server: &Server, run: usize) -> anyhow::Result<Latency> {
    let start = Instant::now();
    let work = (0..u32_of(usize_of(whole(GREETINGS * SECONDS)))).map(async |number| {
        let due = start + Duration::from_secs_f64(f64::from(number) / GREETINGS);
        sleep_until(due.into()).await;
        let mut seed = [0x9e; 32];
        seed[..8].copy_from_slice(&((u64_of(run)) << 32 | u64::from(number)).to_le_bytes());
        let greeted = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::from(u32::from(HOME) + 100 + number % 100), 0).into())?;
            let stream = socket.connect(server.addr).await?;
            crowd::greeted(stream, server.addr, &SigningKey::from_bytes(&seed)).await
        };
        // A longer greeting counts as the limit.
        if let Ok(greeted) = timeout(GREETING_MAX, greeted).await {
            drop(greeted?);
        }
        anyhow::Ok(due.elapsed().as_secs_f64() * 1e3)
    });
    Ok(Latency::of(futures::future::try_join_all(work).await?))
}
