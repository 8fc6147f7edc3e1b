//! Space that is made on request, and a disk with less of it than should stay.

use super::*;
use crate::{Collected, Evicted, Wish};
use std::time::Duration;

const KIB: u64 = 1024;

#[test]
fn gc_evicts_the_longest_unused_but_nothing_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let hashes: Vec<_> = (0..10).map(|n| receive(&store, &bytes(n, 1024)).unwrap()).collect();
    store.touch(&hashes[..1]);
    let _pin = store.pin([hashes[1]]);
    let reader = store.open_hash(&hashes[2], true).unwrap();
    let collected = store.collect(Wish { to: Some(4 * KIB), older_than: None }).unwrap();
    assert_eq!(collected.evicted, Evicted { files: 6, bytes: 6 * KIB });
    assert_eq!((collected.bytes_left, collected.in_use), (4 * KIB, 2 * KIB));
    assert!([0, 1, 2, 9].iter().all(|n| store.contains(&hashes[*n])));
    let collected = store.collect(Wish { to: Some(0), older_than: None }).unwrap();
    assert_eq!((collected.bytes_left, collected.in_use), (2 * KIB, 2 * KIB));
    drop(reader);
    assert_eq!(store.collect(Wish { to: Some(0), older_than: None }).unwrap().bytes_left, KIB);
}

#[test]
fn age_counts_from_the_last_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let hash = receive(&store, &bytes(1, 1024)).unwrap();
    let older = |age| store.collect(Wish { to: None, older_than: Some(age) }).unwrap().evicted.files;
    assert_eq!(older(Duration::from_secs(60)), 0);
    assert!(store.contains(&hash));
    assert_eq!(older(Duration::ZERO), 1);
    assert_eq!(store.collect(Wish::default()).unwrap(), Collected::default());
}

#[test]
fn leftovers_go_and_what_is_under_way_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let under_way = bytes(1, 3 * CHUNK_SIZE);
    receive_chunks(&store, &under_way, [0]).unwrap();
    let partial = dir.path().join("partial");
    let stale = partial.join("new.0");
    fs::create_dir(&stale).unwrap();
    for (path, old) in
        [(stale.join("1.tmp"), true), (partial.join("2.tmp"), true), (partial.join("3.tmp"), false)]
    {
        fs::write(&path, b"half").unwrap();
        if old {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
    }
    let collected = store.collect(Wish::default()).unwrap();
    assert_eq!((collected.unfinished, collected.evicted.files), (2, 0));
    assert!(!stale.exists() && partial.join("3.tmp").exists());
    assert!(receive_chunks(&store, &under_way, [1, 2]).unwrap());
}

#[test]
fn low_disk_evicts_only_what_may_be_evicted() {
    let dir = tempfile::tempdir().unwrap();
    let free = super::super::os::disk_space(dir.path()).unwrap().free;
    // More than the disk has: nothing can be enough.
    let config = StoreConfig { cache_limit: u64::MAX, min_free: Some(free.saturating_mul(2)) };
    let (store, _) = Store::open(dir.path(), config).unwrap();
    let hashes: Vec<_> = (0..4).map(|n| receive(&store, &bytes(n, 1024)).unwrap()).collect();
    let pin = store.pin(hashes[..1].iter().copied());
    assert!(matches!(store.reserve(1), Err(StoreError::DiskLow { .. })));
    assert_eq!(store.stats().files, 4, "nothing goes in vain");
    let (disk, evicted) = store.relieve();
    assert!(disk.is_some_and(|disk| disk.is_low() && !disk.is_comfortable()));
    assert_eq!(evicted.files, 3);
    assert!(store.contains(&hashes[0]));
    drop((pin, store));
    let (store, _) = Store::open(dir.path(), StoreConfig { min_free: Some(0), ..config }).unwrap();
    assert_eq!(store.relieve().1, Evicted::default());
    store.reserve(1).unwrap();
}
