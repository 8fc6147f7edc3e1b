//! Whole stories with real processes, real sockets and real files.
//!
//! A [`Town`] is a phone book and its [`Resident`]s, each a `fyteclubd` with a data folder, all on this machine and all
//! ended with the story, also after a panic. [`mods`] makes their looks, [`hostile`] their attackers. The stories are
//! in `tests/stories`, one module for each subject.

mod counters;
mod disk;
pub mod flood;
mod gate;
pub mod hostile;
mod lan;
pub mod mods;
// It moves threads into other networks.
#[cfg(target_os = "linux")]
pub mod netlab;
mod process;
mod programs;
mod resident;
mod router;
mod slow_path;
mod town;
mod turn;
mod voice;

pub use counters::Counters;
pub use disk::SmallDisk;
pub use gate::{Gate, Passes};
pub use lan::{Lan, Machine};
pub use process::Process;
pub use programs::program;
pub use resident::{Resident, fault};
pub use router::{Router, Speaks, has_program};
pub use slow_path::SlowPath;
pub use town::{Phonebook, Town};
pub use voice::Voice;

use fyteclub_proto::number;
use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The deadline of anything that takes no time: a busy machine is no failure.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for `future`.
///
/// # Panics [`TIMEOUT`] is over.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(result) => result,
        Err(_) => panic!("waited {TIMEOUT:?} in vain: {what}"),
    }
}

/// Polls until there is an answer.
///
/// # Panics [`TIMEOUT`] is over.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// By this machine's clock.
///
/// # Panics
/// Before 1970.
pub fn unix_millis() -> u64 {
    number::millis(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"))
}

/// Reports a skipped story, bypassing the test runner, which hides output.
pub fn skipped(why: &str) {
    use std::io::Write;
    // The message is only a hint.
    writeln!(std::io::stderr(), "SKIPPED: {why}").ok();
}
