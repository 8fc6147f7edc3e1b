//! What one key may do here at this moment. The coordinator's roster writes it; the key's peer actor reads it before it
//! admits a link, and pumps before every record.
//!
//! A copy of the answer would be as old as the link. An [`Access`] is the same for all links and streams of the key.

use fyteclub_proto::share_rule::Asker;
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

/// What is known of a key that decides whether it may be heard, served and dialled.
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
    #[error("their daemon broke the protocol, and is left alone for a minute")]
    Banned,
}

impl Admission {
    /// The one rule for who may be heard, served and dialled.
    ///
    /// # Errors
    /// Why not.
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

/// The [`Admission`] of one key, as it is when it is read. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Access(Arc<RwLock<Admission>>);

impl Access {
    pub fn admission(&self) -> Admission {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Admission::check`] at this moment.
    ///
    /// # Errors
    /// Why the key is refused.
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

    /// For the share rule. Only an open link asks, so the greeting was heard.
    pub fn asker(&self) -> Asker {
        let admission = self.admission();
        Asker { contact: admission.contact, greeted: true, banned: admission.is_banned(Instant::now()) }
    }

    fn change(&self, change: impl FnOnce(&mut Admission)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}
