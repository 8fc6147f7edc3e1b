//! Who is a contact: runs the machine of [`fyteclub_proto::contact`], keeps its file, and says who is admitted. The rules
//! are the machine's.

mod joining;
#[cfg(test)]
mod tests;
pub mod wishes;

use super::orders::{DeskOrder, Kept, Now, Order, Orders, Post, Write};
use crate::{
    io::{
        contacts::ContactsFile,
        keeper::{KeepError, Keeping},
    },
    whereabouts::Whereabouts,
};
use fyteclub_proto::{
    bytes::Bytes,
    contact::{self, Contacts, Here, Output, Policy},
    id::{PeerId, PlayerName},
    knock::{Callee, Note},
    local::{
        Event, Fault, FaultCode,
        reply::{self, Standing},
    },
    lookalike::mixes_scripts,
    phonebook::{KeyChange, Listing},
};
use joining::Joining;
use std::{
    collections::HashSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a stranger's knock may wait to be written: they must not make this machine write as often as they knock.
const SAVE_PAUSE: Duration = Duration::from_secs(2);
/// Messages to others that wait for a slow disk.
const HELD_MAX: usize = 1024;
/// Notes of a changed key that are sent together: a phone book limits how much one client sends.
const ANNOUNCED_AT_ONCE: usize = 40;
/// How often the next of those who have not linked since are sent the note.
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(60);
/// In how many periods each has had a turn, if there are not too many of them.
const ANNOUNCE_ROUND: usize = 5;
/// How often it is checked whether addresses are to be written.
const SETTLE_PERIOD: Duration = Duration::from_secs(30);
/// How long a contact is a fresh one, in milliseconds.
const FRESH_MS: u64 = 60_000;

/// What the desk is made of.
pub struct Setup {
    pub here: Here,
    pub policy: Policy,
    pub file: ContactsFile,
    pub whereabouts: Whereabouts,
    /// Phone books as their clients name them: each carries knocks with a number of its own.
    pub carriers: Vec<String>,
    /// As configured: invitations name them.
    pub phonebooks: Vec<String>,
    /// How names are entered in phone books.
    pub listing: Listing,
    /// Changes of this player's own key.
    pub changes: Vec<KeyChange>,
}

#[derive(Debug)]
pub enum Input {
    /// What others say, as phone books carry it.
    Heard(contact::Input),
    /// A link to this key is open, at this address.
    Linked {
        peer: PeerId,
        addr: SocketAddr,
    },
    /// There is no link to this key any more.
    Parted(PeerId),
    /// A write that this desk ordered has ended.
    Written {
        urgent: bool,
        result: Kept,
    },
    Time,
}

pub struct ContactDesk {
    machine: Contacts,
    player: Option<PlayerName>,
    file: ContactsFile,
    whereabouts: Whereabouts,
    phonebooks: Vec<String>,
    listing: Listing,
    changes: Vec<KeyChange>,
    /// Whose link is open.
    linked: HashSet<PeerId>,
    /// Who has linked since the start, and so knows this player's key.
    aware: HashSet<PeerId>,
    /// Cursor of the announcement of a changed key.
    announced: Option<PeerId>,
    unsaved: bool,
    /// Who is consented to has changed since the last write.
    urgent: bool,
    /// Writes that what is held waits for.
    writing: usize,
    /// Knocks and notes that wait for those.
    held: Vec<Post>,
    joining: Joining,
    /// When what strangers changed is written.
    save_at: Option<Instant>,
    settle_at: Instant,
    announce_at: Option<Instant>,
    /// The next of all that is waited for.
    due: Option<Instant>,
}

impl ContactDesk {
    /// Orders the admission of everybody who is a contact already.
    pub fn new(setup: Setup, now: Now, orders: &mut Orders) -> Self {
        let Setup { here, policy, file, whereabouts, carriers, phonebooks, listing, changes } = setup;
        let keys = file.saved().contacts.iter().filter_map(|contact| contact.peer_id);
        for (key, addr) in keys.filter_map(|key| Some((key, file.last_addr(&key)?))) {
            whereabouts.note(key, addr);
        }
        let player = here.player.clone();
        let machine = Contacts::new(here, policy, file.saved().clone(), now.unix_ms).carried_by(carriers);
        let mut desk = Self {
            machine,
            player,
            file,
            whereabouts,
            phonebooks,
            listing,
            linked: HashSet::new(),
            aware: HashSet::new(),
            announced: None,
            unsaved: false,
            urgent: false,
            writing: 0,
            held: Vec::new(),
            joining: Joining::default(),
            save_at: None,
            settle_at: now.at + SETTLE_PERIOD,
            announce_at: (!changes.is_empty()).then(|| now.at + ANNOUNCE_PERIOD),
            changes,
            due: None,
        };
        for contact in desk.machine.iter() {
            desk.say_access(contact, orders);
        }
        desk.drive(now, orders);
        desk
    }

    pub fn handle(&mut self, now: Now, input: Input, orders: &mut Orders) {
        match input {
            Input::Heard(heard) => {
                let connected = heard == contact::Input::Connected;
                self.machine.handle(now.unix_ms, heard);
                self.drive(now, orders);
                if connected {
                    self.announce_key(1, orders);
                }
            }
            Input::Linked { peer, addr } => {
                self.note_addr(peer, addr);
                self.linked.insert(peer);
                self.aware.insert(peer);
                self.machine.handle(now.unix_ms, contact::Input::Linked(peer));
                self.drive(now, orders);
            }
            Input::Parted(peer) => drop(self.linked.remove(&peer)),
            Input::Written { urgent, result } => self.written(urgent, result, orders),
            Input::Time => self.time(now, orders),
        }
    }

    /// When [`Input::Time`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Begins the last writes; the keeper is waited for elsewhere.
    pub fn close(&mut self) {
        if self.unsaved {
            drop(self.write());
        }
        drop(self.file.settle(true));
    }

    /// Where a contact was reached last.
    pub fn last_addr(&self, key: &PeerId) -> Option<SocketAddr> {
        self.file.last_addr(key)
    }

    /// The name of a key that is consented to.
    pub fn name_of(&self, key: &PeerId) -> Option<&PlayerName> {
        self.machine.name_of(key)
    }

    /// Whether the key became a contact within the last minute: it was there to become one, and is busy with that.
    pub fn is_fresh(&self, key: &PeerId, now: Now) -> bool {
        self.machine.since(key).is_some_and(|since| now.unix_ms.abs_diff(since) < FRESH_MS)
    }

    /// What is answered to who waits for a player's look, when the key that it was asked of is consented to no more.
    pub fn why_gone(&self, player: &PlayerName) -> Fault {
        if self.machine.of_name(player).is_none() {
            return not_a_contact(player);
        }
        Fault::new(FaultCode::KeyChanged, format!("{player} has another key now: fetch again"))
    }

    /// The key to fetch a player's look from.
    ///
    /// # Errors
    /// The player is no contact, or one whose key is not known yet.
    pub fn key_of(&self, player: &PlayerName) -> Result<PeerId, Fault> {
        let Some(contact) = self.machine.of_name(player) else {
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

    /// Whether this contact may go by this key; another one than the known one stops and asks.
    ///
    /// # Errors
    /// What the person is to do.
    pub fn check_key(&self, player: &PlayerName, offered: PeerId, orders: &mut Orders) -> Result<(), Fault> {
        let known = self.key_of(player)?;
        if known == offered {
            return Ok(());
        }
        orders.tell(Event::PeerKeyChanged { player: player.clone(), known, offered });
        Err(Fault::new(
            FaultCode::KeyChanged,
            format!(
                "{player} now comes with another key than the one known here; ask them whether they made a new identity, and if so run: fyteclubctl peers trust \"{player}\" {offered}"
            ),
        ))
    }

    /// Everybody who is known, as clients see them, by name.
    pub fn list(&self) -> Vec<reply::Contact> {
        let mut list: Vec<_> = self.machine.iter().map(|contact| self.shown(contact)).collect();
        list.sort_by(|a, b| (&a.player, &a.peer_id).cmp(&(&b.player, &b.peer_id)));
        list
    }

    fn shown(&self, contact: &contact::Contact) -> reply::Contact {
        reply::Contact {
            player: contact.player.clone(),
            peer_id: contact.peer_id,
            standing: contact.standing(),
            since: contact.since,
            online: contact.peer_id.is_some_and(|key| self.linked.contains(&key)),
            known_key: self.machine.known_key(contact),
            looks_like: self.machine.looks_like(contact).cloned(),
            mixed_scripts: contact.player.as_ref().is_some_and(mixes_scripts),
            rivals: contact.rivals.clone(),
        }
    }

    fn note_addr(&mut self, key: PeerId, addr: SocketAddr) {
        self.file.note_addr(key, addr);
        if self.machine.consents(&key) {
            self.whereabouts.note(key, addr);
        }
    }

    fn time(&mut self, now: Now, orders: &mut Orders) {
        if self.save_at.take_if(|at| now.at >= *at).is_some() && self.unsaved {
            drop(self.save(orders));
        }
        if now.at >= self.settle_at {
            self.settle_at = now.at + SETTLE_PERIOD;
            if let Some(keeping) = self.file.settle(false) {
                orders.add(Order::Await(keeping, Write::Contacts { urgent: false }));
            }
        }
        if let Some(at) = self.announce_at.filter(|at| now.at >= *at) {
            self.announce_at = Some(at + ANNOUNCE_PERIOD);
            self.announce_key(ANNOUNCE_ROUND, orders);
        }
        self.machine.handle(now.unix_ms, contact::Input::Time);
        self.drive(now, orders);
    }

    /// Acts on what the machine says. Returns the write that was urgent, if one was: what was said to others leaves after
    /// it.
    fn drive(&mut self, now: Now, orders: &mut Orders) -> Option<Keeping> {
        while let Some(output) = self.machine.poll() {
            self.output(now, output, orders);
        }
        let keeping = (self.urgent && self.unsaved).then(|| self.write());
        match keeping.clone() {
            Some(keeping) => {
                self.writing += 1;
                orders.add(Order::Await(keeping, Write::Contacts { urgent: true }));
            }
            None => self.release(orders),
        }
        let wait = |at: u64| now.at + Duration::from_millis(at.saturating_sub(now.unix_ms));
        let machine = self.machine.deadline().map(|(at, _)| wait(at));
        let others = [machine, self.save_at, self.announce_at, Some(self.settle_at)];
        self.due = others.into_iter().flatten().min();
        keeping
    }

    fn output(&mut self, now: Now, output: Output, orders: &mut Orders) {
        match output {
            Output::Knock { to, nonce } => self.knock(to, nonce),
            Output::Note { to, note } => self.hold(Post::Note { to, note }),
            Output::Asks { contact, .. } => {
                tracing::info!("somebody asks to be a contact");
                orders.tell(Event::ContactRequest { contact: self.shown(&contact) });
            }
            Output::Changed { contact, gone } => {
                // Who asked, and makes room for another, was consented to by nobody: strangers must not hurry us.
                self.urgent |= contact.standing() != Standing::Asking;
                self.say_access(&contact, orders);
                orders.add(DeskOrder::ContactsChanged);
                let contact = self.shown(&contact);
                if contact.standing == Standing::Paired && !gone {
                    self.joining.answer(contact.peer_id, &Ok(contact.clone()));
                }
                orders.tell(Event::ContactChanged { contact, removed: gone });
            }
            Output::Followed { from, to } => orders.add(Order::FollowOwner { from, to }),
            Output::Disconnect(key) => {
                self.whereabouts.forget(&key);
                orders.add(Order::Dismiss(key));
                orders.add(Order::Disconnect(key));
            }
            Output::Look { player } => orders.add(Order::List(player)),
            Output::Disputed { player, keys } => {
                tracing::warn!("several keys answer to one name: a person has to say which is meant");
                orders.tell(Event::ContactDisputed { player, keys });
            }
            Output::TooLate { player, key } => {
                tracing::info!(peer = %key.short(), "somebody followed an invitation that was used up or over");
                orders.tell(Event::InvitationTooLate { player, peer_id: key });
            }
            Output::InvitationOver { contact } => {
                tracing::info!("an invitation was followed too late");
                let Some(peer_id) = contact.peer_id else { return };
                let who = contact.player.as_ref().map_or_else(|| peer_id.to_string(), ToString::to_string);
                let says = format!(
                    "this invitation was used by another player, or is older than a day: ask {who} for a new one"
                );
                self.joining.answer(Some(peer_id), &Err(Fault::new(FaultCode::InvitationOver, says)));
                orders.tell(Event::InvitationOver { player: contact.player, peer_id });
            }
            Output::Save => {
                self.unsaved = true;
                self.save_at.get_or_insert(now.at + SAVE_PAUSE);
            }
        }
    }

    /// Whether a contact's key is admitted follows what the machine consents to.
    fn say_access(&self, contact: &contact::Contact, orders: &mut Orders) {
        let Some(key) = contact.peer_id else { return };
        orders.add(match self.machine.consents(&key) {
            true => Order::Admit { key, player: self.machine.name_of(&key).cloned() },
            false => Order::Dismiss(key),
        });
    }

    fn knock(&mut self, to: Callee, nonce: Bytes<16>) {
        let Some(name) = self.player.clone() else { return };
        // As the phone books know the name.
        let to = match to {
            Callee::Name(player) => match player.parse() {
                Ok(player) => Callee::Name(self.listing.name_of(&player)),
                Err(_) => return,
            },
            Callee::Key(key) => Callee::Key(key),
        };
        self.hold(Post::Knock { to, name, nonce });
    }

    fn hold(&mut self, message: Post) {
        // What is not sent is sent again.
        if self.held.len() < HELD_MAX {
            self.held.push(message);
        }
    }

    /// Sends what waited for the disk, in order, unless it still has to.
    fn release(&mut self, orders: &mut Orders) {
        if self.writing == 0 {
            self.held.drain(..).for_each(|message| orders.add(Order::Post(message)));
        }
    }

    fn write(&mut self) -> Keeping {
        (self.unsaved, self.urgent) = (false, false);
        self.file.write(self.machine.saved())
    }

    fn save(&mut self, orders: &mut Orders) -> Keeping {
        let keeping = self.write();
        orders.add(Order::Await(keeping.clone(), Write::Contacts { urgent: false }));
        keeping
    }

    fn written(&mut self, urgent: bool, result: Kept, orders: &mut Orders) {
        if let Err(error) = &result {
            self.lost(error);
        }
        if urgent {
            self.writing -= 1;
            self.urgent |= result.is_err();
            self.release(orders);
        }
    }

    /// What was being written is not on the disk. The next change is another chance.
    fn lost(&mut self, error: &KeepError) {
        tracing::warn!("{error}");
        self.unsaved = true;
        self.file.lost();
    }

    /// Sends notes to those who may still know an older key of this player's; who has linked since the start knows this
    /// one. `parts`: in how many times all of them.
    fn announce_key(&mut self, parts: usize, orders: &mut Orders) {
        if self.changes.is_empty() {
            return;
        }
        let held = self.machine.iter().filter_map(|contact| contact.peer_id);
        let unaware = held.filter(|key| self.machine.consents(key) && !self.aware.contains(key));
        let unaware: Vec<PeerId> = unaware.collect();
        let count = unaware.len().div_ceil(parts).min(ANNOUNCED_AT_ONCE);
        let next = next_after(self.announced, unaware, count);
        self.announced = next.last().copied().or(self.announced);
        for to in next {
            let note = Note::KeyChanged(self.changes.clone());
            orders.add(Order::Post(Post::Note { to, note }));
        }
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

/// The fault of a request that is about nobody's contact.
fn not_a_contact(player: &PlayerName) -> Fault {
    Fault::new(
        FaultCode::NotAContact,
        format!(
            "{player} is no contact of yours: run fyteclubctl contacts add \"{player}\", or follow an invitation of theirs with fyteclubctl contacts join LINK"
        ),
    )
}
