//! The stored state of contacts, and its invariants.

use crate::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    limit::{ASKERS_MAX, CONTACTS_MAX, INVITATIONS_MAX, NUMBERS_MAX, RIVALS_MAX, SPENT_MAX},
    local::reply::Standing,
    lookalike::Shape,
    reaching::relay_use::RelayUse,
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// One key, or a name whose key is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Chosen by this side, except for those who ask: there it is their claim. A blocked key may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
    /// Since when it has its status, in Unix milliseconds.
    pub since: u64,
    /// Since when the name is this contact's here, in Unix milliseconds: asked for or accepted. Pairing does not change
    /// it. `None` for those who ask and blocked keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_since: Option<u64>,
    #[serde(flatten)]
    pub stage: Stage,
    /// The nonce of the knock by name; an answer to it with another key is another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<Bytes<16>>,
    /// Nonces of their knocks before the newest: other phone books carried them. An acceptance answers all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Bytes<16>>,
    /// Keys that answered to a wish's name, or that phone books list for it, if there are several; of a contact the
    /// other ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<PeerId>,
    /// Whether relays are used toward this contact; `None`: as toward all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayUse>,
    /// When the last message was sent to them.
    #[serde(skip)]
    pub(super) told: u64,
    /// Of the name, cached for comparisons with thousands.
    #[serde(skip)]
    pub(super) shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Stage {
    /// This side asked, by a knock with this nonce or with an invitation's secret.
    Requested {
        nonce: Bytes<16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<Bytes<16>>,
    },
    /// They asked, with this nonce.
    Asking {
        nonce: Bytes<16>,
    },
    /// `owed` is the nonce of a knock whose answer may not have arrived.
    Paired {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owed: Option<Bytes<16>>,
    },
    Blocked,
}

impl Contact {
    pub(super) fn new(player: Option<PlayerName>, peer_id: Option<PeerId>, stage: Stage, now: u64) -> Self {
        let (wish, earlier, rivals) = (None, Vec::new(), Vec::new());
        let shape = Shape::default();
        let mut contact = Self {
            player: None,
            peer_id,
            since: now,
            contact_since: None,
            stage,
            wish,
            earlier,
            rivals,
            relay: None,
            told: now,
            shape,
        };
        contact.name(player);
        contact.date();
        contact
    }

    /// Notes since when it is a contact: from its status, where nothing is noted.
    pub(super) fn date(&mut self) {
        self.contact_since = if self.is_held() { self.contact_since.or(Some(self.since)) } else { None };
    }

    pub(super) fn name(&mut self, player: Option<PlayerName>) {
        self.shape = player.as_ref().map(Shape::of).unwrap_or_default();
        self.player = player;
    }

    pub fn standing(&self) -> Standing {
        match self.stage {
            Stage::Requested { .. } => Standing::Requested,
            Stage::Asking { .. } => Standing::Asking,
            Stage::Paired { .. } => Standing::Paired,
            Stage::Blocked => Standing::Blocked,
        }
    }

    /// Whether the name is this contact's here.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.stage, Stage::Requested { .. } | Stage::Paired { .. })
    }
}

/// An open, used or expired invitation. The secret itself is only in the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenInvitation {
    /// BLAKE3 of the secret.
    pub hash: Bytes<32>,
    /// Unix milliseconds.
    pub expires: u64,
}

/// Everything that a restart must not lose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    pub contacts: Vec<Contact>,
    #[serde(default)]
    pub invitations: Vec<OpenInvitation>,
    /// Used and expired ones, kept to answer late users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<OpenInvitation>,
}

/// Why a stored list of contacts is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    #[error("a contact lacks its name or its key")]
    Incomplete,
    #[error("the key {0} is in it twice")]
    KeyTwice(PeerId),
    #[error("two contacts have the name {0}")]
    NameTwice(PlayerName),
    #[error("it is longer than it may become")]
    TooLong,
}

impl Saved {
    /// # Errors A state that the machine never stores.
    pub fn check(&self) -> Result<(), SavedError> {
        let askers = self.contacts.iter().filter(|contact| contact.standing() == Standing::Asking).count();
        if askers > ASKERS_MAX
            || self.contacts.len() - askers > CONTACTS_MAX
            || self.invitations.len() > INVITATIONS_MAX
            || self.spent.len() > SPENT_MAX
            || self
                .contacts
                .iter()
                .any(|contact| contact.rivals.len() > RIVALS_MAX || contact.earlier.len() > NUMBERS_MAX)
        {
            return Err(SavedError::TooLong);
        }
        let (mut keys, mut names) = (HashSet::new(), HashSet::new());
        for contact in &self.contacts {
            let complete = match contact.stage {
                Stage::Requested { .. } => contact.player.is_some(),
                Stage::Asking { .. } | Stage::Paired { .. } => {
                    contact.player.is_some() && contact.peer_id.is_some()
                }
                Stage::Blocked => contact.peer_id.is_some(),
            };
            if !complete {
                return Err(SavedError::Incomplete);
            }
            if let Some(key) = contact.peer_id.filter(|key| !keys.insert(*key)) {
                return Err(SavedError::KeyTwice(key));
            }
            let name = contact.player.as_ref().filter(|_| contact.is_held());
            if let Some(name) = name.filter(|name| !names.insert(*name)) {
                return Err(SavedError::NameTwice(name.clone()));
            }
        }
        Ok(())
    }
}
