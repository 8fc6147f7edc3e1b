//! A request's receiving side: waits for this side's limits, and reports that the peer is not silent.

use super::ask::{Note, Notes};
use crate::{io::quic::Link, pumps::pace::Pacer};
use fyteclub_proto::fetching::{
    pace::Direction,
    transfer::{Input, RequestId},
};
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinHandle};

/// The least time between two reports that the peer is not silent: bytes of an incomplete chunk arrive, or this side delays
/// them.
const HEARD_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Inlet<'a> {
    /// The link and its limits; `None` in tests without a link.
    limited: Option<(&'a Link, &'a Pacer)>,
    pub(super) request: RequestId,
    pub(super) notes: &'a Notes,
    told: Instant,
}

impl<'a> Inlet<'a> {
    pub(super) fn new(limited: Option<(&'a Link, &'a Pacer)>, request: RequestId, notes: &'a Notes) -> Self {
        Self { limited, request, notes, told: Instant::now() }
    }

    /// Waits until this side's limits permit a part of `bytes`; returns its length.
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

    /// Waits for a job of this machine, and reports meanwhile that the peer is not silent.
    pub(super) async fn through<T>(&mut self, mut work: JoinHandle<T>) -> Result<T, JoinError> {
        loop {
            match tokio::time::timeout(HEARD_EVERY, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.tell(),
            }
        }
    }

    /// Counts received bytes for the link's flow-control window.
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
        (self.notes)(Note::Progress { facts: vec![Input::Received { request: self.request }], wire: 0 });
    }
}
