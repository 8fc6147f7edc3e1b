//! Looks of others that this side has fetched, and may pass on to those whom their owners let have them.
//!
//! Written by the coordinator, read by pumps. What a look names is passed on as far as it came from the look's owner, which
//! the store knows; a loan lasts as long as the owner goes on granting it ([`Tenure`]). Gone with the daemon: after a
//! restart a look is passed on again when it was fetched again, which costs no byte.

use super::access::Access;
use fyteclub_proto::{
    blob::{Blob, Content, Origin},
    bytes::Bytes,
    grant::{Grant, Tenure, holding_tag},
    id::{BlobHash, PeerId},
    share_rule::Lent,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Looks of one owner that are remembered: outfits that are put on and off in turns.
const LOOKS_MAX: usize = 4;

/// One look, with what makes it ours to pass on.
#[derive(Debug)]
pub struct Loan {
    /// The owner's word that this side may have it.
    tenure: Mutex<Tenure>,
    peer: PeerId,
    owner: Access,
    /// The look's distinct blobs, ascending by hash.
    blobs: Vec<Content>,
    growing: AtomicBool,
}

impl Loan {
    fn tenure(&self) -> MutexGuard<'_, Tenure> {
        self.tenure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the share rule wants to know, at `now` in Unix milliseconds.
    pub fn lent(&self, now: u64) -> Lent {
        Lent { owner: self.owner.check().is_ok(), held: self.tenure().grant().is_current(now).is_ok() }
    }

    /// Whether it is still being fetched.
    pub fn is_growing(&self) -> bool {
        self.growing.load(Ordering::Acquire)
    }

    /// Every blob that the look names, as its owner's; ascending by hash.
    pub fn blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        self.blobs.iter().map(|content| self.owners(*content))
    }

    /// The blob of this hash, as the look's owner's; `None` when the look does not name it.
    pub fn blob(&self, hash: &BlobHash) -> Option<Blob> {
        let at = self.blobs.binary_search_by_key(hash, |content| content.hash).ok()?;
        self.blobs.get(at).map(|content| self.owners(*content))
    }

    fn owners(&self, content: Content) -> Blob {
        Blob { content, origin: Origin::Owner(self.peer) }
    }
}

type Loans = HashMap<(PeerId, BlobHash), Arc<Loan>>;

#[derive(Debug, Clone, Default)]
pub struct Lending(Arc<RwLock<Loans>>);

impl Lending {
    /// Notes that a look, of which these are the blobs, ascending by hash, may be asked of others and passed on. A grant
    /// that is not good is nobody's fault: players' clocks are wrong, and then the owner alone is asked.
    pub fn borrow(
        &self,
        grant: Grant,
        here: &PeerId,
        (owner, access): (PeerId, Access),
        (look, blobs): (BlobHash, Vec<Content>),
        now: u64,
    ) {
        let checked = grant.holds_for(here, now);
        if checked.is_ok() && grant.owner == owner && grant.look == look {
            return self.begin(grant, access, blobs, now);
        }
        tracing::info!(peer = %owner.short(), "others are not asked for this look: its grant is not good ({checked:?})");
    }

    /// A look is being fetched under this grant, which was checked; `blobs` ascend by hash.
    fn begin(&self, grant: Grant, owner: Access, blobs: Vec<Content>, now: u64) {
        self.change(|loans| {
            loans.retain(|_, loan| loan.tenure().grant().is_current(now).is_ok());
            let (peer, look) = (grant.owner, grant.look);
            let of_owner = |key: &(PeerId, BlobHash)| key.0 == peer && key.1 != look;
            while loans.keys().filter(|key| of_owner(key)).count() >= LOOKS_MAX {
                let oldest = loans.iter().filter(|(key, _)| of_owner(key));
                let key = oldest.min_by_key(|(_, loan)| loan.tenure().grant().until).map(|(key, _)| *key);
                let Some(key) = key else { break };
                loans.remove(&key);
            }
            let (tenure, growing) = (Mutex::new(Tenure::new(grant)), AtomicBool::new(true));
            loans.insert((peer, look), Arc::new(Loan { tenure, peer, owner, blobs, growing }));
        });
    }

    /// The owner's word for this side, to be shown to others; `None` when there is none that lasts at `now`.
    pub fn grant(&self, owner: &PeerId, look: &BlobHash, now: u64) -> Option<Grant> {
        let loan = self.of(owner, look)?;
        let grant = loan.tenure().grant().clone();
        grant.is_current(now).is_ok().then_some(grant)
    }

    /// The looks for which these owners are to be asked for another grant now; they count as asked then.
    pub fn due(&self, now: u64, is_linked: impl Fn(&PeerId) -> bool) -> Vec<(PeerId, BlobHash)> {
        let loans = self.loans();
        let due = loans.iter().filter(|((owner, _), loan)| is_linked(owner) && loan.tenure().is_due(now));
        due.map(|(key, _)| *key).collect()
    }

    /// Takes an owner's next grant to `here`; one that is not good is worth nothing.
    pub fn renew(&self, grant: Grant, here: &PeerId, now: u64) {
        if let Some(loan) = self.of(&grant.owner, &grant.look) {
            loan.tenure().renew(grant, here, now);
        }
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
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Loans)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
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
        let (lending, owner) = (Lending::default(), Access::default());
        owner.set_contact(true);
        let grant = Grant::new(&key, here, look, NOW);
        lending.begin(grant.clone(), owner.clone(), vec![Content::of(b"a")], NOW);
        let tag = holding_tag(&grant.owner, &look, &here);
        let loan = lending.by_tag(&tag, &here).expect("there");
        assert!(lending.by_tag(&tag, &grant.owner).is_none(), "another's words");
        let expected = Blob { content: Content::of(b"a"), origin: Origin::Owner(grant.owner) };
        assert!(loan.is_growing() && loan.blobs().eq([expected]));
        assert_eq!(loan.blob(&BlobHash::of(b"a")), Some(expected));
        assert_eq!(loan.blob(&BlobHash::of(b"b")), None);
        lending.settle(&grant.owner, &look);
        assert!(!loan.is_growing());
        let after = NOW + (GRANT_LIFE + GRANT_SKEW).as_millis() as u64;
        assert_eq!(loan.lent(NOW), Lent { owner: true, held: true });
        assert_eq!(loan.lent(after), Lent { owner: true, held: false });
        owner.set_contact(false);
        assert_eq!(loan.lent(NOW), Lent { owner: false, held: true });
        owner.set_contact(true);
        owner.ban_until(std::time::Instant::now() + std::time::Duration::from_secs(60));
        assert!(!loan.lent(NOW).owner);
        lending.forget(&grant.owner);
        assert!(lending.of(&grant.owner, &look).is_none());
    }

    #[test]
    fn linked_owners_are_asked_and_prolong_the_loan() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let (here, look) = (PeerId::from_bytes([2; 32]), BlobHash::of(b"look"));
        let (lending, owner) = (Lending::default(), Access::default());
        owner.set_contact(true);
        let grant = |now| Grant::new(&key, here, look, now);
        let peer = grant(NOW).owner;
        lending.begin(grant(NOW), owner, vec![], NOW);
        let (life, skew) = (GRANT_LIFE.as_millis() as u64, GRANT_SKEW.as_millis() as u64);
        let half = NOW + life / 2;
        assert_eq!(lending.due(NOW, |_| true), []);
        assert_eq!(lending.due(half, |_| false), [], "nobody to ask");
        assert_eq!(lending.due(half, |_| true), [(peer, look)]);
        assert_eq!(lending.due(half, |_| true), [], "asked");
        lending.renew(grant(half), &here, half);
        let after = NOW + life + skew;
        assert!(lending.of(&peer, &look).expect("there").lent(after).held);
        assert_eq!(lending.grant(&peer, &look, after), Some(grant(half)));
        assert_eq!(lending.grant(&peer, &look, half + life + skew), None);
    }

    #[test]
    fn an_owner_who_changes_all_the_time_fills_no_memory() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let here = PeerId::from_bytes([2; 32]);
        let lending = Lending::default();
        for n in 0..20u64 {
            let grant = Grant::new(&key, here, BlobHash::of(&n.to_le_bytes()), NOW + n);
            lending.begin(grant, Access::default(), vec![], NOW + n);
        }
        assert!(lending.loans().len() <= LOOKS_MAX + 1);
        let owner = PeerId::from_bytes(key.verifying_key().to_bytes());
        assert!(lending.of(&owner, &BlobHash::of(&19u64.to_le_bytes())).is_some(), "the newest is there");
    }
}
