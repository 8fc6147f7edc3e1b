//! Blobs come in and go out.

use super::*;

#[test]
fn what_was_put_is_read_back_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 4096, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 5 * CHUNK_SIZE + 77];
    let blobs: Vec<_> = sizes.iter().map(|size| bytes(*size as u64, *size)).collect();
    let store = open(dir.path());
    let hashes: Vec<_> = blobs.iter().map(|blob| receive(&store, blob).unwrap()).collect();
    for _ in 0..2 {
        for (hash, blob) in hashes.iter().zip(&blobs) {
            assert!(store.contains(hash));
            assert_eq!(&read(&store, hash).unwrap(), blob);
            assert_eq!(&fs::read(store.path(hash).unwrap()).unwrap(), blob);
        }
        assert_eq!(store.stats().files, sizes.len());
        assert_eq!(store.stats().bytes, sizes.iter().sum::<usize>() as u64);
        store.checkpoint().unwrap();
    }
    drop(store);
    let (store, opened) =
        Store::open(dir.path(), StoreConfig { cache_limit: u64::MAX, min_free: Some(0) }).unwrap();
    assert_eq!((opened.blobs, opened.adopted, opened.lost, opened.removed), (sizes.len(), 0, 0, 0));
    for (hash, blob) in hashes.iter().zip(&blobs) {
        assert_eq!(&read(&store, hash).unwrap(), blob);
    }
    assert!(files_in(&dir.path().join("partial")).is_empty());
}

#[test]
fn what_is_not_here_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let hash = BlobHash::of(b"never");
    assert!(!store.contains(&hash));
    assert_eq!(store.path(&hash), None);
    assert!(matches!(store.open_hash(&hash, true), Err(ReadError::Gone { .. })));
}

#[test]
fn the_first_chunk_of_a_longer_blob_is_not_a_blob() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blob = bytes(1, 2 * CHUNK_SIZE);
    let tree = tree(&blob);
    for (index, chunk) in blob.chunks(CHUNK_SIZE).enumerate() {
        let chunk = tree.verify(index as u32, chunk).unwrap();
        assert!(matches!(store.put(chunk, "tex"), Err(StoreError::Foreign { .. })));
    }
    assert!(files_in(&dir.path().join("blobs")).is_empty());
}

#[test]
fn a_chunk_behind_the_end_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let hash = receive(&store, b"short").unwrap();
    let reader = store.open_hash(&hash, true).unwrap();
    for index in [1, u32::MAX] {
        assert!(matches!(reader.read_chunk(index, &mut Vec::new()), Err(ReadError::Io { .. })));
    }
}

#[test]
fn several_writers_of_the_same_blobs_agree() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blobs: Vec<_> =
        (0..40u64).map(|n| bytes(n, if n % 4 == 0 { 3 * CHUNK_SIZE + 9 } else { 5000 })).collect();
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (store, blobs) = (&store, &blobs);
            scope.spawn(move || {
                for blob in blobs {
                    let tree = tree(blob);
                    let partial = store.partial(tree.hash(), tree.size(), "tex").unwrap();
                    partial.set_tree(tree.clone()).unwrap();
                    let chunks = tree.chunks() as usize;
                    for index in (0..chunks).map(|n| (n + thread) % chunks) {
                        let chunk = blob.chunks(CHUNK_SIZE).nth(index).unwrap();
                        partial.write(tree.verify(index as u32, chunk).unwrap()).unwrap();
                    }
                    if thread == 3 {
                        store.checkpoint().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(store.stats().files, blobs.len());
    assert_eq!(store.stats().partials, 0);
    for blob in &blobs {
        assert_eq!(&read(&store, &tree(blob).hash()).unwrap(), blob);
    }
    assert!(files_in(&dir.path().join("partial")).is_empty());
    assert_blobs_right(dir.path());
}

#[test]
fn verify_finds_and_removes_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let hashes: Vec<_> = (0..5).map(|n| receive(&store, &bytes(n, 10_000)).unwrap()).collect();
    let path = store.path(&hashes[2]).unwrap();
    let mut bent = fs::read(&path).unwrap();
    bent[700] ^= 1;
    fs::write(&path, bent).unwrap();
    let mut heard = 0;
    let verified = store.verify(|so_far, all, bytes| {
        heard += 1;
        assert_eq!((so_far.files, so_far.bytes, all, bytes), (heard, 10_000 * heard as u64, 5, 50_000));
        ControlFlow::Continue(())
    });
    let verified = verified.unwrap();
    assert_eq!((verified.files, verified.bad), (5, vec![hashes[2]]));
    assert!(!store.contains(&hashes[2]) && !path.exists());
    receive(&store, &bytes(2, 10_000)).unwrap();
    assert_eq!(store.verify(|_, _, _| ControlFlow::Continue(())).unwrap().bad, []);
}

#[test]
fn a_cached_file_that_somebody_touched_is_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (kept, bent) = (bytes(1, 9_000), bytes(2, 9_000));
    let (kept_hash, bent_hash) = (receive(&store, &kept).unwrap(), receive(&store, &bent).unwrap());
    fs::write(store.path(&kept_hash).unwrap(), &kept).unwrap();
    fs::write(store.path(&bent_hash).unwrap(), &kept).unwrap();
    assert_eq!(read(&store, &kept_hash).unwrap(), kept);
    assert!(matches!(read(&store, &bent_hash), Err(ReadError::Gone { .. })));
    assert!(!store.contains(&bent_hash));
    receive(&store, &bent).unwrap();
    assert_eq!(read(&store, &bent_hash).unwrap(), bent);
}

#[test]
fn a_file_is_imported_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for blob in [bytes(1, 100), bytes(2, 3 * CHUNK_SIZE)] {
        for _ in 0..2 {
            let scratch = store.scratch_path().unwrap();
            fs::write(&scratch, &blob).unwrap();
            let source = store.import(&scratch, "tex").unwrap();
            assert_eq!((source.hash, source.size), (tree(&blob).hash(), blob.len() as u64));
            assert!(!scratch.exists());
            assert_eq!(read(&store, &source.hash).unwrap(), blob);
        }
    }
    assert_eq!(store.stats().files, 2);
    assert!(matches!(store.import(&store.scratch_path().unwrap(), "tex"), Err(StoreError::Missing { .. })));
}
