//! Large blobs that come in pieces, with pauses and crashes between them.

use super::*;

const CHUNKS: u32 = 10;

fn large(seed: u64) -> Vec<u8> {
    bytes(seed, CHUNKS as usize * CHUNK_SIZE - 1000)
}

#[test]
fn chunks_come_in_any_order_and_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blob = large(1);
    let tree = tree(&blob);
    let partial = store.partial(tree.hash(), tree.size(), "mdl").unwrap();
    assert!(partial.tree().is_none());
    assert_eq!(partial.missing(), std::slice::from_ref(&(0..CHUNKS)));
    let chunk = |index: u32| {
        let bytes = blob.chunks(CHUNK_SIZE).nth(index as usize).unwrap();
        tree.verify(index, bytes).unwrap()
    };
    assert!(matches!(partial.write(chunk(0)), Err(StoreError::Foreign { .. })), "no tree yet");
    partial.set_tree(tree.clone()).unwrap();
    for index in [9, 9, 4, 5] {
        assert!(!partial.write(chunk(index)).unwrap().complete);
    }
    assert_eq!(partial.missing(), [0..4, 6..9]);
    assert!(!store.contains(&tree.hash()));
    let second = store.partial(tree.hash(), tree.size(), "tex").unwrap();
    assert_eq!(second.missing(), [0..4, 6..9]);
    for index in [0, 1, 2, 3, 6, 7] {
        assert!(!second.write(chunk(index)).unwrap().complete);
    }
    assert!(partial.write(chunk(8)).unwrap().complete);
    assert!(second.write(chunk(8)).unwrap().complete && second.is_complete());
    assert_eq!(second.missing(), []);
    assert_eq!(read(&store, &tree.hash()).unwrap(), blob);
    assert!(store.partial(tree.hash(), tree.size(), "mdl").unwrap().is_complete());
    assert!(store.path(&tree.hash()).unwrap().to_string_lossy().ends_with(".mdl"));
}

#[test]
fn released_partial_is_resumed_now_and_after_restart() {
    let dir = tempfile::tempdir().unwrap();
    let blob = large(2);
    let (hash, size) = (tree(&blob).hash(), blob.len() as u64);
    let mut store = open(dir.path());
    for index in 0..CHUNKS - 1 {
        assert!(!receive_chunks(&store, &blob, [index]).unwrap());
        if index % 3 == 0 {
            drop(store);
            store = open(dir.path());
            assert_eq!(store.stats().partials, 1);
            assert_eq!(store.stats().bytes, size);
        }
        let partial = store.partial(hash, size, "mdl").unwrap();
        assert_eq!(partial.missing(), std::slice::from_ref(&(index + 1..CHUNKS)));
        assert_eq!(partial.tree().as_deref(), Some(&tree(&blob)));
    }
    assert!(receive_chunks(&store, &blob, [CHUNKS - 1]).unwrap());
    assert_eq!(read(&store, &hash).unwrap(), blob);
    assert!(files_in(&dir.path().join("partial")).is_empty());
}

#[test]
fn a_kill_takes_a_quarter_of_a_second_at_most() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    let blob = large(3);
    let tree = tree(&blob);
    let partial = store.partial(tree.hash(), tree.size(), "mdl").unwrap();
    partial.set_tree(tree.clone()).unwrap();
    for (index, chunk) in blob.chunks(CHUNK_SIZE).enumerate().take(6) {
        partial.write(tree.verify(index as u32, chunk).unwrap()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    copy_dir(dir.path(), copy.path());
    let again = open(copy.path());
    let missing = again.partial(tree.hash(), tree.size(), "mdl").unwrap().missing();
    assert!(missing[0].start >= 3, "{missing:?}");
    assert!(receive_chunks(&again, &blob, 0..CHUNKS).unwrap());
    assert_eq!(read(&again, &tree.hash()).unwrap(), blob);
}

#[test]
fn what_a_partial_claims_is_proven() {
    let dir = tempfile::tempdir().unwrap();
    let blob = large(4);
    let (hash, size) = (tree(&blob).hash(), blob.len() as u64);
    receive_chunks(&open(dir.path()), &blob, 0..8).unwrap();
    let partial_dir = dir.path().join("partial");
    let part = partial_dir.join(format!("{}.{size}.mdl.part", hash.hex()));
    let have = partial_dir.join(format!("{}.{size}.mdl.have", hash.hex()));

    let mut bent = fs::read(&part).unwrap();
    bent[3 * CHUNK_SIZE + 5] ^= 1;
    fs::write(&part, &bent).unwrap();
    let missing = |store: &Store| store.partial(hash, size, "mdl").unwrap().missing();
    assert_eq!(missing(&open(dir.path())), [3..4, 8..CHUNKS]);

    let mut claim = fs::read(&have).unwrap();
    let end = claim.len() - 2;
    claim[end..].fill(0xff);
    fs::write(&have, &claim).unwrap();
    let store = open(dir.path());
    assert!(!store.contains(&hash), "it claimed to be complete");
    assert_eq!(missing(&store), std::slice::from_ref(&(0..CHUNKS)));
    drop(store);

    receive_chunks(&open(dir.path()), &blob, 0..8).unwrap();
    let mut claim = fs::read(&have).unwrap();
    claim[80] ^= 1;
    fs::write(&have, &claim).unwrap();
    assert_eq!(missing(&open(dir.path())), std::slice::from_ref(&(0..CHUNKS)), "its tree proves nothing");
    assert!(files_in(&partial_dir).is_empty());
}

#[test]
fn a_complete_partial_without_its_name_gets_it() {
    for with_claim in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let blob = large(5);
        let hash = tree(&blob).hash();
        receive_chunks(&open(dir.path()), &blob, 0..8).unwrap();
        let part = dir.path().join("partial").join(format!("{}.{}.mdl.part", hash.hex(), blob.len()));
        let have = part.with_extension("have");
        fs::write(&part, &blob).unwrap();
        if with_claim {
            let mut claim = fs::read(&have).unwrap();
            let end = claim.len() - 2;
            claim[end..].fill(0xff);
            fs::write(&have, &claim).unwrap();
        } else {
            fs::remove_file(&have).unwrap();
        }
        let (store, opened) =
            Store::open(dir.path(), StoreConfig { cache_limit: u64::MAX, min_free: Some(0) }).unwrap();
        assert_eq!((opened.adopted, opened.partials), (1, 0));
        assert_eq!(read(&store, &hash).unwrap(), blob);
        assert!(files_in(&dir.path().join("partial")).is_empty());
    }
}

#[test]
fn a_partial_that_nobody_wrote_to_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blob = large(6);
    receive_chunks(&store, &blob, []).unwrap();
    assert_eq!((store.stats().partials, store.stats().bytes), (0, 0));
    assert!(files_in(&dir.path().join("partial")).is_empty());
    assert!(store.partial(tree(&blob).hash(), u64::MAX, "tex").is_err());
}

#[test]
fn a_blob_that_came_another_way_leaves_no_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for open_meanwhile in [false, true] {
        let blob = large(7 + u64::from(open_meanwhile));
        receive_chunks(&store, &blob, 0..3).unwrap();
        let held =
            open_meanwhile.then(|| store.partial(tree(&blob).hash(), blob.len() as u64, "mdl").unwrap());
        let scratch = store.scratch_path().unwrap();
        fs::write(&scratch, &blob).unwrap();
        store.import(&scratch, "mdl").unwrap();
        if held.is_some() {
            assert!(store.partial(tree(&blob).hash(), blob.len() as u64, "mdl").unwrap().is_complete());
        }
        drop(held);
        assert!(files_in(&dir.path().join("partial")).is_empty());
        assert_eq!(read(&store, &tree(&blob).hash()).unwrap(), blob);
    }
    assert_eq!(store.stats().partials, 0);
    assert_eq!(store.stats().bytes, 2 * large(7).len() as u64);
}
