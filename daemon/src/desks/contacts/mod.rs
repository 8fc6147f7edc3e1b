//! Contacts: runs the machine of [`fyteclub_proto::contact`], stores its file, and orders which keys are admitted. The
//! rules are the machine's.

pub mod changes;
mod joining;
#[cfg(test)]
mod tests;

use super::orders::{DeskOrder, Kept, Now, Order, Orders, Post, Write};
use crate::{
    contact_addresses::ContactAddresses,
    io::{
        contacts::ContactsFile,
        keeper::{KeepError, Keeping},
    },
    sharing::means::PeerMeans,
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
    lookalike::may_imitate,
    phonebook::{KeyChange, Listing},
};
use joining::Joining;
use std::{
    collections::HashSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a stranger's knock waits to be written: knocks must not set the rate of writes.
const SAVE_PAUSE: Duration = Duration::from_secs(2);
/// Most messages to others that wait for a slow disk.
const HELD_MAX: usize = 1024;
/// Notes of a changed key that are sent together: a phone book limits each client's messages.
const ANNOUNCED_AT_ONCE: usize = 40;
/// How often the next contacts without a link since the start are sent the note.
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(60);
/// In how many periods each is sent it, if they are few enough.
const ANNOUNCE_ROUND: usize = 5;
/// How often addresses are checked for changes to write.
const SETTLE_PERIOD: Duration = Duration::from_secs(30);
/// How long a contact counts as fresh, in milliseconds.
const FRESH_MS: u64 = 60_000;

/// Parts of the desk.
pub struct Setup {
    pub here: Here,
    pub policy: Policy,
    pub file: ContactsFile,
    pub contact_addresses: ContactAddresses,
    pub means: PeerMeans,
    /// Phone books by their clients' names: each carries knocks with its own number.
    pub carriers: Vec<String>,
    /// As configured; invitations name them.
    pub phonebooks: Vec<String>,
    /// How names are registered with phone books.
    pub listing: Listing,
    /// Changes of this player's own key.
    pub changes: Vec<KeyChange>,
}

#[derive(Debug)]
pub enum Input {
    /// A message from others, delivered by a phone book.
    Received(contact::Input),
    /// A link to this key is open; it may be dialled at this address later.
    Linked {
        peer: PeerId,
        addr: Option<SocketAddr>,
    },
    /// The last link to this key is closed.
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
    contact_addresses: ContactAddresses,
    means: PeerMeans,
    phonebooks: Vec<String>,
    listing: Listing,
    changes: Vec<KeyChange>,
    /// Keys with an open link.
    linked: HashSet<PeerId>,
    /// Keys that have linked since the start, and so know this player's key.
    aware: HashSet<PeerId>,
    /// Cursor of the announcement of a changed key.
    announced: Option<PeerId>,
    unsaved: bool,
    /// The set of consented keys has changed since the last write.
    urgent: bool,
    /// Urgent writes that run; `held` waits for them.
    writing: usize,
    /// Knocks and notes that wait.
    held: Vec<Post>,
    joining: Joining,
    /// When changes that strangers caused are written.
    save_at: Option<Instant>,
    settle_at: Instant,
    announce_at: Option<Instant>,
    /// The earliest of all deadlines.
    due: Option<Instant>,
}

impl ContactDesk {
    /// Orders the admission of all contacts of the file.
    pub fn new(setup: Setup, now: Now, orders: &mut Orders) -> Self {
        let Setup { here, policy, file, contact_addresses, means, carriers, phonebooks, listing, changes } =
            setup;
        let keys = file.saved().contacts.iter().filter_map(|contact| contact.peer_id);
        for (key, addr) in keys.filter_map(|key| Some((key, file.last_addr(&key)?))) {
            contact_addresses.note(key, addr);
        }
        let player = here.player.clone();
        let machine = Contacts::new(here, policy, file.saved().clone(), now.unix_ms).carried_by(carriers);
        let mut desk = Self {
            machine,
            player,
            file,
            contact_addresses,
            means,
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
            desk.set_means(contact);
            desk.order_access(contact, orders);
        }
        desk.drive(now, orders);
        desk
    }

    pub fn handle(&mut self, now: Now, input: Input, orders: &mut Orders) {
        match input {
            Input::Received(heard) => {
                let connected = heard == contact::Input::Connected;
                self.machine.handle(now.unix_ms, heard);
                self.drive(now, orders);
                if connected {
                    self.announce_key(1, orders);
                }
            }
            Input::Linked { peer, addr } => {
                if let Some(addr) = addr {
                    self.note_addr(peer, addr);
                }
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

    /// Begins the last writes; the caller waits for the keeper.
    pub fn close(&mut self) {
        if self.unsaved {
            drop(self.write());
        }
        drop(self.file.settle(true));
    }

    /// A contact's last address.
    pub fn last_addr(&self, key: &PeerId) -> Option<SocketAddr> {
        self.file.last_addr(key)
    }

    /// The name of a consented key.
    pub fn name_of(&self, key: &PeerId) -> Option<&PlayerName> {
        self.machine.name_of(key)
    }

    /// Whether the key became a contact within the last minute: its daemon was online for that.
    pub fn is_fresh(&self, key: &PeerId, now: Now) -> bool {
        self.machine.since(key).is_some_and(|since| now.unix_ms.abs_diff(since) < FRESH_MS)
    }

    /// The answer to a waiter whose player's key is no longer consented to.
    pub fn why_gone(&self, player: &PlayerName) -> Fault {
        if self.machine.of_name(player).is_none() {
            return not_a_contact(player);
        }
        Fault::new(FaultCode::KeyChanged, format!("{player} has another key now; fetch again"))
    }

    /// The key to fetch a player's look from.
    ///
    /// # Errors
    /// The player is no contact, or its key is not known yet.
    pub fn key_of(&self, player: &PlayerName) -> Result<PeerId, Fault> {
        let Some(contact) = self.machine.of_name(player) else {
            return Err(not_a_contact(player));
        };
        // The only case here that may end by itself.
        contact.peer_id.ok_or_else(|| Fault {
            code: FaultCode::NotAContact,
            message: format!(
                "{player} was asked to be a contact and has not answered yet: try again when they have"
            ),
            retryable: true,
        })
    }

    /// Checks a contact's key; a key other than the known one needs a person's decision.
    ///
    /// # Errors
    /// What the person should do.
    pub fn check_key(&self, player: &PlayerName, offered: PeerId, orders: &mut Orders) -> Result<(), Fault> {
        let known = self.key_of(player)?;
        if known == offered {
            return Ok(());
        }
        orders.tell(Event::PeerKeyChanged { player: player.clone(), known, offered });
        Err(Fault::new(
            FaultCode::KeyChanged,
            format!(
                "{player} now has another key than before; ask them whether they made a new identity, and if so run: fyteclubctl peers trust \"{player}\" {offered}"
            ),
        ))
    }

    /// All known players, as clients see them, by name.
    pub fn list(&self) -> Vec<reply::Contact> {
        let mut list: Vec<_> = self.machine.iter().map(|contact| self.shown(contact)).collect();
        list.sort_unstable_by(|a, b| (&a.player, &a.peer_id).cmp(&(&b.player, &b.peer_id)));
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
            mixed_scripts: contact.player.as_ref().is_some_and(may_imitate),
            rivals: contact.rivals.clone(),
            relay: contact.relay,
        }
    }

    /// A contact may be dialled at this address later.
    pub fn note_addr(&mut self, key: PeerId, addr: SocketAddr) {
        self.file.note_addr(key, addr);
        if self.machine.consents(&key) {
            self.contact_addresses.note(key, addr);
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

    /// Carries out the machine's outputs. Returns the urgent write, if there is one: messages to others leave after it.
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
                tracing::info!("received a request to become a contact");
                orders.tell(Event::ContactRequest { contact: self.shown(&contact) });
            }
            Output::Changed { contact, gone } => {
                // A request that is evicted for another had no consent: strangers must not cause urgent writes.
                self.urgent |= contact.standing() != Standing::Asking;
                let key = contact.peer_id.filter(|_| self.set_means(&contact));
                self.order_access(&contact, orders);
                orders.extend(key.filter(|key| self.machine.consents(key)).map(Order::Reroute));
                orders.add(DeskOrder::ContactsChanged);
                let contact = self.shown(&contact);
                if contact.standing == Standing::Paired && !gone {
                    self.joining.answer(contact.peer_id, &Ok(contact.clone()));
                }
                orders.tell(Event::ContactChanged { contact, removed: gone });
            }
            Output::Followed { from, to } => orders.add(Order::FollowOwner { from, to }),
            Output::Disconnect(key) => {
                self.contact_addresses.forget(&key);
                self.means.set(key, None);
                orders.add(Order::Dismiss(key));
                orders.add(Order::Disconnect(key));
            }
            Output::Look { player } => orders.add(Order::List(player)),
            Output::Disputed { player, keys } => {
                tracing::warn!("several keys answer to one name: a person must choose one");
                orders.tell(Event::ContactDisputed { player, keys });
            }
            Output::TooLate { player, key } => {
                tracing::info!(peer = %key.short(), "a player followed an invitation that was used or has expired");
                orders.tell(Event::InvitationTooLate { player, peer_id: key });
            }
            Output::InvitationOver { contact } => {
                tracing::info!("this player followed an invitation that was used or has expired");
                let Some(peer_id) = contact.peer_id else { return };
                let who = contact.player.as_ref().map_or_else(|| peer_id.to_string(), ToString::to_string);
                let says = format!(
                    "another player used this invitation, or it is older than a day: ask {who} for a new one"
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

    /// Returns whether the contact is reached by other means than before.
    fn set_means(&self, contact: &contact::Contact) -> bool {
        let Some(key) = contact.peer_id else { return false };
        self.means.set(key, contact.relay.filter(|_| self.machine.consents(&key)))
    }

    /// Orders the key's admission or dismissal, by the machine's consent.
    fn order_access(&self, contact: &contact::Contact, orders: &mut Orders) {
        let Some(key) = contact.peer_id else { return };
        orders.add(if self.machine.consents(&key) {
            Order::Admit { key, player: self.machine.name_of(&key).cloned() }
        } else {
            Order::Dismiss(key)
        });
    }

    fn knock(&mut self, to: Callee, nonce: Bytes<16>) {
        let Some(name) = self.player.clone() else { return };
        // Phone books may know the player by a name derived from it.
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
        // The machine repeats what is not sent.
        if self.held.len() < HELD_MAX {
            self.held.push(message);
        }
    }

    /// Sends the held messages in order, unless an urgent write runs.
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

    /// A write failed. The next change writes again.
    fn lost(&mut self, error: &KeepError) {
        tracing::warn!("{error}");
        self.unsaved = true;
        self.file.lost();
    }

    /// Sends notes to contacts that may know an older key of this player's; those that linked since the start know this
    /// one. `parts`: the number of calls in which all of them get it.
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

/// `count` keys in order after `last`, in a circle: each key gets its turn, whichever are added or removed meanwhile.
fn next_after(last: Option<PeerId>, mut all: Vec<PeerId>, count: usize) -> Vec<PeerId> {
    all.sort_unstable();
    let beginning = all.partition_point(|key| Some(*key) <= last);
    all.rotate_left(beginning);
    all.truncate(count);
    all
}

/// The fault of a request about a player who is no contact.
fn not_a_contact(player: &PlayerName) -> Fault {
    Fault::new(
        FaultCode::NotAContact,
        format!(
            "{player} is no contact of yours: run fyteclubctl contacts add \"{player}\", or follow an invitation of theirs with fyteclubctl contacts join LINK"
        ),
    )
}
