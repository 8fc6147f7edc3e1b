//! Looks of other owners that this daemon has fetched and may lend.
//!
//! The coordinator writes here, pumps read. Of each look, the blobs that came from its owner are lent, as the store
//! records them. A loan lasts as long as the owner renews its grant ([`Tenure`]). Loans are kept in memory only: after
//! a restart a look is lent again once it is fetched again, which transfers no bytes.

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

/// Most looks kept of one owner: outfits that are worn in turns.
const LOOKS_MAX: usize = 4;

/// One look that may be lent.
#[derive(Debug)]
pub struct Loan {
    /// The owner's grant to this daemon.
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

    /// The share rule's input, at `now` in Unix milliseconds.
    pub fn lent(&self, now: u64) -> Lent {
        Lent { owner: self.owner.check().is_ok(), held: self.tenure().grant().is_current(now).is_ok() }
    }

    /// Whether it is still being fetched.
    pub fn is_growing(&self) -> bool {
        self.growing.load(Ordering::Acquire)
    }

    /// Every blob of the look, with its owner as origin; ascending by hash.
    pub fn blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        self.blobs.iter().map(|content| self.owners(*content))
    }

    /// The blob with this hash, with the look's owner as origin; `None` when the look does not contain it.
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
    /// Records that a look with these blobs, ascending by hash, may be requested from others and lent. An invalid grant
    /// is no fault, because players' clocks differ; the look is then requested from its owner only.
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
        let why =
            checked.err().map_or_else(|| "it is for another look".to_owned(), |error| error.to_string());
        tracing::info!(peer = %owner.short(), "a look is requested from its owner only, because its grant is not valid: {why}");
    }

    /// Begins a loan under a checked grant; `blobs` ascend by hash.
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

    /// The owner's grant to this daemon, to present to lenders; `None` when none is valid at `now`.
    pub fn grant(&self, owner: &PeerId, look: &BlobHash, now: u64) -> Option<Grant> {
        let loan = self.of(owner, look)?;
        let grant = loan.tenure().grant().clone();
        grant.is_current(now).is_ok().then_some(grant)
    }

    /// Looks whose owners are due to be asked for another grant. They count as asked.
    pub fn due(&self, now: u64, is_linked: impl Fn(&PeerId) -> bool) -> Vec<(PeerId, BlobHash)> {
        let loans = self.loans();
        let due = loans.iter().filter(|((owner, _), loan)| is_linked(owner) && loan.tenure().is_due(now));
        due.map(|(key, _)| *key).collect()
    }

    /// Stores an owner's next grant to `here`; ignores an invalid one.
    pub fn renew(&self, grant: Grant, here: &PeerId, now: u64) {
        if let Some(loan) = self.of(&grant.owner, &grant.look) {
            loan.tenure().renew(grant, here, now);
        }
    }

    /// The look is no longer being fetched.
    pub fn settle(&self, owner: &PeerId, look: &BlobHash) {
        if let Some(loan) = self.of(owner, look) {
            loan.growing.store(false, Ordering::Release);
        }
    }

    /// This owner is no longer a contact.
    pub fn forget(&self, owner: &PeerId) {
        self.change(|loans| loans.retain(|(of, _), _| of != owner));
    }

    pub fn of(&self, owner: &PeerId, look: &BlobHash) -> Option<Arc<Loan>> {
        self.loans().get(&(*owner, *look)).cloned()
    }

    /// The look that `asker` asks about.
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
    use fyteclub_proto::{
        limit::{GRANT_LIFE, GRANT_SKEW},
        number::millis,
    };

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn look_is_lent_while_owner_and_grant_are_valid() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let (here, look) = (PeerId::from_bytes([2; 32]), BlobHash::of(b"look"));
        let (lending, owner) = (Lending::default(), Access::default());
        owner.set_contact(true);
        let grant = Grant::new(&key, here, look, NOW);
        lending.begin(grant.clone(), owner.clone(), vec![Content::of(b"a")], NOW);
        let tag = holding_tag(&grant.owner, &look, &here);
        let loan = lending.by_tag(&tag, &here).expect("there");
        assert!(lending.by_tag(&tag, &grant.owner).is_none(), "the tag of another asker");
        let expected = Blob { content: Content::of(b"a"), origin: Origin::Owner(grant.owner) };
        assert!(loan.is_growing() && loan.blobs().eq([expected]));
        assert_eq!(loan.blob(&BlobHash::of(b"a")), Some(expected));
        assert_eq!(loan.blob(&BlobHash::of(b"b")), None);
        lending.settle(&grant.owner, &look);
        assert!(!loan.is_growing());
        let after = NOW + millis(GRANT_LIFE + GRANT_SKEW);
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
    fn linked_owners_are_asked_to_renew_their_grants() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let (here, look) = (PeerId::from_bytes([2; 32]), BlobHash::of(b"look"));
        let (lending, owner) = (Lending::default(), Access::default());
        owner.set_contact(true);
        let grant = |now| Grant::new(&key, here, look, now);
        let peer = grant(NOW).owner;
        lending.begin(grant(NOW), owner, vec![], NOW);
        let (life, skew) = (millis(GRANT_LIFE), millis(GRANT_SKEW));
        let half = NOW + life / 2;
        assert_eq!(lending.due(NOW, |_| true), []);
        assert_eq!(lending.due(half, |_| false), [], "no owner is linked");
        assert_eq!(lending.due(half, |_| true), [(peer, look)]);
        assert_eq!(lending.due(half, |_| true), [], "asked");
        lending.renew(grant(half), &here, half);
        let after = NOW + life + skew;
        assert!(lending.of(&peer, &look).expect("there").lent(after).held);
        assert_eq!(lending.grant(&peer, &look, after), Some(grant(half)));
        assert_eq!(lending.grant(&peer, &look, half + life + skew), None);
    }

    #[test]
    fn frequent_changes_of_a_look_keep_few_loans() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let here = PeerId::from_bytes([2; 32]);
        let lending = Lending::default();
        for n in 0..20u64 {
            let grant = Grant::new(&key, here, BlobHash::of(&n.to_le_bytes()), NOW + n);
            lending.begin(grant, Access::default(), vec![], NOW + n);
        }
        assert!(lending.loans().len() <= LOOKS_MAX + 1);
        let owner = PeerId::from_bytes(key.verifying_key().to_bytes());
        assert!(lending.of(&owner, &BlobHash::of(&19u64.to_le_bytes())).is_some(), "the newest stays");
    }
}
