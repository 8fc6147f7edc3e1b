//! Dials by hand: a person named the address, and waits for what comes of it.

use actix::Message;
use fyteclub_proto::{local::reply::PathKind, reaching::paths::Failure};
use std::net::SocketAddr;
use tokio::sync::oneshot;

/// Dials this address, which a person named. Answered with the path of the link, or the cause in one sentence; if there is
/// a link, with that one's path.
#[derive(Message)]
#[rtype(result = "Result<PathKind, String>")]
pub struct DialAt(pub SocketAddr);

/// Who waits for a dial.
#[derive(Default)]
pub(super) struct ByHand(Vec<(SocketAddr, oneshot::Sender<Result<PathKind, String>>)>);

impl ByHand {
    pub(super) fn wait(&mut self, addr: SocketAddr) -> oneshot::Receiver<Result<PathKind, String>> {
        let (answer, answered) = oneshot::channel();
        self.0.retain(|(_, answer)| !answer.is_closed());
        self.0.push((addr, answer));
        answered
    }

    /// A link is in use.
    pub(super) fn linked(&mut self, path: PathKind) {
        // Who has gone needs no answer.
        self.0.drain(..).for_each(|(_, answer)| drop(answer.send(Ok(path))));
    }

    /// A dial of this address failed, or its link ended before the greeting.
    pub(super) fn failed(&mut self, addr: SocketAddr, failure: &Failure) {
        for (_, answer) in self.0.extract_if(.., |(dialled, _)| *dialled == addr) {
            answer.send(Err(failure.cause.clone())).ok();
        }
    }
}
