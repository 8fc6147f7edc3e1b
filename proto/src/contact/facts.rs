//! Messages of others, and other events. No claimed name is trusted.

use super::{Contact, Contacts, OpenInvitation, Output, REPEAT, Stage, invitation_answer};
use crate::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    knock::{Knock, Note},
    limit::{ASKERS_MAX, KEY_CHANGES_MAX, NUMBERS_MAX, SPENT_MAX},
    local::reply::Standing,
    number::millis,
    phonebook::KeyChange,
};
use std::time::Duration;

/// How long a used or expired invitation is kept.
const SPENT_TIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often one key is answered `TooLate` between two repetitions: an answer may be lost.
const LATE_ANSWERS: usize = 3;

/// An event of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A verified knock: the key in it signed it for this player.
    Knocked(Knock),
    /// An opened note: this key sealed it.
    Noted {
        from: PeerId,
        note: Note,
    },
    /// A link with this key is open: their side consents to us.
    Linked(PeerId),
    /// The keys that phone books list for a name that was to be [looked up](Output::Look); an unanswered lookup counts
    /// as none.
    Listed {
        player: PlayerName,
        keys: Vec<PeerId>,
    },
    /// A phone book can carry waiting messages.
    Connected,
    Time,
}

impl Contacts {
    pub fn handle(&mut self, now: u64, input: Input) {
        match input {
            Input::Knocked(knock) => self.knocked(knock, now),
            // Our own messages are ignored.
            Input::Noted { from, .. } if from == self.here.key => {}
            Input::Noted { from, note: Note::Accepted { nonce, .. } } => self.accepted(from, nonce, now),
            Input::Noted { from, note: Note::Join { name, secret } } => self.joined(from, name, secret, now),
            Input::Noted { from, note: Note::KeyChanged(changes) } => self.key_changed(from, &changes, now),
            Input::Noted { from, note: Note::TooLate { answer } } => self.came_too_late(from, answer),
            Input::Listed { player, keys } => self.listed(&player, &keys, now),
            Input::Linked(key) => self.linked(&key, now),
            Input::Connected => {
                self.book.contacts.iter_mut().for_each(|contact| contact.told = 0);
                self.repeat(now);
            }
            Input::Time => {
                self.repeat(now);
                self.decide_held(now);
                self.spend_over(now);
            }
        }
    }

    fn knocked(&mut self, knock: Knock, now: u64) {
        let Knock { from, name, nonce, .. } = knock;
        if from == self.here.key || self.here.player.as_ref() == Some(&name) {
            return;
        }
        let Some(at) = self.by_key(&from) else { return self.stranger_knocked(from, name, nonce, now) };
        match &mut self.book.contacts[at].stage {
            Stage::Blocked => {}
            // They lost their state, or our answer was lost.
            Stage::Paired { .. } => self.answer(from, nonce),
            // Both knock, and both knew the key.
            Stage::Requested { .. } => self.pair(at, Some(nonce), now),
            // The name stays the one that a person was shown, so that they do not accept another.
            Stage::Asking { nonce: known } if *known != nonce => {
                let earlier = std::mem::replace(known, nonce);
                let contact = &mut self.book.contacts[at];
                contact.earlier.retain(|number| *number != nonce);
                contact.earlier.truncate(NUMBERS_MAX - 1);
                contact.earlier.insert(0, earlier);
                self.unsaved = true;
            }
            Stage::Asking { .. } => {}
        }
    }

    fn stranger_knocked(&mut self, from: PeerId, name: PlayerName, nonce: Bytes<16>, now: u64) {
        if self.held(&name).is_some_and(|at| self.book.contacts[at].peer_id.is_none()) {
            // Both knock by name. Their name is a claim until they answer our knock, which went to the name; this
            // answer proves ours to them. So each answers, and believes only the other's answer.
            return self.answer(from, nonce);
        }
        match self.policy {
            super::Policy::Ask => self.hear_asker(from, name, nonce, now),
            super::Policy::Nobody => {}
        }
    }

    fn hear_asker(&mut self, from: PeerId, name: PlayerName, nonce: Bytes<16>, now: u64) {
        let mut askers = (self.book.contacts.iter().enumerate())
            .filter(|(_, contact)| contact.standing() == Standing::Asking)
            .map(|(at, contact)| (contact.since, at));
        let oldest = askers.clone().min();
        if let Some((_, at)) = oldest.filter(|_| askers.nth(ASKERS_MAX - 1).is_some()) {
            self.forget(at);
        }
        let contact = Contact::new(Some(name), Some(from), Stage::Asking { nonce }, now);
        self.book.contacts.push(contact.clone());
        let known = self.known_key(&contact);
        self.outputs.push_back(Output::Asks { contact, known });
        self.unsaved = true;
    }

    /// Accepts once; a peer that misses the answer knocks again.
    pub(super) fn answer(&mut self, to: PeerId, nonce: Bytes<16>) {
        if let Some(name) = self.here.player.clone() {
            self.outputs.push_back(Output::Note { to, note: Note::Accepted { name, nonce } });
        }
    }

    fn accepted(&mut self, from: PeerId, answer: Bytes<16>, now: u64) {
        match self.by_key(&from).map(|at| (at, &self.book.contacts[at].stage)) {
            Some((_, Stage::Blocked)) => return,
            Some((at, Stage::Requested { nonce, secret }))
                if self.is_answer(nonce, answer)
                    || secret.as_ref().map(invitation_answer) == Some(answer) =>
            {
                return self.pair(at, None, now);
            }
            Some(_) | None => {}
        }
        // The nonce went to a name, so its answer comes from the name's holder.
        let asked = |contact: &Contact| match &contact.stage {
            Stage::Requested { nonce, .. } => contact.peer_id.is_none() && self.is_answer(nonce, answer),
            _ => false,
        };
        match self.book.contacts.iter().position(asked) {
            Some(at) => self.name_answered(at, from, answer, now),
            None => self.answered_again(from, answer, now),
        }
    }

    /// Fulfils the wish at `at` with this key.
    pub(super) fn fulfil(&mut self, mut at: usize, from: PeerId, now: u64) {
        let known = self.by_key(&from);
        let owed = match known.map(|known| &self.book.contacts[known].stage) {
            Some(Stage::Blocked) => return,
            Some(Stage::Asking { nonce }) => Some(*nonce),
            Some(Stage::Requested { .. } | Stage::Paired { .. }) | None => None,
        };
        if let Stage::Requested { nonce, .. } = self.book.contacts[at].stage {
            self.book.contacts[at].wish = Some(nonce);
        }
        if let Some(asker) = known {
            if self.book.contacts[asker].is_held() {
                // A contact already, under another name.
                return self.forget(at);
            }
            self.book.contacts.remove(asker);
            at -= usize::from(asker < at);
        }
        self.book.contacts[at].peer_id = Some(from);
        self.pair(at, owed, now);
    }

    fn joined(&mut self, from: PeerId, name: PlayerName, secret: Bytes<16>, now: u64) {
        let known = self.by_key(&from);
        let stage = known.map(|at| self.book.contacts[at].stage.clone());
        let answer = invitation_answer(&secret);
        match stage {
            Some(Stage::Blocked) => return,
            // Our answer was lost. They are a contact, so any secret will do.
            Some(Stage::Paired { .. }) => self.answer(from, answer),
            _ => {}
        }
        if self.here.player.as_ref() == Some(&name) {
            return;
        }
        // BLAKE3 hashes are compared in constant time.
        let shown = blake3::hash(secret.as_slice());
        let open = |at: &usize| {
            let invitation = &self.book.invitations[*at];
            invitation.expires > now && blake3::Hash::from_bytes(invitation.hash.0) == shown
        };
        let Some(invitation) = (0..self.book.invitations.len()).find(open) else {
            return self.joined_late(from, name, shown, answer, now);
        };
        let paired = match (known, stage) {
            (Some(_), Some(Stage::Paired { .. })) => true,
            (Some(at), Some(Stage::Requested { .. })) => {
                self.pair(at, Some(answer), now);
                true
            }
            (Some(at), Some(Stage::Asking { .. })) => self.admit(at, &name, answer, now).is_ok(),
            _ if self.name_is_free(&name, from).is_ok()
                && (self.held(&name).is_some() || self.has_room().is_ok()) =>
            {
                let stage = Stage::Asking { nonce: answer };
                self.book.contacts.push(Contact::new(Some(name.clone()), Some(from), stage, now));
                self.admit(self.book.contacts.len() - 1, &name, answer, now).is_ok()
            }
            // The name is another contact's: a person decides.
            _ => {
                self.hear_asker(from, name, answer, now);
                false
            }
        };
        if paired {
            let used = self.book.invitations.remove(invitation);
            self.spend(used, now);
        }
    }

    /// Keeps a used or expired invitation.
    fn spend(&mut self, invitation: OpenInvitation, now: u64) {
        let expires = now.saturating_add(millis(SPENT_TIME));
        self.book.spent.retain(|spent| spent.expires > now);
        if self.book.spent.len() == SPENT_MAX {
            self.book.spent.remove(0);
        }
        self.book.spent.push(OpenInvitation { expires, ..invitation });
        self.unsaved = true;
    }

    /// Moves expired invitations to the spent ones.
    pub(super) fn spend_over(&mut self, now: u64) {
        let over: Vec<OpenInvitation> =
            self.book.invitations.extract_if(.., |open| open.expires <= now).collect();
        over.into_iter().for_each(|invitation| self.spend(invitation, now));
    }

    /// Tells both sides that our invitation was used too late. A secret that was never ours gets no answer.
    fn joined_late(
        &mut self,
        from: PeerId,
        name: PlayerName,
        shown: blake3::Hash,
        answer: Bytes<16>,
        now: u64,
    ) {
        self.spend_over(now);
        let ours = |spent: &OpenInvitation| blake3::Hash::from_bytes(spent.hash.0) == shown;
        let held = self.by_key(&from).is_some_and(|at| self.book.contacts[at].is_held());
        if held || !self.book.spent.iter().any(ours) {
            return;
        }
        self.late.retain(|(_, told)| now.abs_diff(*told) < millis(REPEAT) / 2);
        let told = |(key, _): &&(PeerId, u64)| *key == from;
        if self.late.len() == ASKERS_MAX || self.late.iter().filter(told).count() >= LATE_ANSWERS {
            return;
        }
        if !self.late.iter().any(|(key, _)| *key == from) {
            self.outputs.push_back(Output::TooLate { player: name, key: from });
        }
        self.late.push_back((from, now));
        self.outputs.push_back(Output::Note { to: from, note: Note::TooLate { answer } });
    }

    /// Only the inviter can send this: the wish by that link is dropped.
    fn came_too_late(&mut self, from: PeerId, answer: Bytes<16>) {
        let Some(at) = self.by_key(&from) else { return };
        let contact = &self.book.contacts[at];
        let Stage::Requested { secret: Some(secret), .. } = &contact.stage else { return };
        if invitation_answer(secret) != answer {
            return;
        }
        self.outputs.push_back(Output::InvitationOver { contact: contact.clone() });
        self.forget(at);
        self.outputs.push_back(Output::Disconnect(from));
    }

    fn key_changed(&mut self, from: PeerId, changes: &[KeyChange], now: u64) {
        // Any of the older keys: this side may have missed several changes.
        let held =
            |change: &KeyChange| self.by_key(&change.from).filter(|at| self.book.contacts[*at].is_held());
        let known = changes.iter().rev().take(KEY_CHANGES_MAX).find_map(held);
        if let Some(at) = known.filter(|_| KeyChange::lead(changes, &from)) {
            let old = self.book.contacts[at].peer_id;
            // Nothing changes if the new key is blocked or another contact's.
            if self.take_key(at, from, now).is_ok()
                && let Some(old) = old
            {
                let leaves = |output: &Output| *output == Output::Disconnect(old);
                let at = self.outputs.iter().rposition(leaves).unwrap_or(self.outputs.len());
                self.outputs.insert(at, Output::Followed { from: old, to: from });
            }
        }
    }

    fn linked(&mut self, key: &PeerId, now: u64) {
        let Some(at) = self.by_key(key) else { return };
        match &mut self.book.contacts[at].stage {
            Stage::Requested { .. } => self.pair(at, None, now),
            Stage::Paired { owed } => self.unsaved |= owed.take().is_some(),
            Stage::Asking { .. } | Stage::Blocked => {}
        }
    }
}
