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

pub(crate) fn make_space(inner: &Inner, bytes: u64) -> Result<(), StoreError> {
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

pub(crate) fn has_space(inner: &Inner, bytes: u64) -> bool {
    let fits = inner.state().bytes.saturating_add(bytes) <= inner.config.cache_limit;
    let after = |disk: Disk| disk.free.saturating_sub(bytes) >= disk.comfortable();
    fits && (bytes == 0 || disk(inner).is_none_or(after))
}

pub(crate) fn disk(inner: &Inner) -> Option<Disk> {
    inner.config.disk_of(&inner.site.here().blobs)
}

pub(crate) fn relieve(inner: &Inner) -> (Option<Disk>, Evicted) {
    let Some(low) = disk(inner).filter(Disk::is_low) else { return (disk(inner), Evicted::default()) };
    let can_go = inner.state().victims().iter().map(|victim| victim.size).sum();
    let freed = evict(inner, low.comfortable().saturating_sub(low.free).min(can_go));
    (disk(inner), freed.unwrap_or_default().0)
}
