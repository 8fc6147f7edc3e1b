//! `/api/live` between HTTP and the [`crate::signaling`]: who listens where, and whose turn it is.
//!
//! The signaling is behind one lock, held for a few maps' worth of work and never while a signature is checked. Its
//! outputs are carried out before the lock is left, so that messages keep their order.

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
    io::connections::Exemption,
    metrics::Introductions,
    shared::{Job, Shared},
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
    time::Instant,
};
use tokio::sync::Notify;

/// What a client that finds no place is told to wait.
const RETRY_AFTER: u64 = 30;

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Live {
    accounts: Accounts,
    sockets_max: usize,
    /// Greeted or not.
    sockets: AtomicUsize,
    counters: Counters,
    /// Where clients of other phone books of the same name are reached.
    shared: Option<Arc<Shared>>,
    state: Mutex<State>,
    /// The next deadline has moved.
    rearmed: Notify,
}

/// What the operator sees of it.
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

/// Where a client listens.
#[derive(Debug)]
enum Subscriber {
    Socket(SocketSubscriber),
    Polls(Polls),
}

#[derive(Debug)]
struct Polls {
    /// What the client costs the network that it came from first.
    _place: Charge,
    /// By sequence, the newest last.
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

/// What a socket is to send.
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
    ) -> Self {
        Self {
            accounts: accounts.clone(),
            sockets_max,
            sockets: AtomicUsize::new(0),
            counters,
            shared,
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

    /// Moves the signaling's time on; runs until dropped.
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

    /// Tells every client when to come back and ends every conversation.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.hand(Input::Stop, None);
    }

    /// What waits to be read, as the ledger counts it.
    pub(crate) fn unread(&self) -> Count {
        self.lock().signaling.unread()
    }

    /// Clients that are present.
    pub(crate) fn present(&self) -> usize {
        self.lock().signaling.len()
    }

    /// Everybody who is present, and under which number.
    pub(crate) fn clients(&self) -> Vec<(PeerId, ClientId)> {
        self.lock().signaling.clients()
    }

    /// A place for one more socket of its network, until what is returned is dropped.
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

    /// A socket has greeted. `Err` when the phone book stops.
    fn attach(
        &self,
        key: PeerId,
        network: Network,
        exemption: Option<Exemption>,
        waker: &Waker,
    ) -> Result<ClientId, CloseFrame> {
        let mut state = self.lock();
        if state.stopping {
            return Err(CloseFrame::new(CloseReason::Restart, "the phone book stops"));
        }
        let client = state.number();
        let listener = SocketSubscriber { waker: waker.clone(), exemption, ping: false, close: None };
        state.subscribers.insert(client, Subscriber::Socket(listener));
        self.step(&mut state, Input::Arrived { client, key, transport: Transport::Socket, network }, None);
        self.announce(key, client);
        Ok(client)
    }

    /// A new client of a key takes its seat from clients at other phone books.
    fn announce(&self, key: PeerId, client: ClientId) {
        if let Some(shared) = &self.shared {
            // If too much waits already, the next renewal sees who sits there.
            let _ = shared.send(Job::Arrived { key, client });
        }
    }

    /// What a client said, judged already.
    fn said(&self, client: ClientId, say: Say, book: Option<(&Book, Moment)>) {
        self.hand(Input::Said { client, say }, book);
    }

    /// What a socket is to send next, or its waker is kept.
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

    /// One input and everything that follows from it. Names are resolved in `book`, which only what is said can need,
    /// or by the courier, who also brings what is for keys that are not here.
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
                    // What is not resolved is answered as a name that nobody has.
                    Some(shared) => _ = shared.send(Job::Resolve { name, pending }),
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
                Output::Deliver { to, parcel } => match &self.shared {
                    Some(shared) if state.signaling.present(&to).is_none() => {
                        _ = shared.send(Job::Deliver { to, parcel });
                    }
                    _ => state.signaling.handle(now, Input::Delivered { to, parcel }),
                },
            }
        }
        let next = state.signaling.deadline().map(|(due, _)| due);
        if state.armed != next {
            // A later one needs no wake: the timer looks again when the earlier one has passed.
            let sooner = next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed));
            state.armed = next;
            if sooner {
                self.rearmed.notify_one();
            }
        }
    }

    // A panic inside the lock leaves a signaling that is at worst short of one message.
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
                // Who does not read never gets as far as the farewell.
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
