//! Which owners each cached blob came from: in memory with the blob, and in a file beside the index.
//!
//! The file `origins` is a row of records that are only appended, unsynced, as blobs come: like the blobs it survives the
//! death of the process without a checkpoint, which the index would not. Each record has a checksum, so what a loss of
//! power leaves is read as far as it is whole. It is a hint: a lost record means that a blob is not lent until its owner
//! sends it again or proves to have it. A record of a blob that is gone stays true, and leaves at the next rewrite.

use super::{Inner, Store, lock};
use fyteclub_files::{private, trouble::explain};
use fyteclub_proto::{
    blob::{Blob, Content, ORIGINS_MAGIC, Owners, origin_record, read_origins},
    id::{BlobHash, PeerId},
    limit::OWNERS_MAX,
};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// An owner, by the order in which this process met them.
pub(super) type Number = NonZeroU16;
pub(super) type BlobOwners = Owners<Number, OWNERS_MAX>;

/// Owners and their numbers, which are never given twice.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    of: HashMap<PeerId, Number>,
    peers: Vec<PeerId>,
}

impl Numbers {
    pub(super) fn of(&self, owner: &PeerId) -> Option<Number> {
        self.of.get(owner).copied()
    }

    /// `None` when there are no more numbers: what comes from further owners is not lent.
    pub(super) fn make(&mut self, owner: &PeerId) -> Option<Number> {
        if let Some(number) = self.of(owner) {
            return Some(number);
        }
        let number = u16::try_from(self.peers.len() + 1).ok().and_then(Number::new)?;
        self.peers.push(*owner);
        self.of.insert(*owner, number);
        Some(number)
    }

    /// What is known of one key is known of the other from now on, unless that is known by itself.
    pub(super) fn rename(&mut self, from: &PeerId, to: &PeerId) -> bool {
        if self.of.contains_key(to) {
            return false;
        }
        let Some(number) = self.of.remove(from) else { return false };
        self.of.insert(*to, number);
        if let Some(peer) = self.peers.get_mut(usize::from(number.get()) - 1) {
            *peer = *to;
        }
        true
    }

    pub(super) fn peer(&self, number: Number) -> Option<PeerId> {
        self.peers.get(usize::from(number.get()) - 1).copied()
    }
}

/// Records that may be out of date before the file is written anew.
const STALE_MAX: usize = 50_000;

/// The file.
pub(super) struct Origins {
    path: PathBuf,
    open: Mutex<Open>,
}

/// What is known of the file.
#[derive(Default)]
struct Open {
    /// To append to; none when the file has to be written anew first.
    file: Option<File>,
    records: usize,
    /// The log knows that it cannot be written.
    complained: bool,
}

impl Origins {
    /// Reads what the file says. One that cannot be read is empty.
    pub(super) fn open(dir: &Path) -> (Self, Vec<(BlobHash, PeerId)>) {
        let path = dir.join("origins");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let why = explain(&path, &error);
                tracing::warn!("which owners cached files came from cannot be read: {why}");
                Vec::new()
            }
            read => read.unwrap_or_default(),
        };
        let (read, clean) = read_origins(&bytes);
        let file = OpenOptions::new().append(true).open(&path).ok().filter(|_| clean);
        let open = Mutex::new(Open { file, records: read.len(), complained: false });
        (Self { path, open }, read)
    }

    /// Adds records. Unsynced; what cannot be written is lost until the file is written anew.
    fn append(&self, news: &[(BlobHash, PeerId)]) {
        let mut open = lock(&self.open);
        open.records += news.len();
        let Some(file) = &mut open.file else { return };
        let bytes: Vec<u8> = news.iter().flat_map(|(hash, owner)| origin_record(hash, owner)).collect();
        if file.write_all(&bytes).is_err() {
            // Nothing may follow a record that was cut short.
            open.file = None;
        }
    }

    /// Replaces the file by what is so now. The log hears of the first time that it fails.
    fn rewrite(&self, all: &[(BlobHash, PeerId)]) {
        let mut open = lock(&self.open);
        open.file = None;
        let mut bytes = ORIGINS_MAGIC.to_vec();
        bytes.extend(all.iter().flat_map(|(hash, owner)| origin_record(hash, owner)));
        let written = private::write(&self.path, &bytes)
            .and_then(|()| OpenOptions::new().append(true).open(&self.path));
        match written {
            Ok(file) => *open = Open { file: Some(file), records: all.len(), complained: false },
            Err(error) => {
                if !std::mem::replace(&mut open.complained, true) {
                    let why = explain(&self.path, &error);
                    tracing::warn!("which owners cached files came from cannot be written: {why}");
                }
            }
        }
    }
}

impl Inner {
    /// Takes over what the file says of blobs that are here.
    pub(super) fn recover_origins(&self, known: &[(BlobHash, PeerId)]) {
        let mut state = self.state();
        for (hash, owner) in known {
            state.came_from(hash, owner);
        }
        drop(state);
        self.tidy_origins();
    }

    /// Writes the file anew when most of it is out of date, or when nothing can be appended to it.
    pub(super) fn tidy_origins(&self) {
        let (usable, records) = {
            let open = lock(&self.origins.open);
            (open.file.is_some(), open.records)
        };
        if usable && records < STALE_MAX {
            return;
        }
        let all = self.state().origins();
        if !usable || records > STALE_MAX + 2 * all.len() {
            self.origins.rewrite(&all);
        }
    }

    pub(super) fn came_from(&self, owner: &PeerId, hashes: impl IntoIterator<Item = BlobHash>) {
        let mut state = self.state();
        let news: Vec<_> = (hashes.into_iter())
            .filter(|hash| state.came_from(hash, owner))
            .map(|hash| (hash, *owner))
            .collect();
        drop(state);
        if !news.is_empty() {
            self.origins.append(&news);
        }
    }
}

impl Store {
    /// Notes that these blobs, as far as they are in the cache, came from this owner or under their grant, or that the
    /// owner proved to have them: only then. They may be lent under the owner's grants from now on.
    pub fn came_from(&self, owner: &PeerId, hashes: impl IntoIterator<Item = BlobHash>) {
        self.0.came_from(owner, hashes);
    }

    /// Nothing counts as come from this owner any more. In memory at once; then the file is written and synced, so this
    /// is for a thread that may wait.
    pub fn forget_owner(&self, owner: &PeerId) {
        let all = {
            let mut state = self.0.state();
            state.forget_owner(owner).then(|| state.origins())
        };
        if let Some(all) = all {
            self.0.origins.rewrite(&all);
        }
    }

    /// What came from an owner's old key counts as come from the new one. In memory only: [`Store::save_origins`] keeps it.
    /// Whether anything changed.
    pub fn follow_owner(&self, from: &PeerId, to: &PeerId) -> bool {
        self.0.state().follow_owner(from, to)
    }

    /// Writes the file anew and syncs it: for a thread that may wait.
    pub fn save_origins(&self) {
        let all = self.0.state().origins();
        self.0.origins.rewrite(&all);
    }

    /// Whether a blob of this size is here whole and came from there. Looks at files as [`Store::contains`] does.
    pub fn holds(&self, blob: &Blob) -> bool {
        // Twice: what a look finds changed is dropped.
        self.came(blob) && self.contains(&blob.content.hash) && self.came(blob)
    }
}

impl Store {
    /// Whether it is here in this size and came from there, by what was known last.
    pub fn came(&self, blob: &Blob) -> bool {
        self.0.state().holds(blob)
    }

    /// Whether it is in the cache, in this size, wherever it came from. By what was known last.
    pub fn caches(&self, content: &Content) -> bool {
        self.0.state().blobs.get(&content.hash).is_some_and(|blob| blob.stamp.size == content.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_to_an_end_without_being_given_twice() {
        let mut numbers = Numbers::default();
        let peer = |n: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_le_bytes());
            PeerId::from_bytes(bytes)
        };
        for n in 0..u32::from(u16::MAX) {
            let number = numbers.make(&peer(n)).expect("enough");
            assert_eq!(numbers.peer(number), Some(peer(n)));
        }
        assert_eq!(numbers.make(&peer(70_000)), None);
        assert_eq!(numbers.make(&peer(5)), numbers.of(&peer(5)));
    }
}
