//! What lies in the place of the store's files and is none of them: it goes, or it is told, and nothing stops for it.

use super::*;
use crate::{
    Verified, Wish,
    os::{STUCK, UNREADABLE},
};
use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

fn opened(dir: &Path) -> (Store, crate::Opened) {
    Store::open(dir, StoreConfig { cache_limit: u64::MAX, min_free: Some(0) }).expect("opens")
}

pub(super) fn verify(store: &Store) -> Verified {
    store.verify(|_, _, _| ControlFlow::Continue(())).unwrap()
}

/// As long as it lives, these can be neither removed, renamed nor replaced.
pub(super) struct Stuck;

impl Stuck {
    pub(super) fn new(paths: &[&Path]) -> Self {
        STUCK.with_borrow_mut(|stuck| stuck.extend(paths.iter().map(|path| path.to_path_buf())));
        Self
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        STUCK.with_borrow_mut(Vec::clear);
        UNREADABLE.with_borrow_mut(Vec::clear);
    }
}

/// A folder, empty or with a file in it, where a file was.
fn become_folder(path: &Path, full: bool) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    if full {
        fs::write(path.join("diary.txt"), b"mine").unwrap();
    }
}

/// Its time tells that it is not as the store left it.
pub(super) fn touch(path: &Path) {
    let time = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn kept(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.kept-1", path.file_name().unwrap().to_str().unwrap()))
}

#[test]
fn folder_in_a_blobs_place_makes_way() {
    for (size, full) in [(500, false), (500, true), (3 * CHUNK_SIZE, false), (3 * CHUNK_SIZE, true)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let blob = bytes(1, size);
        let hash = receive(&store, &blob).unwrap();
        let path = store.path(&hash).unwrap();
        let (looks, puts) = (0, 1);
        for round in [looks, puts] {
            become_folder(&path, full);
            if round == looks {
                assert_eq!(store.find(&hash).unwrap(), None, "{size} {full}");
                assert_eq!((store.stats().files, verify(&store)), (0, Verified::default()));
            }
            receive(&store, &blob).unwrap();
            assert_eq!(store.path(&hash), Some(path.clone()));
            assert_eq!(read(&store, &hash).unwrap(), blob);
            assert_eq!(kept(&path).join("diary.txt").exists(), full, "another's file is not lost");
            if full {
                fs::remove_dir_all(kept(&path)).unwrap();
            }
        }
        // And while the daemon does not run.
        drop(store);
        become_folder(&path, full);
        let (store, found) = opened(dir.path());
        assert_eq!((found.blobs, found.removed, found.lost, path.exists()), (0, 1, 1, false));
        receive(&store, &blob).unwrap();
        assert_eq!(read(&store, &hash).unwrap(), blob);
    }
}

#[test]
fn wrong_file_that_stays_is_missing_and_told() {
    for (size, folder) in [(500, false), (500, true), (3 * CHUNK_SIZE, false), (3 * CHUNK_SIZE, true)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let (blob, other) = (bytes(1, size), bytes(2, 700));
        let (hash, other_hash) = (receive(&store, &blob).unwrap(), receive(&store, &other).unwrap());
        let path = store.path(&hash).unwrap();
        if folder {
            become_folder(&path, true)
        } else {
            fs::write(&path, b"wrong").unwrap()
        }
        let stuck = Stuck::new(&[&path]);
        assert_eq!(store.find(&hash).unwrap(), None);
        assert!(matches!(store.open_hash(&hash, true), Err(ReadError::Gone { .. })));
        let in_the_way = |store: &Store| {
            let obstacles = verify(store).obstacles;
            obstacles.into_iter().map(|obstacle| (obstacle.hash, obstacle.path)).collect::<Vec<_>>()
        };
        assert_eq!(in_the_way(&store), [(hash, path.clone())]);
        // A start goes on.
        drop(store);
        let (store, found) = opened(dir.path());
        assert_eq!((found.blobs, found.foreign), (1, 1));
        assert_eq!(in_the_way(&store), [(hash, path.clone())]);
        // The blob is stored beside it, also for another start.
        receive(&store, &blob).unwrap();
        let beside = store.path(&hash).unwrap();
        assert_ne!(beside, path);
        drop(store);
        let (store, found) = opened(dir.path());
        assert_eq!((found.blobs, found.foreign, store.path(&hash)), (2, 1, Some(beside)));
        for (hash, blob) in [(hash, &blob), (other_hash, &other)] {
            assert_eq!(&read(&store, &hash).unwrap(), blob);
        }
        store.checkpoint().unwrap();
        drop(stuck);
        assert_eq!((in_the_way(&store), path.exists()), (Vec::new(), false));
        assert_eq!(read(&store, &hash).unwrap(), blob);
    }
}

#[test]
fn names_that_cannot_be_had_fail_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for size in [500, 3 * CHUNK_SIZE] {
        let blob = bytes(1, size);
        let hash = receive(&store, &blob).unwrap();
        let path = store.path(&hash).unwrap();
        let beside = path.with_extension("bin");
        for path in [&path, &beside] {
            fs::write(path, b"wrong").unwrap();
        }
        let stuck = Stuck::new(&[&path, &beside]);
        for _ in 0..3 {
            let error = receive(&store, &blob).unwrap_err();
            let told = error.to_string();
            assert!(matches!(error, StoreError::Undeletable { .. }), "{told}");
            assert!(told.contains(path.to_str().unwrap()) && told.contains("cache move"), "{told}");
            assert!(!error.is_lost() && !store.contains(&hash));
        }
        drop(store.partial(hash, size as u64, "mdl").err());
        receive(&store, &bytes(9, 100)).unwrap();
        store.checkpoint().unwrap();
        drop(stuck);
        receive(&store, &blob).unwrap();
        assert_eq!(read(&store, &hash).unwrap(), blob);
    }
}

#[test]
fn folder_in_a_partials_place_makes_way() {
    let dir = tempfile::tempdir().unwrap();
    let blob = bytes(1, 4 * CHUNK_SIZE);
    let mut store = open(dir.path());
    for restart in [false, true] {
        assert!(!receive_chunks(&store, &blob, [0, 1]).unwrap());
        for name in files_in(&dir.path().join("partial")).iter().filter(|name| !name.contains(".kept-")) {
            become_folder(&dir.path().join("partial").join(name), true);
        }
        if restart {
            drop(store);
            store = open(dir.path());
        }
        receive(&store, &blob).unwrap();
        assert_eq!(read(&store, &tree(&blob).hash()).unwrap(), blob);
        store.collect(Wish { to: Some(0), older_than: None }).unwrap();
    }
}

#[test]
fn leftovers_that_stay_do_not_stop_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let blob = bytes(1, 3 * CHUNK_SIZE);
    let hash = tree(&blob).hash();
    drop(open(dir.path()));
    let partial = dir.path().join("partial");
    let names = [format!("{}.{}.mdl.part", hash.hex(), blob.len()), format!("{}.7.mdl.have", hash.hex())];
    let [part, have] = names.map(|name| partial.join(name));
    let temp = partial.join("17.tmp");
    for path in [&part, &have, &temp] {
        fs::write(path, b"wrong").unwrap();
    }
    let stuck = Stuck::new(&[&part, &have, &temp]);
    let (store, found) = opened(dir.path());
    assert_eq!((found.blobs, found.partials), (0, 0));
    drop(stuck);
    receive(&store, &blob).unwrap();
    assert_eq!(read(&store, &hash).unwrap(), blob);
    drop(store);
    // A complete part that cannot get its name now gets it later.
    let store = open(dir.path());
    store.collect(Wish { to: Some(0), older_than: None }).unwrap();
    drop(store);
    fs::write(&part, &blob).unwrap();
    let blobs = ["mdl", "bin"].map(|ext| dir.path().join("blobs").join(format!("{}.{ext}", hash.hex())));
    blobs.iter().for_each(|path| fs::write(path, b"wrong").unwrap());
    let stuck = Stuck::new(&[&blobs[0], &blobs[1]]);
    assert_eq!(opened(dir.path()).1.blobs, 0);
    drop(stuck);
    assert_eq!(opened(dir.path()).1.blobs, 1);
}

#[test]
fn one_file_that_stays_does_not_keep_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), 10_000);
    let hashes: Vec<_> = (0..10).map(|n| receive(&store, &bytes(n, 1_000)).unwrap()).collect();
    let stuck = Stuck::new(&[&store.path(&hashes[0]).unwrap()]);
    store.reserve(3_000).unwrap();
    assert_eq!(store.stats().files, 7);
    let told = store.reserve(10_000).unwrap_err().to_string();
    assert!(told.contains(&hashes[0].hex()), "{told}");
    let collected = store.collect(Wish { to: Some(0), older_than: None }).unwrap();
    assert_eq!(collected.bytes_left, 1_000);
    store.checkpoint().unwrap();
    drop(stuck);
    assert_eq!(read(&store, &hashes[0]).unwrap(), bytes(0, 1_000));
}

#[test]
fn the_cache_moves_past_what_is_in_the_way() {
    let base = tempfile::tempdir().unwrap();
    let [data, there] = ["data", "there"].map(|name| base.path().join(name));
    let store = open(&data);
    let blobs: Vec<_> = (0..6).map(|n| bytes(n, 1_000)).collect();
    let paths: Vec<_> = blobs
        .iter()
        .map(|blob| receive(&store, blob).unwrap())
        .map(|hash| store.path(&hash).unwrap())
        .collect();
    become_folder(&paths[0], true);
    // A file that cannot be renamed is copied; a mount point stays.
    become_folder(&paths[1], true);
    let _stuck = Stuck::new(&[&paths[1], &paths[2]]);
    store.move_to(&there, |_| ControlFlow::Continue(())).unwrap();
    for blob in &blobs[2..] {
        assert_eq!(&read(&store, &tree(blob).hash()).unwrap(), blob);
    }
    for blob in &blobs {
        receive(&store, blob).unwrap();
    }
    assert_eq!(store.stats().files, blobs.len());
    drop(store);
    let store = open(&data);
    for blob in &blobs {
        assert_eq!(&read(&store, &tree(blob).hash()).unwrap(), blob);
    }
}

#[test]
fn start_finishes_a_move_past_what_stays() {
    let base = tempfile::tempdir().unwrap();
    let [data, there] = ["data", "there"].map(|name| base.path().join(name));
    let blobs: Vec<_> = (0..4).map(|n| bytes(n, 1_000)).collect();
    let paths: Vec<_> = {
        let store = open(&data);
        let hashes: Vec<_> = blobs.iter().map(|blob| receive(&store, blob).unwrap()).collect();
        hashes.iter().map(|hash| store.path(hash).unwrap()).collect()
    };
    for folder in ["blobs", "partial"] {
        fs::create_dir_all(there.join(folder)).unwrap();
    }
    fs::write(there.join("fyteclub-cache"), b"").unwrap();
    let note = serde_json::json!({"dir": ".", "renaming": there});
    fs::write(data.join("cache.json"), note.to_string()).unwrap();
    become_folder(&paths[0], true);
    // One file cannot be renamed, a folder neither, and another folder lies where a file goes.
    let _stuck = Stuck::new(&[&paths[0], &paths[1]]);
    fs::create_dir(there.join("blobs").join(paths[2].file_name().unwrap())).unwrap();
    let store = open(&data);
    for blob in &blobs[1..] {
        assert_eq!(&read(&store, &tree(blob).hash()).unwrap(), blob);
    }
    receive(&store, &blobs[0]).unwrap();
    assert_eq!(store.stats().files, blobs.len());
}

/// Makes a folder with a file of another program in it.
fn full_folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join("diary.txt"), b"mine").unwrap();
}

pub(super) fn go(store: &Store, to: &Path) -> Result<crate::Moved, crate::MoveError> {
    store.move_to(to, |_| ControlFlow::Continue(()))
}

/// To the home folder, which need not be empty: `copied` has the files copied, and not renamed.
#[test]
fn folders_in_both_places_do_not_stop_a_move() {
    for copied in [false, true] {
        let base = tempfile::tempdir().unwrap();
        let [data, there] = ["data", "there"].map(|name| base.path().join(name));
        let store = open(&data);
        let blobs: Vec<_> = (0..6).map(|n| bytes(n, 1_000)).collect();
        let hashes: Vec<_> = blobs.iter().map(|blob| receive(&store, blob).unwrap()).collect();
        let half = bytes(99, 4 * CHUNK_SIZE);
        receive_chunks(&store, &half, [0, 2]).unwrap();
        go(&store, &there).unwrap();
        let home = |folder: &str, name: &Path| data.join(folder).join(name.file_name().unwrap());
        let paths: Vec<_> = hashes.iter().map(|hash| store.path(hash).unwrap()).collect();
        let mut parts = files_in(&there.join("partial")).into_iter().filter(|name| name.contains(".part"));
        let part = home("partial", Path::new(&parts.next_back().unwrap()));
        let (first, stuck) = (home("blobs", &paths[0]), home("blobs", &paths[1]));
        [&first, &stuck, &part].into_iter().for_each(|path| full_folder(path));
        // In the old place, one of them in the place of a file that is in use.
        let pin = store.pin([hashes[2]]);
        for path in &paths[2..4] {
            become_folder(path, true);
        }
        let _stuck = Stuck::new(&[&stuck]);
        let cross_disks = data.join("partial/0.tmp");
        let _copied = copied.then(|| Stuck::new(&[&cross_disks]));
        go(&store, &data).unwrap();
        for path in [&first, &part] {
            assert!(kept(path).join("diary.txt").exists(), "{copied}: another's file is not lost");
        }
        let obstacles = verify(&store).obstacles;
        assert_eq!(obstacles.iter().map(|obstacle| &obstacle.path).collect::<Vec<_>>(), [&stuck]);
        assert_ne!(store.path(&hashes[1]).unwrap(), stuck, "{copied}");
        for n in [0, 1, 4, 5] {
            assert_eq!(read(&store, &hashes[n]).unwrap(), blobs[n], "{copied} {n}");
        }
        assert!(receive_chunks(&store, &half, [1, 3]).unwrap());
        assert_eq!(read(&store, &tree(&half).hash()).unwrap(), half);
        for n in [2, 3] {
            receive(&store, &blobs[n]).unwrap();
        }
        // A pin keeps the store.
        drop((pin, store));
        let store = open(&data);
        for (hash, blob) in hashes.iter().zip(&blobs) {
            assert_eq!(&read(&store, hash).unwrap(), blob, "{copied}");
        }
    }
}

#[test]
fn failed_move_names_the_obstacle_and_can_be_repeated() {
    for copied in [false, true] {
        let base = tempfile::tempdir().unwrap();
        let [data, there] = ["data", "there"].map(|name| base.path().join(name));
        let store = open(&data);
        let blobs: Vec<_> = (0..6).map(|n| bytes(n, 1_000)).collect();
        let hashes: Vec<_> = blobs.iter().map(|blob| receive(&store, blob).unwrap()).collect();
        go(&store, &there).unwrap();
        let name = store.path(&hashes[3]).unwrap();
        let name = data.join("blobs").join(name.file_name().unwrap());
        let names = [name.clone(), name.with_extension("bin"), data.join("partial/0.tmp")];
        names[..2].iter().for_each(|name| full_folder(name));
        let stuck = Stuck::new(&[&names[0], &names[1], &names[if copied { 2 } else { 0 }]]);
        for _ in 0..2 {
            let told = go(&store, &data).unwrap_err().to_string();
            assert!(told.contains(name.to_str().unwrap()) && told.contains("remove it yourself"), "{told}");
            for (hash, blob) in hashes.iter().zip(&blobs) {
                assert_eq!(&read(&store, hash).unwrap(), blob, "{copied}");
            }
        }
        drop(stuck);
        go(&store, &data).unwrap();
        assert_eq!((store.stats().files, names[0].is_file()), (blobs.len(), true));
        assert!(kept(&name).join("diary.txt").exists(), "{copied}");
    }
}

/// Its file closes when the cache moves; what another program does to it then is noticed.
#[test]
fn partial_left_behind_by_a_move_begins_anew() {
    let base = tempfile::tempdir().unwrap();
    let [data, there] = ["data", "there"].map(|name| base.path().join(name));
    let store = open(&data);
    let blob = bytes(7, 4 * CHUNK_SIZE);
    let tree = tree(&blob);
    let partial = store.partial(tree.hash(), blob.len() as u64, "mdl").unwrap();
    partial.set_tree(tree.clone()).unwrap();
    let write = |index: u32| {
        let at = index as usize * CHUNK_SIZE;
        partial.write(tree.verify(index, &blob[at..at + CHUNK_SIZE]).unwrap())
    };
    write(0).unwrap();
    go(&store, &there).unwrap();
    let parts = files_in(&there.join("partial"));
    let part = parts.iter().find(|name| name.ends_with(".part")).unwrap();
    become_folder(&there.join("partial").join(part), true);
    assert!(write(1).unwrap_err().is_lost());
    assert!(partial.missing().into_iter().flatten().eq(0..4));
    for index in 0..4 {
        write(index).unwrap();
    }
    assert_eq!(read(&store, &tree.hash()).unwrap(), blob);
}

/// Opened plainly, each of these would keep the start waiting for a pipe's other end.
#[cfg(unix)]
#[test]
fn pipe_in_the_place_of_any_file_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blob = bytes(1, 3 * CHUNK_SIZE);
    let hash = tree(&blob).hash();
    let store = open(dir.path());
    receive(&store, &blob).unwrap();
    let stored = store.path(&hash).unwrap();
    assert!(!receive_chunks(&store, &bytes(2, 4 * CHUNK_SIZE), [0, 1]).unwrap());
    store.checkpoint().unwrap();
    drop(store);
    let pipe = |path: &Path| {
        fs::remove_file(path).ok();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    for name in files_in(&dir.path().join("partial")) {
        pipe(&dir.path().join("partial").join(name));
    }
    for name in ["origins", "checked", "index/conf", "index/db"] {
        pipe(&dir.path().join(name));
    }
    pipe(&stored);
    let (store, found) = opened(dir.path());
    assert!(matches!(found.index, crate::IndexHealth::SetAside(_)), "{:?}", found.index);
    drop(store.scrub());
    for blob in [blob, bytes(2, 4 * CHUNK_SIZE)] {
        receive(&store, &blob).unwrap();
        assert_eq!(read(&store, &tree(&blob).hash()).unwrap(), blob);
    }
    store.checkpoint().unwrap();
    drop(store);
    for name in ["index.lock", "cache.json"] {
        pipe(&dir.path().join(name));
        let refused = Store::open(dir.path(), StoreConfig { cache_limit: u64::MAX, min_free: Some(0) });
        let told = refused.err().expect("refused").to_string();
        assert!(told.contains(&format!("{name} is a named pipe")), "{told}");
        fs::remove_file(dir.path().join(name)).unwrap();
    }
}
