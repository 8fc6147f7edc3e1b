//! The phone book with 100,000 players: lookups, registrations and memory, against the plan that it replaced, a small
//! Express server without signatures. Ours checks a signature for each registration.

mod common;

use anyhow::Context;
use common::{
    Floor, Spread, Table, judge, measured, scaled,
    town::{self, Process, binaries, runtime},
    usage::{self, Meter},
};
use ed25519_dalek::SigningKey;
use fyteclub_proto::{
    id::PlayerName,
    phonebook::{Register, Visibility},
};
use std::{
    cell::Cell,
    env, fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Connections that ask one thing after the other.
const CONNECTIONS: usize = 32;

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

struct Server {
    name: &'static str,
    process: Process,
    addr: SocketAddr,
    /// Before the first record, and after the last.
    empty: f64,
    full: f64,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy)]
struct Round {
    lookups: Load,
    registrations: Load,
}

#[derive(Clone, Copy)]
struct Load {
    /// Requests a second.
    rate: f64,
    /// Server's CPU, µs a request.
    cpu: f64,
}

struct Player {
    key: SigningKey,
    name: PlayerName,
}

fn bench() -> anyhow::Result<()> {
    let runtime = runtime()?;
    let count = scaled(100_000);
    let players: Vec<Player> = (0..count).map(player).collect::<anyhow::Result<_>>()?;
    let lookups: Vec<Vec<u8>> = {
        let mut noise = common::look::Noise::new(3);
        let some = (0..scaled(40_000)).map(|_| &players[noise.number() as usize % count]);
        some.map(|player| lookup(&player.name)).collect()
    };
    let mut servers = vec![Server::new("FyteClub", town::phonebook(&binaries()?)?)?];
    match node()? {
        Some(process) => servers.push(Server::new("Express, unsigned", process)?),
        None => println!(
            "phonebook: the comparison with Node is SKIPPED: there is no node, or npm has no network"
        ),
    }
    for server in &mut servers {
        runtime.block_on(server.fill(&players))?;
    }
    let mut sequence = 2;
    let rounds = measured(|_| {
        // Fresh proofs, because old ones are refused; made before the clock starts.
        let changed = &players[..count.min(scaled(20_000))];
        let registrations = register(changed, sequence)?;
        sequence += 1;
        servers
            .iter()
            .map(|server| {
                let lookups = runtime.block_on(server.load(&lookups))?;
                let registrations = runtime.block_on(server.load(&registrations))?;
                Ok(Round { lookups, registrations })
            })
            .collect::<anyhow::Result<Vec<Round>>>()
    })?;
    for round in rounds {
        servers.iter_mut().zip(round).for_each(|(server, round)| server.rounds.push(round));
    }
    report(&servers, count);
    Ok(())
}

fn player(number: usize) -> anyhow::Result<Player> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    let name = format!("Player Number{number:07}@Gilgamesh").parse()?;
    Ok(Player { key: SigningKey::from_bytes(&seed), name })
}

fn lookup(name: &PlayerName) -> Vec<u8> {
    let name = name.to_string().replace(' ', "%20");
    format!("GET /api/lookup/{name} HTTP/1.1\r\nHost: phonebook\r\n\r\n").into_bytes()
}

fn register(players: &[Player], sequence: u64) -> anyhow::Result<Vec<Vec<u8>>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let request = |player: &Player| {
        let body =
            Register::signed(player.name.as_str(), 7777, Visibility::Listed, sequence, now, &player.key);
        let body = serde_json::to_string(&body)?;
        let head = "POST /api/register HTTP/1.1\r\nHost: phonebook\r\nContent-Type: application/json\r\n";
        Ok(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    };
    players.iter().map(request).collect()
}

impl Server {
    fn new(name: &'static str, process: Process) -> anyhow::Result<Self> {
        let addr = process.greeting.rsplit('/').next().unwrap_or_default();
        let addr = addr.parse().with_context(|| format!("no address in {:?}", process.greeting))?;
        Ok(Self { name, process, addr, empty: f64::NAN, full: f64::NAN, rounds: Vec::new() })
    }

    fn rss(&self) -> f64 {
        usage::mib(usage::rss(self.process.pid()))
    }

    /// Every player registers once.
    async fn fill(&mut self, players: &[Player]) -> anyhow::Result<()> {
        // What serving costs by itself is no record's.
        let health = b"GET /api/health HTTP/1.1\r\nHost: phonebook\r\n\r\n".to_vec();
        self.load(&vec![health; 4000]).await?;
        self.empty = self.rss();
        // In parts, so that no proof gets too old.
        for part in players.chunks(20_000) {
            self.load(&register(part, 1)?).await?;
        }
        self.full = self.rss();
        Ok(())
    }

    /// Sends every request once, over connections that stay open.
    async fn load(&self, requests: &[Vec<u8>]) -> anyhow::Result<Load> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(self.addr).await?;
            stream.set_nodelay(true)?;
            connections.push(stream);
        }
        let next = Cell::new(0);
        let meter = Meter::start([self.process.pid()]);
        let began = Instant::now();
        let work = connections.into_iter().map(async |mut stream| {
            let mut answer = vec![0; 4096];
            while let Some(request) = requests.get(next.replace(next.get() + 1)) {
                stream.write_all(request).await?;
                heard_ok(&mut stream, &mut answer).await?;
            }
            anyhow::Ok(())
        });
        futures::future::try_join_all(work).await?;
        let wall = began.elapsed().as_secs_f64();
        let cpu = meter.cpu().iter().sum::<f64>();
        let requests = requests.len() as f64;
        Ok(Load { rate: requests / wall, cpu: cpu * 1e6 / requests })
    }
}

/// Reads one answer to its end.
async fn heard_ok(stream: &mut TcpStream, bytes: &mut [u8]) -> anyhow::Result<()> {
    let mut have = 0;
    loop {
        let read = stream.read(bytes.get_mut(have..).unwrap_or_default()).await?;
        anyhow::ensure!(read > 0, "the server closed the connection");
        have += read;
        let text = std::str::from_utf8(&bytes[..have])?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "refused: {text}");
        let length = head.lines().filter_map(|line| line.split_once(": "));
        let mut length = length.filter(|(key, _)| key.eq_ignore_ascii_case("content-length"));
        let (_, length) = length.next().context("an answer with a length")?;
        if body.len() >= length.parse::<usize>()? {
            return Ok(());
        }
    }
}

/// The Express server, where there is node; its packages are fetched once.
fn node() -> anyhow::Result<Option<Process>> {
    let Ok(version) = Command::new("node").arg("--version").stdout(Stdio::null()).status() else {
        return Ok(None);
    };
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/node"));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
    fs::create_dir_all(&dir)?;
    for file in ["package.json", "server.js"] {
        fs::copy(source.join(file), dir.join(file))?;
    }
    let npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
        .args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"])
        .current_dir(&dir)
        .stdout(Stdio::null())
        .status();
    if !version.success() || !npm.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let mut command = Command::new("node");
    Process::start(command.arg("server.js").current_dir(&dir).env("NODE_ENV", "production")).map(Some)
}

fn report(servers: &[Server], count: usize) {
    let title = format!(
        "phonebook: {count} records, {CONNECTIONS} connections that stay open; {} rounds",
        common::rounds()
    );
    let columns = ["", "lookups/s", "CPU µs each", "registrations/s", "CPU µs each", "RSS MiB empty", "full"];
    let mut table = Table::new(&title, &columns);
    for server in servers {
        let of = |value: fn(&Round) -> f64| Spread::of(server.rounds.iter().map(value)).to_string();
        table.row([
            server.name.to_owned(),
            of(|r| r.lookups.rate),
            of(|r| r.lookups.cpu),
            of(|r| r.registrations.rate),
            of(|r| r.registrations.cpu),
            format!("{:.1}", server.empty),
            format!("{:.1}", server.full),
        ]);
    }
    drop(table);
    let Some(ours) = servers.first() else { return };
    let grown = ours.full - ours.empty;
    let per_record = grown * f64::from(1 << 20) / count as f64;
    judge("MiB over the empty server, floor", Spread::of([grown]), Floor::AtMost(25.0 * count as f64 / 1e5));
    println!("          {per_record:.0} bytes a record");
    let Some(node) = servers.get(1) else { return };
    let ratio = |value: fn(&Round) -> f64| {
        let pairs = ours.rounds.iter().zip(&node.rounds);
        Spread::of(pairs.map(|(ours, node)| value(ours) / value(node)))
    };
    judge("lookups/s to Express, floor", ratio(|r| r.lookups.rate), Floor::AtLeast(5.0));
    judge("lookups/s to Express, goal", ratio(|r| r.lookups.rate), Floor::AtLeast(10.0));
    println!(
        "          CPU of a lookup to Express {}, registrations/s to Express without signatures {}",
        ratio(|r| r.lookups.cpu),
        ratio(|r| r.registrations.rate)
    );
}
