//! The limit: what goes when something else has to fit. Never what is pinned, read from or written to.

use super::{Inner, MIN_FREE, MIN_FREE_SHARE, Store, error::StoreError, os, state::Victim};
use std::path::Path;

/// What had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evicted {
    pub files: u64,
    pub bytes: u64,
}

/// The disk with the cache: how much room it has, and how much of that is not the cache's to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub free: u64,
    /// Bytes that stay free: what a person set, or what is usual.
    pub floor: u64,
}

impl Disk {
    pub fn is_low(&self) -> bool {
        self.free < self.floor
    }

    /// Free bytes from which on a disk that was low is not so any more: apart from the bound, so that it does not
    /// become both by turns.
    fn comfortable(&self) -> u64 {
        self.floor.saturating_add(self.floor / 8)
    }

    pub fn is_comfortable(&self) -> bool {
        self.free >= self.comfortable()
    }
}

/// Room that is left on the disk for the index and temps whatever a person says.
const DISK_MARGIN: u64 = 1024 * 1024;

impl Inner {
    /// How the disk with this folder stands.
    pub(super) fn disk_of(&self, dir: &Path) -> Option<Disk> {
        let os::Room { free, total } = os::room(dir)?;
        let floor = self.config.min_free.unwrap_or_else(|| MIN_FREE.min(total / MIN_FREE_SHARE));
        Some(Disk { free, floor: floor.max(DISK_MARGIN) })
    }

    /// Evicts the longest unused until `wanted` bytes are free, or nothing at all when that many cannot be. Files that
    /// cannot be removed are passed over; tells of the last one.
    pub(super) fn evict(&self, wanted: u64) -> Result<(Evicted, Option<StoreError>), StoreError> {
        let (mut freed, mut failed) = (Evicted::default(), None);
        if wanted == 0 {
            return Ok((freed, failed));
        }
        // Else files that are away would be forgotten.
        self.stand()?;
        let victims = self.state().victims();
        if victims.iter().map(|victim| victim.size).sum::<u64>() < wanted {
            return Ok((freed, failed));
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
                Err(error) => {
                    tracing::debug!(%error, "could not evict {}", victim.hash);
                    failed = Some(error);
                }
            }
        }
        Ok((freed, failed))
    }

    pub(super) fn evict_one(&self, victim: &Victim) -> Result<bool, StoreError> {
        if !victim.partial {
            return self.remove_blob(&victim.hash, |state| state.evictable(victim));
        }
        let _name = self.name(&victim.hash);
        let mut state = self.state();
        if !state.evictable(victim) {
            return Ok(false);
        }
        let Some(part) = state.remove_part(&victim.content()) else { return Ok(false) };
        drop(state);
        self.here().remove_part(&victim.content(), part.ext)?;
        Ok(true)
    }

    /// Brings the cache back under its limit as far as what is in use allows.
    pub(super) fn trim(&self) -> Result<(), StoreError> {
        let (over, can_go) = {
            let state = self.state();
            let over = state.bytes.saturating_sub(self.config.cache_limit);
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
    /// `TooLarge` when they cannot fit beside what is in use, `DiskFull` when the disk has no room even so, `Away`.
    /// Nothing is evicted then.
    pub fn reserve(&self, bytes: u64) -> Result<Evicted, StoreError> {
        let inner = &*self.0;
        inner.stand()?;
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
        let disk = self.disk();
        let over_disk =
            disk.as_ref().map_or(0, |disk| bytes.saturating_add(disk.floor).saturating_sub(disk.free));
        let path = || inner.here().blobs.clone();
        if let Some(Disk { free, floor, .. }) = disk
            && bytes > 0
            && over_disk > can_go
        {
            return Err(StoreError::DiskLow { path: path(), needed: bytes, free, floor });
        }
        let wanted = over_limit.max(if bytes > 0 { over_disk } else { 0 });
        let (freed, failed) = inner.evict(wanted)?;
        if freed.bytes < wanted {
            // What could go a moment ago is in use now, or stays.
            let limit = inner.config.cache_limit;
            return Err(failed.unwrap_or(StoreError::TooLarge { needed: bytes, limit, in_use }));
        }
        // Partials are counted whole but hold less, and others write to the disk too.
        match self.disk() {
            Some(disk) if bytes > 0 && disk.free < bytes => Err(StoreError::DiskFull { path: path() }),
            _ => Ok(freed),
        }
    }

    /// Makes room on the disk for `bytes` that somebody is about to write beside the blobs, and leaves what has to stay
    /// free: evicts what may go where it must.
    ///
    /// # Errors
    /// `DiskLow` when they do not fit even so.
    pub fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        let short = |disk: &Disk| bytes.saturating_add(disk.floor).saturating_sub(disk.free);
        let Some(disk) = self.disk().filter(|disk| short(disk) > 0) else { return Ok(()) };
        self.0.evict(short(&disk))?;
        match self.disk().filter(|disk| short(disk) > 0) {
            None => Ok(()),
            Some(Disk { free, floor }) => {
                let path = self.0.here().blobs.clone();
                Err(StoreError::DiskLow { path, needed: bytes, free, floor })
            }
        }
    }

    /// Whether so many bytes fit in the limit and on the disk without anything having to go. Books nothing.
    pub fn has_room(&self, bytes: u64) -> bool {
        let fits = self.0.state().bytes.saturating_add(bytes) <= self.0.config.cache_limit;
        let after = |disk: Disk| disk.free.saturating_sub(bytes) >= disk.comfortable();
        fits && (bytes == 0 || self.disk().is_none_or(after))
    }

    /// How the cache's disk stands; `None` where nobody says. A disk in the network may take its time to answer.
    pub fn disk(&self) -> Option<Disk> {
        self.0.disk_of(&self.0.here().blobs)
    }

    /// Brings the disk's free space back over its bound, as far as that is in what may go, the longest unused first.
    /// Where there is room enough nothing happens.
    pub fn relieve(&self) -> (Option<Disk>, Evicted) {
        let Some(disk) = self.disk().filter(Disk::is_low) else { return (self.disk(), Evicted::default()) };
        let can_go = self.0.state().victims().iter().map(|victim| victim.size).sum();
        let freed = self.0.evict(disk.comfortable().saturating_sub(disk.free).min(can_go));
        (self.disk(), freed.unwrap_or_default().0)
    }
}
