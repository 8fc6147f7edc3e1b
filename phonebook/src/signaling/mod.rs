//! Signaling: presence, introductions, and messages between clients, as a state machine under virtual time.
//!
//! Callers verify signatures. The caller's side holds an introduction's state. Messages to another client are
//! [`Parcel`]s sent to its key, so that it may be connected to another phone book of the same name.

mod attempts;
mod messages;
mod queue;
mod sequences;
#[cfg(test)]
mod tests;

use attempts::Attempts;
use fyteclub_proto::{
    id::PeerId,
    knock::Callee,
    ledger::{Count, Item, Ledger, Network, Row},
    letter::{Attempt, Letter},
    limit::{PHONE_BOOK_LEDGER, UNREAD_COST},
    number,
    phonebook::{
        RelayGrant, RelayRefusal,
        live::{ANSWER_TIME, CloseReason, Hear, INTRODUCTION_TIME, PRESENCE_LIFE, Say},
    },
    reaching::candidate::are_together,
};
pub(crate) use messages::{ClientId, Going, Input, Outcome, Output, Parcel, Pending, Transport, Why};
use queue::Queue;
pub(crate) use sequences::{Sequences, Unsequenced};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a client may leave a full queue unread.
const READ_TIME: Duration = Duration::from_secs(5);
/// How often a socket is pinged, to measure its round trip.
const PING_PERIOD: Duration = Duration::from_secs(20);
/// Longest delay of `Go`, for the side that is closer.
const HALF_TRIP_MAX: Duration = Duration::from_millis(500);
/// Average number of clients per second that come back after a stop.
const RETURNS_PER_SECOND: usize = 500;
/// Earliest return, so that a second phone book is up.
const RETURN_AFTER: Duration = Duration::from_millis(500);
const RETURN_SPREAD_MIN: Duration = Duration::from_secs(1);
/// The same after a break, of which nobody else has to be told first.
const BREAK_SPREAD_MIN: Duration = Duration::from_millis(500);
/// Introductions that are held for absent callees, of 2 KiB each; one more replaces the oldest.
pub(crate) const AWAITED_MAX: usize = 1024;

#[derive(Debug)]
struct Client {
    id: ClientId,
    transport: Transport,
    network: Network,
    heard: Instant,
    half_trip: Duration,
    seen: Option<IpAddr>,
    queue: Queue,
    /// When the full queue dropped a message, if nothing was read since.
    full: Option<Instant>,
}

/// An introduction of an absent callee, which may be about to connect: after a restart the caller may be back first.
#[derive(Debug)]
struct Awaited {
    to: PeerId,
    until: Instant,
    hear: Hear,
}

#[derive(Debug)]
pub(crate) struct Signaling {
    /// Charges for unread messages.
    unread: Ledger<Network>,
    present: HashMap<PeerId, Client>,
    keys: HashMap<ClientId, PeerId>,
    attempts: Attempts,
    /// In the order of their ends.
    awaited: VecDeque<Awaited>,
    /// Obsolete deadlines stay in the heap until they pass, and do nothing.
    deadlines: BinaryHeap<Reverse<(Instant, Why)>>,
    outputs: VecDeque<Output>,
}

impl Default for Signaling {
    fn default() -> Self {
        let rows: Vec<Row> =
            PHONE_BOOK_LEDGER.iter().filter(|row| row.item == Item::Unread).copied().collect();
        Self {
            unread: Ledger::new(&rows),
            present: HashMap::new(),
            keys: HashMap::new(),
            attempts: Attempts::default(),
            awaited: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            outputs: VecDeque::new(),
        }
    }
}

impl Signaling {
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Arrived { client, key, transport, network } => {
                self.arrived(client, key, transport, network, now)
            }
            Input::Seen { client, address } => {
                if let Some(client) = self.client(client) {
                    client.seen = Some(address);
                }
            }
            Input::Received { client } => {
                if let Some(client) = self.client(client) {
                    client.heard = now;
                }
            }
            Input::RoundTrip { client, time } => {
                if let Some(client) = self.client(client) {
                    client.half_trip = (time / 2).min(HALF_TRIP_MAX);
                }
            }
            Input::Said { client, say } => {
                if let Some(&from) = self.keys.get(&client) {
                    self.said(from, say, now);
                }
            }
            Input::Left { client } => {
                if let Some(key) = self.keys.remove(&client)
                    && let Some(client) = self.present.remove(&key)
                {
                    self.read(client.network, client.queue.len());
                }
            }
            Input::Resolved { pending, callee } => self.resolved(pending, callee),
            Input::Delivered { to, parcel } => self.delivered(to, parcel, now),
            Input::Granted { going, relay } => self.granted(going, relay, now),
            #[cfg(feature = "redis")]
            Input::Moved { key, client } => self.moved(key, client),
            Input::Stop => self.stop(),
            Input::Time => {}
        }
        self.pass(now);
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn deadline(&self) -> Option<(Instant, Why)> {
        self.deadlines.peek().map(|Reverse(next)| *next)
    }

    /// The client's next message.
    pub(crate) fn take(&mut self, client: ClientId) -> Option<Hear> {
        let client = self.client(client)?;
        client.full = None;
        let (network, hear) = (client.network, client.queue.pop()?);
        self.read(network, 1);
        Some(hear)
    }

    /// Releases the charge of read messages.
    fn read(&mut self, network: Network, messages: usize) {
        self.unread.release(&network, Item::Unread, number::u64_of(messages) * UNREAD_COST);
    }

    /// Charges and refusals for unread messages.
    pub(crate) fn unread(&self) -> Count {
        self.unread
            .counts()
            .find(|(item, _)| *item == Item::Unread)
            .map(|(_, count)| count)
            .unwrap_or_default()
    }

    /// Whether [`Signaling::take`] returns a message.
    pub(crate) fn has_messages(&self, client: ClientId) -> bool {
        let client = self.keys.get(&client).and_then(|key| self.present.get(key));
        client.is_some_and(|client| !client.queue.is_empty())
    }

    /// The connection of a key.
    pub(crate) fn present(&self, key: &PeerId) -> Option<(ClientId, Transport)> {
        self.present.get(key).map(|client| (client.id, client.transport))
    }

    pub(crate) fn len(&self) -> usize {
        self.present.len()
    }

    /// All connected clients.
    #[cfg(feature = "redis")]
    pub(crate) fn clients(&self) -> Vec<(PeerId, ClientId)> {
        self.present.iter().map(|(key, client)| (*key, client.id)).collect()
    }

    fn client(&mut self, client: ClientId) -> Option<&mut Client> {
        self.present.get_mut(self.keys.get(&client)?)
    }

    fn arrived(&mut self, id: ClientId, key: PeerId, transport: Transport, network: Network, now: Instant) {
        let mut waits = VecDeque::new();
        if let Some(older) = self.present.get_mut(&key) {
            if (older.transport, transport) == (Transport::Polls, Transport::Polls) {
                older.heard = now;
                return;
            }
            // Unread messages move to the newer connection.
            let (of, queue) = (older.network, std::mem::take(&mut older.queue));
            self.read(of, queue.len());
            waits = queue.into_inner();
            self.close(key, VecDeque::new(), CloseReason::Replaced, "the same key greeted again");
        }
        let mut queue = Queue::default();
        for hear in waits {
            // Messages beyond the new network's share are dropped.
            if self.unread.charge(now, &network, Item::Unread, UNREAD_COST).is_ok() && !queue.push(hear) {
                self.read(network, 1);
            }
        }
        let news = !queue.is_empty();
        self.keys.insert(id, key);
        let (half_trip, seen) = (Duration::ZERO, None);
        let client = Client { id, transport, network, heard: now, half_trip, seen, queue, full: None };
        self.present.insert(key, client);
        self.deadlines.push(Reverse((now + PRESENCE_LIFE, Why::Life(id))));
        if transport == Transport::Socket {
            self.deadlines.push(Reverse((now, Why::Ping(id))));
        }
        if news {
            self.outputs.push_back(Output::Wake { client: id });
        }
        self.forward_awaited(key, now);
    }

    /// Holds an introduction for as long as its caller waits. Other messages to an absent key are dropped.
    fn hold(&mut self, to: PeerId, hear: Hear, now: Instant) {
        if !matches!(hear, Hear::Introduced { .. }) {
            return;
        }
        self.awaited.retain(|awaited| awaited.until > now);
        if self.awaited.len() == AWAITED_MAX {
            self.awaited.pop_front();
        }
        self.awaited.push_back(Awaited { to, until: now + ANSWER_TIME, hear });
    }

    fn forward_awaited(&mut self, key: PeerId, now: Instant) {
        if self.awaited.iter().any(|awaited| awaited.to == key) {
            let all = std::mem::take(&mut self.awaited).into_iter();
            let (mine, others): (Vec<Awaited>, Vec<Awaited>) = all.partition(|awaited| awaited.to == key);
            self.awaited = others.into();
            let due = mine.into_iter().filter(|awaited| awaited.until > now);
            due.for_each(|awaited| self.tell(key, awaited.hear, now));
        }
    }

    fn said(&mut self, from: PeerId, say: Say, now: Instant) {
        if let Some(client) = self.present.get_mut(&from) {
            client.heard = now;
        }
        match say {
            Say::Here => {}
            Say::Introduce { to, attempt, letter } => self.introduce(from, to, attempt, letter, now),
            Say::Accept { to, attempt, letter } => {
                let client = self.present.get(&from);
                let half_trip = client.map_or(Duration::ZERO, |client| client.half_trip);
                let (accepted, seen) = (Some((letter, half_trip)), client.and_then(|client| client.seen));
                self.deliver(to, Parcel::Answer { from, attempt, accepted, seen });
            }
            Say::Decline { to, attempt } => {
                self.deliver(to, Parcel::Answer { from, attempt, accepted: None, seen: None });
            }
            Say::Candidates { to, attempt, letter } => {
                if !self.attempts.is_callers(from, attempt) {
                    self.deliver(to, Parcel::Candidates { from, attempt, letter });
                } else if self.attempts.sends(from, attempt, &to) {
                    self.deliver(to, Parcel::Hear(Hear::Candidates { from, attempt, letter }));
                }
            }
            Say::Knock { to, knock } => {
                let pending = Pending::Knock { to: to.clone(), knock };
                self.resolve(to, pending);
            }
            Say::Note { to, letter } => self.deliver(to, Parcel::Hear(Hear::Note { from, letter })),
            // Only valid before the greeting.
            _ => self.close(from, VecDeque::new(), CloseReason::BadMessage, "message out of order"),
        }
    }

    fn introduce(&mut self, caller: PeerId, to: Callee, attempt: Attempt, letter: Letter, now: Instant) {
        if self.attempts.is_callers(caller, attempt) {
            // Repeated, as after a poll whose answer was lost.
            return;
        }
        if !self.attempts.begin(caller, attempt) {
            let retry_after = ANSWER_TIME.as_secs() + 1;
            return self.tell(caller, Hear::Limited { attempt: Some(attempt), retry_after }, now);
        }
        self.outputs.push_back(Output::Outcome(Outcome::Asked));
        self.deadlines.push(Reverse((now + ANSWER_TIME, Why::Answer(caller, attempt))));
        self.resolve(to, Pending::Introduce { caller, attempt, letter });
    }

    fn resolve(&mut self, to: Callee, pending: Pending) {
        match to {
            Callee::Key(key) => self.resolved(pending, Some(key)),
            Callee::Name(name) => self.outputs.push_back(Output::Resolve { name, pending }),
        }
    }

    /// An unknown name is answered like a silent callee, at the same time.
    fn resolved(&mut self, pending: Pending, callee: Option<PeerId>) {
        let Some(callee) = callee else { return };
        match pending {
            Pending::Introduce { caller, attempt, letter } => {
                if callee != caller && self.attempts.address(caller, attempt, callee) {
                    let introduced = Hear::Introduced { from: caller, attempt, letter };
                    self.deliver(callee, Parcel::Hear(introduced));
                }
            }
            Pending::Knock { to, knock } => self.deliver(callee, Parcel::Hear(Hear::Knock { to, knock })),
        }
    }

    /// The only way from one client to another.
    fn deliver(&mut self, to: PeerId, parcel: Parcel) {
        self.outputs.push_back(Output::Deliver { to, parcel });
    }

    fn delivered(&mut self, to: PeerId, parcel: Parcel, now: Instant) {
        match parcel {
            Parcel::Hear(hear) => self.tell(to, hear, now),
            Parcel::Answer { from, attempt, accepted, seen } => {
                // An absent caller misses the answer, and hears `Unavailable` if it returns in time.
                let Some(caller) = self.present.get(&to) else { return };
                if !self.attempts.answer(to, attempt, &from, accepted.is_some()) {
                    return;
                }
                let outcome = if accepted.is_some() { Outcome::Accepted } else { Outcome::Declined };
                self.outputs.push_back(Output::Outcome(outcome));
                let Some((letter, theirs)) = accepted else { return };
                self.deadlines.push(Reverse((now + INTRODUCTION_TIME, Why::Introduction(to, attempt))));
                let (ours, theirs) = (caller.half_trip, theirs.min(HALF_TRIP_MAX));
                let same_network =
                    caller.seen.zip(seen).is_some_and(|(caller, callee)| are_together(caller, callee));
                let delays = [ours, theirs].map(|half_trip| ours.max(theirs) - half_trip);
                self.tell(to, Hear::Accepted { from, attempt, letter, same_network }, now);
                self.outputs.push_back(Output::Grant(Going {
                    attempt,
                    ends: [to, from],
                    delays,
                    same_network,
                }));
            }
            Parcel::Candidates { from, attempt, letter } => {
                if self.attempts.receives(to, attempt, &from) {
                    self.tell(to, Hear::Candidates { from, attempt, letter }, now);
                }
            }
        }
    }

    fn granted(&mut self, going: Going, relay: Result<Option<[RelayGrant; 2]>, RelayRefusal>, now: Instant) {
        let Going { attempt, ends: [caller, callee], delays, same_network } = going;
        let relay_refused = relay.as_ref().err().copied();
        let [of_caller, of_callee] = relay.ok().flatten().map_or([None, None], |legs| legs.map(Some));
        let go = |peer, delay, relay| Hear::Go {
            peer,
            attempt,
            delay_ms: number::millis(delay),
            relay,
            relay_refused,
            same_network,
        };
        self.tell(caller, go(callee, delays[0], of_caller), now);
        self.deliver(callee, Parcel::Hear(go(caller, delays[1], of_callee)));
    }

    /// Queues a message for a connected key. A message beyond the queue or the network's share is dropped, since
    /// strangers can fill a queue; only a client that then reads nothing is closed.
    fn tell(&mut self, key: PeerId, hear: Hear, now: Instant) {
        let Some(client) = self.present.get_mut(&key) else { return self.hold(key, hear, now) };
        let charged = self.unread.charge(now, &client.network, Item::Unread, UNREAD_COST).is_ok();
        if charged && client.queue.push(hear) {
            self.outputs.push_back(Output::Wake { client: client.id });
            return;
        }
        if charged {
            self.unread.release(&client.network, Item::Unread, UNREAD_COST);
        }
        if client.full.is_none() && !client.queue.is_empty() {
            client.full = Some(now);
            self.deadlines.push(Reverse((now + READ_TIME, Why::Unread(client.id))));
        }
    }

    /// Unread messages follow the key to its new connection.
    #[cfg(feature = "redis")]
    fn moved(&mut self, key: PeerId, id: ClientId) {
        let Some(client) = self.present.get_mut(&key).filter(|client| client.id == id) else { return };
        let (network, queue) = (client.network, std::mem::take(&mut client.queue));
        self.read(network, queue.len());
        self.close(key, VecDeque::new(), CloseReason::Replaced, "the same key greeted elsewhere");
        for hear in queue.into_inner() {
            self.deliver(key, Parcel::Hear(hear));
        }
    }

    fn close(&mut self, key: PeerId, last: VecDeque<Hear>, reason: CloseReason, text: &'static str) {
        if let Some(client) = self.present.remove(&key) {
            self.keys.remove(&client.id);
            self.read(client.network, client.queue.len());
            self.outputs.push_back(Output::Close { client: client.id, last, reason, text });
        }
    }

    /// Over how long the clients return after a break.
    pub(crate) fn returns(&self) -> Duration {
        BREAK_SPREAD_MIN.max(self.spread())
    }

    fn spread(&self) -> Duration {
        let count = number::u32_of(self.present.len());
        Duration::from_secs(1) * count / number::u32_of(RETURNS_PER_SECOND)
    }

    /// Spreads the returns evenly, in the map's random order.
    fn stop(&mut self) {
        let (count, spread) = (self.present.len().max(1), RETURN_SPREAD_MIN.max(self.spread()));
        self.keys.clear();
        let present = std::mem::take(&mut self.present);
        for (number, (_, client)) in present.into_iter().enumerate() {
            self.read(client.network, client.queue.len());
            let mut last = client.queue.into_inner();
            let after = RETURN_AFTER
                + spread
                    .mul_f64(number::f64_of(number::u64_of(number)) / number::f64_of(number::u64_of(count)));
            last.push_back(Hear::Restarting { after_ms: number::millis(after) });
            let (client, reason) = (client.id, CloseReason::Restart);
            self.outputs.push_back(Output::Close { client, last, reason, text: "the phone book stops" });
        }
    }

    fn pass(&mut self, now: Instant) {
        while let Some((due, why)) = self.deadline().filter(|(due, _)| *due <= now) {
            self.deadlines.pop();
            match why {
                Why::Answer(caller, attempt) => {
                    let declined = self.attempts.is_declined(caller, attempt);
                    if self.attempts.give_up(caller, attempt) {
                        if !declined {
                            self.outputs.push_back(Output::Outcome(Outcome::Unanswered));
                        }
                        self.tell(caller, Hear::Unavailable { attempt }, now);
                    }
                }
                Why::Introduction(caller, attempt) => self.attempts.forget(caller, attempt),
                Why::Ping(client) => {
                    if self.keys.contains_key(&client) {
                        self.outputs.push_back(Output::Ping { client });
                        self.deadlines.push(Reverse((due.max(now) + PING_PERIOD, why)));
                    }
                }
                Why::Unread(id) => {
                    let full = self.client(id).and_then(|client| client.full);
                    if full.is_some_and(|since| since + READ_TIME <= due)
                        && let Some(&key) = self.keys.get(&id)
                    {
                        let text = "too many unread messages";
                        self.close(key, VecDeque::new(), CloseReason::TooSlow, text);
                    }
                }
                Why::Life(id) => {
                    let Some(client) = self.client(id) else { continue };
                    let end = client.heard + PRESENCE_LIFE;
                    if end > now {
                        self.deadlines.push(Reverse((end, why)));
                    } else if let Some(&key) = self.keys.get(&id) {
                        self.close(
                            key,
                            VecDeque::new(),
                            CloseReason::Silent,
                            "nothing received for too long",
                        );
                    }
                }
            }
        }
    }
}
