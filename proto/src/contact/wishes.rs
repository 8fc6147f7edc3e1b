//! A person's wishes about contacts. Each is fulfilled at once or refused; the consequences are in the outputs.

use super::{Contact, ContactError, Contacts, OpenInvitation, Output, Stage};
use crate::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    invitation::{BOOK_BYTES_MAX, INVITATION_TIME, Invitation, LINK_BOOKS_MAX},
    limit::{CONTACTS_MAX, INVITATIONS_MAX},
    local::{reply::Standing, request::Who},
    number::millis,
    reaching::relay_use::RelayUse,
};

impl Contacts {
    /// Asks a player to be a contact. With a key this side consents to that key from now on; without one the phone book
    /// finds the name's holder, and their answer is believed. `nonce` is random.
    ///
    /// # Errors See [`ContactError`].
    pub fn add(
        &mut self,
        player: &PlayerName,
        key: Option<PeerId>,
        nonce: Bytes<16>,
        now: u64,
    ) -> Result<Contact, ContactError> {
        if self.here.player.as_ref() == Some(player) || key == Some(self.here.key) {
            return Err(ContactError::Yourself);
        }
        let Some(key) = key else {
            if self.here.player.is_none() {
                return Err(ContactError::Nameless);
            }
            if self.held(player).is_some() {
                return Err(ContactError::Already { player: player.clone() });
            }
            self.is_not_blocked(player)?;
            return self.request(player, None, nonce, None, now);
        };
        if let Some(at) = self.by_key(&key) {
            let contact = &self.book.contacts[at];
            match (&contact.stage, &contact.player) {
                (Stage::Asking { nonce }, _) => {
                    let nonce = *nonce;
                    return self.admit(at, player, nonce, now);
                }
                (Stage::Blocked, _) => return Err(blocked(contact, key)),
                (_, Some(known)) => return Err(ContactError::Already { player: known.clone() }),
                (_, None) => return Err(ContactError::Already { player: player.clone() }),
            }
        }
        self.name_is_free(player, key)?;
        self.request(player, Some(key), nonce, None, now)
    }

    /// Refuses a name by which a key is blocked: that player's answer would not be heard.
    fn is_not_blocked(&self, player: &PlayerName) -> Result<(), ContactError> {
        let named = |contact: &&Contact| {
            contact.player.as_ref() == Some(player) && contact.standing() == Standing::Blocked
        };
        let found = self.book.contacts.iter().find(named);
        match found.and_then(|contact| contact.peer_id) {
            Some(key) => Err(ContactError::NameBlocked { player: player.clone(), key }),
            None => Ok(()),
        }
    }

    /// Accepts a player who asks.
    ///
    /// # Errors See [`ContactError`].
    pub fn accept(&mut self, who: &Who, now: u64) -> Result<Contact, ContactError> {
        let Some(at) = self.the_one(who, |contact| contact.standing() == Standing::Asking)? else {
            let player = who.player.clone().filter(|player| self.held(player).is_some());
            return Err(match player {
                Some(player) => ContactError::Already { player },
                None => ContactError::DoesNotAsk { who: who.to_string() },
            });
        };
        if self.here.player.is_none() {
            return Err(ContactError::Nameless);
        }
        let Contact { player: Some(player), stage: Stage::Asking { nonce }, .. } =
            self.book.contacts[at].clone()
        else {
            return Err(ContactError::DoesNotAsk { who: who.to_string() });
        };
        self.admit(at, &player, nonce, now)
    }

    /// Removes a contact, a wish, or a player who asks.
    ///
    /// # Errors See [`ContactError`].
    pub fn remove(&mut self, who: &Who) -> Result<(), ContactError> {
        // The name is the contact's; a player who only claims it must be given by key.
        let held = match &who.peer_id {
            None => who.player.as_ref().and_then(|player| self.held(player)),
            Some(_) => None,
        };
        let at = match held {
            Some(at) => at,
            None => self
                .the_one(who, |contact| contact.standing() != Standing::Blocked)?
                .ok_or_else(|| ContactError::NotAContact { who: who.to_string() })?,
        };
        let consented = self.book.contacts[at].peer_id.filter(|_| self.book.contacts[at].is_held());
        self.forget(at);
        self.outputs.extend(consented.map(Output::Disconnect));
        Ok(())
    }

    /// Sets whether relays are used toward a contact, or one who was asked.
    ///
    /// # Errors See [`ContactError`].
    pub fn set_relay(&mut self, who: &Who, relay: RelayUse) -> Result<Contact, ContactError> {
        let at = self.the_one(who, Contact::is_held)?;
        let at = at.ok_or_else(|| ContactError::NotAContact { who: who.to_string() })?;
        if self.book.contacts[at].relay != Some(relay) {
            self.book.contacts[at].relay = Some(relay);
            self.changed(at);
        }
        Ok(self.book.contacts[at].clone())
    }

    /// Blocks a key.
    ///
    /// # Errors See [`ContactError`].
    pub fn block(&mut self, who: &Who, now: u64) -> Result<Contact, ContactError> {
        let at = match self.the_one(who, |contact| contact.peer_id.is_some())? {
            Some(at) => at,
            None => match (who.peer_id, &who.player) {
                (Some(key), _) if key == self.here.key => return Err(ContactError::Yourself),
                (Some(key), player) => {
                    self.has_room()?;
                    let stranger = Contact::new(player.clone(), Some(key), Stage::Blocked, now);
                    self.book.contacts.push(stranger);
                    self.book.contacts.len() - 1
                }
                (None, Some(player)) if self.held(player).is_some() => {
                    return Err(ContactError::NoKey { player: player.clone() });
                }
                (None, _) => return Err(ContactError::NotAContact { who: who.to_string() }),
            },
        };
        if self.book.contacts[at].standing() == Standing::Asking {
            self.has_room()?;
        }
        let consented = self.book.contacts[at].peer_id.filter(|key| self.consents(key));
        let contact = &mut self.book.contacts[at];
        (contact.stage, contact.since) = (Stage::Blocked, now);
        contact.date();
        self.changed(at);
        self.outputs.extend(consented.map(Output::Disconnect));
        Ok(self.book.contacts[at].clone())
    }

    /// Unblocks a key. It is no contact.
    ///
    /// # Errors See [`ContactError`].
    pub fn unblock(&mut self, who: &Who) -> Result<(), ContactError> {
        let blocked = self.the_one(who, |contact| contact.standing() == Standing::Blocked)?;
        self.forget(blocked.ok_or_else(|| ContactError::NotBlocked { who: who.to_string() })?);
        Ok(())
    }

    /// Makes an invitation, valid until the returned time. `secret` is random.
    ///
    /// # Errors See [`ContactError`].
    pub fn invite(
        &mut self,
        secret: Bytes<16>,
        phonebooks: &[String],
        now: u64,
    ) -> Result<(Invitation, u64), ContactError> {
        let Some(player) = self.here.player.clone() else { return Err(ContactError::Nameless) };
        self.spend_over(now);
        if self.book.invitations.len() >= INVITATIONS_MAX {
            return Err(ContactError::TooManyInvitations);
        }
        let expires = now.saturating_add(millis(INVITATION_TIME));
        let hash = Bytes(*blake3::hash(secret.as_slice()).as_bytes());
        self.book.invitations.push(OpenInvitation { hash, expires });
        self.unsaved = true;
        let fitting = phonebooks.iter().filter(|book| book.len() <= BOOK_BYTES_MAX);
        let phonebooks = fitting.take(LINK_BOOKS_MAX).cloned().collect();
        Ok((Invitation { player, peer_id: self.here.key, secret, phonebooks }, expires))
    }

    /// Uses an invitation: this side consents to its key from now on. `nonce` is random.
    ///
    /// # Errors See [`ContactError`].
    pub fn join(
        &mut self,
        invitation: &Invitation,
        nonce: Bytes<16>,
        now: u64,
    ) -> Result<Contact, ContactError> {
        let Invitation { player, peer_id: key, secret, .. } = invitation;
        if *key == self.here.key {
            return Err(ContactError::OwnInvitation);
        }
        if self.here.player.is_none() {
            return Err(ContactError::Nameless);
        }
        if self.here.player.as_ref() == Some(player) {
            return Err(ContactError::Yourself);
        }
        let Some(at) = self.by_key(key) else {
            self.name_is_free(player, *key)?;
            return self.request(player, Some(*key), nonce, Some(*secret), now);
        };
        let contact = &mut self.book.contacts[at];
        match &contact.stage {
            Stage::Blocked => return Err(blocked(contact, *key)),
            Stage::Asking { nonce } => {
                let nonce = *nonce;
                return self.admit(at, player, nonce, now);
            }
            Stage::Requested { secret: Some(known), .. } if known == secret => {
                if now.saturating_sub(contact.since) >= millis(INVITATION_TIME) {
                    return Err(ContactError::InvitationOver);
                }
            }
            // Also a contact of this side only: they may have removed us, and invite us again.
            Stage::Requested { .. } | Stage::Paired { .. } => {
                contact.stage = Stage::Requested { nonce, secret: Some(*secret) };
                contact.since = now;
                self.changed(at);
            }
        }
        self.tell(at, now);
        Ok(self.book.contacts[at].clone())
    }

    /// Sets a contact's key: a person has confirmed it.
    ///
    /// # Errors See [`ContactError`].
    pub fn trust(&mut self, player: &PlayerName, key: PeerId, now: u64) -> Result<(), ContactError> {
        if key == self.here.key {
            return Err(ContactError::Yourself);
        }
        let not_a_contact = || ContactError::NotAContact { who: player.to_string() };
        let at = self.held(player).ok_or_else(not_a_contact)?;
        if self.book.contacts[at].peer_id == Some(key) {
            return Ok(());
        }
        self.take_key(at, key, now)
    }

    /// Gives a contact another key. A knock with that key is answered.
    pub(super) fn take_key(&mut self, mut at: usize, key: PeerId, now: u64) -> Result<(), ContactError> {
        let mut owed = None;
        if let Some(other) = self.by_key(&key) {
            let contact = &self.book.contacts[other];
            match (&contact.stage, &contact.player) {
                (Stage::Asking { nonce }, _) => owed = Some(*nonce),
                (Stage::Blocked, _) => return Err(blocked(contact, key)),
                (_, player) => {
                    return Err(match player.clone() {
                        Some(player) => ContactError::Already { player },
                        None => ContactError::Nobody,
                    });
                }
            }
            self.book.contacts.remove(other);
            at -= usize::from(other < at);
        }
        let old = self.book.contacts[at].peer_id.replace(key);
        let contact = &mut self.book.contacts[at];
        (contact.wish, contact.rivals) = (None, Vec::new());
        match owed {
            Some(nonce) => self.pair(at, Some(nonce), now),
            None => {
                // An owed acceptance was owed to the old key.
                if let Stage::Paired { owed } = &mut self.book.contacts[at].stage {
                    *owed = None;
                }
                self.changed(at);
                self.tell(at, now);
            }
        }
        self.outputs.extend(old.map(Output::Disconnect));
        Ok(())
    }

    fn request(
        &mut self,
        player: &PlayerName,
        key: Option<PeerId>,
        nonce: Bytes<16>,
        secret: Option<Bytes<16>>,
        now: u64,
    ) -> Result<Contact, ContactError> {
        let stage = Stage::Requested { nonce, secret };
        let at = match self.held(player) {
            // Asked for by name before: from now on by key.
            Some(at) => {
                let contact = &mut self.book.contacts[at];
                (contact.peer_id, contact.stage, contact.since) = (key, stage, now);
                (contact.wish, contact.rivals) = (None, Vec::new());
                at
            }
            None => {
                self.has_room()?;
                self.book.contacts.push(Contact::new(Some(player.clone()), key, stage, now));
                self.book.contacts.len() - 1
            }
        };
        self.changed(at);
        self.tell(at, now);
        Ok(self.book.contacts[at].clone())
    }

    /// Pairs with a player who asks, under this name.
    pub(super) fn admit(
        &mut self,
        mut at: usize,
        player: &PlayerName,
        nonce: Bytes<16>,
        now: u64,
    ) -> Result<Contact, ContactError> {
        if let Some(key) = self.book.contacts[at].peer_id {
            self.name_is_free(player, key)?;
        }
        match self.held(player).filter(|held| *held != at) {
            // Asked for by name before; this is its key.
            Some(wish) => {
                let relay = self.book.contacts.remove(wish).relay;
                at -= usize::from(wish < at);
                self.book.contacts[at].relay = relay;
            }
            None => self.has_room()?,
        }
        self.book.contacts[at].name(Some(player.clone()));
        self.pair(at, Some(nonce), now);
        Ok(self.book.contacts[at].clone())
    }

    /// Whether no other key is a contact under this name.
    pub(super) fn name_is_free(&self, player: &PlayerName, offered: PeerId) -> Result<(), ContactError> {
        match self.of_name(player).and_then(|contact| contact.peer_id).filter(|known| *known != offered) {
            Some(known) => Err(ContactError::NameHeld { player: player.clone(), known, offered }),
            None => Ok(()),
        }
    }

    pub(super) fn has_room(&self) -> Result<(), ContactError> {
        let lasting = self.book.contacts.iter().filter(|contact| contact.standing() != Standing::Asking);
        if lasting.count() >= CONTACTS_MAX { Err(ContactError::TooMany) } else { Ok(()) }
    }

    /// The only candidate that `who` means.
    fn the_one(&self, who: &Who, fits: impl Fn(&Contact) -> bool) -> Result<Option<usize>, ContactError> {
        if who.player.is_none() && who.peer_id.is_none() {
            return Err(ContactError::Nobody);
        }
        let meant = |contact: &Contact| {
            fits(contact)
                && (who.peer_id.is_none() || contact.peer_id == who.peer_id)
                && (who.player.is_none() || contact.player == who.player)
        };
        let mut found =
            self.book.contacts.iter().enumerate().filter(|(_, contact)| meant(contact)).map(|(at, _)| at);
        match (found.next(), found.next(), &who.player) {
            (Some(_), Some(_), Some(player)) => Err(ContactError::Ambiguous { player: player.clone() }),
            (one, _, _) => Ok(one),
        }
    }
}

fn blocked(contact: &Contact, key: PeerId) -> ContactError {
    let who = contact.player.as_ref().map_or_else(|| key.to_string(), ToString::to_string);
    ContactError::Blocked { who, key }
}
