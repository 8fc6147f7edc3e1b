//! Which owners each cached blob came from: in memory with the blob, and in a file beside the index.
//!
//! The file `origins` is a row of records that are only appended, unsynced, as blobs come: like the blobs it survives the
//! death of the process without a checkpoint, which the index would not. Each record has a checksum, so what a loss of
//! power leaves is read as far as it is whole. It is a hint: a lost record means that a blob is not lent until its owner
//! sends it again or proves to have it. A record of a blob that is gone stays true, and leaves at the next rewrite.

use super::{Inner, Store, lock};
use crate::io::private;
use fyteclub_proto::{
    blob::{Blob, Content, Owners},
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

    pub(super) fn peer(&self, number: Number) -> Option<PeerId> {
        self.peers.get(usize::from(number.get()) - 1).copied()
    }
}

const MAGIC: &[u8; 8] = b"FC.orig1";
const SUM: usize = 8;
const RECORD: usize = 32 + 32 + SUM;
/// Records that may be out of date before the file is written anew.
const STALE_MAX: usize = 50_000;

fn record(hash: &BlobHash, owner: &PeerId) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..32].copy_from_slice(hash.as_bytes());
    record[32..64].copy_from_slice(owner.as_bytes());
    let sum = BlobHash::of(&record[..64]);
    record[64..].copy_from_slice(&sum.as_bytes()[..SUM]);
    record
}

fn read_record(bytes: &[u8; RECORD]) -> Option<(BlobHash, PeerId)> {
    let (hash, rest) = bytes.split_first_chunk::<32>()?;
    let (owner, _) = rest.split_first_chunk::<32>()?;
    let read = (BlobHash::from_bytes(*hash), PeerId::from_bytes(*owner));
    (record(&read.0, &read.1) == *bytes).then_some(read)
}

/// The file.
pub(super) struct Origins {
    path: PathBuf,
    open: Mutex<Open>,
}

/// What is known of the file.
#[derive(Default)]
struct Open {
    file: Option<File>,
    records: usize,
}

impl Origins {
    /// Reads what the file says. One that cannot be read is empty.
    pub(super) fn open(dir: &Path) -> (Self, Vec<(BlobHash, PeerId)>) {
        let path = dir.join("origins");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "which owners cached files came from cannot be read");
                Vec::new()
            }
            read => read.unwrap_or_default(),
        };
        let records = bytes.strip_prefix(MAGIC).unwrap_or_default().as_chunks::<RECORD>().0;
        let read: Vec<_> = records.iter().filter_map(read_record).collect();
        (Self { path, open: Mutex::default() }, read)
    }

    /// Adds records. Unsynced, and what cannot be written is said in the log and lost.
    fn append(&self, news: &[(BlobHash, PeerId)]) {
        let mut open = lock(&self.open);
        let Open { file, records } = &mut *open;
        let Some(file) = file else { return };
        let bytes: Vec<u8> = news.iter().flat_map(|(hash, owner)| record(hash, owner)).collect();
        *records += news.len();
        if let Err(error) = file.write_all(&bytes) {
            tracing::warn!(%error, "which owners cached files came from cannot be written");
            // Nothing may follow a record that was cut short.
            open.file = None;
        }
    }

    /// Replaces the file by what is so now.
    fn rewrite(&self, all: &[(BlobHash, PeerId)]) -> io::Result<()> {
        let mut open = lock(&self.open);
        *open = Open::default();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(all.iter().flat_map(|(hash, owner)| record(hash, owner)));
        private::write(&self.path, &bytes)?;
        let file = OpenOptions::new().append(true).open(&self.path)?;
        *open = Open { file: Some(file), records: all.len() };
        Ok(())
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
        self.rewrite_origins();
    }

    fn rewrite_origins(&self) {
        let all = self.state().origins();
        if let Err(error) = self.origins.rewrite(&all) {
            tracing::warn!(%error, "which owners cached files came from cannot be written");
        }
    }

    /// For a checkpoint: writes the file anew when most of it is out of date, or when it could not be written.
    pub(super) fn tidy_origins(&self) {
        let (usable, records) = {
            let open = lock(&self.origins.open);
            (open.file.is_some(), open.records)
        };
        if usable && records < STALE_MAX {
            return;
        }
        let live = self.state().origins().len();
        if !usable || records > STALE_MAX + 2 * live {
            self.rewrite_origins();
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
        if self.0.state().forget_owner(owner) {
            self.0.rewrite_origins();
        }
    }

    /// Whether a blob of this size is here whole and came from there. Looks at files as [`Store::contains`] does.
    pub fn holds(&self, blob: &Blob) -> bool {
        // Two steps: the lock is not held while the disk is asked.
        let known = self.came(blob);
        known && self.contains(&blob.content.hash)
    }
}

impl Store {
    /// Whether it is here in this size and came from there, by what was known last.
    pub fn came(&self, blob: &Blob) -> bool {
        self.0.state().holds(blob)
    }

    /// Whether it is in the cache, in this size, wherever it came from. By what was known last.
    pub fn caches(&self, content: &Content) -> bool {
        self.0.state().blobs.get(&content.hash).is_some_and(|blob| u64::from(blob.size) == content.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(n: u8) -> (BlobHash, PeerId) {
        (BlobHash::of(&[n]), PeerId::from_bytes([n; 32]))
    }

    #[test]
    fn records_before_a_torn_or_bent_one_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let (origins, none) = Origins::open(dir.path());
        assert!(none.is_empty());
        origins.rewrite(&[pair(1)]).expect("written");
        origins.append(&[pair(2), pair(3)]);
        let all = |dir: &Path| Origins::open(dir).1;
        assert_eq!(all(dir.path()), [pair(1), pair(2), pair(3)]);
        let path = dir.path().join("origins");
        let mut bytes = fs::read(&path).expect("there");
        bytes[MAGIC.len() + RECORD + 40] ^= 1;
        bytes.extend([0; RECORD + 5]);
        fs::write(&path, &bytes).expect("written");
        assert_eq!(all(dir.path()), [pair(1), pair(3)], "a bent owner is no owner");
        fs::write(&path, b"something else").expect("written");
        assert_eq!(all(dir.path()), []);
    }

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
