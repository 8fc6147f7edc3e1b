//! What the cache may take: of its own limit, and of its disk.

use super::os;
use std::path::Path;

#[derive(Debug, Clone, Copy)]
pub struct StoreConfig {
    /// Bytes that blobs and partials may take; the player's own files do not count.
    pub cache_limit: u64,
    /// Bytes of the disk that stay free; `None`: [`MIN_FREE`] or a [`MIN_FREE_SHARE`]th of the disk, what is less.
    pub min_free: Option<u64>,
}

/// Below a GiB games and systems fail in ways that no user connects with this cache.
pub const MIN_FREE: u64 = 1 << 30;
/// On a small disk a GiB would be most of what is left: 2 % of it.
pub const MIN_FREE_SHARE: u64 = 50;

/// The disk with the cache: its free space, and how much of that the cache must leave.
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
    pub(crate) fn comfortable(&self) -> u64 {
        self.floor.saturating_add(self.floor / 8)
    }

    pub fn is_comfortable(&self) -> bool {
        self.free >= self.comfortable()
    }
}

/// Space that is left on the disk for the index and temps whatever a person says.
const DISK_MARGIN: u64 = 1024 * 1024;

impl StoreConfig {
    /// How the disk with this folder stands.
    pub(crate) fn disk_of(&self, dir: &Path) -> Option<Disk> {
        let os::DiskSpace { free, total } = os::disk_space(dir)?;
        let floor = self.min_free.unwrap_or_else(|| MIN_FREE.min(total / MIN_FREE_SHARE));
        Some(Disk { free, floor: floor.max(DISK_MARGIN) })
    }
}
