//! The stream of events of a watching client. A slow watcher gets a fresh state instead of missed events.

use crate::{
    connection::Connection,
    error::{End, Error},
};
use fyteclub_proto::local::{Event, Numbered, verb};
use std::sync::Arc;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Made by [`crate::Client::watch`]. Keeps the connection open after the client was dropped.
pub struct Events {
    connection: Arc<Connection>,
    events: Receiver<Numbered>,
    /// The number of the last event that the last state includes.
    shown: u64,
    /// Events were missed, and the state that replaces them was not returned yet.
    lagged: bool,
    over: bool,
}

impl Events {
    pub(crate) fn new(connection: Arc<Connection>, events: Receiver<Numbered>) -> Self {
        Self { connection, events, shown: 0, lagged: false, over: false }
    }

    /// The next event; `None` once the daemon has stopped. The first one is [`Event::State`]; another replaces events
    /// that this watcher missed. No event is older than the state before it. Cancel-safe. Unknown events are skipped.
    ///
    /// # Errors A broken connection or invalid bytes, once; then `None`.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        loop {
            if self.over {
                return None;
            }
            if self.lagged {
                match self.connection.ask::<verb::Status>(()).await {
                    Ok(status) => {
                        self.lagged = false;
                        self.shown = status.seq;
                        return Some(Ok(Event::State(Box::new(status))));
                    }
                    Err(_) if self.connection.end().is_some() => self.lagged = false,
                    Err(error) => return Some(Err(error)),
                }
            }
            match self.events.recv().await {
                Ok(Numbered { seq, event: event @ Event::State(_) }) => {
                    self.shown = seq;
                    return Some(Ok(event));
                }
                // 0: the daemon does not number them.
                Ok(Numbered { seq, .. }) if seq != 0 && seq <= self.shown => {}
                Ok(Numbered { event, .. }) => return Some(Ok(event)),
                Err(RecvError::Lagged(_)) => {
                    // Subscribed first, so the state that is requested now is not older.
                    self.events = self.events.resubscribe();
                    self.lagged = true;
                }
                Err(RecvError::Closed) => {
                    self.over = true;
                    return match self.connection.end() {
                        None | Some(End::Closed) => None,
                        Some(end) => Some(Err(end.into())),
                    };
                }
            }
        }
    }
}
