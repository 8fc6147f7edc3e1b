//! Who repeats themselves is counted and not written line by line: a flood must leave the log readable.

use super::event::Kind;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, atomic::AtomicU64},
};

/// Lines that one address (as it is written) gets of one kind in one round.
const LINES: u64 = 10;
/// Most addresses and kinds that a round tells apart; what is beyond is counted together.
const CELLS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) tally: Mutex<Tally>,
    /// Found the queue full, or the disk refused them.
    pub(super) dropped: AtomicU64,
}

/// One round, a minute.
#[derive(Debug, Default)]
pub(super) struct Tally {
    cells: HashMap<(Kind, IpAddr), u64>,
    /// Not told apart any more.
    crowd: u64,
}

/// What a round leaves to tell.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Events without a line of their own.
    pub(super) counted: Vec<(Kind, IpAddr, u64)>,
    pub(super) crowd: u64,
}

impl Tally {
    /// Refusals by a limit never deserve one: only their number says something.
    pub(super) fn deserves_a_line(&mut self, kind: Kind, address: IpAddr) -> bool {
        if self.cells.len() >= CELLS_MAX && !self.cells.contains_key(&(kind, address)) {
            self.crowd += 1;
            return false;
        }
        let count = self.cells.entry((kind, address)).or_default();
        *count += 1;
        *count <= lines(kind)
    }

    pub(super) fn end_round(&mut self) -> Round {
        let crowd = std::mem::take(&mut self.crowd);
        let cells = std::mem::take(&mut self.cells).into_iter();
        let counted = cells
            .filter(|((kind, _), count)| *count > lines(*kind))
            .map(|((kind, address), count)| (kind, address, count - lines(kind)));
        Round { counted: counted.collect(), crowd }
    }
}

fn lines(kind: Kind) -> u64 {
    if matches!(kind, Kind::Limited(..)) { 0 } else { LINES }
}
