//! Offers: what each peer of an introduction writes in its letters. Candidates, and what probes need.
//!
//! An offer is a list of candidates with entries of further kinds, so a daemon without probes reads the candidates and skips
//! the rest:
//!
//! ```text
//! 16 secret, 32 bytes · 17 kind of NAT, u8 · 18 round, u32 big-endian · 19 leaves, u32 big-endian
//! ```

use super::probe::Secret;
use crate::{
    bytes::Bytes,
    reaching::{
        candidate::{Candidates, CandidatesError, entries},
        nat::Nat,
    },
};
use zeroize::Zeroize;

const SECRET: u8 = 16;
const NAT: u8 = 17;
const ROUND: u8 = 18;
const LEAVES: u8 = 19;

/// A later offer of a round replaces the earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The same in all offers of one peer and introduction. `None`: the sender's build has no probes.
    pub secret: Option<Secret>,
    pub nat: Nat,
    /// Counts the attempts at hole punching, from 0. A number above the receiver's own starts the next attempt there.
    pub round: u32,
    /// How often the sender left a direct path because a person wished so. One more than before: the receiver leaves it, too.
    pub leaves: u32,
    pub candidates: Candidates,
}

impl Offer {
    /// As it stands in a letter.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.candidates.encode();
        if let Some(mut secret) = self.secret {
            bytes.extend([SECRET, 32]);
            bytes.extend(secret.0);
            secret.0.zeroize();
        }
        bytes.extend([NAT, 1, self.nat.number()]);
        bytes.extend([ROUND, 4]);
        bytes.extend(self.round.to_be_bytes());
        if self.leaves > 0 {
            bytes.extend([LEAVES, 4]);
            bytes.extend(self.leaves.to_be_bytes());
        }
        bytes
    }

    /// Reads a letter's text. Of two entries of one kind the first counts.
    ///
    /// # Errors
    /// As [`Candidates::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CandidatesError> {
        let candidates = Candidates::decode(bytes)?;
        let (mut secret, mut nat, mut round, mut leaves) = (None, None, None, None);
        for entry in entries(bytes) {
            let (kind, value) = entry?;
            match kind {
                SECRET => secret = secret.or_else(|| value.try_into().ok().map(Bytes)),
                NAT => nat = nat.or_else(|| value.first().copied().map(Nat::from)),
                ROUND => round = round.or_else(|| value.try_into().ok().map(u32::from_be_bytes)),
                LEAVES => leaves = leaves.or_else(|| value.try_into().ok().map(u32::from_be_bytes)),
                _ => {}
            }
        }
        let (round, leaves) = (round.unwrap_or_default(), leaves.unwrap_or_default());
        Ok(Self { secret, nat: nat.unwrap_or_default(), round, leaves, candidates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limit::{CANDIDATES_READ_MAX, LETTER_BYTES_MAX},
        reaching::candidate::{Candidate, Origin},
        seal::TAG,
    };

    fn offer(count: usize) -> Offer {
        let addr = |n| format!("[2001:db8::{n:x}]:7777").parse().expect("an address");
        let candidates = (1..=count).map(|n| Candidate { origin: Origin::Host, addr: addr(n) }).collect();
        Offer {
            secret: Some(Bytes([9; 32])),
            nat: Nat::PerDestination,
            round: 70_000,
            leaves: 3,
            candidates: Candidates(candidates),
        }
    }

    #[test]
    fn build_without_probes_reads_candidates() {
        let offer = offer(3);
        assert_eq!(Offer::decode(&offer.encode()), Ok(offer.clone()));
        assert_eq!(Candidates::decode(&offer.encode()), Ok(offer.candidates.clone()));
        let old = Offer { candidates: offer.candidates.clone(), ..Offer::default() };
        assert_eq!(Offer::decode(&offer.candidates.encode()), Ok(old));
    }

    #[test]
    fn longest_offer_fits_a_letter() {
        assert!(offer(CANDIDATES_READ_MAX).encode().len() + TAG <= LETTER_BYTES_MAX);
    }

    #[test]
    fn bad_values_are_skipped_and_first_counts() {
        let offer = offer(1);
        let short = [&[SECRET, 3, 1, 2, 3, NAT, 0, ROUND, 2, 0, 1][..], &offer.encode()].concat();
        assert_eq!(Offer::decode(&short), Ok(offer.clone()));
        let other = Offer { secret: Some(Bytes([1; 32])), nat: Nat::Open, round: 1, ..Offer::default() };
        let twice = [offer.encode(), other.encode()].concat();
        assert_eq!(Offer::decode(&twice), Ok(offer.clone()));
        assert_eq!(Offer::decode(&[NAT, 1, 200]).map(|offer| offer.nat), Ok(Nat::Unknown));
        let cut = offer.encode();
        assert_eq!(Offer::decode(&cut[..cut.len() - 1]), Err(CandidatesError::Cut));
    }
}
