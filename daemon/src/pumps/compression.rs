//! zstd, where it pays: on links slower than zstd, for chunks that shrink.

use fyteclub_proto::number::{f64_of, u64_of};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// Shorter chunks are not compressed.
const SHORTEST: usize = 1024;
/// The part of a chunk that is tried first, and the ratio that it must reach for the rest to be compressed.
const SAMPLE: usize = 4096;
const WORTH: f64 = 0.94;
/// From earlier measurements of about 400 MB/s a core for zstd 3 and 1 GB/s for QUIC: a faster link is filled sooner
/// without compression.
const FAST_LINK: u64 = 150_000_000;
/// Higher ones need the strategies that `.cargo/config.toml` leaves out.
const LEVEL: i32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// When the link's rate is below the threshold.
    #[default]
    Auto,
    Always,
    Never,
}

impl Compression {
    /// `rate_estimate` is the link's, in bytes a second.
    pub fn pays(self, rate_estimate: u64) -> bool {
        match self {
            Self::Auto => rate_estimate < FAST_LINK,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

thread_local! {
    // Contexts are large and slow to create; blocking threads are reused.
    static PACKER: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The compressed bytes, if a sample and then the whole shrank.
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < SHORTEST {
        return None;
    }
    PACKER.with_borrow_mut(|packer| {
        let packer = match packer {
            Some(packer) => packer,
            None => packer.insert(zstd::bulk::Compressor::new(LEVEL).ok()?),
        };
        let shrinks = |len: usize, of: usize| f64_of(u64_of(len)) < f64_of(u64_of(of)) * WORTH;
        // From the middle: headers shrink in every file.
        let middle = bytes.len() / 2;
        let sample = bytes.get(middle..bytes.len().min(middle + SAMPLE))?;
        if !shrinks(packer.compress(sample).ok()?.len(), sample.len()) {
            return None;
        }
        let packed = packer.compress(bytes).ok()?;
        shrinks(packed.len(), bytes.len()).then_some(packed)
    })
}

/// Exactly `len` bytes that a peer compressed; `None` for anything else. Allocates `len` and no more.
pub fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(zstd::bulk::Decompressor::new().ok()?),
        };
        unpacker.decompress(packed, len).ok().filter(|bytes| bytes.len() == len)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunks_that_shrink_are_compressed() {
        let text = "chara/equipment/e6064/texture ".repeat(1000).into_bytes();
        let packed = compress(&text).expect("shrinks");
        assert!(packed.len() < text.len() / 10);
        assert_eq!(decompress(&packed, text.len()), Some(text.clone()));
        assert_eq!(decompress(&packed, text.len() - 1), None, "a bomb ends at the promised length");
        assert_eq!(decompress(&packed, text.len() + 1), None);
        assert_eq!(decompress(b"not zstd", 100), None);
        let mut random = vec![0; 100_000];
        getrandom::fill(&mut random).expect("random");
        assert_eq!(compress(&random), None);
        assert_eq!(compress(&text[..1000]), None, "too short to pay");
    }

    #[test]
    fn fast_link_is_not_compressed() {
        assert!(!Compression::Auto.pays(1_000_000_000));
        assert!(Compression::Auto.pays(12_500_000));
        assert!(Compression::Always.pays(u64::MAX));
        assert!(!Compression::Never.pays(0));
    }
}
