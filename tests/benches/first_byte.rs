//! A small change of a look: one file of 200 KB changed, published, and fetched over an open link. The reference is
//! quinn that requests 200 KB on a warm connection.

mod common;

use anyhow::Context;
use common::{
    Floor, Spread, Table, judge, look, measured,
    raw::{PACKET, Pair},
    scaled,
    town::{Daemon, Town, runtime},
};
use fyteclub_client::Event;
use fyteclub_proto::number::u64_of;
use std::{fs, path::Path, time::Instant};

const BYTES: usize = 200_000;

/// Medians of one round, in milliseconds.
struct Round {
    /// The document arrived, was checked and compared: the first event at a client.
    offered: f64,
    whole: f64,
    raw_first: f64,
    raw_whole: f64,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let fetches = scaled(40);
    let town = Town::start()?;
    let folder = look::write(&town.path("look"), &[BYTES], 1)?;
    let runtime = runtime()?;
    let mut raw = Pair::start(PACKET)?;
    let (alice, bob) = runtime.block_on(async {
        let alice = town.daemon("Alice Ashe@Gilgamesh").await?;
        let bob = town.daemon("Bob Birch@Balmung").await?;
        alice.registered().await?;
        bob.registered().await?;
        bob.befriend(&alice).await?;
        anyhow::Ok((alice, bob))
    })?;
    let mut noise = look::Noise::new(7);
    let rounds = measured(|_| {
        let (mut offered, mut whole, mut raw_first, mut raw_whole) = (vec![], vec![], vec![], vec![]);
        for _ in 0..fetches {
            let bytes = noise.bytes(BYTES);
            let (first, all) = runtime.block_on(change(&alice, &bob, &folder, &bytes))?;
            offered.push(first);
            whole.push(all);
            let fetched = raw.fetch(u64_of(BYTES))?;
            raw_first.push(fetched.first.as_secs_f64() * 1e3);
            raw_whole.push(fetched.whole.as_secs_f64() * 1e3);
        }
        let median = |values: Vec<f64>| Spread::of(values).median;
        Ok(Round {
            offered: median(offered),
            whole: median(whole),
            raw_first: median(raw_first),
            raw_whole: median(raw_whole),
        })
    })?;
    report(&rounds, fetches);
    Ok(())
}

async fn change(alice: &Daemon, bob: &Daemon, folder: &Path, bytes: &[u8]) -> anyhow::Result<(f64, f64)> {
    fs::write(folder.join("files/00000.tex"), bytes)?;
    alice.publish(folder).await?;
    let mut events = bob.client.watch().await?;
    let began = Instant::now();
    let fetch = bob.client.peer_fetch(&alice.player, None);
    let offered = async {
        loop {
            if let Event::AppearanceOffered { .. } = events.next().await.context("the daemon stopped")?? {
                return anyhow::Ok(began.elapsed());
            }
        }
    };
    let (fetched, offered) = tokio::join!(async { (fetch.await, began.elapsed()) }, offered);
    let (fetched, whole) = (fetched.0?, fetched.1);
    anyhow::ensure!(fetched.bytes_fetched == u64_of(BYTES), "{} bytes came", fetched.bytes_fetched);
    Ok((offered?.as_secs_f64() * 1e3, whole.as_secs_f64() * 1e3))
}

fn report(rounds: &[Round], fetches: usize) {
    let of = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let title = format!(
        "first_byte: 200 KB changed and fetched over a warm link; medians of {} rounds of {fetches}",
        rounds.len()
    );
    let mut table = Table::new(&title, &["", "first ms", "whole ms"]);
    table.row([
        "FyteClub (first: the manifest, told to a client)".to_owned(),
        of(|r| r.offered).to_string(),
        of(|r| r.whole).to_string(),
    ]);
    table.row([
        "quinn (first: the first bytes)".to_owned(),
        of(|r| r.raw_first).to_string(),
        of(|r| r.raw_whole).to_string(),
    ]);
    drop(table);
    judge("whole, to bare quinn, goal", of(|r| r.whole / r.raw_whole), Floor::AtMost(1.3));
}
