//! How well limits are kept: bytes a second against the limit, and how equal the shares of several receivers are.
//!
//! The reference is the limit itself. A fetch begins with a greeting and ends with a flush, which counts against us; a
//! bucket starts empty and may save a fifth of a second, which counts for us.

mod common;

use common::{
    Floor, Spread, Table, judge, look, measured, scaled,
    town::{Daemon, Town, runtime},
};
use fyteclub_client::{LimitsSet, Rate};
use fyteclub_proto::number::{f64_of, u64_of};
use std::{path::Path, time::Instant};

const MIB: usize = 1 << 20;
/// Low enough that nothing else limits, high enough that a round is short.
const LIMIT: u64 = 8 << 20;

#[derive(Clone, Copy)]
struct Round {
    up: f64,
    down: f64,
    peer_up: f64,
    peer_down: f64,
    low: f64,
    two: f64,
    eight: f64,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let town = Town::start()?;
    let runtime = runtime()?;
    let small = look::write(&town.path("small"), &[256 << 10, 256 << 10], 1)?;
    let large = look::write(&town.path("large"), &vec![4 * MIB; scaled(10)], 2)?;
    look::age();
    let rounds = measured(|_| runtime.block_on(round(&town, &small, &large)))?;
    report(&rounds);
    Ok(())
}

async fn round(town: &Town, small: &Path, large: &Path) -> anyhow::Result<Round> {
    let rate: Option<Option<Rate>> = Some(Some(LIMIT.try_into()?));
    let low: Option<Option<Rate>> = Some(Some((64 << 10).try_into()?));
    let none = LimitsSet::default();
    let alice = town.daemon("Alice Ashe@Gilgamesh").await?;
    alice.publish(large).await?;
    let up = kept(town, &alice, LimitsSet { upload: rate, ..none }, none, LIMIT).await?;
    let peer_up = kept(town, &alice, LimitsSet { peer_upload: rate, ..none }, none, LIMIT).await?;
    let down = kept(town, &alice, none, LimitsSet { download: rate, ..none }, LIMIT).await?;
    let peer_down = kept(town, &alice, none, LimitsSet { peer_download: rate, ..none }, LIMIT).await?;
    alice.client.limits_reset().await?;
    alice.client.limits_set(LimitsSet { upload: rate, ..none }).await?;
    let two = fairness(town, &alice, 2).await?;
    let eight = fairness(town, &alice, 8).await?;
    alice.publish(small).await?;
    let low = kept(town, &alice, LimitsSet { upload: low, ..none }, none, 64 << 10).await?;
    Ok(Round { up, down, peer_up, peer_down, low, two, eight })
}

/// A fetch's rate as a part of the limit.
async fn kept(
    town: &Town,
    alice: &Daemon,
    hers: LimitsSet,
    his: LimitsSet,
    limit: u64,
) -> anyhow::Result<f64> {
    alice.client.limits_reset().await?;
    alice.client.limits_set(hers).await?;
    let bob = town.daemon("Bob Birch@Balmung").await?;
    bob.client.limits_set(his).await?;
    bob.registered().await?;
    bob.befriend(alice).await?;
    let began = Instant::now();
    let fetched = bob.client.peer_fetch(&alice.player, None).await?;
    Ok(f64_of(fetched.bytes_fetched) / began.elapsed().as_secs_f64() / f64_of(limit))
}

/// The smallest share of so many receivers to the largest, when two thirds of all is sent.
async fn fairness(town: &Town, alice: &Daemon, receivers: usize) -> anyhow::Result<f64> {
    let mut fetches = Vec::new();
    let mut places = Vec::new();
    for number in 0..receivers {
        let letter = char::from(b'a' + u8::try_from(number).expect("a small number"));
        let place = town.daemon(&format!("Rec{letter} Birch@Balmung")).await?;
        place.registered().await?;
        place.befriend(alice).await?;
        places.push(place);
    }
    for place in &places {
        let (client, player) = (place.client.clone(), alice.player.clone());
        fetches.push(tokio::spawn(async move { client.peer_fetch(&player, None).await }));
    }
    let all = u64_of(scaled(10) * 4 * MIB * receivers);
    // A few seconds suffice for two receivers.
    let enough = (all * 2 / 3).min(LIMIT * 6);
    let ratio = loop {
        let served = alice.client.transfer_list().await?.uploads;
        let ours: Vec<u64> = served
            .iter()
            .filter(|upload| {
                upload.player.as_ref().is_some_and(|player| places.iter().any(|p| p.player == *player))
            })
            .map(|upload| upload.bytes)
            .collect();
        if ours.len() == receivers && ours.iter().sum::<u64>() >= enough {
            let (least, most) = (ours.iter().min(), ours.iter().max());
            break f64_of(least.copied().unwrap_or(0)) / f64_of(most.copied().unwrap_or(1));
        }
        anyhow::ensure!(
            !fetches.iter().all(tokio::task::JoinHandle::is_finished),
            "they were done too early"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    for fetch in fetches {
        fetch.abort();
    }
    Ok(ratio)
}

fn report(rounds: &[Round]) {
    let of = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let title = format!("limits: {} MiB/s, {} MiB; {} rounds", LIMIT >> 20, scaled(10) * 4, rounds.len());
    let mut table = Table::new(&title, &["", "achieved / limit"]);
    type Pick = fn(&Round) -> f64;
    let cases: [(&str, Pick); 5] = [
        ("upload, all", |r| r.up),
        ("upload, each", |r| r.peer_up),
        ("download, all", |r| r.down),
        ("download, each", |r| r.peer_down),
        ("upload, all, 64 KiB/s", |r| r.low),
    ];
    for (name, value) in cases {
        table.row([name.to_owned(), of(value).to_string()]);
    }
    drop(table);
    for (name, value) in cases {
        judge(&format!("{name}: never above"), of(value), Floor::AtMost(1.02));
        judge(&format!("{name}: made use of"), of(value), Floor::AtLeast(0.9));
    }
    judge("smallest to largest share of 2 receivers", of(|r| r.two), Floor::AtLeast(0.9));
    judge("smallest to largest share of 8 receivers", of(|r| r.eight), Floor::AtLeast(0.9));
}
