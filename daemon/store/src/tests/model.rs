//! Random operations and restarts of a store, against a plain model of it.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Chunks(u8, Vec<u8>),
    Touch(u8),
    Reserve(u8),
    Checkpoint,
    Reopen,
    /// Reopens what a kill would leave.
    Fall,
    /// Somebody deletes a file.
    Delete(u8),
    Bend(u8),
}

const BLOBS: u8 = 8;
const LIMIT: u64 = 6 * CHUNK_SIZE as u64;

/// Even ones are small, odd ones have three chunks.
fn content(n: u8) -> Vec<u8> {
    bytes(
        u64::from(n),
        if n.is_multiple_of(2) { 20_000 + usize::from(n) } else { 2 * CHUNK_SIZE + usize::from(n) },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..BLOBS;
    prop_oneof![
        4 => n().prop_map(Step::Put),
        4 => (n(), proptest::collection::vec(0..3u8, 0..4)).prop_map(|(n, chunks)| Step::Chunks(n, chunks)),
        1 => n().prop_map(Step::Touch),
        2 => (0..8u8).prop_map(Step::Reserve),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        1 => Just(Step::Fall),
        1 => n().prop_map(Step::Delete),
        1 => n().prop_map(Step::Bend),
    ]
}

/// What must be there: complete blobs, and the chunks of others. `fuzzy` once something may have been lost rightly.
#[derive(Default)]
struct Model {
    complete: BTreeSet<u8>,
    chunks: BTreeMap<u8, BTreeSet<u8>>,
}

/// Few, because every case makes and syncs an index of its own; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    ProptestConfig { cases, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_store_is_what_was_put_and_not_evicted(steps in proptest::collection::vec(step(), 1..40)) {
        let mut dir = tempfile::tempdir().unwrap();
        let mut store = open_with(dir.path(), LIMIT);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Put(n) => {
                    receive(&store, &content(n)).unwrap();
                    model.complete.insert(n);
                    model.chunks.remove(&n);
                }
                Step::Chunks(n, chunks) if n % 2 == 1 => {
                    let complete = receive_chunks(&store, &content(n), chunks.iter().map(|c| u32::from(*c))).unwrap();
                    let known = model.chunks.entry(n).or_default();
                    known.extend(chunks);
                    if model.complete.contains(&n) || known.len() == 3 {
                        prop_assert!(complete);
                        model.complete.insert(n);
                        model.chunks.remove(&n);
                    } else {
                        prop_assert!(!complete);
                    }
                }
                Step::Chunks(..) => {}
                Step::Touch(n) => store.touch(&[tree(&content(n)).hash()]),
                Step::Reserve(n) => {
                    let wanted = u64::from(n) * CHUNK_SIZE as u64;
                    let result = store.reserve(wanted);
                    prop_assert_eq!(result.is_ok(), wanted <= LIMIT);
                    if result.is_ok() {
                        prop_assert!(store.stats().bytes + wanted <= LIMIT);
                    }
                    model.evicted(&store);
                }
                Step::Checkpoint => {
                    store.checkpoint().unwrap();
                    prop_assert!(store.stats().bytes <= LIMIT);
                    model.evicted(&store);
                }
                Step::Reopen => {
                    drop(store);
                    store = open_with(dir.path(), LIMIT);
                    model.evicted(&store);
                }
                Step::Fall => {
                    let copy = tempfile::tempdir().unwrap();
                    copy_dir(dir.path(), copy.path());
                    drop(store);
                    dir = copy;
                    store = open_with(dir.path(), LIMIT);
                }
                Step::Delete(n) | Step::Bend(n) => {
                    if let Some(path) = store.path(&tree(&content(n)).hash()) {
                        match step {
                            Step::Delete(_) => fs::remove_file(path).unwrap(),
                            _ => fs::write(path, b"bent").unwrap(),
                        }
                        let read = read(&store, &tree(&content(n)).hash());
                        let gone = matches!(read, Err(ReadError::Gone { .. }));
                        prop_assert!(gone);
                        model.complete.remove(&n);
                    }
                }
            }
            model.check(&store)?;
        }
        prop_assert_eq!(store.verify(|_, _, _| ControlFlow::Continue(())).unwrap().bad, []);
    }
}

impl Model {
    /// Forgets what an eviction took. That it took no more than it had to is tested elsewhere.
    fn evicted(&mut self, store: &Store) {
        self.complete.retain(|n| store.contains(&tree(&content(*n)).hash()));
        self.chunks.retain(|n, _| {
            let blob = content(*n);
            let missing = store.partial(tree(&blob).hash(), blob.len() as u64, "mdl").unwrap().missing();
            missing.iter().map(|range| range.len()).sum::<usize>() < 3
        });
    }

    fn check(&self, store: &Store) -> Result<(), TestCaseError> {
        let mut bytes = 0;
        for n in 0..BLOBS {
            let blob = content(n);
            let hash = tree(&blob).hash();
            prop_assert_eq!(store.contains(&hash), self.complete.contains(&n), "blob {}", n);
            if self.complete.contains(&n) {
                bytes += blob.len() as u64;
                prop_assert!(read(store, &hash).unwrap() == blob);
            } else if let Some(chunks) = self.chunks.get(&n).filter(|chunks| !chunks.is_empty()) {
                bytes += blob.len() as u64;
                let missing = store.partial(hash, blob.len() as u64, "mdl").unwrap().missing();
                let missing: Vec<u32> = missing.into_iter().flatten().collect();
                let expected: Vec<u32> = (0..3).filter(|c| !chunks.contains(&(*c as u8))).collect();
                prop_assert_eq!(missing, expected);
            }
        }
        prop_assert_eq!(store.stats().bytes, bytes);
        prop_assert_eq!(store.stats().files, self.complete.len());
        Ok(())
    }
}
