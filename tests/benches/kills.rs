//! SIGKILL of either side in the middle of a fetch, again and again: what is lost each time, and whether there is ever
//! a wrong byte. `FYTECLUB_BENCH_KILLS` is the number of kills (1,000), `FYTECLUB_BENCH_PAIRS` the number of pairs of
//! an owner and a receiver that run at once (4): most of the time is waiting, and a busy machine kills at worse
//! moments.
//!
//! After each kill every complete file of the receiver's store is read and must have the bytes of its name. What a
//! receiver wrote before its death is the kernel's count; what it kept follows from what it reports as missing.

mod common;

use anyhow::Context;
use common::{
    Floor, Spread, Table, env_or, judge,
    look::{self, Noise},
    scaled,
    town::{Daemon, Place, Town, clear, runtime},
    usage,
};
use fyteclub_client::{BlobHash, Error, Event, Events};
use fyteclub_proto::{
    local::reply::Fetched,
    number::{f64_of, u64_of, usize_of},
};
use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Latest time of a kill after the fetch began.
const LIFE: Duration = Duration::from_millis(600);
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Tally {
    /// The number of kills.
    wanted: usize,
    kills: [usize; 2],
    looks: usize,
    files_read: u64,
    wrong: usize,
    /// For each kill of a receiver: bytes that it had written and not kept, and the seconds that they took.
    lost: Vec<(f64, f64)>,
}

impl Tally {
    fn deaths(&self) -> usize {
        self.kills.iter().sum()
    }

    fn add(&mut self, other: Self) {
        self.kills.iter_mut().zip(other.kills).for_each(|(all, more)| *all += more);
        self.looks += other.looks;
        self.files_read += other.files_read;
        self.wrong += other.wrong;
        self.lost.extend(other.lost);
    }
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let wanted: usize = env_or("FYTECLUB_BENCH_KILLS", 1000);
    let pairs = env_or("FYTECLUB_BENCH_PAIRS", 4).clamp(1, wanted.max(1));
    let town = Town::start()?;
    let mut sizes = vec![16 << 20; scaled(16)];
    sizes.extend(look::ramp(scaled(1000), 4 << 10, 256 << 10));
    let folder = look::write(&town.path("look"), &sizes, 7)?;
    look::age();
    let began = Instant::now();
    let tallies = thread::scope(|scope| {
        // Each on a thread of its own: reading all kept files takes a while, and the others' clocks run on.
        let one = |pair| {
            let share = wanted / pairs + usize::from(pair < wanted % pairs);
            let (town, folder, sizes) = (&town, &folder, &sizes);
            scope.spawn(move || runtime()?.block_on(self::pair(town, pair, share, folder, sizes)))
        };
        let running: Vec<_> = (0..pairs).map(one).collect();
        running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let tallies: anyhow::Result<Vec<Tally>> = tallies;
    let mut all = Tally::default();
    tallies?.into_iter().for_each(|tally| all.add(tally));
    report(&all, pairs, began.elapsed());
    Ok(())
}

/// One owner, and receivers one after the other, until so many were killed.
async fn pair(
    town: &Town,
    pair: usize,
    wanted: usize,
    look: &Path,
    sizes: &[usize],
) -> anyhow::Result<Tally> {
    // Always at the same port, as a player's daemon: peers with a link to the former process notice at once that it
    // ended.
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let home = Home {
        dir: town.path(&format!("alice{pair}")),
        player: format!("Alice Ashe {pair}@Gilgamesh"),
        port,
    };
    let mut alice = home.start(town).await?;
    alice.publish(look).await?;
    alice.registered().await?;
    let mut tally = Tally { wanted, ..Tally::default() };
    let mut dice = Noise::new(env_or("FYTECLUB_BENCH_SEED", 1) + u64_of(pair));
    while tally.deaths() < wanted {
        let name = format!("{pair}x{}", tally.looks);
        let bob = Home {
            dir: town.path(&format!("bob{name}")),
            player: format!("Bob Birch {name}@Balmung"),
            port: 0,
        };
        one_look(town, &mut alice, &home, &bob, sizes, &mut dice, &mut tally)
            .await
            .with_context(|| format!("pair {pair}, after {} deaths", tally.deaths()))?;
        clear(&bob.dir);
        tally.looks += 1;
    }
    Ok(tally)
}

/// The folder and port of a daemon over its restarts.
struct Home {
    dir: PathBuf,
    player: String,
    port: u16,
}

impl Home {
    async fn start(&self, town: &Town) -> anyhow::Result<Daemon> {
        town.daemon_in(&self.dir, &self.player, Place::HERE, self.port).await
    }
}

/// One receiver, from nothing to everything, with as many restarts as it takes.
async fn one_look(
    town: &Town,
    alice: &mut Daemon,
    alices: &Home,
    home: &Home,
    sizes: &[usize],
    dice: &mut Noise,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let total = u64_of(sizes.iter().sum::<usize>());
    let mut bob = home.start(town).await?;
    bob.befriend(alice).await?;
    // What was there when this process began, and what it wrote before its end.
    let (mut kept, mut written): (u64, Option<(f64, f64)>) = (0, None);
    loop {
        let mut events = bob.client.watch().await?;
        let mut fetch = Box::pin(bob.client.peer_fetch(&alice.player, None));
        let enough = tally.deaths() >= tally.wanted;
        // The clock starts once the missing bytes are known: then bytes flow.
        let offered = tokio::select! {
            missing = offered(&mut events) => Ok(missing?),
            done = &mut fetch => Err(done),
        };
        let missing = match offered {
            Ok(missing) => missing,
            Err(done) => {
                if over(done)? {
                    return check(&home.dir, sizes.len(), tally);
                }
                continue;
            }
        };
        let now_kept = total.saturating_sub(missing);
        if let Some((bytes, seconds)) = written.take() {
            let lost = (f64_of(kept) + bytes - f64_of(now_kept)).max(0.0);
            tally.lost.push((lost, lost / (bytes / seconds)));
        }
        kept = now_kept;
        let before = usage::written(bob.pid()).unwrap_or_default();
        let began = Instant::now();
        let life = if enough { TIMEOUT } else { LIFE.mul_f64(f64_of(dice.number() % 1000) / 1000.0) };
        if let Ok(done) = tokio::time::timeout(life, &mut fetch).await {
            if over(done)? {
                return check(&home.dir, sizes.len(), tally);
            }
            continue;
        }
        drop(fetch);
        let victim = usize_of(dice.number() % 2);
        tally.kills[victim] += 1;
        if victim == 0 {
            alice.kill();
            *alice = alices.start(town).await?;
            continue;
        }
        usage::freeze(bob.pid());
        let bytes = usage::written(bob.pid()).unwrap_or_default() - before;
        written = Some((f64_of(bytes), began.elapsed().as_secs_f64()));
        bob.kill();
        check(&home.dir, 0, tally)?;
        bob = home.start(town).await?;
    }
}

/// Whether everything is there; not yet while the owner restarts.
fn over(done: Result<Fetched, Error>) -> anyhow::Result<bool> {
    match done {
        Ok(_) => Ok(true),
        Err(error) if error.is_retryable() => Ok(false),
        Err(error) => Err(error).context("a fetch failed for good"),
    }
}

/// Missing bytes, once the receiver knows.
async fn offered(events: &mut Events) -> anyhow::Result<u64> {
    let wait = async {
        while let Some(event) = events.next().await {
            if let Ok(Event::AppearanceOffered { missing_bytes, .. }) = event {
                return Some(missing_bytes);
            }
        }
        None
    };
    let missing = tokio::time::timeout(TIMEOUT, wait).await.context("nothing was offered")?;
    missing.context("the daemon ended")
}

/// Reads every complete file: each must have the bytes of its name.
fn check(dir: &Path, least: usize, tally: &mut Tally) -> anyhow::Result<()> {
    let mut count = 0;
    for entry in fs::read_dir(dir.join("blobs")).into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let right = BlobHash::of(&fs::read(&path)?).to_string();
        if !right.ends_with(&name) {
            println!("  {} has the bytes of {right}", path.display());
            tally.wrong += 1;
        }
        count += 1;
    }
    tally.files_read += count;
    anyhow::ensure!(count >= u64_of(least), "{count} files of {least}");
    Ok(())
}

fn report(tally: &Tally, pairs: usize, took: Duration) {
    let [owner, receiver] = tally.kills;
    let title = format!(
        "kills: {owner} of the owner, {receiver} of the receiver, {pairs} pairs at once, {} looks came whole, in {:.0} s",
        tally.looks,
        took.as_secs_f64()
    );
    let mut table = Table::new(&title, &["", "per death of the receiver"]);
    let lost = Spread::of(tally.lost.iter().map(|(bytes, _)| bytes / f64::from(1 << 20)));
    table.row(["MiB fetched again".to_owned(), lost.to_string()]);
    let mut seconds: Vec<f64> = tally.lost.iter().map(|(_, seconds)| *seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let p99 = seconds.get(seconds.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    table.row(["seconds of progress".to_owned(), Spread::of(seconds.clone()).to_string()]);
    table.row(["the 99th of 100".to_owned(), format!("{p99:.2}")]);
    drop(table);
    let worst = seconds.last().copied().unwrap_or(f64::NAN);
    judge("most seconds of progress lost in one death", Spread::of([worst]), Floor::AtMost(1.0));
    judge("files with wrong bytes", Spread::of([f64_of(u64_of(tally.wrong))]), Floor::AtMost(0.0));
    println!("          {} complete files were read after kills", tally.files_read);
}
