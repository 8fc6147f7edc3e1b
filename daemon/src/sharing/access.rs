//! Whether one key may be served, as it is at this moment: written by the coordinator, read before every record.
//!
//! A copy of the answer would be as old as the link. This is the same for all links and streams of the key.

use fyteclub_proto::share_rule::Asker;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[derive(Debug, Clone, Default)]
pub struct Consent(Arc<Facts>);

#[derive(Debug, Default)]
struct Facts {
    contact: AtomicBool,
    banned: AtomicBool,
}

impl Consent {
    pub fn set_contact(&self, contact: bool) {
        self.0.contact.store(contact, Ordering::Release);
    }

    pub fn set_banned(&self, banned: bool) {
        self.0.banned.store(banned, Ordering::Release);
    }

    /// For the share rule. Only an open link asks, so the greeting was heard.
    pub fn asker(&self) -> Asker {
        Asker {
            contact: self.0.contact.load(Ordering::Acquire),
            greeted: true,
            banned: self.0.banned.load(Ordering::Acquire),
        }
    }
}
