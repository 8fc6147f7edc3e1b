//! Falls at every step and damage in every place: less may be there, wrong is never.

use super::*;
use crate::IndexHealth;

fn opened(dir: &Path) -> (Store, crate::Opened) {
    Store::open(dir, StoreConfig { cache_limit: u64::MAX, min_free: Some(0) }).expect("opens")
}

#[test]
fn crash_before_a_checkpoint_costs_only_a_hash() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    let blobs: Vec<_> = (0..20).map(|n| bytes(n, 3000)).collect();
    for (n, blob) in blobs.iter().enumerate() {
        receive(&store, blob).unwrap();
        if n == 9 {
            store.checkpoint().unwrap();
        }
    }
    copy_dir(dir.path(), copy.path());
    let (again, opened) = opened(copy.path());
    assert_eq!((opened.blobs, opened.adopted, opened.removed, opened.lost), (20, 10, 0, 0));
    for blob in &blobs {
        assert_eq!(&read(&again, &tree(blob).hash()).unwrap(), blob);
    }
}

#[test]
fn torn_files_go_and_temps_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let blob = bytes(1, 50_000);
    let hash = receive(&open(dir.path()), &blob).unwrap();
    let (blobs, partial) = (dir.path().join("blobs"), dir.path().join("partial"));
    let torn = BlobHash::of(b"torn");
    fs::write(blobs.join(format!("{}.tex", torn.hex())), b"to").unwrap();
    fs::write(blobs.join("thumbs.db"), b"a stranger's").unwrap();
    fs::write(partial.join("17.tmp"), b"half").unwrap();
    fs::write(partial.join(format!("{}.tex.have", torn.hex())), b"half").unwrap();
    fs::write(partial.join(format!("{}.4.tex.part", torn.hex())), b"half").unwrap();
    let (store, found) = opened(dir.path());
    assert_eq!((found.blobs, found.removed, found.foreign, found.partials), (1, 1, 1, 0));
    assert!(files_in(&partial).is_empty());
    assert!(!store.contains(&torn) && store.contains(&hash));
    // A zeroed file of the right size, as a loss of power leaves it, has another time than its row.
    let path = store.path(&hash).unwrap();
    drop(store);
    fs::write(&path, vec![0; 50_000]).unwrap();
    let (store, found) = opened(dir.path());
    assert_eq!((found.blobs, found.removed), (0, 1));
    receive(&store, &blob).unwrap();
    fs::remove_file(&path).unwrap();
    drop(store);
    assert_eq!(opened(dir.path()).1.lost, 1);
}

#[test]
fn a_second_opener_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    receive(&store, b"x").unwrap();
    let second = Store::open(dir.path(), StoreConfig { cache_limit: 0, min_free: Some(0) });
    assert!(matches!(second, Err(StoreError::InUse { .. })));
    store.checkpoint().unwrap();
    drop(store);
    assert_eq!(opened(dir.path()).1.index, IndexHealth::Healthy);
}

/// Flips, holes and cuts in every file of the index: no start fails, and no byte is lost or wrong.
#[test]
fn a_damaged_index_costs_time_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut blobs: Vec<_> = (0..60).map(|n| bytes(n, 2000)).collect();
    blobs.push(bytes(99, 4 * CHUNK_SIZE));
    let store = open(dir.path());
    for blob in &blobs {
        receive(&store, blob).unwrap();
    }
    drop(store);
    drop(open(dir.path()));

    let index = dir.path().join("index");
    let names = files_in(&index).into_iter().filter(|name| index.join(name).is_file());
    let mut set_aside = 0;
    for (n, name) in names.flat_map(|name| (0..9).map(move |n| (n, name.clone()))) {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        let file = copy.path().join("index").join(&name);
        let mut content = fs::read(&file).unwrap();
        let at = content.len() * (2 * (n / 3) + 1) / 6;
        let hole = at..content.len().min(at + 4096);
        match n % 3 {
            0 if !content.is_empty() => content[at] ^= 0x55,
            1 => content[hole].fill(0),
            _ => content.truncate(at),
        }
        fs::write(&file, content).unwrap();
        for life in 0..2 {
            let (store, found) = opened(copy.path());
            assert_eq!((found.blobs, found.removed), (blobs.len(), 0), "{name} {n}");
            set_aside += u32::from(matches!(found.index, IndexHealth::SetAside(_)));
            if life == 1 {
                assert_eq!(found.adopted, 0, "{name} {n}: not rebuilt");
            }
            for blob in &blobs {
                assert_eq!(&read(&store, &tree(blob).hash()).unwrap(), blob);
            }
        }
    }
    assert!(set_aside > 0, "the injuries were too mild");
}

#[test]
fn two_broken_indexes_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let hash = receive(&open(dir.path()), b"kept").unwrap();
    for _ in 0..4 {
        let index = dir.path().join("index");
        for name in files_in(&index).into_iter().filter(|name| name != "conf" && index.join(name).is_file()) {
            fs::write(index.join(name), [0x55; 9000]).unwrap();
        }
        let (store, found) = opened(dir.path());
        assert!(matches!(found.index, IndexHealth::SetAside(_)), "{:?}", found.index);
        assert!(store.contains(&hash));
    }
    let broken = files_in(dir.path()).iter().filter(|name| name.starts_with("index.broken-")).count();
    assert_eq!(broken, 2);
}

#[test]
fn an_index_that_vanishes_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let blob = bytes(1, 3 * CHUNK_SIZE);
    let hash = receive(&open(dir.path()), &blob).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (store, found) = opened(dir.path());
    assert_eq!((found.index, found.adopted), (IndexHealth::Created, 1));
    assert_eq!(read(&store, &hash).unwrap(), blob);
    drop(store);
    assert_eq!(opened(dir.path()).1.adopted, 0);
}

/// Copies are taken while threads write; whatever such a copy holds opens, and is right.
#[test]
fn a_copy_taken_at_any_moment_opens() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blobs: Vec<_> =
        (0..60u64).map(|n| bytes(n, if n % 5 == 0 { 4 * CHUNK_SIZE } else { 7000 })).collect();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for (n, blob) in blobs.iter().enumerate() {
                receive(&store, blob).unwrap();
                if n % 7 == 0 {
                    store.checkpoint().unwrap();
                }
            }
        });
        while !writer.is_finished() {
            let copy = tempfile::tempdir().unwrap();
            // Names vanish while they are copied: what could not be copied is missing, as after a crash.
            let copied = std::panic::catch_unwind(|| copy_dir(dir.path(), copy.path())).is_ok();
            let (again, _) = opened(copy.path());
            assert_blobs_right(copy.path());
            let known = blobs.iter().filter(|blob| again.contains(&tree(blob).hash()));
            let known =
                known.map(|blob| assert_eq!(&read(&again, &tree(blob).hash()).unwrap(), blob)).count();
            assert!(copied || known <= blobs.len());
        }
    });
}
