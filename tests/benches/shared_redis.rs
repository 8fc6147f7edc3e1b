//! What a shared Redis has to do and to store: commands, CPU time and bytes for each registration, lookup and
//! introduction, as a real `redis-server` counts them. Two phone books, budgets charged and never used up.
//!
//! `docs/scaling.md` computes from these what a cluster would serve.

mod common;

#[path = "../../phonebook/tests/integration/common/redis_server.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod redis_server;

use anyhow::Context;
use common::{
    Table, scaled,
    town::{self, Process, binaries, runtime},
    usage::Meter,
};
use ed25519_dalek::SigningKey;
use futures::{SinkExt, StreamExt, future::try_join_all};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::Callee,
    letter::{Letter, Topic},
    number::{f64_of, millis, u64_of},
    phonebook::{
        Register, Visibility,
        live::{Hear, Hello, Say},
    },
};
use redis_server::Redis;
use std::{
    cell::Cell,
    collections::BTreeMap,
    env,
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

const CONNECTIONS: usize = 64;
/// Candidates that both sides of an introduction send after it.
const CANDIDATES: usize = 1;

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let Some(redis) = Redis::start() else {
        println!("shared_redis: SKIPPED: there is no redis-server");
        return Ok(());
    };
    let programs = binaries()?;
    let books = [open(&programs, &redis)?, open(&programs, &redis)?];
    let runtime = runtime()?;
    runtime.block_on(measure(&redis, &books))
}

fn open(programs: &std::path::Path, redis: &Redis) -> anyhow::Result<Process> {
    let mut command = Command::new(programs.join(format!("fyteclub-phonebook{}", env::consts::EXE_SUFFIX)));
    for class in ["REGISTER", "LOOKUP", "INTRODUCE", "SOCKET", "OTHER", "REGISTER_KEY", "INTRODUCE_KEY"] {
        command.env(format!("FYTECLUB_PHONEBOOK_LIMIT_{class}"), "1000000/s burst 1000000");
    }
    town::uncrowded(&mut command);
    let args = ["--listen", "127.0.0.1:0", "--operator", "off", "--redis", &redis.url()];
    Process::start(command.args(args).env("RUST_LOG", "error"))
}

struct Job {
    what: &'static str,
    count: usize,
    /// For each operation.
    commands: BTreeMap<String, f64>,
    redis_cpu: f64,
    books_cpu: f64,
    rate: f64,
}

async fn measure(redis: &Redis, books: &[Process; 2]) -> anyhow::Result<()> {
    let count = scaled(100_000);
    let keys: Vec<SigningKey> = (0..count).map(key).collect();
    let visibility = |number: usize| match number % 10 {
        0 => Visibility::Listed,
        _ => Visibility::Contacts,
    };
    let before = memory(redis)?;
    let mut jobs = Vec::new();
    let mut first = None;
    for part in 0..5 {
        let some: Vec<usize> = (count / 5 * part..count / 5 * (part + 1)).collect();
        let bodies = requests(&some, &keys, visibility, 1)?;
        let job = run("registration, new", redis, books, bodies.len(), load(books, &bodies)).await?;
        first.get_or_insert(job);
    }
    let held = memory(redis)?;
    jobs.extend(first);
    let some: Vec<usize> = (0..scaled(20_000)).collect();
    let bodies = requests(&some, &keys, visibility, 2)?;
    jobs.push(run("registration, again", redis, books, bodies.len(), load(books, &bodies)).await?);
    let lookups: Vec<Vec<u8>> = (0..scaled(40_000)).map(|number| lookup(number * 10 % count)).collect();
    jobs.push(run("lookup", redis, books, lookups.len(), load(books, &lookups)).await?);
    let pairs = scaled(500);
    let mut clients = Vec::new();
    let greetings = async {
        for (number, key) in keys.iter().take(2 * pairs).enumerate() {
            clients.push(Client::greet(&books[number % 2], key.clone()).await?);
        }
        anyhow::Ok(())
    };
    jobs.push(run("greeting", redis, books, 2 * pairs, greetings).await?);
    let rounds = 10;
    let talk = async {
        let clients = clients.chunks_mut(2).enumerate();
        try_join_all(clients.map(|(pair, clients)| introduce(pair, clients, rounds))).await
    };
    jobs.push(run("introduction, by name", redis, books, pairs * rounds, talk).await?);
    report(&jobs);
    println!(
        "  {:.1} bytes of Redis' memory for each of {count} names, each with its key's budget; by MEMORY USAGE:",
        f64_of(held - before) / f64_of(u64_of(count))
    );
    for (what, bytes) in sizes(redis)? {
        println!("  {bytes:>5}  {what}");
    }
    Ok(())
}

fn key(number: usize) -> SigningKey {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&(u64_of(number) + 1).to_le_bytes());
    SigningKey::from_bytes(&seed)
}

fn name(number: usize) -> String {
    format!("Player Number{number:07}@Gilgamesh")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn lookup(number: usize) -> Vec<u8> {
    let name = name(number).replace(' ', "%20");
    format!("GET /api/lookup/{name} HTTP/1.1\r\nHost: phonebook\r\n\r\n").into_bytes()
}

fn requests(
    numbers: &[usize],
    keys: &[SigningKey],
    visibility: impl Fn(usize) -> Visibility,
    sequence: u64,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let request = |&number: &usize| {
        let (name, visibility, key) = (name(number), visibility(number), &keys[number]);
        let body = Register::signed(&name, 7777, visibility, "phonebook", sequence, now(), key);
        let body = serde_json::to_string(&body)?;
        let head = "POST /api/register HTTP/1.1\r\nHost: phonebook\r\nContent-Type: application/json\r\n";
        Ok(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    };
    numbers.iter().map(request).collect()
}

fn address(book: &Process) -> &str {
    book.greeting.rsplit('/').next().unwrap_or_default()
}

/// Sends every request once, half of them to each, over kept connections.
async fn load(books: &[Process; 2], requests: &[Vec<u8>]) -> anyhow::Result<()> {
    let next = Cell::new(0);
    let work = (0..CONNECTIONS).map(async |number| {
        let mut stream = TcpStream::connect(address(&books[number % 2])).await?;
        stream.set_nodelay(true)?;
        let mut answer = vec![0; 4096];
        while let Some(request) = requests.get(next.replace(next.get() + 1)) {
            stream.write_all(request).await?;
            let read = stream.read(&mut answer).await?;
            let text = String::from_utf8_lossy(&answer[..read]).into_owned();
            anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "refused: {text}");
        }
        anyhow::Ok(())
    });
    try_join_all(work).await?;
    Ok(())
}

struct Client {
    key: SigningKey,
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    async fn greet(book: &Process, key: SigningKey) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address(book)).await?;
        let (socket, _) = client_async(format!("ws://{}/api/live", address(book)), stream).await?;
        let mut client = Self { key, socket };
        let Hear::Challenge { nonce, .. } = client.hear().await? else { anyhow::bail!("no challenge") };
        let hello = Hello::signed(address(book), nonce, now(), &client.key);
        client.say(&Say::Hello(hello)).await?;
        anyhow::ensure!(matches!(client.hear().await?, Hear::Welcome(_)), "not welcome");
        Ok(client)
    }

    async fn say(&mut self, say: &Say) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(serde_json::to_string(say)?)).await?)
    }

    async fn hear(&mut self) -> anyhow::Result<Hear> {
        loop {
            match self.socket.next().await.context("closed")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => anyhow::bail!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    fn letter(&self, to: &PeerId, topic: Topic) -> anyhow::Result<Letter> {
        // The length of six candidates.
        Ok(Letter::seal(&self.key, to, topic, &[b'x'; 160], [7; 32].into())?)
    }
}

async fn introduce(pair: usize, clients: &mut [Client], rounds: usize) -> anyhow::Result<()> {
    let [caller, callee] = clients else { anyhow::bail!("no pair") };
    let (a, b) = (PeerId::of(&caller.key), PeerId::of(&callee.key));
    for round in 0..rounds {
        let attempt = Bytes([u8::try_from(round).expect("a small number"); 16]);
        let letter = caller.letter(&b, Topic::Introduce(attempt))?;
        let to = Callee::Name(name(2 * pair + 1));
        caller.say(&Say::Introduce { to, attempt, letter }).await?;
        anyhow::ensure!(matches!(callee.hear().await?, Hear::Introduced { .. }), "not introduced");
        let letter = callee.letter(&a, Topic::Accept(attempt))?;
        callee.say(&Say::Accept { to: a, attempt, letter }).await?;
        for (client, expected) in [(&mut *caller, 2), (&mut *callee, 1)] {
            for _ in 0..expected {
                client.hear().await?;
            }
        }
        for _ in 0..CANDIDATES {
            let letter = caller.letter(&b, Topic::Candidates(attempt))?;
            caller.say(&Say::Candidates { to: b, attempt, letter }).await?;
            let letter = callee.letter(&a, Topic::Candidates(attempt))?;
            callee.say(&Say::Candidates { to: a, attempt, letter }).await?;
            callee.hear().await?;
            caller.hear().await?;
        }
    }
    Ok(())
}

async fn run<T>(
    what: &'static str,
    redis: &Redis,
    books: &[Process; 2],
    count: usize,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Job> {
    let before = calls(redis)?;
    let meter = Meter::start([redis.id(), books[0].pid(), books[1].pid()]);
    let began = Instant::now();
    work.await?;
    let wall = began.elapsed().as_secs_f64();
    let cpu = meter.cpu();
    let each = |seconds: f64| seconds * 1e6 / f64_of(u64_of(count));
    let calls = calls(redis)?.into_iter().map(|(name, calls)| {
        let before = before.get(&name).copied().unwrap_or(0);
        (name, f64_of(calls - before) / f64_of(u64_of(count)))
    });
    let commands = calls.filter(|(_, calls)| *calls >= 0.05).collect();
    let rate = f64_of(u64_of(count)) / wall;
    Ok(Job { what, count, commands, redis_cpu: each(cpu[0]), books_cpu: each(cpu[1] + cpu[2]), rate })
}

/// Calls so far, of every command.
fn calls(redis: &Redis) -> anyhow::Result<BTreeMap<String, u64>> {
    let info: String = redis::cmd("INFO").arg("commandstats").query(&mut redis.connection())?;
    let lines = info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    Ok(lines
        .filter_map(|(name, rest)| Some((name.to_owned(), rest.split(',').next()?.parse().ok()?)))
        .collect())
}

fn memory(redis: &Redis) -> anyhow::Result<u64> {
    let info: String = redis::cmd("INFO").arg("memory").query(&mut redis.connection())?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.context("no used_memory")?.trim().parse()?)
}

/// The largest value of each kind.
fn sizes(redis: &Redis) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    let mut connection = redis.connection();
    let mut sizes = BTreeMap::new();
    let (mut cursor, mut seen) = (0u64, 0);
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) =
            redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(1000).query(&mut connection)?;
        for key in keys {
            let what = match key.get(4) {
                Some(b'n') if length(&mut connection, &key)? > 49 => "a listed name, IPv4",
                Some(b'n') => "a name for contacts",
                Some(b'p') => "where a key is connected",
                Some(b'r') => "a budget",
                Some(b'{') => "a sixth of the census",
                _ => continue,
            };
            let bytes: u64 = redis::cmd("MEMORY").arg("USAGE").arg(&key).query(&mut connection)?;
            let most = sizes.entry(what).or_insert(bytes);
            *most = bytes.max(*most);
        }
        cursor = next;
        seen += 1;
        if cursor == 0 || seen == 50 {
            return Ok(sizes);
        }
    }
}

fn length(connection: &mut redis::Connection, key: &[u8]) -> anyhow::Result<u64> {
    Ok(redis::cmd("STRLEN").arg(key).query(connection)?)
}

fn report(jobs: &[Job]) {
    let columns = ["", "how many", "a second", "CPU µs of Redis each", "of the phone books", "commands each"];
    let mut table = Table::new("shared_redis: two phone books and one redis-server", &columns);
    for job in jobs {
        let commands = job.commands.iter().map(|(name, calls)| format!("{name} {calls:.1}"));
        table.row([
            job.what.to_owned(),
            job.count.to_string(),
            format!("{:.0}", job.rate),
            format!("{:.1}", job.redis_cpu),
            format!("{:.1}", job.books_cpu),
            commands.collect::<Vec<_>>().join(", "),
        ]);
    }
}
