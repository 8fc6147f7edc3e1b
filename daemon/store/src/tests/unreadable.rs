//! Files of the store that cannot be read: they may be right, and are told apart from damaged ones and from what is in
//! the way.

use super::{
    obstacle::{Stuck, go, touch, verify},
    *,
};
use crate::{Obstacle, Verified, Wish, os::UNREADABLE};
use std::io;

#[test]
fn unreadable_file_is_fetched_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for size in [500, 3 * CHUNK_SIZE] {
        let blob = bytes(1, size);
        let hash = receive(&store, &blob).unwrap();
        let path = store.path(&hash).unwrap();
        touch(&path);
        UNREADABLE.with_borrow_mut(|paths| paths.push(path.clone()));
        let readable = Stuck;
        assert_eq!(store.find(&hash).unwrap(), None);
        let told = Verified { unreadable: vec![unreadable(hash, &path)], ..Verified::default() };
        assert_eq!(verify(&store), told, "neither damaged nor in the way");
        receive(&store, &blob).unwrap();
        assert_eq!(store.path(&hash), Some(path.clone()));
        drop(readable);
        assert_eq!(read(&store, &hash).unwrap(), blob);
        assert_eq!(verify(&store).obstacles, []);
        // Or it can be read again before the blob comes, and is it.
        touch(&path);
        UNREADABLE.with_borrow_mut(|paths| paths.push(path.clone()));
        let readable = Stuck;
        assert_eq!(store.find(&hash).unwrap(), None);
        drop(readable);
        assert_eq!(verify(&store).unreadable, []);
        assert_eq!(read(&store, &hash).unwrap(), blob);
        // Or nobody has looked at it before.
        UNREADABLE.with_borrow_mut(|paths| paths.push(path.clone()));
        let readable = Stuck;
        assert_eq!(verify(&store), told);
        drop(readable);
        assert_eq!(verify(&store).files, 1);
        store.collect(Wish { to: Some(0), older_than: None }).unwrap();
    }
}

fn unreadable(hash: BlobHash, path: &Path) -> Obstacle {
    let cause = io::Error::from(io::ErrorKind::PermissionDenied).to_string();
    Obstacle { hash, path: path.to_owned(), cause, unreadable: true }
}

/// To another disk, where each file is read.
#[test]
fn moved_cache_tells_the_unreadable_apart() {
    let Some(disk) = full_disk::SmallDisk::mount(64, "moved_cache_tells_the_unreadable_apart") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let hashes: Vec<_> = (0..3).map(|n| receive(&store, &bytes(n, 1_000)).unwrap()).collect();
    let paths: Vec<_> = hashes.iter().map(|hash| store.path(hash).unwrap()).collect();
    fs::write(&paths[0], bytes(9, 1_000)).unwrap();
    UNREADABLE.with_borrow_mut(|unreadable| unreadable.push(paths[1].clone()));
    let _readable = Stuck;
    let moved = go(&store, &disk.path().join("cache")).unwrap();
    assert_eq!((moved.bad, moved.unreadable), (vec![hashes[0]], vec![unreadable(hashes[1], &paths[1])]));
    assert_eq!(store.stats().files, 1);
}
