//! Contacts: whom the player consents to, and how two players become contacts.
//!
//! One machine, `Contacts`, under virtual time: Unix milliseconds and random numbers are arguments, and its state can
//! be stored ([`Saved`]). A person's wishes are in `wishes`, others' messages in `facts`. The daemon sends the
//! messages, signs knocks and opens letters.
//!
//! ```text
//!  asks                                         is asked
//!  Requested ── Knock{name, nonce} ──────────►  Asking ── a person accepts ─► Paired
//!  Paired    ◄───────── Accepted{nonce} ──────                 (repeated until a link opens)
//!
//!  uses an invitation                           made it
//!  Requested ── Join{name, secret} ──────────►  the secret is unused: Paired, and the secret is used up
//!  Paired    ◄── Accepted{of the secret} ─────
//! ```
//!
//! A name in a knock is a claim. The key counts, and that it answered a nonce that was sent to the name. Each phone
//! book gets a nonce of its own ([`crate::knock::knock_number`]). With several phone books, an answer is held until all
//! were asked for the name, in `rivals`: two keys pair with nobody, and a person decides.

mod facts;
mod held;
mod rivals;
mod saved;
#[cfg(test)]
mod tests;
mod wishes;

pub use facts::Input;
pub use saved::{Contact, OpenInvitation, Saved, SavedError, Stage};

use crate::{
    bytes::Bytes,
    id::{PeerId, PlayerName},
    invitation::INVITATION_TIME,
    knock::{Callee, Note},
    local::reply::Standing,
    lookalike::Shape,
    number::millis,
};
use std::{collections::VecDeque, time::Duration};

/// The longest pause before an unanswered message is repeated. The other side may have been away. A phone book does not
/// say when it is back, so the first pauses are short: half of what the message has waited already, but at least
/// [`FIRST_REPEAT`].
pub const REPEAT: Duration = Duration::from_secs(5 * 60);
/// As [`REPEAT`], of an invitation: two players wait for it, and it lasts for a day.
pub const JOIN_REPEAT: Duration = Duration::from_secs(60);
pub const FIRST_REPEAT: Duration = Duration::from_secs(5);
/// How long an acceptance is repeated. A peer that comes later knocks again, and is answered again.
pub const OWED_TIME: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long an unanswered knock is repeated. The wish stays.
pub const REQUEST_TIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Messages at once; the rest follows after a pause, because phone books limit a client's messages.
const BATCH: usize = 8;
/// With [`BATCH`] half of a client's default budget: the other half is for introductions.
const BATCH_PAUSE: Duration = Duration::from_secs(16);

/// This player's own identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    pub key: PeerId,
    /// Without a name no knock can be sent or answered.
    pub player: Option<PlayerName>,
}

/// What happens to a stranger's knock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Policy {
    /// A person decides.
    #[default]
    Ask,
    /// It is dropped. Answers to own knocks, and invitations, still count.
    Nobody,
}

/// Why a wish is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContactError {
    #[error("{who} is no contact: see `fyteclubctl contacts list`")]
    NotAContact { who: String },
    #[error(
        "{who} does not ask to be a contact; `fyteclubctl contacts list` shows the players who do, `contacts add` asks a player"
    )]
    DoesNotAsk { who: String },
    #[error("{who} is not blocked")]
    NotBlocked { who: String },
    #[error("give a player's name or a key")]
    Nobody,
    #[error("{player} is a contact already, or was asked; if they did not get it, remove and add them again")]
    Already { player: PlayerName },
    #[error("that is your own name or key: a contact is another player")]
    Yourself,
    #[error("{who} is blocked: to undo that, run fyteclubctl contacts unblock {key}")]
    Blocked { who: String, key: PeerId },
    #[error(
        "{player} is blocked here: to undo that, run fyteclubctl contacts unblock {key}; to add another player of this name, use their invitation or give their key"
    )]
    NameBlocked { player: PlayerName, key: PeerId },
    #[error("{player} has several keys here: give the right key, as `contacts list` shows it")]
    Ambiguous { player: PlayerName },
    #[error(
        "{player} is a contact with the key {known}; ask them whether {offered} is their new one, and if so run: fyteclubctl peers trust \"{player}\" {offered}"
    )]
    NameHeld { player: PlayerName, known: PeerId, offered: PeerId },
    #[error("the key of {player} is not known yet, and only a key can be blocked: remove them instead")]
    NoKey { player: PlayerName },
    #[error("there are {max} contacts already: remove some", max = crate::limit::CONTACTS_MAX)]
    TooMany,
    #[error(
        "{max} invitations are open already: they end when they are used, or after a day",
        max = crate::limit::INVITATIONS_MAX
    )]
    TooManyInvitations,
    #[error("this invitation is your own: send it to the player whom you want as a contact")]
    OwnInvitation,
    #[error(
        "this invitation was not answered for a day: it was used by another player or has expired; ask for a new one"
    )]
    InvitationOver,
    #[error("the daemon has no player name: start it with --player NAME@WORLD")]
    Nameless,
}

/// Orders, in this sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Sign and send it.
    Knock { to: Callee, nonce: Bytes<16> },
    /// Seal and send it.
    Note { to: PeerId, note: Note },
    /// A player asks. `known` is the key of a contact who has that name already.
    Asks { contact: Contact, known: Option<PeerId> },
    /// The contact now, or its last state if it is gone.
    Changed { contact: Contact, gone: bool },
    /// Both keys signed that a contact's new key replaces its old one: the old key's blobs now count as the new one's.
    /// Comes before the old key's [`Output::Disconnect`].
    Followed { from: PeerId, to: PeerId },
    /// Look this name up at every phone book, and pass the answer as [`Input::Listed`].
    Look { player: PlayerName },
    /// Several keys answer to a wanted name, or are listed for it.
    Disputed { player: PlayerName, keys: Vec<PeerId> },
    /// An invitation of this player's was used after it was used up or expired.
    TooLate { player: PlayerName, key: PeerId },
    /// The invitation by which this contact was asked was used up or expired. The contact is gone.
    InvitationOver { contact: Contact },
    /// This key is no longer consented to: close its links now.
    Disconnect(PeerId),
    /// [`Contacts::saved`] has changed.
    Save,
}

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Repeat,
    /// The phone books' time to answer a lookup is over.
    SecondOpinion,
}

/// The machine. A few thousand entries at most: it scans them instead of keeping an index.
#[derive(Debug)]
pub struct Contacts {
    here: Here,
    own_shape: Option<Shape>,
    policy: Policy,
    book: Saved,
    outputs: VecDeque<Output>,
    unsaved: bool,
    /// When the rest of a batch is due.
    rest: Option<u64>,
    /// The phone books that carry knocks, by name.
    carriers: Vec<String>,
    /// Held answers.
    held: Vec<held::Held>,
    /// Keys that were answered `TooLate` lately, and when.
    late: VecDeque<(PeerId, u64)>,
}

impl Contacts {
    pub fn new(here: Here, policy: Policy, mut book: Saved, now: u64) -> Self {
        book.contacts.iter_mut().for_each(|contact| {
            contact.told = now;
            let player = contact.player.take();
            contact.name(player);
            // An older daemon did not.
            contact.date();
        });
        Self {
            own_shape: here.player.as_ref().map(Shape::of),
            here,
            policy,
            book,
            outputs: VecDeque::new(),
            unsaved: false,
            rest: None,
            carriers: Vec::new(),
            held: Vec::new(),
            late: VecDeque::new(),
        }
    }

    /// With the phone books that carry its knocks, each of which gets a nonce of its own. Without any, the wish's own
    /// number is the nonce.
    #[must_use]
    pub fn carried_by(mut self, carriers: Vec<String>) -> Self {
        self.carriers = carriers;
        self
    }

    /// Whether this key may be served, introduced and linked with: both sides consented, or this side asked by key.
    /// Nothing else is consent.
    pub fn consents(&self, key: &PeerId) -> bool {
        *key != self.here.key
            && self.by_key(key).is_some_and(|at| match self.book.contacts[at].stage {
                Stage::Paired { .. } | Stage::Requested { .. } => true,
                Stage::Asking { .. } | Stage::Blocked => false,
            })
    }

    /// The name of a consented key.
    pub fn name_of(&self, key: &PeerId) -> Option<&PlayerName> {
        let contact = &self.book.contacts[self.by_key(key)?];
        if contact.is_held() { contact.player.as_ref() } else { None }
    }

    /// Since when a key has its status, in Unix milliseconds.
    pub fn since(&self, key: &PeerId) -> Option<u64> {
        Some(self.book.contacts[self.by_key(key)?].since)
    }

    /// The contact of this name, paired or asked for; claims do not count.
    pub fn of_name(&self, player: &PlayerName) -> Option<&Contact> {
        self.held(player).map(|at| &self.book.contacts[at])
    }

    /// All of them, including those who ask and blocked keys.
    pub fn iter(&self) -> impl Iterator<Item = &Contact> {
        self.book.contacts.iter()
    }

    /// The key of another contact who has this one's claimed name.
    pub fn known_key(&self, contact: &Contact) -> Option<PeerId> {
        let asks = contact.standing() == Standing::Asking;
        let held = self.of_name(contact.player.as_ref()?).filter(|_| asks)?;
        held.peer_id.filter(|known| Some(*known) != contact.peer_id)
    }

    /// Another name that this one can be confused with: an earlier contact's, or this player's own.
    pub fn looks_like(&self, contact: &Contact) -> Option<&PlayerName> {
        let player = contact.player.as_ref()?;
        let alike = |other: &&Contact| {
            other.is_held()
                && other.shape == contact.shape
                && other.player.as_ref() != Some(player)
                && (!contact.is_held() || other.contact_since < contact.contact_since)
        };
        let own = || {
            self.here
                .player
                .as_ref()
                .filter(|own| *own != player && self.own_shape.as_ref() == Some(&contact.shape))
        };
        self.book.contacts.iter().find(alike).and_then(|other| other.player.as_ref()).or_else(own)
    }

    /// The state to store.
    pub fn saved(&self) -> &Saved {
        &self.book
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| std::mem::take(&mut self.unsaved).then_some(Output::Save))
    }

    pub fn deadline(&self) -> Option<(u64, Why)> {
        let again = |contact: &Contact| contact.told.saturating_add(pause(contact));
        let waiting = self.book.contacts.iter().filter(|contact| self.waits(contact, again(contact)));
        let repeat = self.rest.or_else(|| waiting.map(again).min()).map(|at| (at, Why::Repeat));
        let held = self.held.iter().map(|held| (held.until, Why::SecondOpinion)).min_by_key(|(at, _)| *at);
        repeat.into_iter().chain(held).min_by_key(|(at, _)| *at)
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self, now: u64) -> Option<&'static str> {
        let waits = |contact: &Contact| self.waits(contact, now.saturating_add(millis(REPEAT)));
        let waiting = self.book.contacts.iter().any(waits);
        (!waiting).then_some("nobody is to be told anything again: wishes beyond their time stay wishes")
    }

    fn by_key(&self, key: &PeerId) -> Option<usize> {
        self.book.contacts.iter().position(|contact| contact.peer_id.as_ref() == Some(key))
    }

    /// The index of the name's contact; a name has at most one.
    fn held(&self, player: &PlayerName) -> Option<usize> {
        let is_it = |contact: &Contact| contact.is_held() && contact.player.as_ref() == Some(player);
        self.book.contacts.iter().position(is_it)
    }

    /// Whether a message to this contact is to be repeated.
    fn waits(&self, contact: &Contact, now: u64) -> bool {
        let within = |limit| now.saturating_sub(contact.since) < millis(limit);
        self.here.player.is_some()
            && match contact.stage {
                // Where several answer, a person decides.
                Stage::Requested { .. } => contact.rivals.is_empty() && within(REQUEST_TIME),
                Stage::Paired { owed: Some(_) } => within(OWED_TIME),
                Stage::Paired { owed: None } | Stage::Asking { .. } | Stage::Blocked => false,
            }
    }

    /// Sends the due message to a contact.
    fn tell(&mut self, at: usize, now: u64) {
        let Some(name) = self.here.player.clone() else { return };
        let contact = &mut self.book.contacts[at];
        contact.told = now;
        let fresh = now.saturating_sub(contact.since) < millis(INVITATION_TIME);
        let output = match (&contact.stage, contact.peer_id, &contact.player) {
            (Stage::Requested { secret: Some(secret), .. }, Some(to), _) if fresh => {
                Output::Note { to, note: Note::Join { name, secret: *secret } }
            }
            // After an expired invitation the key can still be knocked at.
            (Stage::Requested { nonce, .. }, Some(key), _) => {
                Output::Knock { to: Callee::Key(key), nonce: *nonce }
            }
            (Stage::Requested { nonce, .. }, None, Some(player)) => {
                Output::Knock { to: Callee::Name(player.to_string()), nonce: *nonce }
            }
            (Stage::Paired { owed: Some(nonce) }, Some(to), _) => {
                Output::Note { to, note: Note::Accepted { name, nonce: *nonce } }
            }
            _ => return,
        };
        self.outputs.push_back(output);
    }

    /// Sends due messages, a batch at a time.
    fn repeat(&mut self, now: u64) {
        let mut due: Vec<usize> = (0..self.book.contacts.len())
            .filter(|at| {
                let contact = &self.book.contacts[*at];
                now.abs_diff(contact.told) >= pause(contact)
            })
            .collect();
        due.sort_by_key(|at| self.book.contacts[*at].told);
        due.retain(|at| {
            let waits = self.waits(&self.book.contacts[*at], now);
            if !waits {
                self.book.contacts[*at].told = now;
            }
            waits
        });
        self.rest = (due.len() > BATCH).then(|| now.saturating_add(millis(BATCH_PAUSE)));
        due.into_iter().take(BATCH).for_each(|at| self.tell(at, now));
    }

    fn changed(&mut self, at: usize) {
        let contact = self.book.contacts[at].clone();
        self.outputs.push_back(Output::Changed { contact, gone: false });
        self.unsaved = true;
    }

    fn forget(&mut self, at: usize) {
        let contact = self.book.contacts.remove(at);
        self.outputs.push_back(Output::Changed { contact, gone: true });
        self.unsaved = true;
    }

    /// Both sides consent now. `owed` is the nonce of a knock to be answered.
    fn pair(&mut self, at: usize, owed: Option<Bytes<16>>, now: u64) {
        let contact = &mut self.book.contacts[at];
        (contact.stage, contact.since) = (Stage::Paired { owed }, now);
        contact.date();
        let (key, earlier) = (contact.peer_id, std::mem::take(&mut contact.earlier));
        self.changed(at);
        if owed.is_some() {
            self.tell(at, now);
            // One nonce for each phone book: the answers show the asker that this side has the name at all of them.
            let answers = key.into_iter().flat_map(|key| earlier.iter().map(move |number| (key, *number)));
            answers.for_each(|(key, number)| self.answer(key, number));
        }
    }
}

/// The pause before a contact's message is repeated, in milliseconds.
fn pause(contact: &Contact) -> u64 {
    let waited = contact.told.abs_diff(contact.since);
    let invited = matches!(contact.stage, Stage::Requested { secret: Some(_), .. });
    let longest = if invited && waited < millis(INVITATION_TIME) { JOIN_REPEAT } else { REPEAT };
    (waited / 2).clamp(millis(FIRST_REPEAT), millis(longest))
}

/// The nonce that answers an invitation's secret, without revealing it.
pub fn invitation_answer(secret: &Bytes<16>) -> Bytes<16> {
    let derived = blake3::derive_key("fyteclub invitation answer v1", secret.as_slice());
    let mut answer = [0; 16];
    answer.copy_from_slice(&derived[..16]);
    Bytes(answer)
}
