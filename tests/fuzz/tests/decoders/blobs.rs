//! Chunk lists and sealed pieces: only the right bytes at the right place are accepted.

use crate::modest;
use fyteclub_fuzz::{
    fuzz,
    seed::{goldens, texts},
};
use fyteclub_proto::{
    blob::{ORIGIN_RECORD, ORIGINS_MAGIC, origin_record, read_origins},
    chunk_tree::{ChunkTree, TreeBuilder, chunk_count, chunk_len},
    id::{BlobHash, PeerId},
    limit::CHUNK_SIZE,
    number::u64_of,
    seal::{End, LinkSecret, TAG},
};

/// Reading returns the written records, and nothing else.
#[test]
fn origins() {
    let record = |n: u8| origin_record(&BlobHash::of(&[n]), &PeerId::from_bytes([n; 32]));
    let seed: Vec<u8> = ORIGINS_MAGIC.iter().copied().chain((0..3).flat_map(record)).collect();
    fuzz!([seed], |input: &[u8]| {
        let (read, clean) = modest(input, || read_origins(input));
        for (hash, owner) in &read {
            let record = origin_record(hash, owner);
            assert!(input.windows(ORIGIN_RECORD).any(|window| window == record));
        }
        assert!(!clean || input.len() == ORIGINS_MAGIC.len() + read.len() * ORIGIN_RECORD);
    });
}

/// A list verifies only for its blob.
#[test]
fn chunk_list() {
    let blob = [vec![1; CHUNK_SIZE], vec![2; CHUNK_SIZE], b"end".to_vec()].concat();
    let mut builder = TreeBuilder::default();
    blob.chunks(CHUNK_SIZE).for_each(|chunk| builder.push(chunk));
    let right = builder.finish();
    fuzz!(goldens("peer_v1", &["chunk_list"]), |input: &[u8]| {
        let (hash, size) = (right.hash(), right.size());
        assert_eq!(ChunkTree::prove(hash, size, input).is_ok(), input == right.list());
        assert!(ChunkTree::prove(BlobHash::of(b"other"), size, input).is_err());
        let one = u64_of(CHUNK_SIZE);
        for claimed in [0, 1, one, one + 1, 3 * one, size - 1, u64::MAX, u64_of(input.len()) * 8192] {
            let proven = ChunkTree::prove(hash, claimed, input);
            // The list gives the number of chunks; only the bytes give the last one's length.
            if chunk_count(claimed) == 1 {
                assert_eq!(proven.is_ok(), input.is_empty());
            } else {
                let same = input == right.list() && chunk_count(claimed) == 3;
                assert_eq!(proven.is_ok(), same);
            }
            if let Ok(tree) = proven {
                assert!(claimed == size || tree.verify(tree.chunks() - 1, b"end").is_err());
            }
        }
    });
}

/// Of a blob of one chunk with a wrong size, only its own bytes verify.
#[test]
fn chunk() {
    fuzz!(texts(&["", "a", "a chunk", &"long ".repeat(300)]), |input: &[u8]| {
        let mut builder = TreeBuilder::default();
        builder.push(input);
        let tree = builder.finish();
        assert_eq!(tree.hash(), BlobHash::of(input));
        assert_eq!(tree.verify(0, input).expect("its own bytes").bytes(), input);
        assert!(tree.verify(1, input).is_err() && tree.verify(u32::MAX, input).is_err());
        if let Some((last, rest)) = input.split_last() {
            assert!(tree.verify(0, rest).is_err());
            assert!(tree.verify(0, &[rest, &[last ^ 1]].concat()).is_err());
        }
        let claims = ChunkTree::single(BlobHash::of(b"claimed"), u64_of(input.len())).expect("one chunk");
        assert!(claims.verify(0, input).is_err());
    });
}

/// Lengths of chunks add up to the blob, whatever its size.
#[test]
fn chunk_lengths() {
    fuzz!([vec![0; 8], vec![0, 0, 0, 4, 0, 0, 0, 0], vec![255; 8]], |input: &[u8]| {
        let Some((bytes, _)) = input.split_first_chunk::<8>() else { return };
        let size = u64::from_le_bytes(*bytes);
        let count = chunk_count(size);
        if size < u64::from(u32::MAX) * u64_of(CHUNK_SIZE) {
            let last = chunk_len(size, count - 1).expect("the last chunk");
            assert_eq!(u64::from(count - 1) * u64_of(CHUNK_SIZE) + u64_of(last), size);
            assert_eq!(chunk_len(size, count), None);
        }
    });
}

/// Only sealed bytes open, and only unchanged.
#[test]
fn sealed() {
    let key = LinkSecret::new([5; 32], End::Dialer);
    let other_end = LinkSecret::new([5; 32], End::Acceptor);
    let (seals, opens) = (key.sealing(1), other_end.opening(1));
    let seeds = [goldens("peer_v1", &["sealed_"]), texts(&["", "sixteen bytes ok"])].concat();
    // Keys have no state that a panic could leave inconsistent.
    let (seals, opens) = (std::panic::AssertUnwindSafe(seals), std::panic::AssertUnwindSafe(opens));
    fuzz!(seeds, |input: &[u8]| {
        let (mut bulk, mut small) = (input.to_vec(), input.to_vec());
        assert!(opens.bulk().open([2; 12], b"place", &mut bulk).is_err());
        assert!(opens.small().open([2; 12], b"place", &mut small).is_err());

        let mut sealed = input.to_vec();
        seals.bulk().seal([1; 12], b"place", &mut sealed);
        assert_eq!(sealed.len(), input.len() + TAG);
        let at = input.first().map_or(0, |byte| usize::from(*byte) % sealed.len());
        let mut bent = sealed.clone();
        bent[at] ^= 0x10;
        assert!(opens.small().open([1; 12], b"place", &mut bent).is_err());
        opens.small().open([1; 12], b"place", &mut sealed).expect("as it was sealed");
        assert_eq!(sealed, input);
    });
}
