//! Moving: everything arrives, what will not do is refused, and a crash at any step loses nothing.

use super::*;
use crate::{MoveError, Moved, cache_dir};
use std::{path::PathBuf, time::SystemTime};

fn go(store: &Store, to: &Path) -> Result<Moved, MoveError> {
    store.move_to(to, |_| ControlFlow::Continue(()))
}

/// Small and large ones, and one that is not whole.
fn fill(store: &Store) -> Vec<Vec<u8>> {
    let blobs: Vec<_> =
        (0..60).map(|n| bytes(n, if n % 9 == 0 { 2 * CHUNK_SIZE + 9 } else { 500 })).collect();
    for blob in &blobs {
        receive(store, blob).unwrap();
    }
    receive_chunks(store, &half(), [0, 2]).unwrap();
    blobs
}

fn half() -> Vec<u8> {
    bytes(999, 4 * CHUNK_SIZE)
}

fn assert_whole(store: &Store, blobs: &[Vec<u8>]) {
    for blob in blobs {
        assert_eq!(&read(store, &tree(blob).hash()).unwrap(), blob);
    }
    assert_eq!(store.stats().files, blobs.len());
}

/// Windows may write the same folder in several ways.
fn whole(path: &Path) -> PathBuf {
    dunce::canonicalize(path).unwrap()
}

#[test]
fn everything_arrives_and_is_found_again() {
    let base = tempfile::tempdir().unwrap();
    let (data, there) = (base.path().join("data"), base.path().join("there/deeper"));
    let store = open(&data);
    let blobs = fill(&store);
    let shown = store.path(&tree(&blobs[3]).hash()).unwrap();
    let pin = store.pin([tree(&blobs[3]).hash()]);
    let reader = store.open_hash(&tree(&blobs[0]).hash(), true).unwrap();
    let moved = go(&store, &there).unwrap();
    assert_eq!((moved.files, moved.kept), (60, 2));
    assert_whole(&store, &blobs);
    assert!(shown.exists(), "who has it open by its old name keeps it");
    assert!(whole(&store.path(&tree(&blobs[3]).hash()).unwrap()).starts_with(whole(&there)));
    let mut chunk = Vec::new();
    reader.read_chunk(2, &mut chunk).unwrap();
    assert_eq!(chunk, blobs[0][2 * CHUNK_SIZE..]);
    assert_blobs_right(&there);
    assert!(matches!(go(&store, &data), Err(MoveError::Leaving { .. })));
    // A blob that was half there goes on.
    assert!(receive_chunks(&store, &half(), [1, 3]).unwrap());
    let mut blobs = blobs;
    blobs.push(half());
    store.checkpoint().unwrap();
    drop((pin, reader, store));
    assert_eq!(whole(&cache_dir(&data)), whole(&there));
    let (store, opened) =
        Store::open(&data, StoreConfig { cache_limit: u64::MAX, min_free: Some(0) }).unwrap();
    assert_eq!((opened.blobs, opened.adopted, opened.removed), (61, 0, 0));
    assert!(!shown.exists() && !data.join("blobs").exists(), "the old place is empty");
    assert_whole(&store, &blobs);
    let mut scrub = store.scrub();
    while scrub.is_due(SystemTime::now()) {
        assert!(scrub.step(u64::MAX).is_empty());
    }
    drop(scrub);
    // And home.
    go(&store, &data).unwrap();
    assert_whole(&store, &blobs);
    // Windows keeps a folder as long as somebody has it open.
    assert!(cfg!(windows) || !there.exists());
    drop(store);
    assert_whole(&open(&data), &blobs);
}

#[test]
fn a_place_that_will_not_do_is_refused_and_left_alone() {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("data");
    let store = open(&data);
    let blobs = fill(&store);
    let full = base.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("diary.txt"), b"mine").unwrap();
    let refused = go(&store, &full).unwrap_err();
    assert!(matches!(refused, MoveError::NotEmpty { .. }) && refused.to_string().contains("diary.txt"));
    for inside in ["inside", "blobs/x", "partial"] {
        assert!(matches!(go(&store, &data.join(inside)), Err(MoveError::Inside { .. })), "{inside}");
    }
    assert!(matches!(go(&store, &data), Err(MoveError::Same { .. })));
    assert!(matches!(go(&store, Path::new("relative")), Err(MoveError::NoPath { .. })));
    let file = full.join("diary.txt");
    assert!(matches!(go(&store, &file), Err(MoveError::NotAFolder { .. })));
    assert!(go(&store, &file.join("x")).is_err());
    assert_eq!(files_in(&full), ["diary.txt"]);
    let broken_off = store.move_to(&base.path().join("there"), |_| ControlFlow::Break(()));
    assert!(matches!(broken_off, Err(MoveError::Cancelled)));
    assert!(!base.path().join("there").exists());
    assert_whole(&store, &blobs);
    drop(store);
    assert_whole(&open(&data), &blobs);
}

#[test]
fn crash_between_two_renames_is_repaired_at_start() {
    for crashed_after in [0, 1, 30, 60] {
        let base = tempfile::tempdir().unwrap();
        let (data, there) = (base.path().join("data"), base.path().join("there"));
        let store = open(&data);
        let blobs = fill(&store);
        drop(store);
        for folder in ["blobs", "partial"] {
            fs::create_dir_all(there.join(folder)).unwrap();
        }
        fs::write(there.join("fyteclub-cache"), b"").unwrap();
        let note = serde_json::json!({"dir": ".", "renaming": there});
        fs::write(data.join("cache.json"), note.to_string()).unwrap();
        for name in files_in(&data.join("blobs")).iter().take(crashed_after) {
            fs::rename(data.join("blobs").join(name), there.join("blobs").join(name)).unwrap();
        }
        let store = open(&data);
        assert_whole(&store, &blobs);
        assert_eq!(whole(&cache_dir(&data)), whole(&there));
        assert!(receive_chunks(&store, &half(), [1, 3]).unwrap());
    }
}

#[test]
fn a_crash_while_copying_leaves_the_cache_there() {
    let base = tempfile::tempdir().unwrap();
    let (data, there) = (base.path().join("data"), base.path().join("there"));
    let store = open(&data);
    let blobs = fill(&store);
    drop(store);
    fs::create_dir_all(there.join("blobs")).unwrap();
    fs::write(there.join("fyteclub-cache"), b"").unwrap();
    let name = files_in(&data.join("blobs")).remove(0);
    fs::write(there.join("blobs").join(&name), b"half of it").unwrap();
    fs::write(there.join("blobs/diary.txt"), b"mine").unwrap();
    let note = serde_json::json!({"dir": ".", "copying": there});
    fs::write(data.join("cache.json"), note.to_string()).unwrap();
    let store = open(&data);
    assert_whole(&store, &blobs);
    assert!(!there.join("blobs").join(&name).exists());
    assert_eq!(files_in(&there.join("blobs")), ["diary.txt"], "what is not ours stays");
}

#[test]
fn a_disk_that_is_not_there_is_no_empty_cache() {
    let base = tempfile::tempdir().unwrap();
    let (data, there) = (base.path().join("data"), base.path().join("there"));
    let store = open(&data);
    let blobs = fill(&store);
    go(&store, &there).unwrap();
    drop(store);
    let away = base.path().join("away");
    fs::rename(&there, &away).unwrap();
    fs::create_dir(&there).unwrap();
    let config = StoreConfig { cache_limit: u64::MAX, min_free: Some(0) };
    assert!(matches!(Store::open(&data, config), Err(StoreError::CacheAway { .. })));
    assert!(fs::read_dir(&there).unwrap().next().is_none(), "nothing is begun in its place");
    fs::remove_dir(&there).unwrap();
    fs::rename(&away, &there).unwrap();
    assert_whole(&open(&data), &blobs);
    fs::write(data.join("cache.json"), b"{").unwrap();
    assert!(matches!(Store::open(&data, config), Err(StoreError::NoPlace { .. })));
}

/// On a disk without links a pinned file is copied: a crash may leave a part of it there, and the whole here.
#[test]
fn truncated_copy_is_not_taken_for_the_file() {
    let base = tempfile::tempdir().unwrap();
    let (data, there) = (base.path().join("data"), base.path().join("there"));
    let store = open(&data);
    let blobs = fill(&store);
    drop(store);
    for folder in ["blobs", "partial"] {
        fs::create_dir_all(there.join(folder)).unwrap();
    }
    fs::write(there.join("fyteclub-cache"), b"").unwrap();
    for (n, name) in files_in(&data.join("blobs")).into_iter().enumerate() {
        let bytes = fs::read(data.join("blobs").join(&name)).unwrap();
        // Nothing of it, some of it, all of it but for its time.
        fs::write(there.join("blobs").join(name), &bytes[..bytes.len() * (n % 3) / 2]).unwrap();
    }
    let note = serde_json::json!({"dir": ".", "renaming": there});
    fs::write(data.join("cache.json"), note.to_string()).unwrap();
    let store = open(&data);
    assert_eq!(whole(&cache_dir(&data)), whole(&there));
    assert_whole(&store, &blobs);
}

#[test]
fn a_partial_is_let_go_while_the_names_are_held() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let hash = tree(&half()).hash();
    let partial = store.partial(hash, half().len() as u64, "mdl").unwrap();
    partial.set_tree(tree(&half())).unwrap();
    partial.write(tree(&half()).verify(1, &half()[CHUNK_SIZE..2 * CHUNK_SIZE]).unwrap()).unwrap();
    let name = store.0.site.name(&hash);
    // Would wait for ever.
    drop(partial);
    drop(name);
    let name = loop {
        // Whoever settles it holds the store until it is done.
        if std::sync::Arc::strong_count(&store.0) == 1 {
            break store.0.site.name(&hash);
        }
        std::thread::yield_now();
    };
    drop(name);
    drop(store);
    assert!(receive_chunks(&open(dir.path()), &half(), [0, 2, 3]).unwrap(), "its progress was saved");
}

#[test]
fn files_that_somebody_removed_do_not_hold_up_a_move() {
    let Some(disk) = full_disk::SmallDisk::mount(64, "files_that_somebody_removed_do_not_hold_up_a_move")
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut blobs = fill(&store);
    let gone = blobs.split_off(20);
    for blob in &gone {
        fs::remove_file(store.path(&tree(blob).hash()).unwrap()).unwrap();
    }
    let moved = go(&store, &disk.path().join("cache")).unwrap();
    assert_eq!(moved.bad.len(), gone.len());
    assert_whole(&store, &blobs);
}

/// Another disk: everything is copied, read again, and what was wrong stays behind.
#[test]
fn another_disk_gets_copies_that_are_right() {
    let Some(disk) = full_disk::SmallDisk::mount(64, "another_disk_gets_copies_that_are_right") else {
        return;
    };
    let base = tempfile::tempdir().unwrap();
    let (data, there) = (base.path().join("data"), disk.path().join("cache"));
    let store = open(&data);
    let mut blobs = fill(&store);
    let wrong = blobs.remove(10);
    fs::write(store.path(&tree(&wrong).hash()).unwrap(), vec![7; wrong.len()]).unwrap();
    let pin = store.pin([tree(&blobs[3]).hash()]);
    let shown = store.path(&tree(&blobs[3]).hash()).unwrap();
    // Others go on while it is copied.
    let writer = store.clone();
    let (moved, late) = std::thread::scope(|scope| {
        let late = scope.spawn(move || {
            let late: Vec<_> = (5000..5100).map(|n| bytes(n, 700)).collect();
            for blob in &late {
                receive(&writer, blob).unwrap();
            }
            receive_chunks(&writer, &bytes(6000, 9 * CHUNK_SIZE), 0..9).unwrap();
            late
        });
        (go(&store, &there).unwrap(), late.join().unwrap())
    });
    assert_eq!((moved.bad, moved.kept), (vec![tree(&wrong).hash()], 1));
    blobs.extend(late);
    blobs.push(bytes(6000, 9 * CHUNK_SIZE));
    assert_whole(&store, &blobs);
    assert!(shown.exists());
    assert_blobs_right(&there);
    assert!(receive_chunks(&store, &half(), [1, 3]).unwrap());
    blobs.push(half());
    drop((pin, store));
    assert_whole(&open(&data), &blobs);
    // Home has space; a small disk has none.
    let store = open(&data);
    go(&store, &data).unwrap();
    fs::write(disk.path().join("film"), vec![1; 62 << 20]).ok();
    assert!(matches!(go(&store, &there), Err(MoveError::NoSpace { .. })));
    assert_whole(&store, &blobs);
}
