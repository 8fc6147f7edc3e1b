//! A file's stamp vouches for its bytes, and where it does not the bytes are read, once.

use super::*;
use crate::{
    index::make_old,
    os::{OPENED, Stamp},
};
use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

fn opened(dir: &Path) -> (Store, crate::Opened) {
    Store::open(dir, StoreConfig { cache_limit: u64::MAX, min_free: Some(0) }).expect("opens")
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn set_modified(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Waits until the file system's clock, which ticks every few milliseconds, says something else than when `path`
/// changed.
fn wait_for_a_tick(path: &Path) {
    let changed = |path: &Path| Stamp::of_cached(&fs::metadata(path).unwrap()).ctime_ns;
    let probe = tempfile::NamedTempFile::new_in(path.parent().unwrap().parent().unwrap()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        fs::write(probe.path(), b"x").unwrap();
        if changed(probe.path()) > changed(path) {
            return;
        }
        assert!(Instant::now() < deadline, "the clock stands");
    }
}

/// Other bytes of the same size under the same time: written over the file, or in a file that takes its name.
fn bend(path: &Path, in_place: bool) {
    wait_for_a_tick(path);
    let time = modified(path);
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let written = if in_place { path.to_owned() } else { path.with_extension("new") };
    fs::write(&written, bytes).unwrap();
    set_modified(&written, time);
    fs::rename(&written, path).unwrap();
}

/// Whether looks at these find their files, and how many files were read for it.
fn looks(store: &Store, hashes: &[BlobHash]) -> (usize, u32) {
    let before = OPENED.get();
    (hashes.iter().filter(|hash| store.contains(hash)).count(), OPENED.get() - before)
}

#[test]
#[cfg_attr(windows, ignore = "std tells two files of one size and time apart on Unix only")]
fn bytes_changed_under_size_and_time_are_not_served() {
    for (size, in_place) in [(500, true), (500, false), (3 * CHUNK_SIZE, true), (3 * CHUNK_SIZE, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let blob = bytes(1, size);
        let hash = receive(&store, &blob).unwrap();
        let path = store.path(&hash).unwrap();
        for life in 0..2 {
            bend(&path, in_place);
            assert!(matches!(read(&store, &hash), Err(ReadError::Gone { .. })), "{size} {in_place} {life}");
            receive(&store, &blob).unwrap();
            bend(&path, in_place);
            assert_eq!(store.find(&hash).unwrap(), None, "{size} {in_place} {life}");
            receive(&store, &blob).unwrap();
            bend(&path, in_place);
            receive(&store, &blob).unwrap();
            assert_eq!(read(&store, &hash).unwrap(), blob);
            // And while the daemon does not run.
            drop(store);
            if life == 0 {
                bend(&path, in_place);
            }
            let (again, found) = opened(dir.path());
            store = again;
            assert_eq!((found.blobs, found.adopted), (1, 0), "nothing was read");
            assert_eq!(store.contains(&hash), life == 1);
            receive(&store, &blob).unwrap();
        }
        assert_eq!(read(&store, &hash).unwrap(), blob);
    }
}

#[test]
#[cfg_attr(windows, ignore = "std tells two files of one size and time apart on Unix only")]
fn right_bytes_in_another_file_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let hashes: Vec<_> = (0..4).map(|n| receive(&store, &bytes(n, 2_000)).unwrap()).collect();
    let paths: Vec<_> = hashes.iter().map(|hash| store.path(hash).unwrap()).collect();
    assert_eq!(looks(&store, &hashes), (4, 0));
    wait_for_a_tick(&paths[3]);
    let beside = |n: usize| -> PathBuf { dir.path().join(format!("{n}.beside")) };
    // A second name; a second name in the place of the first; a copy with the time of the first.
    fs::hard_link(&paths[0], beside(0)).unwrap();
    fs::rename(&paths[1], beside(1)).unwrap();
    fs::hard_link(beside(1), &paths[1]).unwrap();
    fs::copy(&paths[2], beside(2)).unwrap();
    set_modified(&beside(2), modified(&paths[2]));
    fs::rename(beside(2), &paths[2]).unwrap();
    assert_eq!(looks(&store, &hashes), (4, 3));
    for life in 0..2 {
        assert_eq!(looks(&store, &hashes), (4, 0), "{life}");
        drop(store);
        let (again, found) = opened(dir.path());
        store = again;
        assert_eq!((found.blobs, found.adopted, found.removed), (4, 0, 0));
    }
}

#[test]
fn moves_within_a_disk_are_the_stores_own() {
    let base = tempfile::tempdir().unwrap();
    let [data, there] = ["data", "there"].map(|name| base.path().join(name));
    let store = open(&data);
    let hashes: Vec<_> = (0..10).map(|n| receive(&store, &bytes(n, 2_000)).unwrap()).collect();
    wait_for_a_tick_of(&store, &hashes);
    let pin = store.pin([hashes[0]]);
    store.move_to(&there, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(looks(&store, &hashes), (10, 0));
    drop(pin);
    drop(store);
    let (store, found) = opened(&data);
    assert_eq!((found.blobs, found.adopted), (10, 0));
    // The pinned one lost its second name.
    let (here, read) = looks(&store, &hashes);
    assert!(here == 10 && read <= 1, "{read}");
}

fn wait_for_a_tick_of(store: &Store, hashes: &[BlobHash]) {
    if !cfg!(windows) {
        hashes.iter().for_each(|hash| wait_for_a_tick(&store.path(hash).unwrap()));
    }
}

#[test]
fn index_of_the_last_version_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hashes: Vec<_> = {
        let store = open(dir.path());
        (0..20).map(|n| receive(&store, &bytes(n, 2_000)).unwrap()).collect()
    };
    for cut_short in [false, true] {
        make_old(dir.path(), cut_short);
        let before = OPENED.get();
        let (store, found) = opened(dir.path());
        assert_eq!((found.blobs, found.adopted, found.lost, found.removed), (20, 0, 0, 0));
        assert_eq!(OPENED.get() - before, 0, "a start reads no file");
        assert_eq!(looks(&store, &hashes[..5]), (5, 5), "each is proven when it is needed");
        assert_eq!(looks(&store, &hashes[..5]), (5, 0), "once");
        drop(store);
        let (store, _) = opened(dir.path());
        assert_eq!(looks(&store, &hashes), (20, 15), "and the proof is kept");
    }
}
