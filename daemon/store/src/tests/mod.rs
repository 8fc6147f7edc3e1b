//! The store from outside: stories over real folders. What all of them need is here.

mod collect;
mod crash;
mod full_disk;
mod limit;
mod model;
mod moving;
mod obstacle;
mod origin;
mod own;
mod put;
mod resume;
mod scrub;
mod stamps;
mod timing;
mod trust;
mod unreadable;

use super::{ReadError, Store, StoreConfig, StoreError};
use fyteclub_proto::{
    chunk_tree::{ChunkTree, TreeBuilder},
    id::BlobHash,
    limit::CHUNK_SIZE,
};
use std::{fs, ops::ControlFlow, path::Path};

/// Different bytes for every seed.
fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend(x.to_le_bytes());
    }
    out.truncate(size);
    out
}

fn tree(bytes: &[u8]) -> ChunkTree {
    let mut builder = TreeBuilder::default();
    bytes.chunks(CHUNK_SIZE).for_each(|chunk| builder.push(chunk));
    builder.finish()
}

fn open(dir: &Path) -> Store {
    open_with(dir, u64::MAX)
}

fn open_with(dir: &Path, cache_limit: u64) -> Store {
    Store::open(dir, StoreConfig { cache_limit, min_free: Some(0) }).expect("opens").0
}

/// Small blobs by `put`, others through a partial.
fn receive(store: &Store, bytes: &[u8]) -> Result<BlobHash, StoreError> {
    let tree = tree(bytes);
    if tree.chunks() == 1 {
        store.put(tree.verify(0, bytes).expect("right"), "tex")?;
    } else {
        receive_chunks(store, bytes, 0..tree.chunks())?;
    }
    Ok(tree.hash())
}

/// Some chunks of a larger blob; says whether it is complete then.
fn receive_chunks(
    store: &Store,
    bytes: &[u8],
    chunks: impl IntoIterator<Item = u32>,
) -> Result<bool, StoreError> {
    let tree = tree(bytes);
    let partial = store.partial(tree.hash(), tree.size(), "mdl")?;
    partial.set_tree(tree.clone())?;
    for index in chunks {
        let chunk = bytes.chunks(CHUNK_SIZE).nth(index as usize).expect("a chunk");
        partial.write(tree.verify(index, chunk).expect("right"))?;
    }
    Ok(partial.is_complete())
}

/// The whole blob as a peer would get it.
fn read(store: &Store, hash: &BlobHash) -> Result<Vec<u8>, ReadError> {
    let reader = store.open_hash(hash, true)?;
    let (mut all, mut chunk) = (Vec::new(), Vec::new());
    for index in 0..reader.tree().chunks() {
        reader.read_chunk(index, &mut chunk)?;
        all.extend_from_slice(&chunk);
    }
    assert_eq!(reader.tree(), &tree(&all));
    Ok(all)
}

/// What a kill would leave at this moment, more or less: a copy that nobody closed.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), &target).expect("copies");
            // As a kill leaves it, which changes no time.
            let modified = entry.metadata().and_then(|m| m.modified()).expect("a time");
            let copy = fs::OpenOptions::new().write(true).open(&target).expect("opens");
            copy.set_modified(modified).expect("sets");
        }
    }
}

fn files_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    // This process's folder for temps is there from the first need.
    names.retain(|name| !name.starts_with("new."));
    names.sort();
    names
}

/// Every file in `blobs/` is what its name says, whatever happened.
fn assert_blobs_right(dir: &Path) {
    for name in files_in(&dir.join("blobs")) {
        let bytes = fs::read(dir.join("blobs").join(&name)).expect("reads");
        assert_eq!(name.split('.').next(), Some(tree(&bytes).hash().hex().as_str()), "{name}");
    }
}
