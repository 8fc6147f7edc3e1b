//! FyteClub as players run it: two daemons and a phone book.

use super::{
    Contestant, Run, Set,
    common::{
        town::{Daemon, Town},
        usage::Meter,
    },
};
use std::time::Instant;
use tokio::runtime::Runtime;

pub(crate) struct Ours<'a> {
    town: &'a Town,
    runtime: &'a Runtime,
    alice: Daemon,
    set: &'static str,
    bytes: u64,
}

impl<'a> Ours<'a> {
    pub(crate) fn start(town: &'a Town, runtime: &'a Runtime, set: &Set) -> anyhow::Result<Self> {
        let alice = runtime.block_on(async {
            let alice = town.daemon(&format!("Alice {}@Gilgamesh", set.key)).await?;
            alice.publish(&set.folder).await?;
            alice.registered().await?;
            anyhow::Ok(alice)
        })?;
        Ok(Self { town, runtime, alice, set: set.key, bytes: set.bytes() })
    }
}

impl Contestant for Ours<'_> {
    fn name(&self) -> &'static str {
        "FyteClub"
    }

    fn fetch(&mut self, round: usize) -> anyhow::Result<Run> {
        self.runtime.block_on(async {
            let bob = self.town.daemon(&format!("Bob {} {round}@Balmung", self.set)).await?;
            bob.registered().await?;
            bob.befriend(&self.alice).await?;
            let meter = Meter::start([self.alice.pid(), bob.pid()]);
            let began = Instant::now();
            let fetched = bob.client.peer_fetch(&self.alice.player, None).await?;
            let wall = began.elapsed().as_secs_f64();
            let (cpu, peaks) = (meter.cpu().iter().sum(), meter.peaks());
            anyhow::ensure!(fetched.bytes_fetched == self.bytes, "{} bytes came", fetched.bytes_fetched);
            let began = Instant::now();
            let fetched = bob.client.peer_fetch(&self.alice.player, None).await?;
            let again = began.elapsed().as_secs_f64();
            anyhow::ensure!(fetched.bytes_transferred == 0, "{} bytes came twice", fetched.bytes_transferred);
            Ok(Run { wall, cpu, peaks: [peaks[0], peaks[1]], again })
        })
    }
}
