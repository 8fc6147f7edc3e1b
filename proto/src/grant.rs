//! A grant: the owner's signed word that one peer may have one look from whoever holds it, until a moment.
//!
//! It is given with the look itself, so who has one has the list of files already. It names whom: a stolen one is of no
//! use to the thief. Whether it is honoured is decided in [`crate::share_rule`].

use crate::{
    bytes::Bytes,
    id::{BlobHash, PeerId},
    limit::{GRANT_LIFE, GRANT_SKEW},
    proof::Proof,
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

/// Of the signed fields.
pub const GRANT_VERSION: u8 = 1;

/// As it travels; [`Grant::holds_for`] says what it is worth.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    pub owner: PeerId,
    /// Who may have the look.
    pub to: PeerId,
    pub look: BlobHash,
    /// Unix milliseconds.
    pub until: u64,
    pub signature: Bytes<64>,
}

/// Why a grant is worth nothing. For logs: a peer is told the same as if there were nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    #[error("the owner did not sign it")]
    Signature,
    #[error("it names somebody else")]
    Foreign,
    #[error("it has ended")]
    Ended,
    #[error("it lasts longer than any grant")]
    TooLong,
}

impl Grant {
    /// Ends [`GRANT_LIFE`] after `now`, in Unix milliseconds.
    pub fn new(key: &SigningKey, to: PeerId, look: BlobHash, now: u64) -> Self {
        Self::until(key, to, look, now.saturating_add(GRANT_LIFE.as_millis() as u64))
    }

    pub fn until(key: &SigningKey, to: PeerId, look: BlobHash, until: u64) -> Self {
        let owner = PeerId::from_bytes(key.verifying_key().to_bytes());
        let mut grant = Self { owner, to, look, until, signature: Bytes([0; 64]) };
        grant.signature = Bytes(grant.proof().sign(key));
        grant
    }

    fn proof(&self) -> Proof {
        Proof::new("grant", GRANT_VERSION)
            .field(self.owner.as_bytes())
            .field(self.to.as_bytes())
            .field(self.look.as_bytes())
            .number(self.until)
    }

    /// Whether `peer` may have the look at `now`, in Unix milliseconds. Players' clocks are wrong: [`GRANT_SKEW`] is
    /// forgiven, in both directions.
    ///
    /// # Errors
    /// Why it is worth nothing.
    pub fn holds_for(&self, peer: &PeerId, now: u64) -> Result<(), GrantError> {
        if self.to != *peer {
            return Err(GrantError::Foreign);
        }
        self.is_current(now)?;
        if !self.proof().verified_by(&self.owner, &self.signature.0) {
            return Err(GrantError::Signature);
        }
        Ok(())
    }

    /// Whether its time has come and not gone. The signature is not looked at.
    ///
    /// # Errors
    /// That it ended, or is none that an owner gives.
    pub fn is_current(&self, now: u64) -> Result<(), GrantError> {
        let (life, skew) = (GRANT_LIFE.as_millis() as u64, GRANT_SKEW.as_millis() as u64);
        if self.until.saturating_add(skew) <= now {
            return Err(GrantError::Ended);
        }
        if self.until > now.saturating_add(life + skew) {
            return Err(GrantError::TooLong);
        }
        Ok(())
    }
}

/// By what a look is asked after: who does not know the look learns nothing of it, and who hears `asker` ask cannot
/// ask another with the same words.
pub fn holding_tag(owner: &PeerId, look: &BlobHash, asker: &PeerId) -> Bytes<32> {
    let mut hasher = blake3::Hasher::new_derive_key("fyteclub holding v1");
    for part in [owner.as_bytes(), look.as_bytes(), asker.as_bytes()] {
        hasher.update(part);
    }
    Bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const LIFE: u64 = GRANT_LIFE.as_millis() as u64;
    const SKEW: u64 = GRANT_SKEW.as_millis() as u64;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    #[test]
    fn it_holds_for_whom_it_names_and_while_it_lasts() {
        let grant = Grant::new(&SigningKey::from_bytes(&[1; 32]), peer(2), BlobHash::of(b"look"), NOW);
        assert_eq!(grant.holds_for(&peer(2), NOW), Ok(()));
        assert_eq!(grant.holds_for(&peer(3), NOW), Err(GrantError::Foreign));
        assert_eq!(grant.holds_for(&peer(2), NOW + LIFE + SKEW - 1), Ok(()), "their clock is late");
        assert_eq!(grant.holds_for(&peer(2), NOW + LIFE + SKEW), Err(GrantError::Ended));
        assert_eq!(grant.holds_for(&peer(2), NOW - SKEW), Ok(()), "their clock is early");
        assert_eq!(grant.holds_for(&peer(2), NOW - SKEW - 1), Err(GrantError::TooLong));
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let grant = Grant::new(&SigningKey::from_bytes(&[1; 32]), peer(2), BlobHash::of(b"look"), NOW);
        for bent in [
            Grant { to: peer(3), ..grant.clone() },
            Grant { owner: peer(3), ..grant.clone() },
            Grant { look: BlobHash::of(b"another"), ..grant.clone() },
            Grant { until: grant.until + 1, ..grant.clone() },
        ] {
            assert_eq!(bent.holds_for(&bent.to, NOW), Err(GrantError::Signature), "{bent:?}");
        }
    }

    #[test]
    fn a_tag_is_of_one_owner_one_look_and_one_asker() {
        let tag = |owner, look: &[u8], asker| holding_tag(&peer(owner), &BlobHash::of(look), &peer(asker));
        assert_eq!(tag(1, b"look", 2), tag(1, b"look", 2));
        for other in [tag(3, b"look", 2), tag(1, b"other", 2), tag(1, b"look", 3), tag(2, b"look", 1)] {
            assert_ne!(tag(1, b"look", 2), other);
        }
    }
}
