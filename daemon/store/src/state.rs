//! What the store knows, in memory: blobs, partials, own files, pins, last uses, and what the index has not heard yet.
//!
//! Authoritative while the daemon runs. Pure: no file is touched here, and the lock around it is never held during IO.

use super::{
    name::Ext,
    os::{Likeness, Stamp},
    owners::{BlobOwners, Numbers},
};
use fyteclub_proto::{
    blob::{Blob as Asked, Content, Origin},
    chunk_tree::ChunkTree,
    id::{BlobHash, PeerId},
};
use std::{
    any::Any,
    collections::{HashMap, HashSet},
    hash::Hash,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::SystemTime,
};

/// A complete blob in `blobs/`. 20,000 of them must not be felt, so it is kept small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    /// Microseconds since 1970, made unique so that the order of uses is total.
    pub used: u64,
    /// Of its file, when the store wrote or proved it.
    pub stamp: Stamp,
    pub ext: Ext,
    /// Whether its bytes are known to survive a loss of power.
    pub synced: bool,
    /// Under whose grants it may be lent.
    pub owners: BlobOwners,
}

/// The handle that the writers of an incomplete blob share. The state only asks whether there is one.
pub(super) type Handle = Weak<dyn Any + Send + Sync>;

/// A blob of which only a part is here.
#[derive(Debug)]
pub(super) struct Part {
    pub used: u64,
    pub size: u64,
    pub ext: Ext,
    pub open: Handle,
}

/// A player's own file, served from where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnFile {
    pub hash: BlobHash,
    pub stamp: Stamp,
    /// It was written so shortly before it was hashed that a later write may not show in its time.
    pub young: bool,
}

/// What lies in a blob's place and stays: another's, which can be neither removed nor renamed, or what cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    pub hash: BlobHash,
    pub path: PathBuf,
    /// Why it stays or cannot be read, as the system says.
    pub cause: String,
    /// It may be the blob: it was not read.
    pub unreadable: bool,
}

/// What may be thrown out, oldest use first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Victim {
    pub used: u64,
    pub hash: BlobHash,
    pub size: u64,
    pub partial: bool,
}

impl Victim {
    pub(super) fn content(&self) -> Content {
        Content { hash: self.hash, size: self.size }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub blobs: HashMap<BlobHash, Blob>,
    /// By size as well: until one is whole, looks may differ about it.
    pub parts: HashMap<Content, Part>,
    pub own: HashMap<Arc<Path>, OwnFile>,
    own_of: HashMap<BlobHash, Vec<Arc<Path>>>,
    pins: HashMap<BlobHash, u32>,
    numbers: Numbers,
    /// Of all blobs, and of all partials as if they were complete.
    pub bytes: u64,
    /// Whose rows in the index are to be written or, when they are no longer known here, deleted.
    pub dirty: HashSet<BlobHash>,
    pub dirty_own: HashSet<Arc<Path>>,
    /// Trees that the index has not got yet.
    pub trees: HashMap<BlobHash, Arc<ChunkTree>>,
    /// By the names that they have.
    obstacles: HashMap<(BlobHash, Ext), Obstacle>,
    last_tick: u64,
}

/// A use is written to the index only when the last one is that much older: a look that is shown for hours must not
/// write thousands of rows every few seconds.
const USE_GRAIN_US: u64 = 60_000_000;

/// Entries for which a table may always keep memory.
const SPARE_MIN: usize = 1_024;

impl State {
    /// Now, later than every other tick.
    pub(super) fn tick(&mut self) -> u64 {
        let now = super::os::nanos(SystemTime::now()) / 1_000;
        self.last_tick = u64::try_from(now).unwrap_or(0).max(self.last_tick + 1);
        self.last_tick
    }

    /// Keeps new ticks later than one that was read from the disk.
    pub(super) fn saw_tick(&mut self, used: u64) {
        // A time from the future would make everything after it look like one moment for years: it counts as now.
        let now = u64::try_from(super::os::nanos(SystemTime::now()) / 1_000).unwrap_or(0);
        self.last_tick = self.last_tick.max(used.min(now));
    }

    pub(super) fn insert_blob(&mut self, hash: BlobHash, blob: Blob) {
        self.remove_part(&Content { hash, size: blob.stamp.size });
        self.bytes += blob.stamp.size;
        if let Some(old) = self.blobs.insert(hash, blob) {
            self.bytes -= old.stamp.size;
        }
        self.dirty.insert(hash);
    }

    /// Knows a blob's file by what it is now, if nothing else has changed since it was `before`.
    pub(super) fn renew(&mut self, hash: &BlobHash, before: &Stamp, now: Stamp) -> Option<&Blob> {
        let blob = self.blobs.get_mut(hash).filter(|blob| blob.stamp == *before)?;
        if now != *before {
            (blob.stamp, blob.synced) = (now, blob.synced && now.is_renamed(before));
            self.dirty.insert(*hash);
        }
        Some(blob)
    }

    pub(super) fn remove_blob(&mut self, hash: &BlobHash) -> Option<Blob> {
        let blob = self.blobs.remove(hash)?;
        self.bytes -= blob.stamp.size;
        self.dirty.insert(*hash);
        self.forget_tree(hash);
        Some(blob)
    }

    pub(super) fn insert_part(&mut self, content: Content, part: Part) {
        self.bytes += part.size;
        if let Some(old) = self.parts.insert(content, part) {
            self.bytes -= old.size;
        }
    }

    pub(super) fn remove_part(&mut self, content: &Content) -> Option<Part> {
        let part = self.parts.remove(content)?;
        self.bytes -= part.size;
        Some(part)
    }

    pub(super) fn touch(&mut self, hash: &BlobHash) {
        let now = self.tick();
        if let Some(blob) = self.blobs.get_mut(hash) {
            if now.saturating_sub(blob.used) > USE_GRAIN_US {
                self.dirty.insert(*hash);
            }
            blob.used = now;
        }
    }

    /// Has a blob go before all that was ever used.
    pub(super) fn unused(&mut self, hash: &BlobHash) {
        if let Some(blob) = self.blobs.get_mut(hash) {
            blob.used = 0;
            self.dirty.insert(*hash);
        }
    }

    pub(super) fn insert_own(&mut self, path: Arc<Path>, file: OwnFile) {
        self.remove_own(&path);
        self.own_of.entry(file.hash).or_default().push(path.clone());
        self.dirty_own.insert(path.clone());
        self.own.insert(path, file);
    }

    pub(super) fn remove_own(&mut self, path: &Path) -> Option<OwnFile> {
        let (path, file) = self.own.remove_entry(path)?;
        if let Some(paths) = self.own_of.get_mut(&file.hash) {
            paths.retain(|other| *other != path);
            if paths.is_empty() {
                self.own_of.remove(&file.hash);
                // Its tree may have to leave the index with it.
                self.dirty.insert(file.hash);
                self.forget_tree(&file.hash);
            }
        }
        self.dirty_own.insert(path);
        Some(file)
    }

    fn forget_tree(&mut self, hash: &BlobHash) {
        if !self.knows(hash) {
            self.trees.remove(hash);
        }
    }

    /// The own files with this content, newest first.
    pub(super) fn own_files(&self, hash: &BlobHash) -> Vec<(Arc<Path>, OwnFile)> {
        let paths = self.own_of.get(hash).into_iter().flatten().rev();
        paths.filter_map(|path| Some((path.clone(), *self.own.get(path)?))).collect()
    }

    /// Whether the file at `path`, with the stamp it has now, may be taken for what was indexed without reading it.
    pub(super) fn unchanged_own(&self, path: &Path, now: &Stamp) -> Option<OwnFile> {
        let file = self.own.get(path)?;
        (!file.young && file.stamp.likeness(now) == Likeness::Same).then_some(*file)
    }

    /// Whether a blob of this size is here and came from there, by what was known last.
    pub(super) fn holds(&self, asked: &Asked) -> bool {
        let Content { hash, size } = asked.content;
        let cached = self.blobs.get(&hash).filter(|blob| blob.stamp.size == size);
        match asked.origin {
            Origin::Owner(owner) => {
                let number = self.numbers.of(&owner);
                cached.zip(number).is_some_and(|(blob, number)| blob.owners.contains(number))
            }
            Origin::Own => {
                let mut own = self.own_of.get(&hash).into_iter().flatten();
                cached.is_some()
                    || own.any(|path| self.own.get(path).is_some_and(|file| file.stamp.size == size))
            }
        }
    }

    /// Notes that a cached blob came from this owner; whether that is news.
    pub(super) fn came_from(&mut self, hash: &BlobHash, owner: &PeerId) -> bool {
        let Some(blob) = self.blobs.get_mut(hash) else { return false };
        self.numbers.make(owner).is_some_and(|number| blob.owners.insert(number))
    }

    /// Forgets that anything came from this owner; whether anything had.
    pub(super) fn follow_owner(&mut self, from: &PeerId, to: &PeerId) -> bool {
        self.numbers.rename(from, to)
    }

    pub(super) fn forget_owner(&mut self, owner: &PeerId) -> bool {
        let Some(number) = self.numbers.of(owner) else { return false };
        self.blobs.values_mut().map(|blob| blob.owners.remove(number)).fold(false, |any, was| any | was)
    }

    /// Every cached blob with each owner that it came from, the oldest first.
    pub(super) fn origins(&self) -> Vec<(BlobHash, PeerId)> {
        let of_blob = |(hash, blob): (&BlobHash, &Blob)| {
            let mut owners: Vec<_> =
                blob.owners.iter().filter_map(|number| Some((*hash, self.numbers.peer(number)?))).collect();
            owners.reverse();
            owners
        };
        self.blobs.iter().flat_map(of_blob).collect()
    }

    /// Notes what is in the way of a blob; whether that is news.
    pub(super) fn found_obstacle(&mut self, ext: Ext, obstacle: Obstacle) -> bool {
        self.obstacles.insert((obstacle.hash, ext), obstacle).is_none()
    }

    /// Nothing is in the way there any more.
    pub(super) fn lost_obstacle(&mut self, hash: &BlobHash, ext: Ext) {
        self.obstacles.remove(&(*hash, ext));
    }

    pub(super) fn is_obstacle(&self, hash: &BlobHash, ext: Ext) -> bool {
        self.obstacles.contains_key(&(*hash, ext))
    }

    /// After a move there are none: what was in the way stayed behind.
    pub(super) fn lost_obstacles(&mut self) {
        self.obstacles.clear();
    }

    pub(super) fn obstacles(&self) -> Vec<(Ext, Obstacle)> {
        self.obstacles.iter().map(|((_, ext), obstacle)| (*ext, obstacle.clone())).collect()
    }

    /// In the cache or an own file, by what was known last.
    pub(super) fn knows(&self, hash: &BlobHash) -> bool {
        self.blobs.contains_key(hash) || self.own_of.contains_key(hash)
    }

    pub(super) fn pin(&mut self, hash: BlobHash) {
        *self.pins.entry(hash).or_default() += 1;
    }

    pub(super) fn unpin(&mut self, hash: &BlobHash) {
        if let Some(count) = self.pins.get_mut(hash) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(hash);
            }
        }
    }

    pub(super) fn pinned(&self, hash: &BlobHash) -> bool {
        self.pins.contains_key(hash)
    }

    /// Whether this may be evicted: it is not pinned, and no writer has it open.
    pub(super) fn evictable(&self, victim: &Victim) -> bool {
        let idle = |part: &Part| part.open.strong_count() == 0;
        !self.pinned(&victim.hash)
            && if victim.partial {
                self.parts.get(&victim.content()).is_some_and(idle)
            } else {
                self.blobs.contains_key(&victim.hash)
            }
    }

    /// Everything that may go, in the order in which it goes.
    pub(super) fn victims(&self) -> Vec<Victim> {
        let victim = |hash: &BlobHash, used, size, partial| Victim { used, hash: *hash, size, partial };
        let blobs = self.blobs.iter().map(|(hash, blob)| victim(hash, blob.used, blob.stamp.size, false));
        let parts = self.parts.iter().map(|(at, part)| victim(&at.hash, part.used, part.size, true));
        let mut all: Vec<_> = blobs.chain(parts).filter(|victim| self.evictable(victim)).collect();
        all.sort_unstable();
        all
    }

    /// Complete blobs that are pinned now.
    pub(super) fn pinned_blobs(&self) -> usize {
        self.pins.keys().filter(|hash| self.blobs.contains_key(hash)).count()
    }

    /// Gives back the memory of what has gone: a cache that was emptied holds no table of what was in it.
    pub(super) fn shrink(&mut self) {
        fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
            if map.capacity() > SPARE_MIN.max(4 * map.len()) {
                map.shrink_to(2 * map.len());
            }
        }
        shrink(&mut self.blobs);
        shrink(&mut self.parts);
        shrink(&mut self.own);
        shrink(&mut self.own_of);
        shrink(&mut self.pins);
        shrink(&mut self.trees);
    }

    /// For a new or a recovered index: every row is written again.
    pub(super) fn all_dirty(&mut self) {
        self.dirty.extend(self.blobs.keys());
        self.dirty_own.extend(self.own.keys().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptied_cache_gives_its_memory_back() {
        let mut state = State::default();
        let hash = |n: u32| BlobHash::of(&n.to_le_bytes());
        for n in 0..20_000 {
            let (ext, owners) = (Ext::new("tex"), BlobOwners::default());
            let stamp = Stamp { size: 1, mtime_ns: 0, ctime_ns: 0, id: 0 };
            let blob = Blob { used: 0, stamp, ext, synced: true, owners };
            state.insert_blob(hash(n), blob);
        }
        let full = state.blobs.capacity();
        state.shrink();
        assert_eq!(state.blobs.capacity(), full, "nothing has gone");
        for n in 100..20_000 {
            state.remove_blob(&hash(n));
        }
        state.shrink();
        assert!(state.blobs.capacity() < full / 10, "{} of {full}", state.blobs.capacity());
        assert_eq!((state.blobs.len(), state.bytes), (100, 100));
    }
}
