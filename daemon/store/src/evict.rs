//! The limit: what goes when something else has to fit. Never what is pinned, read from or written to.

use super::{disk::Disk, error::StoreError, inner::Inner, naming, state::Victim};

/// What had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evicted {
    pub files: u64,
    pub bytes: u64,
}

/// Evicts the longest unused until `wanted` bytes are free, or nothing at all when that many cannot be. Files that
/// cannot be removed are passed over; tells of the last one.
pub(super) fn evict(inner: &Inner, wanted: u64) -> Result<(Evicted, Option<StoreError>), StoreError> {
    let (mut freed, mut failed) = (Evicted::default(), None);
    if wanted == 0 {
        return Ok((freed, failed));
    }
    // Else files that are away would be forgotten.
    inner.site.stand()?;
    let victims = inner.state().victims();
    if victims.iter().map(|victim| victim.size).sum::<u64>() < wanted {
        return Ok((freed, failed));
    }
    for victim in victims {
        if freed.bytes >= wanted {
            break;
        }
        match evict_one(inner, &victim) {
            Ok(true) => {
                freed.files += 1;
                freed.bytes += victim.size;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(%error, "could not evict {}", victim.hash);
                failed = Some(error);
            }
        }
    }
    Ok((freed, failed))
}

pub(super) fn evict_one(inner: &Inner, victim: &Victim) -> Result<bool, StoreError> {
    if !victim.partial {
        return naming::remove_blob(inner, &victim.hash, |state| state.evictable(victim));
    }
    let _name = inner.site.name(&victim.hash);
    let mut state = inner.state();
    if !state.evictable(victim) {
        return Ok(false);
    }
    let Some(part) = state.remove_part(&victim.content()) else { return Ok(false) };
    drop(state);
    inner.site.here().remove_part(&victim.content(), part.ext)?;
    Ok(true)
}

/// Brings the cache back under its limit as far as what is in use allows.
pub(super) fn trim(inner: &Inner) -> Result<(), StoreError> {
    let (over, can_go) = {
        let state = inner.state();
        let over = state.bytes.saturating_sub(inner.config.cache_limit);
        if over == 0 {
            return Ok(());
        }
        (over, state.victims().iter().map(|victim| victim.size).sum::<u64>())
    };
    evict(inner, over.min(can_go)).map(drop)
}

/// Makes room for `bytes` that are about to come: evicts until they fit in the limit and on the disk. Pin first what
/// must stay. Books nothing: whoever fetches several looks at once asks for the sum.
///
/// # Errors
/// `TooLarge` when they cannot fit beside what is in use, `DiskFull` when the disk has no room even so, `Away`.
/// Nothing is evicted then.
pub(crate) fn reserve(inner: &Inner, bytes: u64) -> Result<Evicted, StoreError> {
    inner.site.stand()?;
    let (held, can_go) = {
        let state = inner.state();
        let can_go = state.victims().iter().map(|victim| victim.size).sum::<u64>();
        (state.bytes, can_go)
    };
    let over_limit = held.saturating_add(bytes).saturating_sub(inner.config.cache_limit);
    let in_use = held.saturating_sub(can_go);
    if over_limit > can_go {
        return Err(StoreError::TooLarge { needed: bytes, limit: inner.config.cache_limit, in_use });
    }
    let here = disk(inner);
    let over_disk =
        here.as_ref().map_or(0, |disk| bytes.saturating_add(disk.floor).saturating_sub(disk.free));
    let path = || inner.site.here().blobs.clone();
    if let Some(Disk { free, floor, .. }) = here
        && bytes > 0
        && over_disk > can_go
    {
        return Err(StoreError::DiskLow { path: path(), needed: bytes, free, floor });
    }
    let wanted = over_limit.max(if bytes > 0 { over_disk } else { 0 });
    let (freed, failed) = evict(inner, wanted)?;
    if freed.bytes < wanted {
        // What could go a moment ago is in use now, or stays.
        let limit = inner.config.cache_limit;
        return Err(failed.unwrap_or(StoreError::TooLarge { needed: bytes, limit, in_use }));
    }
    // Partials are counted whole but hold less, and others write to the disk too.
    match disk(inner) {
        Some(disk) if bytes > 0 && disk.free < bytes => Err(StoreError::DiskFull { path: path() }),
        _ => Ok(freed),
    }
}

/// Makes room on the disk for `bytes` that somebody is about to write beside the blobs, and leaves what has to stay
/// free: evicts what may go where it must.
///
/// # Errors
/// `DiskLow` when they do not fit even so.
pub(crate) fn make_room(inner: &Inner, bytes: u64) -> Result<(), StoreError> {
    let short = |disk: &Disk| bytes.saturating_add(disk.floor).saturating_sub(disk.free);
    let Some(full) = disk(inner).filter(|disk| short(disk) > 0) else { return Ok(()) };
    evict(inner, short(&full))?;
    match disk(inner).filter(|disk| short(disk) > 0) {
        None => Ok(()),
        Some(Disk { free, floor }) => {
            let path = inner.site.here().blobs.clone();
            Err(StoreError::DiskLow { path, needed: bytes, free, floor })
        }
    }
}

/// Whether so many bytes fit in the limit and on the disk without anything having to go. Books nothing.
pub(crate) fn has_room(inner: &Inner, bytes: u64) -> bool {
    let fits = inner.state().bytes.saturating_add(bytes) <= inner.config.cache_limit;
    let after = |disk: Disk| disk.free.saturating_sub(bytes) >= disk.comfortable();
    fits && (bytes == 0 || disk(inner).is_none_or(after))
}

/// How the cache's disk stands; `None` where nobody says. A disk in the network may take its time to answer.
pub(crate) fn disk(inner: &Inner) -> Option<Disk> {
    inner.config.disk_of(&inner.site.here().blobs)
}

/// Brings the disk's free space back over its bound, as far as that is in what may go, the longest unused first.
/// Where there is room enough nothing happens.
pub(crate) fn relieve(inner: &Inner) -> (Option<Disk>, Evicted) {
    let Some(low) = disk(inner).filter(Disk::is_low) else { return (disk(inner), Evicted::default()) };
    let can_go = inner.state().victims().iter().map(|victim| victim.size).sum();
    let freed = evict(inner, low.comfortable().saturating_sub(low.free).min(can_go));
    (disk(inner), freed.unwrap_or_default().0)
}
