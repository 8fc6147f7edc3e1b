//! Limits the lines per address and kind, so that a flood leaves the log readable.

use super::event::Kind;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, atomic::AtomicU64},
};

/// Lines of one kind per address and round.
const LINES: u64 = 10;
/// Pairs of address and kind per round; further ones are counted together.
const CELLS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) tally: Mutex<Tally>,
    /// Events lost to a full queue or an error.
    pub(super) dropped: AtomicU64,
}

/// One round lasts a minute.
#[derive(Debug, Default)]
pub(super) struct Tally {
    cells: HashMap<(Kind, IpAddr), u64>,
    /// Events beyond [`CELLS_MAX`].
    crowd: u64,
}

/// The counts of a finished round.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Events without a line.
    pub(super) counted: Vec<(Kind, IpAddr, u64)>,
    pub(super) crowd: u64,
}

impl Tally {
    /// Budget refusals get no line, only a count.
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
