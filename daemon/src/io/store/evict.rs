//! The limit: what goes when something else has to fit. Never what is pinned, read from or written to.

use super::{Inner, Store, blobs::remove, error::StoreError, name, os, state::Victim};

/// What had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evicted {
    pub files: u64,
    pub bytes: u64,
}

/// Room that is left on the disk for the index, temps and everybody else.
const DISK_MARGIN: u64 = 1024 * 1024;

impl Inner {
    /// Evicts the longest unused until `wanted` bytes are free, or nothing at all when that many cannot be.
    fn evict(&self, wanted: u64) -> Result<Evicted, StoreError> {
        let mut freed = Evicted::default();
        if wanted == 0 {
            return Ok(freed);
        }
        let victims = self.state().victims();
        if victims.iter().map(|victim| victim.size).sum::<u64>() < wanted {
            return Ok(freed);
        }
        for victim in victims {
            if freed.bytes >= wanted {
                break;
            }
            match self.evict_one(&victim) {
                Ok(true) => {
                    freed.files += 1;
                    freed.bytes += victim.size;
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "could not evict {}", victim.hash),
            }
        }
        Ok(freed)
    }

    fn evict_one(&self, victim: &Victim) -> Result<bool, StoreError> {
        if !victim.partial {
            return self.remove_blob(&victim.hash, |state| state.evictable(victim));
        }
        let _name = self.name(&victim.hash);
        let mut state = self.state();
        if !state.evictable(victim) {
            return Ok(false);
        }
        let Some(part) = state.remove_part(&victim.hash) else { return Ok(false) };
        drop(state);
        remove(&self.partial_dir.join(name::have_name(&victim.hash, part.ext)))?;
        remove(&self.partial_dir.join(name::part_name(&victim.hash, part.ext)))?;
        Ok(true)
    }

    /// Brings the cache back under its limit as far as what is in use allows.
    pub(super) fn trim(&self) -> Result<(), StoreError> {
        let (over, can_go) = {
            let state = self.state();
            let over = state.bytes.saturating_sub(self.cache_limit);
            if over == 0 {
                return Ok(());
            }
            (over, state.victims().iter().map(|victim| victim.size).sum::<u64>())
        };
        self.evict(over.min(can_go)).map(drop)
    }
}

impl Store {
    /// Makes room for `bytes` that are about to come: evicts until they fit in the limit and on the disk. Pin first what
    /// must stay. Books nothing: whoever fetches several looks at once asks for the sum.
    ///
    /// # Errors
    /// `TooLarge` when they cannot fit beside what is in use, `DiskFull` when the disk has no room even so. Nothing is
    /// evicted then.
    pub fn reserve(&self, bytes: u64) -> Result<Evicted, StoreError> {
        let inner = &*self.0;
        let (held, can_go) = {
            let state = inner.state();
            let can_go = state.victims().iter().map(|victim| victim.size).sum::<u64>();
            (state.bytes, can_go)
        };
        let over_limit = held.saturating_add(bytes).saturating_sub(inner.cache_limit);
        let in_use = held.saturating_sub(can_go);
        if over_limit > can_go {
            return Err(StoreError::TooLarge { needed: bytes, limit: inner.cache_limit, in_use });
        }
        let free = os::free_space(&inner.blobs_dir).unwrap_or(u64::MAX);
        let over_disk = bytes.saturating_add(DISK_MARGIN).saturating_sub(free);
        let disk_full = || StoreError::DiskFull { path: inner.blobs_dir.clone() };
        if bytes > 0 && over_disk > can_go {
            return Err(disk_full());
        }
        let wanted = over_limit.max(if bytes > 0 { over_disk } else { 0 });
        let freed = inner.evict(wanted)?;
        if freed.bytes < wanted {
            // What could go a moment ago is in use now.
            return Err(StoreError::TooLarge { needed: bytes, limit: inner.cache_limit, in_use });
        }
        // Partials are counted whole but hold less, and others write to the disk too.
        match os::free_space(&inner.blobs_dir) {
            Some(free) if bytes > 0 && free < bytes => Err(disk_full()),
            _ => Ok(freed),
        }
    }
}
