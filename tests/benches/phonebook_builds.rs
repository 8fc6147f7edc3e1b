//! The phone book of two builds, in the same rounds: lookups of a name that each build's own daemon registered.
//!
//! `FYTECLUB_BENCH_OTHER` names the folder of the other build's `fyteclubd` and `fyteclub-phonebook`.

mod common;

use common::{
    Floor, Spread, Table,
    book::{
        Server,
        load::{self, Line, Load},
        players,
    },
    judge, measured, scaled,
    town::{Process, binaries, other_binaries, runtime},
};
use fyteclub_proto::id::PlayerName;
use std::{net::Ipv4Addr, path::Path, process::Command, time::Duration};

/// Lookups of one build in a round: a second of CPU, which is read in steps of 10 ms.
const LOOKUPS: usize = 100_000;
/// Until a daemon that has started is registered.
const REGISTERS: Duration = Duration::from_secs(20);

struct Build {
    server: Server,
    lookups: Vec<Vec<u8>>,
}

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

fn bench() -> anyhow::Result<()> {
    let Some(other) = other_binaries() else {
        println!("phonebook_builds: SKIPPED: FYTECLUB_BENCH_OTHER names no folder with another build");
        return Ok(());
    };
    let runtime = runtime()?;
    let player: PlayerName = "Alice Ashe@Gilgamesh".parse()?;
    let builds = [binaries()?, other].map(|dir| runtime.block_on(start(&dir, &player)));
    let [ours, other] = builds;
    let builds = [ours?, other?];
    let rounds = measured(|number| {
        let mut round: [Option<Load>; 2] = [None; 2];
        // Which is first changes from round to round.
        for who in [number % 2, (number + 1) % 2] {
            let Build { server, lookups } = &builds[who];
            round[who] = Some(runtime.block_on(load::closed(server, lookups))?);
        }
        Ok(round.map(|load| load.unwrap_or(Load { rate: f64::NAN, cpu: f64::NAN })))
    })?;

    let count = rounds.len();
    let mut table = Table::new(
        &format!("phonebook_builds: {LOOKUPS} lookups of one name; {count} rounds"),
        &["", "lookups/s", "CPU µs each", "MiB at the end"],
    );
    let of = |value: &dyn Fn(&[Load; 2]) -> f64| Spread::of(rounds.iter().map(value));
    for (who, name) in ["FyteClub", "the other build"].into_iter().enumerate() {
        table.row([
            name.to_owned(),
            of(&|round| round[who].rate).to_string(),
            of(&|round| round[who].cpu).to_string(),
            format!("{:.1}", builds[who].server.rss()),
        ]);
    }
    drop(table);
    judge(
        "CPU of a lookup to the other build",
        of(&|[ours, other]| ours.cpu / other.cpu),
        Floor::AtMost(1.03),
    );
    judge(
        "wall of a lookup to the other build",
        of(&|[ours, other]| other.rate / ours.rate),
        Floor::AtMost(1.05),
    );
    Ok(())
}

/// A phone book with one name, whose daemon is gone.
async fn start(dir: &Path, player: &PlayerName) -> anyhow::Result<Build> {
    let server = Server::ours(dir)?;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let daemon = dir.join(format!("fyteclubd{}", std::env::consts::EXE_SUFFIX));
    let player_text = player.to_string();
    let mut command = Command::new(daemon);
    command.arg("run").arg("--data-dir").arg(folder.path());
    command.args(["--player", &player_text, "--listen", "127.0.0.1:0", "--log", "error"]);
    command.args(["--phonebook", &format!("http://{}", server.addr)]);
    command.arg("--ipc").arg(folder.path().join("s.sock"));
    command.env("FYTECLUB_VISIBILITY", "listed");
    for switch in ["UPNP", "NAT_PMP", "LAN"] {
        command.env(format!("FYTECLUB_{switch}"), "false");
    }
    let mut daemon = Process::start(&mut command)?;
    let lookup = players::lookup(player);
    let registered = async {
        // A name that is not registered is answered with another status.
        while Line::connect(server.addr, Ipv4Addr::LOCALHOST.into()).await?.ask(&lookup, "200").await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(REGISTERS, registered).await??;
    // Killed: a daemon that stops takes its name away.
    daemon.kill();
    Ok(Build { server, lookups: vec![lookup; scaled(LOOKUPS)] })
}
