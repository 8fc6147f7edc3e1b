//! What is remembered is believed only after a look: files and folders that vanish under the store, and a disk that
//! goes and comes back.

use super::*;
use crate::{Damage, Verified, Wish};
use std::{path::PathBuf, time::SystemTime};

fn verify(store: &Store) -> Result<Verified, StoreError> {
    store.verify(|_, _, _| ControlFlow::Continue(()))
}

fn sizes() -> [usize; 4] {
    [0, 100, CHUNK_SIZE, 3 * CHUNK_SIZE + 5]
}

/// What a player does who empties the cache with the file manager.
fn empty(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap()
        } else {
            fs::remove_file(entry.path()).unwrap()
        }
    }
}

/// Whether everything can be received and read, also after a checkpoint.
fn assert_receives(store: &Store, seed: u64) {
    for size in sizes() {
        let blob = bytes(seed + size as u64, size);
        let hash = receive(store, &blob).unwrap();
        assert_eq!(fs::read(store.path(&hash).unwrap()).unwrap(), blob);
        assert_eq!(read(store, &hash).unwrap(), blob);
    }
    let scratch = store.scratch_path().unwrap();
    fs::write(&scratch, bytes(seed, 77)).unwrap();
    store.import(&scratch, "tex").unwrap();
    store.checkpoint().unwrap();
}

#[test]
fn a_removed_file_is_not_here_and_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for size in sizes() {
        let blob = bytes(1, size);
        let hash = receive(&store, &blob).unwrap();
        let path = store.path(&hash).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!store.contains(&hash), "{size}");
        assert_eq!((store.path(&hash), store.stats().files), (None, 0));
        receive(&store, &blob).unwrap();
        assert_eq!(fs::read(&path).unwrap(), blob);
        // And when nobody has noticed before the bytes come.
        fs::remove_file(&path).unwrap();
        receive(&store, &blob).unwrap();
        assert_eq!(fs::read(&path).unwrap(), blob);
        fs::remove_file(&path).unwrap();
        let scratch = store.scratch_path().unwrap();
        fs::write(&scratch, &blob).unwrap();
        assert_eq!(store.import(&scratch, "tex").unwrap().hash, hash);
        assert_eq!(fs::read(store.path(&hash).unwrap()).unwrap(), blob);
        empty(&dir.path().join("blobs"));
        assert!(!store.contains(&hash));
    }
}

#[test]
fn a_changed_file_is_proven_or_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let [same, other, longer] = [1, 2, 3].map(|seed| bytes(seed, 5_000));
    let hashes = [&same, &other, &longer].map(|blob| receive(&store, blob).unwrap());
    let paths = hashes.map(|hash| store.path(&hash).unwrap());
    fs::write(&paths[0], &same).unwrap();
    fs::write(&paths[1], &same).unwrap();
    fs::write(&paths[2], [&longer[..], b"x"].concat()).unwrap();
    assert_eq!(hashes.map(|hash| store.contains(&hash)), [true, false, false]);
    assert_eq!(paths.each_ref().map(|path| path.exists()), [true, false, false]);
    assert_eq!(store.stats().files, 1);
}

#[test]
fn removed_folders_are_made_again() {
    for folders in [&["blobs", "partial"][..], &["blobs"], &["partial"]] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        assert_receives(&store, 1);
        folders.iter().for_each(|folder| fs::remove_dir_all(dir.path().join(folder)).unwrap());
        assert_receives(&store, 1);
        assert_receives(&store, 2);
        // Emptied, too: the folder of this process is in one of them.
        folders.iter().for_each(|folder| empty(&dir.path().join(folder)));
        assert_receives(&store, 1);
        assert_eq!(verify(&store).unwrap().bad, [], "what was not there was not wrong");
        assert_blobs_right(dir.path());
    }
}

#[test]
fn a_part_that_vanishes_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blob = bytes(1, 3 * CHUNK_SIZE);
    let tree = tree(&blob);
    let write = |partial: &crate::Partial, index: u32| {
        let chunk = blob.chunks(CHUNK_SIZE).nth(index as usize).unwrap();
        partial.write(tree.verify(index, chunk).unwrap())
    };
    let part = |dir: &Path| -> PathBuf {
        let names = files_in(&dir.join("partial"));
        dir.join("partial").join(names.iter().find(|name| name.ends_with(".part")).unwrap())
    };
    // Gone; and another file in its place, which must not become the blob.
    for other in [None, Some(vec![7; blob.len()])] {
        let partial = store.partial(tree.hash(), tree.size(), "mdl").unwrap();
        partial.set_tree(tree.clone()).unwrap();
        write(&partial, 0).unwrap();
        write(&partial, 1).unwrap();
        let path = part(dir.path());
        fs::remove_file(&path).unwrap();
        if let Some(other) = other {
            fs::write(&path, other).unwrap();
        }
        let error = write(&partial, 2).expect_err("its bytes are gone");
        assert!(error.is_lost(), "{error}");
        assert_eq!(partial.missing(), std::iter::once(0..3).collect::<Vec<_>>());
        for index in 0..3 {
            write(&partial, index).unwrap();
        }
        assert!(partial.is_complete());
        assert_eq!(read(&store, &tree.hash()).unwrap(), blob);
        assert_blobs_right(dir.path());
        empty(&dir.path().join("blobs"));
    }
}

/// A cache on a disk of its own, which can be pulled: then its mount point is there, and empty.
struct Town {
    _base: tempfile::TempDir,
    disk: PathBuf,
    pulled: PathBuf,
    store: Store,
    blobs: Vec<Vec<u8>>,
}

impl Town {
    fn new(seed: u64) -> Self {
        let base = tempfile::tempdir().unwrap();
        let [data, disk, pulled] = ["data", "disk", "pulled"].map(|name| base.path().join(name));
        let store = open_with(&data, 1 << 20);
        let blobs: Vec<_> = (seed..seed + 8).map(|seed| bytes(seed, 2_000)).collect();
        for blob in &blobs {
            receive(&store, blob).unwrap();
        }
        store.move_to(&disk, |_| ControlFlow::Continue(())).unwrap();
        receive_chunks(&store, &bytes(99, 3 * CHUNK_SIZE), [0]).unwrap();
        Self { _base: base, disk, pulled, store, blobs }
    }

    fn pull(&self) {
        fs::rename(&self.disk, &self.pulled).unwrap();
        fs::create_dir(&self.disk).unwrap();
    }

    fn put_back(&self) {
        fs::remove_dir(&self.disk).expect("nothing was written below the mount point");
        fs::rename(&self.pulled, &self.disk).unwrap();
    }

    fn hashes(&self) -> Vec<BlobHash> {
        self.blobs.iter().map(|blob| tree(blob).hash()).collect()
    }

    fn assert_whole(&self) {
        for (hash, blob) in self.hashes().iter().zip(&self.blobs) {
            assert_eq!(&read(&self.store, hash).unwrap(), blob);
        }
        assert_eq!((self.store.stats().files, self.store.stats().partials), (self.blobs.len(), 1));
        assert_eq!(verify(&self.store).unwrap().files, self.blobs.len());
    }
}

#[test]
#[cfg_attr(windows, ignore = "a disk that is away takes its letter along")]
fn a_disk_that_is_away_costs_nothing() {
    let away = |error: StoreError| {
        let told = error.to_string();
        assert!(matches!(error, StoreError::Away { .. }), "{told}");
        assert!(told.contains("mount it again") && told.contains("deleted, restart the daemon"), "{told}");
    };
    let town = Town::new(0);
    let store = &town.store;
    let hashes = town.hashes();
    for round in 0..2 {
        town.assert_whole();
        town.pull();
        assert!(store.stats().away);
        for hash in &hashes {
            away(store.find(hash).unwrap_err());
            assert!(!store.contains(hash));
            assert!(matches!(store.open_hash(hash, true), Err(ReadError::Away { .. })));
        }
        away(receive(store, &bytes(50, 100)).unwrap_err());
        away(receive(store, &bytes(51, 2 * CHUNK_SIZE)).unwrap_err());
        away(receive(store, &town.blobs[0]).unwrap_err());
        away(verify(store).unwrap_err());
        away(store.collect(Wish { to: Some(0), older_than: None }).unwrap_err());
        away(store.reserve(1 << 20).unwrap_err());
        away(store.scratch_path().unwrap_err());
        store.checkpoint().unwrap();
        let mut scrub = store.scrub();
        assert!(scrub.is_due(SystemTime::now()) || round > 0);
        assert_eq!(scrub.step(u64::MAX), Damage::default());
        assert!(store.move_to(&town.pulled.with_extension("new"), |_| ControlFlow::Continue(())).is_err());
        assert_eq!(store.stats().files, hashes.len());
        town.put_back();
        assert!(!store.stats().away);
    }
    town.assert_whole();
    assert!(receive_chunks(store, &bytes(99, 3 * CHUNK_SIZE), [1, 2]).unwrap());
}

#[test]
#[cfg_attr(windows, ignore = "a disk that is away takes its letter along")]
fn another_disk_is_not_the_caches() {
    let (town, other) = (Town::new(0), Town::new(20));
    town.pull();
    fs::remove_dir(&town.disk).unwrap();
    // It has a cache, and a mark; and then the right one, copied, as under another number.
    fs::rename(&other.disk, &town.disk).unwrap();
    assert!(town.store.stats().away);
    let same_name = town.hashes()[0];
    assert!(matches!(town.store.find(&same_name), Err(StoreError::Away { .. })));
    // Not even a file of the name that is looked for is touched.
    let file = town.disk.join("blobs").join(format!("{}.tex", same_name.hex()));
    fs::write(&file, b"another's").unwrap();
    assert!(matches!(town.store.find(&same_name), Err(StoreError::Away { .. })));
    fs::remove_file(&file).expect("it is there");
    fs::rename(&town.disk, &other.disk).unwrap();
    copy_dir(&town.pulled, &town.disk);
    assert!(!town.store.stats().away);
    town.assert_whole();
    // The other one has lost its lock meanwhile, and takes it again.
    other.assert_whole();
}

#[test]
fn a_cache_that_is_emptied_by_hand_stays_where_it_is() {
    let town = Town::new(0);
    empty(&town.disk);
    assert!(!town.store.contains(&town.hashes()[0]));
    assert_receives(&town.store, 5);
    assert!(!town.store.stats().away);
}
