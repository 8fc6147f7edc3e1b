//! Several keys for one name, where there are several phone books.
//!
//! The first to register a name at a phone book has it there. A squatter at the weakest of them answers at once, and a
//! friend only later. So an answer is held until every phone book was asked whom it lists by the name
//! ([`SECOND_OPINION_TIME`]), and, unless it answers the first phone book's knock, for as long as the name's holder
//! there may need to answer ([`FIRST_BOOK_TIME`]). One key is paired with. Of two none is, also when the second answers
//! after the pairing, and a person decides.

use super::{Contact, Contacts, Output, Stage, held::Held};
use crate::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    knock::knock_number,
    limit::RIVALS_MAX,
    number::millis,
};
use std::time::Duration;

/// The phone books' time to answer a lookup.
pub(super) const SECOND_OPINION_TIME: Duration = Duration::from_secs(4);
/// How long an answer to another phone book's knock waits for one to the first's.
pub(super) const FIRST_BOOK_TIME: Duration = Duration::from_secs(60);

impl Contacts {
    /// Whether `answer` is a nonce of this wish at some phone book.
    pub(super) fn is_answer(&self, wish: &Bytes<16>, answer: Bytes<16>) -> bool {
        if self.carriers.is_empty() {
            *wish == answer
        } else {
            self.carriers.iter().any(|carrier| knock_number(wish, carrier) == answer)
        }
    }

    /// A key answers a wish by name.
    pub(super) fn name_answered(&mut self, at: usize, from: PeerId, answer: Bytes<16>, now: u64) {
        let contact = &self.book.contacts[at];
        let (Stage::Requested { nonce, .. }, Some(player)) = (&contact.stage, &contact.player) else {
            return;
        };
        if !contact.rivals.is_empty() {
            return self.rival(at, from);
        }
        if self.carriers.len() < 2 {
            return self.fulfil(at, from, now);
        }
        let wish = *nonce;
        let first = self.carriers.first().is_some_and(|carrier| knock_number(&wish, carrier) == answer);
        let until = now.saturating_add(millis(if first { SECOND_OPINION_TIME } else { FIRST_BOOK_TIME }));
        match self.held.iter_mut().find(|held| held.wish == wish) {
            Some(held) => {
                held.add(from);
                held.first |= first;
                held.until = if held.is_clear() { now } else { held.until.min(until) };
            }
            None => {
                self.outputs.push_back(Output::Look { player: player.clone() });
                self.held.push(Held { wish, keys: vec![from], until, first, listed: false });
            }
        }
        self.decide_held(now);
    }

    /// Another key answers a fulfilled wish. If another phone book carried its knock, the name may mean that key: then
    /// nobody is paired with any more. With the same phone book's nonce it can only have overheard it.
    pub(super) fn answered_again(&mut self, from: PeerId, answer: Bytes<16>, now: u64) {
        let of_wish = |contact: &Contact| {
            matches!(contact.stage, Stage::Paired { .. })
                && contact.peer_id != Some(from)
                && contact.wish.as_ref().is_some_and(|wish| self.is_answer(wish, answer))
        };
        let Some(at) = self.book.contacts.iter().position(of_wish) else { return };
        let contact = &mut self.book.contacts[at];
        let (Some(known), Some(nonce)) = (contact.peer_id, contact.wish) else { return };
        if self.carriers.len() < 2 || contact.rivals.len() == RIVALS_MAX {
            return self.rival(at, from);
        }
        (contact.peer_id, contact.since) = (None, now);
        contact.stage = Stage::Requested { nonce, secret: None };
        if !contact.rivals.contains(&known) {
            contact.rivals.push(known);
        }
        self.rival(at, from);
        self.outputs.push_back(Output::Disconnect(known));
    }

    /// The phone books have answered the lookup of a name.
    pub(super) fn listed(&mut self, player: &PlayerName, keys: &[PeerId], now: u64) {
        let Some(at) = self.held(player) else { return };
        let Stage::Requested { nonce, .. } = self.book.contacts[at].stage else { return };
        if let Some(held) = self.held.iter_mut().find(|held| held.wish == nonce) {
            keys.iter().filter(|key| **key != self.here.key).for_each(|key| held.add(*key));
            held.listed = true;
            if held.is_clear() {
                held.until = now;
            }
            self.decide_held(now);
        }
    }

    /// Pairs with answers that were held long enough, where there is one key.
    pub(super) fn decide_held(&mut self, now: u64) {
        while let Some(due) = self.held.iter().position(|held| held.until <= now) {
            let Held { wish, keys, .. } = self.held.swap_remove(due);
            let is_it = |contact: &Contact| {
                contact.peer_id.is_none()
                    && matches!(&contact.stage, Stage::Requested { nonce, .. } if *nonce == wish)
            };
            let Some(at) = self.book.contacts.iter().position(is_it) else { continue };
            match keys[..] {
                [key] => self.fulfil(at, key, now),
                _ => keys.into_iter().for_each(|key| self.rival(at, key)),
            }
        }
    }

    /// Adds a key for a contact's name.
    fn rival(&mut self, at: usize, key: PeerId) {
        let contact = &mut self.book.contacts[at];
        if contact.rivals.contains(&key) || contact.rivals.len() == RIVALS_MAX {
            return;
        }
        contact.rivals.push(key);
        let keys: Vec<PeerId> = contact.peer_id.into_iter().chain(contact.rivals.iter().copied()).collect();
        let player = contact.player.clone().filter(|_| keys.len() > 1);
        self.changed(at);
        self.outputs.extend(player.map(|player| Output::Disputed { player, keys }));
    }
}
