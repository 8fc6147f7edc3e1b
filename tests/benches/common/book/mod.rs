//! The phone book and its references: as processes, under load, with live players and attackers.

pub(crate) mod attack;
pub(crate) mod crowd;
pub(crate) mod hello;
pub(crate) mod load;
pub(crate) mod players;
pub(crate) mod server;

pub(crate) use server::Server;

/// Descriptors that a phone book needs for itself.
const OWN: u64 = 200;

/// Connections that a phone book on this machine can have: two descriptors each, within our limit, which it inherits.
#[cfg(unix)]
pub(crate) fn connections_max() -> usize {
    use rustix::process::{Resource, getrlimit};
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(most.saturating_sub(OWN) / 2).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
pub(crate) fn connections_max() -> usize {
    usize::MAX
}

/// As many connections as wanted, or with a message as many as possible.
pub(crate) fn connections(wanted: usize) -> usize {
    raise_limit();
    let most = connections_max();
    if wanted > most {
        println!("  SCALED DOWN to {most} connections from {wanted}: the limit of open files allows no more");
    }
    wanted.min(most)
}

#[cfg(unix)]
fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
}

#[cfg(not(unix))]
fn raise_limit() {}
