//! Looks of others that this side has fetched, and may pass on to those whom their owners let have them.
//!
//! Written by the coordinator, read by pumps. Gone with the daemon: after a restart a look is passed on again when it was
//! fetched again, which costs no byte.

use crate::consent::Consent;
use fyteclub_proto::{
    bytes::Bytes,
    grant::{Grant, holding_tag},
    id::{BlobHash, PeerId},
    share_rule::Lent,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Looks of one owner that are remembered: outfits that are put on and off in turns.
const LOOKS_MAX: usize = 4;

/// One look, with what makes it ours to pass on.
#[derive(Debug)]
pub struct Loan {
    /// The owner's word that this side may have it.
    grant: Grant,
    owner: Consent,
    /// The look's distinct blobs, ascending.
    pub blobs: Vec<BlobHash>,
    growing: AtomicBool,
}

impl Loan {
    /// What the share rule wants to know, at `now` in Unix milliseconds.
    pub fn lent(&self, now: u64) -> Lent {
        let owner = self.owner.asker();
        Lent { owner: owner.contact && !owner.banned, held: self.grant.is_current(now).is_ok() }
    }

    /// Whether it is still being fetched.
    pub fn is_growing(&self) -> bool {
        self.growing.load(Ordering::Acquire)
    }

    pub fn names(&self, hash: &BlobHash) -> bool {
        self.blobs.binary_search(hash).is_ok()
    }
}

type Loans = HashMap<(PeerId, BlobHash), Arc<Loan>>;

#[derive(Debug, Clone, Default)]
pub struct Lending(Arc<RwLock<Loans>>);

impl Lending {
    /// A look is being fetched under this grant, which was checked; `blobs` ascend.
    pub fn begin(&self, grant: Grant, owner: Consent, blobs: Vec<BlobHash>, now: u64) {
        self.change(|loans| {
            loans.retain(|_, loan| loan.grant.is_current(now).is_ok());
            let of_owner = |key: &(PeerId, BlobHash)| key.0 == grant.owner && key.1 != grant.look;
            while loans.keys().filter(|key| of_owner(key)).count() >= LOOKS_MAX {
                let oldest = loans.iter().filter(|(key, _)| of_owner(key));
                let Some(key) = oldest.min_by_key(|(_, loan)| loan.grant.until).map(|(key, _)| *key) else {
                    break;
                };
                loans.remove(&key);
            }
            let key = (grant.owner, grant.look);
            let growing = AtomicBool::new(true);
            loans.insert(key, Arc::new(Loan { grant, owner, blobs, growing }));
        });
    }

    /// It is fetched no more: there is what there is.
    pub fn settle(&self, owner: &PeerId, look: &BlobHash) {
        if let Some(loan) = self.of(owner, look) {
            loan.growing.store(false, Ordering::Release);
        }
    }

    /// This owner is no contact any more.
    pub fn forget(&self, owner: &PeerId) {
        self.change(|loans| loans.retain(|(of, _), _| of != owner));
    }

    pub fn of(&self, owner: &PeerId, look: &BlobHash) -> Option<Arc<Loan>> {
        self.loans().get(&(*owner, *look)).cloned()
    }

    /// Which look `asker` asks after.
    pub fn by_tag(&self, tag: &Bytes<32>, asker: &PeerId) -> Option<Arc<Loan>> {
        let loans = self.loans();
        let found = loans.iter().find(|((owner, look), _)| holding_tag(owner, look, asker) == *tag);
        found.map(|(_, loan)| loan.clone())
    }

    fn loans(&self) -> std::sync::RwLockReadGuard<'_, Loans> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Loans)) {
        change(&mut self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::limit::{GRANT_LIFE, GRANT_SKEW};

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn it_is_ours_to_pass_on_while_the_owner_is_a_contact_and_the_grant_lasts() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let (here, look) = (PeerId::from_bytes([2; 32]), BlobHash::of(b"look"));
        let (lending, owner) = (Lending::default(), Consent::default());
        owner.set_contact(true);
        let grant = Grant::new(&key, here, look, NOW);
        lending.begin(grant.clone(), owner.clone(), vec![BlobHash::of(b"a")], NOW);
        let tag = holding_tag(&grant.owner, &look, &here);
        let loan = lending.by_tag(&tag, &here).expect("there");
        assert!(lending.by_tag(&tag, &grant.owner).is_none(), "another's words");
        assert!(loan.is_growing() && loan.names(&BlobHash::of(b"a")) && !loan.names(&BlobHash::of(b"b")));
        lending.settle(&grant.owner, &look);
        assert!(!loan.is_growing());
        let after = NOW + (GRANT_LIFE + GRANT_SKEW).as_millis() as u64;
        assert_eq!(loan.lent(NOW), Lent { owner: true, held: true });
        assert_eq!(loan.lent(after), Lent { owner: true, held: false });
        owner.set_contact(false);
        assert_eq!(loan.lent(NOW), Lent { owner: false, held: true });
        owner.set_contact(true);
        owner.set_banned(true);
        assert!(!loan.lent(NOW).owner);
        lending.forget(&grant.owner);
        assert!(lending.of(&grant.owner, &look).is_none());
    }

    #[test]
    fn an_owner_who_changes_all_the_time_fills_no_memory() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let here = PeerId::from_bytes([2; 32]);
        let lending = Lending::default();
        for n in 0..20u64 {
            let grant = Grant::new(&key, here, BlobHash::of(&n.to_le_bytes()), NOW + n);
            lending.begin(grant, Consent::default(), vec![], NOW + n);
        }
        assert!(lending.loans().len() <= LOOKS_MAX + 1);
        let owner = PeerId::from_bytes(key.verifying_key().to_bytes());
        assert!(lending.of(&owner, &BlobHash::of(&19u64.to_le_bytes())).is_some(), "the newest is there");
    }
}
