//! Who followed an invitation just now and waits to hear from its inviter whether it still holds.

use crate::desks::orders::Answer;
use fyteclub_proto::{id::PeerId, local::reply};
use std::{collections::HashMap, time::Duration};
use tokio::sync::oneshot;

/// How long a client that follows an invitation waits for its inviter's word. The inviter may be away.
pub const JOIN_TIME: Duration = Duration::from_secs(3);

/// Clients that wait, by inviter.
#[derive(Default)]
pub struct Joining(HashMap<PeerId, Vec<oneshot::Sender<Answer<reply::Contact>>>>);

impl Joining {
    pub fn wait(&mut self, inviter: PeerId) -> oneshot::Receiver<Answer<reply::Contact>> {
        let (answer, answered) = oneshot::channel();
        self.0.values_mut().for_each(|waiting| waiting.retain(|one| !one.is_closed()));
        self.0.retain(|_, waiting| !waiting.is_empty());
        self.0.entry(inviter).or_default().push(answer);
        answered
    }

    /// Everybody who waits for this inviter is answered.
    pub fn answer(&mut self, inviter: Option<PeerId>, answer: &Answer<reply::Contact>) {
        let waiting = inviter.and_then(|inviter| self.0.remove(&inviter));
        for one in waiting.into_iter().flatten() {
            // Who left does not want to know.
            one.send(answer.clone()).ok();
        }
    }
}
