//! How fast, and how much memory: said, not asserted, because the machine is shared.
//! `cargo test --release -p fyteclub-daemon store::tests::timing -- --ignored --nocapture --test-threads 1`

use super::*;
use std::time::Instant;

/// Resident memory of this process in KiB, where the system says.
fn rss() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// On the disk that the build lies on, because a temporary folder may be memory.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
}

#[test]
#[ignore = "a measurement"]
fn small_files() {
    for round in 0..5u64 {
        let dir = on_disk();
        let store = open(dir.path());
        let blobs: Vec<_> = (0..2000).map(|n| bytes(round * 10_000 + n, 4096)).collect();
        let trees: Vec<_> = blobs.iter().map(|blob| tree(blob)).collect();
        let chunks: Vec<_> =
            trees.iter().zip(&blobs).map(|(tree, blob)| (tree.verify(0, blob).unwrap(), "tex")).collect();
        let start = Instant::now();
        chunks.chunks(64).for_each(|some| store.put_many(some).unwrap());
        let put = start.elapsed();
        store.checkpoint().unwrap();
        let safe = start.elapsed();
        let start = Instant::now();
        trees.iter().for_each(|tree| drop(read(&store, &tree.hash()).unwrap()));
        println!(
            "2,000 x 4 KiB: put {:.0}/s, with checkpoint {:.0}/s, open+read+hash {:.0}/s",
            2e3 / put.as_secs_f64(),
            2e3 / safe.as_secs_f64(),
            2e3 / start.elapsed().as_secs_f64()
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn large_files() {
    let blobs: Vec<_> = (0..8).map(|n| bytes(n, 16 * 1024 * 1024)).collect();
    let trees: Vec<_> = blobs.iter().map(|blob| tree(blob)).collect();
    let mib = 8.0 * 16.0;
    for _ in 0..5 {
        let dir = on_disk();
        let start = Instant::now();
        for (n, blob) in blobs.iter().enumerate() {
            let mut file = fs::File::create_new(dir.path().join(n.to_string())).unwrap();
            blob.chunks(CHUNK_SIZE).for_each(|chunk| std::io::Write::write_all(&mut file, chunk).unwrap());
        }
        let plain = start.elapsed();
        let store = open(dir.path());
        let verified: Vec<Vec<_>> = trees
            .iter()
            .zip(&blobs)
            .map(|(tree, blob)| {
                let chunks = blob.chunks(CHUNK_SIZE).enumerate();
                chunks.map(|(n, chunk)| tree.verify(n as u32, chunk).unwrap()).collect()
            })
            .collect();
        let start = Instant::now();
        for (tree, chunks) in trees.iter().zip(&verified) {
            let partial = store.partial(tree.hash(), tree.size(), "tex").unwrap();
            partial.set_tree(tree.clone()).unwrap();
            for chunk in chunks {
                partial.write(*chunk).unwrap();
            }
            assert!(partial.is_complete());
        }
        let ours = start.elapsed();
        let start = Instant::now();
        let mut chunk = Vec::new();
        for tree in &trees {
            let reader = store.open_hash(&tree.hash(), true).unwrap();
            (0..tree.chunks()).for_each(|n| reader.read_chunk(n, &mut chunk).unwrap());
        }
        println!(
            "128 MiB in 8 files: store {:.0} MiB/s, plain files {:.0} MiB/s, read back {:.0} MiB/s",
            mib / ours.as_secs_f64(),
            mib / plain.as_secs_f64(),
            mib / start.elapsed().as_secs_f64()
        );
    }
}

/// Run alone: memory of tests before it would count.
#[test]
#[ignore = "a measurement"]
fn memory_and_start() {
    let dir = on_disk();
    let before = rss();
    let store = open(dir.path());
    println!("RSS: process {before} KiB, with an empty store {} KiB", rss());
    for n in 0..20_000u64 {
        receive(&store, &bytes(n, 512)).unwrap();
    }
    store.checkpoint().unwrap();
    let busy = rss();
    store.checkpoint().unwrap();
    println!("RSS after writing 20,000 blobs: {busy} KiB, at rest {} KiB", rss());
    drop(store);
    // A process of its own, so that nothing of the writing is left.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["store::tests::timing::reopened", "--ignored", "--nocapture"])
        .env("STORE_TIMING_DIR", dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "a part of memory_and_start"]
fn reopened() {
    let Some(dir) = std::env::var_os("STORE_TIMING_DIR") else { return };
    let before = rss();
    let start = Instant::now();
    let store = open(Path::new(&dir));
    println!(
        "reopened with {} blobs in {:?}: RSS {} KiB, process before {before} KiB",
        store.stats().files,
        start.elapsed(),
        rss()
    );
}
