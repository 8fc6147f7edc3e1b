//! Making space on request: what is old, what is over a size, and what is abandoned.

use super::{
    error::StoreError,
    evict::{self, Evicted},
    inner::Inner,
    name, os,
    state::Victim,
};
use std::{
    fs, io,
    time::{Duration, SystemTime},
};

/// What is to go. Without anything: what is over the limit, and what is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Until the cache has no more bytes than this.
    pub to: Option<u64>,
    /// Whatever was not used for so long.
    pub older_than: Option<Duration>,
}

/// What went, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    pub evicted: Evicted,
    /// Of those, files that had not come whole; and leftovers that were no files of the cache yet.
    pub unfinished: u64,
    pub bytes_left: u64,
    /// Of what is left, bytes that may not go now.
    pub in_use: u64,
}

/// A blob of which nothing came for so long is not waited for.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// A temporary file is written in seconds.
const TEMP_STALE: Duration = Duration::from_secs(3600);

pub(crate) fn collect(inner: &Inner, wish: Wish) -> Result<Collected, StoreError> {
    inner.site.stand()?.make_again()?;
    let now = inner.state().tick();
    let before = |age: Duration| now.saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
    let (stale, old) = (before(STALE), wish.older_than.map(before));
    let to = wish.to.unwrap_or(u64::MAX).min(inner.config.cache_limit);
    let mut collected = Collected::default();
    let victims = inner.state().victims();
    for victim in victims {
        let due = old.is_some_and(|old| victim.used <= old)
            || (victim.partial && victim.used <= stale)
            || inner.state().bytes > to;
        if due && evict_or_warn(inner, &victim) {
            collected.evicted.files += 1;
            collected.evicted.bytes += victim.size;
            collected.unfinished += u64::from(victim.partial);
        }
    }
    collected.unfinished += sweep_temps(inner)?;
    let state = inner.state();
    collected.bytes_left = state.bytes;
    let can_go: u64 = state.victims().iter().map(|victim| victim.size).sum();
    collected.in_use = state.bytes - can_go;
    Ok(collected)
}

/// One file that cannot be removed does not keep the others.
fn evict_or_warn(inner: &Inner, victim: &Victim) -> bool {
    evict::evict_one(inner, victim).unwrap_or_else(|error| {
        tracing::warn!(%error, "a file stays in the cache");
        false
    })
}

/// Removes what of temporary files was left behind, by this process or by another.
fn sweep_temps(inner: &Inner) -> Result<u64, StoreError> {
    let here = inner.site.here();
    let old = |path: &std::path::Path| {
        let modified = fs::metadata(path).and_then(|found| found.modified()).ok();
        let age = modified.and_then(|then| SystemTime::now().duration_since(then).ok());
        age.is_some_and(|age| age >= TEMP_STALE)
    };
    let mut gone = 0;
    for (name, entry) in os::names(&here.partial)? {
        let path = entry.path();
        if name.starts_with("new.") && path.is_dir() {
            for (_, temp) in os::names(&path)?.filter(|(_, temp)| old(&temp.path())) {
                gone += u64::from(fs::remove_file(temp.path()).is_ok());
            }
            if path != here.new {
                // Only when it is empty.
                fs::remove_dir(&path).ok();
            }
        } else if !name::is_of_part(&name) && old(&path) {
            match fs::remove_file(&path) {
                Ok(()) => gone += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::debug!(%error, "a leftover stays in the cache: {name}"),
            }
        }
    }
    Ok(gone)
}
