//! The cache's limit, and what it never touches.

use super::*;

const KIB: u64 = 1024;

#[test]
fn the_longest_unused_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_with(dir.path(), 10 * KIB);
    let hashes: Vec<_> = (0..10).map(|n| receive(&store, &bytes(n, 1024)).unwrap()).collect();
    store.touch(&hashes[..2]);
    drop(store);
    store = open_with(dir.path(), 10 * KIB);
    store.touch(&hashes[..2]);
    store.reserve(3 * KIB).unwrap();
    let left: Vec<_> = hashes.iter().map(|hash| store.contains(hash)).collect();
    assert_eq!(left, [true, true, false, false, false, true, true, true, true, true]);
    assert_eq!(store.stats().bytes, 7 * KIB);
    assert_eq!(files_in(&dir.path().join("blobs")).len(), 7);
    drop(store);
    let store = open_with(dir.path(), 10 * KIB);
    assert_eq!(store.stats().files, 7);
}

#[test]
fn unused_blobs_are_evicted_first_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_with(dir.path(), 10 * KIB);
    let hashes: Vec<_> = (0..8).map(|n| receive(&store, &bytes(n, 1024)).unwrap()).collect();
    store.unused(&hashes[5..]);
    store.touch(&hashes[7..]);
    drop(store);
    store = open_with(dir.path(), 10 * KIB);
    assert!(store.has_space(2 * KIB) && !store.has_space(2 * KIB + 1) && store.has_space(0));
    assert_eq!(store.stats().files, 8, "to ask makes no space");
    store.reserve(4 * KIB).unwrap();
    let left: Vec<_> = hashes.iter().map(|hash| store.contains(hash)).collect();
    assert_eq!(left, [true, true, true, true, true, false, false, true]);
}

#[test]
fn pinned_and_open_blobs_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), 10 * KIB);
    let hashes: Vec<_> = (0..10).map(|n| receive(&store, &bytes(n, 1024)).unwrap()).collect();
    let pins = (store.pin(hashes[..3].iter().copied()), store.pin([hashes[0]]));
    let reader = store.open_hash(&hashes[3], true).unwrap();
    assert_eq!(store.stats().pinned, 4);
    let refused = store.reserve(7 * KIB);
    assert!(matches!(refused, Err(StoreError::TooLarge { in_use, .. }) if in_use == 4 * KIB));
    assert_eq!(store.stats().files, 10, "nothing is evicted in vain");
    store.reserve(6 * KIB).unwrap();
    assert!(hashes[..4].iter().all(|hash| store.contains(hash)));
    assert_eq!(store.stats().files, 4);
    drop(pins.0);
    drop(reader);
    store.reserve(9 * KIB).unwrap();
    assert!(store.contains(&hashes[0]), "pinned twice");
    drop(pins.1);
    store.reserve(10 * KIB).unwrap();
    assert_eq!(store.stats().bytes, 0);
}

#[test]
fn a_look_larger_than_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), 10 * KIB);
    receive(&store, &bytes(1, 1024)).unwrap();
    for bytes in [10 * KIB + 1, u64::MAX] {
        assert!(matches!(store.reserve(bytes), Err(StoreError::TooLarge { .. })));
    }
    assert_eq!(store.stats().files, 1);
    store.reserve(0).unwrap();
}

#[test]
fn partials_count_and_go_when_nobody_holds_them() {
    let dir = tempfile::tempdir().unwrap();
    let size = 4 * CHUNK_SIZE as u64;
    let store = open_with(dir.path(), 2 * size);
    let (old, new) = (bytes(1, size as usize), bytes(2, size as usize));
    receive_chunks(&store, &old, [0, 1]).unwrap();
    let held = store.partial(tree(&new).hash(), size, "tex").unwrap();
    held.set_tree(tree(&new)).unwrap();
    held.write(tree(&new).verify(0, &new[..CHUNK_SIZE]).unwrap()).unwrap();
    assert_eq!(store.stats().bytes, 2 * size);
    assert!(matches!(store.reserve(size + 1), Err(StoreError::TooLarge { .. })));
    store.reserve(size).unwrap();
    assert_eq!((store.stats().partials, store.stats().bytes), (1, size));
    assert!(!held.missing().is_empty());
    drop(held);
    store.reserve(2 * size).unwrap();
    assert_eq!((store.stats().partials, store.stats().bytes), (0, 0));
    assert!(files_in(&dir.path().join("partial")).is_empty());
}

#[test]
fn a_checkpoint_trims_what_came_without_asking() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), 5 * KIB);
    let hashes: Vec<_> = (0..10).map(|n| receive(&store, &bytes(n, 1024)).unwrap()).collect();
    let pin = store.pin(hashes[..7].iter().copied());
    store.checkpoint().unwrap();
    assert_eq!(store.stats().files, 7, "as far as the pins allow");
    drop(pin);
    store.checkpoint().unwrap();
    assert_eq!(store.stats().bytes, 5 * KIB);
}
