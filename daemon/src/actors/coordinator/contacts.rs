//! Contacts at work: runs their machine, signs and posts what it says, tells the bus, keeps the file, and ends the links
//! of who is none any more. The rules are [`fyteclub_proto::contact`]'s.

use super::Coordinator;
use crate::{
    actors::{
        peer,
        phone_book::{Answer as Introduction, PhonebookFact, Post},
        unix_millis,
    },
    io::contacts::ContactsFile,
    whereabouts::Whereabouts,
};
use actix::{AsyncContext, Context, SpawnHandle};
use fyteclub_proto::{
    agenda,
    bytes::Bytes,
    contact::{self, ContactError, Contacts, Here, Input, Output, Policy},
    id::{PeerId, PlayerName},
    invitation::{Invitation, InvitationError},
    knock::{Callee, Knock, Note},
    local::{
        Event, Fault, FaultCode,
        reply::{self, Invited, Standing},
        request::{AddContact, Join, Who},
    },
    peer::CloseCode,
};
use std::time::Duration;

/// How long a stranger's knock may wait to be written: they must not make this machine write as often as they knock.
const SAVE_PAUSE: Duration = Duration::from_secs(2);
/// Notes that tell of a changed key, said together: a phone book limits how much one client says.
const ANNOUNCED_AT_ONCE: usize = 40;
/// How often the next of those who have not come since are told.
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(60);
/// In how many periods each has had a turn, if there are not too many of them.
const ANNOUNCE_ROUND: usize = 5;
/// How often addresses are looked at whether they are to be written.
const SETTLE_PERIOD: Duration = Duration::from_secs(30);

/// The machine with its file.
pub struct Own {
    pub machine: Contacts,
    file: ContactsFile,
    whereabouts: Whereabouts,
    unsaved: bool,
    /// Who is consented to has changed since the last write.
    urgent: bool,
    /// A write is due soon.
    saving: bool,
    timer: Option<SpawnHandle>,
}

impl Own {
    pub fn new(here: Here, policy: Policy, file: ContactsFile, whereabouts: Whereabouts) -> Self {
        let keys = file.saved().contacts.iter().filter_map(|contact| contact.peer_id);
        for (key, addr) in keys.filter_map(|key| Some((key, file.last_addr(&key)?))) {
            whereabouts.note(key, addr);
        }
        let machine = Contacts::new(here, policy, file.saved().clone(), unix_millis());
        Self { machine, file, whereabouts, unsaved: false, urgent: false, saving: false, timer: None }
    }

    /// Where a contact was reached last.
    pub fn last_addr(&self, key: &PeerId) -> Option<std::net::SocketAddr> {
        self.file.last_addr(key)
    }

    /// A contact was reached here.
    pub fn note_addr(&mut self, key: PeerId, addr: std::net::SocketAddr) {
        self.file.note_addr(key, addr);
        if self.machine.consents(&key) {
            self.whereabouts.note(key, addr);
        }
    }

    fn save(&mut self) -> Result<(), Fault> {
        self.file.write(self.machine.saved()).map_err(|error| {
            tracing::warn!("{error}");
            Fault::new(FaultCode::Io, format!("{error}: it holds until the daemon stops"))
        })?;
        (self.unsaved, self.urgent) = (false, false);
        Ok(())
    }

    /// The last chance to keep something.
    pub fn close(&mut self) {
        let saved = if self.unsaved { self.save().is_ok() } else { true };
        if saved && let Err(error) = self.file.settle(true) {
            tracing::warn!("{error}");
        }
    }
}

/// What a client wishes of the contacts.
pub enum Wish {
    Add(AddContact),
    Accept(Who),
    Remove(Who),
    Block(Who),
    Unblock(Who),
    Trust(PlayerName, PeerId),
    Join(Join),
}

fn random() -> Result<Bytes<16>, Fault> {
    let mut bytes = [0; 16];
    let failed = |error| Fault::new(FaultCode::Internal, format!("this machine has no randomness: {error}"));
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(Bytes(bytes))
}

fn refused(error: &ContactError) -> Fault {
    let code = match error {
        ContactError::NotAContact { .. } | ContactError::DoesNotAsk { .. } => FaultCode::NotAContact,
        ContactError::NameHeld { .. } => FaultCode::KeyChanged,
        ContactError::Nameless => FaultCode::NoPlayer,
        _ => FaultCode::BadRequest,
    };
    Fault::new(code, error.to_string())
}

impl Coordinator {
    pub(super) fn start_contacts(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(SETTLE_PERIOD, |coordinator, _| {
            if let Err(error) = coordinator.contacts.file.settle(false) {
                tracing::warn!("{error}");
            }
        });
        if !self.identity.changes().is_empty() {
            ctx.run_interval(ANNOUNCE_PERIOD, |coordinator, _| coordinator.announce_key(ANNOUNCE_ROUND));
        }
        self.drive_contacts(ctx);
    }

    /// As clients see a contact.
    fn shown(&self, contact: &contact::Contact) -> reply::Contact {
        let open = |key: PeerId| self.peers.get(&key).is_some_and(|known| known.open);
        reply::Contact {
            player: contact.player.clone(),
            peer_id: contact.peer_id,
            standing: contact.standing(),
            since: contact.since,
            online: contact.peer_id.is_some_and(open),
            known_key: self.contacts.machine.known_key(contact),
        }
    }

    pub(super) fn contact_list(&self) -> Vec<reply::Contact> {
        let mut list: Vec<_> = self.contacts.machine.iter().map(|contact| self.shown(contact)).collect();
        list.sort_by(|a, b| (&a.player, &a.peer_id).cmp(&(&b.player, &b.peer_id)));
        list
    }

    /// Fulfils a wish; what it changed is on the disk before it is answered.
    pub(super) fn wish(
        &mut self,
        wish: Wish,
        ctx: &mut Context<Self>,
    ) -> Result<Option<reply::Contact>, Fault> {
        let (now, machine) = (unix_millis(), &mut self.contacts.machine);
        let done = match wish {
            Wish::Add(add) => machine.add(&add.player, add.peer_id, random()?, now).map(Some),
            Wish::Accept(who) => machine.accept(&who, now).map(Some),
            Wish::Remove(who) => machine.remove(&who).map(|()| None),
            Wish::Block(who) => machine.block(&who, now).map(Some),
            Wish::Unblock(who) => machine.unblock(&who).map(|()| None),
            Wish::Trust(player, key) => machine.trust(&player, key, now).map(|()| None),
            Wish::Join(join) => {
                let invitation: Invitation = join
                    .link
                    .parse()
                    .map_err(|error: InvitationError| Fault::new(FaultCode::BadRequest, error.to_string()))?;
                say_strange_books(&invitation, &self.phonebooks);
                machine.join(&invitation, random()?, now).map(Some)
            }
        };
        let contact = done.map_err(|error| refused(&error))?;
        self.drive_contacts(ctx);
        if self.contacts.unsaved {
            self.contacts.save()?;
        }
        Ok(contact.map(|contact| self.shown(&contact)))
    }

    pub(super) fn invite(
        &mut self,
        phonebooks: &[String],
        ctx: &mut Context<Self>,
    ) -> Result<Invited, Fault> {
        let made = self.contacts.machine.invite(random()?, phonebooks, unix_millis());
        let (invitation, expires) = made.map_err(|error| refused(&error))?;
        self.drive_contacts(ctx);
        self.contacts.save()?;
        Ok(Invited { link: invitation.to_string(), expires })
    }

    pub(super) fn contacts_heard(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.contacts.machine.handle(unix_millis(), input);
        self.drive_contacts(ctx);
    }

    /// What a phone book brought that only contacts have to do with.
    pub(super) fn carried(&mut self, fact: PhonebookFact, ctx: &mut Context<Self>) {
        match fact {
            // The coordinator's own.
            PhonebookFact::Changed { .. } | PhonebookFact::MoreAddresses { .. } => {}
            PhonebookFact::Connected => {
                self.contacts_heard(Input::Connected, ctx);
                self.announce_key(1);
            }
            PhonebookFact::Knocked(knock) => self.contacts_heard(Input::Knocked(knock), ctx),
            PhonebookFact::Noted { from, note } => self.contacts_heard(Input::Noted { from, note }, ctx),
            PhonebookFact::Introduced { introduction, from, .. } => {
                let accept = self.contacts.machine.consents(&from) && !self.is_banned(&from);
                if let Some(phone_book) = &self.phone_book {
                    phone_book.do_send(Introduction { introduction, to: from, accept });
                }
            }
        }
    }

    fn drive_contacts(&mut self, ctx: &mut Context<Self>) {
        while let Some(output) = self.contacts.machine.poll() {
            self.contact_output(output, ctx);
        }
        // Before the yes that was posted just now leaves this thread: who hears it counts on it. Said in the log when it
        // fails; the next change is another chance.
        if self.contacts.urgent && self.contacts.unsaved {
            self.contacts.save().ok();
        }
        if let Some(timer) = self.contacts.timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some((at, _)) = self.contacts.machine.deadline() {
            let wait = Duration::from_millis(at.saturating_sub(unix_millis()));
            let timer = ctx.run_later(wait, |coordinator, ctx| {
                coordinator.contacts_heard(Input::Time, ctx);
            });
            self.contacts.timer = Some(timer);
        }
    }

    fn contact_output(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Knock { to, nonce } => self.knock(to, nonce),
            Output::Note { to, note } => self.post(Post::Note { to, note }),
            Output::Asks { contact, .. } => {
                tracing::info!("somebody asks to be a contact");
                let contact = self.shown(&contact);
                self.bus.publish(Event::ContactRequest { contact });
            }
            Output::Changed { contact, gone } => {
                // Who asked, and makes room for another, was consented to by nobody: strangers must not hurry us.
                self.contacts.urgent |= contact.standing() != Standing::Asking;
                self.refresh(&contact, gone);
                self.say_nearby();
                let contact = self.shown(&contact);
                self.bus.publish(Event::ContactChanged { contact, removed: gone });
            }
            Output::Disconnect(key) => self.disconnect(key),
            Output::Save => {
                self.contacts.unsaved = true;
                if std::mem::replace(&mut self.contacts.saving, true) {
                    return;
                }
                ctx.run_later(SAVE_PAUSE, |coordinator, _| {
                    coordinator.contacts.saving = false;
                    if coordinator.contacts.unsaved {
                        // Said in the log; the next change is another chance.
                        coordinator.contacts.save().ok();
                    }
                });
            }
        }
    }

    /// What is known of a peer follows what is known of the contact.
    fn refresh(&mut self, contact: &contact::Contact, gone: bool) {
        let Some(key) = contact.peer_id else { return };
        let consents = self.contacts.machine.consents(&key);
        if let Some(known) = self.peers.get_mut(&key) {
            known.consent.set_contact(consents);
            if consents && !gone {
                known.player = contact.player.clone();
            }
        }
    }

    fn knock(&self, to: Callee, nonce: Bytes<16>) {
        let Some(name) = &self.around.player else { return };
        // Signed for the name as the phone books know it.
        let to = match to {
            Callee::Name(player) => match player.parse() {
                Ok(player) => Callee::Name(self.listing.name_of(&player)),
                Err(_) => return,
            },
            Callee::Key(key) => Callee::Key(key),
        };
        let knock = Knock::signed(&to, name, nonce, self.identity.key());
        self.post(Post::Knock { to, knock });
    }

    fn post(&self, post: Post) {
        // Born a moment after the coordinator; what is said before that is said again.
        if let Some(phone_book) = &self.phone_book {
            phone_book.do_send(post);
        }
    }

    /// Tells those who may still know an older key of ours; who has linked with us since the start knows this one.
    /// `parts`: in how many times all of them.
    fn announce_key(&mut self, parts: usize) {
        if self.identity.changes().is_empty() {
            return;
        }
        let note = Note::KeyChanged(self.identity.changes().to_vec());
        let held = self.contacts.machine.iter().filter_map(|contact| contact.peer_id);
        let unaware = held.filter(|key| self.contacts.machine.consents(key) && !self.aware.contains(key));
        let unaware: Vec<PeerId> = unaware.collect();
        let count = unaware.len().div_ceil(parts).min(ANNOUNCED_AT_ONCE);
        let next = next_after(self.announced, unaware, count);
        self.announced = next.last().copied().or(self.announced);
        for to in next {
            self.post(Post::Note { to, note: note.clone() });
        }
    }

    /// This key is not consented to any more: nothing is served, nothing is fetched, and its links end.
    fn disconnect(&mut self, key: PeerId) {
        if let Some(known) = self.peers.get(&key) {
            known.consent.set_contact(false);
        }
        self.contacts.whereabouts.forget(&key);
        self.around.lending.forget(&key);
        // What came from them is lent no more, nor counts as theirs should they come back. The disk is waited for elsewhere.
        let store = self.store().clone();
        tokio::task::spawn_blocking(move || store.forget_owner(&key));
        for player in self.players_of(key) {
            let fault = match self.contacts.machine.of_name(&player) {
                None => not_a_contact(&player),
                Some(_) => {
                    Fault::new(FaultCode::KeyChanged, format!("{player} has another key now: fetch again"))
                }
            };
            self.fail(&player, fault);
        }
        self.agenda(agenda::Input::Gone(key));
        if let Some(actor) = self.tell(&key) {
            actor.do_send(peer::Leave);
            actor.do_send(peer::Close(CloseCode::Refused));
            actor.do_send(peer::Retire);
        }
    }

    /// The key to fetch a player's look from.
    pub(super) fn key_of(&self, player: &PlayerName) -> Result<PeerId, Fault> {
        let Some(contact) = self.contacts.machine.of_name(player) else {
            return Err(not_a_contact(player));
        };
        // The one case of it that time may mend.
        contact.peer_id.ok_or_else(|| Fault {
            code: FaultCode::NotAContact,
            message: format!(
                "{player} was asked to be a contact and has not answered yet: try again when they have"
            ),
            retryable: true,
        })
    }
}

/// So many of them in the order of keys, beginning after `last`: everybody has a turn, whoever comes or goes meanwhile.
fn next_after(last: Option<PeerId>, mut all: Vec<PeerId>, count: usize) -> Vec<PeerId> {
    all.sort_unstable();
    let beginning = all.partition_point(|key| Some(*key) <= last);
    all.rotate_left(beginning);
    all.truncate(count);
    all
}

/// The same phone book may go by two URLs, so this is no reason to refuse.
fn say_strange_books(invitation: &Invitation, own: &[String]) {
    let is_own =
        |book: &String| own.iter().any(|own| own.trim_end_matches('/') == book.trim_end_matches('/'));
    if !invitation.phonebooks.is_empty() && !invitation.phonebooks.iter().any(is_own) {
        tracing::warn!(
            "the invitation names other phone books than this daemon's ({}): if they do not answer, start it with --phonebook and one of these",
            invitation.phonebooks.join(", ")
        );
    }
}

fn not_a_contact(player: &PlayerName) -> Fault {
    Fault::new(
        FaultCode::NotAContact,
        format!(
            "{player} is no contact of yours: run fyteclubctl contacts add \"{player}\", or follow an invitation of theirs with fyteclubctl contacts join LINK"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn() {
        let key = |number: u8| PeerId::from_bytes([number; 32]);
        let mut all: Vec<PeerId> = (0..100).map(key).collect();
        let first = next_after(None, all.clone(), 40);
        assert_eq!(first, all[..40]);
        // One who was told last comes, and is in the list no more.
        all.retain(|known| *known != key(39));
        let second = next_after(first.last().copied(), all.clone(), 40);
        assert_eq!((second[0], second[39]), (key(40), key(79)));
        let third = next_after(second.last().copied(), all.clone(), 40);
        assert_eq!((third[19], third[20], third[39]), (key(99), key(0), key(19)));
        assert_eq!(next_after(Some(key(99)), vec![], 40), []);
    }
}
