//! How long a target runs, and the report of a finding.

use crate::{
    mutation::{Chance, mutated},
    seed::{hex, unhex},
};
use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    time::{Duration, Instant},
};

/// Mutations of an ordinary run: all targets together take a few seconds.
const ORDINARY_RUN: usize = 2_000;

/// The path of the test that a closure is in, without the binary's name: `peer::control`.
pub fn name(closure: &'static str) -> &'static str {
    let path = closure.trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_, rest)| rest)
}

/// Runs every seed, then mutations of them.
///
/// # Panics With the property's panic, after printing the input.
pub fn run(name: &str, tests_dir: &str, seeds: &[Vec<u8>], property: &dyn Fn(&[u8])) {
    if env::var_os("CARGO_BOLERO_SELECT").is_some() {
        return;
    }
    if let Ok(input) = env::var("FYTECLUB_FUZZ_INPUT") {
        return property(&unhex(input.as_bytes()));
    }
    if env::var_os("FYTECLUB_FUZZ_CORPUS").is_some() {
        write_corpus(name, Path::new(tests_dir), seeds);
    }
    let check = |input: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| property(input))) {
            eprintln!("{name} fails for FYTECLUB_FUZZ_INPUT={}", hex(input));
            resume_unwind(panic);
        }
    };
    seeds.iter().for_each(|seed| check(seed));
    match env::var("FYTECLUB_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()) {
        None => {
            let mut chance = Chance::named(name);
            (0..ORDINARY_RUN).for_each(|_| check(&mutated(seeds, &mut chance)));
        }
        Some(seconds) => {
            let end = Instant::now() + Duration::from_secs(seconds);
            let mut chance = Chance::new(RandomState::new().hash_one(name));
            while Instant::now() < end {
                check(&mutated(seeds, &mut chance));
            }
        }
    }
}

/// The folder where bolero and libFuzzer look for it.
fn write_corpus(name: &str, tests_dir: &Path, seeds: &[Vec<u8>]) {
    let dir = tests_dir.join("__fuzz__").join(name.replace("::", "__")).join("corpus");
    fs::create_dir_all(&dir).expect("a writable checkout");
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(dir.join(format!("golden-{number:03}")), seed).expect("a writable checkout");
    }
}
