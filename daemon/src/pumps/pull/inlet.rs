//! One request's way in: our own limits, and word to the machine that the peer is not silent.

use super::ask::{Note, Notes};
use crate::{io::quic::Link, pumps::pace::Pacer};
use fyteclub_proto::fetching::{
    pace::Direction,
    transfer::{Input, RequestId},
};
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinHandle};

/// Between two words to the machine that bytes come which are no whole chunk yet, or that this side holds them back.
const HEARD_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Inlet<'a> {
    /// The link and its limits; `None` where nothing is limited.
    limited: Option<(&'a Link, &'a Pacer)>,
    pub(super) request: RequestId,
    pub(super) notes: &'a Notes,
    told: Instant,
}

impl<'a> Inlet<'a> {
    pub(super) fn new(limited: Option<(&'a Link, &'a Pacer)>, request: RequestId, notes: &'a Notes) -> Self {
        Self { limited, request, notes, told: Instant::now() }
    }

    /// Waits until our limits let some of these bytes in.
    pub(super) async fn turn(&mut self, bytes: usize) -> usize {
        let Some((link, pacer)) = self.limited else { return bytes };
        let turn = pacer.wait(link, Direction::Down, bytes);
        tokio::pin!(turn);
        loop {
            tokio::select! {
                bytes = &mut turn => return bytes,
                () = tokio::time::sleep(HEARD_EVERY) => self.tell(),
            }
        }
    }

    /// Waits for work of this machine: while its disk is slow, the peer is not silent.
    pub(super) async fn through<T>(&mut self, mut work: JoinHandle<T>) -> Result<T, JoinError> {
        loop {
            match tokio::time::timeout(HEARD_EVERY, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.tell(),
            }
        }
    }

    /// So many bytes have come: what may be held of them follows the path.
    pub(super) fn received(&self, bytes: u64) {
        if let Some((link, _)) = self.limited {
            link.received(bytes);
        }
    }

    pub(super) fn heard(&mut self) {
        if self.told.elapsed() >= HEARD_EVERY {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        (self.notes)(Note::Progress { facts: vec![Input::Heard { request: self.request }], wire: 0 });
    }
}
