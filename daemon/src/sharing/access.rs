//! Each key's current permission. The coordinator writes it; the key's peer actor reads it before it admits a link, and
//! pumps read it before every record.
//!
//! A copied answer would stay valid as long as the link. One [`Access`] is shared by all links and streams of the key.

use fyteclub_proto::{id::PeerId, share_rule::Asker};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

/// How long a key that broke the protocol is refused.
pub const BAN: Duration = Duration::from_secs(60);

/// The facts that decide whether a key is admitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Admission {
    /// This player consents to the key: [`fyteclub_proto::contact::Contacts::consents`].
    pub contact: bool,
    /// The key broke the protocol and is refused before this time.
    pub banned_until: Option<Instant>,
}

/// Why a key is refused. The text completes "cannot be reached: …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("they are no contact")]
    NoContact,
    #[error("their daemon broke the protocol and is banned for a minute")]
    Banned,
}

impl Admission {
    /// The one rule of admission: whether a key's connection is accepted, its requests are served, and it is dialled.
    ///
    /// # Errors
    /// The reason for a refusal.
    pub fn check(&self, now: Instant) -> Result<(), Refusal> {
        match self {
            _ if self.is_banned(now) => Err(Refusal::Banned),
            Self { contact: false, .. } => Err(Refusal::NoContact),
            Self { contact: true, .. } => Ok(()),
        }
    }

    pub fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }
}

/// The current [`Admission`] of one key. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Access(Arc<RwLock<Admission>>);

impl Access {
    pub fn admission(&self) -> Admission {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Admission::check`] at this moment.
    ///
    /// # Errors
    /// The reason for a refusal.
    pub fn check(&self) -> Result<(), Refusal> {
        self.admission().check(Instant::now())
    }

    pub fn set_contact(&self, contact: bool) {
        self.change(|admission| admission.contact = contact);
    }

    /// Refuses the key before this time.
    pub fn ban_until(&self, until: Instant) {
        self.change(|admission| admission.banned_until = Some(until));
    }

    /// The asker of the share rule. Requests come over open links only, so the peer has greeted.
    pub fn asker(&self) -> Asker {
        let admission = self.admission();
        Asker { contact: admission.contact, greeted: true, banned: admission.is_banned(Instant::now()) }
    }

    fn change(&self, change: impl FnOnce(&mut Admission)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The access of every key that is a contact's, is banned or is in use. Only [`Gate::admits`] decides on admission.
#[derive(Default)]
pub struct Gate(HashMap<PeerId, Access>);

impl Gate {
    /// The key's current admission. A key that is no contact is refused.
    pub fn admits(&self, key: &PeerId) -> Admission {
        self.0.get(key).map_or_else(Admission::default, Access::admission)
    }

    /// The shared access of a key. A key that is neither a contact's nor banned gets one that always refuses.
    pub fn access(&self, key: &PeerId) -> Access {
        self.0.get(key).cloned().unwrap_or_default()
    }

    /// The shared access of a key that comes into use.
    pub fn enter(&mut self, key: PeerId) -> Access {
        self.0.entry(key).or_default().clone()
    }

    /// The player consents to this key.
    pub fn admit(&mut self, key: PeerId) {
        self.0.entry(key).or_default().set_contact(true);
    }

    /// The player no longer consents to this key.
    pub fn dismiss(&mut self, key: &PeerId) {
        if let Some(access) = self.0.get(key) {
            access.set_contact(false);
        }
    }

    /// Refuses this key for [`BAN`].
    pub fn ban(&mut self, key: PeerId) {
        self.0.entry(key).or_default().ban_until(Instant::now() + BAN);
    }

    /// Drops the access of keys that are neither contacts nor banned nor in use.
    pub fn forget_unneeded(&mut self, is_in_use: impl Fn(&PeerId) -> bool) {
        let now = Instant::now();
        self.0.retain(|key, access| {
            let admission = access.admission();
            admission.contact || admission.is_banned(now) || is_in_use(key)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PeerId = PeerId::from_bytes([1; 32]);
    const OTHER: PeerId = PeerId::from_bytes([2; 32]);

    #[test]
    fn admits_contacts_that_are_not_banned() {
        type Step = fn(&mut Gate);
        type Check = Result<(), Refusal>;
        let (admit, dismiss, ban): (Step, Step, Step) =
            (|gate| gate.admit(KEY), |gate| gate.dismiss(&KEY), |gate| gate.ban(KEY));
        let no_contact = Err(Refusal::NoContact);
        let banned = Err(Refusal::Banned);
        // The steps, the check afterwards, and the check when a ban has ended.
        let table: &[(&[Step], Check, Check)] = &[
            (&[], no_contact, no_contact),
            (&[admit], Ok(()), Ok(())),
            (&[admit, admit], Ok(()), Ok(())),
            (&[dismiss], no_contact, no_contact),
            (&[admit, dismiss], no_contact, no_contact),
            (&[admit, dismiss, admit], Ok(()), Ok(())),
            (&[ban], banned, no_contact),
            (&[admit, ban], banned, Ok(())),
            (&[ban, admit], banned, Ok(())),
            (&[admit, ban, dismiss], banned, no_contact),
            (&[admit, ban, dismiss, admit], banned, Ok(())),
        ];
        for (row, (steps, now, later)) in table.iter().enumerate() {
            let mut gate = Gate::default();
            for step in *steps {
                step(&mut gate);
                gate.forget_unneeded(|_| false);
            }
            let (admission, at) = (gate.admits(&KEY), Instant::now());
            assert_eq!((admission.check(at), admission.check(at + BAN)), (*now, *later), "row {row}");
            assert_eq!(gate.admits(&OTHER).check(at), no_contact, "row {row}");
        }
    }

    #[test]
    fn cloned_access_shows_later_changes() {
        let mut gate = Gate::default();
        gate.admit(KEY);
        let access = gate.access(&KEY);
        let asker = |contact, banned| Asker { contact, greeted: true, banned };
        assert_eq!((access.check(), access.asker()), (Ok(()), asker(true, false)));
        gate.ban(KEY);
        assert_eq!((access.check(), access.asker()), (Err(Refusal::Banned), asker(true, true)));
        gate.dismiss(&KEY);
        assert_eq!(access.asker(), asker(false, true));
    }

    #[test]
    fn dismissed_keys_are_forgotten_unless_in_use() {
        let mut gate = Gate::default();
        let keys = (0..100).map(|seed| PeerId::from_bytes([seed; 32]));
        for key in keys {
            gate.admit(key);
            gate.dismiss(&key);
        }
        gate.forget_unneeded(|key| *key == KEY);
        assert_eq!(gate.0.keys().collect::<Vec<_>>(), [&KEY]);
    }
}
