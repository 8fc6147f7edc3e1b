//! A grant: the owner's signed permission for one peer to get one look from others, until a time.
//!
//! It is sent with the look itself, so its holder has the list of files already. It names the peer, so a stolen one is
//! useless. [`crate::share_rule`] decides whether it is honoured. It is short, and renewed while it is used:
//! [`Tenure`].

use crate::{
    bytes::Bytes,
    id::{BlobHash, PeerId},
    limit::{GRANT_LIFE, GRANT_SKEW},
    number::millis,
    proof::Proof,
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

/// Of the signed fields.
pub const GRANT_VERSION: u8 = 1;

/// As on the wire; [`Grant::holds_for`] checks it.
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

/// Why a grant is invalid. For logs: a peer gets the answer for an absent blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    #[error("the owner did not sign it")]
    Signature,
    #[error("it names another peer")]
    Foreign,
    #[error("it has ended")]
    Ended,
    #[error("it lasts longer than any grant")]
    TooLong,
}

impl Grant {
    /// Ends [`GRANT_LIFE`] after `now`, in Unix milliseconds.
    pub fn new(key: &SigningKey, to: PeerId, look: BlobHash, now: u64) -> Self {
        Self::until(key, to, look, now.saturating_add(millis(GRANT_LIFE)))
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

    /// Checks whether `peer` may have the look at `now`, in Unix milliseconds. Players' clocks are wrong:
    /// [`GRANT_SKEW`] is forgiven, in both directions.
    ///
    /// # Errors Why it is invalid.
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

    /// Checks its time, without the signature.
    ///
    /// # Errors It ended, or is longer than an owner gives.
    pub fn is_current(&self, now: u64) -> Result<(), GrantError> {
        let (life, skew) = (millis(GRANT_LIFE), millis(GRANT_SKEW));
        if self.until.saturating_add(skew) <= now {
            return Err(GrantError::Ended);
        }
        if self.until > now.saturating_add(life + skew) {
            return Err(GrantError::TooLong);
        }
        Ok(())
    }
}

/// A grant that is used for longer than one lasts: says when to ask its owner for the next, and stores it. Times are
/// Unix milliseconds.
#[derive(Debug, Clone)]
pub struct Tenure {
    grant: Grant,
    asked: Option<u64>,
}

/// How long an owner has to answer before it is asked again.
const ASK_AGAIN: u64 = 20_000;

impl Tenure {
    /// `grant` was checked.
    pub fn new(grant: Grant) -> Self {
        Self { grant, asked: None }
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether to ask the owner now; it counts as asked then. Half of a grant's life is left for retries, and for
    /// clocks that differ.
    pub fn is_due(&mut self, now: u64) -> bool {
        let half = millis(GRANT_LIFE) / 2;
        let due = self.grant.until <= now.saturating_add(half)
            && self.asked.is_none_or(|asked| now >= asked.saturating_add(ASK_AGAIN) || now < asked);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// Takes the owner's next grant to `peer`. Returns false, without a change, if it is not for this look, not valid,
    /// or no longer than the last.
    pub fn renew(&mut self, grant: Grant, peer: &PeerId, now: u64) -> bool {
        let same = (grant.owner, grant.look) == (self.grant.owner, self.grant.look);
        let good = same && grant.until > self.grant.until && grant.holds_for(peer, now).is_ok();
        if good {
            (self.grant, self.asked) = (grant, None);
        }
        good
    }
}

/// The tag by which a look is asked for: a peer that does not know the look learns nothing, and cannot repeat `asker`'s
/// tag to others.
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
    const LIFE: u64 = millis(GRANT_LIFE);
    const SKEW: u64 = millis(GRANT_SKEW);

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    #[test]
    fn grant_is_valid_for_its_peer_and_time() {
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
    fn grant_ends_in_ten_minutes_also_by_late_clocks() {
        let grant = Grant::new(&SigningKey::from_bytes(&[1; 32]), peer(2), BlobHash::of(b"look"), NOW);
        // A holder's clock is late by so much, so long after the grant.
        for late in 0..=SKEW / 1000 {
            let honoured = |after: u64| grant.holds_for(&peer(2), NOW - late * 1000 + after).is_ok();
            assert!(!(10 * 60_000..60 * 60_000).step_by(1000).any(honoured), "{late} s late");
        }
    }

    /// A holder, an owner and time: while the owner renews, the look is held without a gap; without renewals, for ten
    /// minutes at most.
    #[test]
    fn removed_contact_loses_loans_when_grant_ends() {
        let (key, here) = (SigningKey::from_bytes(&[1; 32]), peer(2));
        let give = |now| Grant::new(&key, here, BlobHash::of(b"look"), now);
        for (late, early) in [(0, 0), (SKEW, 0), (0, SKEW)] {
            let clock = |now: u64| now - late + early;
            let mut tenure = Tenure::new(give(NOW));
            let removed = NOW + 2 * 60 * 60_000;
            let (mut asked, mut ended) = (0, None);
            for now in (NOW..removed + 20 * 60_000).step_by(1000) {
                if tenure.is_due(clock(now)) {
                    asked += 1;
                    // A removed peer gets a stranger's answer.
                    if now < removed {
                        assert!(tenure.renew(give(now), &here, clock(now)));
                    }
                }
                let held = tenure.grant().holds_for(&here, clock(now)).is_ok();
                assert!(held || now >= removed, "no gap while they are friends");
                if !held && ended.is_none() {
                    ended = Some(now);
                }
            }
            let ended = ended.expect("it ends");
            assert!(ended - removed <= 10 * 60_000, "{} s", (ended - removed) / 1000);
            assert!(asked < 200, "{asked}");
        }
    }

    #[test]
    fn renewal_takes_only_a_longer_grant_of_the_same() {
        let (key, here) = (SigningKey::from_bytes(&[1; 32]), peer(2));
        let give = |key: &SigningKey, to, look: &[u8], now| Grant::new(key, to, BlobHash::of(look), now);
        let mut tenure = Tenure::new(give(&key, here, b"look", NOW));
        assert!(!tenure.is_due(NOW + LIFE / 2 - 1));
        assert!(tenure.is_due(NOW + LIFE / 2) && !tenure.is_due(NOW + LIFE / 2 + 1), "asked once");
        assert!(tenure.is_due(NOW + LIFE / 2 + ASK_AGAIN), "and again without an answer");
        let now = NOW + LIFE / 2;
        let other = SigningKey::from_bytes(&[3; 32]);
        for wrong in [
            give(&other, here, b"look", now),
            give(&key, peer(3), b"look", now),
            give(&key, here, b"other", now),
            give(&key, here, b"look", NOW),
            Grant::until(&key, here, BlobHash::of(b"look"), u64::MAX),
            Grant { until: now + LIFE, ..give(&key, here, b"look", NOW) },
        ] {
            assert!(!tenure.renew(wrong.clone(), &here, now), "{wrong:?}");
        }
        assert!(tenure.renew(give(&key, here, b"look", now), &here, now) && !tenure.is_due(now));
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
