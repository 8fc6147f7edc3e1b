//! Proofs that this side has a blob, to send and to compare with a peer's. Blocking.

use crate::io::store::Store;
use fyteclub_proto::{
    blob::{Blob, Content, Origin},
    bytes::Bytes,
    possession::Challenge,
};

/// A peer's proofs: one for each blob, in the order of the question.
#[derive(Debug)]
pub struct Answers {
    pub challenge: Challenge,
    pub blobs: Vec<Content>,
    pub proofs: Vec<Option<Bytes<32>>>,
}

/// The proof of one blob that is here, of any origin; `None` if it is absent or unreadable.
pub fn prove(store: &Store, challenge: &Challenge, content: &Content) -> Option<Bytes<32>> {
    let reader = store.open_blob(&Blob { content: *content, origin: Origin::Own }).ok()?;
    let mut proving = challenge.prove(content);
    let mut chunk = Vec::new();
    for index in challenge.chunks(content) {
        reader.read_chunk(index, &mut chunk).ok()?;
        proving.push(&chunk);
    }
    Some(proving.finish())
}

impl Answers {
    /// The blobs that are here and that the peer proved to have.
    pub fn proven<'a>(&'a self, store: &'a Store) -> impl Iterator<Item = Content> + 'a {
        let answered = self.blobs.iter().zip(&self.proofs);
        let right = |(content, proof): &(&Content, &Option<Bytes<32>>)| {
            proof.is_some() && prove(store, &self.challenge, content) == **proof
        };
        answered.filter(right).map(|(content, _)| *content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::store::StoreConfig;
    use fyteclub_proto::{id::PeerId, limit::CHUNK_SIZE, possession::Span};

    #[test]
    fn only_blobs_of_both_sides_are_proven() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { cache_limit: u64::MAX, min_free: None };
        let here = Store::open(&dir.path().join("here"), config).expect("a store").0;
        let there = Store::open(&dir.path().join("there"), config).expect("a store").0;
        let files: Vec<Vec<u8>> = (1..4u8).map(|n| vec![n; 2 * CHUNK_SIZE + usize::from(n)]).collect();
        let path = |n: usize| dir.path().join(format!("{n}.tex"));
        for (n, file) in files.iter().enumerate() {
            std::fs::write(path(n), file).expect("written");
        }
        for (store, n) in [(&here, 0), (&here, 1), (&there, 1), (&there, 2)] {
            store.index_source(&path(n)).expect("read");
        }
        let blobs: Vec<Content> = files.iter().map(|file| Content::of(file)).collect();
        for span in [Span::Sample, Span::Whole] {
            let peer = |n| PeerId::from_bytes([n; 32]);
            let challenge = Challenge::new(&Bytes([7; 32]), &peer(1), &peer(2), span);
            let proofs = blobs.iter().map(|content| prove(&there, &challenge, content)).collect();
            let mut answers = Answers { challenge, blobs: blobs.clone(), proofs };
            assert_eq!(answers.proven(&here).collect::<Vec<_>>(), [blobs[1]]);
            answers.proofs[1] = Some(Bytes([0; 32]));
            assert_eq!(answers.proven(&here).count(), 0);
            let longer = Content { size: blobs[1].size + 1, ..blobs[1] };
            assert_eq!(prove(&here, &answers.challenge, &longer), None, "of that size it is not here");
        }
    }
}
