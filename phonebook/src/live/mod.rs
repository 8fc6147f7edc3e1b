//! `/api/live`: connects sockets and polls to [`crate::signaling`].
//!
//! One lock protects the state machine. It is held for a few map accesses, and never while a signature is verified.
//! Outputs are carried out under it, so messages keep their order.

mod allowance;
mod close_frame;
mod greeting;
mod poll;
mod socket;

pub(crate) use poll::poll;
pub(crate) use socket::Socket;

use crate::{
    accounts::{Accounts, Charge},
    book::Book,
    clock::Moment,
    datagrams::hub::Hub,
    io::connections::Exemption,
    metrics::Introductions,
    shared::Shared,
    signaling::{ClientId, Input, Outcome, Output, Sequences, Signaling, Transport},
};
use close_frame::CloseFrame;
use fyteclub_proto::{
    id::PeerId,
    ledger::{Count, Item, Network},
    phonebook::live::{CloseReason, Hear, Say},
};
use prometheus_client::metrics::gauge::Gauge;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Seconds for a client that found no free slot.
const RETRY_AFTER: u64 = 30;

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Live {
    accounts: Accounts,
    sockets_max: usize,
    /// Open sockets, greeted or not.
    sockets: AtomicUsize,
    counters: Counters,
    /// The way to clients of other phone books of this name.
    shared: Option<Arc<Shared>>,
    /// The relay, if there is one.
    pub(crate) hub: Option<Arc<Hub>>,
    state: Mutex<State>,
    /// Signals an earlier deadline.
    rearmed: Notify,
}

/// Metrics of live sessions.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) introductions: Introductions,
    pub(crate) sockets: Gauge,
}

#[derive(Debug)]
struct State {
    signaling: Signaling,
    sequences: Sequences,
    subscribers: HashMap<ClientId, Subscriber>,
    clients: u64,
    armed: Option<Instant>,
    stopping: bool,
}

/// How a client receives.
#[derive(Debug)]
enum Subscriber {
    Socket(SocketSubscriber),
    Polls(Polls),
}

#[derive(Debug)]
struct Polls {
    /// The charge to the network of its first poll.
    _place: Charge,
    /// By sequence, ascending.
    waiting: Vec<(u64, Waker)>,
    close: Option<CloseFrame>,
}

#[derive(Debug)]
struct SocketSubscriber {
    waker: Waker,
    exemption: Option<Exemption>,
    ping: bool,
    close: Option<CloseFrame>,
}

/// What a socket sends next.
#[derive(Debug)]
enum Outbound {
    Hear(Hear),
    Ping,
    End(CloseFrame),
}

impl Live {
    pub(crate) fn new(
        sockets_max: usize,
        accounts: &Accounts,
        counters: Counters,
        shared: Option<Arc<Shared>>,
        hub: Option<Arc<Hub>>,
    ) -> Self {
        Self {
            accounts: accounts.clone(),
            sockets_max,
            sockets: AtomicUsize::new(0),
            counters,
            shared,
            hub,
            state: Mutex::new(State {
                signaling: Signaling::default(),
                sequences: Sequences::new(sockets_max.saturating_mul(4)),
                subscribers: HashMap::new(),
                clients: 0,
                armed: None,
                stopping: false,
            }),
            rearmed: Notify::new(),
        }
    }

    /// Over how long the clients spread their return after a break.
    fn returns(&self) -> Duration {
        self.lock().signaling.returns()
    }

    /// Drives the state machine's deadlines; runs until dropped.
    pub(crate) async fn watch(&self) {
        loop {
            let armed = self.lock().armed;
            let due = async {
                match armed {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.hand(Input::Time, None),
                () = self.rearmed.notified() => {}
            }
        }
    }

    /// Tells all clients when to come back, and ends all sessions.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.hand(Input::Stop, None);
    }

    /// Charges and refusals for unread messages.
    pub(crate) fn unread(&self) -> Count {
        self.lock().signaling.unread()
    }

    pub(crate) fn present(&self) -> usize {
        self.lock().signaling.len()
    }

    /// All connected clients.
    #[cfg(feature = "redis")]
    pub(crate) fn clients(&self) -> Vec<(PeerId, ClientId)> {
        self.lock().signaling.clients()
    }

    /// Takes a slot for one more socket; dropping the charge releases it.
    fn open(&self, network: Network) -> Result<Charge, CloseFrame> {
        if self.lock().stopping {
            return Err(CloseFrame::new(CloseReason::Restart, "the phone book stops"));
        }
        let limited = || CloseFrame::new(CloseReason::Limited, format!("retry_after:{RETRY_AFTER}"));
        let place = self.accounts.hold(network, Item::Sockets).map_err(|_| limited())?;
        if self.sockets.fetch_add(1, Ordering::Relaxed) >= self.sockets_max {
            self.sockets.fetch_sub(1, Ordering::Relaxed);
            return Err(limited());
        }
        self.counters.sockets.inc();
        Ok(place)
    }

    fn closed(&self, client: Option<ClientId>) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
        self.counters.sockets.dec();
        if let Some(client) = client {
            self.hand(Input::Left { client }, None);
            self.lock().subscribers.remove(&client);
        }
    }

    /// Registers a greeted socket.
    ///
    /// # Errors
    /// The phone book is stopping.
    fn attach(
        &self,
        key: PeerId,
        network: Network,
        exemption: Option<Exemption>,
        waker: &Waker,
        now: Moment,
    ) -> Result<ClientId, CloseFrame> {
        let mut state = self.lock();
        if state.stopping {
            return Err(CloseFrame::new(CloseReason::Restart, "the phone book stops"));
        }
        let client = state.number();
        let listener = SocketSubscriber { waker: waker.clone(), exemption, ping: false, close: None };
        state.subscribers.insert(client, Subscriber::Socket(listener));
        self.step(&mut state, Input::Arrived { client, key, transport: Transport::Socket, network }, None);
        self.announce(key, client, now);
        Ok(client)
    }

    /// Takes the key's lease from another phone book.
    fn announce(&self, key: PeerId, client: ClientId, at: Moment) {
        if let Some(shared) = &self.shared {
            shared.arrived(key, client, at);
        }
    }

    /// Forwards a verified message.
    fn said(&self, client: ClientId, say: Say, book: Option<(&Book, Moment)>) {
        self.hand(Input::Said { client, say }, book);
    }

    /// The socket's next item; without one, `waker` is stored.
    fn next_outbound(&self, client: ClientId, waker: &Waker) -> Option<Outbound> {
        let mut state = self.lock();
        let State { signaling, subscribers, .. } = &mut *state;
        let Some(Subscriber::Socket(listener)) = subscribers.get_mut(&client) else { return None };
        if let Some(close) = &mut listener.close {
            return Some(match close.last.pop_front() {
                Some(hear) => Outbound::Hear(hear),
                None => Outbound::End(close.clone()),
            });
        }
        if let Some(hear) = signaling.take(client) {
            return Some(Outbound::Hear(hear));
        }
        if std::mem::take(&mut listener.ping) {
            return Some(Outbound::Ping);
        }
        if !listener.waker.will_wake(waker) {
            listener.waker.clone_from(waker);
        }
        None
    }

    pub(crate) fn hand(&self, input: Input, book: Option<(&Book, Moment)>) {
        self.step(&mut self.lock(), input, book);
    }

    /// Handles one input and all outputs that follow. `book` resolves names; with a shared Redis the outbox does, and
    /// delivers to clients of other phone books.
    fn step(&self, state: &mut State, input: Input, book: Option<(&Book, Moment)>) {
        let now = Instant::now();
        state.signaling.handle(now, input);
        while let Some(output) = state.signaling.poll() {
            match output {
                Output::Wake { client } => state.wake(client),
                Output::Ping { client } => {
                    if let Some(Subscriber::Socket(listener)) = state.subscribers.get_mut(&client) {
                        listener.ping = true;
                        listener.waker.wake_by_ref();
                    }
                }
                Output::Close { client, last, reason, text } => {
                    let close = CloseFrame { last, reason, text: text.to_owned() };
                    state.close(client, close);
                }
                Output::Resolve { name, pending } => match &self.shared {
                    Some(shared) => shared.resolve(name, pending),
                    None => {
                        let callee = book.and_then(|(book, now)| book.key_of(&name, now));
                        state.signaling.handle(now, Input::Resolved { pending, callee });
                    }
                },
                Output::Outcome(outcome) => {
                    let Introductions { asked, accepted, declined, unanswered } =
                        &self.counters.introductions;
                    match outcome {
                        Outcome::Asked => asked.inc(),
                        Outcome::Accepted => accepted.inc(),
                        Outcome::Declined => declined.inc(),
                        Outcome::Unanswered => unanswered.inc(),
                    };
                }
                Output::Grant(going) => {
                    let relay = self.hub.as_ref().map(|hub| hub.grant(going.ends)).transpose();
                    state.signaling.handle(now, Input::Granted { going, relay });
                }
                Output::Deliver { to, parcel } => match &self.shared {
                    Some(shared) if state.signaling.present(&to).is_none() => {
                        shared.deliver(to, parcel);
                    }
                    _ => state.signaling.handle(now, Input::Delivered { to, parcel }),
                },
            }
        }
        let next = state.signaling.deadline().map(|(due, _)| due);
        if state.armed != next {
            // A later deadline needs no signal: the timer checks again when the earlier one passes.
            let sooner = next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed));
            state.armed = next;
            if sooner {
                self.rearmed.notify_one();
            }
        }
    }

    // A panic under the lock loses at most one message.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> ClientId {
        self.clients += 1;
        ClientId(self.clients)
    }

    fn wake(&self, client: ClientId) {
        match self.subscribers.get(&client) {
            Some(Subscriber::Socket(listener)) => listener.waker.wake_by_ref(),
            Some(Subscriber::Polls(polls)) => {
                if let Some((_, waker)) = polls.waiting.last() {
                    waker.wake_by_ref();
                }
            }
            None => {}
        }
    }

    fn close(&mut self, client: ClientId, close: CloseFrame) {
        match self.subscribers.get_mut(&client) {
            Some(Subscriber::Socket(listener)) => {
                // A client that does not read never gets the close frame.
                if let Some(exemption) = &listener.exemption {
                    exemption.dismiss();
                }
                listener.close = Some(close);
                listener.waker.wake_by_ref();
            }
            Some(Subscriber::Polls(polls)) if !polls.waiting.is_empty() => {
                polls.close = Some(close);
                polls.waiting.iter().for_each(|(_, waker)| waker.wake_by_ref());
            }
            Some(Subscriber::Polls(_)) => {
                self.subscribers.remove(&client);
            }
            None => {}
        }
    }
}
