//! NAT traversal across the simulated network: two machines with their STUN clients, a phone book with STUN and a relay.

mod book;
mod kinds;
mod pairs;
mod peer;
mod renewal;
mod special;
mod switching;
mod table;
mod timing;
mod world;

use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

/// Seeds of each case: few, or as many as `FYTECLUB_NETSIM_SEEDS` says.
fn seeds(few: u64) -> u64 {
    std::env::var("FYTECLUB_NETSIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(few)
}

/// The 95th of 100.
fn p95(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[(times.len() * 95).div_ceil(100) - 1]
}
