//! The phone book with a million players: memory, lookups, registrations, and ten thousand live connections; against
//! the first plan, an Express server without signatures, and against the framework's own hello.
//!
//! One program asks all servers over the same connections on the same machine. Ours and the hello have two threads,
//! Node has one: rates compare servers as they are, CPU per request compares cores.

mod common;

use common::{
    Floor, Spread, Table,
    book::{
        self, Server,
        crowd::Crowd,
        load::{self, CONNECTIONS, Latency, Lines, Load},
        players::{self, Player},
    },
    judge, measured, scaled,
    town::{binaries, runtime},
    usage::Meter,
};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use fyteclub_proto::number::{f64_of, u64_of, usize_of, whole};
use std::{net::Ipv4Addr, path::Path, time::Duration};

/// Registrations in a round, and as many checks of a signature.
const CHANGES: usize = 20_000;
const LOOKUPS: usize = 40_000;
/// Seconds of requests at half of the peak.
const STEADY: f64 = 2.0;
const LIVE: usize = 10_000;

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let (runtime, binaries) = (runtime()?, binaries()?);
    let count = scaled(1_000_000);
    let players = players::players(count)?;
    let mut servers = vec![Server::ours(&binaries)?];
    match Server::express()? {
        Some(server) => servers.push(server),
        None => println!(
            "phonebook: the comparison with Node is SKIPPED: there is no node, or npm has no network"
        ),
    }
    runtime.block_on(fill(&servers, &players))?;
    rates(&runtime, &servers, &players)?;
    drop(servers);
    runtime.block_on(live(&binaries))
}

/// Registers everybody once; prints the memory on the way and at the end.
async fn fill(servers: &[Server], players: &[Player]) -> anyhow::Result<()> {
    let count = players.len();
    let title =
        format!("phonebook: MiB in memory, records of 30-byte names, up to {count}, Express a tenth of it");
    let mut table =
        Table::new(&title, &["", "empty", "a tenth", "a quarter", "half", "all", "bytes a record"]);
    let mut rows = Vec::new();
    for server in servers {
        // The cost of serving by itself is not a record's.
        load::closed(server, &vec![players::get("/api/health"); 4000]).await?;
        rows.push(vec![server.rss()]);
    }
    let (parts, mut registered) = (20, 0);
    for (number, part) in (1..).zip(players.chunks(count.div_ceil(parts))) {
        // In slices, so that no signature gets too old.
        for slice in part.chunks(10_000) {
            let requests = players::register(slice, 1)?;
            for server in servers {
                let share = requests.len().min(server.share(count).saturating_sub(registered));
                load::closed(server, &requests[..share]).await?;
            }
            registered += slice.len();
        }
        if [parts / 10, parts / 4, parts / 2, parts].contains(&number) {
            rows.iter_mut().zip(servers).for_each(|(row, server)| row.push(server.rss()));
        }
    }
    let mut bytes = Vec::new();
    for (server, row) in servers.iter().zip(&rows) {
        let grown = row.last().unwrap_or(&f64::NAN) - row.first().unwrap_or(&f64::NAN);
        bytes.push(grown * f64::from(1 << 20) / f64_of(u64_of(server.share(count))));
        let cells = row.iter().map(|mib| format!("{mib:.1}"));
        let each = bytes.last().map(|bytes| format!("{bytes:.0}"));
        table.row([server.name.to_owned()].into_iter().chain(cells).chain(each));
    }
    drop(table);
    let ours = Spread::of(bytes.into_iter().take(1));
    judge("bytes a record over the empty server", ours, Floor::AtMost(200.0));
    Ok(())
}

#[derive(Clone, Copy)]
struct Round {
    lookups: Load,
    registrations: Load,
    /// At half of the peak rates.
    looked_up: Latency,
    registered: Latency,
}

fn rates(runtime: &tokio::runtime::Runtime, servers: &[Server], players: &[Player]) -> anyhow::Result<()> {
    let hello = Server::hello()?;
    let mut noise = common::look::Noise::new(3);
    // Enough requests for half of the peak.
    let many = scaled(4 * LOOKUPS);
    let lookups: Vec<Vec<Vec<u8>>> = servers
        .iter()
        .map(|server| {
            let share = server.share(players.len());
            let some = (0..many).map(|_| &players[usize_of(noise.number()) % share]);
            some.map(|player| players::lookup(&player.name)).collect()
        })
        .collect();
    let (hellos, few) = (vec![players::get("/"); many], scaled(LOOKUPS));
    let changed = &players[..players.len().min(scaled(CHANGES))];
    let mut sequence = 1;
    let mut fresh = || {
        // Old signatures are refused; new ones are made before the clock starts.
        sequence += 1;
        players::register(changed, sequence)
    };
    let rounds = measured(|_| {
        let check = one_check(changed)?;
        let greeted = runtime.block_on(load::closed(&hello, &hellos[..few]))?;
        let greeting = runtime.block_on(at_half(&hello, &hellos, greeted.rate))?;
        let mut all = Vec::new();
        for (server, lookups) in servers.iter().zip(&lookups) {
            let looked = runtime.block_on(load::closed(server, &lookups[..few]))?;
            let registered = runtime.block_on(load::closed(server, &fresh()?))?;
            all.push(Round {
                lookups: looked,
                registrations: registered,
                looked_up: runtime.block_on(at_half(server, lookups, looked.rate))?,
                registered: runtime.block_on(at_half(server, &fresh()?, registered.rate))?,
            });
        }
        Ok((check, greeted, greeting, all))
    })?;

    let title = format!(
        "phonebook: {} records, {CONNECTIONS} connections that stay open; {} rounds; ms are at half of the peak",
        players.len(),
        common::rounds()
    );
    let columns = [
        "",
        "lookups/s",
        "CPU µs each",
        "p50 ms",
        "p99 ms",
        "registrations/s",
        "CPU µs each",
        "p50 ms",
        "p99 ms",
    ];
    let mut table = Table::new(&title, &columns);
    for (number, server) in servers.iter().enumerate() {
        let of =
            |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(|r| value(&r.3[number]))).to_string();
        table.row([
            server.name.to_owned(),
            of(|r| r.lookups.rate),
            of(|r| r.lookups.cpu),
            of(|r| r.looked_up.p50),
            of(|r| r.looked_up.p99),
            of(|r| r.registrations.rate),
            of(|r| r.registrations.cpu),
            of(|r| r.registered.p50),
            of(|r| r.registered.p99),
        ]);
    }
    table.row([
        hello.name.to_owned(),
        Spread::of(rounds.iter().map(|r| r.1.rate)).to_string(),
        Spread::of(rounds.iter().map(|r| r.1.cpu)).to_string(),
        Spread::of(rounds.iter().map(|r| r.2.p50)).to_string(),
        Spread::of(rounds.iter().map(|r| r.2.p99)).to_string(),
    ]);
    table.row([
        "one Ed25519 check".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        Spread::of(rounds.iter().map(|r| r.0)).to_string(),
    ]);
    drop(table);
    let ours = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(|r| value(&r.3[0])));
    judge("p99 of lookups at half of the peak, ms", ours(|r| r.looked_up.p99), Floor::AtMost(5.0));
    judge("p99 of registrations at half of the peak, ms", ours(|r| r.registered.p99), Floor::AtMost(5.0));
    let to_hello = Spread::of(rounds.iter().map(|r| r.3[0].lookups.cpu / r.1.cpu));
    judge("CPU of a lookup to the framework's hello", to_hello, Floor::AtMost(1.35));
    let to_check = Spread::of(rounds.iter().map(|r| r.3[0].registrations.cpu / r.0));
    judge("CPU of a registration to one Ed25519 check", to_check, Floor::AtMost(1.5));
    if servers.len() < 2 {
        return Ok(());
    }
    let ratio = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(|r| value(&r.3[0]) / value(&r.3[1])));
    judge("lookups/s to Express, floor", ratio(|r| r.lookups.rate), Floor::AtLeast(5.0));
    judge("lookups/s to Express, goal", ratio(|r| r.lookups.rate), Floor::AtLeast(10.0));
    judge("registrations/s to Express", ratio(|r| r.registrations.rate), Floor::AtLeast(5.0));
    println!(
        "          core for core, CPU to Express: a lookup {}, a registration {}",
        ratio(|r| r.lookups.cpu),
        ratio(|r| r.registrations.cpu)
    );
    Ok(())
}

/// CPU µs of a strict check of one signature by an unparsed key, by ed25519-dalek.
fn one_check(players: &[Player]) -> anyhow::Result<f64> {
    // As long as the signed bytes of a registration.
    let message = [7; 180];
    let signed: Vec<([u8; 32], Signature)> = players
        .iter()
        .map(|player| (player.key.verifying_key().to_bytes(), player.key.sign(&message)))
        .collect();
    let meter = Meter::start([std::process::id()]);
    for (key, signature) in &signed {
        VerifyingKey::from_bytes(key)?.verify_strict(&message, signature)?;
    }
    Ok(meter.cpu().iter().sum::<f64>() * 1e6 / f64_of(u64_of(signed.len())))
}

async fn at_half(server: &Server, requests: &[Vec<u8>], peak: f64) -> anyhow::Result<Latency> {
    let rate = peak / 2.0;
    let count = requests.len().min(usize_of(whole(rate * STEADY))).max(1);
    let mut lines = Lines::connect(server.addr, Ipv4Addr::LOCALHOST).await?;
    load::open(&mut lines, &requests[..count], rate).await
}

/// The cost of a live player: greeted, and after everybody has sent and received a message.
async fn live(binaries: &Path) -> anyhow::Result<()> {
    let count = book::connections(scaled(LIVE));
    let server = Server::ours(binaries)?;
    load::closed(&server, &vec![players::get("/api/health"); 4000]).await?;
    let title = format!("phonebook: {count} live players, greeted with signatures of their own");
    let mut table = Table::new(&title, &["", "MiB", "KiB each"]);
    let empty = server.rss();
    table.row(["nobody".to_owned(), format!("{empty:.1}")]);
    let mut crowd = Crowd::new(server.addr);
    crowd.join(count);
    let took = crowd.is_present(count, Duration::from_secs(120)).await?;
    let each = || (server.rss() - empty) * 1024.0 / f64_of(u64_of(count));
    let greeted = each();
    table.row(["greeted".to_owned(), format!("{:.1}", server.rss()), format!("{greeted:.1}")]);
    crowd.say_here();
    // For a ping and a pong.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let spoken = each();
    table.row(["spoken and pinged".to_owned(), format!("{:.1}", server.rss()), format!("{spoken:.1}")]);
    anyhow::ensure!(crowd.tally.present() == count, "some are gone");
    drop(table);
    println!("          all were greeted within {:.1} s", took.as_secs_f64());
    judge("KiB for each who is live", Spread::of([spoken]), Floor::AtMost(20.0));
    Ok(())
}
