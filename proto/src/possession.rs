//! Proofs that a peer has a blob: it answers a random nonce with a keyed hash over the content, which the blob's hash
//! alone does not allow.
//!
//! The key is made of the nonce and both peers' keys, so an answer cannot be passed on. A **sample** is over one part
//! of the blob, which the nonce chooses; it is cheap, so it can be asked of every large blob of a look, and does not
//! tell the asked peer which are here. **Whole** is over all of it: after that the peer is an origin of the blob. The
//! wire's messages are [`crate::peer::Request::Possession`].

use crate::{
    blob::Content,
    bytes::Bytes,
    id::PeerId,
    limit::{CHUNK_SIZE, SAMPLE_BYTES},
    number,
};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The proven part of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Span {
    /// 0: [`SAMPLE_BYTES`] of one chunk.
    Sample,
    /// 1: all of it.
    Whole,
}

impl Span {
    fn number(self) -> u8 {
        match self {
            Self::Sample => 0,
            Self::Whole => 1,
        }
    }
}

/// One question: asker, asked peer and nonce.
#[derive(Debug, Clone)]
pub struct Challenge {
    key: [u8; 32],
    span: Span,
}

impl Challenge {
    /// `nonce` is the asker's, random and used once.
    pub fn new(nonce: &Bytes<32>, asker: &PeerId, asked: &PeerId, span: Span) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("fyteclub possession v1");
        for part in [&nonce.0, asker.as_bytes(), asked.as_bytes()] {
            hasher.update(part);
        }
        hasher.update(&[span.number()]);
        Self { key: *hasher.finalize().as_bytes(), span }
    }

    /// The chunks of the blob to read, ascending.
    pub fn chunks(&self, content: &Content) -> Range<u32> {
        match self.span {
            Span::Whole => 0..content.chunks(),
            Span::Sample => {
                let chunk = number::low_half(self.draw(content, b"chunk") % u64::from(content.chunks()));
                chunk..chunk + 1
            }
        }
    }

    /// Bytes to read for it.
    pub fn cost(&self, content: &Content) -> u64 {
        self.chunks(content).filter_map(|chunk| content.chunk_len(chunk)).map(number::u64_of).sum()
    }

    /// Begins the proof of one blob; push the bytes of [`Self::chunks`] in order.
    pub fn prove(&self, content: &Content) -> Proving<'_> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(content.hash.as_bytes()).update(&content.size.to_be_bytes());
        Proving { challenge: self, content: *content, hasher }
    }

    /// A number that cannot be predicted without the nonce.
    fn draw(&self, content: &Content, what: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(what).update(content.hash.as_bytes()).update(&content.size.to_be_bytes());
        let mut number = [0; 8];
        hasher.finalize_xof().fill(&mut number);
        u64::from_be_bytes(number)
    }
}

/// A proof under construction.
#[derive(Debug)]
pub struct Proving<'a> {
    challenge: &'a Challenge,
    content: Content,
    hasher: blake3::Hasher,
}

impl Proving<'_> {
    /// Takes the next chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        match self.challenge.span {
            Span::Whole => drop(self.hasher.update(chunk)),
            Span::Sample => {
                let spare = number::u64_of(chunk.len().saturating_sub(SAMPLE_BYTES)) + 1;
                let from = number::usize_of(self.challenge.draw(&self.content, b"offset") % spare);
                self.hasher.update(&chunk[from..chunk.len().min(from + SAMPLE_BYTES)]);
            }
        }
    }

    pub fn finish(self) -> Bytes<32> {
        Bytes(*self.hasher.finalize().as_bytes())
    }
}

const _: () = assert!(SAMPLE_BYTES <= CHUNK_SIZE);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    fn blob() -> Vec<u8> {
        (0..3 * CHUNK_SIZE + 77).map(|n| ((n * n) >> 7) as u8).collect()
    }

    fn proof(challenge: &Challenge, bytes: &[u8], content: &Content) -> Bytes<32> {
        let mut proving = challenge.prove(content);
        for chunk in challenge.chunks(content) {
            proving.push(bytes.chunks(CHUNK_SIZE).nth(chunk as usize).expect("a chunk"));
        }
        proving.finish()
    }

    #[test]
    fn proof_is_of_one_nonce_pair_span_and_content() {
        let bytes = blob();
        let content = Content::of(&bytes);
        for span in [Span::Sample, Span::Whole] {
            let challenge = |nonce: u8, asker, asked, span| {
                Challenge::new(&Bytes([nonce; 32]), &peer(asker), &peer(asked), span)
            };
            let of = |challenge| proof(&challenge, &bytes, &content);
            let right = of(challenge(1, 2, 3, span));
            assert_eq!(of(challenge(1, 2, 3, span)), right);
            let other = if span == Span::Sample { Span::Whole } else { Span::Sample };
            for wrong in [challenge(9, 2, 3, span), challenge(1, 9, 3, span), challenge(1, 2, 9, span)] {
                assert_ne!(of(wrong), right);
            }
            assert_ne!(of(challenge(1, 3, 2, span)), right, "nor the other way round");
            assert_ne!(of(challenge(1, 2, 3, other)), right);
            let longer = Content { size: content.size + 1, ..content };
            assert_ne!(proof(&challenge(1, 2, 3, span), &bytes, &longer), right);
        }
    }

    #[test]
    fn bent_place_is_found_by_whole_and_its_sample() {
        let bytes = blob();
        let content = Content::of(&bytes);
        let mut found = 0;
        for nonce in 0..64 {
            let challenge = |span| Challenge::new(&Bytes([nonce; 32]), &peer(1), &peer(2), span);
            let mut bent = bytes.clone();
            bent[2 * CHUNK_SIZE + 5..2 * CHUNK_SIZE + CHUNK_SIZE].fill(0);
            let (whole, sample) = (challenge(Span::Whole), challenge(Span::Sample));
            assert_ne!(proof(&whole, &bent, &content), proof(&whole, &bytes, &content));
            let differs = proof(&sample, &bent, &content) != proof(&sample, &bytes, &content);
            assert_eq!(differs, sample.chunks(&content) == (2..3));
            found += u32::from(differs);
        }
        assert!((4..40).contains(&found), "the nonce chooses the place: {found} of 64");
    }

    #[test]
    fn sample_costs_a_chunk_and_whole_costs_the_blob() {
        let content = Content { hash: crate::id::BlobHash::of(b"x"), size: 300 * 1024 * 1024 };
        let cost = |span| Challenge::new(&Bytes([1; 32]), &peer(1), &peer(2), span).cost(&content);
        assert_eq!((cost(Span::Sample), cost(Span::Whole)), (CHUNK_SIZE as u64, content.size));
    }
}
