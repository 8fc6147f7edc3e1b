//! A request to the daemon through the SDK, against a bare Unix socket with frames of the same sizes.

use fyteclub_proto::number::{f64_of, u64_of, usize_of, whole};

mod common;

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

#[cfg(not(unix))]
fn bench() -> anyhow::Result<()> {
    println!("local_api: SKIPPED, the reference is a Unix socket");
    Ok(())
}

#[cfg(unix)]
fn bench() -> anyhow::Result<()> {
    use common::{
        Floor, Spread, Table, judge, measured, scaled,
        town::{Town, runtime},
    };
    use fyteclub_proto::{
        frame,
        local::{Reply, Request},
    };
    use std::time::Instant;

    let calls = scaled(5000);
    let town = Town::start()?;
    let runtime = runtime()?;
    let (daemon, request, answer) = runtime.block_on(async {
        let daemon = town.daemon("Alice Ashe@Gilgamesh").await?;
        daemon.registered().await?;
        let call = serde_json::to_vec(&Request::Status.into_call(1000)?)?;
        let reply = serde_json::to_vec(&Reply::success(1000, &daemon.client.status().await?)?)?;
        anyhow::Ok((daemon, call.len() + frame::HEADER, reply.len() + frame::HEADER))
    })?;
    let mut echo = runtime.block_on(common::echo::Caller::start(&town.path("e.sock"), request, answer))?;
    let (mut ours, mut bare) = (Vec::with_capacity(calls), Vec::with_capacity(calls));
    let rounds = measured(|_| {
        ours.clear();
        bare.clear();
        runtime.block_on(async {
            for _ in 0..calls {
                let began = Instant::now();
                daemon.client.status().await?;
                ours.push(began.elapsed().as_secs_f64() * 1e6);
            }
            for _ in 0..calls {
                let began = Instant::now();
                echo.round_trip().await?;
                bare.push(began.elapsed().as_secs_f64() * 1e6);
            }
            anyhow::Ok(())
        })?;
        let part = |values: &mut Vec<f64>, part: f64| {
            values.sort_by(f64::total_cmp);
            values.get(usize_of(whole(f64_of(u64_of(values.len())) * part))).copied().unwrap_or(f64::NAN)
        };
        Ok([part(&mut ours, 0.5), part(&mut ours, 0.99), part(&mut bare, 0.5), part(&mut bare, 0.99)])
    })?;
    let of = |n: usize| Spread::of(rounds.iter().map(|round: &[f64; 4]| round[n]));
    let title = format!(
        "local_api: status, {request} bytes there and {answer} back; {} rounds of {calls}",
        rounds.len()
    );
    let mut table = Table::new(&title, &["", "p50 µs", "p99 µs"]);
    table.row(["FyteClub, through the SDK".to_owned(), of(0).to_string(), of(1).to_string()]);
    table.row(["bare Unix socket".to_owned(), of(2).to_string(), of(3).to_string()]);
    drop(table);
    let ratio = Spread::of(rounds.iter().map(|round| round[0] / round[2]));
    judge("p50 to the bare socket, goal", ratio, Floor::AtMost(1.5));
    Ok(())
}
