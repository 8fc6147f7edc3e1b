//! Generated mod folders with incompressible bytes.

use anyhow::Context;
use fyteclub_proto::number::{f64_of, u64_of, usize_of, whole};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// xorshift64*: incompressible enough, repeatable, and fast enough for a GiB.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// Sizes from `smallest` to `largest`, as many between 4 and 8 KiB as between 128 and 256.
pub(crate) fn ramp(count: usize, smallest: usize, largest: usize) -> Vec<usize> {
    let times = f64_of(u64_of(largest)) / f64_of(u64_of(smallest));
    let part = |n: usize| f64_of(u64_of(n)) / f64_of(u64_of(count.saturating_sub(1).max(1)));
    (0..count).map(|n| usize_of(whole(f64_of(u64_of(smallest)) * times.powf(part(n))))).collect()
}

/// Writes a mod with files of these sizes, each of its own bytes.
pub(crate) fn write(dir: &Path, sizes: &[usize], seed: u64) -> anyhow::Result<PathBuf> {
    let files = dir.join("files");
    fs::create_dir_all(&files).with_context(|| format!("cannot make {}", files.display()))?;
    let mut noise = Noise::new(seed);
    let mut list = BTreeMap::new();
    for (number, size) in sizes.iter().enumerate() {
        let name = format!("{number:05}.tex");
        fs::write(files.join(&name), noise.bytes(*size))?;
        list.insert(format!("chara/bench/texture/{name}"), format!("files\\{name}"));
    }
    let meta = serde_json::json!({ "FileVersion": 3, "Name": "Bench", "Author": "", "Version": "1" });
    fs::write(dir.join("meta.json"), meta.to_string())?;
    let default = serde_json::json!({ "Version": 0, "Files": list, "FileSwaps": {}, "Manipulations": [] });
    fs::write(dir.join("default_mod.json"), default.to_string())?;
    Ok(dir.to_owned())
}

/// The store re-reads files that changed a moment ago: wait before publishing.
pub(crate) fn age() {
    thread::sleep(Duration::from_millis(2500));
}
