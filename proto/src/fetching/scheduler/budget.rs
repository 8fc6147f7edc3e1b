//! The prefetch budget: unused bytes of the last day.

use crate::{id::PeerId, limit::PREFETCH_AGE};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Bytes of one player within this time count together, as of now.
const GRAIN: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Budget {
    most: u64,
    spent: VecDeque<Spent>,
}

#[derive(Debug)]
struct Spent {
    at: Instant,
    peer: PeerId,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(most: u64) -> Self {
        Self { most, spent: VecDeque::new() }
    }

    pub(super) fn left(&self) -> u64 {
        self.most.saturating_sub(self.spent.iter().map(|spent| spent.bytes).sum())
    }

    pub(super) fn spend(&mut self, now: Instant, peer: PeerId, bytes: u64) {
        match self.spent.back_mut() {
            Some(last) if last.peer == peer && now < last.at + GRAIN => {
                (last.at, last.bytes) = (now, last.bytes + bytes);
            }
            _ if bytes > 0 => self.spent.push_back(Spent { at: now, peer, bytes }),
            _ => {}
        }
    }

    /// The player's prefetched bytes were used.
    pub(super) fn give_back(&mut self, peer: &PeerId) {
        self.spent.retain(|spent| spent.peer != *peer);
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        self.spent.retain(|spent| now < spent.at + PREFETCH_AGE);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.spent.front().map(|spent| spent.at + PREFETCH_AGE)
    }
}
