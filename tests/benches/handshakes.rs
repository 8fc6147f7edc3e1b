//! What strangers' handshakes cost contacts: 10,000 packets a second, a third of them garbage and two thirds first
//! datagrams of handshakes, and some 400 real handshakes a second, of which half are never completed.
//!
//! Meanwhile a contact dials a hundred times, and a look is fetched. The reference is the same with all those packets
//! going to a port that nobody reads. The strangers are at another loopback address than the contact, and once more at
//! the same.

mod common;

use common::{
    Floor, Spread, Table, judge, look, measured, scaled,
    town::{Daemon, Town, runtime},
};
use fyteclub_proto::number::{f64_of, u64_of};
use fyteclub_tests::{flood::Flood, hostile::Hostile};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

const RATE: u64 = 10_000;
const DIALS: usize = 100;

struct Run {
    /// MiB a second.
    speed: f64,
    dialled: f64,
    packets: f64,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let town = Town::start()?;
    let runtime = runtime()?;
    let path = look::write(&town.path("look"), &vec![16 << 20; scaled(48)], 1)?;
    look::age();
    let foreign = UdpSocket::bind("127.0.0.1:0")?;
    let foreign = foreign.local_addr()?;
    let rounds = measured(|number| {
        runtime.block_on(async {
            let alice = town.daemon(&format!("Alice Ashe {number}@Gilgamesh")).await?;
            alice.registered().await?;
            alice.publish(&path).await?;
            let here: SocketAddr = alice.client.status().await?.listen.parse()?;
            let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
            anyhow::Ok([
                run(&town, &alice, other, foreign).await?,
                run(&town, &alice, other, here).await?,
                run(&town, &alice, here.ip(), here).await?,
            ])
        })
    })?;
    let title = format!(
        "handshakes of strangers: {RATE} packets/s, {DIALS} dials and {} MiB meanwhile; {} rounds",
        scaled(48) * 16,
        rounds.len()
    );
    let mut table = Table::new(&title, &["packets go to", "MiB/s", "dials that came in", "packets/s"]);
    let of = |who: usize, value: fn(&Run) -> f64| Spread::of(rounds.iter().map(|round| value(&round[who])));
    for (who, name) in
        ["a foreign port", "the daemon", "the daemon, from the contact's address"].iter().enumerate()
    {
        table.row([
            (*name).to_owned(),
            of(who, |run| run.speed).to_string(),
            of(who, |run| run.dialled).to_string(),
            of(who, |run| run.packets).to_string(),
        ]);
    }
    drop(table);
    let least = |who: usize| Spread::of([of(who, |run| run.dialled).min]);
    judge("dials of 100 that came in, the worst round", least(1), Floor::AtLeast(f64_of(u64_of(DIALS))));
    judge("the same from one address", least(2), Floor::AtLeast(f64_of(u64_of(DIALS))));
    let ratio = |who: usize| Spread::of(rounds.iter().map(|round| round[who].speed / round[0].speed));
    judge("throughput", ratio(1), Floor::AtLeast(0.85));
    judge("the same from one address", ratio(2), Floor::AtLeast(0.85));
    Ok(())
}

/// With the flood from `from` to `to`.
async fn run(town: &Town, alice: &Daemon, from: IpAddr, to: SocketAddr) -> anyhow::Result<Run> {
    let peer = alice.client.daemon().peer_id;
    let here: SocketAddr = alice.client.status().await?.listen.parse()?;
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let bob = town.daemon(&format!("Bob Birch {run}@Balmung")).await?;
    bob.registered().await?;
    bob.befriend(alice).await?;
    let contact = Hostile::new("Carol Cole@Cactuar", 7);
    // In the second run of a round she is a contact already.
    alice.client.contacts_add(&contact.player, Some(&contact.peer_id())).await.ok();
    // Both addresses are known then.
    let line = contact.dial(here, peer).await;
    line.greet(contact.greeting(None)).await;
    drop(line);
    let flood = Flood::start(from, to, peer, RATE);
    let began = Instant::now();
    let (client, player) = (bob.client.clone(), alice.player.clone());
    let fetch = tokio::spawn(async move {
        let fetched = client.peer_fetch(&player, None).await?;
        anyhow::Ok((fetched.bytes_fetched, began.elapsed()))
    });
    let mut dialled = 0;
    for _ in 0..DIALS {
        if let Some(line) = contact.try_dial(here, peer).await {
            line.greet(contact.greeting(None)).await;
            dialled += 1;
        }
    }
    let (bytes, took) = fetch.await??;
    let packets = flood.rate();
    drop(flood);
    Ok(Run {
        speed: f64_of(bytes) / f64::from(1 << 20) / took.as_secs_f64(),
        dialled: f64::from(dialled),
        packets,
    })
}
