//! Which owners a blob came from, and what sizes looks may say of it.

use super::*;
use fyteclub_proto::{
    blob::{Blob, Content, Origin},
    id::PeerId,
};

const CHUNKS: u32 = 4;

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn large(seed: u64) -> Vec<u8> {
    bytes(seed, CHUNKS as usize * CHUNK_SIZE - 1000)
}

fn came(store: &Store, bytes: &[u8], owner: u8) -> bool {
    store.holds(&Blob { content: Content::of(bytes), origin: Origin::Owner(peer(owner)) })
}

/// Some chunks of a large blob, as this owner's.
fn give(store: &Store, blob: &[u8], owner: u8, chunks: impl IntoIterator<Item = u32>) {
    let tree = tree(blob);
    let partial = store.partial(tree.hash(), tree.size(), "mdl").unwrap();
    partial.set_tree(tree.clone()).unwrap();
    for index in chunks {
        let chunk = blob.chunks(CHUNK_SIZE).nth(index as usize).unwrap();
        partial.write_from(&peer(owner), tree.verify(index, chunk).unwrap()).unwrap();
    }
}

#[test]
fn origin_survives_a_kill_and_ends_with_the_owner() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    let (one, two) = (bytes(1, 5000), bytes(2, 6000));
    let hashes = [&one, &two].map(|blob| receive(&store, blob).unwrap());
    store.came_from(&peer(1), hashes);
    store.came_from(&peer(2), [hashes[1]]);
    store.came_from(&peer(3), [BlobHash::of(b"not here")]);
    copy_dir(dir.path(), copy.path());
    let again = open(copy.path());
    for store in [&store, &again] {
        assert!(came(store, &one, 1) && came(store, &two, 1) && came(store, &two, 2));
        assert!(!came(store, &one, 2) && !came(store, &one, 3));
    }
    again.forget_owner(&peer(1));
    assert!(!came(&again, &one, 1) && !came(&again, &two, 1) && came(&again, &two, 2));
    drop(again);
    let again = open(copy.path());
    assert!(!came(&again, &one, 1) && came(&again, &two, 2), "nor in the next life");
    assert!(again.contains(&hashes[0]), "the file stays, for whoever shows it");
}

#[test]
fn owners_blob_is_served_cached_and_in_its_size_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (cached, own) = (bytes(1, 5000), bytes(2, 6000));
    receive(&store, &cached).unwrap();
    let path = dir.path().join("own.tex");
    fs::write(&path, &own).unwrap();
    let own_hash = store.index_source(&path).unwrap().hash;
    store.came_from(&peer(1), [tree(&cached).hash(), own_hash]);
    let opens = |content, origin| store.open_blob(&Blob { content, origin }).is_ok();
    let (cached, own) = (Content::of(&cached), Content::of(&own));
    assert!(opens(cached, Origin::Own) && opens(own, Origin::Own));
    assert!(opens(cached, Origin::Owner(peer(1))) && !opens(cached, Origin::Owner(peer(2))));
    assert!(!opens(own, Origin::Owner(peer(1))), "a file of the player's own came from nobody");
    for origin in [Origin::Own, Origin::Owner(peer(1))] {
        assert!(!opens(Content { size: 5001, ..cached }, origin), "a look may say any size");
    }
}

#[test]
fn blob_is_of_who_brought_every_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mixed, whole) = (large(1), large(2));
    let (hash, size) = (tree(&mixed).hash(), mixed.len() as u64);
    let held = store.partial(hash, size, "mdl").unwrap();
    give(&store, &mixed, 1, 0..2);
    give(&store, &mixed, 2, 1..4);
    assert!(held.is_complete() && !came(&store, &mixed, 1) && !came(&store, &mixed, 2));
    assert_eq!(held.missing_of(&peer(1)), std::slice::from_ref(&(2..4)));
    give(&store, &whole, 1, 0..4);
    assert!(came(&store, &whole, 1));
    // What is here already is brought anew by who wants it to be theirs.
    let again = store.partial(hash, size, "mdl").unwrap();
    assert_eq!(again.missing_of(&peer(3)), std::slice::from_ref(&(0..4)));
    give(&store, &mixed, 3, 0..3);
    assert!(!came(&store, &mixed, 3));
    give(&store, &mixed, 3, 0..4);
    assert!(came(&store, &mixed, 3));
    assert_eq!(read(&store, &hash).unwrap(), mixed);
}

#[test]
fn resumed_blob_is_of_its_only_giver() {
    for others in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let blob = large(3);
        give(&open(dir.path()), &blob, 1, 0..2);
        let store = open(dir.path());
        let missing =
            store.partial(tree(&blob).hash(), blob.len() as u64, "mdl").unwrap().missing_of(&peer(1));
        assert_eq!(missing, std::slice::from_ref(&(2..4)), "what they gave is not asked of them again");
        if others {
            give(&store, &blob, 2, 2..3);
        }
        drop(store);
        let store = open(dir.path());
        give(&store, &blob, 1, 2..4);
        assert_eq!((store.contains(&tree(&blob).hash()), came(&store, &blob, 1)), (true, !others));
    }
}

#[test]
fn parts_of_one_hash_and_two_sizes_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blob = large(4);
    let (tree, hash) = (tree(&blob), tree(&blob).hash());
    let wrong = store.partial(hash, blob.len() as u64 + 700, "mdl").unwrap();
    // As many chunks: the list alone does not tell.
    wrong.set_tree(ChunkTree::prove(hash, blob.len() as u64 + 700, tree.list()).unwrap()).unwrap();
    wrong.write(tree.verify(0, &blob[..CHUNK_SIZE]).unwrap()).unwrap();
    give(&store, &blob, 1, 0..4);
    assert!(came(&store, &blob, 1), "another look's size is not in the way");
    assert_eq!(read(&store, &hash).unwrap(), blob);
    assert_eq!(wrong.missing(), std::slice::from_ref(&(1..4)), "and never becomes whole");
    // Nor is one refused that says another size of what is whole.
    assert!(!store.partial(hash, 5, "mdl").unwrap().is_complete());
    drop(wrong);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.stats().partials, 0, "what is known to be a lie leaves at the start");
    assert_eq!(read(&store, &hash).unwrap(), blob);
}
