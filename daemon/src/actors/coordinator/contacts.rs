//! Contacts at work: runs their machine, signs and posts what it says, tells the bus, keeps the file, and ends the links
//! of who is none any more. The rules are [`fyteclub_proto::contact`]'s.

use super::{Coordinator, verbs::internal};
use crate::{
    actors::{
        peer,
        phone_book::{Answer as Introduction, List, PhonebookFact, Post},
        unix_millis,
    },
    io::{
        contacts::ContactsFile,
        keeper::{KeepError, Keeping},
    },
    whereabouts::Whereabouts,
};
use actix::{ActorFutureExt, AsyncContext, Context, ResponseActFuture, SpawnHandle, WrapFuture, fut};
use fyteclub_proto::{
    bytes::Bytes,
    contact::{self, ContactError, Contacts, Here, Input, Output, Policy},
    fetching::fetch,
    id::{PeerId, PlayerName},
    invitation::{Invitation, InvitationError},
    knock::{Callee, Note},
    local::{
        Event, Fault, FaultCode,
        reply::{self, Invited, Standing},
        request::{AddContact, Join, Who},
    },
    lookalike::mixes_scripts,
    peer::CloseCode,
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long whoever follows an invitation waits to hear whether it still holds. The inviter may be away.
const JOIN_TIME: Duration = Duration::from_secs(3);
/// How long a stranger's knock may wait to be written: they must not make this machine write as often as they knock.
const SAVE_PAUSE: Duration = Duration::from_secs(2);
/// Words to others that wait for a slow disk.
const HELD_MAX: usize = 1024;
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
    /// Writes that what is posted waits for: who hears a yes counts on it.
    writing: usize,
    held: Vec<Post>,
    timer: Option<SpawnHandle>,
    /// Who followed an invitation just now and waits for its inviter's word.
    joining: HashMap<PeerId, Vec<oneshot::Sender<Result<reply::Contact, Fault>>>>,
}

impl Own {
    pub fn new(
        here: Here,
        policy: Policy,
        file: ContactsFile,
        whereabouts: Whereabouts,
        carriers: Vec<String>,
    ) -> Self {
        let keys = file.saved().contacts.iter().filter_map(|contact| contact.peer_id);
        for (key, addr) in keys.filter_map(|key| Some((key, file.last_addr(&key)?))) {
            whereabouts.note(key, addr);
        }
        let machine = Contacts::new(here, policy, file.saved().clone(), unix_millis()).carried_by(carriers);
        Self {
            machine,
            file,
            whereabouts,
            unsaved: false,
            urgent: false,
            saving: false,
            writing: 0,
            held: Vec::new(),
            timer: None,
            joining: HashMap::new(),
        }
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

    fn save(&mut self) -> Keeping {
        (self.unsaved, self.urgent) = (false, false);
        self.file.write(self.machine.saved())
    }

    /// What was being written is not on the disk. The next change is another chance.
    fn lost(&mut self, error: &KeepError) {
        tracing::warn!("{error}");
        self.unsaved = true;
        self.file.lost();
    }

    /// The last chance to keep something; whoever stops waits for the keeper.
    pub fn close(&mut self) {
        if self.unsaved {
            drop(self.save());
        }
        drop(self.file.settle(true));
    }
}

/// An answer that is given once what it tells of is safe on the disk.
pub type Later<T> = ResponseActFuture<Coordinator, Result<T, Fault>>;

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
        ctx.run_interval(SETTLE_PERIOD, |coordinator, ctx| {
            if let Some(keeping) = coordinator.contacts.file.settle(false) {
                coordinator.keep(keeping, ctx);
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
            looks_like: self.contacts.machine.looks_like(contact).cloned(),
            mixed_scripts: contact.player.as_ref().is_some_and(mixes_scripts),
            rivals: contact.rivals.clone(),
        }
    }

    pub(super) fn contact_list(&self) -> Vec<reply::Contact> {
        let mut list: Vec<_> = self.contacts.machine.iter().map(|contact| self.shown(contact)).collect();
        list.sort_by(|a, b| (&a.player, &a.peer_id).cmp(&(&b.player, &b.peer_id)));
        list
    }

    /// Fulfils a wish; what it changed is on the disk before it is answered.
    pub(super) fn wish(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Later<Option<reply::Contact>> {
        match self.change(wish) {
            Ok(contact) => {
                let keeping = self.drive_contacts(ctx);
                let keeping = keeping.or_else(|| self.contacts.unsaved.then(|| self.save(ctx)));
                let contact = contact.map(|contact| self.shown(&contact));
                self.once_kept(keeping, contact)
            }
            Err(fault) => Box::pin(fut::ready(Err(fault))),
        }
    }

    /// Answers when it is safe.
    fn once_kept<T: 'static>(&self, keeping: Option<Keeping>, answer: T) -> Later<T> {
        let Some(keeping) = keeping else { return Box::pin(fut::ready(Ok(answer))) };
        Box::pin(keeping.into_actor(self).map(|kept, _, _| match kept {
            Ok(()) => Ok(answer),
            Err(error) => Err(Fault::new(FaultCode::Io, format!("{error}: it holds until the daemon stops"))),
        }))
    }

    fn save(&mut self, ctx: &mut Context<Self>) -> Keeping {
        let keeping = self.contacts.save();
        self.keep(keeping.clone(), ctx);
        keeping
    }

    /// Sees to what nobody waits for.
    fn keep(&self, keeping: Keeping, ctx: &mut Context<Self>) {
        ctx.spawn(keeping.into_actor(self).map(|kept, coordinator, _| {
            if let Err(error) = kept {
                coordinator.contacts.lost(&error);
            }
        }));
    }

    fn change(&mut self, wish: Wish) -> Result<Option<contact::Contact>, Fault> {
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
        done.map_err(|error| refused(&error))
    }

    /// Follows an invitation, and waits a moment for its inviter: whoever comes too late is told so.
    pub(super) fn join(&mut self, join: Join, ctx: &mut Context<Self>) -> Later<reply::Contact> {
        let wished = self.wish(Wish::Join(join), ctx);
        Box::pin(wished.then(|contact, coordinator, _| coordinator.hear_inviter(contact)))
    }

    fn hear_inviter(&mut self, wished: Result<Option<reply::Contact>, Fault>) -> Later<reply::Contact> {
        let contact = match wished.and_then(|contact| contact.ok_or_else(internal)) {
            Ok(contact) => contact,
            Err(fault) => return Box::pin(fut::ready(Err(fault))),
        };
        let Some(key) = contact.peer_id.filter(|_| contact.standing == Standing::Requested) else {
            return Box::pin(fut::ready(Ok(contact)));
        };
        let (answer, answered) = oneshot::channel();
        self.contacts.joining.values_mut().for_each(|waiting| waiting.retain(|one| !one.is_closed()));
        self.contacts.joining.retain(|_, waiting| !waiting.is_empty());
        self.contacts.joining.entry(key).or_default().push(answer);
        let hearing = async move {
            match tokio::time::timeout(JOIN_TIME, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Ok(contact),
            }
        };
        Box::pin(hearing.into_actor(self))
    }

    /// Whoever waits for this inviter's word hears it.
    fn joined(&mut self, key: Option<PeerId>, answer: &Result<reply::Contact, Fault>) {
        let waiting = key.and_then(|key| self.contacts.joining.remove(&key));
        for one in waiting.into_iter().flatten() {
            // Who left does not want to know.
            one.send(answer.clone()).ok();
        }
    }

    pub(super) fn invite(&mut self, phonebooks: &[String], ctx: &mut Context<Self>) -> Later<Invited> {
        let made = random().and_then(|random| {
            let made = self.contacts.machine.invite(random, phonebooks, unix_millis());
            made.map_err(|error| refused(&error))
        });
        match made {
            Ok((invitation, expires)) => {
                let keeping = self.drive_contacts(ctx).unwrap_or_else(|| self.save(ctx));
                self.once_kept(Some(keeping), Invited { link: invitation.to_string(), expires })
            }
            Err(fault) => Box::pin(fut::ready(Err(fault))),
        }
    }

    pub(super) fn contacts_heard(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.contacts.machine.handle(unix_millis(), input);
        self.drive_contacts(ctx);
    }

    /// What a phone book brought that only contacts have to do with.
    pub(super) fn carried(&mut self, fact: PhonebookFact, ctx: &mut Context<Self>) {
        match fact {
            // The coordinator's own.
            PhonebookFact::Changed { .. } => {}
            PhonebookFact::Connected => {
                self.contacts_heard(Input::Connected, ctx);
                self.announce_key(1);
            }
            PhonebookFact::Listed { player, keys } => {
                self.contacts_heard(Input::Listed { player, keys }, ctx);
            }
            PhonebookFact::Knocked(knock) => self.contacts_heard(Input::Knocked(knock), ctx),
            PhonebookFact::Noted { from, note } => self.contacts_heard(Input::Noted { from, note }, ctx),
            PhonebookFact::Introduced { introduction, from, .. } => {
                let accept = self.peers.admits(&from).check(Instant::now()).is_ok();
                if let Some(phone_book) = &self.phone_book {
                    phone_book.do_send(Introduction { introduction, to: from, accept });
                }
            }
        }
    }

    /// Acts on what the machine says. `Some` when something urgent is being written: what was said to others leaves after
    /// it, because who hears a yes counts on it.
    fn drive_contacts(&mut self, ctx: &mut Context<Self>) -> Option<Keeping> {
        while let Some(output) = self.contacts.machine.poll() {
            self.contact_output(output, ctx);
        }
        let urgent = self.contacts.urgent && self.contacts.unsaved;
        let keeping = urgent.then(|| self.contacts.save());
        match keeping.clone() {
            Some(keeping) => {
                self.contacts.writing += 1;
                ctx.spawn(keeping.into_actor(self).map(|kept, coordinator, _| {
                    coordinator.contacts.writing -= 1;
                    if let Err(error) = kept {
                        coordinator.contacts.lost(&error);
                        coordinator.contacts.urgent = true;
                    }
                    coordinator.say_held();
                }));
            }
            None => self.say_held(),
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
        keeping
    }

    /// Says what waited for the disk, in order, unless it still has to.
    fn say_held(&mut self) {
        if self.contacts.writing == 0 {
            for post in std::mem::take(&mut self.contacts.held) {
                self.post(post);
            }
        }
    }

    fn contact_output(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Knock { to, nonce } => self.knock(to, nonce),
            Output::Note { to, note } => self.hold_post(Post::Note { to, note }),
            Output::Asks { contact, .. } => {
                tracing::info!("somebody asks to be a contact");
                let contact = self.shown(&contact);
                self.bus.publish(Event::ContactRequest { contact });
            }
            Output::Changed { contact, gone } => {
                // Who asked, and makes room for another, was consented to by nobody: strangers must not hurry us.
                self.contacts.urgent |= contact.standing() != Standing::Asking;
                self.refresh(&contact, gone);
                if let Some(key) = contact.peer_id {
                    self.name_contact(key, ctx);
                }
                self.say_nearby(ctx);
                let contact = self.shown(&contact);
                if contact.standing == Standing::Paired && !gone {
                    self.joined(contact.peer_id, &Ok(contact.clone()));
                }
                self.bus.publish(Event::ContactChanged { contact, removed: gone });
            }
            Output::Followed { from, to } => {
                if self.store().follow_owner(&from, &to) {
                    let store = self.store().clone();
                    // A record that a crash loses has the owner's small files sent again.
                    tokio::task::spawn_blocking(move || store.save_origins());
                }
            }
            Output::Disconnect(key) => self.disconnect(key, ctx),
            Output::Look { player } => {
                if let Some(phone_book) = &self.phone_book {
                    phone_book.do_send(List(player));
                }
            }
            Output::Disputed { player, keys } => {
                tracing::warn!("several keys answer to one name: a person has to say which is meant");
                self.bus.publish(Event::ContactDisputed { player, keys });
            }
            Output::TooLate { player, key } => {
                tracing::info!(peer = %key.short(), "somebody followed an invitation that was used up or over");
                self.bus.publish(Event::InvitationTooLate { player, peer_id: key });
            }
            Output::InvitationOver { contact } => {
                tracing::info!("an invitation was followed too late");
                let Some(peer_id) = contact.peer_id else { return };
                let who = contact.player.as_ref().map_or_else(|| peer_id.to_string(), ToString::to_string);
                let says = format!(
                    "this invitation was used by another player, or is older than a day: ask {who} for a new one"
                );
                self.joined(Some(peer_id), &Err(Fault::new(FaultCode::InvitationOver, says)));
                self.bus.publish(Event::InvitationOver { player: contact.player, peer_id });
            }
            Output::Save => {
                self.contacts.unsaved = true;
                if std::mem::replace(&mut self.contacts.saving, true) {
                    return;
                }
                ctx.run_later(SAVE_PAUSE, |coordinator, ctx| {
                    coordinator.contacts.saving = false;
                    if coordinator.contacts.unsaved {
                        drop(coordinator.save(ctx));
                    }
                });
            }
        }
    }

    /// What is known of a peer follows what is known of the contact.
    fn refresh(&mut self, contact: &contact::Contact, gone: bool) {
        let Some(key) = contact.peer_id else { return };
        match self.contacts.machine.consents(&key) && !gone {
            true => self.peers.admit(key, contact.player.clone()),
            false => self.peers.dismiss(&key),
        }
    }

    fn hold_post(&mut self, post: Post) {
        // What is not said is said again.
        if self.contacts.held.len() < HELD_MAX {
            self.contacts.held.push(post);
        }
    }

    fn knock(&mut self, to: Callee, nonce: Bytes<16>) {
        let Some(name) = &self.around.player else { return };
        // As the phone books know the name.
        let to = match to {
            Callee::Name(player) => match player.parse() {
                Ok(player) => Callee::Name(self.listing.name_of(&player)),
                Err(_) => return,
            },
            Callee::Key(key) => Callee::Key(key),
        };
        let post = Post::Knock { to, name: name.clone(), nonce };
        self.hold_post(post);
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
    fn disconnect(&mut self, key: PeerId, ctx: &mut Context<Self>) {
        self.peers.dismiss(&key);
        self.contacts.whereabouts.forget(&key);
        self.around.lending.forget(&key);
        // What came from them is lent no more, nor counts as theirs should they come back. The disk is waited for elsewhere.
        let store = self.store().clone();
        tokio::task::spawn_blocking(move || store.forget_owner(&key));
        for player in self.fetching.fetches().players_of(key) {
            let fault = match self.contacts.machine.of_name(&player) {
                None => not_a_contact(&player),
                Some(_) => {
                    Fault::new(FaultCode::KeyChanged, format!("{player} has another key now: fetch again"))
                }
            };
            self.fail_fetch(player, fault, ctx);
        }
        self.fetch_input(fetch::Input::Removed(key), ctx);
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
