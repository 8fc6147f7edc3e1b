//! The jobs of the bench `wan`, and their floors.

use crate::common::{
    Floor, Spread, Table, env_or,
    flow::{Kind, Sink, Source, TICK, rate},
    judge,
    link::{Link, Shape},
    look, scaled,
    town::{Daemon, Place, Town, binaries, clear, runtime},
    usage::{Meter, mib, rss},
};
use fyteclub_proto::number::{f64_of, u64_of, usize_of, whole};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const BUFFER: usize = 4 << 20;
/// A kernel's default.
const STOCK_BUFFER: usize = 212_992;
const FILE: usize = 1 << 20;
/// A transfer's length at the line's rate: long enough that its start does not dominate.
const SECONDS: f64 = 6.0;
/// The largest transfer: beyond it the disk would be measured.
const LARGEST: f64 = 300e6;

pub(crate) fn bench() -> anyhow::Result<()> {
    let link = match Link::open(shape(20, 0.0, 10.0, 1.0)) {
        Ok(link) => link,
        Err(error) => {
            println!("wan: SKIPPED: no line between two namespaces: {error:#}");
            return Ok(());
        }
    };
    let far = Far::new(link)?;
    let asked = std::env::var("FYTECLUB_BENCH_WAN").unwrap_or("grid,floor,queue,share,buffers".to_owned());
    far.calibrate()?;
    for job in asked.split(',') {
        match job {
            "grid" => far.grid()?,
            "floor" => far.floor()?,
            "queue" => far.queue()?,
            "share" => far.share()?,
            "buffers" => far.buffers()?,
            "controllers" => far.controllers()?,
            other => anyhow::bail!("there is no part {other:?}"),
        }
    }
    Ok(())
}

fn shape(ms: u64, loss: f64, mbit: f64, queue: f64) -> Shape {
    Shape { rtt: Duration::from_millis(ms), loss: loss / 100.0, rate: mbit * 1e6, queue }
}

/// All lines: round trip in ms, lost %, Mbit.
fn grid() -> impl Iterator<Item = (u64, f64, f64)> {
    [20, 50, 150].into_iter().flat_map(|ms| {
        [0.0, 1.0, 5.0]
            .into_iter()
            .flat_map(move |loss| [10.0, 100.0, 1000.0].map(move |mbit| (ms, loss, mbit)))
    })
}

struct Far {
    link: Link,
    runtime: tokio::runtime::Runtime,
    programs: PathBuf,
    tcp: Source,
    ours: Source,
}

/// One transfer of the daemons, and TCP for as long.
struct Run {
    ours: f64,
    tcp: f64,
    /// Average wait in the queue, ms: ours, TCP's.
    waits: [f64; 2],
    /// Peak MiB above idle: the sender's and the receiver's.
    grown: [f64; 2],
}

impl Far {
    fn new(link: Link) -> anyhow::Result<Self> {
        let tcp = source(&link, Kind::TcpCubic, BUFFER)?;
        let ours = source(&link, Kind::Ours, BUFFER)?;
        Ok(Self { link, runtime: runtime()?, programs: binaries()?, tcp, ours })
    }

    /// The rate of the unshaped line, so that a busy machine is not taken for a congested line.
    fn calibrate(&self) -> anyhow::Result<()> {
        let wide = shape(1, 0.0, 100_000.0, 1000.0);
        for (name, source) in [("TCP", &self.tcp), ("bare quinn", &self.ours)] {
            self.link.shape(wide);
            let counts = self.sink(source, 30)?.counts()?;
            println!(
                "the line of this machine, unshaped, carries {:.0} Mbit/s of {name}",
                rate(&counts, 10, 30) / 1e6
            );
        }
        for kind in [Kind::TcpCubic, Kind::TcpBbr].into_iter().filter(|kind| kind.lacking()) {
            println!("SKIPPED: this kernel has no {}", kind.name());
        }
        Ok(())
    }

    fn sink(&self, source: &Source, ticks: usize) -> anyhow::Result<Sink> {
        source.sink(ticks, |program| self.link.side(1).command(program))
    }

    /// Bits a second of a bare flow on this line, over so many ticks, and the average wait in ms.
    fn flow(&self, source: &Source, shape: Shape, ticks: usize) -> anyhow::Result<(f64, f64)> {
        self.link.shape(shape);
        let counts = self.sink(source, ticks)?.counts()?;
        Ok((rate(&counts, 0, ticks), self.link.told().wait().as_secs_f64() * 1e3))
    }

    /// Two paired daemons; one fetches `seconds` of the line from the other.
    fn run(&self, shape: Shape, seconds: f64) -> anyhow::Result<Run> {
        let bytes = (shape.rate / 8.0 * seconds).min(LARGEST);
        let files = (scaled(usize_of(whole(bytes / f64_of(u64_of(FILE)))))).max(1);
        // Pairing is not measured.
        self.link.shape(Shape { rtt: Duration::from_millis(2), loss: 0.0, rate: 1e9, queue: 10.0 });
        let inside = [0, 1].map(|n| move |program: &Path| self.link.side(n).command(program));
        let place = |n: usize| Place { ip: self.link.side(n).ip, inside: &inside[n] };
        let town = Town::at(self.programs.clone(), place(0))?;
        let folder = look::write(&town.path("look"), &vec![FILE; files], 1)?;
        look::age();
        self.runtime.block_on(async {
            let alice = town.daemon_at("Alice Ashe@Gilgamesh", place(0)).await?;
            alice.publish(&folder).await?;
            alice.registered().await?;
            let bob = town.daemon_at("Bob Birch@Balmung", place(1)).await?;
            bob.registered().await?;
            bob.befriend(&alice).await?;
            let idle = [&alice, &bob].map(|daemon| mib(rss(daemon.pid())));
            self.link.shape(shape);
            let meter = Meter::start([alice.pid(), bob.pid()]);
            let (ours, wall) = fetch(&bob, &alice).await?;
            let wait = self.link.told().wait();
            let peaks = meter.peaks();
            let grown = [0, 1].map(|n| peaks.get(n).copied().unwrap_or(f64::NAN) - idle[n]);
            drop((alice, bob));
            clear(&folder);
            let ticks = usize_of(whole((wall.as_secs_f64() / TICK.as_secs_f64()).ceil()));
            let (tcp, tcp_wait) = self.flow(&self.tcp, shape, ticks.max(10))?;
            Ok(Run { ours, tcp, waits: [wait.as_secs_f64() * 1e3, tcp_wait], grown })
        })
    }

    fn grid(&self) -> anyhow::Result<()> {
        let mut table = Table::new(
            "two daemons on one line, cold, everything included; shares of the line's rate",
            &["ms", "lost %", "Mbit", "ours", "TCP CUBIC", "ours/TCP", "MiB above idle s", "r"],
        );
        let mut ratios = Vec::new();
        for (ms, loss, mbit) in grid() {
            let line = shape(ms, loss, mbit, 1.0);
            let run = self.run(line, SECONDS)?;
            ratios.push(run.ours / run.tcp);
            let cells = [
                ms.to_string(),
                loss.to_string(),
                mbit.to_string(),
                format!("{:.2}", run.ours / line.rate),
                format!("{:.2}", run.tcp / line.rate),
                format!("{:.2}", run.ours / run.tcp),
                format!("{:.1}", run.grown[0]),
                format!("{:.1}", run.grown[1]),
            ];
            eprintln!("    {}", cells.join("  "));
            table.row(cells);
        }
        drop(table);
        judge(
            "ours to TCP CUBIC, the least of the grid, goal",
            worst(&ratios, f64::min),
            Floor::AtLeast(1.0),
        );
        Ok(())
    }

    /// The floor's line.
    fn floor(&self) -> anyhow::Result<()> {
        let line = shape(150, 1.0, 100.0, 1.0);
        let rounds = env_or("FYTECLUB_BENCH_ROUNDS", 3_usize).max(1);
        let runs: Vec<Run> = (0..rounds).map(|_| self.run(line, 15.0)).collect::<Result<_, _>>()?;
        println!("\n150 ms, 1 % lost, 100 Mbit, 15 s of the line; {rounds} rounds:");
        let of = |value: fn(&Run) -> f64| Spread::of(runs.iter().map(value));
        let share = Spread::of(runs.iter().map(|run| run.ours / line.rate));
        judge("share of the line", share, Floor::AtLeast(0.8));
        judge("ours to TCP CUBIC", of(|run| run.ours / run.tcp), Floor::AtLeast(1.0));
        judge("MiB above idle, sender", of(|run| run.grown[0]), Floor::AtMost(32.0));
        judge("MiB above idle, receiver", of(|run| run.grown[1]), Floor::AtMost(32.0));
        Ok(())
    }

    /// A queue of four BDP: how long do others wait because of us?
    fn queue(&self) -> anyhow::Result<()> {
        let mut table = Table::new(
            "a queue of four round trips, no loss: how long a packet waits in it, on average",
            &["ms", "Mbit", "ours ms", "TCP CUBIC ms"],
        );
        let mut waits = Vec::new();
        for (ms, mbit) in [(20, 10.0), (50, 10.0), (50, 100.0), (150, 100.0)] {
            let run = self.run(shape(ms, 0.0, mbit, 4.0), SECONDS)?;
            let [ours, tcp] = run.waits;
            waits.push(ours / tcp);
            table.row([ms.to_string(), mbit.to_string(), format!("{ours:.1}"), format!("{tcp:.1}")]);
        }
        drop(table);
        judge("our wait to TCP's, goal", Spread::of(waits), Floor::AtMost(0.5));
        Ok(())
    }

    /// Ours beside another on one line, started a second earlier or later: the shares.
    fn share(&self) -> anyhow::Result<()> {
        let mut table = Table::new(
            "two flows on one line, the second 1 s later; shares from second 10 to 30",
            &["ms", "Mbit", "queue", "first", "share", "second", "share", "second/first"],
        );
        let (mut to_tcp, mut to_ours) = (Vec::new(), Vec::new());
        for (ms, mbit, queue) in
            [(20, 10.0, 1.0), (50, 50.0, 1.0), (150, 50.0, 1.0), (50, 50.0, 4.0), (50, 50.0, 0.25)]
        {
            for [first, second] in
                [[&self.ours, &self.tcp], [&self.tcp, &self.ours], [&self.ours, &self.ours]]
            {
                let line = shape(ms, 0.0, mbit, queue);
                self.link.shape(line);
                let early = self.sink(first, 300)?;
                std::thread::sleep(Duration::from_secs(1));
                let late = self.sink(second, 290)?;
                let early = rate(&early.counts()?, 100, 300) / line.rate;
                let late = rate(&late.counts()?, 90, 290) / line.rate;
                match (first.kind(), second.kind()) {
                    (Kind::Ours, Kind::Ours) => to_ours.push((late / early).max(early / late)),
                    (Kind::Ours, _) => to_tcp.push(early / late),
                    _ => to_tcp.push(late / early),
                }
                table.row([
                    ms.to_string(),
                    mbit.to_string(),
                    queue.to_string(),
                    first.kind().name().to_owned(),
                    format!("{early:.2}"),
                    second.kind().name().to_owned(),
                    format!("{late:.2}"),
                    format!("{:.2}", late / early),
                ]);
            }
        }
        drop(table);
        judge("ours beside TCP CUBIC, the least of it", worst(&to_tcp, f64::min), Floor::AtLeast(0.3));
        judge("ours beside TCP CUBIC, the most of it", worst(&to_tcp, f64::max), Floor::AtMost(3.0));
        judge("ours beside ours, the larger to the smaller", worst(&to_ours, f64::max), Floor::AtMost(3.0));
        Ok(())
    }

    /// The cost of a stock kernel's socket buffers.
    fn buffers(&self) -> anyhow::Result<()> {
        let stock = source(&self.link, Kind::Ours, STOCK_BUFFER)?;
        let mut table = Table::new(
            "bare quinn with our controller: share of the line by the size of the socket's buffers",
            &["ms", "Mbit", "208 KiB", "4 MiB"],
        );
        for (ms, mbit) in [(50, 100.0), (20, 500.0)] {
            let line = shape(ms, 0.0, mbit, 1.0);
            let (small, large) = (self.flow(&stock, line, 60)?.0, self.flow(&self.ours, line, 60)?.0);
            let share = |rate: f64| format!("{:.2}", rate / line.rate);
            table.row([ms.to_string(), mbit.to_string(), share(small), share(large)]);
        }
        Ok(())
    }

    /// Bare flows with every controller.
    fn controllers(&self) -> anyhow::Result<()> {
        let kinds = Kind::ALL.into_iter().filter(|kind| !kind.lacking());
        let sources: Vec<Source> =
            kinds.map(|kind| source(&self.link, kind, BUFFER)).collect::<Result<_, _>>()?;
        let names = sources.iter().map(|source| source.kind().name());
        let columns: Vec<&str> = ["ms", "lost %", "Mbit"].into_iter().chain(names).collect();
        let title = "bare flows from memory to memory, 6 s: share of the line (ms that a packet waits)";
        let mut table = Table::new(title, &columns);
        for (ms, loss, mbit) in grid() {
            let line = shape(ms, loss, mbit, 1.0);
            let mut cells = vec![ms.to_string(), loss.to_string(), mbit.to_string()];
            for source in &sources {
                // A controller that ignores loss makes quinn close the connection: too many gaps in a stream.
                let cell = match self.flow(source, line, 60) {
                    Ok((rate, wait)) => format!("{:.2} ({wait:.0})", rate / line.rate),
                    Err(_) => "broke".to_owned(),
                };
                cells.push(cell);
            }
            eprintln!("    {}", cells.join("  "));
            table.row(cells);
        }
        Ok(())
    }
}

fn worst(values: &[f64], pick: fn(f64, f64) -> f64) -> Spread {
    Spread::of(values.iter().copied().reduce(pick))
}

fn source(link: &Link, kind: Kind, buffer: usize) -> anyhow::Result<Source> {
    Source::start(kind, buffer, link.side(0).ip, |program| link.side(0).command(program))
}

/// Bits a second of a whole fetch, and how long it took.
async fn fetch(bob: &Daemon, alice: &Daemon) -> anyhow::Result<(f64, Duration)> {
    let began = Instant::now();
    let fetched = bob.client.peer_fetch(&alice.player, None).await?;
    let wall = began.elapsed();
    Ok((f64_of(fetched.bytes_fetched) * 8.0 / wall.as_secs_f64(), wall))
}
