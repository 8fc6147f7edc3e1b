//! Clients that followed an invitation and wait for the inviter's answer.

use crate::desks::orders::Answer;
use fyteclub_proto::{id::PeerId, local::reply};
use std::{collections::HashMap, time::Duration};
use tokio::sync::oneshot;

/// How long such a client waits. The inviter may be offline.
pub(super) const JOIN_TIME: Duration = Duration::from_secs(3);

/// Waiting clients, by inviter.
#[derive(Default)]
pub(super) struct Joining(HashMap<PeerId, Vec<oneshot::Sender<Answer<reply::Contact>>>>);

impl Joining {
    pub(super) fn wait(&mut self, inviter: PeerId) -> oneshot::Receiver<Answer<reply::Contact>> {
        let (answer, answered) = oneshot::channel();
        self.0.values_mut().for_each(|waiting| waiting.retain(|one| !one.is_closed()));
        self.0.retain(|_, waiting| !waiting.is_empty());
        self.0.entry(inviter).or_default().push(answer);
        answered
    }

    /// Answers all clients that wait for this inviter.
    pub(super) fn answer(&mut self, inviter: Option<PeerId>, answer: &Answer<reply::Contact>) {
        let waiting = inviter.and_then(|inviter| self.0.remove(&inviter));
        for one in waiting.into_iter().flatten() {
            // A client that has left needs no answer.
            one.send(answer.clone()).ok();
        }
    }
}
