//! Long polls: each request sends messages and waits for others.

use super::{Live, Polls, Subscriber, allowance::speak, greeting, greeting::welcome};
use crate::{
    app_state::AppState,
    auth::requested_host,
    book::Refused,
    clock::Moment,
    limits::{By, Class},
    problem::Problem,
    signaling::{ClientId, Input, Transport, Unsequenced},
};
use actix_web::{HttpRequest, rt::time};
use fyteclub_proto::{
    ledger::{Item, Network},
    number,
    phonebook::live::{CloseReason, Hear, POLL_TIME_MAX, Poll as Body, Polled},
    version::LIVE_VERSIONS,
};
use std::{
    future::poll_fn,
    net::IpAddr,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// Waiting polls per client; one more ends the oldest.
const WAITING_MAX: usize = 2;
/// Messages per answer.
const HEAR_MAX: usize = 16;

pub(crate) async fn poll(
    request: &HttpRequest,
    app: &AppState,
    address: IpAddr,
    body: &Body,
) -> Result<Polled, Problem> {
    let (live, now) = (&app.live, app.now());
    let shared = live.shared.as_deref();
    // A shared Redis checks this when it takes the sequence.
    let known = shared.is_some() || live.lock().sequences.knows(&body.public_key, Instant::now());
    let said = greeting::hear(&app.server_names, body, requested_host(request).as_deref(), known, now)?;
    if live.lock().signaling.present(&body.public_key).is_none() {
        // A client takes a slot, like a socket, and keys cost nothing.
        app.charge_address(address, Class::Socket, 1).await?;
    }
    // As frames of a socket. Before the sequence is taken, so that a refused poll can be repeated.
    let charged = app.accounts.charge(address.into(), Item::Messages, number::u64_of(said.len()));
    charged.map_err(|missing| app.limits.limited(Class::Introduction, By::Address, missing))?;
    if let Some(shared) = shared {
        shared.take_sequence(&body.public_key, body.sequence, body.time, now).await?;
    }
    let welcome = welcome(LIVE_VERSIONS[0], address, app.udp.clone(), live.returns());
    let Some(client) = live.attach_poll(body, address.into(), app.now())? else {
        let hear = vec![Hear::Restarting { after_ms: 1000 }];
        return Ok(Polled { welcome, hear });
    };
    live.hand(Input::Seen { client, address }, None);
    for say in said {
        speak(app, client, &body.public_key, address, say);
    }
    let waiting = Waiting { live, client, number: body.sequence };
    let wait = Duration::from_millis(body.wait).min(POLL_TIME_MAX);
    let heard = time::timeout(wait, poll_fn(|cx| waiting.hear(cx.waker()))).await;
    let hear = heard.unwrap_or_else(|_| waiting.take());
    waiting.result(hear).map(|hear| Polled { welcome, hear })
}

impl Live {
    /// `None` if the phone book is stopping.
    fn attach_poll(&self, body: &Body, network: Network, now: Moment) -> Result<Option<ClientId>, Problem> {
        let mut state = self.lock();
        if state.stopping {
            return Ok(None);
        }
        let key = body.public_key;
        let here = state.signaling.present(&key);
        if here.is_none() && state.signaling.len() >= self.sockets_max {
            return Err(Problem::NoPlace);
        }
        // Before the sequence is taken, so that a refused poll can be repeated.
        let place = match here {
            Some((client, Transport::Polls)) if state.subscribers.contains_key(&client) => None,
            _ => Some(self.accounts.hold(network, Item::Sockets).map_err(|_| Problem::Crowded)?),
        };
        if self.shared.is_none() {
            state.sequences.take(key, body.sequence, Instant::now()).map_err(|refused| match refused {
                Unsequenced::Stale { newest } => Problem::from(Refused::Stale { newest }),
                Unsequenced::Full => Problem::NoPlace,
            })?;
        }
        let (client, new) = match here {
            Some((client, Transport::Polls)) => (client, false),
            _ => (state.number(), true),
        };
        if let Some(place) = place {
            let polls = Polls { _place: place, waiting: Vec::new(), close: None };
            state.subscribers.entry(client).or_insert(Subscriber::Polls(polls));
        }
        self.step(&mut state, Input::Arrived { client, key, transport: Transport::Polls, network }, None);
        if new {
            self.announce(key, client, now);
        }
        Ok(Some(client))
    }
}

/// A waiting poll. Messages stay queued until the answer is written, so that a client that hangs up loses none.
struct Waiting<'a> {
    live: &'a Live,
    client: ClientId,
    number: u64,
}

impl Waiting<'_> {
    /// Ready with messages for the newest waiting poll, and without any for a poll that must end early.
    fn hear(&self, waker: &Waker) -> Poll<Vec<Hear>> {
        let mut state = self.live.lock();
        let Some(Subscriber::Polls(Polls { waiting, close: None, .. })) =
            state.subscribers.get_mut(&self.client)
        else {
            return Poll::Ready(Vec::new());
        };
        let newest = waiting.last().map(|(number, _)| *number);
        match waiting.iter_mut().find(|(number, _)| *number == self.number) {
            Some((_, known)) => known.clone_from(waker),
            // Superseded by a newer poll.
            None if newest > Some(self.number) => return Poll::Ready(Vec::new()),
            None => waiting.push((self.number, waker.clone())),
        }
        if waiting.len() > WAITING_MAX {
            waiting.remove(0).1.wake();
        }
        let newest = waiting.last().is_some_and(|(number, _)| *number == self.number);
        if newest && state.signaling.has_messages(self.client) {
            drop(state);
            return Poll::Ready(self.take());
        }
        Poll::Pending
    }

    /// The messages for an answer.
    fn take(&self) -> Vec<Hear> {
        let mut state = self.live.lock();
        let signaling = &mut state.signaling;
        std::iter::from_fn(|| signaling.take(self.client)).take(HEAR_MAX).collect()
    }

    /// # Errors
    /// The session ended, except by a stop of the phone book.
    fn result(&self, mut hear: Vec<Hear>) -> Result<Vec<Hear>, Problem> {
        match self.live.lock().subscribers.get_mut(&self.client) {
            Some(Subscriber::Polls(Polls { close: None, .. })) => Ok(hear),
            Some(Subscriber::Polls(Polls { close: Some(close), .. }))
                if close.reason == CloseReason::Restart =>
            {
                hear.extend(close.last.drain(..));
                Ok(hear)
            }
            _ => Err(Problem::Replaced),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        let Some(Subscriber::Polls(Polls { waiting, close, .. })) = state.subscribers.get_mut(&self.client)
        else {
            return;
        };
        waiting.retain(|(number, _)| *number != self.number);
        if close.is_some() && waiting.is_empty() {
            state.subscribers.remove(&self.client);
        }
        // Another waiting poll may take the messages.
        state.wake(self.client);
    }
}
